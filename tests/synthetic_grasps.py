"""A data set of boxes on a table whose labels are geometry, for tests of learning: written through the real schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from antipodal.dataset.schema import (
    GRASPS,
    OBJECTS,
    POSES,
    SUCCESS_THRESHOLD,
    VERSION,
    shard_schema,
)
from antipodal.dataset.store import Dataset, file_hash, write_table
from antipodal.files import write_json
from antipodal.gripper import load_gripper

if TYPE_CHECKING:
    from antipodal.nn.data import GraspTable

PIXEL = 0.004
"""What a pixel of the crop spans, m."""
OPENING = 0.05


class Boxes(NamedTuple):
    relative: np.ndarray
    depth: np.ndarray
    success: np.ndarray


def boxes_on_a_table(n: int, rng: np.random.Generator, size: int = 32) -> Boxes:
    """A grasp succeeds if both fingers stay clear of the box, and it reaches below the top but not into the table."""
    table = rng.uniform(0.65, 0.75, n)
    width, height = rng.uniform(0.01, 0.06, n), rng.uniform(0.015, 0.06, n)
    offset = rng.uniform(-0.02, 0.02, n)
    depth = table - height + rng.uniform(-0.01, height + 0.005, n)
    axis = (np.arange(size) - (size - 1) / 2) * PIXEL
    inside = np.abs(axis - offset[:, None]) < width[:, None] / 2
    z = np.where(inside[:, None, :], (table - height)[:, None, None], table[:, None, None])
    z = np.broadcast_to(z, (n, size, size))
    clear = np.abs(offset) + width / 2 < OPENING / 2
    reaches = (depth > table - height + 0.003) & (depth < table - 0.003)
    return Boxes((z - depth[:, None, None]).astype(np.float16), depth, clear & reaches)


def whole_table(dataset: Dataset, threshold: float = SUCCESS_THRESHOLD) -> GraspTable:
    """The whole data set in memory; labels are robust ε > ``threshold`` and free of collision."""
    from antipodal.nn.data import grasp_table  # needs torch; the rest of this file does not

    columns = dataset.read(["crop", "depth"])
    return grasp_table(
        columns["crop"], columns["depth"], dataset.labels(threshold), dataset.hands()
    )


def write_boxes(
    path: Path,
    n: int,
    rng: np.random.Generator,
    n_objects: int = 10,
    n_shards: int = 2,
    size: int = 32,
) -> Dataset:
    """Write them as a finished data set of some shards."""
    relative, depth, success = boxes_on_a_table(n, rng, size)
    (path / "shards").mkdir(parents=True)
    schema = shard_schema(relative.shape[-1])
    shards = []
    for k, rows in enumerate(np.array_split(np.arange(n), n_shards)):
        m = len(rows)
        zero, identity = np.zeros(m, np.float32), np.eye(4, dtype=np.float32).ravel()
        columns = {
            "crop": pa.FixedSizeListArray.from_arrays(
                pa.array(relative[rows].ravel()), relative[0].size
            ),
            "depth": depth[rows].astype(np.float32),
            "center_px": pa.FixedSizeListArray.from_arrays(
                pa.array(np.zeros(2 * m, np.float32)), 2
            ),
            "angle": zero,
            "width": zero + OPENING,
            "collision_free": np.ones(m, bool),
            "robust_epsilon": np.where(success[rows], 0.004, 0.0).astype(np.float32),
            "free_share": np.ones(m, np.float32),
            "hold_probability": np.where(success[rows], 0.9, 0.1).astype(np.float32),
            "object_id": (rows % n_objects).astype(np.int32),
            "pose_id": (rows % (2 * n_objects)).astype(np.int32),
            "image_id": (rows // 4).astype(np.int32),
            "grasp_id": rows.astype(np.int32),
            "T_world_camera": pa.FixedSizeListArray.from_arrays(pa.array(np.tile(identity, m)), 16),
            "intrinsics": pa.FixedSizeListArray.from_arrays(
                pa.array(np.zeros(4 * m, np.float32)), 4
            ),
        }
        file = path / "shards" / f"part-{k:05d}.parquet"
        write_table(pa.table(columns, schema=schema), file)
        shards.append({"file": f"shards/{file.name}", "n_datapoints": m, "sha256": file_hash(file)})
    for name, empty in (("objects", OBJECTS), ("poses", POSES), ("grasps", GRASPS)):
        write_table(empty.empty_table(), path / f"{name}.parquet")
    manifest = {
        "schema_version": VERSION,
        "config": {
            "crop": {"size": relative.shape[-1], "window_px": 96.0, "window_m": None},
            "execution": {"of": "nothing: the probability of success is made up"},
        },
        "gripper": load_gripper("yumi").to_json(),
        "seed": 0,
        "version": "test",
        "counts": {"n_datapoints": n, "n_objects": n_objects},
        "shards": shards,
    }
    write_json(manifest, path / "dataset.json")
    return Dataset.open(path)
