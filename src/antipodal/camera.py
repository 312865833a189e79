"""Camera intrinsics and depth images. Frame: OpenCV camera (x right, y down, z forward).

Pixels are (u, v) = (column, row), an integer is a pixel *centre*, arrays are indexed [v, u]. Depth is z along the
optical axis in metres, float32, and 0 where there is no return. Reading files is :mod:`antipodal.camera_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from . import transforms
from .errors import InvalidConfig, InvalidImage
from .values import config_from_dict, is_number, rigid, unmasked

MAX_DEPTH = 20.0
"""A median depth beyond this is taken for a wrong unit [m]."""
MIN_DEPTH = 0.1
"""So is one below this [m]."""
FAR_DEPTH = 3.0
"""A median depth beyond this is doubted [m]."""
MAX_OFF_CENTRE = 0.25
"""So is a principal point farther than this from the image's middle, in widths and heights, …"""
MAX_UNSQUARE = 0.1
"""… and a pixel that is by more than this longer than wide."""


@dataclass(frozen=True)
class CameraIntrinsics:
    """Pinhole camera without skew or distortion: u = fx·X/Z + cx, v = fy·Y/Z + cy."""

    fx: float
    """Focal length along u, px."""
    fy: float
    """Focal length along v, px."""
    cx: float
    """Principal point, px; a centred 640-wide camera has 319.5."""
    cy: float
    """Principal point, px."""
    width: int
    """Columns, px."""
    height: int
    """Rows, px."""

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "cx", "cy"):
            value = getattr(self, name)
            if not is_number(value):
                raise InvalidConfig(
                    f"camera {name} is {value!r}: expected a finite number of pixels"
                )
            object.__setattr__(self, name, float(value))
        for name in ("width", "height"):
            value = getattr(self, name)
            if not (is_number(value) and 1 <= value <= 16384 and int(value) == value):
                raise InvalidConfig(
                    f"camera {name} is {value!r}: expected a whole number of pixels in [1, 16384]"
                )
            object.__setattr__(self, name, int(value))
        if not (1 <= self.fx <= 1e6 and 1 <= self.fy <= 1e6):
            raise InvalidConfig(
                f"camera focal length is ({self.fx}, {self.fy}): expected pixels in [1, 1000000]"
            )

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:
        """The 3×3 camera matrix."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of an image of this camera."""
        return self.height, self.width

    def project(self, points_camera: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
        """Project points (…, 3) to pixels (u, v), unrounded. Points at z ≤ 0 give nan."""
        p = np.asarray(points_camera, float)
        z = np.where(p[..., 2] > 0, p[..., 2], np.nan)
        return np.stack([self.fx * p[..., 0] / z + self.cx, self.fy * p[..., 1] / z + self.cy], -1)

    def deproject(self, px: ArrayLike, depth: ArrayLike) -> Float[np.ndarray, "*batch 3"]:
        """Lift pixels (…, 2) at depths (…) m to points in the camera frame; batch axes broadcast."""
        px = np.asarray(px, float)
        u, v, z = np.broadcast_arrays(px[..., 0], px[..., 1], np.asarray(depth, float))
        return np.stack([(u - self.cx) / self.fx * z, (v - self.cy) / self.fy * z, z], -1)

    def crop(self, u0: int, v0: int, width: int, height: int) -> CameraIntrinsics:
        """Intrinsics of the window whose top-left pixel is (u0, v0)."""
        return CameraIntrinsics(self.fx, self.fy, self.cx - u0, self.cy - v0, width, height)

    def resize(self, factor: float) -> CameraIntrinsics:
        """Intrinsics after resizing by ``factor``; pixel centres map as u' = (u + ½)·factor − ½."""
        return CameraIntrinsics(
            self.fx * factor,
            self.fy * factor,
            (self.cx + 0.5) * factor - 0.5,
            (self.cy + 0.5) * factor - 0.5,
            round(self.width * factor),
            round(self.height * factor),
        )

    def to_json(self) -> dict[str, float | int]:
        """Return the fields as a JSON object."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> CameraIntrinsics:
        """Inverse of :meth:`to_json`; unknown and missing keys are errors."""
        return config_from_dict(cls, values, "camera intrinsics")


@dataclass(frozen=True, eq=False)
class DepthImage:
    """The paper's observation y: depth along the optical axis, with the camera that took it."""

    depth: Float[np.ndarray, "H W"]
    """z in metres, float32; 0 = no return. What is given as farther than :data:`MAX_DEPTH`, or masked in a
    ``numpy.ma`` array, counts as none."""
    intrinsics: CameraIntrinsics
    T_world_camera: Float[np.ndarray, "4 4"] | None = None
    """Pose of the camera in the world (z up), or None where it is unknown."""

    def __post_init__(self) -> None:
        depth = unmasked(self.depth)
        if depth.ndim != 2:
            raise InvalidImage(
                f"depth has shape {depth.shape}: expected one channel (height, width); pass the depth image, not colour"
            )
        if depth.shape != self.intrinsics.shape:
            raise InvalidImage(
                f"depth is {depth.shape[1]}×{depth.shape[0]} px but the camera says {self.intrinsics.width}×"
                f"{self.intrinsics.height}: give the camera of this image, or resize or crop both together"
            )
        if depth.dtype.kind not in "fiu":
            raise InvalidImage(f"depth has dtype {depth.dtype}: expected float metres")
        depth = np.array(depth, np.float32, order="C")
        # nan is neither: of an image that is as it should be, both are all that is looked at
        least, most = float(depth.min()), float(depth.max())
        if not (0 <= least <= most < np.inf):
            self._refuse(depth)
        if most == 0:
            raise InvalidImage(
                "depth is 0 everywhere: expected metres; is the sensor covered or the file empty?"
            )
        # no median is above a maximum that is not: spares every plan a sort of its image
        if most > MAX_DEPTH:
            if (median := float(np.median(depth[depth > 0]))) > MAX_DEPTH:
                raise InvalidImage(
                    f"median depth is {median:g}: expected metres below {MAX_DEPTH:g}; if these are millimetres, "
                    "say so with --depth-unit 0.001 (or load_depth(…, unit=0.001))"
                )
            # a background's number, or a disparity of nearly nothing
            depth[depth > MAX_DEPTH] = 0.0
        depth.setflags(write=False)
        object.__setattr__(self, "depth", depth)
        if self.T_world_camera is not None:
            object.__setattr__(
                self, "T_world_camera", rigid(self.T_world_camera, "T_world_camera", ndim=2)
            )

    @staticmethod
    def _refuse(depth: np.ndarray) -> NoReturn:
        """Say what is no depth."""
        if not np.isfinite(depth).all():
            raise InvalidImage(
                f"depth has {int((~np.isfinite(depth)).sum())} NaN or infinite pixels: expected 0 where there is no "
                "return; replace them, e.g. numpy.nan_to_num(depth, nan=0, posinf=0, neginf=0)"
            )
        raise InvalidImage(
            f"depth has {int((depth < 0).sum())} negative pixels: expected metres ≥ 0, 0 = no return"
        )

    @cached_property
    def valid(self) -> Bool[np.ndarray, "H W"]:
        """True where there is a return."""
        return self.depth > 0

    def points_camera(self) -> Float[np.ndarray, "H W 3"]:
        """Points of all pixels in the camera frame; (0, 0, 0) where there is no return."""
        v, u = np.mgrid[: self.intrinsics.height, : self.intrinsics.width]
        return self.intrinsics.deproject(np.stack([u, v], -1), self.depth)

    def with_depth(self, depth: Float[np.ndarray, "H W"]) -> DepthImage:
        """Return the same camera with other depths (noise, repair)."""
        return DepthImage(depth, self.intrinsics, self.T_world_camera)

    def crop(self, u0: int, v0: int, width: int, height: int) -> DepthImage:
        """Cut the window whose top-left pixel is (u0, v0); the camera's pose stays the same."""
        if (
            u0 < 0
            or v0 < 0
            or u0 + width > self.intrinsics.width
            or v0 + height > self.intrinsics.height
        ):
            raise InvalidImage(
                f"window ({u0}, {v0}) + {width}×{height} leaves the image of "
                f"{self.intrinsics.width}×{self.intrinsics.height}: choose one inside it"
            )
        window = self.depth[v0 : v0 + height, u0 : u0 + width]
        return DepthImage(window, self.intrinsics.crop(u0, v0, width, height), self.T_world_camera)

    def inpaint(self) -> DepthImage:
        """Fill each missing pixel with the mean of its valid neighbours, ring by ring from the hole's rim inwards.

        The same idea as autolab's inpainting, without its down-scaling. A stated step, never done silently.
        """
        import cv2  # heavy: loaded with the first use

        depth, filled = np.array(self.depth), self.valid.astype(np.float32)
        for _ in range(max(depth.shape)):
            holes = filled == 0
            if not holes.any():
                break
            total = cv2.boxFilter(
                depth * filled, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
            )
            count = cv2.boxFilter(
                filled, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
            )
            rim = holes & (count > 0.5)
            depth[rim] = total[rim] / count[rim]
            filled[rim] = 1.0
        return self.with_depth(depth)

    def table_normal_camera(self) -> Float[np.ndarray, "3"] | None:
        """Unit normal of the table (world z) in the camera frame, or None where the pose is unknown."""
        if self.T_world_camera is None:
            return None
        return transforms.inverse(self.T_world_camera)[:3, 2]


def odd_intrinsics(intrinsics: CameraIntrinsics) -> tuple[str, ...]:
    """What is doubtful about a camera's numbers, a line each."""
    i, doubts = intrinsics, []
    off = max(abs(i.cx - (i.width - 1) / 2) / i.width, abs(i.cy - (i.height - 1) / 2) / i.height)
    if off > MAX_OFF_CENTRE:
        doubts.append(
            f"principal point ({i.cx:.0f}, {i.cy:.0f}) is far from the middle of {i.width}×{i.height} px: was the "
            "image resized or cropped without its camera?"
        )
    if abs(i.fx / i.fy - 1) > MAX_UNSQUARE:
        doubts.append(f"fx / fy = {i.fx / i.fy:.2f}: expected nearly square pixels")
    return tuple(doubts)


def depths_in_words(image: DepthImage) -> str:
    """Say where most depths of an image lie."""
    near, median, far = np.percentile(image.depth[image.valid], [1, 50, 99])
    return f"depth {near:.3f}–{far:.3f} m, median {median:.3f} m"


def wrong_unit(image: DepthImage) -> str | None:
    """One line on depths too small to be metres; None if they may be metres."""
    # counted, not sorted: every plan asks
    if 2 * np.count_nonzero(image.valid & (image.depth < MIN_DEPTH)) <= image.valid.sum():
        return None
    return f"{depths_in_words(image)}: expected metres, some tenths at least; is the unit right?"


def far_for_grasping(image: DepthImage) -> str | None:
    """One line on depths too large for a hand's reach; None if most of them are within it."""
    if 2 * np.count_nonzero(image.depth > FAR_DEPTH) <= image.valid.sum():
        return None
    return f"{depths_in_words(image)}: far for grasping; is the unit right?"
