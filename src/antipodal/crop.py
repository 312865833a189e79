"""THE alignment of a depth image with a grasp: rotation, crop and resize as one resampling [Mahler17, §IV-B1].

The data set, the network and the policy all crop here. In the crop the grasp's centre is the image's centre and the
closing axis runs along the rows, towards +column. Each output pixel is the mean of k×k bilinear samples spread
evenly over its footprint, so that shrinking does not alias (the original cropped, resized and rotated in two
different orders: nearest neighbour for the rotation, and the grasp a fraction of a pixel off the middle).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from jaxtyping import Float

from .camera import DepthImage
from .errors import InvalidConfig
from .grasp import PlanarGrasp


@dataclass(frozen=True)
class CropConfig:
    """Geometry of the crop. The default is the paper's: 96 px of the image become 32."""

    size: int = 32
    """Side of the crop, px."""
    window_px: float | None = 96.0
    """Side of the square window in the image, px; or None."""
    window_m: float | None = None
    """Side of the window in metres at the grasp's depth, whatever the camera; or None.

    96 px are 0.128 m at f = 525 px, 0.7 m.
    """

    def __post_init__(self) -> None:
        if not 4 <= self.size <= 512:
            raise InvalidConfig(f"crop size {self.size}: expected 4 to 512 px")
        given = [w for w in (self.window_px, self.window_m) if w is not None]
        if len(given) != 1 or not given[0] > 0:
            raise InvalidConfig(
                f"crop window_px={self.window_px}, window_m={self.window_m}: expected exactly one of them, positive"
            )

    def windows_px(self, focal_px: float, depth: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Side of each grasp's window in pixels of an image of that focal length; depth in m."""
        if self.window_px is not None:
            return np.full(len(depth), float(self.window_px))
        assert self.window_m is not None
        return self.window_m * focal_px / np.maximum(depth, 1e-3)


PAPER_CROP = CropConfig()

MIN_VALID = 0.25
"""Share of a crop pixel's footprint that must be valid depth; with less the pixel is missing."""
MAX_SAMPLES = 16
"""Bilinear samples per crop pixel and axis, at most: windows beyond 16 × the crop's side are sub-sampled."""


def crop_grasps(
    image: DepthImage, grasps: PlanarGrasp, config: CropConfig = PAPER_CROP
) -> Float[np.ndarray, "N size size"]:
    """Cut the aligned window of each grasp.

    Args:
        image: any size.
        grasps: N of them; centres may lie anywhere, also outside the image.
        config: size of the window and of the crop.

    Returns:
        Absolute depth, float32 m: the mean over the valid part of each pixel's footprint, or 0 (missing) where
        no more than ``MIN_VALID`` of it is valid. Outside the image nothing is valid. Each crop depends on its own
        grasp alone, not on the others of the batch.
    """
    windows = config.windows_px((image.intrinsics.fx + image.intrinsics.fy) / 2, grasps.depth)
    return crop_depth(image.depth, grasps.center_px, grasps.angle, windows, config.size)


def crop_depth(
    depth: Float[np.ndarray, "H W"],
    center_px: Float[np.ndarray, "N 2"],
    angle: Float[np.ndarray, "N"],
    windows: Float[np.ndarray, "N"],
    size: int,
) -> Float[np.ndarray, "N size size"]:
    """Do the work of :func:`crop_grasps` on plain arrays: float32 depth in m, 0 = missing; windows in px."""
    import cv2  # heavy: loaded with the first crop

    crops = np.empty((len(center_px), size, size), np.float32)
    # k samples per output pixel and axis: as many as the window has source pixels, so that none is skipped
    ks = np.clip(np.ceil(windows / size - 1e-9), 1, MAX_SAMPLES).astype(int)
    matrices = _crop_to_image(center_px, angle, windows, size * ks)
    low, high, whole = _around(depth.shape, center_px, angle, windows)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def block_means(source: np.ndarray, matrix: np.ndarray, k: int, shape: tuple[int, int]) -> Any:
        fine = cv2.warpAffine(source, matrix, (shape[0] * k, shape[1] * k), flags=flags)
        # by a whole factor, INTER_AREA is the mean of each k × k block
        return fine if k == 1 else cv2.resize(fine, shape, interpolation=cv2.INTER_AREA)

    for i, k in enumerate(ks.tolist()):
        matrix, (u0, v0), (u1, v1) = matrices[i], low[i], high[i]
        crops[i] = block_means(depth, matrix, k, (size, size))
        window = depth[v0:v1, u0:u1]
        part = _beside_missing(window, (u0, v0), whole[i], matrix, k, size)
        if part is not None:
            rows, columns = part
            begin = matrix @ [columns.start * k, rows.start * k, 1.0] - [u0, v0]
            block = np.column_stack([matrix[:, :2], begin])
            shape = (columns.stop - columns.start, rows.stop - rows.start)
            mean = block_means(window, block, k, shape)
            weight = block_means((window > 0).astype(np.float32), block, k, shape)
            known = weight > MIN_VALID
            crops[i, rows, columns] = np.where(known, mean / np.where(known, weight, 1), 0.0)
    return crops


def _crop_to_image(
    center_px: np.ndarray, angle: np.ndarray, windows: np.ndarray, sides: np.ndarray
) -> Float[np.ndarray, "N 2 3"]:
    """Affine map from samples of the crop, ``sides`` of them along each axis, to pixels of the image."""
    step = windows / sides
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    matrices = np.empty((len(center_px), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = cos
    matrices[:, 1, 0], matrices[:, 0, 1] = sin, -sin
    mid = (sides[:, None, None] - 1) / 2
    matrices[:, :, 2] = center_px - (matrices[:, :, :2] * mid).sum(-1)
    return matrices


def _around(
    shape: tuple[int, ...], center_px: np.ndarray, angle: np.ndarray, windows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rectangle of pixels around each window, (u, v) from and to, cut to the image; and whether it lies within it."""
    reach = (windows / 2 * (np.abs(np.cos(angle)) + np.abs(np.sin(angle))))[:, None] + 1
    low, high = np.floor(center_px - reach), np.ceil(center_px + reach) + 1
    limit = np.array(shape[::-1])
    whole = np.all((low >= 0) & (high <= limit), axis=-1)
    # never empty: beside the image it is the nearest pixel
    low, high = np.clip(low, 0, limit - 1), np.clip(high, 1, limit)
    return low.astype(int), high.astype(int), whole


def _beside_missing(
    window: Float[np.ndarray, "h w"],
    corner: tuple[int, int],
    whole: bool,
    matrix: Float[np.ndarray, "2 3"],
    k: int,
    size: int,
) -> tuple[slice, slice] | None:
    """Rows and columns of a crop that may touch what is missing, None if nothing is.

    Args:
        window: the pixels around the crop.
        corner: (u, v) of the first.
        whole: no part of the crop leaves the image.
        matrix: from samples of the crop to pixels.
        k: samples per pixel of the crop and axis.
        size: of the crop, px.
    """
    import cv2

    if not whole:
        return slice(0, size), slice(0, size)
    u, v, width, height = cv2.boundingRect((window == 0).view(np.uint8))
    if width == 0:
        return None
    # the rectangle of missing pixels and those beside them, which bilinear samples reach, turned into the crop
    cos, sin = float(matrix[0, 0]), float(matrix[1, 0])
    across, down = (width + 1) / 2, (height + 1) / 2
    x = u + (width - 1) / 2 + float(corner[0]) - float(matrix[0, 2])
    y = v + (height - 1) / 2 + float(corner[1]) - float(matrix[1, 2])
    square = cos * cos + sin * sin
    parts = []
    for middle, reach in (
        (cos * y - sin * x, abs(sin) * across + abs(cos) * down),
        (cos * x + sin * y, abs(cos) * across + abs(sin) * down),
    ):
        first, last = ((middle + side * reach) / square / k for side in (-1, 1))
        parts.append(slice(max(floor(first), 0), min(floor(last) + 1, size)))
    if any(part.start >= part.stop for part in parts):
        return None
    return parts[0], parts[1]
