"""THE alignment of a depth image with a grasp: rotation, crop and resize as one resampling [Mahler17, §IV-B1].

The data set, the network and the policy all crop here. In the crop the grasp's centre is the image's centre and the
closing axis runs along the rows, towards +column. Each output pixel is the mean of k×k bilinear samples spread
evenly over its footprint, so that shrinking does not alias (the original cropped, resized and rotated in two
different orders: nearest neighbour for the rotation, and the grasp a fraction of a pixel off the middle).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .camera import DepthImage
from .errors import InvalidConfig
from .grasp import PlanarGrasp


class Windows(NamedTuple):
    """Squares in space, at the depth of their grasps; in an image of square pixels squares as well."""

    sides: Float[np.ndarray, "N"]
    """In pixels of the mean focal length."""
    stretch: Float[np.ndarray, "2"]
    """(fx, fy) over their mean: what the sides along u and v are multiplied with."""


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

    def windows(self, focal_px: Float[np.ndarray, "2"], depth: Float[np.ndarray, "N"]) -> Windows:
        """Windows of grasps at these depths, m, in an image of the focal lengths (fx, fy)."""
        mean = focal_px.mean()
        if self.window_px is not None:
            sides = np.full(len(depth), float(self.window_px))
        else:
            assert self.window_m is not None
            sides = self.window_m * mean / np.maximum(depth, 1e-3)
        return Windows(sides, focal_px / mean)


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
    focal = np.array([image.intrinsics.fx, image.intrinsics.fy])
    windows, stretch = config.windows(focal, grasps.depth)
    return crop_depth(image.depth, grasps.center_px, grasps.angle, windows, config.size, stretch)


def crop_depth(
    depth: Float[np.ndarray, "H W"],
    center_px: Float[np.ndarray, "N 2"],
    angle: Float[np.ndarray, "N"],
    windows: Float[np.ndarray, "N"],
    size: int,
    stretch: Float[np.ndarray, "2"] | tuple[float, float] = (1.0, 1.0),
) -> Float[np.ndarray, "N size size"]:
    """Do the work of :func:`crop_grasps` on plain arrays: float32 depth in m, 0 = missing; windows in px.

    ``stretch`` is (fx, fy) in units of the focal length that the windows are of: where pixels are not square, the
    angle, which is the camera frame's, is none of the image.
    """
    import cv2  # heavy: loaded with the first crop

    crops = np.empty((len(center_px), size, size), np.float32)
    weight = np.ones_like(crops)
    # k samples per output pixel and axis: as many as the window has source pixels, so that none is skipped
    ks = np.clip(np.ceil(windows / size - 1e-9), 1, MAX_SAMPLES).astype(int)
    matrices = _crop_to_image(center_px, angle, windows, size * ks, np.asarray(stretch))
    low, high, inside = _around(depth.shape, center_px, matrices, size * ks)
    matrices[:, :, 2] -= low
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def block_means(source: np.ndarray, matrix: np.ndarray, k: int) -> np.ndarray:
        fine = cv2.warpAffine(source, matrix, (size * k, size * k), flags=flags)
        # by a whole factor, INTER_AREA is the mean of each k × k block
        return fine if k == 1 else cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)

    corners = zip(low.tolist(), high.tolist(), strict=True)
    for i, ((u0, v0), (u1, v1)) in enumerate(corners):
        around, k = depth[v0:v1, u0:u1], int(ks[i])
        crops[i] = block_means(around, matrices[i], k)
        valid = around > 0
        if not (inside[i] and valid.all()):
            weight[i] = block_means(valid.astype(np.float32), matrices[i], k)
    known = weight > MIN_VALID
    np.divide(crops, weight, out=crops, where=known)
    crops[~known] = 0.0
    return crops


def _crop_to_image(
    center_px: np.ndarray,
    angle: np.ndarray,
    windows: np.ndarray,
    sides: np.ndarray,
    stretch: np.ndarray,
) -> Float[np.ndarray, "N 2 3"]:
    """Affine map from samples of the crop, ``sides`` of them along each axis, to pixels of the image."""
    step = windows / sides
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    matrices = np.empty((len(center_px), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = cos
    matrices[:, 1, 0], matrices[:, 0, 1] = sin, -sin
    matrices[:, :, :2] *= stretch[:, None]
    mid = (sides[:, None, None] - 1) / 2
    matrices[:, :, 2] = center_px - (matrices[:, :, :2] * mid).sum(-1)
    return matrices


def _around(
    shape: tuple[int, ...], center_px: np.ndarray, matrices: np.ndarray, sides: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rectangle of pixels around each window, (u, v) from and to, cut to the image, and whether it was in it."""
    reach = np.abs(matrices[:, :, :2]).sum(-1) * (sides / 2)[:, None] + 1
    low, high = np.floor(center_px - reach), np.ceil(center_px + reach) + 1
    limit = np.array(shape[::-1])
    whole = np.all((low >= 0) & (high <= limit), axis=-1)
    # never empty: beside the image it is the nearest pixel
    low, high = np.clip(low, 0, limit - 1), np.clip(high, 1, limit)
    return low.astype(int), high.astype(int), whole
