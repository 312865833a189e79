"""The same shards on a Ray cluster: nodes need the package and no shared disk. The only module that imports ray."""

from __future__ import annotations

import functools
import logging
from collections.abc import Generator, Iterator
from itertools import islice

from ..errors import AntipodalError, InvalidConfig
from ..watched import Watched
from .shard import Shard, ShardJob
from .worker import shard_task, to_travel

MAX_RETRIES = 16
"""How often a shard is made anew when the node that made it is lost."""


def run_on_ray(
    jobs: Iterator[ShardJob], address: str, max_object_time: float
) -> Generator[Shard, None, None]:
    """Make shards as tasks of one core each; two per core are under way or waiting at a time.

    A node that is lost takes nothing with it: its tasks run again elsewhere. Shards come back as bytes.

    Raises:
        InvalidConfig: no cluster at this address.
        AntipodalError: the cluster lost a task for good.
    """
    import ray
    from ray.exceptions import RayError

    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InvalidConfig(
                f"no Ray cluster at '{address}' ({str(error).partition(chr(10))[0]}): expected host:port of a head "
                "node started with 'ray start --head', or auto on a machine of the cluster"
            ) from error
    make = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_make)
    try:
        in_flight = max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))
        waiting = [make.remote(job, max_object_time) for job in islice(jobs, in_flight)]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            waiting += [make.remote(job, max_object_time) for job in islice(jobs, len(done))]
            yield ray.get(done[0])
    except RayError as error:
        said = str(getattr(error, "cause", None) or error).partition("\n")[0]
        raise AntipodalError(
            f"the Ray cluster failed: {said or type(error).__name__}: the same command resumes"
        ) from error
    finally:
        if ours:
            ray.shutdown()


def _make(job: ShardJob, max_object_time: float) -> Shard:
    """The task: its work is done in a watched child, as on one machine, so that a crash names its object."""
    return _worker(max_object_time).run(to_travel(job))


@functools.cache
def _worker(max_object_time: float) -> Watched[ShardJob, Shard]:
    """One child per Ray process, kept for the next task; it ends with that process."""
    return Watched(shard_task(max_object_time))
