"""Where a known object stands: stable poses × yaws, compared with the depth image; the best refined by GICP [Segal09].

A hypothesis is judged by what the camera would see of it: the mean difference between its rendered depth and the image
over the pixels that either of them calls object. Rays come from the package's one tracer. The refined pose is put back
to rest on the table: a stable pose, a yaw and a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..camera import DepthImage
from ..errors import InvalidConfig
from ..mesh import TriMesh
from ..stable_pose import StablePose, stable_poses
from ..values import POSITIVE, expect


@dataclass(frozen=True)
class RegistrationConfig:
    """How finely to look."""

    n_poses: int = 40
    """Most probable stable poses that are tried."""
    n_yaws: int = 24
    """Turns of each about the vertical."""
    n_coarse_pixels: int = 250
    """Pixels in and around the mask on which every hypothesis is compared."""
    n_pixels: int = 1500
    """The same for the best ones."""
    n_refined: int = 6
    """Hypotheses that are refined."""
    n_rounds: int = 2
    """Times that a hypothesis is rendered anew and aligned."""
    max_difference: float = 0.02
    """A pixel disagrees at most by this, m; also where only one of both sees the object."""
    max_correspondence: float = 0.015
    """Points further apart than this do not pull, m."""
    voxel: float = 0.003
    """Spacing of the points that are aligned, m."""

    def __post_init__(self) -> None:
        expect(self, "registration", POSITIVE, *vars(self))


DEFAULT_REGISTRATION = RegistrationConfig()


class Registered(NamedTuple):
    """The best hypothesis."""

    T_world_obj: Float[np.ndarray, "4 4"]
    residual: float
    """Mean difference between rendered and seen depth over object pixels, m, each at most ``max_difference``."""


class SomePixels(NamedTuple):
    """Some pixels of the image, in the frame of its camera."""

    rays_camera: Float[np.ndarray, "P 3"]
    """Directions with z = 1."""
    depth: Float[np.ndarray, "P"]
    """m; 0 = missing."""
    mask: Bool[np.ndarray, "P"]
    T_world_camera: Float[np.ndarray, "4 4"]


class _Hypothesis(NamedTuple):
    pose: StablePose
    T_world_obj: Float[np.ndarray, "4 4"]
    residual: float


def register(
    mesh: TriMesh,
    image: DepthImage,
    mask: Bool[np.ndarray, "H W"],
    poses: Sequence[StablePose] | None = None,
    config: RegistrationConfig = DEFAULT_REGISTRATION,
) -> Registered | None:
    """Find a known object that rests on the table z = 0.

    Args:
        mesh: the object, obj frame.
        image: with its ``T_world_camera``.
        mask: the object's pixels.
        poses: its stable poses, most probable first; None computes them.
        config: effort.

    Returns:
        The pose that explains the image best; None where the object has no stable pose or shows no depth.

    Raises:
        InvalidConfig: the image has no ``T_world_camera``.
        InvalidMesh: the mesh cannot rest anywhere.
    """
    if image.T_world_camera is None:
        raise InvalidConfig("registration without T_world_camera: expected the camera's pose")
    poses = list(stable_poses(mesh) if poses is None else poses)[: config.n_poses]
    points_world = transforms.apply(image.T_world_camera, image.points_camera()[mask & image.valid])
    if len(points_world) < 10 or not poses:
        return None
    coarse = some_pixels(image, mask, config.n_coarse_pixels)
    hypotheses = [
        _placed(mesh, pose, yaw, points_world, coarse, config.max_difference)
        for pose in poses
        for yaw in np.arange(config.n_yaws) * (2 * np.pi / config.n_yaws)
    ]
    best = sorted(hypotheses, key=lambda h: h.residual)[: config.n_refined]
    fine = some_pixels(image, mask, config.n_pixels)
    refined = [_refined(mesh, h, points_world, fine, config) for h in best]
    winner = min(refined, key=lambda h: h.residual)
    return Registered(winner.T_world_obj, winner.residual)


def some_pixels(image: DepthImage, mask: Bool[np.ndarray, "H W"], n: int) -> SomePixels:
    """Take about n pixels on a grid over the mask's rectangle, grown by a quarter on every side."""
    assert image.T_world_camera is not None
    v, u = np.nonzero(mask)
    low, high = np.array([u.min(), v.min()]), np.array([u.max(), v.max()]) + 1
    margin = np.ceil((high - low) / 4).astype(int)
    low = np.maximum(low - margin, 0)
    high = np.minimum(high + margin, [image.intrinsics.width, image.intrinsics.height])
    step = max(int(np.sqrt(np.prod(high - low) / n)), 1)
    columns, rows = np.arange(low[0], high[0], step), np.arange(low[1], high[1], step)
    u, v = (axis.ravel() for axis in np.meshgrid(columns, rows))
    px = np.stack([u, v], -1).astype(float)
    rays_camera = image.intrinsics.deproject(px, np.ones(len(px)))
    depth, inside = image.depth[v, u].astype(float), np.asarray(mask, bool)[v, u]
    return SomePixels(rays_camera, depth, inside, image.T_world_camera)


