"""Grasp a box in simulation and find the force at which it slips: m g = 2 μ F."""

from __future__ import annotations

from dataclasses import replace

import trimesh

from antipodal import transforms
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.sim.trial import QUICK_LIFT, TrialConfig, run_trial

FRICTION, MASS = 0.5, 0.2

cuboid = trimesh.creation.box((0.03, 0.06, 0.04))
box = TriMesh(cuboid.vertices, cuboid.faces, "box", density=MASS / cuboid.volume)
yumi = load_gripper("yumi")

# The box stands on the table; the jaws close along world x, the approach (grasp z) points down.
T_world_obj = transforms.translation([0.0, 0.0, 0.02])
grasp_world = Grasp.from_axes([0.0, 0.0, 0.028], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0], yumi.max_width)

# The benchmark's whole trial: lift, carry, shake, with errors in where the hand goes.
result = run_trial(box, T_world_obj, grasp_world, yumi, FRICTION, seed=0, config=TrialConfig())
print(f"whole trial: {result.outcome}, {result.lift_height * 100:.0f} cm above the table")

# Three hands that are weaker and weaker, lifting slowly.
slow = replace(QUICK_LIFT, transport_speed=0.05)
limit = MASS * 9.81 / (2 * FRICTION)
for share in (1.5, 1.05, 0.95):
    weak = replace(yumi, max_force=share * limit)
    result = run_trial(box, T_world_obj, grasp_world, weak, FRICTION, seed=0, config=slow)
    print(f"{weak.max_force:.2f} N, {share:.2f} of the bound: {result.outcome}")

# A hand 15 mm beside the box lands on it.
beside = grasp_world.in_frame(transforms.translation([0.015, 0.0, 0.0]))
result = run_trial(box, T_world_obj, beside, yumi, FRICTION, seed=0, config=QUICK_LIFT)
print(f"15 mm beside: {result.outcome} during {result.stage}")
