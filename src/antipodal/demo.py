"""The main job end to end on a built-in object: mesh → scene → noisy depth image → grasp → simulated lift → picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from .bench.frames import across, shade_trial
from .bench.scenes import FRICTION
from .camera import CameraIntrinsics
from .draw import save_demo
from .files import write_json
from .gripper import GripperModel, load_gripper
from .mesh import TriMesh
from .objects import make_object
from .policy import make_policy
from .quality import load_quality
from .render.depth import render_depth
from .render.noise import observe
from .render.scene import CameraDistribution, sample_scene
from .sim.trial import TrialResult, run_trial
from .stable_pose import stable_poses
from .values import check_seed

FAMILY = "mug"
"""The built-in object's family."""
CAMERA = CameraDistribution(width=640, height=480, recenter=False)
"""The paper's camera poses with a VGA image."""


def run_demo(folder: str | Path, seed: int) -> dict[str, Any]:
    """Run the demo; write ``demo.png`` and ``demo.json`` to ``folder`` and return the latter's content.

    Args:
        folder: made if absent.
        seed: of object, scene, noise and planner.

    Raises:
        NoGraspFound: the planner found nothing; says why.
    """
    check_seed(seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng_object, rng_scene, rng_noise, rng_plan = np.random.default_rng(seed).spawn(4)
    mesh = make_object(FAMILY, rng_object)
    gripper = load_gripper("yumi")
    scene = sample_scene(mesh, stable_poses(mesh)[0], rng_scene, CAMERA, friction=FRICTION)
    image = observe(render_depth(scene), rng_noise).inpaint()
    policy = make_policy("cem", load_quality("builtin"), gripper)
    start = time.perf_counter()
    plan = policy(image, None, rng_plan)
    plan_time = time.perf_counter() - start
    grasp_camera = plan.best.to_grasp(image.intrinsics, plan.approach_axis)
    trial = run_trial(
        mesh,
        scene.T_world_obj,
        grasp_camera.in_frame(scene.T_world_camera),
        gripper,
        scene.friction,
        seed,
    )
    outcome = f"simulated lift: {trial.outcome.name.lower()}, {trial.lift_height * 100:.0f} cm"
    save_demo(folder / "demo.png", image, plan, gripper, picture(trial, mesh, gripper), outcome)
    result = {
        "object": mesh.name,
        "seed": seed,
        "plan": {"gripper": gripper.name, **plan.to_json(image.intrinsics), "plan_time": plan_time},
        "trial": trial.to_json(),
        "files": ["demo.png", "demo.json"],
    }
    write_json(result, folder / "demo.json")
    return result


def picture(trial: TrialResult, mesh: TriMesh, gripper: GripperModel) -> UInt8[np.ndarray, "H W 3"]:
    """Shade the last frame of a lift, seen across the closing axis, a little from above."""
    T = trial.T_world_grasp_final
    T_world_camera = across(T, 75, 12, 0.42, T[:3, 3] + [0.0, 0.0, 0.01])
    intrinsics = CameraIntrinsics(700, 700, 319.5, 319.5, 640, 640)
    return shade_trial(trial, mesh, gripper, T_world_camera, intrinsics)
