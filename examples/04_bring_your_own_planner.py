"""Put your own planner on the benchmark: one function, depth image, mask and hand in, ranked planar grasps out.

    antipodal bench run --policy 04_bring_your_own_planner:plan builtin-cem --objects meshes -o out/bench

from this folder compares it with the built-in model on the same simulated lifts. Here it plans and lifts once.
"""

from __future__ import annotations

import numpy as np

import antipodal
from antipodal.policy.base import Plan


def plan(
    image: antipodal.DepthImage,
    mask: np.ndarray,
    rng: np.random.Generator,
    gripper: antipodal.GripperModel,
) -> Plan:
    """Close across the mask's shorter side at its centroid, 12 mm below what is seen there."""
    v, u = np.nonzero(mask)
    _, axes = np.linalg.eigh(np.cov(np.stack([u, v])))
    grasp = antipodal.PlanarGrasp(
        center_px=np.array([[u.mean(), v.mean()]]),
        angle=np.array([np.arctan2(axes[1, 0], axes[0, 0])]),
        depth=np.array([np.median(image.depth[mask & image.valid]) + 0.012]),
        width=np.array([gripper.max_width]),
    )
    assert image.T_world_camera is not None
    straight_down = -image.T_world_camera[2, :3]
    return Plan(grasp, quality=np.array([0.5]), approach_axis=straight_down)


if __name__ == "__main__":
    from antipodal.objects import make_object
    from antipodal.render.depth import render
    from antipodal.sim.trial import run_trial

    rng = np.random.default_rng(0)
    mesh = make_object("carton", rng)
    scene = antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)
    image, mask = render(scene)
    gripper = antipodal.load_gripper("yumi")
    planned = plan(image, mask, rng, gripper)
    grasp = planned.best.to_grasp(image.intrinsics, planned.approach_axis)
    trial = run_trial(
        mesh, scene.T_world_obj, grasp.in_frame(scene.T_world_camera), gripper, scene.friction, 0
    )
    print(f"{mesh.name}: {trial.outcome.value}")
