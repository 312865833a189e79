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
from .rays import WHOLE, Window, along, along_at

CELL = 0.002
"""Side of a cell, m: about one and a half pixels at 0.7 m; larger where the scene is wide."""
MAX_CELLS = 800
"""Cells along one side of the map."""
MARGIN = 0.15
"""How much of the surroundings is mapped around the objects, m."""
MAX_SPREAD = 1.0
"""What lies farther than this from most of a mask along the approach is none of its object, m."""
MAX_REACH = 25
"""Widest that the mask of what is mapped is grown, px."""


class Relief(NamedTuple):
    """Height map across the approach axis."""

    depth: Float[np.ndarray, "X Y"]
    """Distance along the approach axis of the first point in each cell, float32 m; inf where nothing was seen or only
    table, and in the outermost ring of cells."""
    corner: Float[np.ndarray, "2"]
    """Lower corner of cell (0, 0) in the relief frame's x, y, m."""
    cell: float
    """Side of a cell, m."""
    R_relief_camera: Float[np.ndarray, "3 3"]
    """Rotation into the relief frame."""

    def around(
        self, grasps_camera: Grasp, offsets: Float[np.ndarray, "#N K 2"]
    ) -> Float[np.ndarray, "N K"]:
        """Height of the surface at points (x, y) of each grasp's frame, relative to the grasp's centre.

        Args:
            grasps_camera: N grasps that approach along this map's axis.
            offsets: K points per grasp, (1, K, 2) where they are the same for all, m.

        Returns:
            z of the surface in the grasp frame, float32 m: negative above the centre (towards the palm); inf where
            there is only table or nothing was seen, and outside the map.
        """
        pose = self.R_relief_camera @ grasps_camera.pose[:, :3, :]
        # in cells: (x, y, 1) of a point times a column for each coordinate of each grasp
        turn = pose[:, :2, [0, 1, 3]] / self.cell
        turn[..., 2] -= self.corner / self.cell
        points = np.concatenate([offsets, np.ones((*offsets.shape[:2], 1))], -1).astype(np.float32)
        turn, index = turn.astype(np.float32), []
        for k, n in enumerate(self.depth.shape):
            if len(points) == 1:
                at = turn[:, k] @ points[0].T
            else:
                at = (points @ turn[:, k, :, None])[..., 0]
            # truncation towards 0 and the clip both end in the outermost ring, which is inf
            index.append(np.clip(at, 0, n - 1, out=at).astype(np.int32))
        z = self.depth.ravel().take(index[0] * np.int32(self.depth.shape[1]) + index[1])
        return z - pose[:, 2, 3, None].astype(np.float32)


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
    region = image.valid if objects is None else image.valid & objects
    pixels = np.flatnonzero(region if region.any() else image.valid)
    focus = along_at(image, R[:2], pixels).astype(float)
    # without objects: the central 96 % of the view, so that one far pixel does not stretch the map
    ends = (
        np.percentile(focus, [2, 98], axis=1) if objects is None else (focus.min(1), focus.max(1))
    )
    if objects is not None and np.max(ends[1] - ends[0]) > MAX_CELLS * CELL - 2 * MARGIN:
        # nor a mask's pixel that looks past the object
        z = along_at(image, R[2:], pixels)[0]
        # one of them: a mean of two may lie between
        middle = np.partition(z, len(z) // 2)[len(z) // 2]
        near = focus[:, np.abs(z - middle) < MAX_SPREAD]
        ends = (near.min(1), near.max(1))
    low, high = ends[0] - MARGIN, ends[1] + MARGIN
    cell = max(CELL, float((high - low).max()) / MAX_CELLS)
    shape = np.ceil((high - low) / cell).astype(int) + 2
    corner = low - cell
    empty = Relief(np.full(shape, np.inf, np.float32), corner, cell, R)
    first = _first_surface(image, empty, floor)
    return empty._replace(depth=obstacles(first, floor))


def _first_surface(image: DepthImage, relief: Relief, floor: float) -> Float[np.ndarray, "X Y"]:
    """Nearest point in each cell of the map, float32 m; inf in empty ones and in the outermost ring.

    Of the table only the pixels around what rises above it are looked at: elsewhere it is the same as nothing.
    """
    z = along(image, relief.R_relief_camera[2])
    above, window = image.valid & (z < floor), _onto_map(image, relief, z)
    pixels = np.flatnonzero(image.valid[window] & _widened(above, image, relief, window))
    index = []
    for axis, corner, n in zip(
        relief.R_relief_camera, relief.corner, relief.depth.shape, strict=False
    ):
        at = along(image, axis / relief.cell, window).take(pixels)
        at -= np.float32(corner / relief.cell)
        # what lies outside the map ends in its outermost ring
        index.append(np.clip(at, 0, n - 1, out=at).astype(np.int32))
    shape = relief.depth.shape
    first = np.full(relief.depth.size, np.inf, np.float32)
    np.minimum.at(first, index[0].astype(np.intp) * shape[1] + index[1], z[window].take(pixels))
    first = first.reshape(shape)
    first[[0, -1]] = first[:, [0, -1]] = np.inf
    return first


def _onto_map(image: DepthImage, relief: Relief, z: Float[np.ndarray, "H W"]) -> Window:
    """Rows and columns whose points may lie on the map, given the distances along the approach, and some more around.

    They cover what the map's box covers, from the nearest point of the image to the farthest.
    """
    import cv2  # heavy: loaded with the first image

    ends = cv2.minMaxLoc(z, image.valid.view(np.uint8))[:2]
    low, high = relief.corner, relief.corner + np.array(relief.depth.shape) * relief.cell
    box = [[x, y, d] for x in (low[0], high[0]) for y in (low[1], high[1]) for d in ends]
    corners = np.array(box) @ relief.R_relief_camera
    if (corners[:, 2] < 1e-3).any():
        return WHOLE
    px = image.intrinsics.project(corners)
    span = [np.floor(px.min(0)) - MAX_REACH, np.ceil(px.max(0)) + MAX_REACH + 1]
    (u0, v0), (u1, v1) = np.clip(span, 0, z.shape[::-1]).astype(int)
    return np.s_[v0:v1, u0:u1]


def _widened(
    above: Bool[np.ndarray, "H W"], image: DepthImage, relief: Relief, window: Window
) -> Bool[np.ndarray, "h w"]:
    """Widen a mask by what three cells measure in the image at its nearest pixel: :func:`obstacles` asks for them.

    Of the widened mask a window is given back, right at all pixels but for those within the reach of its rim.
    """
    import cv2  # heavy: loaded with the first image

    part = np.ascontiguousarray(above[window])
    if part.all() or not part.any():
        return part
    nearest = cv2.minMaxLoc(image.depth, above.view(np.uint8))[0]
    focal = max(image.intrinsics.fx, image.intrinsics.fy)
    reach = min(int(np.ceil(3 * relief.cell * focal / max(nearest, 0.1))), MAX_REACH)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(part.view(np.uint8), kernel)).view(bool)


