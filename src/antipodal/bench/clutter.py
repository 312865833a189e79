"""Track B: clear a pile. Objects dropped into a square, one grasp at a time, until it is empty or two fail in a row.

The protocol follows VGN's "pile" scenes [Breyer20], value for value where it can: 5 objects, a square of 30 cm, two
failures in a row end a round. Camera, noise, friction and execution error are Track A's. A round is a function of
(seed, round): every planner meets the same pile, and goes its own way from the first grasp on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import __version__
from ..dataset.store import write_table
from ..errors import InvalidConfig, SimulationDiverged
from ..files import claim, write_json
from ..gripper import GripperModel, load_gripper
from ..mesh import TriMesh, joined
from ..render.depth import render
from ..render.noise import observe
from ..render.scene import CameraDistribution, Scene, sample_cameras, sample_friction
from ..sampling import sample_antipodal
from ..scores import expected_calibration_error
from ..sim.clutter import Pile, Poses, centers_of_mass, drop, pick
from ..sim.decompose import Pieces, convex_pieces
from ..sim.trial import Outcome
from .attempt import Attempt, attempt
from .config import BenchConfig
from .objects import BenchObject, list_objects, load_object
from .planner import Observation, Planner
from .pool import Crew, Progress, crew_task, run_missing
from .rows import RANKS_ONLY, make_planner, planner_names
from .runner import merge_parts, planner_hash, read_rows
from .scenes import FRICTION
from .scores import CONFIDENT, N_BINS, share_interval
from .trials import UNDIGESTED, At, ObjectJob

N_OBJECTS = 5
"""Objects dropped in a round."""
SIDE = 0.30
"""Of the square, m."""
MARGIN = 0.05
"""What is pushed further than this out of the square is lost to the round, m."""
MAX_FAILURES = 2
"""In a row; they end the round."""
MAX_PLANS = 15
"""In a round; a planner that takes one object per three plans gets all five."""

PICKS = pa.schema(
    [
        ("planner", pa.string()),
        ("round", pa.int32()),
        ("plan", pa.int32()),
        ("n_before", pa.int32()),
        ("n_taken", pa.int32()),
        ("taken", pa.list_(pa.string())),
        ("T_world_grasp", pa.list_(pa.float64())),
        ("grasp_width", pa.float64()),
        ("quality", pa.float64()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("friction", pa.float64()),
        ("plan_time", pa.float64()),
    ]
)
"""A row of picks.parquet: one plan of one planner in one round."""


@dataclass(frozen=True)
class ClutterRun:
    """What to run, and where. ``config.n_trials`` is not used; its first execution error is."""

    planners: tuple[str, ...]
    objects: Path
    output: Path
    n_rounds: int = 100
    gripper: str = "yumi"
    config: BenchConfig = dataclasses.field(default_factory=BenchConfig)
    workers: int = 2
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.n_rounds < 1 or self.workers < 1:
            raise InvalidConfig(
                f"n_rounds {self.n_rounds}, workers {self.workers}: expected at least 1 each"
            )
        planner_names(self.planners)  # none, or one twice

    @property
    def names(self) -> dict[str, str]:
        """Name in the results → spec."""
        return planner_names(self.planners)


@dataclass(frozen=True, eq=False)
class Heap:
    """The objects of a round and where they lie."""

    meshes: tuple[TriMesh, ...]
    pieces: tuple[Pieces, ...]
    T_world_obj: Poses

    def keep(self, chosen: np.ndarray, T_world_obj: Poses) -> Heap:
        """Those where ``chosen`` holds, at new poses."""
        index = np.flatnonzero(chosen)
        return Heap(
            tuple(self.meshes[i] for i in index),
            tuple(self.pieces[i] for i in index),
            T_world_obj[index],
        )


def run_clutter(run: ClutterRun, progress: Progress = lambda done, total: None) -> dict[str, Any]:
    """Run, or resume, Track B; writes picks.parquet and report.json, and returns the report.

    Raises:
        UnknownAsset: objects, gripper or a planner that does not exist.
        InvalidConfig: a planner that knows the mesh, a folder of another configuration, or no pile to be used.
    """
    gripper = load_gripper(run.gripper)
    for spec in run.planners:
        if make_planner(spec, gripper).knows != "image":
            raise InvalidConfig(
                f"planner '{spec}' knows the object: expected planners that see the image alone, in clutter"
            )
    items = list_objects(run.objects)
    config = {
        "config": dataclasses.asdict(run.config),
        "n_rounds": run.n_rounds,
        "planners": [[name, planner_hash(spec)] for name, spec in run.names.items()],
        "gripper": gripper.to_json(),
        "objects": [[item.name, item.sha256] for item in items],
        "version": __version__,
    }
    where = {"objects_directory": str(run.objects.resolve())}
    claim(run.output / "config.json", config, "benchmark", where)
    cache = run.cache or run.output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [
        ObjectJob(r, BenchObject(f"round {r}", "", "", ""), run.objects, run.config, cache, run.output / "parts")
        for r in range(run.n_rounds)
    ]  # fmt: skip
    parts = [_part(job) for job in jobs]
    task = crew_task(Crew(_make_part, run.names, gripper))
    run_missing(task, jobs, parts, run.workers, progress)
    merge_parts(parts, PICKS, run.output / "picks.parquet")
    return clutter_report(run)


def clutter_report(run: ClutterRun) -> dict[str, Any]:
    """Grasp success, precision and ECE of q, declutter rate and picks per plan of each planner; writes report.json."""
    rows = read_rows(run.output / "picks.parquet")
    report: dict[str, Any] = {
        "planners": {
            name: clutter_numbers([r for r in rows if r["planner"] == name], run.config.seed)
            for name in run.names
        },
        "n_rounds": run.n_rounds,
        "n_objects_per_round": N_OBJECTS,
        "camera": run.config.camera_name,
        "gripper": run.gripper,
        "execution_error": run.config.execution_errors[0],
        "seed": run.config.seed,
        "version": __version__,
    }
    if not any(p["n_rounds"] for p in report["planners"].values()):
        raise InvalidConfig(f"none of {run.n_rounds} piles can be used: {rows[0]['reason']}")
    write_json(report, run.output / "report.json")
    return report


def clutter_numbers(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Rates of one planner's rows of picks.parquet, with intervals.

    Rounds, not grasps, are the independent unit of the declutter rate's interval.
    """
    drawn = {r["round"] for r in rows}
    rows = [r for r in rows if is_plan(r)]
    rounds = sorted({r["round"] for r in rows})
    unusable = len(drawn) - len(rounds)
    executed = [r for r in rows if r["outcome"] != Outcome.NO_GRASP.name]
    success = np.array([r["outcome"] == Outcome.SUCCESS.name for r in executed], bool)
    pile = np.array([r["round"] for r in executed])
    taken = np.array([sum(r["n_taken"] for r in rows if r["round"] == k) for k in rounds])
    first = np.array([max(r["n_before"] for r in rows if r["round"] == k) for k in rounds])
    if not len(rounds):
        return {
            "n_rounds": 0,
            "n_rounds_unusable": unusable,
            "n_plans": 0,
            "n_grasps": 0,
            "grasp_success_rate": None,
            "declutter_rate": None,
        }
    resampled = np.random.default_rng(seed).integers(0, len(rounds), (2000, len(rounds)))
    low, high = np.quantile(taken[resampled].sum(-1) / first[resampled].sum(-1), [0.025, 0.975])
    times = [r["plan_time"] for r in rows if np.isfinite(r["plan_time"] or np.nan)]
    told = np.array([r["quality"] is not None for r in executed], bool)
    quality, held = np.array([r["quality"] for r in executed], float)[told], success[told]
    sure, judged = quality > CONFIDENT, told.any() and rows[0]["planner"] not in RANKS_ONLY
    return {
        "n_rounds": len(rounds),
        "n_rounds_unusable": unusable,
        "n_plans": len(rows),
        "n_grasps": len(executed),
        "grasp_success_rate": float(success.mean()) if executed else None,
        "grasp_success_interval": list(share_interval(success, pile)) if executed else None,
        "n_confident": int(sure.sum()),
        "precision": float(held[sure].mean()) if sure.any() else None,
        "ece": expected_calibration_error(quality, held, N_BINS) if judged else None,
        "declutter_rate": float(taken.sum() / first.sum()),
        "declutter_interval": [float(low), float(high)],
        "picks_per_plan": float(taken.sum() / len(rows)),
        "plan_time_median": float(np.median(times)) if times else None,
        "outcomes": {o.name: sum(r["outcome"] == o.name for r in rows) for o in Outcome},
    }


