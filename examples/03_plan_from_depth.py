"""Plan a grasp from one depth image with the built-in network, and say where the hand goes.

The image is rendered here; on a robot it comes from `antipodal.load_depth("depth.png", "camera.json")`.
"""

from __future__ import annotations

import numpy as np

import antipodal
from antipodal.objects import make_object
from antipodal.render.noise import observe

rng = np.random.default_rng(3)
mesh = make_object("screwdriver", rng)
scene = antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)
image = observe(antipodal.render_depth(scene), rng)

gripper = antipodal.load_gripper("yumi")
policy = antipodal.make_policy("cem", antipodal.load_quality("builtin"), gripper)
plan = policy(image, None, rng)

best = plan.best
print(f"{len(plan.grasps)} grasps, the best with q = {plan.quality[0]:.2f}")
print(f"pixel {np.round(best.center_px, 1)}, angle {best.angle:.2f} rad, depth {best.depth:.3f} m")

grasp_camera = best.to_grasp(image.intrinsics, plan.approach_axis)
T_camera_gripper = gripper.T_parent_gripper(grasp_camera)
print(f"the hand's base in the camera frame: {np.round(T_camera_gripper[:3, 3], 3)} m")
