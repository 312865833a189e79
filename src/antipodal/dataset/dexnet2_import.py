"""The original's tensor data set → ours: same rows, same order, same labels.

What the source does not say stays unknown: ids are 0 (one group, so that no split claims to keep apart what it cannot),
cameras are NaN, ``collision_free`` is true, since collisions are already 0 in the metric. dataset.json lists it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import __version__, transforms
from ..crop import CropConfig
from ..errors import CorruptDataset
from ..files import write_json
from ..grasp import PlanarGrasp
from ..gripper import load_gripper
from ..values import config_from_dict
from .dexnet2_tensors import LABELS, TensorFolder, new_folder, pixels_per_metre
from .events import Progress
from .schema import GRASPS, OBJECTS, POSES, VERSION, shard_schema, to_table
from .store import Dataset, file_hash, write_table

ROWS_PER_SHARD = 32768
"""Datapoints of one Parquet shard, about: what is held in memory."""


def import_tensors(
    source: str | Path,
    path: str | Path,
    gripper: str | Path | None = None,
    progress: Progress = lambda done, total, n: None,
) -> Dataset:
    """Read a tensor data set of Dex-Net 2.0 into our format.

    Args:
        source: folder with ``tensors/``, or with the tensors themselves.
        path: new folder.
        gripper: the hand that it was made for. None: the one in its metadata if we wrote it, else the paper's yumi.
        progress: called after each file number.

    Raises:
        UnknownAsset: no tensors, or no such gripper.
        CorruptDataset: files missing, unreadable or contradicting each other.
        InvalidConfig: ``path`` is not empty.
    """
    folder = TensorFolder.open(source)
    ours = folder.metadata.get("antipodal", {})
    hand = _gripper(gripper, ours)
    digest, counts = hashlib.sha256(), Counter[int]()
    shards: list[dict[str, Any]] = []
    crop: dict[str, Any] = {}
    n_rows = 0
    with new_folder(path) as temporary:
        (temporary / "shards").mkdir()
        for rows in _shards(folder, float(hand["max_width"]), digest.update, progress):
            crop = crop or _crop_config(folder, rows["crop"].shape[1], ours)
            file = temporary / "shards" / f"part-{len(shards):05d}.parquet"
            write_table(to_table(shard_schema(crop["size"]), **rows), file)
            n = len(rows["depth"])
            shards.append(
                {"file": f"shards/{file.name}", "n_datapoints": n, "sha256": file_hash(file)}
            )
            n_rows += n
            ids, found = np.unique(rows["object_id"], return_counts=True)
            counts.update(dict(zip(ids.tolist(), found.tolist(), strict=True)))
        if n_rows == 0:
            raise CorruptDataset(f"{source} has no rows: expected at least one datapoint")
        _write_side_tables(temporary, folder, counts)
        manifest = {
            "schema_version": VERSION,
            "config": {"kind": "imported", "source_sha256": digest.hexdigest(), "crop": crop},
            "gripper": hand,
            "seed": ours.get("seed"),
            "version": __version__,
            "counts": {"n_datapoints": n_rows, "n_objects": len(counts)},
            "imported": _provenance(folder),
            "shards": shards,
        }
        kept = ("config", "gripper", "seed", "version", "imported")
        write_json({name: manifest[name] for name in kept}, temporary / "config.json")
        write_json(manifest, temporary / "dataset.json")
    return Dataset.open(path)


def to_rows(block: dict[str, np.ndarray], max_width: float) -> dict[str, np.ndarray]:
    """Map the tensors of one file to our columns.

    Our angle is folded into half a turn. Where that swaps the jaws, the crop is turned by 180°, so that its +column is
    the closing direction of the folded angle, as :func:`antipodal.crop.crop_grasps` would cut it.

    Args:
        block: from :meth:`TensorFolder.blocks`.
        max_width: opening of the hand, m: taken where no camera says what the width in pixels is in metres.
    """
    poses = block["hand_poses"].astype(float)
    n, depth = len(poses), poses[:, 2]
    intrinsics = block.get("camera_intrs", np.full((n, 4), np.nan)).astype(float)
    intrinsics = np.where(np.isfinite(intrinsics) & (intrinsics != 0), intrinsics, np.nan)
    intrinsics = np.where(intrinsics[:, :2].min(axis=1, keepdims=True) > 0, intrinsics, np.nan)
    width = poses[:, 6] / pixels_per_metre(poses[:, 3], depth, intrinsics)
    width = np.where(np.isfinite(width), width, max_width)
    # hand_poses says where the optical axis is, relative to the grasp, of a camera that is unknown otherwise, too
    axis = poses[:, [1, 0]] - poses[:, [5, 4]]
    intrinsics[:, 2:] = np.where(np.isfinite(intrinsics[:, 2:]), intrinsics[:, 2:], axis)
    planar = PlanarGrasp(poses[:, [1, 0]], poses[:, 3], depth, width)
    crops = block["depth_ims_tf_table"].astype(float)
    relative = np.where(crops > 0, crops - depth[:, None, None], np.nan)
    swapped = np.round((poses[:, 3] - planar.angle) / np.pi).astype(int) % 2 == 1
    relative[swapped] = relative[swapped][:, ::-1, ::-1]
    nothing = np.zeros(n, np.int32)
    return {
        "crop": relative.astype(np.float16),
        "depth": planar.depth,
        "center_px": planar.center_px,
        "angle": planar.angle,
        "width": planar.width,
        "collision_free": block.get("collision_free", np.ones(n)) != 0,
        "robust_epsilon": block["robust_ferrari_canny"],
        "free_share": np.full(n, np.nan),
        "hold_probability": np.full(n, np.nan),
        **{ours: block.get(theirs, nothing) for theirs, ours in LABELS.items()},
        "T_world_camera": _camera_pose(block.get("camera_poses", np.full((n, 7), np.nan))),
        "intrinsics": intrinsics,
    }


def _camera_pose(vectors: np.ndarray) -> np.ndarray:
    """T_world_camera (N, 16) of position and wxyz; NaN where they are not those of a pose."""
    T_world_camera = np.full((len(vectors), 4, 4), np.nan)
    norm = np.linalg.norm(vectors[:, 3:], axis=-1)
    known = np.isfinite(vectors).all(axis=-1) & (np.abs(norm - 1) < 1e-3)
    rotation = transforms.from_wxyz(vectors[known, 3:])
    T_world_camera[known] = transforms.from_rt(rotation, vectors[known, :3])
    return T_world_camera.reshape(-1, 16)


def _shards(
    folder: TensorFolder, max_width: float, saw: Callable[[bytes], object], progress: Progress
) -> Iterator[dict[str, np.ndarray]]:
    """Yield our columns, a shard's worth of file numbers at a time."""
    waiting: list[dict[str, np.ndarray]] = []
    n_waiting = n_done = 0
    for k, block in enumerate(folder.blocks(saw), 1):
        waiting.append(to_rows(block, max_width))
        n_waiting += len(block["hand_poses"])
        n_done += len(block["hand_poses"])
        progress(k, len(folder), n_done)
        if n_waiting >= ROWS_PER_SHARD or k == len(folder):
            yield {name: np.concatenate([rows[name] for rows in waiting]) for name in waiting[0]}
            waiting, n_waiting = [], 0


