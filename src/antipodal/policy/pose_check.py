"""Whether the camera's pose agrees with the plane in the image.

No pose shows by itself that it is wrong: a pose and its inverse have the same R₃₃, so that both look down alike. What
the image shows does: under a wrong pose a slab across world z cuts a strip out of the table, and the plane that is
fitted without the pose holds far more pixels. Frame: camera.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from .table import DEFAULT_TABLE, TableConfig, TablePlane, fit_table, share_on

MIN_DOWNWARD = 0.1
"""Least component of the approach along the optical axis: a camera that looks sideways sees no way in."""
CHECK_SEED = 0
"""Random state of the plane fit: the planner's own draws stay what they are."""
MIN_OFF = float(np.deg2rad(3.0))
"""Nearer than this two normals agree, rad. On simulated views the fit is off by up to 0.04°, a hand-eye calibration
by about 1°."""
MIN_VOTES = 1.5
"""The image's own plane must hold so many times the pixels of the pose's table: a box's side may win by chance."""
MAX_OFF = float(np.deg2rad(5.0))
"""Farther off than this, with no table across world z, …"""
DOMINANT = 0.5
"""… while the image's own plane holds this share of the pixels, no grasp is planned."""
UNKNOWN = "heights above it, and what stands on it, are not known"
NO_TABLE = f"no table was found perpendicular to T_world_camera's z: {UNKNOWN}"
"""Warning of a plan with a pose but no table, …"""
NO_PLANE = f"no table was found in the image: {UNKNOWN}"
"""… and of one with neither."""


class Disagreement(NamedTuple):
    """The plane that the image alone shows is not across world z."""

    angle: float
    """Between its normal and world z, rad."""
    share: float
    """Of the pixels, on it."""
    is_inverse: bool
    """Whether the inverse of the pose would agree with it."""
    is_certain: bool
    """Whether it dominates the image, and there is no table across world z."""

    @property
    def words(self) -> str:
        """One line: what was found, what was expected."""
        found = (
            f"T_world_camera: the plane that holds {self.share:.0%} of the image is {np.rad2deg(self.angle):.1f}° off "
            "the world's horizontal"
        )
        if self.is_inverse:
            return (
                f"{found}, and its inverse fits: expected the camera's pose in the world; invert it"
            )
        return (
            f"{found}: expected a table perpendicular to z; does the pose belong to this view? For a ramp leave it "
            "out, for one large object give its mask"
        )


def not_downwards(up_camera: Float[np.ndarray, "3"]) -> str | None:
    """One line on a camera that does not look down, by world z in its frame; None if it does."""
    up = float(up_camera[2])
    if -up >= MIN_DOWNWARD:
        return None
    return (
        f"T_world_camera: the camera's optical axis points {np.rad2deg(np.arcsin(up)):.0f}° above the horizon: "
        "expected a camera that looks down; does its z point along the view, and the world's z up?"
    )


def disagreement(
    image: DepthImage,
    mask: Bool[np.ndarray, "H W"] | None,
    table: TablePlane | None,
    config: TableConfig = DEFAULT_TABLE,
) -> Disagreement | None:
    """Compare the pose with the plane that the image alone shows; None where they agree or nothing can be said.

    Args:
        image: with its pose.
        mask: pixels that are not the table, or None.
        table: that was fitted with the pose, if one was found.
        config: tolerances of the plane.
    """
    T = image.T_world_camera
    if T is None:
        return None
    own = 0.0 if table is None else share_on(image, mask, table, config)
    if own * MIN_VOTES > 1:  # no plane can hold so many more
        return None
    alone = DepthImage(image.depth, image.intrinsics)
    seen = fit_table(alone, mask, np.random.default_rng(CHECK_SEED), config)
    if seen is None:
        return None
    share, angle = share_on(image, mask, seen, config), _between(seen.normal_camera, T[2, :3])
    if angle < MIN_OFF or share < MIN_VOTES * own:
        return None
    return Disagreement(
        angle,
        share,
        _between(seen.normal_camera, T[:3, 2]) < MIN_OFF,
        table is None and angle > MAX_OFF and share >= DOMINANT,
    )


def _between(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    """Angle between two unit vectors, rad."""
    return float(np.arccos(np.clip(a @ b, -1.0, 1.0)))