def is_plan(row: dict[str, Any]) -> bool:
    """Whether the planner was asked at all: not without a pile, nor without a view of it."""
    unasked = row["outcome"] == Outcome.UNSTABLE.name and row["T_world_grasp"] is None
    return row["n_before"] > 0 and not unasked


def _make_part(
    job: ObjectJob, gripper: GripperModel, planners: Mapping[str, Planner], at: At
) -> Path:
    rows: list[dict[str, Any]] = []
    at("load", "", -1)
    reason = job.broken
    if not reason:
        try:
            heap, friction = make_heap(job, gripper, at)
        except InvalidConfig:
            raise  # no object fits: the user can mend it
        except UNDIGESTED as error:
            reason = str(error)
        else:
            reason = "" if heap.meshes else "nothing came to rest inside the square"
            for name, planner in planners.items():
                rows += _clear(job, gripper, name, planner, heap, friction, at)
    if reason:  # nobody could plan: a row that says so, and counts for nobody
        ended = {"round": job.index, "plan": 0, "n_before": 0, "n_taken": 0, "taken": []}
        ended |= {"outcome": Outcome.UNSTABLE.name, "reason": reason}
        rows = [{"planner": name, **ended} for name in planners]
    write_table(pa.Table.from_pylist(rows, PICKS), _part(job))
    return _part(job)


