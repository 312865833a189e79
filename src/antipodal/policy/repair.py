"""Mend a depth image before it is looked at: drop flying pixels, fill holes. A stated step, that says what it changed.

A flying pixel is one that belongs to no surface: sensors and interpolation put them between an object's edge and what
lies behind it, where they look like obstacles. It is dropped, that is, becomes a hole. A hole is filled with what lies
behind it (:mod:`.holes`). The mended image serves edges, heights and obstacles; networks are shown the image as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from ..camera import DepthImage
from ..errors import InvalidConfig
from ..values import POSITIVE, expect


@dataclass(frozen=True)
class RepairConfig:
    """What is mended."""

    drop_flying: bool = False
    """Whether flying pixels become holes. Not by default: a steep side that is one pixel wide looks the same."""
    fill_holes: bool = True
    """Whether holes get the depth of what lies behind them."""
    jump: float = 0.008
    """Neighbours whose depths differ by more than this are on different surfaces, m …"""
    slope: float = 5.0
    """… or by more than this times the distance between neighbouring pixels on a surface across the optical axis: a
    plane up to 79° from it stays whole."""
    min_neighbours: int = 1
    """A pixel with fewer of its eight neighbours on its own surface is flying."""

    def __post_init__(self) -> None:
        expect(self, "repair", POSITIVE, "jump", "slope")
        if not 0 <= self.min_neighbours <= 8:
            raise InvalidConfig(
                f"repair min_neighbours {self.min_neighbours}: expected between 0 and 8"
            )


DEFAULT_REPAIR = RepairConfig()
"""Holes are filled."""
FULL_REPAIR = RepairConfig(drop_flying=True)
"""Both steps: for sensors that interpolate across edges."""
NO_REPAIR = RepairConfig(fill_holes=False)
"""The image as it is."""


def drop_flying(image: DepthImage, config: RepairConfig = DEFAULT_REPAIR) -> DepthImage:
    """Return the image without its flying pixels; at least one pixel stays."""
    if not config.drop_flying:
        return image
    flying = flying_pixels(image, config)
    if not flying.any() or (flying | ~image.valid).all():
        return image
    return image.with_depth(np.where(flying, 0.0, image.depth))


def flying_pixels(
    image: DepthImage, config: RepairConfig = DEFAULT_REPAIR
) -> Bool[np.ndarray, "H W"]:
    """Find valid pixels with fewer than ``min_neighbours`` of eight neighbours on their own surface."""
    import cv2  # heavy: loaded with the first image

    depth = image.depth
    pitch = config.slope / min(image.intrinsics.fx, image.intrinsics.fy)
    # most pixels have all neighbours near: only where the depth jumps are they counted one by one
    kernel = np.ones((3, 3), np.uint8)
    span = cv2.dilate(depth, kernel) - cv2.erode(depth, kernel)
    v, u = np.nonzero((depth > 0) & (span > np.maximum(np.float32(config.jump), pitch * depth)))
    flying = np.zeros(depth.shape, bool)
    around = np.pad(depth, 1)
    here = depth[v, u]
    near = np.maximum(config.jump, pitch * here)
    n_near = np.zeros(len(v), np.int64)
    for dv in (0, 1, 2):
        for du in (0, 1, 2):
            if (dv, du) != (1, 1):
                there = around[v + dv, u + du]
                n_near += (there > 0) & (np.abs(there - here) < near)
    flying[v, u] = n_near < config.min_neighbours
    return flying
