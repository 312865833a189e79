"""What the jaws meet on their way in and when they close, measured on the points that the image shows.

The points of the objects are looked at in the frame of each grasp: x closing, z approach. What lies above the tips
within a finger's cross-section stops it; what lies between the jaws decides where and how they touch. Points, not
cells: with a narrow jaw a millimetre of room is worth knowing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..grasp import Grasp
from ..gripper import GripperModel
from .seen import Seen
from .view import View

STRAYS = 2
"""So many points may lie nearer than the one that counts: flying pixels at the object's edges."""
CHUNK = 200_000
"""Pairs of grasp and point looked at together: their single precision fits a core's cache."""
TILE = 0.08
"""Grasps within a square of this side are looked at together, with the points in their reach, m."""
MARGIN = 0.02
"""What lies farther than this from every part of the hand is not looked at, m."""
LINE = 0.00275
"""Breadth of the strips into which the jaw is divided across, m."""


class Closing(NamedTuple):
    """Each row one grasp; the second axis is the jaw at −x and that at +x."""

    clearance: Float[np.ndarray, "N 2"]
    """Least distance across the approach from a finger's cross-section to what is higher than its tip, m; negative
    inside; inf where nothing is near."""
    palm_room: Float[np.ndarray, "N"]
    """Height of the palm's face above what is below it, m; inf where nothing is."""
    slope: Float[np.ndarray, "N 2"]
    """Tangent of the angle between closing axis and contact normal, seen along the approach."""
    coverage: Float[np.ndarray, "N"]
    """Share of the jaw's width that meets something on both sides."""
    engagement: Float[np.ndarray, "N"]
    """Mean depth of the tips below what is between the jaws, m."""
    lever: Float[np.ndarray, "N"]
    """Horizontal distance from the centroid of what the grasp is on to the line between the jaws, m."""
    volume: Float[np.ndarray, "N"]
    """Below what is seen of that, m³; nan where no table is known."""


def close_jaws(
    view: View,
    seen: Seen,
    grasps_camera: Grasp,
    gripper: GripperModel,
    penetration: float = 0.002,
) -> Closing:
    """Look at the objects' points in the frame of each of N grasps.

    Args:
        view: the image.
        seen: its objects, :func:`~antipodal.policy.seen.see_objects`.
        grasps_camera: N of them, all along the view's approach axis.
        gripper: its boxes.
        penetration: points less than this above the tips are not in the way, and not between the jaws, m.
    """
    R_relief_camera = view.relief.R_relief_camera
    across = R_relief_camera[:2] @ grasps_camera.pose[:, :3, :]
    n, columns = len(grasps_camera), None
    for rows, points in _by_place(seen.points, across[:, :, 3], _reach(gripper)):
        part = _close_some(points, R_relief_camera, grasps_camera[rows], gripper, penetration)
        columns = columns or [np.empty((n, *column.shape[1:])) for column in part]
        for column, values in zip(columns, part, strict=True):
            column[rows] = values
    assert columns is not None  # no grasps are one place
    object_id = _object_of(seen, view.image.intrinsics.project(grasps_camera.center))
    away = seen.centroid[object_id] - across[:, :, 3]
    lever = np.abs((away * across[:, :, 1]).sum(-1))
    room, palm, slope, coverage, depth = columns
    return Closing(room, palm, slope, coverage, depth, lever, seen.volume[object_id])


def _reach(gripper: GripperModel) -> float:
    """Distance across the approach from a grasp's centre beyond which nothing is looked at, m."""
    boxes = gripper.boxes(np.array([gripper.max_width]))
    corner = np.abs(boxes.centers[0, :, :2]) + boxes.sizes[0, :, :2] / 2
    return float(np.linalg.norm(corner, axis=-1).max()) + MARGIN


