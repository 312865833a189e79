"""Our data set → the original's tensors, so that gqcnn and autolab_core read ours (reference §6.5–6.7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .. import transforms
from ..errors import InvalidConfig
from ..files import write_json
from ..values import check_seed
from .dexnet2_tensors import LABELS, ROWS_PER_FILE, VECTORS, new_folder, pixels_per_metre
from .events import Progress
from .store import Dataset, SplitName

COLUMNS = [
    *("crop", "depth", "center_px", "angle", "width", "collision_free", "robust_epsilon"),
    *("object_id", "pose_id", "image_id", "grasp_id", "T_world_camera", "intrinsics"),
]
SPLITS: dict[str, tuple[SplitName, str]] = {
    "image_wise": ("image_wise", "index"),
    "stable_pose_wise": ("pose_wise", "pose_labels"),
    "object_wise": ("object_wise", "obj_labels"),
}
"""The original's name of a split → ours, and the field that it keeps together."""
TRAIN_FRACTION = 0.8
"""Share of the training side of each split."""


def export_tensors(
    dataset: Dataset,
    path: str | Path,
    seed: int = 0,
    progress: Progress = lambda done, total, n: None,
) -> dict[str, Any]:
    """Write a data set as tensors: same rows, same order, and the three splits.

    Facts that the data set itself does not know (it was imported) are left out.

    Args:
        dataset: ours.
        path: new folder.
        seed: of the splits.
        progress: called after each file number.

    Returns:
        ``n_datapoints``, ``n_files``, ``fields``, ``splits`` and ``left_out``: split → why there is none.

    Raises:
        InvalidConfig: ``path`` is not empty, the data set joins several hands, or the seed is negative.
    """
    check_seed(seed)  # it is used last
    dataset.expect_one_hand("an export")
    unknown = dataset.manifest.get("imported", {}).get("unknown", [])
    n_files = -(-len(dataset) // ROWS_PER_FILE)
    fields: dict[str, dict[str, Any]] = {}
    with new_folder(path) as temporary:
        (temporary / "tensors").mkdir()
        for k, rows in enumerate(_blocks(dataset, ROWS_PER_FILE)):
            tensors = {f: v for f, v in to_tensors(rows).items() if f not in unknown}
            fields = fields or {name: _field(name, values) for name, values in tensors.items()}
            for name, values in tensors.items():
                np.savez_compressed(temporary / "tensors" / f"{name}_{k:05d}.npz", values)
            progress(k + 1, n_files, min((k + 1) * ROWS_PER_FILE, len(dataset)))
        left_out = _write_splits(dataset, temporary / "splits", seed)
        config = {"datapoints_per_file": ROWS_PER_FILE, "fields": fields}
        write_json(config, temporary / "config.json")
        write_json({"antipodal": _metadata(dataset, seed)}, temporary / "metadata.json")
        write_json(_object_map(dataset), temporary / "object_category_map.json")
    return {
        "n_datapoints": len(dataset),
        "n_files": n_files,
        "fields": list(fields),
        "splits": [name for name in SPLITS if name not in left_out],
        "left_out": left_out,
    }


def to_tensors(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Map our columns to the original's fields, in its types.

    Missing pixels become 0, angles lie in [0, 2π), the metric is multiplied by ``collision_free``.
    """
    depth = rows["depth"].astype(np.float32)
    crops = rows["crop"].astype(np.float32) + depth[:, None, None]
    free = rows["collision_free"]
    return {
        "depth_ims_tf_table": np.nan_to_num(crops, nan=0.0)[..., None],
        "hand_poses": _hand_poses(rows),
        "robust_ferrari_canny": np.where(free, rows["robust_epsilon"], 0).astype(np.float32),
        "collision_free": free.astype(np.uint32),
        **{theirs: rows[ours].astype(np.uint32) for theirs, ours in LABELS.items()},
        "camera_poses": _camera_vector(rows["T_world_camera"]),
        "camera_intrs": rows["intrinsics"].astype(np.float32),
    }


def _hand_poses(rows: dict[str, np.ndarray]) -> Float[np.ndarray, "N 7"]:
    depth, angle = rows["depth"].astype(float), rows["angle"].astype(float)
    intrinsics = rows["intrinsics"].astype(float)
    u, v = rows["center_px"].astype(float).T
    turn = np.mod(angle, 2 * np.pi).astype(np.float32)
    turn[turn >= np.float32(2 * np.pi)] = 0.0  # rounding of an angle just below 0
    width_px = rows["width"] * pixels_per_metre(angle, depth, intrinsics)
    columns = [v, u, depth, turn, v - intrinsics[:, 3], u - intrinsics[:, 2], width_px]
    return np.stack(columns, -1).astype(np.float32)


def _camera_vector(T_world_camera: np.ndarray) -> Float[np.ndarray, "N 7"]:
    T = T_world_camera.reshape(-1, 4, 4).astype(float)
    vectors = np.full((len(T), 7), np.nan, np.float32)
    known = np.isfinite(T).all((1, 2))
    quaternion = transforms.to_wxyz(T[known, :3, :3])
    vectors[known] = np.concatenate([T[known, :3, 3], quaternion], -1)
    return vectors


def _blocks(dataset: Dataset, n: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield n rows after another, across the borders of shards; the last block may be shorter."""
    rest: dict[str, np.ndarray] = {}
    for part in dataset.iterate(COLUMNS):
        rows = {c: np.concatenate([rest[c], part[c]]) if rest else part[c] for c in COLUMNS}
        whole = len(rows["depth"]) // n * n
        for start in range(0, whole, n):
            yield {c: values[start : start + n] for c, values in rows.items()}
        rest = {c: values[whole:] for c, values in rows.items()}
    if rest and len(rest["depth"]):
        yield rest


def _field(name: str, values: np.ndarray) -> dict[str, Any]:
    field: dict[str, Any] = {"dtype": str(values.dtype)}
    if name == "depth_ims_tf_table":
        _, height, width, channels = values.shape
        field |= {"height": height, "width": width, "channels": channels}
    elif name in VECTORS:
        field["height"] = VECTORS[name]
    return field


def _write_splits(dataset: Dataset, path: Path, seed: int) -> dict[str, str]:
    """Write the splits that are possible; return why the others are not."""
    left_out = {}
    for name, (ours, field) in SPLITS.items():
        try:
            train, validation = dataset.split(ours, seed, TRAIN_FRACTION)
        except InvalidConfig as error:
            left_out[name] = str(error)
            continue
        (path / name).mkdir(parents=True)
        np.savez_compressed(path / name / "train_indices.npz", train)
        np.savez_compressed(path / name / "val_indices.npz", validation)
        metadata = {"field_name": field, "train_pct": TRAIN_FRACTION}
        write_json(metadata, path / name / "metadata.json")
    return left_out


def _metadata(dataset: Dataset, split_seed: int) -> dict[str, Any]:
    kept = {name: dataset.manifest[name] for name in ("config", "gripper", "seed", "version")}
    return {**kept, "crop": dataset.config["crop"], "split_seed": split_seed}


def _object_map(dataset: Dataset) -> dict[str, int]:
    """Name → id; of objects that share a name, the later ones carry their id in it."""
    names: dict[str, int] = {}
    for row in dataset.table("objects").to_pylist():
        name, i = row["name"], row["object_id"]
        names[f"{name}_{i}" if name in names else name] = i
    return names
