"""One coordinate of every pixel's point without the other two: what a plan asks of a whole image, again and again.

    a · p(u, v) = depth(u, v) · (a_x (u − cx) / fx + a_y (v − cy) / fy + a_z)

The bracket is a sum of a row and a column, so that a whole image costs one product for each pixel.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from ..camera import DepthImage

Window = tuple[slice, slice]
"""Rows and columns."""
WHOLE: Window = np.s_[:, :]


def along(
    image: DepthImage,
    axis: Float[np.ndarray, "3"],
    window: Window = WHOLE,
    dtype: type = np.float32,
) -> Float[np.ndarray, "h w"]:
    """Distance of every pixel's point along a vector of the camera frame, m; 0 where depth is missing.

    Args:
        image: the depth image.
        axis: in the camera frame.
        window: rows and columns that are asked for.
        dtype: of the answer.
    """
    column, row = _slopes(image, axis)
    distance = np.add.outer(row[window[0]].astype(dtype), column[window[1]].astype(dtype))
    return np.multiply(distance, image.depth[window], out=distance)


def along_at(
    image: DepthImage, axes: Float[np.ndarray, "*axes 3"], pixels: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "*axes n"]:
    """Do the same for some pixels, given as flat indices, along one vector or several; float32 m."""
    v, u = np.divmod(pixels, image.intrinsics.width)
    depth, found = image.depth.ravel()[pixels], []
    for axis in np.atleast_2d(axes):
        column, row = (slope.astype(np.float32) for slope in _slopes(image, axis))
        found.append(depth * (row[v] + column[u]))
    found = np.stack(found)
    return found.reshape(*np.shape(axes)[:-1], -1)


def bounds(mask: Bool[np.ndarray, "H W"], rim: int = 0) -> Window:
    """Rows and columns that hold a mask and so many pixels around it; of an empty mask the image's corner does."""
    import cv2  # heavy: loaded with the first image

    u, v, width, height = cv2.boundingRect(mask.view(np.uint8))
    return np.s_[max(v - rim, 0) : v + height + rim, max(u - rim, 0) : u + width + rim]


def _slopes(
    image: DepthImage, axis: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "W"], Float[np.ndarray, "H"]]:
    """What the column and what the row adds to a · p at unit depth."""
    camera = image.intrinsics
    column = (np.arange(camera.width) - camera.cx) * (axis[0] / camera.fx) + axis[2]
    row = (np.arange(camera.height) - camera.cy) * (axis[1] / camera.fy)
    return column, row
