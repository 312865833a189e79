"""A gripper from a mesh of the open hand: seen from the front two lumps are fingers, what lies between is palm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from .errors import InvalidConfig
from .gripper_boxes import (
    Axis,
    Bounds,
    HandBounds,
    Imported,
    Unmeasured,
    axes_from,
    direction,
    gripper_from_bounds,
)
from .mesh import TriMesh, load_mesh

N_RAYS = 240
"""Rays along each side of the grid that looks at the hand's front."""
TIP_SHARE = 0.1
"""The tips are this share of the hand's length."""
MIN_GAP = 0.001
"""Least distance between two fingers, m."""


def import_mesh_gripper(
    path: str | Path,
    said: Unmeasured,
    unit: float = 1.0,
    closing_axis: Axis = "x",
    approach_axis: Axis = "z",
    min_width: float = 0.0,
) -> Imported:
    """Measure the hand: gap, fingers, palm. The mesh's frame is taken for the hand's base frame.

    Args:
        path: STL, OBJ, PLY, OFF or GLB of the whole hand, **fully open**.
        said: what a mesh does not say.
        unit: metres per unit of the file.
        closing_axis: of the mesh's frame, along which the jaws close.
        approach_axis: along which the fingers point.
        min_width: between the closed jaws, m.

    Raises:
        UnknownAsset: no such file.
        InvalidMesh: not a mesh.
        InvalidConfig: no two fingers are seen from the front, or no palm between them.
    """
    loaded = load_mesh(path, unit)
    R = axes_from(direction(closing_axis), direction(approach_axis))
    mesh = TriMesh(loaded.vertices @ R, loaded.faces, loaded.name)
    height, x = _front(mesh)
    gap = _gap(mesh, height, x)
    behind = (x > gap[0]) & (x < gap[1])
    across = _finger_rows(mesh, height)
    seen = height[np.ix_(behind, across)]
    if not np.isfinite(seen).any():
        raise InvalidConfig(
            f"{loaded.name}: nothing lies behind the gap between the fingers: expected a palm; "
            "is the approach axis right?"
        )
    root = float(seen[np.isfinite(seen)].max())
    fingers, palm = _cut(mesh, root, 1.0), _cut(mesh, root, -1.0)
    middle = (gap[0] + gap[1]) / 2
    jaws = tuple(
        Bounds(side.min(0), side.max(0))
        for side in (fingers[fingers[:, 0] < middle], fingers[fingers[:, 0] > middle])
    )
    assert len(jaws) == 2
    hand = HandBounds(R, jaws, (Bounds(palm.min(0), palm.max(0)),), min_width, root)
    return gripper_from_bounds(hand, said)


def _front(mesh: TriMesh) -> tuple[Float[np.ndarray, "X Y"], Float[np.ndarray, "X"]]:
    """How far the hand reaches along the approach at each (x, y), −inf beside it; and those x."""
    low, high = mesh.bounds
    steps = (np.arange(N_RAYS) + 0.5) / N_RAYS
    x, y = low[0] + steps * (high - low)[0], low[1] + steps * (high - low)[1]
    start = np.stack(np.meshgrid(x, y, [high[2] + 0.01], indexing="ij"), -1).reshape(-1, 3)
    hits = mesh.raycaster.first_hit(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))
    height = np.where(hits.found, high[2] + 0.01 - hits.distance, -np.inf)
    return height.reshape(N_RAYS, N_RAYS), x


def _tips(mesh: TriMesh, height: Float[np.ndarray, "X Y"]) -> Bool[np.ndarray, "X Y"]:
    return height > mesh.bounds[1, 2] - TIP_SHARE * mesh.extents[2]


def _gap(
    mesh: TriMesh, height: Float[np.ndarray, "X Y"], x: Float[np.ndarray, "X"]
) -> tuple[float, float]:
    """Inner edges of the two lumps that the tips are, to within a ray."""
    columns = np.flatnonzero(_tips(mesh, height).any(1))
    lumps = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    if len(lumps) != 2:
        raise InvalidConfig(
            f"{mesh.name}: seen from the front the tips are {len(lumps)} lump{'s' * (len(lumps) != 1)} along the "
            "closing axis: expected two fingers with a gap; give the open hand, and its closing and approach axes"
        )
    inner = float(x[lumps[0][-1]]), float(x[lumps[1][0]])
    if inner[1] - inner[0] < MIN_GAP:
        raise InvalidConfig(f"{mesh.name}: the fingers touch: expected a mesh of the open hand")
    return inner


def _finger_rows(mesh: TriMesh, height: Float[np.ndarray, "X Y"]) -> np.ndarray:
    return np.flatnonzero(_tips(mesh, height).any(0))


def _cut(mesh: TriMesh, z: float, side: float) -> Float[np.ndarray, "n 3"]:
    """Vertices of what lies before (+1) or behind (−1) a plane across the approach."""
    import trimesh  # heavy: loaded with the first use

    plane = z + side * 1e-6  # the palm's face itself is palm
    vertices, faces, _ = trimesh.intersections.slice_faces_plane(
        mesh.vertices, mesh.faces, [0, 0, side], [0, 0, plane]
    )
    return vertices[np.unique(faces)]
