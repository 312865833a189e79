"""The main job end to end on a built-in object: mesh → scene → noisy depth image → grasp → simulated lift → picture."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from . import transforms
from .camera import CameraIntrinsics
from .draw import save_demo
from .gripper import GripperModel, load_gripper
from .mesh import TriMesh
from .objects import make_object
from .policy.assemble import make_policy
from .quality import load_quality
from .render.depth import render_depth
from .render.noise import observe
from .render.scene import CameraDistribution, sample_scene
from .render.shade import Body, look_from, shade
from .sim.trial import TrialResult, run_trial, trial_bodies
from .stable_pose import stable_poses

FAMILY = "mug"
"""The built-in object's family."""
CAMERA = CameraDistribution(width=640, height=480, recenter=False)
"""The paper's camera poses with a VGA image."""
ROLE_COLORS = {"object": (0.25, 0.48, 0.75), "jaw": (0.95, 0.55, 0.15), "palm": (0.35, 0.36, 0.38)}


def run_demo(folder: str | Path, seed: int) -> dict[str, Any]:
    """Run the demo; write ``demo.png`` and ``demo.json`` to ``folder`` and return the latter's content.

    Args:
        folder: made if absent.
        seed: of object, scene, noise and planner.

    Raises:
        NoGraspFound: the planner found nothing; says why.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng_object, rng_scene, rng_noise, rng_plan = np.random.default_rng(seed).spawn(4)
    mesh = make_object(FAMILY, rng_object)
    gripper = load_gripper("yumi")
    scene = sample_scene(mesh, stable_poses(mesh)[0], rng_scene, CAMERA)
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
        "plan": {**plan.to_json(image.intrinsics), "plan_time": plan_time},
        "trial": {
            "outcome": trial.outcome.name,
            "success": trial.success,
            "lift_height": trial.lift_height,
        },
        "files": ["demo.png", "demo.json"],
    }
    (folder / "demo.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def picture(
    trial: TrialResult, mesh: TriMesh, gripper: GripperModel, size: tuple[int, int] = (640, 640)
) -> UInt8[np.ndarray, "H W 3"]:
    """Shade the last frame of a lift: object and hand above the table, seen from the side of the closing axis."""
    bodies = [Body(m, T, ROLE_COLORS[role]) for m, T, role in trial_bodies(trial, mesh, gripper)]
    center = np.mean(
        [T[:3, 3] for _, T, _ in [(b.mesh, b.T_world_body, 0) for b in bodies]], axis=0
    )
    T_world_camera = view_of(trial, center)
    width, height = size
    return shade(
        bodies,
        T_world_camera,
        CameraIntrinsics(700, 700, (width - 1) / 2, (height - 1) / 2, width, height),
    )


def view_of(trial: TrialResult, target: Float[np.ndarray, "3"]) -> transforms.Transform:
    """Camera that sees both jaws: it looks across the closing axis, a little from above."""
    x = trial.grasp_world.closing_axis
    azimuth = float(np.arctan2(x[1], x[0]) + np.deg2rad(70))
    return look_from(azimuth, np.deg2rad(18), 0.55, target)
