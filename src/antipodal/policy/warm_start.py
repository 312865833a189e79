"""What following one grasp from frame to frame needs: a window, candidates around a grasp, their mean.

Pure functions; the loop that uses them is :mod:`antipodal.policy.closed_loop`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .. import transforms
from ..camera import DepthImage
from ..grasp import Grasp, PlanarGrasp
from .view import View

MIN_WINDOW_PX = 16
"""A window of fewer pixels on a side shows nothing to plan on."""


def fixed_frame(image: DepthImage) -> transforms.Transform:
    """T_fixed_camera: the camera's pose in the world where the image has it, else the identity: the camera stands."""
    return np.eye(4) if image.T_world_camera is None else np.array(image.T_world_camera)


def window_px(
    image: DepthImage, center_camera: Float[np.ndarray, "3"], radius: float
) -> tuple[int, int, int, int] | None:
    """Window (u0, v0, width, height) of the image within ``radius`` m of a point; None where that is not in view."""
    intrinsics = image.intrinsics
    if center_camera[2] <= 0.01:  # m: behind the camera, or in it
        return None
    middle = intrinsics.project(center_camera)
    half = radius / center_camera[2] * np.array([intrinsics.fx, intrinsics.fy])
    limit = np.array([intrinsics.width, intrinsics.height])
    low = np.clip(np.floor(middle - half), 0, limit).astype(np.int64)
    high = np.clip(np.ceil(middle + half) + 1, 0, limit).astype(np.int64)
    inside = np.all((middle >= 0) & (middle <= limit - 1))
    if not inside or (high - low).min() < MIN_WINDOW_PX:
        return None
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def candidates_around(
    grasp_camera: Grasp,
    approach_axis: Float[np.ndarray, "3"],
    sigma: tuple[float, float, float],
    n: int,
    rng: np.random.Generator,
) -> Grasp:
    """Draw n grasps around one, the first of them that one itself; all along the approach axis.

    Args:
        grasp_camera: single.
        approach_axis: unit, camera frame.
        sigma: standard deviations across the approach, along it (m), and about it (rad).
        n: at least 1.
        rng: random state.
    """
    across, along, about = sigma
    z = np.asarray(approach_axis, float)
    x = grasp_camera.closing_axis - (grasp_camera.closing_axis @ z) * z
    x = x / np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z], -1)
    offset = rng.normal(size=(n, 3)) * [across, across, along]
    angle = rng.normal(size=n) * about
    offset[0], angle[0] = 0.0, 0.0
    pose = transforms.from_rt(R, grasp_camera.center) @ transforms.translation(offset)
    return Grasp(pose @ transforms.rot_z(angle), np.full(n, float(grasp_camera.width)))


def elite_mean(
    grasps: Grasp, quality: Float[np.ndarray, "N"], elite_fraction: float
) -> tuple[Grasp, float]:
    """Mean of the best share of N ≥ 1 grasps along one approach axis, weighted by quality; and their mean quality.

    Closing axes are lines: each is turned to the side of the best one's before they are averaged.
    """
    n = max(int(np.ceil(elite_fraction * len(grasps) - 1e-9)), 1)
    elite = np.argsort(-quality, kind="stable")[:n]
    weight = quality[elite] + 1e-9
    weight = weight / weight.sum()
    x = grasps.closing_axis[elite]
    x = np.where((x @ x[0] < 0)[:, None], -x, x)
    mean = Grasp.from_axes(
        weight @ grasps.center[elite],
        weight @ x,
        grasps.approach_axis[elite[0]],
        weight @ grasps.width[elite],
    )
    return mean, float(weight @ quality[elite])


def blended(old: Grasp, new: Grasp, weight: float) -> Grasp:
    """Go a share of the way from ``old`` to ``new`` in place and closing direction; the approach is the new one's."""
    x = new.closing_axis if new.closing_axis @ old.closing_axis >= 0 else -new.closing_axis
    return Grasp.from_axes(
        old.center + weight * (new.center - old.center),
        old.closing_axis + weight * (x - old.closing_axis),
        new.approach_axis,
        new.width,
    )


def shifted(grasp: Grasp, by: Float[np.ndarray, "3"]) -> Grasp:
    """Move a grasp by a vector of its parent frame, m."""
    return Grasp(transforms.translation(by) @ grasp.pose, grasp.width)


def apart(a: Grasp, b: Grasp) -> tuple[float, float]:
    """Distance of two grasps' centres, m, and the angle between their closing lines, rad in [0, π/2]."""
    cosine = min(abs(float(a.closing_axis @ b.closing_axis)), 1.0)
    return float(np.linalg.norm(a.center - b.center)), float(np.arccos(cosine))


def planar(grasps_camera: Grasp, view: View) -> PlanarGrasp:
    """Project grasps to the view's image, without those whose centre is not in front of the camera."""
    ahead = grasps_camera.center[:, 2] > 0.01  # m
    return grasps_camera[ahead].to_planar(view.image.intrinsics)
