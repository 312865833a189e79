"""One unit of work: a few objects become four tables, as bytes, the same in whichever process and on whichever machine.

Whoever asked for the shard writes it, so that a data set has one writer and workers need not share its disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from ..errors import AntipodalError
from ..gripper import GripperModel
from ..mesh import TriMesh
from .model import GenerativeModel
from .rows import ObjectRows, object_rows
from .schema import GRASPS, OBJECTS, POSES, shard_schema
from .store import parquet_bytes, parquet_writer

OBJECTS_PER_SHARD = 8
"""Objects in one shard: one unit of work, of resuming and of memory."""


class Unreadable(NamedTuple):
    """An object whose mesh could not be loaded: it keeps its id, and its row says why it gave nothing."""

    name: str
    reason: str

    @property
    def content_hash(self) -> str:
        """No geometry, no hash."""
        return ""


@dataclass(frozen=True, eq=False)
class ShardJob:
    """Everything that decides the bytes of one shard."""

    index: int
    first_object_id: int
    meshes: tuple[TriMesh | Unreadable, ...]
    gripper: GripperModel
    model: GenerativeModel
    seed: int
    budget: int | None
    """Datapoints per object, about."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Objects to leave out, by id, and why: those that crashed a worker or took too long."""


@dataclass(frozen=True)
class Shard:
    """A finished shard: Parquet files by table, and what they hold."""

    index: int
    files: dict[str, bytes]
    """Of the tables objects, poses, grasps and datapoints."""
    n_objects: int
    n_datapoints: int
    refused: list[tuple[str, str]]
    """Name and reason of each object that gave nothing."""


def make_shard(job: ShardJob, begin: Callable[[int], None] = lambda object_id: None) -> Shard:
    """Run the generative model on each object of a job.

    Args:
        job: what to make.
        begin: called with the object's id before the work on each.
    """
    import cv2

    cv2.setNumThreads(1)
    objects: list[dict[str, Any]] = []
    poses, grasps = [POSES.empty_table()], [GRASPS.empty_table()]
    datapoints, n_datapoints = pa.BufferOutputStream(), 0
    with parquet_writer(datapoints, shard_schema(job.model.crop.size)) as writer:
        for object_id, mesh in enumerate(job.meshes, job.first_object_id):
            begin(object_id)
            rows = _object_or_reason(job, object_id, mesh)
            if isinstance(rows, str):
                objects.append(_object_row(object_id, mesh, 0, rows))
                continue
            n = rows.datapoints.num_rows
            objects.append(_object_row(object_id, mesh, n, rows.reason))
            poses.append(rows.poses)
            grasps.append(rows.grasps)
            if n:  # a row group per object: no more than one is in memory unpacked
                writer.write_table(rows.datapoints)
            n_datapoints += n
    files = {
        "objects": parquet_bytes(pa.Table.from_pylist(objects, OBJECTS)),
        "poses": parquet_bytes(pa.concat_tables(poses)),
        "grasps": parquet_bytes(pa.concat_tables(grasps)),
        "datapoints": datapoints.getvalue().to_pybytes(),
    }
    refused = [(o["name"], o["reason"]) for o in objects if o["reason"]]
    return Shard(job.index, files, len(objects), n_datapoints, refused)


def _object_row(
    object_id: int, mesh: TriMesh | Unreadable, n_datapoints: int, reason: str
) -> dict[str, Any]:
    unknown = [float("nan")] * 3
    return {
        "object_id": object_id,
        "name": mesh.name,
        "mesh_hash": mesh.content_hash,
        "extents": unknown if isinstance(mesh, Unreadable) else mesh.extents.tolist(),
        "n_datapoints": n_datapoints,
        "reason": reason,
    }


def _object_or_reason(
    job: ShardJob, object_id: int, mesh: TriMesh | Unreadable
) -> ObjectRows | str:
    """The object's tables, or in words why there are none: one bad object must not end the run."""
    if object_id in job.refused:
        return job.refused[object_id]
    if isinstance(mesh, Unreadable):
        return mesh.reason
    try:
        return object_rows(mesh, object_id, job.gripper, job.model, job.seed, job.budget)
    except AntipodalError as error:
        return str(error).removeprefix(f"{mesh.name}: ")
    except MemoryError:
        raise  # the caller tries once more
    except Exception as error:  # a mesh that the mathematics did not expect: named, and left out
        return f"failed with {type(error).__name__}: {' '.join(str(error).split())}"