def make_heap(job: ObjectJob, gripper: GripperModel, at: At) -> tuple[Heap, float]:
    """Draw and drop the objects of a round: usable ones of which some antipodal pair fits the jaws."""
    rng = np.random.default_rng([job.config.seed, job.index, 0])
    items = list_objects(job.directory)
    meshes, pieces, unusable = [], [], ""
    for i in rng.permutation(len(items)):
        try:
            mesh = load_object(job.directory, items[i].file, items[i].name)
            if not fits(mesh, gripper):
                continue
            at("decompose", "", -1)
            pieces.append(convex_pieces(mesh, cache=job.cache))
            meshes.append(mesh)
        except UNDIGESTED as error:
            unusable = f"; {items[i].name} cannot be used: {error}"
            continue
        if len(meshes) == N_OBJECTS:
            break
    if not meshes:
        raise InvalidConfig(
            f"{job.directory}: no object fits between the jaws of {gripper.name}{unusable}"
        )
    friction = float(sample_friction(1, rng, FRICTION)[0])
    at("simulate", "", -1)
    poses, inside = drop(meshes, pieces, gripper, SIDE, friction, rng, job.config.trial)
    return Heap(tuple(meshes), tuple(pieces), poses).keep(inside, poses), friction


def fits(mesh: TriMesh, gripper: GripperModel) -> bool:
    """Whether the object has antipodal grasps that fit between the jaws."""
    return len(sample_antipodal(mesh, gripper, 20, np.random.default_rng(0))) > 0


