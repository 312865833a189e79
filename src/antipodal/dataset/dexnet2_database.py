"""Read a `dexnet_2` HDF5 database: objects with their stable poses, grasps and metrics (reference §6.9, §1.3).

    datasets/NAME/objects/KEY      attribute mass
        mesh/                      vertices (V, 3) m, triangles (F, 3)
        stable_poses/pose_i        attributes p, r (3, 3), x0
        grasps/GRIPPER/grasp_i     attributes id, type, configuration (10)
            metrics                one attribute per metric

Dex-Net's grasp frame has x = approach and y = closing; here z is the approach and x closes (docs/conventions.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .. import transforms
from ..errors import CorruptDataset, UnknownAsset
from ..grasp import Grasp
from ..mesh import MAX_EXTENT, TriMesh
from ..stable_pose import StablePose

if TYPE_CHECKING:
    import h5py

PARALLEL_JAW = "ParallelJawPtGrasp3D"
"""The grasp type that is read; suction grasps in the same group are passed over."""
MAX_WIDTH = 1.0
"""Opening of a hand that is believed, m."""
ON_TABLE = 1e-3
"""How far x0, a point of the resting face, may lie from the lowest vertex, m."""


class DatabaseGrasps(NamedTuple):
    """The grasps of one gripper on one object."""

    grasps_obj: Grasp
    """Width: the gripper's largest opening, m."""
    grasp_id: Int[np.ndarray, "N"]
    metrics: dict[str, Float[np.ndarray, "N"]]
    """Each metric by its name in the database; NaN where a grasp lacks it."""


@dataclass(frozen=True, eq=False)
class DatabaseObject:
    """One object of a database."""

    dataset: str
    name: str
    mesh: TriMesh
    """As stored, in m, not repaired."""
    mass: float
    """kg; NaN if not stored. The original writes 1 everywhere, so the mesh keeps our density."""
    stable_poses: tuple[StablePose, ...]
    """Most probable first; lowest point at z = 0, centre of mass over the origin."""
    grasps: dict[str, DatabaseGrasps]
    """By the name of the gripper."""


def read_database(path: str | Path, dataset: str | None = None) -> Iterator[DatabaseObject]:
    """Yield the objects of a database one by one, in the order of their names.

    Args:
        path: the ``.hdf5`` file.
        dataset: one of its data sets; None: all of them.

    Raises:
        UnknownAsset: no such file or data set.
        CorruptDataset: not a Dex-Net database, or an object of it is damaged or not in metres.
    """
    try:
        import h5py
    except ImportError as error:  # pragma: no cover - needs an environment without h5py
        raise ImportError(
            "reading Dex-Net databases needs h5py: pip install 'antipodal[data]'"
        ) from error
    path = Path(path)
    if not path.is_file():
        raise UnknownAsset(f"no database {path}: check the path")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CorruptDataset(f"{path} is not an HDF5 file ({error}): restore it") from error
    with file:
        datasets = _group(file, "datasets")
        if dataset is not None and dataset not in datasets:
            raise UnknownAsset(f"no data set '{dataset}' in {path}: it has {', '.join(datasets)}")
        for name in [dataset] if dataset is not None else list(datasets):
            objects = _group(_group(datasets, name), "objects")
            for key in objects:
                yield _object(name, str(key), objects)


def grasps_from_configurations(configurations: Float[np.ndarray, "N 10"]) -> Grasp:
    """Convert Dex-Net's vectors (centre, closing axis, width, approach angle, …) to grasps in the object's frame.

    At angle 0 its frame is y = closing axis, x = (y₁, −y₀, 0) normalised, or (1, 0, 0) if that is zero, z = x × y. At
    angle θ the approach is cos θ · x + sin θ · z: the original turns by −θ about y in the right-handed sense, as its
    recorded table alignments show.
    """
    c = np.asarray(configurations, float)
    y = c[:, 3:6]
    x = np.stack([y[:, 1], -y[:, 0], np.zeros(len(c))], -1)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    x = np.where(norm > 0, x / np.where(norm > 0, norm, 1.0), [1.0, 0.0, 0.0])
    angle = c[:, 7:8]
    approach = np.cos(angle) * x + np.sin(angle) * np.cross(x, y)
    return Grasp.from_axes(c[:, :3], y, approach, c[:, 6])


def _object(dataset: str, key: str, objects: h5py.Group) -> DatabaseObject:
    group = _group(objects, key)
    try:
        stored = _group(group, "mesh")
        mesh = TriMesh(_values(stored, "vertices"), _values(stored, "triangles"), key)
        if (size := float(mesh.extents.max())) > MAX_EXTENT:
            raise CorruptDataset(
                f"{group.name}: extents {size:g} m: expected below {MAX_EXTENT:g} m; is it in millimetres?"
            )
        poses = (
            _stable_poses(_group(group, "stable_poses"), mesh) if "stable_poses" in group else ()
        )
        hands = _group(group, "grasps") if "grasps" in group else None
        names = [str(name) for name in hands] if hands is not None else []
        grasps = {name: _grasps(_group(hands, name), mesh) for name in names} if hands else {}
        mass = float(group.attrs.get("mass", np.nan))
    except CorruptDataset:
        raise
    except (TypeError, ValueError, OSError, RuntimeError) as error:  # our types refuse it, or HDF5
        raise CorruptDataset(f"{group.name}: {error}") from error
    return DatabaseObject(dataset, key, mesh, mass, poses, grasps)


