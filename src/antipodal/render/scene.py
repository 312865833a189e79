"""The state x = (O, T_o, T_c, γ) and the paper's distribution of it [Mahler17, §III-B, Table I, supp. §I].

An object rests on the table (world z = 0) in a stable pose, moved in the plane by (x, y, yaw); the camera sits on a
spherical cap and looks at the table's centre. The original moves the camera by −(x, y) instead and leaves the object
at the origin: the same picture up to the choice of the world's origin. Its yaw comes from the camera's azimuth alone;
ours from both, which has the same distribution. Re-centring (reference §2.8) then shifts the principal point until
the object's table point lies in the middle of the image; the ray directions keep their perspective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .. import transforms
from ..camera import CameraIntrinsics
from ..errors import InvalidConfig
from ..mesh import TriMesh
from ..stable_pose import StablePose
from ..values import rigid

Interval = tuple[float, float]


def _check_interval(name: str, interval: Interval) -> None:
    if len(interval) != 2 or not np.isfinite(interval).all() or interval[0] > interval[1]:
        raise InvalidConfig(f"{name} {interval}: expected two finite numbers, lower first")


@dataclass(frozen=True, eq=False)
class Scene:
    """The paper's state x: what is imaged and grasped."""

    mesh: TriMesh
    """O."""
    T_world_obj: Float[np.ndarray, "4 4"]
    """T_o: world z up, table top at z = 0."""
    T_world_camera: Float[np.ndarray, "4 4"]
    """T_c: OpenCV axes."""
    intrinsics: CameraIntrinsics
    friction: float = 0.5
    """γ between jaw and object."""

    def __post_init__(self) -> None:
        for name in ("T_world_obj", "T_world_camera"):
            object.__setattr__(self, name, rigid(getattr(self, name), name, ndim=2))
        if not self.friction >= 0:
            raise InvalidConfig(f"scene friction {self.friction}: expected a coefficient ≥ 0")

    @property
    def T_camera_obj(self) -> Float[np.ndarray, "4 4"]:
        """Pose of the object in the camera frame."""
        return transforms.inverse(self.T_world_camera) @ self.T_world_obj


@dataclass(frozen=True)
class CameraDistribution:
    """Uniform intervals of the camera's position on a cap above the table, and of its focal length (reference §2.1)."""

    radius: Interval = (0.65, 0.75)
    """Distance from the table's centre, m."""
    polar: Interval = (0.05 * np.pi, 0.1 * np.pi)
    """Angle of the optical axis from the vertical, rad: 9–18° in the supplement."""
    azimuth: Interval = (0.0, 2 * np.pi)
    """About world z from world x, rad."""
    roll: Interval = (-np.deg2rad(0.2), np.deg2rad(0.2))
    """About the optical axis, rad."""
    focal_px: Interval = (520.0, 530.0)
    """fx = fy, px."""
    width: int = 600
    """px; the principal point is the middle of the image."""
    height: int = 600
    """px."""
    recenter: bool = True
    """Shift the principal point so that the object's table point is the image's centre (reference §2.8)."""

    def __post_init__(self) -> None:
        for name in ("radius", "polar", "azimuth", "roll", "focal_px"):
            _check_interval(f"camera {name}", getattr(self, name))
        if not (self.radius[0] > 0 and self.focal_px[0] > 0):
            raise InvalidConfig(
                f"camera radius {self.radius}, focal_px {self.focal_px}: expected positive numbers"
            )
        if not (self.polar[0] >= 0 and self.polar[1] < np.pi / 2):
            raise InvalidConfig(
                f"camera polar {self.polar}: expected rad in [0, π/2), measured from the vertical"
            )


PAPER_CAMERA = CameraDistribution()
RELEASE2017_CAMERA = replace(PAPER_CAMERA, polar=(float(np.deg2rad(0.1)), float(np.deg2rad(5.0))))
"""The released configuration's nearly vertical cameras, 0.1–5°; the images shipped with it are tilted by 12.7°."""


@dataclass(frozen=True)
class PoseDistribution:
    """Uniform intervals of the object's planar pose: the paper's T_o | T_s."""

    x: Interval = (-0.1, 0.1)
    """m."""
    y: Interval = (-0.1, 0.1)
    """m."""
    yaw: Interval = (0.0, 2 * np.pi)
    """About world z, rad."""

    def __post_init__(self) -> None:
        for name in ("x", "y", "yaw"):
            _check_interval(f"planar pose {name}", getattr(self, name))


PAPER_POSE = PoseDistribution()


@dataclass(frozen=True)
class FrictionDistribution:
    """Normal distribution of the friction coefficient, truncated to [min_value, max_value] by drawing again."""

    mean: float = 0.5
    standard_deviation: float = float(np.sqrt(0.1))
    """The paper's N(0.5, 0.1) read as a variance, as its code does (reference 10.8)."""
    min_value: float = 0.0
    max_value: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_value <= self.mean <= self.max_value:
            raise InvalidConfig(
                f"friction mean {self.mean} outside [{self.min_value}, {self.max_value}]: "
                "expected it inside, and min ≥ 0"
            )
        if not self.standard_deviation >= 0:
            raise InvalidConfig(
                f"friction standard_deviation {self.standard_deviation}: expected ≥ 0"
            )


