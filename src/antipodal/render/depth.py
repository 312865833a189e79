"""Depth images by ray tracing: the noise-free ŷ of the paper's y = α ŷ + ε [Mahler17, supp. §I].

Rays run in the obj frame, where the mesh's tree lives. Their direction has camera z = 1, so that the tracer's
distance *is* the depth along the optical axis. The table z = 0 is a plane without end and is solved in closed form;
each pixel sees the nearer of the two. The original rasterised; a perspective depth map is the same either way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..camera import DepthImage
from ..mesh import TriMesh
from .scene import CameraDistribution, Scene, sample_cameras

MAX_TABLE_DEPTH = 10.0
"""The table beyond this counts as no return: rays towards the horizon [m]."""
NEAR = 1e-3
"""Nothing nearer than this to the camera's plane is projected [m]."""
FAR_PX = 1_000_000
"""Stands for an unbounded window [px]."""


Window = tuple[int, int, int, int]
"""u0, v0, u1, v1 in px, ends exclusive."""


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
    k = scene.intrinsics
    seen, behind = trace_window(
        scene.mesh,
        scene.T_camera_obj,
        scene.T_world_camera,
        (k.fx, k.fy, k.cx, k.cy),
        object_window(scene),
        (0, 0, k.width, k.height),
    )
    if not table:
        behind = np.full_like(behind, np.inf)
    mask = np.isfinite(seen) & (seen <= behind)
    image = finite_depth(np.minimum(seen, behind))
    return Rendering(DepthImage(image, k, scene.T_world_camera), mask)


def trace_window(
    mesh: TriMesh,
    T_camera_obj: Float[np.ndarray, "4 4"],
    T_world_camera: Float[np.ndarray, "4 4"],
    k: tuple[float, float, float, float],
    object_px: Window,
    window_px: Window,
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Depth of the object's nearest surface and of the table in a window of the image; inf where there is none.

    The work of :func:`render` on plain arrays, for the data set's millions of small windows.

    Args:
        mesh: obj frame.
        T_camera_obj: pose of the object.
        T_world_camera: pose of the camera; the table is z = 0.
        k: fx, fy, cx, cy.
        object_px: window outside of which the object is not seen; only its rays are cast.
        window_px: (u0, v0, u1, v1), ends exclusive: what is returned.
    """
    fx, fy, cx, cy = k
    u0, v0, u1, v1 = window_px
    x, y = (np.arange(u0, u1) - cx) / fx, (np.arange(v0, v1) - cy) / fy
    slope = T_world_camera[2, 0] * x + (T_world_camera[2, 1] * y + T_world_camera[2, 2])[:, None]
    table = _plane_depth(-T_world_camera[2, 3], slope)
    depth = np.full(table.shape, np.inf, np.float32)
    a0, b0 = max(u0, object_px[0]) - u0, max(v0, object_px[1]) - v0
    a1, b1 = min(u1, object_px[2]) - u0, min(v1, object_px[3]) - v0
    if a1 > a0 and b1 > b0:
        R, t = T_camera_obj[:3, :3], T_camera_obj[:3, 3]
        across = x[a0:a1, None] * R[0] + R[2]  # R ᵀ (x, 0, 1): rows of R are camera axes in obj
        down = y[b0:b1, None] * R[1]
        rays = down[:, None].astype(np.float32) + across.astype(np.float32)
        depth[b0:b1, a0:a1] = mesh.raycaster.depth(-t @ R, rays)
    return depth, table


def finite_depth(depth: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Float32 with 0 where there is no return."""
    depth = depth.astype(np.float32)
    depth[~np.isfinite(depth)] = 0.0
    return depth


def render_depth(scene: Scene, table: bool = True) -> DepthImage:
    """Ray-trace the scene's depth image; see :func:`render`."""
    return render(scene, table).image


def object_window(scene: Scene, clip: bool = True) -> Window:
    """Pixel window (u0, v0, u1, v1), ends exclusive, that contains the object's projection; whole if it is too near."""
    k = scene.intrinsics
    points = transforms.apply(scene.T_camera_obj, scene.mesh.vertices)
    window = points_window(points, (k.fx, k.fy, k.cx, k.cy))
    return clipped_window(window, k.width, k.height) if clip else window


def see_whole(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    rng: np.random.Generator,
    camera: CameraDistribution,
    max_draws: int,
    friction: float = 0.5,
) -> Scene:
    """Draw cameras until one sees the whole object; the last of ``max_draws`` if none does."""
    while True:
        cameras = sample_cameras(1, rng, camera)
        scene = Scene(mesh, T_world_obj, cameras.T_world_camera[0], cameras.intrinsics[0], friction)
        window = object_window(scene, clip=False)
        max_draws -= 1
        if max_draws <= 0 or window == clipped_window(window, camera.width, camera.height):
            return scene


def points_window(
    points_camera: Float[np.ndarray, "n 3"], k: tuple[float, float, float, float]
) -> Window:
    """Pixel window of projected points, (−FAR_PX, …) where one is too near to the camera's plane; k: fx, fy, cx, cy."""
    z = points_camera[:, 2]
    if z.min() < NEAR:
        return -FAR_PX, -FAR_PX, FAR_PX, FAR_PX
    u, v = points_camera[:, 0] / z * k[0] + k[2], points_camera[:, 1] / z * k[1] + k[3]
    return (
        math.floor(u.min()),
        math.floor(v.min()),
        math.ceil(u.max()) + 1,
        math.ceil(v.max()) + 1,
    )


def clipped_window(window: Window, width: int, height: int) -> Window:
    """Part of a window that is on the image; empty windows stay empty."""
    (u0, v0), (u1, v1) = (
        (min(max(u, 0), width), min(max(v, 0), height)) for u, v in (window[:2], window[2:])
    )
    return u0, v0, u1, v1


def _plane_depth(height: float, slope: np.ndarray) -> np.ndarray:
    """Depth −t_z / (R_world_camera d)_z of the table, d = ((u−cx)/fx, (v−cy)/fy, 1); inf where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = height / slope
    return np.where((depth > 0) & (depth <= MAX_TABLE_DEPTH), depth, np.inf)
