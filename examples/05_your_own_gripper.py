"""Describe a gripper by its numbers, write and draw it, and plan for it and for the YuMi hand in the same image."""

from __future__ import annotations

import numpy as np
import trimesh

import antipodal
from antipodal.doctor import examine_gripper
from antipodal.draw_gripper import save_gripper_picture
from antipodal.gripper_files import save_gripper
from antipodal.gripper_questions import answers_of, gripper_from_answers
from antipodal.policy.heuristics import geometric_policy
from antipodal.render.depth import render

# What `antipodal gripper new` asks for; palm and frame follow from it. A unit may follow a length, else it is metres.
answers = answers_of(antipodal.load_gripper("yumi"))
answers |= {"name": "mine", "max_width": "85 mm", "max_force": "40", "finger_depth": "45 mm"}
answers |= {"jaw_thickness": "10 mm", "palm_width": "120 mm"}
mine = gripper_from_answers(answers)
save_gripper(mine, "mine.toml", ["A longer hand that opens wider than the YuMi's."])
save_gripper_picture(mine, "mine.png")
mine = antipodal.load_gripper("mine.toml")  # as the command line's --gripper mine.toml
for finding in examine_gripper("mine.toml"):
    print(f"doctor: {finding.severity}: {finding.message}")

# A box 65 mm across, seen from above.
rng = np.random.default_rng(0)
shape = trimesh.creation.box((0.065, 0.09, 0.07))
mesh = antipodal.TriMesh(shape.vertices, shape.faces, "box")
scene = antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)
image, mask = render(scene)

for gripper in (antipodal.load_gripper("yumi"), mine):
    plan = geometric_policy(gripper)(image, mask, np.random.default_rng(0))
    said = f"q = {plan.quality[0]:.2f}" if len(plan.grasps) else plan.reason
    print(f"{gripper.name}, {1e3 * gripper.max_width:.0f} mm: {len(plan.grasps)} grasps, {said}")
