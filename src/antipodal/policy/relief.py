"""The scene seen along the approach: for every cell across the approach axis, how far the first surface is.

All grasps of a plan share one approach axis. So the question "what does a finger meet on its way in?" is, for every
grasp, a look-up in one map. ``relief`` frame: origin at the camera, z = approach axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..grasp import Grasp

CELL = 0.002
"""Side of a cell, m: about one and a half pixels at 0.7 m; larger where the scene is wide."""
MAX_CELLS = 800
"""Cells along one side of the map."""
MARGIN = 0.15
"""How much of the surroundings is mapped around the objects, m."""


class Relief(NamedTuple):
    """Height map across the approach axis."""

    depth: Float[np.ndarray, "X Y"]
    """Distance along the approach axis of the first point in each cell, m; inf where nothing was seen, and in the
    outermost ring of cells."""
    mean: Float[np.ndarray, "X Y"]
    """The same for the mean of the points in each cell: less sure to show an obstacle, truer to the shape."""
    corner: Float[np.ndarray, "2"]
    """Lower corner of cell (0, 0) in the relief frame's x, y, m."""
    cell: float
    """Side of a cell, m."""
    R_relief_camera: Float[np.ndarray, "3 3"]
    """Rotation into the relief frame."""
    floor: float
    """Cells at this distance or farther are table, not obstacle, m; inf where no table is known."""

    def averaged(self) -> Relief:
        """Return the map of means."""
        return self._replace(depth=self.mean)

    def look_up(self, points_relief: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch"]:
        """Distance along the approach axis of the surface at points (…, 2); inf outside the map or where unseen."""
        index = ((points_relief - self.corner) * (1.0 / self.cell)).astype(np.int64)
        # truncation towards 0 and the clip both end in the outermost ring, which is inf
        i = np.clip(index[..., 0], 0, self.depth.shape[0] - 1)
        j = np.clip(index[..., 1], 0, self.depth.shape[1] - 1)
        return self.depth[i, j]

    def around(
        self, grasps_camera: Grasp, offsets: Float[np.ndarray, "#N K 2"]
    ) -> Float[np.ndarray, "N K"]:
        """Height of the surface at points (x, y) of each grasp's frame, relative to the grasp's centre.

        Args:
            grasps_camera: N grasps that approach along this map's axis.
            offsets: K points per grasp, (1, K, 2) where they are the same for all, m.

        Returns:
            z of the surface in the grasp frame, m: negative above the centre (towards the palm); inf where there is
            only table or nothing was seen.
        """
        pose = self.R_relief_camera @ grasps_camera.pose[:, :3, :]
        points = offsets @ np.swapaxes(pose[:, :2, :2], 1, 2) + pose[:, None, :2, 3]
        z = self.look_up(points)
        return np.where(z < self.floor, z, np.inf) - pose[:, 2, 3, None]


def build_relief(
    image: DepthImage,
    approach_axis: Float[np.ndarray, "3"],
    objects: Bool[np.ndarray, "H W"] | None = None,
    floor: float = np.inf,
) -> Relief:
    """Map the visible surface across ``approach_axis`` (unit, camera frame).

    Args:
        image: the depth image; missing pixels leave cells unseen.
        approach_axis: direction of approach.
        objects: pixels whose surroundings are mapped, or None for all.
        floor: distance along the axis from which on a cell counts as table.
    """
    R = across(approach_axis)
    points = image.points_camera()[image.valid] @ R.T
    region = image.valid if objects is None else (image.valid & objects)
    focus = points if objects is None or not region.any() else image.points_camera()[region] @ R.T
    # without objects: the central 96 % of the view, so that one far pixel does not stretch the map
    low, high = np.percentile(focus[:, :2], [0, 100] if objects is not None else [2, 98], axis=0)
    low, high = low - MARGIN, high + MARGIN
    cell = max(CELL, float((high - low).max()) / MAX_CELLS)
    corner = low - cell
    shape = tuple(int(n) for n in np.ceil((high - low) / cell).astype(np.int64) + 2)
    index = np.floor((points[:, :2] - corner) / cell).astype(np.int64)
    inside = ((index >= 1) & (index < np.array(shape) - 1)).all(-1)
    flat = np.ravel_multi_index((index[inside, 0], index[inside, 1]), shape)
    first = np.full(shape[0] * shape[1], np.inf)
    np.minimum.at(first, flat, points[inside, 2])
    total = np.bincount(flat, points[inside, 2], len(first))
    with np.errstate(invalid="ignore"):
        mean = np.where(np.isfinite(first), total / np.bincount(flat, minlength=len(first)), np.inf)
    return Relief(_close(first.reshape(shape)), _close(mean.reshape(shape)), corner, cell, R, floor)


def across(approach_axis: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return R_relief_camera, whose third row is the approach axis and whose first leans on image +u."""
    z = np.asarray(approach_axis, float)
    x = np.array([1.0, 0.0, 0.0]) - z[0] * z
    x = x / np.linalg.norm(x) if np.linalg.norm(x) > 1e-6 else np.array([0.0, 1.0, 0.0])
    return np.stack([x, np.cross(z, x), z])


def _close(depth: Float[np.ndarray, "X Y"]) -> Float[np.ndarray, "X Y"]:
    """Give a cell that no pixel fell into, between seen cells, the mean of those."""
    import cv2  # heavy: loaded with the first image

    seen = np.isfinite(depth)
    known = np.where(seen, depth, 0.0)
    total = cv2.boxFilter(known, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(
        seen.astype(np.float64), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    # three of the eight neighbours: less is the rim of the map or of a shadow
    closed = np.where(seen, depth, np.where(count > 2.5, total / np.maximum(count, 1.0), np.inf))
    closed[[0, -1]] = closed[:, [0, -1]] = np.inf
    return closed
