"""From a plan to three moves of a 6-axis arm: pre-grasp, grasp and lift of its flange, in its base frame.

    base ─ T_base_camera ─▶ camera ─ plan ─▶ grasp ─ T_gripper_grasp⁻¹ ─▶ gripper ─ T_flange_gripper⁻¹ ─▶ flange

The table begins 0.3 m before the arm. Its camera is fixed over the table; the hand-eye calibration gives T_base_camera.
The hand is a Franka hand on a 20 mm adapter, turned by 45°.
"""

from __future__ import annotations

import numpy as np

import antipodal
from antipodal import transforms
from antipodal.objects import make_object
from antipodal.policy.request import Request
from antipodal.waypoints import waypoints

rng = np.random.default_rng(3)
mesh = make_object("carton", rng)
scene = antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)
image = antipodal.render_depth(scene)
assert image.T_world_camera is not None

# calibration: the table's frame, in which the camera's pose is known, as the arm sees it
T_base_world = transforms.translation([0.5, 0.0, 0.02]) @ transforms.rot_z(np.pi / 2)
T_base_camera = T_base_world @ image.T_world_camera
T_flange_gripper = transforms.translation([0.0, 0.0, 0.02]) @ transforms.rot_z(np.pi / 4)

gripper = antipodal.load_gripper("franka_hand")
policy = antipodal.make_policy("antipodal", antipodal.load_quality("builtin"), gripper)
reach = 0.2 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
plan = policy(image, Request(workspace=reach, min_height=0.005, n_grasps=5), rng)

grasp_camera = plan.best.to_grasp(image.intrinsics, plan.approach_axis)
way = waypoints(grasp_camera, gripper, T_base_camera, T_flange_gripper)
for name, T_base_flange in (
    ("pre-grasp", way.T_parent_flange_pre_grasp),
    ("grasp", way.T_parent_flange_grasp),
    ("lift", way.T_parent_flange_lift),
):
    x, y, z = T_base_flange[:3, 3]
    w, i, j, k = transforms.to_wxyz(T_base_flange[:3, :3])
    print(f"{name:9s} x {x:.3f}  y {y:.3f}  z {z:.3f} m   wxyz {w:.3f} {i:.3f} {j:.3f} {k:.3f}")
