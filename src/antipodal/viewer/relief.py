"""A stored crop as the surface that it shows, with the grasp where it was: exact, from the camera of the datapoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .. import transforms
from ..camera import CameraIntrinsics
from ..camera_files import load_camera
from ..crop import CropConfig
from ..grasp import Grasp, PlanarGrasp

COLUMNS = ("crop", "center_px", "angle", "depth", "width", "intrinsics", "T_world_camera")
"""What of a datapoint is needed."""


class CropPoints(NamedTuple):
    """Points of a crop and its grasp, in the world where the camera's pose is known, else in the camera frame."""

    points: Float[np.ndarray, "n 3"]
    """m; pixels without a return are left out."""
    grasp: Grasp
    in_world: bool


def camera_of(intrinsics: Float[np.ndarray, "4"]) -> CameraIntrinsics:
    """The camera of a datapoint; where it is unknown (an imported set may lack it), the original's PrimeSense."""
    if not np.isfinite(intrinsics).all():
        return load_camera("primesense").intrinsics
    fx, fy, cx, cy = (float(x) for x in intrinsics)
    return CameraIntrinsics(fx, fy, cx, cy, 640, 480)  # the size of the image plays no part


def crop_relief(datapoint: Mapping[str, Any], config: CropConfig) -> CropPoints:
    """Lift each crop pixel back to where it was seen.

    Pixel (c, r) is the image's centre_px + stretch · R(angle) (c − ½(S−1), r − ½(S−1)) · window / S, at depth
    crop + depth.

    Args:
        datapoint: one row, with :data:`COLUMNS`.
        config: geometry of the data set's crops.
    """
    intrinsics = camera_of(datapoint["intrinsics"])
    depth, angle = float(datapoint["depth"]), float(datapoint["angle"])
    size = config.size
    focal = np.array([intrinsics.fx, intrinsics.fy])
    windows, stretch = config.windows(focal, np.array([depth]))
    step = windows[0] / size * stretch
    v, u = np.mgrid[:size, :size] - (size - 1) / 2
    c, s = np.cos(angle), np.sin(angle)
    px = np.stack([c * u - s * v, s * u + c * v], -1) * step + datapoint["center_px"]
    z = np.asarray(datapoint["crop"], float) + depth
    known = np.isfinite(z)
    points = intrinsics.deproject(px[known], z[known])
    planar = PlanarGrasp(
        np.asarray(datapoint["center_px"], float),
        np.asarray(angle),
        np.asarray(depth),
        np.asarray(datapoint["width"], float),
    )
    T_world_camera = np.asarray(datapoint["T_world_camera"], float).reshape(4, 4)
    if not np.isfinite(T_world_camera).all():
        return CropPoints(points, planar.to_grasp(intrinsics), False)
    grasp = planar.to_grasp(intrinsics, -T_world_camera[2, :3])
    return CropPoints(
        transforms.apply(T_world_camera, points), grasp.in_frame(T_world_camera), True
    )