PAPER_FRICTION = FrictionDistribution()


class Cameras(NamedTuple):
    """n cameras with their poses."""

    T_world_camera: Float[np.ndarray, "n 4 4"]
    intrinsics: list[CameraIntrinsics]


def sample_cameras(
    n: int, rng: np.random.Generator, config: CameraDistribution = PAPER_CAMERA
) -> Cameras:
    """Draw n cameras that look at the world's origin; image x is parallel to the table, then the roll."""
    draw = {
        name: rng.uniform(*getattr(config, name), size=n)
        for name in ("radius", "polar", "azimuth", "roll", "focal_px")
    }
    polar, azimuth = draw["polar"], draw["azimuth"]
    direction = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1
    )
    eye = draw["radius"][:, None] * direction
    T_world_camera = transforms.look_at(eye, np.zeros(3))
    # a camera that looks straight down has no horizontal direction of its own: azimuth says which way its image is up
    vertical = np.sin(polar) < 1e-6
    T_world_camera[vertical] = (
        transforms.translation(eye)
        @ transforms.rot_z(azimuth + np.pi / 2)
        @ transforms.rot_x(np.pi)
    )[vertical]
    T_world_camera = T_world_camera @ transforms.rot_z(draw["roll"])
    cx, cy = (config.width - 1) / 2, (config.height - 1) / 2
    intrinsics = [
        CameraIntrinsics(f, f, cx, cy, config.width, config.height) for f in draw["focal_px"]
    ]
    return Cameras(T_world_camera, intrinsics)


def sample_poses(
    n: int,
    stable_pose: StablePose,
    rng: np.random.Generator,
    config: PoseDistribution = PAPER_POSE,
) -> Float[np.ndarray, "n 4 4"]:
    """Draw n planar moves of a stable pose; returns T_world_obj."""
    x, y, yaw = (rng.uniform(*getattr(config, name), size=n) for name in ("x", "y", "yaw"))
    move = transforms.translation(np.stack([x, y, np.zeros(n)], -1)) @ transforms.rot_z(yaw)
    return move @ stable_pose.T_world_obj


def draw_pose(
    poses: Sequence[StablePose],
    rng: np.random.Generator,
    config: PoseDistribution = PAPER_POSE,
) -> Float[np.ndarray, "4 4"]:
    """Draw a stable pose by its probability, and a planar move of it; returns T_world_obj."""
    probability = np.array([pose.probability for pose in poses])
    pose = poses[rng.choice(len(poses), p=probability / probability.sum())]
    return sample_poses(1, pose, rng, config)[0]


def sample_friction(
    n: int, rng: np.random.Generator, config: FrictionDistribution = PAPER_FRICTION
) -> Float[np.ndarray, "n"]:
    """Draw n friction coefficients; values outside the limits are drawn again."""
    friction = rng.normal(config.mean, config.standard_deviation, n)
    while (outside := (friction < config.min_value) | (friction > config.max_value)).any():
        friction[outside] = rng.normal(config.mean, config.standard_deviation, int(outside.sum()))
    return friction


def recentered(
    intrinsics: CameraIntrinsics,
    T_world_camera: Float[np.ndarray, "4 4"],
    point_world: ArrayLike,
) -> CameraIntrinsics:
    """Shift the principal point so that ``point_world`` projects to the image's centre (reference §2.8).

    c' = c + (centre − u): the original's c' = 2c − u where c is the centre.
    """
    p = transforms.apply(transforms.inverse(T_world_camera), np.asarray(point_world, float)[None])
    u, v = intrinsics.project(p)[0]
    if not np.isfinite([u, v]).all():
        raise InvalidConfig(
            f"recentred: point {np.asarray(point_world).tolist()} lies behind the camera: expected one in view"
        )
    return replace(
        intrinsics,
        cx=intrinsics.cx + (intrinsics.width - 1) / 2 - u,
        cy=intrinsics.cy + (intrinsics.height - 1) / 2 - v,
    )


def sample_scene(
    mesh: TriMesh,
    stable_pose: StablePose,
    rng: np.random.Generator,
    camera: CameraDistribution = PAPER_CAMERA,
    pose: PoseDistribution = PAPER_POSE,
    friction: FrictionDistribution = PAPER_FRICTION,
) -> Scene:
    """Draw one scene: planar pose, camera, friction."""
    T_world_obj = sample_poses(1, stable_pose, rng, pose)[0]
    cameras = sample_cameras(1, rng, camera)
    T_world_camera, intrinsics = cameras.T_world_camera[0], cameras.intrinsics[0]
    if camera.recenter:
        intrinsics = recentered(
            intrinsics, T_world_camera, table_point(T_world_obj, stable_pose.T_world_obj)
        )
    drawn = float(sample_friction(1, rng, friction)[0])
    return Scene(mesh, T_world_obj, T_world_camera, intrinsics, friction=drawn)


def table_point(
    T_world_obj: Float[np.ndarray, "*batch 4 4"], T_stable_obj: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "*batch 3"]:
    """Point of the table under the centre of mass: where the stable pose's origin went by the planar move, z = 0."""
    return (T_world_obj @ transforms.inverse(T_stable_obj))[..., :3, 3]
