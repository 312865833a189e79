"""What a planner knows about an image before it samples: table, approach, objects, obstacles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..errors import InvalidConfig, InvalidImage
from .base import OPTICAL_AXIS
from .holes import fill_holes
from .relief import Relief, build_relief
from .table import DEFAULT_TABLE, TableConfig, TablePlane, fit_table, objects_on

MIN_DOWNWARD = 0.1
"""Least component of the approach along the optical axis: a camera that looks sideways sees no way in."""


class View(NamedTuple):
    """One image, understood."""

    image: DepthImage
    """As given, with its holes."""
    filled: DepthImage
    """Its holes filled; for edges, surface heights and obstacles, never for scoring."""
    table: TablePlane | None
    objects: Bool[np.ndarray, "H W"] | None
    """Where a grasp's centre may lie: the mask, or what stands on the table; None = anywhere."""
    approach_axis: Float[np.ndarray, "3"]
    """Unit, camera frame: minus the table's normal, or the optical axis where no table is known."""
    relief: Relief
    """The obstacles, as a map across the approach axis."""


def look(
    image: DepthImage,
    mask: Bool[np.ndarray, "H W"] | None,
    rng: np.random.Generator,
    config: TableConfig = DEFAULT_TABLE,
) -> View:
    """Fit the table, choose the approach, segment, and map the obstacles.

    Args:
        image: the depth image.
        mask: object pixels, or None to take what stands on the table.
        rng: random state of the plane fit.
        config: tolerances of table and objects.

    Raises:
        InvalidImage: the mask has another shape than the image, or is empty.
        InvalidConfig: the camera's pose says that it does not look down.
    """
    if mask is not None:
        mask = _checked(mask, image)
    table = fit_table(image, mask, rng, config)
    approach_axis = approach_of(image, table)
    objects = mask
    if mask is None and table is not None:
        objects = objects_on(image, table, config)
    floor = np.inf if table is None else table.offset - config.min_height
    filled = fill_holes(image, approach_axis)
    relief = build_relief(filled, approach_axis, objects, floor)
    return View(image, filled, table, objects, approach_axis, relief)


def approach_of(image: DepthImage, table: TablePlane | None) -> Float[np.ndarray, "3"]:
    """Direction of approach in the camera frame: minus the table's normal, else the optical axis (reference §8.7)."""
    normal = image.table_normal_camera()
    if normal is None:
        return OPTICAL_AXIS if table is None else -table.normal_camera
    if -normal[2] < MIN_DOWNWARD:
        raise InvalidConfig(
            f"T_world_camera: the camera's optical axis points {np.rad2deg(np.arcsin(normal[2])):.0f}° above the "
            "horizon: expected a camera that looks down; is it the inverse (world in camera)?"
        )
    return -normal


def _checked(mask: Bool[np.ndarray, "H W"], image: DepthImage) -> Bool[np.ndarray, "H W"]:
    mask = np.asarray(mask)
    if mask.shape != image.depth.shape:
        raise InvalidImage(
            f"mask has shape {mask.shape}: expected {image.depth.shape}, that of the depth image"
        )
    mask = mask > 0
    if not mask.any():
        raise InvalidImage("mask is empty: expected non-zero pixels on the object")
    return mask
