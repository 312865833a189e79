"""What is asked of a planner besides an image: where, how and how many grasps are wanted.

A request narrows: every grasp of the plan satisfies all of it, and where nothing is left the plan is empty and says so.
"Straight down" is −z of the world where the camera's pose is known, else the optical axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..errors import InvalidConfig, InvalidImage
from ..gripper import GripperModel
from ..values import array, as_mask, is_number, unmasked

MAX_PIXEL = 1e6
"""Pixels beyond this are a mistake, …"""
MAX_LENGTH = 1.0
"""… and so are lengths, m: they are millimetres, …"""
MAX_WORKSPACE = 20.0
"""… and coordinates of a workspace, m: a camera's pose, too, lies within this."""


@dataclass(frozen=True, eq=False)
class Request:
    """Which grasps may be planned; every field may be left out."""

    mask: Bool[np.ndarray, "H W"] | None = None
    """The grasp's centre lies on a True pixel. Without it: on what stands on the table. Numbers are taken too: 0 or nan
    off the object, whole ones above 0 or the float 1 on it; masked ones (``numpy.ma``) count as 0."""
    box_px: Float[np.ndarray, "4"] | None = None
    """(u0, v0, u1, v1): the centre lies in this rectangle, bounds included."""
    target_px: Float[np.ndarray, "2"] | None = None
    """(u, v): the centre lies within ``target_radius`` of the surface seen at this pixel."""
    target_radius: float = 0.05
    """m."""
    workspace: Float[np.ndarray, "P 2"] | None = None
    """Polygon in the world's x and y, m, of ≥ 3 corners: the centre lies in it. Needs the camera's pose."""
    yaw_range: Float[np.ndarray, "2"] | None = None
    """(low, high), rad: angle of the closing axis about the vertical, from the world's x where the camera's pose is
    known, else about the optical axis from image +u. Jaws may be swapped: angles π apart are the same."""
    max_tilt: float | None = None
    """Largest angle between approach and straight down, rad in [0, π/2]."""
    min_height: float | None = None
    """The fingertips stay at least this far above the table, m. Needs a table in the image."""
    width_range: Float[np.ndarray, "2"] | None = None
    """(least, most), m: what is seen between the jaws measures at least the first along the closing axis, and the hand
    opens no wider than the second."""
    n_grasps: int | None = None
    """The best so many, each unlike those before it; None = all."""
    min_distance: float = 0.0
    """Two grasps are alike if their centres are nearer than this, m, …"""
    min_angle: float = 0.0
    """… and their closing axes differ by less than this, rad. With either 0 none are alike."""

    def __post_init__(self) -> None:
        for name, shape in (("box_px", (4,)), ("target_px", (2,)), ("yaw_range", (2,))):
            self._set(name, shape)
        self._set("workspace", (None, 2))
        self._set("width_range", (2,))
        if self.mask is not None:
            mask = unmasked(self.mask)
            if mask.ndim != 2:
                raise InvalidImage(f"mask has shape {mask.shape}: expected one channel")
            object.__setattr__(self, "mask", as_mask(mask, "mask"))
        self._check_places()
        self._check_numbers()

    @property
    def bounds_grasps(self) -> bool:
        """Whether it asks for more than a region of the image and a number of grasps."""
        asked = (self.workspace, self.yaw_range, self.min_height, self.width_range)
        return any(x is not None for x in asked)

    def opened(self, gripper: GripperModel) -> GripperModel:
        """Return the gripper as it may be used: opened no wider than ``width_range`` allows.

        Raises:
            InvalidConfig: the range and the gripper's stroke have no width in common.
        """
        if self.width_range is None:
            return gripper
        least = max(float(self.width_range[0]), gripper.min_width)
        most = min(float(self.width_range[1]), gripper.max_width)
        if not least < most:
            raise InvalidConfig(
                f"width_range {self.width_range.tolist()}: {gripper.name} opens from {gripper.min_width} to "
                f"{gripper.max_width} m: expected widths in common"
            )
        return replace(gripper, min_width=least, max_width=most)

    def _set(self, name: str, shape: tuple[int | None, ...]) -> None:
        value = getattr(self, name)
        if value is None:
            return
        a = array(value, shape, f"request {name}")
        if a.ndim != len(shape):
            raise InvalidConfig(
                f"request {name} has shape {a.shape}: expected one, without a batch"
            )
        object.__setattr__(self, name, a)

    def _check_places(self) -> None:
        if self.box_px is not None:
            u0, v0, u1, v1 = self.box_px
            if not (u0 <= u1 and v0 <= v1 and np.abs(self.box_px).max() < MAX_PIXEL):
                raise InvalidConfig(
                    f"request box_px {self.box_px.tolist()}: expected (u0, v0, u1, v1) with u0 ≤ u1 and v0 ≤ v1"
                )
        if self.workspace is not None and len(self.workspace) < 3:
            raise InvalidConfig(
                f"request workspace has {len(self.workspace)} corners: expected 3 or more"
            )
        for corner in () if self.workspace is None else self.workspace.ravel():
            _require("workspace", corner, -MAX_WORKSPACE, MAX_WORKSPACE, "m")

    def _check_numbers(self) -> None:
        for name in ("yaw_range", "width_range"):
            bounds = getattr(self, name)
            if bounds is not None and not bounds[0] <= bounds[1]:
                said = ", ".join(_said(b, "rad" if name == "yaw_range" else "m") for b in bounds)
                raise InvalidConfig(f"request {name} ({said}): expected (low, high)")
        for bound in () if self.yaw_range is None else self.yaw_range:
            _require("yaw_range", bound, -2 * np.pi - 1e-9, 2 * np.pi + 1e-9, "rad")
        for width in () if self.width_range is None else self.width_range:
            _require("width_range", width, 0.0, MAX_LENGTH, "m")
        _require("target_radius", self.target_radius, 0.0, MAX_LENGTH, "m")
        _require("max_tilt", self.max_tilt, 0.0, np.pi / 2, "rad")
        _require("min_height", self.min_height, 0.0, MAX_LENGTH, "m")
        _require("min_distance", self.min_distance, 0.0, MAX_LENGTH, "m")
        _require("min_angle", self.min_angle, 0.0, np.pi, "rad")
        if self.n_grasps is not None and not (
            is_number(self.n_grasps)
            and isinstance(self.n_grasps, int | np.integer)
            and self.n_grasps >= 1
        ):
            raise InvalidConfig(
                f"request n_grasps {self.n_grasps!r}: expected a whole number ≥ 1, or None for all"
            )


