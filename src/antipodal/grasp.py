"""Parallel-jaw grasps in space and in the image, and the way between them.

``grasp`` frame: origin midway between the jaws, +z approach (palm → object), +x closing direction (jaw to jaw),
y = z × x. The variable's name says the parent frame: ``grasps_obj``, ``grasp_world``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from . import transforms
from .camera import CameraIntrinsics
from .errors import InvalidConfig
from .values import Batched, array, rigid


@dataclass(frozen=True, eq=False)
class Grasp(Batched):
    """Parallel-jaw grasp in SE(3) [Mahler17, III-A]."""

    pose: Float[np.ndarray, "*batch 4 4"]
    """T_parent_grasp."""
    width: Float[np.ndarray, "*batch"]
    """Opening when approaching, m."""

    _ranks: ClassVar[dict[str, int]] = {"pose": 2, "width": 0}

    def __post_init__(self) -> None:
        pose = rigid(self.pose, "grasp pose")
        object.__setattr__(self, "pose", pose)
        width = np.broadcast_to(np.asarray(self.width, float), pose.shape[:-2])
        object.__setattr__(self, "width", array(width, (), "grasp width"))

    @property
    def center(self) -> Float[np.ndarray, "*batch 3"]:
        """Midpoint of the jaws in the parent frame, m."""
        return self.pose[..., :3, 3]

    @property
    def closing_axis(self) -> Float[np.ndarray, "*batch 3"]:
        """Unit x of the grasp frame: jaw to jaw."""
        return self.pose[..., :3, 0]

    @property
    def approach_axis(self) -> Float[np.ndarray, "*batch 3"]:
        """Unit z of the grasp frame: palm to object."""
        return self.pose[..., :3, 2]

    @property
    def jaws(self) -> Float[np.ndarray, "*batch 2 3"]:
        """The two jaws in the parent frame, m: half the opening from the centre along the closing axis."""
        half = self.closing_axis * (self.width / 2)[..., None]
        return np.stack([self.center - half, self.center + half], -2)

    def in_frame(self, T_new_parent: transforms.Transform) -> Grasp:
        """Express the same grasps in another parent frame; batch axes broadcast."""
        return Grasp(T_new_parent @ self.pose, self.width)

    def to_planar(self, intrinsics: CameraIntrinsics) -> PlanarGrasp:
        """Project grasps whose parent is the camera to the image plane.

        ``angle`` is that of the closing axis' component in the image plane; the approach axis is lost. A closing
        axis along the optical axis has no such component: its angle is 0 by convention.
        """
        x = self.closing_axis
        return PlanarGrasp(
            intrinsics.project(self.center),
            np.arctan2(x[..., 1], x[..., 0]),
            self.center[..., 2],
            self.width,
        )

    @classmethod
    def from_axes(
        cls, center: ArrayLike, closing_axis: ArrayLike, approach_axis: ArrayLike, width: ArrayLike
    ) -> Grasp:
        """Build from a centre (…, 3) and two axes (…, 3); the approach is made perpendicular to the closing axis.

        Raises:
            InvalidConfig: an axis is zero or the two are parallel.
        """
        c, x, z = (np.asarray(a, float) for a in (center, closing_axis, approach_axis))
        with np.errstate(invalid="ignore", divide="ignore"):
            x = x / _norm(x)
            z = z - np.sum(z * x, -1, keepdims=True) * x
            norm = _norm(z)
            z = z / norm
        if not (np.isfinite(x).all() and (norm > 1e-9).all()):
            raise InvalidConfig(
                "grasp axes: expected a non-zero closing axis and an approach axis not parallel to it"
            )
        R = np.empty((*np.broadcast_shapes(x.shape, z.shape), 3))
        R[..., 0], R[..., 2] = x, z
        for k in range(3):  # y = z × x, in less than half the time of np.cross
            i, j = (k + 1) % 3, (k + 2) % 3
            R[..., k, 1] = z[..., i] * x[..., j] - z[..., j] * x[..., i]
        return cls(transforms.from_rt(R, c), np.asarray(width))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as nested lists."""
        return {"pose": self.pose.tolist(), "width": self.width.tolist()}


