"""Columns of the data set's tables. Lengths in m, angles in rad, ε without unit; docs/dataset-format.md explains them.

Facts are stored, not labels: a datapoint is positive when ``collision_free & (robust_epsilon > threshold)``, its
probability of success is ``free_share · hold_probability``; label, threshold or metric can change without generating
again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

VERSION = 1
"""Raised when a column changes its meaning; readers refuse other versions."""

SUCCESS_THRESHOLD = 0.002
"""δ: a grasp is robust if E_Q > δ [Mahler17, §IV-B2]."""


def shard_schema(crop_size: int) -> pa.Schema:
    """One row per datapoint: an aligned crop of one image with one grasp."""
    return pa.schema(
        [
            # relative to the grasp's depth, so that float16 rounds by 0.03 mm within 12.5 cm; NaN = no return
            ("crop", pa.list_(pa.float16(), crop_size * crop_size)),
            ("depth", pa.float32()),
            ("center_px", pa.list_(pa.float32(), 2)),
            ("angle", pa.float32()),
            ("width", pa.float32()),
            ("collision_free", pa.bool_()),
            ("robust_epsilon", pa.float32()),
            # P(free) and P(hold) of the grasp as executed; NaN where the generative model has no execution
            ("free_share", pa.float32()),
            ("hold_probability", pa.float32()),
            ("object_id", pa.int32()),
            ("pose_id", pa.int32()),
            ("image_id", pa.int32()),
            ("grasp_id", pa.int32()),
            ("T_world_camera", pa.list_(pa.float32(), 16)),  # in the world of POSES
            ("intrinsics", pa.list_(pa.float32(), 4)),  # fx, fy, cx, cy of the re-centred image
        ]
    )


GRASPS = pa.schema(
    [
        ("grasp_id", pa.int32()),
        ("object_id", pa.int32()),
        ("pose_id", pa.int32()),  # −1: sampled on the object, before it was put on the table
        ("kind", pa.string()),  # "antipodal" or "jittered"
        ("T_obj_grasp", pa.list_(pa.float64(), 16)),
        ("width", pa.float32()),
        ("contact_points", pa.list_(pa.float32(), 6)),
        ("contact_inward_normals", pa.list_(pa.float32(), 6)),
        ("found", pa.bool_()),  # both jaws meet the object
        ("force_closure", pa.bool_()),
        ("epsilon", pa.float32()),
        ("robust_epsilon", pa.float32()),
        ("robust_epsilon_error", pa.float32()),  # standard error of the Monte-Carlo mean
    ]
)

POSES = pa.schema(
    [
        ("pose_id", pa.int32()),
        ("object_id", pa.int32()),
        ("probability", pa.float32()),
        ("T_world_obj", pa.list_(pa.float64(), 16)),
    ]
)

OBJECTS = pa.schema(
    [
        ("object_id", pa.int32()),
        ("name", pa.string()),
        ("mesh_hash", pa.string()),
        ("extents", pa.list_(pa.float32(), 3)),
        ("n_datapoints", pa.int32()),
        ("reason", pa.string()),  # why it gave no datapoint, or empty
    ]
)


def to_table(schema: pa.Schema, **columns: Any) -> pa.Table:
    """Build a table of a schema from arrays or lists; the rows of two-dimensional arrays become fixed-size lists."""
    arrays = []
    for field in schema:
        values = columns[field.name]
        if pa.types.is_fixed_size_list(field.type):
            kind = field.type.value_type
            flat = pa.array(np.ascontiguousarray(values, kind.to_pandas_dtype()).ravel(), kind)
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        else:
            arrays.append(pa.array(values).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
