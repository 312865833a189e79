"""How often the labels and the simulator agree: what random collision-free grasps lead to beside what they promise.

Each object is settled in stable poses as the benchmark draws them; grasps on the true mesh that come in free as planned
are drawn at random, executed with the trial's execution error and friction, and compared with the paper's label, E_Q >
δ [Mahler17, §IV-B2], and with P(success), which the built-in network learned (:mod:`antipodal.success`). The answer
bounds what any planner trained on a label can do. Objects are the work items; finished ones are kept, so that a run
resumes, and its result does not depend on the number of workers.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Shaped

from .. import __version__
from ..collision import approach_is_free
from ..dataset.epsilon import fast_ferrari_canny
from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import write_table
from ..errors import InvalidConfig, InvalidMesh, SimulationDiverged
from ..files import claim, write_json
from ..grasp import Grasp
from ..gripper import GripperModel, load_gripper
from ..mesh import TriMesh
from ..scores import area_under_roc, brier_score, expected_calibration_error
from ..sim.decompose import convex_pieces
from ..sim.trial import TrialConfig, execute
from ..sim.world import MASS_LIMITS, World
from ..stable_pose import resting_poses
from ..success import EXECUTED_APPROACH, success_chances
from ..watched import At, Task, listen, work_off
from .objects import BenchObject, distinct, expect_usable, list_objects, load_object
from .oracle import candidates_from_above, label_epsilon, nudged
from .pool import SILENCE, Progress, run_missing
from .scenes import CAMERAS, TrialScene, draw_trial, settled
from .scores import auc_interval, share_interval
from .trials import UNDIGESTED

EPSILON_EDGES = (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, np.inf)
"""Of robust ε in the table; 0 has its own row there and in the other."""
P_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of P(success)."""
GRASPS_PER_SCENE = 8
"""Drawn in each settled pose, so that one pose does not stand for an object."""
NEAR_MISS_SHIFT = np.array([0.002, 0.006, 0.004])
"""Standard deviation of a near miss' displacement along its own axes, m."""
NEAR_MISS_TURN = 0.25
"""Of its turn about the approach axis, rad."""
CAMERA = CAMERAS["dexnet"]
"""Drawn with the scene and not used."""

GRASPS = pa.schema(
    [
        ("object", pa.string()),
        ("file", pa.string()),
        ("source", pa.string()),
        ("k", pa.int32()),
        ("friction", pa.float64()),
        ("mass", pa.float64()),
        ("execution_seed", pa.int64()),
        ("T_world_obj", pa.list_(pa.float64())),
        ("T_world_grasp", pa.list_(pa.float64())),
        ("moved", pa.bool_()),  # a near miss rather than an antipodal pair
        ("robust_epsilon", pa.float64()),
        ("free_share", pa.float64()),
        ("hold_probability", pa.float64()),
        ("outcome", pa.string()),
        ("success", pa.bool_()),
    ]
)
"""A row of agreement.parquet; lengths in m, poses 4×4 row by row in the world frame."""


@dataclass(frozen=True)
class AgreementConfig:
    """What a run depends on."""

    n: int = 5000
    """Grasps wanted; an object without enough of them gives fewer."""
    seed: int = 0
    """The only source of randomness."""
    gripper: str = "yumi"
    """Name or file."""
    max_objects: int = 250
    """At most so many objects are drawn out of the folder."""
    near_misses: bool = False
    """What a model of P(hold) needs: every second grasp is an antipodal pair moved and turned a little, and the object
    of each scene weighs something else, log-uniform between the simulation's limits."""

    def __post_init__(self) -> None:
        if min(self.n, self.max_objects) < 1 or self.seed < 0:
            raise InvalidConfig(
                f"agreement n {self.n}, max_objects {self.max_objects}, seed {self.seed}: "
                "expected positive counts and a seed ≥ 0"
            )


@dataclass(frozen=True)
class _Job:
    """One object."""

    item: BenchObject
    directory: str
    cache: str
    part: str
    n_scenes: int
    config: AgreementConfig
    broken: str = ""
    """Why this object cannot be used, known from a worker that died of it."""


