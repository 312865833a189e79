"""Where shards are made: in worker processes of this machine, or on a Ray cluster. The bytes do not depend on it."""

from __future__ import annotations

import queue
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from ..errors import InvalidConfig
from .shard import Shard, ShardJob
from .worker import Worker


@dataclass(frozen=True)
class Execution:
    """How a data set is computed; nothing here changes what is in it."""

    workers: int = 1
    """Processes on this machine; each computes with one thread."""
    ray: str | None = None
    """Address of a running Ray cluster, host:port or auto, that computes instead."""
    max_object_time: float = 300.0
    """An object that takes longer is refused, s."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidConfig(f"workers = {self.workers}: expected at least 1")
        if not self.max_object_time > 0:
            raise InvalidConfig(f"max_object_time = {self.max_object_time}: expected seconds > 0")

    def run(self, jobs: Iterator[ShardJob]) -> Generator[Shard, None, None]:
        """Make the shards of all jobs, in whichever order they get done."""
        if self.ray is None:
            return run_local(jobs, self.workers, self.max_object_time)
        from .cluster import run_on_ray  # the cluster extra

        return run_on_ray(jobs, self.ray, self.max_object_time)


def run_local(
    jobs: Iterator[ShardJob], workers: int, max_object_time: float
) -> Generator[Shard, None, None]:
    """Make shards in ``workers`` processes; two jobs per process are under way or waiting at a time."""
    crew = [Worker(max_object_time) for _ in range(workers)]
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in crew:
        idle.put(worker)

    def make(job: ShardJob) -> Shard:
        worker = idle.get()
        try:
            return worker.make(job)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(workers) as threads:
        try:
            waiting = {threads.submit(make, job) for job in islice(jobs, 2 * workers)}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {threads.submit(make, job) for job in islice(jobs, len(done))}
                yield from (future.result() for future in done)
        finally:
            for worker in crew:
                worker.close()
            threads.shutdown(wait=True, cancel_futures=True)
