"""Simulated trials per second with a planner that costs nothing, on one process and on two, and where the time goes.

The planner plays back the oracle's grasps, so that most trials run to their end: settle, photograph, judge, approach,
close, lift, carry, shake. Convex pieces and verdicts of an earlier run are in the cache, as when a second planner is
run; what they cost the first time is measured apart.

    python benchmarks/trials.py [N_OBJECTS]    (default 24, three trials each; a few minutes)
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from antipodal.bench import trials
from antipodal.bench.config import BenchConfig
from antipodal.bench.objects import list_objects
from antipodal.bench.planner import FunctionPlanner, Observation, Planner, Ranked, no_grasp
from antipodal.bench.planners_known import oracle_planner
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.objects import make_object_set

CONFIG = BenchConfig(n_trials=3)
WORKERS = 2
STAGES = {
    "load": ("load_object", "resting_poses", "convex_pieces", "World", "hardness"),
    "settle": ("settled",),
    "photograph": ("photograph",),
    "verdict": ("judge",),
    "label of the grasp": ("_epsilon",),
    "execute": ("execute",),
}
"""What is timed: functions as ``bench.trials`` calls them."""
GRIPPER = load_gripper("yumi")

Rows = list[dict[str, Any]]
Known = dict[bytes, tuple[np.ndarray, float] | None]
"""Settled pose → the grasp to play back."""


def main() -> None:
    """Print the cost of the first run, the time of each stage, and the rates."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        objects = Path(folder) / "objects"
        make_object_set(objects, n, 0)
        with crew(WORKERS, {}) as pool:
            start = time.perf_counter()
            parts = pool.starmap(first_run, jobs(objects), chunksize=1)
            seconds = time.perf_counter() - start
        first = list(itertools.chain(*parts))
        print(f"first run, decomposed and judged: {seconds:.0f} s for {len(first)} trials")
        known = {key: grasp for row in first for key, grasp in played_back(row)}
        stages(objects, known)
        for workers in (1, WORKERS):
            rates(objects, known, workers)


def jobs(objects: Path) -> list[tuple[Path, int]]:
    """One per object."""
    return [(objects, i) for i in range(len(list_objects(objects)))]


def first_run(objects: Path, i: int) -> Rows:
    """Let the oracle plan; leaves pieces and verdicts in the cache."""
    return run(objects, i, oracle_planner(GRIPPER))


def later_run(objects: Path, i: int) -> Rows:
    """Play the oracle's grasps back."""
    return run(objects, i, FunctionPlanner(play_back, "pose"))


def run(objects: Path, i: int, planner: Planner) -> Rows:
    """All trials of one object."""
    cache = objects.parent
    job = trials.ObjectJob(i, list_objects(objects)[i], objects, CONFIG, cache, cache)
    return trials.run_object(job, GRIPPER, {"planner": planner}, lambda *at: None)


KNOWN: Known = {}
"""Set once in each process."""


def play_back(observation: Observation, rng: np.random.Generator) -> Ranked:
    """Answer what the oracle answered."""
    assert observation.T_world_obj is not None
    found = KNOWN.get(observation.T_world_obj.tobytes())
    if found is None:
        return no_grasp("nor had the oracle one")
    return Ranked(Grasp(found[0][None], np.array([found[1]])), np.ones(1))


def played_back(row: dict[str, Any]) -> Iterator[tuple[bytes, tuple[np.ndarray, float] | None]]:
    """The key of a row and its grasp; nothing for a row without a scene."""
    if row.get("T_world_obj") and row.get("T_world_grasp"):
        pose = np.reshape(row["T_world_grasp"], (4, 4))
        yield np.array(row["T_world_obj"]).tobytes(), (pose, row["grasp_width"])


def rates(objects: Path, known: Known, workers: int) -> None:
    """Run everything once more and print trials per second, the start of the processes left out."""
    with crew(workers, known) as pool:
        pool.starmap(later_run, jobs(objects)[:workers], chunksize=1)  # loads and compiles
        start = time.perf_counter()
        parts = pool.starmap(later_run, jobs(objects), chunksize=1)
        seconds = time.perf_counter() - start
    rows = list(itertools.chain(*parts))
    outcomes = ", ".join(f"{o} {n}" for o, n in Counter(r["outcome"] for r in rows).most_common())
    print(f"{workers} process(es): {len(rows) / seconds:.1f} trials/s ({outcomes})")


def stages(objects: Path, known: Known) -> None:
    """Print the CPU time of each stage per trial, in this process."""
    set_known(known)
    later_run(objects, 0)
    spent: defaultdict[str, float] = defaultdict(float)
    with timed(spent):
        start = time.process_time()
        rows = [row for _, i in jobs(objects) for row in later_run(objects, i)]
        total = time.process_time() - start
    spent["everything else"] = total - sum(spent.values())
    print(f"one process: {1e3 * total / len(rows):.0f} ms of CPU per trial, of which")
    for stage, seconds in spent.items():
        print(f"  {stage:20s} {1e3 * seconds / len(rows):6.1f} ms")


@contextmanager
def timed(spent: defaultdict[str, float]) -> Iterator[None]:
    """Put a clock around what ``bench.trials`` calls."""
    kept = {name: getattr(trials, name) for names in STAGES.values() for name in names}

    def clocked(stage: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **options)
            finally:
                spent[stage] += time.process_time() - start

        return call

    for stage, names in STAGES.items():
        for name in names:
            setattr(trials, name, clocked(stage, kept[name]))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(trials, name, function)


@contextmanager
def crew(workers: int, known: Known) -> Iterator[Any]:
    """Processes of one thread each that know the grasps to play back."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(workers, set_known, (known,)) as pool:
        yield pool


def set_known(known: Known) -> None:
    """Give this process the grasps to play back."""
    KNOWN.update(known)
    cv2.setNumThreads(1)


if __name__ == "__main__":
    main()
