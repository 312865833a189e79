"""Depth images by ray tracing: the noise-free ŷ of the paper's y = α ŷ + ε [Mahler17, supp. §I].

Rays run in the obj frame, where the mesh's tree lives. Their direction has camera z = 1, so that the tracer's
distance *is* the depth along the optical axis. The table z = 0 is a plane without end and is solved in closed form;
each pixel sees the nearer of the two. The original rasterised; a perspective depth map is the same either way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from .. import transforms
from ..camera import DepthImage
from .scene import Scene

MAX_TABLE_DEPTH = 10.0
"""The table beyond this counts as no return: rays towards the horizon [m]."""
NEAR = 1e-3
"""Nothing nearer than this to the camera's plane is projected [m]."""
FAR_PX = 1_000_000
"""Stands for an unbounded window [px]."""


class Rendering(NamedTuple):
    """A depth image and where in it the object is."""

    image: DepthImage
    mask: Bool[np.ndarray, "H W"]
    """True where the object, not the table, is seen."""


def render(scene: Scene, table: bool = True) -> Rendering:
    """Ray-trace the scene: depth with the camera's pose, and the object's mask.

    Args:
        scene: object, camera and their poses.
        table: whether the table is there; without it the background is 0.

    Raises:
        InvalidImage: nothing at all is in view.
    """
    intrinsics = scene.intrinsics
    depth = np.full(intrinsics.shape, np.inf)
    u0, v0, u1, v1 = object_window(scene)
    if u1 > u0 and v1 > v0:
        v, u = np.mgrid[v0:v1, u0:u1]
        seen = _object_depth(scene, np.stack([u, v], -1).reshape(-1, 2))
        depth[v0:v1, u0:u1] = seen.reshape(u.shape)
    mask = np.isfinite(depth)
    if table:
        v, u = np.arange(intrinsics.height)[:, None], np.arange(intrinsics.width)[None]
        behind = _table_depth(scene, u, v)
        mask &= depth <= behind
        depth = np.minimum(depth, behind)
    image = np.where(np.isfinite(depth), depth, 0.0).astype(np.float32)
    return Rendering(DepthImage(image, intrinsics, scene.T_world_camera), mask)


def render_depth(scene: Scene, table: bool = True) -> DepthImage:
    """Ray-trace the scene's depth image; see :func:`render`."""
    return render(scene, table).image


def cast_pixels(scene: Scene, pixels: ArrayLike, table: bool = True) -> Float[np.ndarray, "*batch"]:
    """Depth that the pixels (…, 2) = (u, v) see, m; 0 where there is nothing. Pixels may lie off the grid.

    For callers that need only some rays, e.g. those of a crop.
    """
    px = np.asarray(pixels, float)
    flat = px.reshape(-1, 2)
    depth = np.full(len(flat), np.inf)
    u0, v0, u1, v1 = object_window(scene, clip=False)
    near = ((flat >= [u0, v0]) & (flat < [u1, v1])).all(-1)
    depth[near] = _object_depth(scene, flat[near])
    if table:
        depth = np.minimum(depth, _table_depth(scene, flat[:, 0], flat[:, 1]))
    return np.where(np.isfinite(depth), depth, 0.0).reshape(px.shape[:-1])


def object_window(scene: Scene, clip: bool = True) -> tuple[int, int, int, int]:
    """Pixel window (u0, v0, u1, v1), ends exclusive, that contains the object's projection; whole if it is too near."""
    intrinsics = scene.intrinsics
    points = transforms.apply(scene.T_camera_obj, scene.mesh.vertices)
    if points[:, 2].min() < NEAR:
        return (
            (0, 0, intrinsics.width, intrinsics.height)
            if clip
            else (-FAR_PX, -FAR_PX, FAR_PX, FAR_PX)
        )
    px = intrinsics.project(points)
    u0, v0 = np.floor(px.min(0)).astype(int)
    u1, v1 = np.ceil(px.max(0)).astype(int) + 1
    if clip:
        u0, u1 = np.clip([u0, u1], 0, intrinsics.width)
        v0, v1 = np.clip([v0, v1], 0, intrinsics.height)
    return int(u0), int(v0), int(u1), int(v1)


def _object_depth(scene: Scene, px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    """Depth of the object's nearest surface along each pixel's ray; inf where it is missed."""
    directions_camera = scene.intrinsics.deproject(px, np.ones(len(px)))
    T_obj_camera = transforms.inverse(scene.T_camera_obj)
    directions_obj = transforms.rotate(T_obj_camera, directions_camera)
    origins_obj = np.broadcast_to(T_obj_camera[:3, 3], directions_obj.shape)
    return scene.mesh.raycaster.first_hit(origins_obj, directions_obj).distance


def _table_depth(scene: Scene, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depth of the plane z_world = 0: −t_z / (R_world_camera d)_z with d = ((u−cx)/fx, (v−cy)/fy, 1)."""
    k, T = scene.intrinsics, scene.T_world_camera
    slope = T[2, 0] * (u - k.cx) / k.fx + T[2, 1] * (v - k.cy) / k.fy + T[2, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -T[2, 3] / slope
    return np.where((depth > 0) & (depth <= MAX_TABLE_DEPTH), depth, np.inf)
