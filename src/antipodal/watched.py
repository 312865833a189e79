"""Processes that may crash or hang, watched: what one was doing when it ended is blamed, and the rest goes on.

Meshes, planners and decoders are native code that may crash or never return. So the work is done in child processes: a
child says over its pipe where it is; if it then ends, or is silent for too long, it is replaced, and the job runs again
without what is to blame. A child that the caller, dying, leaves behind ends at once.

    Watched.run(job) ── job ──▶ work_off(…)
                     ◀── at ──      │
                     ◀─ done ──   result
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from typing import Any, Generic, TypeVar

from .errors import AntipodalError

MAX_DEATHS = 2
"""Where a child died, another tries once more: the system, not the work, may have ended it."""
MAX_TIME = 1e6
"""Longest silence that may be allowed, s: the system's timers know no infinity."""
START_TIME = 300.0
"""A child that has not begun by then is given up, s; compiling for the first time takes some."""

# The search path comes first: the jobs' classes must be found. One thread: the cores are shared out among processes,
# and a sum's rounding must not depend on their number.
_CHILD = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides what an interrupt means
sys.path[:] = {path!r}
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
from multiprocessing.connection import Connection
from {module} import {function}
{function}(Connection({fd}))
"""

Job = TypeVar("Job")
Result = TypeVar("Result")
At = Callable[[Any], None]
"""Called by the work with where it is, before anything that it may not come back from."""


class Lost(Exception):
    """A child is of no more use."""

    def __init__(self, place: Hashable, limit: float, is_late: bool, code: int | None) -> None:
        super().__init__()
        self.place = place
        """Where it was; None before it said so."""
        self.is_late = is_late
        """Whether it was ended for its silence."""
        self.reason = f"took longer than {limit:g} s" if is_late else _said(code)


@dataclass(eq=False)
class Child:
    """A plain interpreter at the other end of a pipe, so that nothing of the caller's script runs twice."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    is_late: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; it may yet hang."""
        return self.process.poll() is None

    def ask(self, message: object, limit: float) -> Any:
        """Send a message and wait for the answer; the clock runs from the start: who hangs does not read either.

        Raises:
            Lost: no answer; the child has ended.
        """
        with self._clock(limit, None):
            self.pipe.send(message)
            return self.pipe.recv()

    def hear(self, limit: float, place: Hashable = None) -> Any:
        """Wait for a message.

        Raises:
            Lost: there is none; the child has ended.
        """
        with self._clock(limit, place):
            return self.pipe.recv()

    def kill(self) -> None:
        """End the process, whatever it does; who waits for its message gets :class:`Lost`."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End the process and close the pipe, which nobody may be waiting at."""
        self.kill()
        self.pipe.close()

    @contextmanager
    def _clock(self, limit: float, place: Hashable) -> Iterator[None]:
        timer = threading.Timer(limit, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.kill()
            raise Lost(place, limit, self.is_late, self.process.returncode) from error
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self.is_late = True
        self.process.kill()  # and the pipe breaks


def start_child(
    entry: str, stdout: int = 2, stderr: int | None = None, start_new_session: bool = False
) -> Child:
    """Start a process that calls a function with its end of the pipe.

    Args:
        entry: "package.module:function".
        stdout: as for ``Popen``; what libraries print goes to stderr.
        stderr: as for ``Popen``.
        start_new_session: whether a Ctrl-C in the terminal is for the caller alone.
    """
    ours, theirs = Pipe()
    module, _, function = entry.partition(":")
    code = _CHILD.format(path=sys.path, module=module, function=function, fd=theirs.fileno())
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=start_new_session,
    )
    theirs.close()
    return Child(process, ours)


@dataclass(frozen=True)
class Task(Generic[Job, Result]):
    """What children do, and what becomes of a job that ended one."""

    entry: str
    """"package.module:function" that gets the child's pipe and ends in :func:`work_off`."""
    limit: Callable[[Job, Any], float]
    """How long a job may be silent at a place, s."""
    blame: Callable[[Job, Any, str], Job]
    """The job without what ended its child: (job, place, reason)."""
    greeting: object = None
    """The first message to a child."""


