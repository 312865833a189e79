"""A process that makes shards, watched: an object at which it dies or does not end is named and left out."""

from __future__ import annotations

import dataclasses
from multiprocessing.connection import Connection

from ..gripper import UNIT_BOX_FACES, UNIT_BOX_VERTICES, load_gripper
from ..mesh import TriMesh
from ..watched import Task, listen, work_off
from .model import GenerativeModel
from .rows import object_rows
from .shard import Shard, ShardJob, make_shard


def shard_task(max_object_time: float) -> Task[ShardJob, Shard]:
    """Make shards in watched processes, so much time for each object, s; the places are the objects' ids."""
    return Task(
        "antipodal.dataset.worker:serve",
        limit=lambda job, object_id: max_object_time,
        blame=lambda job, object_id, reason: dataclasses.replace(
            job, refused={**job.refused, object_id: reason}
        ),
    )


def to_travel(job: ShardJob) -> ShardJob:
    """Without what the meshes have computed so far: the ray tracer's tree does not go through a pipe."""
    meshes = [dataclasses.replace(m) if isinstance(m, TriMesh) else m for m in job.meshes]
    return dataclasses.replace(job, meshes=tuple(meshes))


def serve(pipe: Connection) -> None:
    """Be the child: say each object's id before it begins, then send the shard."""
    inbox = listen(pipe)
    inbox.get()  # the greeting
    _warm_up()
    work_off(pipe, inbox, make_shard)


def _warm_up() -> None:
    """Load and compile what the first object would otherwise wait for: an object's time is its own."""
    cube = TriMesh(0.04 * (UNIT_BOX_VERTICES - 0.5), UNIT_BOX_FACES, "cube")
    model = GenerativeModel(n_grasps=4, images_per_pose=1)
    object_rows(cube, 0, load_gripper("yumi"), model, 0, None)
