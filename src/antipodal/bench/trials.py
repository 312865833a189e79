"""All trials of one object: settle, photograph, ask every planner, execute; one row per planner, trial and error.

The world is compiled once, each scene is settled, rendered and judged once, and shared by the planners. A mesh that
cannot be simulated, a planner that fails: rows with their reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..dataset.epsilon import fast_ferrari_canny
from ..errors import AntipodalError, SimulationDiverged
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..objects.describe import N_DIFFICULTY_GRASPS, N_GRASPS, difficulty
from ..sampling import sample_antipodal
from ..sim.decompose import convex_pieces
from ..sim.trial import Outcome, execute
from ..sim.world import World
from ..stable_pose import resting_poses
from .attempt import Attempt, attempt
from .config import BenchConfig
from .graspable import Graspable, judge
from .objects import BenchObject, load_object
from .oracle import label_epsilon
from .planner import Observation, Planner
from .scenes import TrialScene, draw_trial, photograph, settled

TRIALS = pa.schema(
    [
        ("planner", pa.string()),
        ("object", pa.string()),
        ("file", pa.string()),
        ("source", pa.string()),
        ("mesh_hash", pa.string()),
        ("difficulty", pa.float64()),
        ("k", pa.int32()),
        ("execution_error", pa.float64()),
        ("execution_seed", pa.int64()),
        ("T_world_obj", pa.list_(pa.float64())),
        ("friction", pa.float64()),
        ("T_world_camera", pa.list_(pa.float64())),
        ("graspable", pa.bool_()),
        ("oracle_epsilon", pa.float64()),
        ("T_world_grasp", pa.list_(pa.float64())),
        ("grasp_width", pa.float64()),
        ("quality", pa.float64()),
        ("epsilon", pa.float64()),
        ("outcome", pa.string()),
        ("stage", pa.string()),
        ("success", pa.bool_()),
        ("reason", pa.string()),
        ("lift_height", pa.float64()),
        ("plan_time", pa.float64()),
    ]
)
"""A row of trials.parquet. Poses are 4×4, row by row; lengths in m, times in s; null where there is nothing."""

UNDIGESTED = (AntipodalError, ValueError, ArithmeticError, RuntimeError)
"""What geometry and physics libraries raise on a mesh that they cannot digest, or what we say of it ourselves."""

Failures = Mapping[tuple[str, int], str]
"""(planner, k) → reason: plans that ended a worker before, not to be tried again."""
At = Callable[[str, str, int], None]
"""Told (what, planner, k) before anything that other people's code may not come back from."""


@dataclass(frozen=True, eq=False)
class ObjectJob:
    """One work item."""

    index: int
    item: BenchObject
    directory: Path
    config: BenchConfig
    cache: Path
    """Folder of convex pieces and of judged scenes."""
    parts: Path
    """Folder of finished parts."""
    failures: Failures = field(default_factory=dict)
    broken: str = ""
    """Why this object cannot be run at all, known from a worker that died of it."""


def run_object(
    job: ObjectJob, gripper: GripperModel, planners: Mapping[str, Planner], at: At
) -> list[dict[str, Any]]:
    """Run every trial of one object; return rows in the order of k, planner, execution error."""
    try:
        if job.broken:
            raise SimulationDiverged(job.broken, job.config.seed, 0)
        at("load", "", -1)
        mesh = load_object(job.directory, job.item.file, job.item.name)
        poses = resting_poses(mesh)
        at("decompose", "", -1)
        world = World(mesh, convex_pieces(mesh, cache=job.cache), gripper)
        facts = {"mesh_hash": mesh.content_hash, "difficulty": hardness(mesh, gripper)}
    except UNDIGESTED as error:
        known = [_item(job, {}) | {"k": k} for k in range(job.config.n_trials)]
        return [row for facts in known for row in _lost(job, planners, facts, str(error))]
    rows = []
    for k in range(job.config.n_trials):
        at("simulate", "", k)
        try:
            drawn = draw_trial(mesh, poses, job.config.seed, k, job.config.cameras)
        except UNDIGESTED as error:
            rows += _lost(job, planners, _item(job, facts) | {"k": k}, str(error))
            continue
        known = _common(job, drawn, facts) | {"stage": "settle"}
        try:
            trial = settled(drawn, world, job.config.trial)
            if trial is None:
                rows += _lost(job, planners, known, "the object does not come to rest")
            else:
                rows += _run_trial(job, gripper, planners, world, trial, facts, at)
        except UNDIGESTED as error:
            rows += _lost(job, planners, known, str(error))
    return rows


