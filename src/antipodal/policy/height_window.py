"""What a dense network sees, and what its cells stand for: square windows of the relief, in strokes of the hand.

    relief (m) ─▶ square windows of heights ─▶ network ─▶ (angle, tip depth) of every cell ─▶ grasps

Axis 0 of a window is the relief's x, axis 1 its y. Hand and scene scaled alike touch alike, so that all lengths are
told in strokes. A cell's tips lie so far below the surface in the cell, but never lower than the table lets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from .constraints import DEFAULT_CONSTRAINTS, ConstraintConfig
from .relief import Relief
from .view import View

SIDES = (64, 80, 96)
"""Cells along a window's side: the smallest is taken that holds the objects and their surroundings."""
SIZE = SIDES[-1]
"""The largest."""
MARGIN = 16
"""Cells of a window's rim: they are seen, but no grasp is centred there."""
CELL = 0.05
"""Side of a cell, strokes."""
N_ANGLES = 16
"""Closing axes: middles of equal bins of half a turn, from the relief's x."""
TIP_DEPTHS = (0.1, 0.2, 0.3, 0.45, 0.6)
"""Of the tips below the cell's surface, strokes."""
MAX_HEIGHT = 4.0
"""Networks see surfaces clipped to this height, strokes."""
LOWEST_SURFACE = 0.1
"""A surface lower than this above the table leaves the tips no room, strokes."""
APART = 10
"""Objects' cells are of one group where squares of so many cells of the relief, in which they lie, touch."""
ABOVE_TABLE = 3e-4
"""Tips stay this much higher than they must: rounding does not decide, m."""


class HeightWindow(NamedTuple):
    """A square piece of the scene seen along the approach."""

    height: Float[np.ndarray, "S S"]
    """Of the surface above the floor, float32 strokes; 0 for table and what is not seen."""
    corner: Float[np.ndarray, "2"]
    """Middle of cell (0, 0) in the relief's x and y, m."""
    stroke: float
    """m."""
    floor: float
    """Distance of height 0 along the approach, m."""
    cells: Int[np.ndarray, "K 2"]
    """Where a grasp may be centred."""
    volume: float = 0.0
    """Sum of the heights of those of the relief's cells."""

    @property
    def shown(self) -> Float[np.ndarray, "S S"]:
        """Heights as networks see them: no more than :data:`MAX_HEIGHT`."""
        return np.minimum(self.height, np.float32(MAX_HEIGHT))


class Cells(NamedTuple):
    """Some entries of a network's answer on one window, (angle, tip depth, cell)."""

    angle: Int[np.ndarray, "N"]
    depth: Int[np.ndarray, "N"]
    cell: Int[np.ndarray, "N 2"]


def angles() -> Float[np.ndarray, "A"]:
    """Angle of each channel's closing axis about the relief's z from its x, rad."""
    return (np.arange(N_ANGLES) + 0.5) * np.pi / N_ANGLES


