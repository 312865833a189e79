"""A process that makes shards, watched: one that dies or does not end names the object that it was at.

The child is a plain interpreter that reads jobs from its stdin and answers on its stdout, so that nothing of the
caller's script runs twice. It announces each object before it begins. When the caller dies, however suddenly, the
child's stdin closes and it ends at once.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from typing import Any, BinaryIO

import numpy as np
from scipy.spatial import ConvexHull

from ..errors import AntipodalError
from ..gripper import load_gripper
from ..mesh import TriMesh
from .model import GenerativeModel
from .rows import object_rows
from .shard import Shard, ShardJob, make_shard

MAX_DEATHS = 2
"""An object at which a worker died is tried once more: the system, not the object, may have ended it."""

MAX_START_TIME = 300.0
"""A child that is not ready by then is given up, s; compiling the metrics for the first time takes some."""

# the search path comes first: the jobs' classes must be found. One thread: the cores are shared out among processes,
# and a sum's rounding must not depend on their number
_CHILD = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides what an interrupt means
sys.path[:] = {path!r}
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
from antipodal.dataset.worker import serve
serve()
"""


class WorkerDied(Exception):
    """The child ended before its shard was done."""

    def __init__(self, object_id: int | None, reason: str, timed_out: bool) -> None:
        super().__init__(reason)
        self.object_id = object_id
        """The object that it was at; None before the first."""
        self.reason = reason
        self.timed_out = timed_out


class Worker:
    """The caller's end of one child process."""

    def __init__(self, max_object_time: float) -> None:
        self.max_object_time = max_object_time
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def make(self, job: ShardJob) -> Shard:
        """Make a shard; what kills the child twice, or takes too long, is refused and left out.

        Raises:
            AntipodalError: the child does not even start.
        """
        deaths: Counter[int | None] = Counter()
        refused = dict(job.refused)
        while True:
            try:
                return self._attempt(dataclasses.replace(job, refused=refused))
            except WorkerDied as death:
                if self._closed:
                    raise
                deaths[death.object_id] += 1
                if not death.timed_out and deaths[death.object_id] < MAX_DEATHS:
                    continue
                if death.object_id is None:
                    raise AntipodalError(
                        f"the worker processes end before their first object: {death.reason}"
                    ) from death
                refused[death.object_id] = death.reason

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._closed = True
        if self._child is not None:
            _end(self._child)

    def _attempt(self, job: ShardJob) -> Shard:
        at: int | None = None
        expired: list[int | None] = []
        try:
            child = self._running(expired)
            assert child.stdin is not None
            _send(child.stdin, dataclasses.replace(job, meshes=tuple(map(_bare, job.meshes))))
            message = _read(child, MAX_START_TIME, at, expired)
            while not isinstance(message, Shard):
                at = message
                message = _read(child, self.max_object_time, at, expired)
            return message
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            code = None if self._child is None else _end(self._child)
            timed_out = at in expired
            limit = MAX_START_TIME if at is None else self.max_object_time
            reason = f"took longer than {limit:g} s" if timed_out else _said(code)
            raise WorkerDied(at, reason, timed_out) from error

    def _running(self, expired: list[int | None]) -> subprocess.Popen[bytes]:
        """The child, started anew if it has ended."""
        if self._closed:
            raise EOFError("closed")
        if self._child is None or self._child.poll() is not None:
            code = _CHILD.format(path=sys.path)
            self._child = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            if self._closed:  # meanwhile, by the thread that ends the run
                raise EOFError("closed")
            _read(self._child, MAX_START_TIME, None, expired)
        return self._child


def serve() -> None:
    """Be the child: answer each job with the ids of its objects as they begin, then with the shard."""
    outbox = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with it
    _warm_up()
    _send(outbox, "ready")
    jobs: queue.SimpleQueue[ShardJob] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, jobs), daemon=True).start()
    while True:
        shard = make_shard(jobs.get(), lambda object_id: _send(outbox, object_id))
        _send(outbox, shard)


def _receive(inbox: BinaryIO, jobs: queue.SimpleQueue[ShardJob]) -> None:
    """Hand jobs on; end the process when the caller is gone, also in the middle of an object."""
    try:
        while True:
            jobs.put(pickle.load(inbox))
    except EOFError:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _warm_up() -> None:
    """Load and compile what the first object would otherwise wait for: an object's time is its own."""
    corners = np.array(list(itertools.product((-0.02, 0.02), repeat=3)))
    faces = ConvexHull(corners).simplices
    outward = np.cross(*np.diff(corners[faces], axis=1).swapaxes(0, 1))
    inside_out = np.einsum("fi,fi->f", outward, corners[faces[:, 0]]) < 0
    faces[inside_out] = faces[inside_out, ::-1]
    model = GenerativeModel(n_grasps=4, images_per_pose=1)
    object_rows(TriMesh(corners, faces, "cube"), 0, load_gripper("yumi"), model, 0, None)


def _read(
    child: subprocess.Popen[bytes], limit: float, at: int | None, expired: list[int | None]
) -> Any:
    """The child's next message; after ``limit`` seconds it is killed, and ``at`` is noted in ``expired``."""

    def expire() -> None:
        expired.append(at)
        child.kill()

    assert child.stdout is not None
    timer = threading.Timer(limit, expire)
    timer.daemon = True
    timer.start()
    try:
        return pickle.load(child.stdout)
    finally:
        timer.cancel()


def _send(stream: Any, value: Any) -> None:
    pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _bare(mesh: Any) -> Any:
    """Without what it has computed so far: the ray tracer's tree does not travel."""
    return dataclasses.replace(mesh) if isinstance(mesh, TriMesh) else mesh


def _end(child: subprocess.Popen[bytes]) -> int:
    """End the child if it has not ended; return its exit code."""
    child.kill()
    code = child.wait()
    for stream in (child.stdin, child.stdout):
        try:
            if stream is not None:
                stream.close()
        except OSError:  # unsent bytes of a pipe without reader
            pass
    return code


def _said(code: int | None) -> str:
    """Why a process ended, in words, from its exit code."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ": out of memory?" if name == "SIGKILL" else ""
        return f"crashed its worker {MAX_DEATHS} times ({name}{hint})"
    return f"ended its worker {MAX_DEATHS} times (exit code {code})"