def run_agreement(
    objects_dir: str | Path,
    output: str | Path,
    config: AgreementConfig,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
    cache: str | Path | None = None,
) -> dict[str, Any]:
    """Execute random collision-free grasps; write agreement.parquet and agreement.json and return the latter.

    Args:
        objects_dir: object set or folder of meshes in m.
        output: folder; finished objects in it are not run again.
        config: how many grasps, seed, gripper.
        workers: processes.
        progress: told (objects done, objects).
        cache: folder of convex pieces; default ``output``/pieces.

    Raises:
        UnknownAsset: no mesh there.
        InvalidConfig: the output folder holds another run, or every object was refused.
    """
    output = Path(output)
    items = _chosen(distinct(list_objects(objects_dir)), config)
    record = {
        **asdict(config),
        "gripper_model": load_gripper(config.gripper).to_json(),
        "version": __version__,
        "objects": [item.sha256 for item in items],
    }
    claim(output / "config.json", record, "run")
    n_scenes = -(-config.n // (len(items) * GRASPS_PER_SCENE))
    folder = str(cache or output / "pieces")
    jobs = [
        _Job(item, str(objects_dir), folder, str(_part(output, item)), n_scenes, config)
        for item in items
    ]
    task: Task[_Job, None] = Task("antipodal.bench.agreement:serve", _limit, _blamed)
    paths = [Path(job.part) for job in jobs]
    run_missing(task, jobs, paths, workers, progress)
    parts = [json.loads(path.read_text()) for path in paths]
    rows = [row for part in parts for row in part["rows"]]
    write_table(pa.Table.from_pylist(rows, schema=GRASPS), output / "agreement.parquet")
    refused = {part["object"]: part["refused"] for part in parts if part["refused"]}
    expect_usable(len(parts), refused)
    summary = summarise_agreement(rows) | {"config": record | {"refused": refused}}
    write_json(summary, output / "agreement.json")
    return summary


def summarise_agreement(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Say how well each label, and the number behind it, foretell success; near misses are left out."""
    n_executed = len(rows)
    rows = [row for row in rows if not row["moved"]]
    success = np.array([row["success"] for row in rows], bool)
    made = _Made(success, *(np.array([row[k] for row in rows], str) for k in ("outcome", "object")))
    epsilon = np.array([row["robust_epsilon"] for row in rows], float)
    p = np.array([p_success(row) for row in rows], float)
    foretold = _foretold(p, made, 0.5, P_EDGES)
    foretold |= {"brier": brier_score(p, success), "ece": expected_calibration_error(p, success)}
    return {
        "n": len(rows),
        "n_near_misses": n_executed - len(rows),
        "n_objects": len({row["object"] for row in rows}),
        "robust_epsilon": _foretold(epsilon, made, SUCCESS_THRESHOLD, EPSILON_EDGES),
        "p_success": foretold if len(rows) else {},
    }


def p_success(row: dict[str, Any]) -> float:
    """P(free) · P(hold) of a row."""
    return float(row["free_share"] * row["hold_probability"])


def object_rows(job: _Job, at: At) -> list[dict[str, Any]]:
    """Every grasp of one object.

    Raises:
        AntipodalError: the mesh cannot be used, rested or decomposed.
    """
    if job.broken:
        raise InvalidMesh(job.broken)
    at("load")
    gripper = load_gripper(job.config.gripper)
    mesh = load_object(job.directory, job.item.file, job.item.name)
    poses = resting_poses(mesh)
    at("decompose")
    pieces = convex_pieces(mesh, cache=Path(job.cache))
    world, draw = World(mesh, pieces, gripper), int(job.item.sha256[:8], 16)
    rows = []
    for k in range(job.n_scenes):
        at("simulate")
        if job.config.near_misses:
            mass = np.random.default_rng([job.config.seed, k, draw]).uniform(*np.log(MASS_LIMITS))
            mesh = weighing(mesh, np.exp(mass))
            world = World(mesh, pieces, gripper)
        trial = settled(draw_trial(mesh, poses, job.config.seed, k, CAMERA), world, TrialConfig())
        if trial is not None:
            item = {"object": job.item.name, "file": job.item.file, "source": job.item.source}
            rows += [
                item | row for row in _scene_rows(trial, world, gripper, job.config.near_misses)
            ]
    return rows


def _scene_rows(
    trial: TrialScene, world: World, gripper: GripperModel, near_misses: bool
) -> Iterator[dict[str, Any]]:
    """Draw, judge and execute grasps in one settled pose."""
    scene, rng = trial.scene, trial.rng("oracle")
    candidates = candidates_from_above(scene.mesh, scene.T_world_obj, gripper, rng)
    moved = np.zeros(len(candidates), bool)
    if near_misses:
        moved = np.arange(len(candidates)) % 2 == 1
        near = nudged(candidates, 1, NEAR_MISS_SHIFT, NEAR_MISS_TURN, gripper, rng)
        poses = np.where(moved[:, None, None], near.pose, candidates.pose)
        candidates = Grasp(poses, candidates.width)
    free = approach_is_free(scene.mesh, scene.T_world_obj, candidates, gripper, EXECUTED_APPROACH)
    chosen = rng.permutation(np.flatnonzero(free))[:GRASPS_PER_SCENE]
    grasps = candidates[chosen]
    epsilon = label_epsilon(scene.mesh, scene.T_world_obj, grasps, gripper, rng)
    chances = success_chances(
        scene.mesh, scene.T_world_obj, grasps, gripper, epsilon, rng, metric=fast_ferrari_canny
    )
    config = TrialConfig(settle_window=0.1)  # it rests already
    for i in range(len(grasps)):
        seed = trial.execution_seed + i
        try:
            outcome = execute(
                world, scene.T_world_obj, grasps[i], scene.friction, seed, config
            ).outcome.name
        except SimulationDiverged:
            outcome = "UNSTABLE"
        yield {
            "k": trial.k,
            "friction": scene.friction,
            "mass": float(np.clip(scene.mesh.mass, *MASS_LIMITS)),
            "execution_seed": seed,
            "T_world_obj": scene.T_world_obj.ravel().tolist(),
            "T_world_grasp": grasps.pose[i].ravel().tolist(),
            "moved": bool(moved[chosen[i]]),
            "robust_epsilon": float(epsilon[i]),
            "free_share": float(chances.free[i]),
            "hold_probability": float(chances.hold[i]),
            "outcome": outcome,
            "success": outcome == "SUCCESS",
        }


def weighing(mesh: TriMesh, mass: float) -> TriMesh:
    """The same shape of another mass, kg."""
    return TriMesh(mesh.vertices, mesh.faces, mesh.name, mass / mesh.volume)


def serve(pipe: Connection) -> None:
    """Be a worker: one object after another."""
    inbox = listen(pipe)
    inbox.get()  # the greeting
    work_off(pipe, inbox, _write_part)


def _limit(job: _Job, place: str) -> float:
    return SILENCE[place]


def _blamed(job: _Job, place: str, reason: str) -> _Job:
    return replace(job, broken=f"{place}: {reason}")


def _write_part(job: _Job, at: At) -> None:
    rows, refused = [], ""
    try:
        rows = object_rows(job, at)
    except UNDIGESTED as error:
        refused = str(error)
    write_json({"object": job.item.name, "rows": rows, "refused": refused}, Path(job.part))


def _chosen(items: Sequence[BenchObject], config: AgreementConfig) -> list[BenchObject]:
    order = np.random.default_rng([config.seed, 0]).permutation(len(items))
    return [items[i] for i in order[: config.max_objects]]


def _part(output: Path, item: BenchObject) -> Path:
    return output / "parts" / f"{item.name.replace('/', '-')}-{item.sha256[:8]}.json"


class _Made(NamedTuple):
    """What the grasps led to."""

    success: Bool[np.ndarray, "N"]
    outcome: Shaped[np.ndarray, "N"]
    object: Shaped[np.ndarray, "N"]


def _foretold(
    value: Float[np.ndarray, "N"], made: _Made, threshold: float, edges: Sequence[float]
) -> dict[str, Any]:
    """What a value over its threshold, and its order, say of success; and the rows in bins of it."""
    predicted = value > threshold
    right = predicted == made.success
    auc = area_under_roc(value, made.success)
    interval = auc_interval(value, made.success, made.object)
    return {
        "agreement": float(right.mean()) if len(value) else None,
        "agreement_interval": list(share_interval(right, made.object)) if len(value) else None,
        "auc": None if np.isnan(auc) else auc,
        "auc_interval": list(interval) if np.isfinite(interval).all() else None,
        "above": _share(made, predicted),
        "below": _share(made, ~predicted),
        "bins": [
            {"range": [lo, hi if np.isfinite(hi) else None], **_share(made, inside)}
            for lo, hi, inside in _bins(value, edges)
        ],
    }


def _bins(value: np.ndarray, edges: Sequence[float]) -> Iterator[tuple[float, float, np.ndarray]]:
    yield edges[0], edges[0], value == edges[0]
    for lo, hi in itertools.pairwise(edges):
        yield lo, hi, (value > lo) & (value <= hi)


def _share(made: _Made, inside: Bool[np.ndarray, "N"]) -> dict[str, Any]:
    """Success of some of the grasps, of which each object has several."""
    success, outcome, group = (entry[inside] for entry in made)
    return {
        "n": len(success),
        "success_rate": float(success.mean()) if len(success) else None,
        "success_interval": list(share_interval(success, group)) if len(success) else None,
        "outcomes": dict(sorted(Counter(outcome.tolist()).items())),
    }
