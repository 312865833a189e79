"""The workers and the queue before them.

A job waits for an idle worker, first come first served. A worker that does not answer in time, or dies, is killed and
replaced: a process can be ended at any moment, where a thread that computes cannot.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ..errors import AntipodalError, InvalidConfig
from ..watched import Child, Lost, start_child
from .config import ServiceConfig
from .faults import Fault
from .metrics import Metrics
from .worker import Answer, Job, Ready, Refusal, Setup

log = logging.getLogger(__name__)

START_TIME = 120.0
"""A worker that is not warm after so long is taken for dead, s."""
MAX_PAUSE = 30.0
"""Longest pause between two tries to replace a worker, s."""


@dataclass(eq=False)
class WorkerPool:
    """So many processes that plan, and those who wait for them."""

    config: ServiceConfig
    metrics: Metrics
    grippers: tuple[str, ...] = ()
    """Names that callers may use; known once the pool is warm."""
    is_warm: bool = False
    """Whether every worker has planned once."""
    _workers: set[Child] = field(default_factory=set)
    _idle: asyncio.Queue[Child] = field(default_factory=asyncio.Queue)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _n_inside: int = 0
    _mean_time: float = 0.5
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="antipodal-")
        self._folders: dict[Child, Path] = {}
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(2 * self.config.n_workers, "worker")

    @property
    def n_workers(self) -> int:
        """Workers that live and are warm."""
        return len(self._workers)

    @property
    def is_ready(self) -> bool:
        """Whether a plan would be begun now or soon."""
        return self.is_warm and not self._stopped and self.n_workers > 0

    async def start(self) -> None:
        """Start all workers and wait until they are warm.

        Raises:
            AntipodalError: model or gripper cannot be used; what the first worker said.
        """
        await asyncio.gather(*(self._hire() for _ in range(self.config.n_workers)))
        self.is_warm = True

    def stop(self) -> None:
        """End all workers."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._scratch.cleanup()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold one of the places: those at work and the queue's.

        Raises:
            Fault: not warm yet, or no place is free.
        """
        if not self.is_warm:
            raise Fault("not_ready", "the service is still loading its network", retry_after=2)
        limits = self.config.limits
        if self._n_inside >= self.config.n_workers + limits.queue_length:
            wait = self._mean_time * self._n_inside / self.config.n_workers
            raise Fault(
                "queue_full",
                f"{self._n_inside} requests are being answered: expected at most that many",
                retry_after=max(1, min(round(wait), 60)),
            )
        self._n_inside += 1
        self.metrics.inside.set(self._n_inside)
        try:
            yield
        finally:
            self._n_inside -= 1
            self.metrics.inside.set(self._n_inside)

    async def run(self, job: Job, is_wanted: Callable[[], Awaitable[bool]]) -> Answer | None:
        """Wait for a worker and let it plan.

        Args:
            job: what to do.
            is_wanted: asked when a worker is free: whether the caller is still there.

        Returns:
            The answer; None if nobody wants it any more.

        Raises:
            Fault: the job cannot be done, takes too long, kills its worker, or none became free in time.
        """
        start = time.perf_counter()
        worker = await self._checkout()
        self.metrics.queue_seconds.observe(time.perf_counter() - start)
        try:
            if not await is_wanted():
                self._idle.put_nowait(worker)
                return None
            start = time.perf_counter()
            answer = await self._ask(worker, job, self.config.limits.plan_time)
        except Lost as lost:
            self._lose(worker, _reason(lost))
            if lost.is_late:
                limit = self.config.limits.plan_time
                raise Fault("plan_timeout", f"planning took longer than {limit:g} s") from None
            raise Fault("worker_died", "the process that planned ended") from None
        except asyncio.CancelledError:  # the end of the service: the worker is still busy
            self._lose(worker, "late")
            raise
        self._idle.put_nowait(worker)
        self._mean_time += 0.1 * (time.perf_counter() - start - self._mean_time)
        if isinstance(answer, Refusal):
            raise Fault(answer.code, answer.message)
        assert isinstance(answer, Answer)
        return answer

    async def _checkout(self) -> Child:
        limit = self.config.limits.queue_time
        try:
            async with asyncio.timeout(limit):
                while True:
                    worker = await self._idle.get()
                    if worker.is_alive:
                        return worker
                    self._lose(worker, "died")  # while idle: nobody's plan was lost with it
        except TimeoutError:
            raise Fault(
                "queue_full", f"no worker became free in {limit:g} s", retry_after=round(limit)
            ) from None

    def _lose(self, worker: Child, reason: str) -> None:
        """End a worker that is of no more use, and have it replaced."""
        self.metrics.lost_workers.labels(reason).inc()
        log.error("worker lost", extra={"fields": {"pid": worker.process.pid, "reason": reason}})
        self._workers.discard(worker)
        self.metrics.workers.set(self.n_workers)
        self._end(worker)
        if not self._stopped:
            task = asyncio.get_running_loop().create_task(self._replace())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _end(self, worker: Child) -> None:
        """End a worker, and remove what it was reading."""
        worker.end()
        if folder := self._folders.pop(worker, None):
            shutil.rmtree(folder, ignore_errors=True)

    async def _replace(self) -> None:
        pause = 0.1
        while True:
            try:
                return await self._hire()
            except AntipodalError as error:
                log.error("worker not replaced", extra={"fields": {"reason": str(error)}})
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def _hire(self) -> None:
        """Start one worker; when it is warm it is idle."""
        scratch = Path(self._scratch.name) / str(next(self._numbers))
        try:
            scratch.mkdir()
            worker = _spawn()
        except OSError as error:  # no memory, no process, no room: perhaps later
            raise InvalidConfig(f"a worker cannot be started: {error}") from error
        self._folders[worker] = scratch
        setup = Setup(self.config.model, self.config.grippers, scratch)
        try:
            ready = await self._ask(worker, setup, START_TIME)
            if isinstance(ready, AntipodalError):
                raise ready
            if self._stopped:
                raise InvalidConfig("the service ended while a worker started")
        except Lost as lost:
            self._end(worker)
            raise InvalidConfig(
                f"a worker {_reason(lost)} before it was warm; see the log"
            ) from lost
        except (AntipodalError, asyncio.CancelledError):
            self._end(worker)
            raise
        assert isinstance(ready, Ready)
        self.grippers = ready.grippers
        self._workers.add(worker)
        self.metrics.workers.set(self.n_workers)
        self._idle.put_nowait(worker)

    async def _ask(self, worker: Child, message: object, limit: float) -> object:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, worker.ask, message, limit)


def _reason(lost: Lost) -> str:
    return "late" if lost.is_late else "died"


def _spawn() -> Child:
    worker = start_child(
        "antipodal.service.worker:main",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    stream = worker.process.stderr
    assert stream is not None
    threading.Thread(target=_relay, args=(stream, worker.process.pid), daemon=True).start()
    return worker


def _relay(stream: IO[bytes], pid: int) -> None:
    """Log what a worker (or a decoder in it) writes to stderr; one line, one entry."""
    with stream, suppress(ValueError, OSError):
        while line := stream.readline(1000):
            text = line.decode(errors="replace").rstrip()
            if text:
                log.warning("worker says", extra={"fields": {"pid": pid, "text": text}})
