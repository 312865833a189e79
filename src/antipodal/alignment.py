"""Turn grasps about their closing axis so that they come from above [reference §3.4].

Dex-Net tries 64 angles; the best one has a closed form. What remains is the tilt of the closing axis out of the
table's plane, which the paper bounds: the jaws close parallel to the table [Mahler17 §IV-A].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .grasp import Grasp
from .stable_pose import StablePose

MAX_APPROACH_TABLE_ANGLE = np.deg2rad(5.0)
"""Grasps that come steeper than this from the table's normal are left out of the data set, rad."""


class AlignedGrasps(NamedTuple):
    """Grasps turned towards the table, and how far each still is from straight down."""

    grasps_obj: Grasp
    tilt: Float[np.ndarray, "N"]
    """Angle between the approach axis and −z of the world, rad in [0, π/2]; compare ``MAX_APPROACH_TABLE_ANGLE``."""


def align_with_table(grasps_obj: Grasp, stable_pose: StablePose) -> AlignedGrasps:
    """Rotate each approach about its closing axis to be as near to −z of the world as it can be.

    With d = −z_world and closing axis x the nearest approach is (d − (d·x) x), normalised, and the tilt is
    asin|d·x|: the closing axis' own tilt. Where the closing axis is vertical the approach is left as it was.
    """
    down = -stable_pose.T_world_obj[2, :3]
    x = grasps_obj.closing_axis
    along = x @ down
    tilt = np.arcsin(np.minimum(np.abs(along), 1.0))
    vertical = np.abs(along) > 1 - 1e-12
    approach = np.where(vertical[..., None], grasps_obj.approach_axis, down)
    return AlignedGrasps(Grasp.from_axes(grasps_obj.center, x, approach, grasps_obj.width), tilt)