def closing_axes(view: View, theta: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N 3"]:
    """Turn angles about the relief's z into closing axes in the camera frame."""
    axis = np.stack([np.cos(theta), np.sin(theta), np.zeros(len(theta))], -1)
    return axis @ view.relief.R_relief_camera


def height_windows(
    view: View, gripper: GripperModel, sides: tuple[int, ...] = SIDES
) -> Iterator[HeightWindow]:
    """Cover what may be grasped with windows, the most voluminous first; a cell is a candidate in one of them.

    Args:
        view: the scene.
        gripper: its stroke is the unit.
        sides: cells along a window's side that are to choose from, the largest last.
    """
    relief, stroke = view.relief, gripper.max_width
    seen = _where(np.isfinite(relief.depth))
    if len(seen) == 0:
        return
    depth = relief.depth[seen[:, 0], seen[:, 1]]
    floor = view.table.offset if view.table is not None else float(depth.max())
    above = np.maximum((np.float32(floor) - depth) / np.float32(stroke), 0.0)
    height = np.zeros(relief.depth.shape, np.float32)
    height[seen[:, 0], seen[:, 1]] = above
    high = above > LOWEST_SURFACE
    where = _on_objects(view, seen[high], depth[high])
    inner = (sides[-1] - 2 * MARGIN - 2) * CELL * stroke / relief.cell
    parts = [p for group in _groups(where) for p in _parts(group, inner)]
    volumes = [float(height[cells[:, 0], cells[:, 1]].sum()) for cells in parts]
    for k in np.argsort(np.negative(volumes), kind="stable"):
        yield _window(relief, height, parts[k], stroke, floor, sides)._replace(volume=volumes[k])


def to_grasps(
    view: View,
    window: HeightWindow,
    some: Cells,
    gripper: GripperModel,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    turned: Float[np.ndarray, "A"] | None = None,
) -> PlanarGrasp:
    """Make the grasps that entries of the answer stand for, opened to the whole stroke.

    Args:
        view: the scene.
        window: a piece of it.
        some: entries of the answer.
        gripper: the hand.
        constraints: how near the table the tips may come.
        turned: angle of each channel, rad; None = the middles of their bins.
    """
    relief = view.relief
    x, y = some.cell.T
    top = window.floor - window.height[x, y].astype(float) * window.stroke
    tip = top + np.array(TIP_DEPTHS)[some.depth] * window.stroke
    if view.table is not None:
        least = max(constraints.table_clearance, view.request.min_height or 0.0)
        tip = np.minimum(tip, view.table.offset - least - ABOVE_TABLE)
    xy = window.corner + some.cell * (CELL * window.stroke)
    theta = (angles() if turned is None else turned)[some.angle]
    spatial = Grasp.from_axes(
        np.column_stack([xy, tip - gripper.tip_overhang]) @ relief.R_relief_camera,
        closing_axes(view, theta),
        view.approach_axis,
        gripper.max_width,
    )
    return spatial.to_planar(view.image.intrinsics)


def _where(is_so: Bool[np.ndarray, "X Y"]) -> Int[np.ndarray, "K 2"]:
    """Do as ``np.argwhere``, in a tenth of the time."""
    return np.stack(np.divmod(np.flatnonzero(is_so), is_so.shape[1]), -1)


def _on_objects(
    view: View, cells: Int[np.ndarray, "K 2"], depth: Float[np.ndarray, "K"]
) -> Int[np.ndarray, "k 2"]:
    """Keep the cells of the relief whose surface, at these depths, is seen on an object."""
    relief = view.relief
    if view.objects is None or len(cells) == 0:
        return cells
    points = np.column_stack([relief.corner + (cells + 0.5) * relief.cell, depth])
    px = view.image.intrinsics.project(points @ relief.R_relief_camera)
    h, w = view.objects.shape
    u, v = np.clip(np.rint(px), 0, [w - 1, h - 1]).astype(np.int64).T
    return cells[view.objects[v, u]]


def _groups(cells: Int[np.ndarray, "K 2"]) -> list[Int[np.ndarray, "k 2"]]:
    """Part cells that lie far from each other."""
    import cv2  # heavy: loaded with the first plan

    if len(cells) == 0:
        return []
    low = cells.min(0)
    coarse = (cells - low) // APART
    where = np.zeros(coarse.max(0) + 1, np.uint8)
    where[coarse[:, 0], coarse[:, 1]] = 1
    n, labels = cv2.connectedComponents(where)
    if n == 2:
        return [cells]
    label = np.asarray(labels)[coarse[:, 0], coarse[:, 1]]
    return [cells[label == k] for k in range(1, n)]


def _parts(cells: Int[np.ndarray, "K 2"], inner: float) -> list[Int[np.ndarray, "k 2"]]:
    """Part cells by a grid of equal rectangles whose sides measure at most ``inner`` cells."""
    extent = np.ptp(cells, axis=0) + 1
    n = np.ceil(extent / inner).astype(int)
    if (n == 1).all():
        return [cells]
    part = ((cells - cells.min(0)) * n // extent) @ [n[1], 1]
    return [cells[part == k] for k in np.unique(part)]


def _window(
    relief: Relief,
    height: Float[np.ndarray, "X Y"],
    where: Int[np.ndarray, "K 2"],
    stroke: float,
    floor: float,
    sides: tuple[int, ...],
) -> HeightWindow:
    """Cut the window in whose middle some cells of the relief lie."""
    import cv2  # heavy: loaded with the first plan

    step = CELL * stroke / relief.cell  # cells of the relief to one of the window
    low, high = where.min(0), where.max(0)
    needed = float((high - low).max()) / step + 2 * MARGIN + 1
    side = next((s for s in sides if s >= needed), sides[-1])
    first = (low + high) / 2 - (side - 1) / 2 * step  # index into the relief
    # cv2's x is the second index
    M = np.array([[step, 0.0, first[1]], [0.0, step, first[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = np.asarray(cv2.warpAffine(height, M, (side, side), flags=flags, borderValue=0))
    # cells of the relief are finer than the window's: each of the latter that one of the former falls into
    into = np.rint((where - first) / step).astype(np.int64)
    may = np.zeros((side, side), bool)
    may[into[:, 0], into[:, 1]] = True
    cells = _where(may & (cut > LOWEST_SURFACE))
    corner = relief.corner + (first + 0.5) * relief.cell
    return HeightWindow(cut, corner, stroke, floor, cells)