class Watched(Generic[Job, Result]):
    """The caller's end of one child process at a time, started when it is needed."""

    def __init__(self, task: Task[Job, Result]) -> None:
        self._task = task
        self._child: Child | None = None
        self._closed = False

    def run(self, job: Job) -> Result:
        """Run a job; what ends the child twice, or takes too long, is blamed and left out.

        Raises:
            AntipodalError: the child does not even start, or says that the user can mend it.
            OSError: as the system said it to the child, e.g. that the disk is full.
            RuntimeError: a bug in the work, with the child's traceback.
        """
        deaths: Counter[Hashable] = Counter()
        while True:
            try:
                return self._attempt(job)
            except Lost as lost:
                if self._closed:
                    raise
                deaths[lost.place] += 1
                if not lost.is_late and deaths[lost.place] < MAX_DEATHS:
                    continue
                if lost.place is None:
                    how = (
                        f"did not start within {START_TIME:g} s (is the machine busy?)"
                        if lost.is_late
                        else f"end before their first object: {lost.reason}; what they say stands above"
                    )
                    raise AntipodalError(
                        f"the worker processes {how}; the same command resumes"
                    ) from lost
                job = self._task.blame(job, lost.place, lost.reason)

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._closed = True
        if self._child is not None:
            self._child.kill()

    def _attempt(self, job: Job) -> Result:
        place: Hashable = None
        child = self._running()
        kind, value = child.ask(job, START_TIME)
        while kind == "at":
            place = value
            kind, value = child.hear(self._task.limit(job, place), place)
        if kind == "refused":
            raise AntipodalError(value)
        if kind == "system":
            raise OSError(*value)
        if kind == "bug":
            raise RuntimeError(f"a worker failed at {place}:\n{value}")
        return value

    def _running(self) -> Child:
        """The child, started anew if it has ended."""
        if self._closed:
            raise Lost(None, 0.0, False, None)
        if self._child is None or not self._child.is_alive:
            if self._child is not None:
                self._child.end()
            self._child = start_child(self._task.entry)
            if self._closed:  # meanwhile, by the thread that ends the run
                self._child.kill()
            self._child.ask(self._task.greeting, START_TIME)
        return self._child


def run_watched(
    task: Task[Job, Result], jobs: Iterable[Job], n_workers: int
) -> Generator[Result, None, None]:
    """Run jobs in ``n_workers`` processes, in any order; two jobs per process are under way or waiting at a time."""
    crew = [Watched(task) for _ in range(n_workers)]
    idle: queue.SimpleQueue[Watched[Job, Result]] = queue.SimpleQueue()
    for worker in crew:
        idle.put(worker)

    def run(job: Job) -> Result:
        worker = idle.get()
        try:
            return worker.run(job)
        finally:
            idle.put(worker)

    jobs = iter(jobs)
    with ThreadPoolExecutor(n_workers) as threads:
        try:
            waiting = {threads.submit(run, job) for job in islice(jobs, 2 * n_workers)}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {threads.submit(run, job) for job in islice(jobs, len(done))}
                yield from (future.result() for future in done)
        finally:
            for worker in crew:
                worker.close()
            threads.shutdown(wait=True, cancel_futures=True)


def listen(pipe: Connection) -> queue.SimpleQueue[Any]:
    """In a child: take messages in as they come, and end when the caller is gone, also in the middle of a job."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        try:
            while True:
                inbox.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(0)
        except BaseException:  # a job that cannot be read
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=receive, daemon=True).start()
    return inbox


def work_off(
    pipe: Connection, inbox: queue.SimpleQueue[Any], work: Callable[[Any, At], object]
) -> None:
    """In a child that is ready: do job after job.

    Args:
        pipe: to the caller.
        inbox: of :func:`listen`, the greeting taken out.
        work: (job, at) → result.
    """
    pipe.send("ready")
    while True:
        job = inbox.get()
        try:
            answer = ("done", work(job, lambda place: pipe.send(("at", place))))
        except AntipodalError as error:  # the user can mend it
            answer = ("refused", str(error))
        except MemoryError:
            raise  # another try may find more
        except OSError as error:  # a full disk, say
            reason = error.strerror or f"{type(error).__name__}: {error}"
            answer = ("system", (error.errno, reason, error.filename))
        except Exception:  # ours: shown by the caller, which ends the run
            answer = ("bug", traceback.format_exc())
        with suppress(BrokenPipeError):  # the caller is gone: the listener ends this process
            pipe.send(answer)


def _said(code: int | None) -> str:
    """Why a process ended, in words, from its exit code."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory?" if name == "SIGKILL" else ""
        return f"crashed its worker {MAX_DEATHS} times ({name}{hint})"
    return f"ended its worker {MAX_DEATHS} times (exit code {code})"
