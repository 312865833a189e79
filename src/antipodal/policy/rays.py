"""One coordinate of every pixel's point without the other two: what a plan asks of a whole image, again and again.

    a · p(u, v) = depth(u, v) · (a_x (u − cx) / fx + a_y (v − cy) / fy + a_z)

The bracket is a sum of a row and a column, so that a whole image costs one product for each pixel.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ..camera import DepthImage


def along(image: DepthImage, axis: Float[np.ndarray, "3"]) -> Float[np.ndarray, "H W"]:
    """Distance of every pixel's point along a vector of the camera frame, float32 m; 0 where depth is missing."""
    column, row = _slopes(image, axis)
    return image.depth * np.add.outer(row, column)


def along_at(
    image: DepthImage, axis: Float[np.ndarray, "3"], pixels: Int[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Do the same for some pixels, given as flat indices."""
    column, row = _slopes(image, axis)
    v, u = np.divmod(pixels, len(column))
    return image.depth.ravel()[pixels] * (row[v] + column[u])


def _slopes(
    image: DepthImage, axis: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "W"], Float[np.ndarray, "H"]]:
    """What the column and what the row adds to a · p at unit depth, float32."""
    camera = image.intrinsics
    column = (np.arange(camera.width) - camera.cx) * (axis[0] / camera.fx) + axis[2]
    row = (np.arange(camera.height) - camera.cy) * (axis[1] / camera.fy)
    return column.astype(np.float32), row.astype(np.float32)
