"""Generate a data set: objects × stable poses × grasps × images [Mahler17, §IV-A].

A work item is one object; its random state comes from (seed, object_id) alone, and a shard holds a fixed run of
objects. So the bytes do not depend on the number of workers or on interruptions. This process alone writes; finished
shards are kept: the same command resumes.
"""

from __future__ import annotations

import dataclasses
import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..errors import InvalidConfig
from ..files import alone, claim, write_bytes, write_json
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..objects.object_set import INDEX, holds_meshes
from ..values import check_seed
from .events import ObjectRefused, Report, Tally
from .execution import Execution
from .model import GenerativeModel
from .rows import MAX_OBJECTS
from .schema import VERSION
from .shard import OBJECTS_PER_SHARD, Shard, ShardJob, Unreadable
from .store import SIDE_TABLES, Dataset, file_hash, read_table, write_table


def generate(
    meshes: Sequence[TriMesh | Unreadable],
    gripper: GripperModel,
    path: str | Path,
    model: GenerativeModel,
    seed: int,
    n_datapoints: int | None = None,
    execution: Execution | None = None,
    report: Report = lambda event: None,
) -> Dataset:
    """Generate, or resume, the data set in ``path``.

    An object that cannot be used, crashes its worker or takes too long has its reason in objects.parquet.

    Args:
        meshes: the objects, in m; their order gives the ids.
        gripper: the hand.
        path: folder; made if absent.
        model: the generative model.
        seed: the only source of randomness.
        n_datapoints: about how many in all: overrides ``model.images_per_pose`` object by object.
        execution: where it is computed; the result does not depend on it. Default: one worker process.
        report: called with what happens.

    Raises:
        InvalidConfig: the folder holds meshes or a data set of another configuration, another process is at it, or
            there are no objects.
        OSError: the disk is full; what is finished is kept.
    """
    if not meshes:
        raise InvalidConfig("no objects to generate from: expected at least one mesh")
    if len(meshes) > MAX_OBJECTS:
        raise InvalidConfig(
            f"{len(meshes)} objects: expected at most {MAX_OBJECTS}; divide the set, a data set for each part"
        )
    if n_datapoints is not None and n_datapoints < 1:
        raise InvalidConfig(f"n_datapoints = {n_datapoints}: expected at least 1")
    check_seed(seed)
    path, model = Path(path), model.for_gripper(gripper)
    config = {
        "model": dataclasses.asdict(model),
        "gripper": gripper.to_json(),
        "objects": [[mesh.name, mesh.content_hash] for mesh in meshes],
        "seed": seed,
        "n_datapoints": n_datapoints,
        "version": __version__,
    }
    budget = None if n_datapoints is None else max(1, round(n_datapoints / len(meshes)))
    n_shards = -(-len(meshes) // OBJECTS_PER_SHARD)
    with _full_disk_in_words(), alone(path):
        if _open_folder(path, config):
            made = Dataset.open(path)
            tally = Tally(len(meshes), len(meshes), len(made), 0)
            report(tally.start())
        else:
            todo, tally = _take_stock(path, len(meshes), n_shards)
            report(tally.start())
            jobs = _jobs(todo, meshes, gripper, model, seed, budget)
            with closing((execution or Execution()).run(jobs)) as shards:
                for shard in shards:
                    _keep(path, shard, tally, report)
            made = _finish(path, config, n_shards)
    report(tally.done())
    return made


def _open_folder(path: Path, config: dict[str, Any]) -> bool:
    """Make the folder or check that it is this run's; return whether the data set is finished."""
    file = path / "config.json"
    if (path / "dataset.json").is_file() and not file.is_file():
        raise InvalidConfig(
            f"{path} holds a data set without its config.json: restore it, or choose a new folder"
        )
    if not file.is_file() and ((path / INDEX).is_file() or holds_meshes(path)):
        raise InvalidConfig(
            f"{path} holds meshes or an {INDEX}: expected an empty folder; choose another"
        )
    claim(file, config, "data set")
    if (path / "dataset.json").is_file():
        # the last run may have been stopped while it cleared up
        shutil.rmtree(path / "parts", ignore_errors=True)
        return True
    for folder in ("shards", "parts"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    return False


@contextmanager
def _full_disk_in_words() -> Iterator[None]:
    """Say what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        said = (
            f"{error.strerror}: finished shards are kept; make room, then the same command resumes"
        )
        raise OSError(error.errno, said, error.filename) from error


def _keep(path: Path, shard: Shard, tally: Tally, report: Report) -> None:
    """Write a finished shard, and tell of it."""
    _write_shard(path, shard)
    for name, reason in shard.refused:
        report(ObjectRefused(name, reason))
    tally.add(shard.n_objects, shard.n_datapoints, len(shard.refused))
    report(tally.advance())


def _take_stock(path: Path, n_objects: int, n_shards: int) -> tuple[list[int], Tally]:
    """Drop what an earlier run left half written; return the shards to make, and the counts of the finished ones."""
    for folder in ("shards", "parts"):
        for left in (path / folder).glob("*.parquet.*.tmp"):
            left.unlink()
    todo = [k for k in range(n_shards) if not _is_finished(path, k)]
    done = sorted(set(range(n_shards)) - set(todo))
    n_rows = sum(pq.read_metadata(_shard(path, k)).num_rows for k in done)
    objects = [read_table(_part(path, "objects", k), ["reason"]) for k in done]
    n_refused = sum(bool(r) for t in objects for r in t["reason"].to_pylist())
    return todo, Tally(n_objects, sum(t.num_rows for t in objects), n_rows, n_refused)


def _is_finished(path: Path, index: int) -> bool:
    """True if all files of a shard are there and readable; the shard itself was written last."""
    files = [_shard(path, index), *(_part(path, name, index) for name in SIDE_TABLES)]
    try:
        return all(pq.read_metadata(file).num_columns > 0 for file in files)
    except (OSError, pa.ArrowInvalid):
        return False


def _jobs(
    todo: list[int],
    meshes: Sequence[TriMesh | Unreadable],
    gripper: GripperModel,
    model: GenerativeModel,
    seed: int,
    budget: int | None,
) -> Iterator[ShardJob]:
    for index in todo:
        first = index * OBJECTS_PER_SHARD
        some = tuple(meshes[first : first + OBJECTS_PER_SHARD])
        yield ShardJob(index, first, some, gripper, model, seed, budget)


def _write_shard(path: Path, shard: Shard) -> None:
    """Write the side tables' parts, and the shard itself last: while it is missing, the work counts as not done."""
    for name in SIDE_TABLES:
        write_bytes(shard.files[name], _part(path, name, shard.index))
    write_bytes(shard.files["datapoints"], _shard(path, shard.index))


def _finish(path: Path, config: dict[str, Any], n_shards: int) -> Dataset:
    """Join the parts, write dataset.json, and clear up: from there on the data set is finished."""
    for name in SIDE_TABLES:
        merged = pa.concat_tables([read_table(_part(path, name, k)) for k in range(n_shards)])
        write_table(merged.combine_chunks(), path / f"{name}.parquet")
    shards = [
        {
            "file": f"shards/{_shard(path, k).name}",
            "n_datapoints": pq.read_metadata(_shard(path, k)).num_rows,
            "sha256": file_hash(_shard(path, k)),
        }
        for k in range(n_shards)
    ]
    manifest = {
        "schema_version": VERSION,
        "config": config["model"],
        "gripper": config["gripper"],
        "seed": config["seed"],
        "objects": config["objects"],
        "version": config["version"],
        "counts": {
            "n_datapoints": sum(s["n_datapoints"] for s in shards),
            "n_objects": len(config["objects"]),
        },
        "shards": shards,
        "tables": [
            {"file": f"{name}.parquet", "sha256": file_hash(path / f"{name}.parquet")}
            for name in SIDE_TABLES
        ],
    }
    write_json(manifest, path / "dataset.json")
    shutil.rmtree(path / "parts")
    return Dataset.open(path)


def _shard(path: Path, index: int) -> Path:
    return path / "shards" / f"part-{index:05d}.parquet"


def _part(path: Path, name: str, index: int) -> Path:
    return path / "parts" / f"{name}-{index:05d}.parquet"