def _stable_poses(group: h5py.Group, mesh: TriMesh) -> tuple[StablePose, ...]:
    """r turns the object to the table; x0, a point of the resting face, confirms it: the lowest vertex is on it."""
    poses = []
    for pose in _numbered(group, "pose"):
        R = np.asarray(_attribute(pose, "r"), float).reshape(3, 3)
        t = -R @ mesh.center_of_mass
        t[2] = -(mesh.vertices @ R[2]).min()
        found = StablePose(transforms.from_rt(R, t), float(_attribute(pose, "p")))
        if not 0 <= found.probability <= 1 + 1e-6:  # of float32
            raise CorruptDataset(
                f"{pose.name} has p = {found.probability:g}: expected a probability; restore it"
            )
        height = R[2] @ np.asarray(pose.attrs["x0"], float) + t[2] if "x0" in pose.attrs else 0.0
        if not abs(height) <= ON_TABLE:
            raise CorruptDataset(
                f"{pose.name}: x0 is {height:g} m above the lowest vertex: expected both on the table; are r and x0 of "
                "this mesh?"
            )
        poses.append(found)
    return tuple(sorted(poses, key=lambda pose: -pose.probability))


def _grasps(group: h5py.Group, mesh: TriMesh) -> DatabaseGrasps:
    configurations, ids, found = [], [], []
    stored = _numbered(group, "grasp")
    if not stored and (n := int(group.attrs.get("num_grasps", 0))):
        raise CorruptDataset(f"{group.name} says {n} grasps and has none: restore it")
    for index, grasp in enumerate(stored):
        kind = grasp.attrs.get("type", PARALLEL_JAW)
        kind = kind.item() if isinstance(kind, np.ndarray) and kind.size == 1 else kind
        if (kind.decode() if isinstance(kind, bytes) else str(kind)) != PARALLEL_JAW:
            continue
        configuration = np.asarray(_attribute(grasp, "configuration"), float)
        if configuration.ndim != 1 or not 8 <= len(configuration) <= 10:
            raise CorruptDataset(
                f"{grasp.name} has a configuration of shape {configuration.shape}: expected 10 numbers"
            )
        configurations.append(configuration[:8])
        ids.append(int(grasp.attrs.get("id", index)))
        metrics = _group(grasp, "metrics").attrs if "metrics" in grasp else {}
        found.append({name: float(value) for name, value in metrics.items()})
    names = sorted({name for metrics in found for name in metrics})
    grasps = grasps_from_configurations(np.array(configurations).reshape(-1, 8))
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    outside = np.linalg.norm(grasps.center - np.clip(grasps.center, low, high), axis=-1)
    wrong = (grasps.width <= 0) | (grasps.width > MAX_WIDTH) | (outside > grasps.width)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise CorruptDataset(
            f"{group.name}: the grasp with id {ids[k]} opens by {grasps.width[k]:g} m, its centre {outside[k]:g} m "
            f"outside the mesh's box: expected an opening in metres, above 0 and up to {MAX_WIDTH:g}, and a centre not "
            "farther than that from the mesh"
        )
    return DatabaseGrasps(
        grasps,
        np.array(ids, np.int64),
        {m: np.array([metrics.get(m, np.nan) for metrics in found]) for m in names},
    )


def _numbered(group: h5py.Group, what: str) -> list[h5py.Group]:
    """The groups what_0, what_1, … by number: HDF5 sorts them as text."""
    keys = [str(key) for key in group if re.fullmatch(rf"{what}_\d+", str(key))]
    return [_group(group, key) for key in sorted(keys, key=lambda k: int(k.rpartition("_")[2]))]


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    import h5py

    child = parent.get(name)
    if not isinstance(child, h5py.Group):
        raise CorruptDataset(
            f"{parent.file.filename}: {parent.name} has no group '{name}' but {', '.join(parent) or 'nothing'}: "
            "expected a dexnet_2 database"
        )
    return child


def _values(parent: h5py.Group, name: str) -> np.ndarray:
    import h5py

    child = parent.get(name)
    if not isinstance(child, h5py.Dataset):
        raise CorruptDataset(
            f"{parent.file.filename}: {parent.name} lacks the array '{name}': restore it"
        )
    return child[()]


def _attribute(group: h5py.Group, name: str) -> Any:
    if name not in group.attrs:
        raise CorruptDataset(f"{group.name} lacks the attribute '{name}': restore it")
    return group.attrs[name]
