"""THE alignment of a depth image with a grasp: rotation, crop and resize as one resampling [Mahler17, §IV-B1].

The data set, the network and the policy all crop here. In the crop the grasp's centre is the image's centre and the
closing axis runs along the rows, towards +column. Each output pixel is the mean of k×k bilinear samples spread
evenly over its footprint, so that shrinking does not alias (the original cropped, resized and rotated in two
different orders: nearest neighbour for the rotation, and the grasp a fraction of a pixel off the middle).
"""

from __future__ import annotations

from dataclasses import dataclass

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
    import cv2  # heavy: loaded with the first crop

    n = len(grasps)
    windows = window_px(image, grasps, config)
    crops = np.empty((n, config.size, config.size), np.float32)
    if n == 0:
        return crops
    # k samples per output pixel and axis: as many as the window has source pixels, so that none is skipped
    ks = np.clip(np.ceil(windows / config.size - 1e-9), 1, MAX_SAMPLES).astype(int)
    sides = config.size * ks
    all_valid = bool(image.valid.all())
    valid = image.valid.astype(np.float32)
    cos, sin = np.cos(grasps.angle), np.sin(grasps.angle)
    step = windows / sides
    mid = (sides[:, None, None] - 1) / 2
    matrices = np.empty((n, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = cos * step
    matrices[:, 1, 0] = sin * step
    matrices[:, 0, 1] = -sin * step
    matrices[:, :, 2] = grasps.center_px - (matrices[:, :, :2] * mid).sum(-1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    inside = _inside(image, grasps.center_px, windows)
    for i, (matrix, k) in enumerate(zip(matrices, ks.tolist(), strict=True)):
        side = config.size * k
        fine = cv2.warpAffine(image.depth, matrix, (side, side), flags=flags)
        if all_valid and inside[i]:
            crops[i] = _block_mean(fine, k)
            continue
        weight = _block_mean(cv2.warpAffine(valid, matrix, (side, side), flags=flags), k)
        with np.errstate(invalid="ignore", divide="ignore"):
            crops[i] = np.where(weight > MIN_VALID, _block_mean(fine, k) / weight, 0.0)
    return crops


def window_px(image: DepthImage, grasps: PlanarGrasp, config: CropConfig) -> Float[np.ndarray, "N"]:
    """Side of each grasp's window in pixels of the image."""
    if config.window_px is not None:
        return np.full(len(grasps), float(config.window_px))
    assert config.window_m is not None
    focal = (image.intrinsics.fx + image.intrinsics.fy) / 2
    return config.window_m * focal / np.maximum(grasps.depth, 1e-3)


def _inside(image: DepthImage, centers: np.ndarray, windows: np.ndarray) -> np.ndarray:
    reach = windows[:, None] * np.sqrt(0.5) + 1
    limit = np.array([image.intrinsics.width - 1, image.intrinsics.height - 1])
    return ((centers - reach >= 0) & (centers + reach <= limit)).all(-1)


def _block_mean(fine: np.ndarray, k: int) -> np.ndarray:
    if k == 1:
        return fine
    size = fine.shape[0] // k
    return fine.reshape(size, k, size, k).mean((1, 3))