@dataclass(frozen=True, eq=False)
class PlanarGrasp(Batched):
    """Parallel-jaw grasp in the image plane: the paper's u = (i, j, φ, z) [Mahler17, III-B]."""

    center_px: Float[np.ndarray, "*batch 2"]
    """Midpoint of the jaws, (u, v) = (column, row)."""
    angle: Float[np.ndarray, "*batch"]
    """Closing axis about the optical axis from image +u, in [−π/2, π/2): jaws may be swapped."""
    depth: Float[np.ndarray, "*batch"]
    """Depth of the jaw midpoint along the optical axis, m."""
    width: Float[np.ndarray, "*batch"]
    """Opening when approaching, m."""

    _ranks: ClassVar[dict[str, int]] = {"center_px": 1, "angle": 0, "depth": 0, "width": 0}

    def __post_init__(self) -> None:
        center = array(self.center_px, (2,), "grasp center_px")
        object.__setattr__(self, "center_px", center)
        batch = center.shape[:-1]
        angle = _half_turn(np.asarray(self.angle, float))
        for name, value in (("angle", angle), ("depth", self.depth), ("width", self.width)):
            value = np.broadcast_to(np.asarray(value, float), batch)
            object.__setattr__(self, name, array(value, (), f"grasp {name}"))

    def to_grasp(
        self, intrinsics: CameraIntrinsics, approach_axis: ArrayLike = (0.0, 0.0, 1.0)
    ) -> Grasp:
        """Lift to SE(3) in the camera frame.

        The closing axis is the one perpendicular to ``approach_axis`` whose image-plane component has ``angle``, so
        that ``to_planar`` gives back this grasp exactly. With the default, R_camera_grasp = rot_z(angle).

        Args:
            intrinsics: of the image.
            approach_axis: unit (3,) in the camera frame, e.g. minus the table's normal (reference §8.7).
        """
        a = np.asarray(approach_axis, float)
        if a[2] <= 1e-6:
            raise InvalidConfig(
                f"approach_axis {a.tolist()}: expected one that points away from the camera (z > 0)"
            )
        c, s = np.cos(self.angle), np.sin(self.angle)
        x = np.stack([c, s, -(c * a[0] + s * a[1]) / a[2]], -1)
        return Grasp.from_axes(intrinsics.deproject(self.center_px, self.depth), x, a, self.width)

    def width_px(self, intrinsics: CameraIntrinsics) -> Float[np.ndarray, "*batch"]:
        """Length in pixels of the opening at the grasp's depth along its angle."""
        step = np.stack(
            [intrinsics.fx * np.cos(self.angle), intrinsics.fy * np.sin(self.angle)], -1
        )
        return np.linalg.norm(step, axis=-1) * self.width / self.depth

    def endpoints_px(self, intrinsics: CameraIntrinsics) -> Float[np.ndarray, "*batch 2 2"]:
        """Pixels (u, v) of the two jaws: centre ∓ half the opening along the angle."""
        step = np.stack(
            [intrinsics.fx * np.cos(self.angle), intrinsics.fy * np.sin(self.angle)], -1
        )
        half = step * (self.width / self.depth / 2)[..., None]
        return np.stack([self.center_px - half, self.center_px + half], -2)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as nested lists."""
        return {name: getattr(self, name).tolist() for name in self._ranks}


def _norm(v: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 1"]:
    return np.sqrt(np.sum(v * v, -1, keepdims=True))


def _half_turn(angle: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """Wrap to [−π/2, π/2); angles already there keep every bit, so that indexing and copying change nothing."""
    with np.errstate(invalid="ignore"):  # infinities are refused by the caller
        wrapped = (angle + np.pi / 2) % np.pi - np.pi / 2
    wrapped = np.where(wrapped >= np.pi / 2, -np.pi / 2, wrapped)  # the rounding of −π/2 − 1e-17
    return np.where((angle >= -np.pi / 2) & (angle < np.pi / 2), angle, wrapped)
