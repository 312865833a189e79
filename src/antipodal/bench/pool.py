"""Worker processes that outlive what they run: one that dies or hangs is replaced, and what it was doing is blamed.

A planner or a convex decomposition is native code that may crash or never return. Each worker says over its pipe what
it is about to do; if it then ends or is silent for too long, the parent kills it, notes the reason for that very plan
(or object), and runs the object again without it. Finished parts are files: a run killed at any moment resumes.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

from ..errors import AntipodalError
from ..gripper import GripperModel
from .trials import At, ObjectJob

SILENCE: Mapping[str, float] = {
    "start": 300.0,
    "load": 300.0,
    "decompose": 1200.0,
    "simulate": 300.0,
}
"""What a worker may take for one step before it is taken for dead, s. Plans have their own limit."""
PLAN_GRACE = 10.0
"""A plan that ignores its alarm is killed so much after its limit, s."""
MAX_DEATHS = 2
"""Where a worker died, another tries once more: the system, not the planner, may have ended it."""
POLL = 0.5
"""s between two looks at the clock."""

# The search path comes first: the jobs' classes and an outsider's module must be found. One thread each: the cores are
# shared out among the workers.
_CHILD = """
import os, sys
sys.path[:] = {path!r}
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
from multiprocessing.connection import Connection
from antipodal.bench.pool import serve
serve(Connection({fd}))
"""

Work = Callable[[ObjectJob, GripperModel, Mapping[str, Any], At], Path]
"""Runs a job and writes its part; must be importable by name in a new process."""


@dataclass(frozen=True)
class Crew:
    """What every worker gets when it starts."""

    work: Work
    specs: tuple[str, ...]
    """Names of the planners, built in the worker."""
    gripper: GripperModel


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: connection.Connection
    job: ObjectJob | None = None
    doing: tuple[str, str, int] = ("start", "", -1)
    since: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


def run_pool(crew: Crew, jobs: Sequence[ObjectJob], n_workers: int) -> Iterator[ObjectJob]:
    """Run jobs on ``n_workers`` processes; yield each as it finishes, in any order."""
    waiting = list(reversed(jobs))
    deaths: Counter[tuple[int, tuple[str, str, int]]] = Counter()
    workers = [_hire(crew) for _ in range(min(n_workers, len(jobs)))]
    try:
        for worker in workers:
            _assign(worker, waiting)
        while any(w.job is not None for w in workers):
            ready = connection.wait([w.pipe for w in workers if w.job is not None], POLL)
            for i, worker in enumerate(workers):
                if worker.job is None:
                    continue
                finished, lost = _listen(worker) if worker.pipe in ready else (None, None)
                late = _overdue(worker) if lost is None else None
                if lost is not None or late is not None:
                    place = (worker.job.index, worker.doing)
                    deaths[place] += 1
                    again = late is None and deaths[place] < MAX_DEATHS
                    blamed = worker.job if again else _blamed(worker, lost or late or "")
                    waiting.append(blamed)
                    worker.end()
                    workers[i] = worker = _hire(crew)
                elif finished is not None:
                    worker.job = None
                    yield finished
                if worker.job is None:
                    _assign(worker, waiting)
    finally:
        for worker in workers:
            worker.end()


def _hire(crew: Crew) -> _Worker:
    """Start a plain interpreter, so that nothing of the caller's script runs twice."""
    ours, theirs = connection.Pipe()
    code = _CHILD.format(path=sys.path, fd=theirs.fileno())
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=2,
    )
    theirs.close()
    with suppress(OSError):
        ours.send(crew)
    return _Worker(process, ours)


def _assign(worker: _Worker, waiting: list[ObjectJob]) -> None:
    if waiting:
        worker.job = waiting.pop()
        if worker.doing[0] != "start":
            worker.doing = ("load", "", -1)
        worker.since = time.monotonic()
        with suppress(OSError):  # it has died: its silence says so
            worker.pipe.send(worker.job)


def _listen(worker: _Worker) -> tuple[ObjectJob | None, str | None]:
    """Read one message: (the finished job, why the worker is lost), either or both None."""
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, OSError):
        code = worker.process.wait()
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return None, f"died ({ended})"
    worker.since = time.monotonic()
    if kind == "at":
        worker.doing = value
        return None, None
    if kind == "refused":
        raise AntipodalError(value)
    if kind == "bug":
        raise RuntimeError(f"a worker failed on {worker.job and worker.job.item.name}:\n{value}")
    return worker.job, None  # done


def _overdue(worker: _Worker) -> str | None:
    assert worker.job is not None
    what = worker.doing[0]
    limit = worker.job.config.time_limit + PLAN_GRACE if what == "plan" else SILENCE[what]
    if time.monotonic() - worker.since <= limit:
        return None
    return f"did not answer for {limit:g} s and was killed"


def _blamed(worker: _Worker, reason: str) -> ObjectJob:
    """The job to run again, without what ended the worker."""
    assert worker.job is not None
    what, planner, k = worker.doing
    if what == "start":
        raise AntipodalError(
            f"a worker {reason} before its first object: its message stands above; the same command resumes"
        )
    if planner:  # its plan, or what became of it in the simulation
        return replace(worker.job, failures={**worker.job.failures, (planner, k): reason})
    return replace(worker.job, broken=f"{worker.job.item.name}: {what}: {reason}")


def serve(pipe: connection.Connection) -> None:
    """Be a worker: run jobs until the parent hangs up."""
    import cv2

    from .rows import make_planner

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    cv2.setNumThreads(1)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    crew: Crew = inbox.get()
    planners = {spec: make_planner(spec, crew.gripper) for spec in crew.specs}
    pipe.send(("at", ("load", "", -1)))

    def at(what: str, planner: str, k: int) -> None:
        pipe.send(("at", (what, planner, k)))

    while True:
        job = inbox.get()
        try:
            crew.work(job, crew.gripper, planners, at)
        except AntipodalError as error:  # the user can mend it
            pipe.send(("refused", str(error)))
            return
        except Exception:  # ours, not a planner's: shown by the parent, which ends the run
            pipe.send(("bug", traceback.format_exc()))
            return
        pipe.send(("done", None))


def _receive(pipe: connection.Connection, inbox: queue.SimpleQueue[Any]) -> None:
    """Hand messages on; end the process when the parent is gone, also in the middle of a job."""
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)