def difference(
    mesh: TriMesh, T_world_obj: transforms.Transform, seen: SomePixels, max_difference: float
) -> float:
    """Mean |rendered − seen| over the pixels that either calls object, m; a missing return agrees with any depth."""
    model = rendered(mesh, T_world_obj, seen)
    shown = np.isfinite(model)
    apart = np.minimum(np.abs(model - seen.depth), max_difference)
    apart = np.where(seen.depth > 0, apart, 0.0)
    apart = np.where(shown == seen.mask, apart, max_difference)
    either = shown | seen.mask
    return float(apart[either].mean()) if either.any() else max_difference


def rendered(
    mesh: TriMesh, T_world_obj: transforms.Transform, seen: SomePixels
) -> Float[np.ndarray, "P"]:
    """Depth of the object at the pixels if it stood there, m; inf beside it."""
    T_obj_camera = transforms.inverse(T_world_obj) @ seen.T_world_camera
    directions = transforms.rotate(T_obj_camera, seen.rays_camera)
    origins = np.broadcast_to(T_obj_camera[:3, 3], directions.shape)
    return mesh.raycaster.first_hit(origins, directions).distance


def at_rest(T_world_obj: transforms.Transform, pose: StablePose, mesh: TriMesh) -> np.ndarray:
    """Return the nearest T_world_obj in which the object rests in a stable pose: keep only yaw and place."""
    R = T_world_obj[:3, :3] @ pose.T_world_obj[:3, :3].T
    yaw = np.arctan2(R[1, 0] - R[0, 1], R[0, 0] + R[1, 1])
    rested = transforms.rot_z(yaw) @ pose.T_world_obj
    shift = (T_world_obj - rested) @ np.append(mesh.center_of_mass, 1.0)
    rested[:2, 3] += shift[:2]
    return rested


def _placed(
    mesh: TriMesh,
    pose: StablePose,
    yaw: float,
    points_world: Float[np.ndarray, "P 3"],
    seen: SomePixels,
    max_difference: float,
) -> _Hypothesis:
    """Move a hypothesis until the middle of what would be seen of it is that of what is seen."""
    T = transforms.rot_z(yaw) @ pose.T_world_obj
    T[:2, 3] += points_world[:, :2].mean(0)
    for _ in range(2):
        visible = _visible(mesh, T, seen)
        if len(visible) == 0:
            break
        T[:2, 3] += points_world[:, :2].mean(0) - visible[:, :2].mean(0)
    return _Hypothesis(pose, T, difference(mesh, T, seen, max_difference))


def _refined(
    mesh: TriMesh,
    hypothesis: _Hypothesis,
    points_world: Float[np.ndarray, "P 3"],
    seen: SomePixels,
    config: RegistrationConfig,
) -> _Hypothesis:
    """Align what is seen with what would be seen, put the object back to rest, and keep it if it explains more."""
    import small_gicp  # compiled: loaded with the first registration

    T, pose = hypothesis.T_world_obj, hypothesis.pose
    best = _Hypothesis(pose, T, difference(mesh, T, seen, config.max_difference))
    source, _ = small_gicp.preprocess_points(points_world, downsampling_resolution=config.voxel)
    for _ in range(config.n_rounds):
        visible = _visible(mesh, T, seen)
        if len(visible) < 10 or source.size() < 10:
            break
        target, tree = small_gicp.preprocess_points(visible, downsampling_resolution=config.voxel)
        result = small_gicp.align(
            target, source, tree,
            registration_type="GICP", max_correspondence_distance=config.max_correspondence,
        )  # fmt: skip
        moved = transforms.inverse(result.T_target_source) @ T
        if not np.isfinite(moved).all():
            break
        T = at_rest(moved, pose, mesh)
        residual = difference(mesh, T, seen, config.max_difference)
        if residual < best.residual:
            best = _Hypothesis(pose, T, residual)
    return best


def _visible(
    mesh: TriMesh, T_world_obj: transforms.Transform, seen: SomePixels
) -> Float[np.ndarray, "V 3"]:
    """Points of the object that the camera would see, world frame, m."""
    depth = rendered(mesh, T_world_obj, seen)
    shown = np.isfinite(depth)
    return transforms.apply(seen.T_world_camera, seen.rays_camera[shown] * depth[shown, None])