def across(approach_axis: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return R_relief_camera, whose third row is the approach axis and whose first leans on image +u."""
    z = np.asarray(approach_axis, float)
    x = np.array([1.0, 0.0, 0.0]) - z[0] * z
    x = x / np.linalg.norm(x) if np.linalg.norm(x) > 1e-6 else np.array([0.0, 1.0, 0.0])
    return np.stack([x, np.cross(z, x), z])


def obstacles(first: Float[np.ndarray, "X Y"], floor: float) -> Float[np.ndarray, "X Y"]:
    """Leave out the table, and give a cell that no pixel fell into, between seen cells, the mean of those.

    The mean of table alone is table, so that only gaps beside obstacles are looked at.
    """
    import cv2  # heavy: loaded with the first image

    seen, obstacle = first < np.inf, first < floor
    count = cv2.boxFilter(
        seen.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    beside = cv2.dilate(obstacle.view(np.uint8), np.ones((3, 3), np.uint8))
    # three of the eight neighbours: less is the rim of the map or of a shadow
    gap = (count >= 3) & ~seen & beside.view(bool)
    gap[[0, -1]] = gap[:, [0, -1]] = False
    cells, width = np.flatnonzero(gap), first.shape[1]
    steps = np.array([dx * width + dy for dx in (-1, 0, 1) for dy in (-1, 0, 1)])
    around = first.take(steps[:, None] + cells)
    known = around < np.inf
    mean = np.where(known, around, 0).sum(0) / known.sum(0)
    depth = np.full(first.shape, np.inf, np.float32)
    np.copyto(depth, first, where=obstacle)
    depth.ravel()[cells] = np.where(mean < floor, mean, np.inf)
    return depth
