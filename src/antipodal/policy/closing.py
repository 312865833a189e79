"""What the jaws meet on their way in and when they close, measured on the points that the image shows.

The points of the objects are looked at in the frame of each grasp: x closing, z approach. What lies above the tips
within a finger's cross-section stops it; what lies between the jaws decides where and how they touch. Points, not
cells: with a narrow jaw a millimetre of room is worth knowing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..grasp import Grasp
from ..gripper import GripperModel
from .view import View

STRAYS = 2
"""So many points may lie nearer than the one that counts: flying pixels at the object's edges."""
CHUNK = 1_000_000
"""Pairs of grasp and point looked at together."""
MAX_POINTS = 15_000
"""Of more points (a pile, or no table to tell objects from) every second, third … is looked at."""
LINE = 0.00275
"""Breadth of the strips into which the jaw is divided across, m."""


class Closing(NamedTuple):
    """Each row one grasp; the second axis is the jaw at −x and that at +x."""

    clearance: Float[np.ndarray, "N 2"]
    """Least distance across the approach from a finger's cross-section to what is higher than its tip, m; negative
    inside; inf where nothing is."""
    palm_room: Float[np.ndarray, "N"]
    """Height of the palm's face above what is below it, m; inf where nothing is."""
    slope: Float[np.ndarray, "N 2"]
    """Tangent of the angle between closing axis and contact normal, seen along the approach."""
    coverage: Float[np.ndarray, "N"]
    """Share of the jaw's width that meets something on both sides."""
    engagement: Float[np.ndarray, "N"]
    """Mean depth of the tips below what is between the jaws, m."""
    lever: Float[np.ndarray, "N"]
    """Horizontal distance from the object's centroid to the line between the jaws, m."""


def close_jaws(
    view: View,
    grasps_camera: Grasp,
    gripper: GripperModel,
    penetration: float = 0.002,
) -> Closing:
    """Look at the objects' points in the frame of each of N grasps.

    Args:
        view: the image; its objects are what is grasped.
        grasps_camera: all along the view's approach axis.
        gripper: its boxes.
        penetration: points less than this above the tips are not in the way, and not between the jaws, m.
    """
    points, weight = object_points(view)
    n_at_once = max(CHUNK // max(len(points), 1), 1)
    parts = [
        _close_some(points, weight, view, grasps_camera[k : k + n_at_once], gripper, penetration)
        for k in range(0, max(len(grasps_camera), 1), n_at_once)
    ]
    return Closing(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def object_points(view: View) -> tuple[Float[np.ndarray, "P 3"], Float[np.ndarray, "P"]]:
    """Return the objects' points in the relief frame, m, and each one's share of the volume below it.

    Without a table every point weighs its area. At most :data:`MAX_POINTS`.
    """
    seen = view.image.valid if view.objects is None else view.objects & view.image.valid
    points_camera = view.image.points_camera()[seen]
    points_camera = points_camera[:: len(points_camera) // MAX_POINTS + 1]
    weight = points_camera[:, 2] ** 2
    if view.table is not None:
        weight = weight * np.clip(view.table.height(points_camera), 0, None)
    points = points_camera @ view.relief.R_relief_camera.T
    return points, weight


def _close_some(
    points: Float[np.ndarray, "P 3"],
    weight: Float[np.ndarray, "P"],
    view: View,
    grasps_camera: Grasp,
    gripper: GripperModel,
    penetration: float,
) -> Closing:
    """Do what :func:`close_jaws` does for as many grasps as fit."""
    pose = view.relief.R_relief_camera @ grasps_camera.pose[:, :3, :]
    x, y = (
        pose[:, :2, k] @ points[:, :2].T - (pose[:, :2, k] * pose[:, :2, 3]).sum(-1, keepdims=True)
        for k in (0, 1)
    )
    z = points[:, 2] - pose[:, 2, 3, None]
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
    middle = ((np.arange(n_lines) + 0.5) / n_lines - 0.5) * gripper.jaw_width
    slope = np.stack([_slope(middle, reach[..., k], met) for k in (0, 1)], -1)
    centroid = (weight @ points[:, :2]) / max(weight.sum(), 1e-12)
    lever = np.abs(((centroid - pose[:, :2, 3]) * pose[:, :2, 1]).sum(-1))
    depth = np.where(held, gripper.tip_overhang - z, 0.0).sum(1) / np.maximum(held.sum(1), 1)
    return Closing(np.stack(clearance, -1), room, slope, met.mean(-1), depth, lever)


def _outside(x: np.ndarray, y: np.ndarray, center: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Signed distance of points from each grasp's rectangle, m: negative inside."""
    dx = np.abs(x - center[:, None, 0]) - size[:, None, 0] / 2
    dy = np.abs(y - center[:, None, 1]) - size[:, None, 1] / 2
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _nearest(
    distance: Float[np.ndarray, "N P"], which: Bool[np.ndarray, "N P"]
) -> Float[np.ndarray, "N"]:
    """Least distance but for a few strays; inf where no more points than those are asked for."""
    if distance.shape[1] <= STRAYS:
        return np.full(len(distance), np.inf)
    return np.partition(np.where(which, distance, np.inf), STRAYS, axis=1)[:, STRAYS]


def _outline(
    x: Float[np.ndarray, "N P"],
    line: np.ndarray,
    which: Bool[np.ndarray, "N P"],
    n_lines: int,
) -> Float[np.ndarray, "N L 2"]:
    """Reach of the points towards the −x and the +x jaw in each strip, m; −inf in an empty one."""
    n, p = np.nonzero(which)
    reach = np.full((len(x), n_lines, 2), -np.inf)
    for k, sign in enumerate((-1.0, 1.0)):
        np.maximum.at(reach[..., k], (n, line[n, p]), sign * x[n, p])
    return reach


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
