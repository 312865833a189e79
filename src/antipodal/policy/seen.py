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
WALL = 0.05
"""Where the volume is a smaller share of what its pixels' areas alone would give, only a wall is seen."""
JUMP = 0.01
"""Where no mask tells objects apart: neighbouring pixels whose heights differ by more than this are not on one, m."""


class Seen(NamedTuple):
    """The objects of a view."""

    points: Float[np.ndarray, "P 3"]
    """On all of them, m; at most :data:`MAX_POINTS`."""
    label: Int[np.ndarray, "H W"]
    """Object of each pixel, from 1; 0 on none."""
    centroid: Float[np.ndarray, "O 2"]
    """Of the volume below what is seen of each object, x and y, m; row 0: of all of them together."""
    volume: Float[np.ndarray, "O"]
    """Below what is seen of each object, m³, row 0 all; nan where no table is known."""


def see_objects(view: View) -> Seen:
    """Find the objects' points, their centroids and volumes; without a table every point weighs its area.

    The volume below the surface that is seen is ∫ height dA over the area that the surface covers on the table: a wall
    covers none, however many pixels show it.
    """
    image = view.image
    on = image.valid if view.objects is None else view.objects & image.valid
    window = bounds(on)
    inside = on[window]
    x, y, z = (along(image, axis, window, float) for axis in view.relief.R_relief_camera)
    points = np.stack([x[inside], y[inside], z[inside]], -1)
    volume = _covered(x, y, z, inside)[inside]
    if view.table is not None:
        height = along(image, view.table.normal_camera, window, float) + view.table.offset
        volume = volume * np.clip(height[inside], 0, None)
    label = _told_apart(view, on)
    of, n = label[window][inside], int(label.max(initial=0)) + 1
    xy, once = points[:, :2], np.ones((len(of), 1))
    total, size, count = _sums(of, np.column_stack([volume, np.abs(volume), once]), n).T[..., None]
    by_volume, by_points = _sums(of, volume[:, None] * xy, n), _sums(of, xy, n)
    solid = total > WALL * size
    centroid = np.where(
        solid, by_volume / np.where(solid, total, 1.0), by_points / np.maximum(count, 1)
    )
    total = np.clip(total[:, 0], 0, None)
    if view.table is None:
        total = np.full(n, np.nan)
    return Seen(points[:: len(points) // MAX_POINTS + 1], label, centroid, total)


def _sums(
    of: Int[np.ndarray, "P"], values: Float[np.ndarray, "P K"], n: int
) -> Float[np.ndarray, "n K"]:
    """Sums of each object's values; row 0: of all."""
    sums = np.stack([np.bincount(of, column, n) for column in values.T], -1)
    sums[0] = values.sum(0)
    return sums


def _covered(
    x: Float[np.ndarray, "h w"],
    y: Float[np.ndarray, "h w"],
    z: Float[np.ndarray, "h w"],
    on: Bool[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """Area across the approach of the piece of surface that each pixel shows, m²; below an overhang negative.

    With its sign the sum over a surface is what its rim encloses: depth noise between moves nothing.
    """
    (xv, yv), (xu, yu) = _steps(x, y, z, on), (s.T for s in _steps(x.T, y.T, z.T, on.T))
    return xu * yv - xv * yu


def _steps(
    x: Float[np.ndarray, "h w"],
    y: Float[np.ndarray, "h w"],
    z: Float[np.ndarray, "h w"],
    on: Bool[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Mean change of x and y from a row to the next, of the one or two such steps on one surface; 0 without any."""
    joined = on[1:] & on[:-1] & (np.abs(z[1:] - z[:-1]) < JUMP)
    n = np.zeros(z.shape)
    for side in (np.s_[1:], np.s_[:-1]):
        n[side] += joined
    found = []
    for a in (x, y):
        step, total = np.where(joined, a[1:] - a[:-1], 0.0), np.zeros(a.shape)
        for side in (np.s_[1:], np.s_[:-1]):
            total[side] += step
        found.append(total / np.maximum(n, 1))
    return found[0], found[1]


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
    inside = cv2.connectedComponents(level.view(np.uint8), connectivity=4)[1]
    # the rim, where an object's own pixels lie beside a jump
    rim = cv2.dilate(inside.astype(np.float32), kernel).astype(np.int32)
    label[window] = np.where(on[window] & (inside == 0), rim, inside)
    return label
