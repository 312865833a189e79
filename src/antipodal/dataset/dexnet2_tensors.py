"""The original's tensor data set (`depth_ims_tf_table_00000.npz` …): its layout, and reading it (reference §6.5, §6.6).

One ``.npz`` per field and file number, its array under the key ``arr_0``, rows aligned across fields. The files lie in
``tensors/`` beside ``config.json``, or, before 2018, directly in the folder. ``hand_poses`` has the columns row and
column of the grasp in px, depth in m, angle in rad in a whole turn, row − cy, column − cx, gripper width in px.
docs/dexnet2-formats.md says which fact goes where.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..camera import MAX_DEPTH
from ..errors import CorruptDataset, InvalidConfig, UnknownAsset
from ..files import partial_folder

REQUIRED = ("depth_ims_tf_table", "hand_poses", "robust_ferrari_canny")
"""Tensors without which nothing can be learned."""
CAMERA = ("camera_poses", "camera_intrs")
"""Declared by the original and never written. Ours: position (m) and wxyz of T_world_camera; fx, fy, cx, cy (px)."""
LABELS = {
    "obj_labels": "object_id",
    "pose_labels": "pose_id",
    "image_labels": "image_id",
    "grasp_labels": "grasp_id",
}
"""Running ids and our names for them; ``grasp_labels`` is our addition."""
OPTIONAL = ("collision_free", *LABELS, *CAMERA)
"""Tensors that are read where they exist."""
LEGACY_NAMES = {"object_labels": "obj_labels"}
"""Field names of before 2018."""
VECTORS = {"hand_poses": 7, "camera_poses": 7, "camera_intrs": 4}
"""Columns of the fields that are vectors."""
DEPTH = 2
"""Column of ``hand_poses``."""
MAX_DISTANCE = 0.2
"""That half of a file's grasps may lie before or behind all that their crops show, m: the original's lie within it."""
MIN_FOCAL_PX = 10.0
"""A shorter focal length is taken for another unit."""
ROWS_PER_FILE = 1000
"""``datapoints_per_file`` of the original."""

_FILE = re.compile(r"(.+)_(\d{5,})\.npz")
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class TensorFolder:
    """A tensor data set of the original, opened for reading; the rows are read by :meth:`blocks`."""

    path: Path
    files: dict[str, list[Path]]
    """Files of each known field, in order."""
    metadata: dict[str, Any]
    """Content of metadata.json, or empty."""
    object_names: dict[int, str]
    """From object_category_map.json, or empty."""
    rows_per_file: int | None
    """From config.json: rows of every file but the last; None where there is none."""

    @classmethod
    def open(cls, path: str | Path) -> TensorFolder:
        """Open a folder in the layout of autolab_core or in the one before 2018.

        Raises:
            UnknownAsset: no tensors there.
            CorruptDataset: a required field, or a file of one, is missing.
        """
        path = Path(path)
        tensors = path / "tensors" if (path / "tensors").is_dir() else path
        found: dict[str, dict[int, Path]] = {}
        for file in sorted(tensors.glob("*.npz")):
            if match := _FILE.fullmatch(file.name):
                field = LEGACY_NAMES.get(match[1], match[1])
                found.setdefault(field, {})[int(match[2])] = file
        if not found:
            raise UnknownAsset(
                f"no tensors in {path}: expected a folder with tensors/depth_ims_tf_table_00000.npz, …"
            )
        if missing := [field for field in REQUIRED if field not in found]:
            raise CorruptDataset(
                f"{path} has the tensors {', '.join(sorted(found))}: a Dex-Net 2.0 data set needs "
                f"{', '.join(missing)} too"
            )
        fields = [field for field in (*REQUIRED, *OPTIONAL) if field in found]
        n = 1 + max(max(found[field]) for field in fields)
        files = {}
        for field in fields:
            if gaps := sorted(set(range(n)) - set(found[field])):
                raise CorruptDataset(
                    f"{tensors} lacks {field}_{gaps[0]:05d}.npz: expected files 00000 to {n - 1:05d} of each field; "
                    "restore it"
                )
            files[field] = [found[field][k] for k in range(n)]
        per_file = _read_json(path / "config.json").get("datapoints_per_file")
        names = _object_names(path)
        return cls(path, files, _read_json(path / "metadata.json"), names, per_file)

    @property
    def unknown(self) -> list[str]:
        """Optional tensors that this data set does not have."""
        return [field for field in OPTIONAL if field not in self.files]

    def __len__(self) -> int:
        """Return the number of files of each field."""
        return len(self.files[REQUIRED[0]])

    def blocks(
        self, saw: Callable[[bytes], object] = lambda data: None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield all fields of one file number after the other, checked.

        Crops come as (N, S, S), labels as int32, everything else as it is.

        Args:
            saw: called with the bytes of every file that is read, e.g. to hash them.

        Raises:
            CorruptDataset: unreadable, of another shape than the format says, or rows that contradict each other.
        """
        size = None
        for k in range(len(self)):
            block = {field: _load(files[k], saw) for field, files in self.files.items()}
            _check_shapes(block, {field: files[k] for field, files in self.files.items()}, size)
            n, size = block["depth_ims_tf_table"].shape[:2]
            if self.rows_per_file not in (None, n) and k + 1 < len(self):
                file = self.files["depth_ims_tf_table"][k]
                raise CorruptDataset(
                    f"{file} has {n} rows: config.json says {self.rows_per_file}; restore it"
                )
            block["depth_ims_tf_table"] = block["depth_ims_tf_table"].reshape(-1, size, size)
            for field in LABELS:
                if field in block:
                    block[field] = _ids(block[field], self.files[field][k])
            _check_values(block, self.files["hand_poses"][k])
            yield block


