"""What is seen of each object: its points, and the volume below them.

The planner does not know what an object weighs or where its centre of mass is. What is seen of it says much of both: a
solid that fills the space between the visible surface and the table. Frame: ``relief``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .rays import along, bounds
from .view import View

MAX_POINTS = 15_000
"""Of more points (a pile, or no table to tell objects from) every second, third … is looked at."""
JUMP = 0.01
"""Where no mask tells objects apart: neighbouring pixels whose heights differ by more than this are not on one, m."""


class Seen(NamedTuple):
    """The objects of a view."""

    points: Float[np.ndarray, "P 3"]
    """On all of them, m; at most :data:`MAX_POINTS`."""
    label: Int[np.ndarray, "H W"]
    """Object of each pixel, from 1; 0 on none, and where one ends."""
    centroid: Float[np.ndarray, "O 2"]
    """Of the volume below what is seen of each object, x and y, m; row 0: of all of them together."""
    volume: Float[np.ndarray, "O"]
    """Below what is seen of each object, m³, row 0 all; nan where no table is known."""


def see_objects(view: View) -> Seen:
    """Find the objects' points, their centroids and volumes; without a table every point weighs its area."""
    image = view.image
    on = image.valid if view.objects is None else view.objects & image.valid
    pixels = np.flatnonzero(on)
    v, u = np.divmod(pixels, on.shape[1])
    points_camera = image.intrinsics.deproject(np.stack([u, v], -1), image.depth.ravel()[pixels])
    volume = points_camera[:, 2] ** 2 / (image.intrinsics.fx * image.intrinsics.fy)
    if view.table is not None:
        volume = volume * np.clip(view.table.height(points_camera), 0, None)
    points = points_camera @ view.relief.R_relief_camera.T
    label = _told_apart(view, on)
    of, n = label.ravel()[pixels], int(label.max(initial=0)) + 1
    total = np.bincount(of, volume, n)
    moment = np.stack([np.bincount(of, volume * points[:, k], n) for k in (0, 1)], -1)
    total[0], moment[0] = volume.sum(), (volume[:, None] * points[:, :2]).sum(0)
    centroid = moment / np.maximum(total, 1e-12)[:, None]
    if view.table is None:
        total = np.full(n, np.nan)
    return Seen(points[:: len(points) // MAX_POINTS + 1], label, centroid, total)


def _told_apart(view: View, on: Bool[np.ndarray, "H W"]) -> Int[np.ndarray, "H W"]:
    """Label the objects: what a mask shows is one; else what is connected without a jump in height."""
    import cv2  # heavy: loaded with the first image

    if view.request.mask is not None:
        return on.astype(np.int32)
    label, window = np.zeros(on.shape, np.int32), bounds(on, rim=1)
    z = along(view.filled, view.approach_axis, window)
    kernel = np.ones((3, 3), np.uint8)
    level = cv2.dilate(z, kernel) - cv2.erode(z, kernel) < np.float32(2 * JUMP)
    level &= on[window]
    label[window] = cv2.connectedComponents(level.view(np.uint8), connectivity=4)[1]
    return label