def _by_place(
    points: Float[np.ndarray, "P 3"], centers: Float[np.ndarray, "N 2"], reach: float
) -> Iterator[tuple[Int[np.ndarray, "K"], Float[np.ndarray, "Q 3"]]]:
    """Rows of grasps that are near each other, so many at once as fit, and the points within their reach."""
    tile = np.floor(centers / TILE).astype(np.int64)
    places, place = np.unique(tile, axis=0, return_inverse=True)
    for k in range(max(len(places), 1)):
        rows = np.flatnonzero(place == k)
        near = points
        if len(rows):
            low, high = centers[rows].min(0) - reach, centers[rows].max(0) + reach
            near = points[np.all((points[:, :2] > low) & (points[:, :2] < high), axis=-1)]
        n_at_once = max(CHUNK // max(len(near), 1), 1)
        for start in range(0, max(len(rows), 1), n_at_once):
            yield rows[start : start + n_at_once], near


def _object_of(seen: Seen, center_px: Float[np.ndarray, "N 2"]) -> Int[np.ndarray, "N"]:
    """The object at each grasp's centre; 0, all of them, where none is."""
    height, width = seen.label.shape
    u, v = np.rint(np.clip(center_px, 0, [width - 1, height - 1])).astype(np.int64).T
    return seen.label[v, u]


def _close_some(
    points: Float[np.ndarray, "P 3"],
    R_relief_camera: Float[np.ndarray, "3 3"],
    grasps_camera: Grasp,
    gripper: GripperModel,
    penetration: float,
) -> tuple[np.ndarray, ...]:
    """Do what :func:`close_jaws` does for as many grasps as fit; the columns of what the points alone say."""
    pose = R_relief_camera @ grasps_camera.pose[:, :3, :]
    # from the points' middle: single precision then rounds by less than 0.1 µm
    middle = points.mean(0) if len(points) else np.zeros(3)
    near = (points - middle).astype(np.float32)
    offset = (pose[:, :, 3] - middle).astype(np.float32)
    x, y = (
        axis @ near[:, :2].T - (axis * offset[:, :2]).sum(-1, keepdims=True)
        for axis in pose[:, :2, :2].astype(np.float32).transpose(2, 0, 1)
    )
    z = near[:, 2] - offset[:, 2, None]
    in_way = z < gripper.tip_overhang - penetration
    boxes = gripper.boxes(grasps_camera.width)
    clearance = [
        _nearest(_outside(x, y, boxes.centers[:, b], boxes.sizes[:, b]), in_way)
        for b in gripper.JAWS
    ]
    room = np.full(len(pose), np.inf)
    for b in range(len(gripper.JAWS), boxes.centers.shape[1]):
        below = _outside(x, y, boxes.centers[:, b], boxes.sizes[:, b]) < 0
        face = boxes.centers[:, b, 2] + boxes.sizes[:, b, 2] / 2
        room = np.minimum(room, _nearest(z - face[:, None], below))
    between = np.abs(x) < (grasps_camera.width[:, None] + gripper.jaw_thickness) / 2
    held = between & (np.abs(y) < gripper.jaw_width / 2) & in_way
    n_lines = max(round(gripper.jaw_width / LINE), 1)
    line = np.clip((y / gripper.jaw_width + 0.5) * n_lines, 0, n_lines - 1).astype(np.int64)
    reach = _outline(x, line, held, n_lines)
    met = np.asarray(np.isfinite(reach).all(-1))
    strips = ((np.arange(n_lines) + 0.5) / n_lines - 0.5) * gripper.jaw_width
    slope = np.stack([_slope(strips, reach[..., k], met) for k in (0, 1)], -1)
    depth = np.where(held, gripper.tip_overhang - z, 0.0).sum(1) / np.maximum(held.sum(1), 1)
    return np.stack(clearance, -1), room, slope, met.mean(-1), depth


def _outside(x: np.ndarray, y: np.ndarray, center: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Signed distance of points from each grasp's rectangle, m: negative inside."""
    center, half = center.astype(np.float32), (size / 2).astype(np.float32)
    dx = np.abs(x - center[:, None, 0]) - half[:, None, 0]
    dy = np.abs(y - center[:, None, 1]) - half[:, None, 1]
    inside = np.minimum(np.maximum(dx, dy), 0)
    np.maximum(dx, 0, out=dx)
    np.maximum(dy, 0, out=dy)
    return np.sqrt(dx * dx + dy * dy) + inside


def _nearest(
    distance: Float[np.ndarray, "N P"], which: Bool[np.ndarray, "N P"]
) -> Float[np.ndarray, "N"]:
    """Least distance but for a few strays; inf where no more points than those are asked for."""
    rows = np.arange(len(distance))
    if distance.shape[1] <= STRAYS:
        return np.full(len(distance), np.inf)
    left = np.where(which, distance, np.float32(np.inf))
    for _ in range(STRAYS):
        left[rows, left.argmin(1)] = np.inf
    return left.min(1)


def _outline(
    x: Float[np.ndarray, "N P"],
    line: Int[np.ndarray, "N P"],
    which: Bool[np.ndarray, "N P"],
    n_lines: int,
) -> Float[np.ndarray, "N L 2"]:
    """Reach of the points towards the −x and the +x jaw in each strip, m; −inf in an empty one."""
    n, p = np.nonzero(which)
    cell = n * n_lines + line[n, p]
    order = np.argsort(cell, kind="stable")
    cell, x = cell[order], x[n, p][order]
    reach = np.full((len(which) * n_lines, 2), -np.inf)
    if len(cell):
        first = np.flatnonzero(np.r_[True, np.diff(cell) > 0])
        reach[cell[first], 0] = -np.minimum.reduceat(x, first)
        reach[cell[first], 1] = np.maximum.reduceat(x, first)
    return reach.reshape(len(which), n_lines, 2)


def _slope(
    y: Float[np.ndarray, "L"], reach: Float[np.ndarray, "N L"], met: Bool[np.ndarray, "N L"]
) -> Float[np.ndarray, "N"]:
    """Least-squares |d reach / dy|: the tangent of the contact normal's angle; 0 on fewer than 2 strips."""
    weight = met / np.maximum(met.sum(-1, keepdims=True), 1)
    reach = np.where(met, reach, 0.0)
    centred = y - (weight * y).sum(-1, keepdims=True)
    variance = (weight * centred**2).sum(-1)
    covariance = (weight * centred * reach).sum(-1)
    return np.abs(covariance) / np.where(variance > 1e-12, variance, np.inf)
