"""Objects run in watched processes: the very plan, or object, at which one dies or hangs is left out, with the reason.

A planner or a convex decomposition is native code that may crash or never return. Finished parts are files: a run
killed at any moment resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from ..gripper import GripperModel
from ..watched import START_TIME, Task, listen, run_watched, work_off
from .trials import At, ObjectJob

SILENCE: Mapping[str, float] = {"load": START_TIME, "decompose": 1200.0, "simulate": 300.0}
"""What a worker may take for one step before it is taken for dead, s. Plans have their own limit."""
PLAN_GRACE = 10.0
"""A plan that ignores its alarm is killed so much after its limit, s."""

Work = Callable[[ObjectJob, GripperModel, Mapping[str, Any], At], Path]
"""Runs a job and writes its part; must be importable by name in a new process."""
Place = tuple[str, str, int]
"""(what, planner, k)."""
Progress = Callable[[int, int], None]
"""(jobs done, jobs in all)."""
Job = TypeVar("Job")


@dataclass(frozen=True)
class Crew:
    """What every worker gets when it starts."""

    work: Work
    planners: Mapping[str, str]
    """Name in the results → spec, built in the worker."""
    gripper: GripperModel


def crew_task(crew: Crew) -> Task[ObjectJob, Path]:
    """What a crew does with an object."""
    return Task("antipodal.bench.pool:serve", _limit, _blamed, crew)


def run_missing(
    task: Task[Job, Any],
    jobs: Sequence[Job],
    parts: Sequence[Path],
    n_workers: int,
    progress: Progress = lambda done, total: None,
    look: Callable[[Any], None] = lambda result: None,
) -> None:
    """Run the jobs whose part, the file that they end in, is not there yet, on ``n_workers`` processes.

    ``progress`` is told at first how many were there; ``look`` gets the result of each that was not.
    """
    missing = [job for job, part in zip(jobs, parts, strict=True) if not part.is_file()]
    n_found = len(jobs) - len(missing)
    progress(n_found, len(jobs))
    for done, result in enumerate(run_watched(task, missing, n_workers), n_found + 1):
        look(result)
        progress(done, len(jobs))


def serve(pipe: Connection) -> None:
    """Be a worker: run jobs until the caller hangs up."""
    import cv2

    from .rows import make_planner

    cv2.setNumThreads(1)
    inbox = listen(pipe)
    crew: Crew = inbox.get()
    planners = {name: make_planner(spec, crew.gripper) for name, spec in crew.planners.items()}

    def work(job: ObjectJob, at: Callable[[Place], None]) -> Path:
        return crew.work(job, crew.gripper, planners, lambda *place: at(place))

    work_off(pipe, inbox, work)


def _limit(job: ObjectJob, place: Place) -> float:
    return job.config.time_limit + PLAN_GRACE if place[0] == "plan" else SILENCE[place[0]]


def _blamed(job: ObjectJob, place: Place, reason: str) -> ObjectJob:
    """The job to run again, without what ended the worker."""
    what, planner, k = place
    if planner:  # its plan, or what became of it in the simulation
        return replace(job, failures={**job.failures, (planner, k): reason})
    return replace(job, broken=f"{job.item.name}: {what}: {reason}")
