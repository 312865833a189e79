"""Generate a data set: objects × stable poses × grasps × images [Mahler17, §IV-A].

A work item is one object; its random state comes from (seed, object_id) alone, and a shard holds a fixed run of
objects. So the bytes do not depend on the number of workers or on interruptions. Finished shards are kept: the same
command resumes.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..errors import AntipodalError, InvalidConfig
from ..files import write_json
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..values import check_seed
from .model import GenerativeModel
from .rows import ObjectRows, object_rows
from .schema import GRASPS, OBJECTS, POSES, SUCCESS_THRESHOLD, VERSION, shard_schema
from .store import Dataset, file_hash, write_table

OBJECTS_PER_SHARD = 8
"""Objects in one shard: one unit of work, of resuming and of memory."""

Progress = Callable[[int, int, int], None]
"""(objects done, objects in all, datapoints so far)."""


def generate(
    meshes: Sequence[TriMesh],
    gripper: GripperModel,
    path: str | Path,
    model: GenerativeModel,
    seed: int,
    n_datapoints: int | None = None,
    workers: int = 1,
    progress: Progress = lambda done, total, n: None,
) -> Dataset:
    """Generate, or resume, the data set in ``path``.

    Args:
        meshes: the objects, in m; their order gives the ids.
        gripper: the hand.
        path: folder; made if absent.
        model: the generative model.
        seed: the only source of randomness.
        n_datapoints: about how many in all: overrides ``model.images_per_pose`` object by object.
        workers: processes; the result does not depend on it.
        progress: called after each shard.

    Raises:
        InvalidConfig: the folder holds a data set of another configuration, or there are no objects.
    """
    if not meshes:
        raise InvalidConfig("no objects to generate from: expected at least one mesh")
    if workers < 1:
        raise InvalidConfig(f"workers = {workers}: expected at least 1")
    if n_datapoints is not None and n_datapoints < 1:
        raise InvalidConfig(f"n_datapoints = {n_datapoints}: expected at least 1")
    check_seed(seed)
    path = Path(path)
    config = {
        "model": dataclasses.asdict(model),
        "gripper": gripper_json(gripper),
        "objects": [[mesh.name, mesh.content_hash] for mesh in meshes],
        "seed": seed,
        "n_datapoints": n_datapoints,
        "version": __version__,
    }
    _open_folder(path, config)
    if (path / "dataset.json").is_file():
        return Dataset.open(path)
    budget = None if n_datapoints is None else max(1, round(n_datapoints / len(meshes)))
    starts = range(0, len(meshes), OBJECTS_PER_SHARD)
    done = {k for k in range(len(starts)) if _shard(path, k).is_file()}
    jobs = [
        (
            path,
            k,
            start,
            list(meshes[start : start + OBJECTS_PER_SHARD]),
            gripper,
            model,
            seed,
            budget,
        )
        for k, start in enumerate(starts)
        if k not in done
    ]
    n_rows = sum(pq.read_metadata(_shard(path, k)).num_rows for k in done)
    n_objects = sum(min(OBJECTS_PER_SHARD, len(meshes) - starts[k]) for k in done)
    progress(n_objects, len(meshes), n_rows)
    for objects, rows in _run(jobs, workers):
        n_objects, n_rows = n_objects + objects, n_rows + rows
        progress(n_objects, len(meshes), n_rows)
    return _finish(path, config, len(starts))


def gripper_json(gripper: GripperModel) -> dict[str, Any]:
    """All numbers of a gripper as JSON."""
    values = dataclasses.asdict(gripper)
    return values | {"T_gripper_grasp": gripper.T_gripper_grasp.tolist()}


def summary(dataset: Dataset, threshold: float = SUCCESS_THRESHOLD) -> dict[str, Any]:
    """Say in numbers what is in a data set."""
    facts = dataset.read(["collision_free", "robust_epsilon", "object_id", "image_id", "grasp_id"])
    positive = facts["collision_free"] & (facts["robust_epsilon"] > threshold)
    return {
        "n_datapoints": len(dataset),
        "n_objects": len(set(facts["object_id"].tolist())),
        "n_images": len(set(facts["image_id"].tolist())),
        "n_grasps": len(set(facts["grasp_id"].tolist())),
        "positive_share": float(positive.mean()) if len(dataset) else 0.0,
        "collision_free_share": float(facts["collision_free"].mean()) if len(dataset) else 0.0,
        "success_threshold": threshold,
        "refused": [
            {"name": n, "reason": r}
            for n, r in zip(
                *(dataset.table("objects")[c].to_pylist() for c in ("name", "reason")), strict=True
            )
            if r
        ],
    }


def _open_folder(path: Path, config: dict[str, Any]) -> None:
    (path / "shards").mkdir(parents=True, exist_ok=True)
    if not (path / "dataset.json").is_file():
        (path / "parts").mkdir(exist_ok=True)
    file = path / "config.json"
    wanted = json.loads(json.dumps(config))
    if file.is_file():
        found = json.loads(file.read_text())
        if differing := sorted(k for k in wanted if found.get(k) != wanted[k]):
            raise InvalidConfig(
                f"{path} holds a data set of another configuration ({', '.join(differing)} differ): "
                "choose a new folder, or delete this one"
            )
    else:
        write_json(config, file)


def _run(jobs: list[tuple[Any, ...]], workers: int):
    if workers == 1 or len(jobs) <= 1:
        yield from (_make_shard(*job) for job in jobs)
        return
    # spawn: forking a process that runs Embree's or OpenCV's threads may deadlock
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        waiting: set[Future[tuple[int, int]]] = {pool.submit(_make_shard, *job) for job in jobs}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)


def _make_shard(
    path: Path,
    index: int,
    first_object_id: int,
    meshes: list[TriMesh],
    gripper: GripperModel,
    model: GenerativeModel,
    seed: int,
    budget: int | None,
) -> tuple[int, int]:
    """Make the shard ``index``; return how many objects and datapoints it holds. The shard itself is written last."""
    import cv2

    cv2.setNumThreads(1)
    parts: list[ObjectRows] = []
    objects: list[dict[str, Any]] = []
    for object_id, mesh in enumerate(meshes, first_object_id):
        reason, n_rows = "", 0
        try:
            rows = object_rows(mesh, object_id, gripper, model, seed, budget)
        except AntipodalError as error:
            reason = str(error)
        else:
            parts.append(rows)
            n_rows = rows.datapoints.num_rows
            reason = rows.reason
        objects.append(
            {
                "object_id": object_id,
                "name": mesh.name,
                "mesh_hash": mesh.content_hash,
                "extents": mesh.extents.tolist(),
                "n_datapoints": n_rows,
                "reason": reason,
            }
        )
    schema = shard_schema(model.crop.size)
    datapoints = pa.concat_tables([schema.empty_table(), *(p.datapoints for p in parts)])
    write_table(pa.Table.from_pylist(objects, OBJECTS), _part(path, "objects", index))
    write_table(
        pa.concat_tables([POSES.empty_table(), *(p.poses for p in parts)]),
        _part(path, "poses", index),
    )
    write_table(
        pa.concat_tables([GRASPS.empty_table(), *(p.grasps for p in parts)]),
        _part(path, "grasps", index),
    )
    write_table(datapoints.combine_chunks(), _shard(path, index))
    return len(meshes), datapoints.num_rows


def _finish(path: Path, config: dict[str, Any], n_shards: int) -> Dataset:
    for name in ("objects", "poses", "grasps"):
        merged = pa.concat_tables([pq.read_table(_part(path, name, k)) for k in range(n_shards)])
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
    }
    write_json(manifest, path / "dataset.json")
    shutil.rmtree(path / "parts")
    return Dataset.open(path)


def _shard(path: Path, index: int) -> Path:
    return path / "shards" / f"part-{index:05d}.parquet"


def _part(path: Path, name: str, index: int) -> Path:
    return path / "parts" / f"{name}-{index:05d}.parquet"