def hardness(mesh: TriMesh, gripper: GripperModel) -> float:
    """Difficulty over antipodal grasps: low is hard. By the fast ε, because it is asked for object by object."""
    rng = np.random.default_rng(0)
    grasps = sample_antipodal(mesh, gripper, N_GRASPS, rng)[:N_DIFFICULTY_GRASPS]
    return difficulty(mesh, grasps, gripper, rng, fast_ferrari_canny)


def _run_trial(
    job: ObjectJob,
    gripper: GripperModel,
    planners: Mapping[str, Planner],
    world: World,
    trial: TrialScene,
    facts: Mapping[str, Any],
    at: At,
) -> list[dict[str, Any]]:
    """One settled scene, every planner."""
    scene = trial.scene
    image, mask = photograph(trial)
    graspable = judge(trial, gripper, job.cache)
    observation = Observation(image, mask, gripper, scene.mesh, scene.T_world_obj)
    rows = []
    for name, planner in planners.items():
        known = job.failures.get((name, trial.k))
        if known is not None:
            tried = Attempt(None, None, float("nan"), known)
        else:
            at("plan", name, trial.k)
            tried = attempt(planner, observation, trial.rng("plan"), job.config.time_limit)
            at("simulate", name, trial.k)
        common = {"planner": name, **_common(job, trial, facts), **_planned(tried, graspable)}
        if tried.grasp_world is not None:
            common["epsilon"] = _epsilon(trial, tried.grasp_world, gripper)
        rows += [
            common | {"execution_error": error} | _executed(world, trial, tried, job.config, error)
            for error in job.config.execution_errors
        ]
    return rows


def _executed(
    world: World, trial: TrialScene, tried: Attempt, config: BenchConfig, error: float
) -> dict[str, Any]:
    """Execute one plan; the columns from ``outcome`` on."""
    if tried.grasp_world is None:
        return {"outcome": Outcome.NO_GRASP.name, "success": False, "reason": tried.reason}
    scene, seed = trial.scene, trial.execution_seed
    try:
        result = execute(
            world,
            scene.T_world_obj,
            tried.grasp_world,
            scene.friction,
            seed,
            config.trial_config(error),
        )
    except SimulationDiverged as diverged:
        return {"outcome": Outcome.UNSTABLE.name, "success": False, "reason": str(diverged)}
    except UNDIGESTED as refused:  # wider than the hand opens
        return {
            "outcome": Outcome.NO_GRASP.name,
            "success": False,
            "reason": f"cannot be executed: {refused}",
        }
    return {
        "outcome": result.outcome.name,
        "stage": result.stage.value,
        "success": result.success,
        "lift_height": result.lift_height,
    }


def _epsilon(trial: TrialScene, grasp_world: Grasp, gripper: GripperModel) -> float | None:
    """Robust ε of the planned grasp on the true mesh and pose: what the label thinks of it; None if it cannot say."""
    scene = trial.scene
    single = Grasp(grasp_world.pose[None], grasp_world.width[None])
    rng = trial.rng("oracle")
    try:
        return float(label_epsilon(scene.mesh, scene.T_world_obj, single, gripper, rng)[0])
    except UNDIGESTED:  # a planner's grasp may be anywhere
        return None


def _planned(tried: Attempt, graspable: Graspable) -> dict[str, Any]:
    grasp = tried.grasp_world
    return {
        "T_world_grasp": None if grasp is None else grasp.pose.ravel().tolist(),
        "grasp_width": None if grasp is None else float(grasp.width),
        "quality": tried.quality,
        "plan_time": tried.plan_time,
        "graspable": graspable.graspable,
        "oracle_epsilon": graspable.epsilon,
    }


def _item(job: ObjectJob, facts: Mapping[str, Any]) -> dict[str, Any]:
    item = job.item
    return {"object": item.name, "file": item.file, "source": item.source, **facts}


def _common(job: ObjectJob, trial: TrialScene, facts: Mapping[str, Any]) -> dict[str, Any]:
    scene = trial.scene
    return {
        **_item(job, facts),
        "k": trial.k,
        "execution_seed": trial.execution_seed,
        "T_world_obj": scene.T_world_obj.ravel().tolist(),
        "friction": scene.friction,
        "T_world_camera": scene.T_world_camera.ravel().tolist(),
        "reason": "",
    }


def _lost(
    job: ObjectJob, planners: Mapping[str, Planner], known: Mapping[str, Any], reason: str
) -> list[dict[str, Any]]:
    """Rows of a trial that nobody could plan in; ``known``: the columns of object and scene that are."""
    ended = {
        "outcome": Outcome.UNSTABLE.name,
        "success": False,
        "reason": reason,
        "graspable": False,
    }
    return [
        {"planner": name, **known, "execution_error": error, **ended}
        for name in planners
        for error in job.config.execution_errors
    ]