Asked = Request | Bool[np.ndarray, "H W"] | None
"""A request; an object mask alone, which is short for ``Request(mask=mask)``; or None, for any grasp."""


def as_request(asked: Asked) -> Request:
    """Return the request that ``asked`` is, or is short for."""
    return asked if isinstance(asked, Request) else Request(mask=asked)


def object_mask(request: Request, image: DepthImage) -> Bool[np.ndarray, "H W"] | None:
    """Return the request's mask, if any.

    Raises:
        InvalidImage: it has another shape than the image, or is empty.
    """
    check_mask(request, image)
    if request.mask is not None and not request.mask.any():
        raise InvalidImage("mask is empty: expected non-zero pixels on the object")
    return request.mask


def check_mask(request: Request, image: DepthImage) -> None:
    """Refuse a mask of another shape than the image with an InvalidImage."""
    mask = request.mask
    if mask is not None and mask.shape != image.depth.shape:
        raise InvalidImage(
            f"mask has shape {mask.shape}: expected {image.depth.shape}, that of the depth image"
        )


def region(
    request: Request, image: DepthImage, surface: DepthImage
) -> Bool[np.ndarray, "H W"] | None:
    """Pixels on which a grasp's centre may lie by box and target; None where neither is given.

    Args:
        request: what is asked.
        image: it gives the target's depth.
        surface: the same without holes, where the image has none there.

    Raises:
        InvalidConfig: the target is off the image or has no depth.
    """
    box, target = _box(request, image), _target(request, image, surface)
    if box is None or target is None:
        return target if box is None else box
    return box & target


def in_polygon(
    points: Float[np.ndarray, "N 2"], corners: Float[np.ndarray, "P 2"]
) -> Bool[np.ndarray, "N"]:
    """True inside a simple polygon, convex or not: a ray towards +x crosses its sides an odd number of times."""
    x, y = points[:, 0, None], points[:, 1, None]
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    spans = (y0 > y) != (y1 > y)
    rise = np.where(y1 == y0, 1.0, y1 - y0)  # a level side spans nothing
    return (spans & (x < x0 + (y - y0) * (x1 - x0) / rise)).sum(-1) % 2 == 1


def in_half_turn(
    angle: Float[np.ndarray, "N"], bounds: Float[np.ndarray, "2"]
) -> Bool[np.ndarray, "N"]:
    """True where an angle or the one π further lies in [low, high], to 1e-9 rad."""
    past = np.mod(angle - bounds[0], np.pi)
    span = bounds[1] - bounds[0]
    return (past <= span + 1e-9) | (past >= np.pi - 1e-9)


def _box(request: Request, image: DepthImage) -> Bool[np.ndarray, "H W"] | None:
    if request.box_px is None:
        return None
    u0, v0, u1, v1 = request.box_px
    v, u = np.ogrid[: image.intrinsics.height, : image.intrinsics.width]
    return (u >= u0) & (u <= u1) & (v >= v0) & (v <= v1)


def _target(
    request: Request, image: DepthImage, surface: DepthImage
) -> Bool[np.ndarray, "H W"] | None:
    if request.target_px is None:
        return None
    u, v = np.rint(np.clip(request.target_px, -MAX_PIXEL, MAX_PIXEL)).astype(np.int64)
    intrinsics = image.intrinsics
    if not (0 <= u < intrinsics.width and 0 <= v < intrinsics.height):
        raise InvalidConfig(
            f"request target_px ({u}, {v}): expected a pixel of the {intrinsics.width}×{intrinsics.height} image"
        )
    depth = float(image.depth[v, u] or surface.depth[v, u])
    if depth <= 0:
        raise InvalidConfig(
            f"request target_px ({u}, {v}) has no depth: choose a pixel that the camera sees"
        )
    target = intrinsics.deproject([u, v], depth)
    apart = np.linalg.norm(surface.points_camera() - target, axis=-1)
    return (apart <= request.target_radius) & surface.valid


def _require(name: str, value: Any, low: float, high: float, unit: str) -> None:
    if value is None:
        return
    if not is_number(value):
        raise InvalidConfig(f"request {name} {value!r}: expected a number of {unit}")
    if not low <= value <= high:
        doubt = "; millimetres?" if unit == "m" and abs(value) > high else ""
        raise InvalidConfig(
            f"request {name} {_said(value, unit)}: expected between {low:.4g} and {_said(high, unit)}{doubt}"
        )


def _said(value: float, unit: str) -> str:
    """A number with its unit; an angle in degrees too, in which the command line takes it."""
    turned = f" ({np.rad2deg(value):.4g}°)" if unit == "rad" else ""
    return f"{value:.4g} {unit}{turned}"