def read_split(path: str | Path, name: str) -> tuple[Int[np.ndarray, "T"], Int[np.ndarray, "V"]]:
    """Read a stored split: row numbers of training and validation, valid for the imported data set as well.

    Raises:
        UnknownAsset: no such split; lists those there are.
        CorruptDataset: a file of it is missing or unreadable, or holds what are no row numbers of two sides.
    """
    folder = Path(path) / "splits"
    if not (folder / name).is_dir():
        known = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        raise UnknownAsset(f"no split '{name}' in {path}: it has {', '.join(known) or 'none'}")
    n = sum(len(_load(file)) for file in TensorFolder.open(path).files["robust_ferrari_canny"])
    train, validation = (
        _rows(folder / name / f"{side}_indices.npz", n) for side in ("train", "val")
    )
    if both := len(np.intersect1d(train, validation)):
        raise CorruptDataset(
            f"{folder / name} has {both} rows on both sides: expected what is trained on apart from what validates it"
        )
    return train, validation


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` when everything is written.

    Raises:
        InvalidConfig: ``path`` already holds something.
    """
    path = Path(path).resolve()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidConfig(f"{path} already holds something: choose a new folder, or delete it")
    with partial_folder(path) as temporary:
        yield temporary
        temporary.replace(path)


def pixels_per_metre(
    angle: Float[np.ndarray, "N"],
    depth: Float[np.ndarray, "N"],
    intrinsics: Float[np.ndarray, "N 4"],
) -> Float[np.ndarray, "N"]:
    """Length in px of one metre along the closing axis at the grasp's depth; NaN where the camera is unknown."""
    fx, fy = intrinsics[:, 0], intrinsics[:, 1]
    return np.hypot(fx * np.cos(angle), fy * np.sin(angle)) / depth


def _load(file: Path, saw: Callable[[bytes], object] = lambda data: None) -> np.ndarray:
    try:
        data = file.read_bytes()
        with np.load(io.BytesIO(data)) as archive:
            values = archive["arr_0"]
    except FileNotFoundError as error:
        raise CorruptDataset(f"{file} is missing: restore it") from error
    except _UNREADABLE as error:
        raise CorruptDataset(
            f"{file} is not readable ({error}): expected an .npz with 'arr_0'; restore it"
        ) from error
    if values.dtype.kind not in "fiub":
        raise CorruptDataset(f"{file} holds {values.dtype}: expected numbers; restore it")
    saw(data)
    return values


def _check_shapes(block: dict[str, np.ndarray], files: dict[str, Path], size: int | None) -> None:
    shape = block["depth_ims_tf_table"].shape
    square = len(shape) in (3, 4) and shape[1] == shape[2] and shape[3:] in ((), (1,))
    if not square or shape[1] != (size or shape[1]) or not 4 <= shape[1] <= 512:
        wanted = f"(N, {size}, {size}, 1)" if size else "(N, 32, 32, 1)"
        raise CorruptDataset(
            f"{files['depth_ims_tf_table']} has shape {shape}: expected {wanted}; is it a Dex-Net 2.0 data set?"
        )
    for field, values in block.items():
        if field == "depth_ims_tf_table":
            continue
        wanted = (shape[0], VECTORS[field]) if field in VECTORS else (shape[0],)
        if values.shape != wanted:
            raise CorruptDataset(
                f"{files[field]} has shape {values.shape}: expected {wanted}, as its crops have {shape[0]} rows"
            )


def _check_values(block: dict[str, np.ndarray], file: Path) -> None:
    poses, crops = block["hand_poses"], block["depth_ims_tf_table"]
    depth = poses[:, DEPTH]
    if not (np.isfinite(poses[:, :4]).all() and ((depth > 0) & (depth <= MAX_DEPTH)).all()):
        raise CorruptDataset(
            f"{file} has grasps without a finite pixel, angle and depth in metres, above 0 and up to {MAX_DEPTH:g} "
            f"(column {DEPTH}): is it in millimetres? Restore it"
        )
    if not np.isfinite(crops).all() or (crops < 0).any() or crops.max(initial=0) > MAX_DEPTH:
        raise CorruptDataset(
            f"the crops that go with {file.name} are not depths in metres from 0 to {MAX_DEPTH:g}: expected them as "
            "the camera measured, not normalised and not relative to the grasp; restore them"
        )
    if not (off := _distance_to_crops(depth, crops)) <= MAX_DISTANCE:
        raise CorruptDataset(
            f"the crops that go with {file.name} show {'nothing' if np.isinf(off) else f'what is {off:.2g} m away'} "
            "where its grasps are (median): expected depths in metres from the same camera in both; restore them"
        )
    if n := int((~np.isfinite(block["robust_ferrari_canny"])).sum()):
        raise CorruptDataset(
            f"{n} rows that go with {file.name} have a robust_ferrari_canny that is not finite: expected 0 for a "
            "grasp that does not hold; restore them"
        )
    focal = block.get("camera_intrs", np.zeros((0, 4)))[:, :2]
    if ((focal != 0) & (focal < MIN_FOCAL_PX)).any():
        raise CorruptDataset(
            f"camera_intrs that go with {file.name} have a focal length of {np.nanmin(focal[focal != 0]):g}: "
            "expected pixels, 0 or NaN where it is not known"
        )
    if "collision_free" in block:
        if not np.isin(block["collision_free"], (0, 1)).all():
            raise CorruptDataset(
                f"collision_free that goes with {file.name} is neither 0 nor 1 somewhere: restore it, or delete "
                "collision_free_*.npz to take the metric's word"
            )
        contradicted = (block["collision_free"] == 0) & (block["robust_ferrari_canny"] > 0)
        if contradicted.any():
            raise CorruptDataset(
                f"{int(contradicted.sum())} rows that go with {file.name} collide and have a robust_ferrari_canny > 0: "
                "expected 0 there; delete collision_free_*.npz to take the metric's word"
            )


def _distance_to_crops(depth: np.ndarray, crops: np.ndarray) -> float:
    """Median over the rows: how far a grasp is before or behind all that its crop shows, m; ∞ if that is nothing."""
    nearest = np.where(crops > 0, crops, np.inf).min((1, 2)) - depth
    beyond = depth - crops.max((1, 2))
    return float(np.median(np.maximum(np.maximum(nearest, beyond), 0))) if len(depth) else 0.0


def _rows(file: Path, n: int) -> Int[np.ndarray, "M"]:
    rows = _load(file)
    whole = rows.ndim == 1 and rows.dtype != bool and (rows == np.floor(rows)).all()
    if not (whole and ((rows >= 0) & (rows < n)).all()):
        raise CorruptDataset(
            f"{file} holds {rows.dtype} of shape {rows.shape}: expected whole row numbers from 0 to {n - 1}; restore it"
        )
    return rows.astype(np.int64)


def _ids(values: np.ndarray, file: Path) -> Int[np.ndarray, "N"]:
    if not ((values >= 0) & (values < 2**31) & (values == np.floor(values))).all():
        raise CorruptDataset(f"{file} holds ids outside 0 … 2³¹ − 1: restore it")
    return values.astype(np.int32)


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise CorruptDataset(f"{file} is not JSON ({error}): restore or delete it") from error
    if not isinstance(values, dict):
        raise CorruptDataset(f"{file} is not a JSON object: restore or delete it")
    return values


def _object_names(path: Path) -> dict[int, str]:
    names = _read_json(path / "object_category_map.json")
    if not all(isinstance(i, int) for i in names.values()):
        raise CorruptDataset(
            f"{path / 'object_category_map.json'} is not name → id: mend it, or delete it to import without names"
        )
    return {i: name for name, i in names.items()}
