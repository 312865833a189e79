"""Colours of numbers: robust ε about the label's threshold, and quality in [0, 1]. sRGB, 0 to 255."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike

BAD, MIDDLE, GOOD = (179, 54, 43), (236, 196, 62), (42, 127, 63)
"""Red, yellow, green: the first and the last are those of the pictures of data sets."""
OBJECT, JAW, PALM = (64, 122, 191), (242, 140, 38), (140, 143, 148)
"""What stands in the world."""
REJECTED = (70, 70, 80)
"""A candidate that a constraint refused."""
CONES = ((200, 60, 200), (120, 60, 220))
"""Friction cones of the −x and of the +x jaw."""
GOOD_MULTIPLE = 3.0
"""ε of so many thresholds is fully green."""


def epsilon_colors(epsilon: ArrayLike, threshold: float) -> UInt8[np.ndarray, "*batch 3"]:
    """Red at ε = 0, yellow at the threshold, green from three thresholds on."""
    return _between(np.asarray(epsilon, float), (0.0, threshold, GOOD_MULTIPLE * threshold))


def quality_colors(quality: ArrayLike) -> UInt8[np.ndarray, "*batch 3"]:
    """Red at 0, yellow at ½, green at 1."""
    return _between(np.asarray(quality, float), (0.0, 0.5, 1.0))


def legend(low: str, middle: str, high: str) -> str:
    """HTML of a bar from red to green with three words under it."""
    stops = ", ".join(f"rgb{color}" for color in (BAD, MIDDLE, GOOD))
    return (
        f'<div style="padding:4px 12px;font-size:12px"><div style="height:10px;border-radius:3px;'
        f'background:linear-gradient(90deg,{stops})"></div><div style="display:flex;justify-content:space-between">'
        f"<span>{low}</span><span>{middle}</span><span>{high}</span></div></div>"
    )


def _between(
    values: Float[np.ndarray, "*batch"], stops: tuple[float, float, float]
) -> UInt8[np.ndarray, "*batch 3"]:
    channels = np.array([BAD, MIDDLE, GOOD], float).T
    mixed = np.stack([np.interp(values, stops, channel) for channel in channels], -1)
    return np.round(mixed).astype(np.uint8)
