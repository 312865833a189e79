"""Where shards are made: in worker processes of this machine, or on a Ray cluster. The bytes do not depend on it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from ..errors import InvalidConfig
from ..watched import MAX_TIME, run_watched
from .shard import Shard, ShardJob
from .worker import shard_task, to_travel


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
        if not 0 < self.max_object_time <= MAX_TIME:
            raise InvalidConfig(
                f"max_object_time = {self.max_object_time}: expected more than 0, at most {MAX_TIME:g} s"
            )

    def run(self, jobs: Iterator[ShardJob]) -> Generator[Shard, None, None]:
        """Make the shards of all jobs, in whichever order they get done."""
        if self.ray is None:
            return run_watched(shard_task(self.max_object_time), map(to_travel, jobs), self.workers)
        from .cluster import run_on_ray  # the cluster extra

        return run_on_ray(jobs, self.ray, self.max_object_time)