def _clear(
    job: ObjectJob,
    gripper: GripperModel,
    name: str,
    planner: Planner,
    heap: Heap,
    friction: float,
    at: At,
) -> list[dict[str, Any]]:
    """One planner's round."""
    rows: list[dict[str, Any]] = []
    failures = 0
    while heap.meshes and failures < MAX_FAILURES and len(rows) < MAX_PLANS:
        common = {
            "planner": name,
            "round": job.index,
            "plan": len(rows),
            "n_before": len(heap.meshes),
            "friction": friction,
        }
        entropy = [job.config.seed, job.index, 1 + len(rows)]
        known = job.failures.get((name, len(rows)))
        if known is None:
            try:
                observation = look_at_heap(heap, gripper, job.config.cameras, entropy)
            except (
                UNDIGESTED
            ) as error:  # nothing to plan on: the round ends, and not by the planner's failure
                ended = {"outcome": Outcome.UNSTABLE.name, "reason": str(error)}
                rows.append(common | ended | {"n_taken": 0, "taken": []})
                break
            at("plan", name, len(rows))
            rng = np.random.default_rng([*entropy, 3])
            tried = attempt(planner, observation, rng, job.config.time_limit)
            at("simulate", name, len(rows))
        else:
            tried = Attempt(None, None, float("nan"), known)
        done, heap = _execute(job, gripper, tried, heap, friction, entropy)
        rows.append(common | done)
        failures = 0 if done["n_taken"] else failures + 1
    return rows


def _execute(
    job: ObjectJob,
    gripper: GripperModel,
    tried: Attempt,
    heap: Heap,
    friction: float,
    entropy: Sequence[int],
) -> tuple[dict[str, Any], Heap]:
    """Execute one plan: the columns that it fills, and the heap that it leaves."""
    row = {"n_taken": 0, "taken": [], "quality": tried.quality, "plan_time": tried.plan_time}
    grasp = tried.grasp_world
    if grasp is None:
        return row | {"outcome": Outcome.NO_GRASP.name, "reason": tried.reason}, heap
    row |= {"T_world_grasp": grasp.pose.ravel().tolist(), "grasp_width": float(grasp.width)}
    config = replace(
        job.config.trial_config(job.config.execution_errors[0]),
        settle_window=job.config.trial.settle_window,  # a pick leaves the pile in motion
    )
    seed = int(np.random.default_rng([*entropy, 4]).integers(2**31))
    pile = Pile(heap.meshes, heap.pieces, gripper)
    try:
        done = pick(pile, heap.T_world_obj, grasp, friction, seed, config)
    except SimulationDiverged as error:
        return row | {"outcome": Outcome.UNSTABLE.name, "reason": str(error)}, heap
    except UNDIGESTED as error:  # wider than the hand opens
        return row | {"outcome": Outcome.NO_GRASP.name, "reason": str(error)}, heap
    names = [heap.meshes[i].name for i in np.flatnonzero(done.taken)]
    centers = centers_of_mass(heap.meshes, done.T_world_obj)
    near = np.abs(centers[:, :2]).max(-1) <= SIDE / 2 + MARGIN
    left = heap.keep(~done.taken & near, done.T_world_obj)
    return row | {"outcome": done.outcome.name, "n_taken": len(names), "taken": names}, left


def look_at_heap(
    heap: Heap, gripper: GripperModel, camera: CameraDistribution, entropy: Sequence[int]
) -> Observation:
    """Photograph a heap from a new viewpoint; the mask shows all objects."""
    rng = np.random.default_rng([*entropy, 1])
    cameras = sample_cameras(1, rng, camera)
    scene = Scene(together(heap), np.eye(4), cameras.T_world_camera[0], cameras.intrinsics[0])
    image, mask = render(scene)
    return Observation(observe(image, np.random.default_rng([*entropy, 2])), mask, gripper)


def together(heap: Heap) -> TriMesh:
    """The heap as one mesh in the world frame."""
    meshes = [m.transformed(T) for m, T in zip(heap.meshes, heap.T_world_obj, strict=True)]
    return joined(meshes, "heap")


def _part(job: ObjectJob) -> Path:
    return job.parts / f"round-{job.index:05d}.parquet"