def _gripper(chosen: str | Path | None, ours: dict[str, Any]) -> dict[str, Any]:
    """The chosen hand, or the one that our own export says, or the one of Dex-Net 2.0."""
    if chosen is None and "gripper" in ours:
        if not isinstance(ours["gripper"], dict) or not {"name", "max_width"} <= set(
            ours["gripper"]
        ):
            raise CorruptDataset(
                "metadata.json: the gripper has no name or max_width: give one with --gripper"
            )
        return ours["gripper"]
    return load_gripper(chosen or "yumi").to_json()


def _crop_config(folder: TensorFolder, size: int, ours: dict[str, Any]) -> dict[str, Any]:
    """The original's window of 96 px, or what our own export says."""
    config = config_from_dict(CropConfig, ours.get("crop", {"size": size}), "metadata.json: crop")
    if config.size != size:
        raise CorruptDataset(
            f"{folder.path}: metadata.json speaks of crops of {config.size} px, the tensors have {size}: restore one"
        )
    return dataclasses.asdict(config)


def _provenance(folder: TensorFolder) -> dict[str, Any]:
    known = "collision_free" in folder.files
    return {
        "format": "dexnet2_tensors",
        "source": folder.path.resolve().name,
        "unknown": folder.unknown,
        "collisions": "stored"
        if known
        else "not stored: robust_epsilon is 0 where the source found one, collision_free is true everywhere",
        "robust_epsilon": "multiplied by collision_free",
    }


def _write_side_tables(path: Path, folder: TensorFolder, counts: Counter[int]) -> None:
    named = "obj_labels" in folder.files
    objects = [
        {
            "object_id": i,
            "name": folder.object_names.get(i, f"object_{i:05d}" if named else "unknown"),
            "mesh_hash": "",
            "extents": [float("nan")] * 3,
            "n_datapoints": n,
            "reason": "",
        }
        for i, n in sorted(counts.items())
    ]
    write_table(pa.Table.from_pylist(objects, OBJECTS), path / "objects.parquet")
    write_table(POSES.empty_table(), path / "poses.parquet")
    write_table(GRASPS.empty_table(), path / "grasps.parquet")
