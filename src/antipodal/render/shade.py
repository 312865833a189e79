"""A shaded picture of bodies on a table by the package's own ray tracer: no OpenGL, no window.

Lambert's law with one distant light and its hard shadow, a sky that is brighter above than below, dimmed by ambient
occlusion (a few short rays per sample), 2×2 samples at every edge, sRGB out. For people, not for measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike

from .. import transforms
from ..camera import CameraIntrinsics
from ..errors import InvalidConfig
from ..mesh import TriMesh, joined
from ..values import rigid

Color = tuple[float, float, float]
EDGE_CONTRAST = 0.02
"""Neighbours that differ by more than this in sRGB get more samples."""
PALETTE: tuple[Color, ...] = (
    (0.90, 0.45, 0.20),
    (0.20, 0.55, 0.80),
    (0.35, 0.68, 0.35),
    (0.85, 0.70, 0.20),
    (0.62, 0.42, 0.75),
    (0.85, 0.35, 0.42),
    (0.25, 0.68, 0.68),
    (0.60, 0.60, 0.62),
)
"""Colours that are easy to tell apart, sRGB in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Body:
    """A mesh, where it is, and its colour."""

    mesh: TriMesh
    T_world_body: Float[np.ndarray, "4 4"]
    color: Color = PALETTE[0]
    """sRGB in [0, 1]."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "T_world_body", rigid(self.T_world_body, "T_world_body", ndim=2))
        color = np.asarray(self.color, float)
        if color.shape != (3,) or not ((color >= 0) & (color <= 1)).all():
            raise InvalidConfig(f"body color {self.color}: expected three numbers in [0, 1]")


@dataclass(frozen=True)
class ShadeConfig:
    """How the picture looks."""

    table_color: Color = (0.74, 0.75, 0.76)
    checker: float = 0.05
    """Side of the table's checks, m; 0 for a plain table."""
    checker_contrast: float = 0.1
    """Share by which every other check is darker."""
    background: Color = (0.93, 0.94, 0.95)
    fade_distance: float = 2.5
    """The table fades into the background at this distance from the camera, m."""
    light: float = 0.95
    """Strength of the distant light."""
    light_direction: tuple[float, float, float] = (-0.6, -0.8, 0.9)
    """Towards the light: along the camera's right, along its view over the table, up. Any length."""
    ambient: float = 0.48
    """Strength of the sky."""
    occlusion_rays: int = 10
    """Rays of ambient occlusion per sample; 0 for none."""
    occlusion_distance: float = 0.06
    """What is nearer than this dims the sky, m."""
    crease_angle: float = float(np.deg2rad(35.0))
    """Edges blunter than this are shaded smooth, rad."""
    samples: int = 2
    """Samples per axis of a pixel at an edge; 1 for hard edges."""


DEFAULT_SHADE = ShadeConfig()


def shade(
    bodies: Sequence[Body],
    T_world_camera: Float[np.ndarray, "4 4"],
    intrinsics: CameraIntrinsics,
    config: ShadeConfig = DEFAULT_SHADE,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the bodies over the table z = 0, seen by an OpenCV camera; sRGB. The same call gives the same bytes.

    The light comes from the upper left behind the camera, whatever its azimuth.
    """
    soup = _Soup(bodies, config.crease_angle)
    v, u = np.mgrid[: intrinsics.height, : intrinsics.width]
    pixels = np.stack([u, v], -1).reshape(-1, 2)
    linear = _trace(soup, T_world_camera, _rays(pixels, T_world_camera, intrinsics), config)
    if (k := config.samples) > 1:
        edge = np.nonzero(_edges(linear.reshape(*intrinsics.shape, 3)).reshape(-1))[0]
        step = (np.arange(k) + 0.5) / k - 0.5
        offsets = np.stack(np.meshgrid(step, step), -1).reshape(-1, 2)
        fine = (pixels[edge, None] + offsets).reshape(-1, 2)
        traced = _trace(soup, T_world_camera, _rays(fine, T_world_camera, intrinsics), config)
        linear[edge] = traced.reshape(-1, k * k, 3).mean(1)
    picture = _encode_srgb(linear).reshape(*intrinsics.shape, 3)
    return (picture * 255 + 0.5).astype(np.uint8)


def look_from(
    azimuth: float,
    elevation: float,
    distance: float,
    target: ArrayLike = (0.0, 0.0, 0.03),
) -> Float[np.ndarray, "4 4"]:
    """T_world_camera of a camera at (azimuth, elevation) rad and ``distance`` m from ``target``, looking at it."""
    c = np.cos(elevation)
    direction = np.array([c * np.cos(azimuth), c * np.sin(azimuth), np.sin(elevation)])
    return transforms.look_at(np.asarray(target) + distance * direction, target)


class _Soup:
    """All bodies as one triangle soup in the world frame, with a normal per corner and a colour per face."""

    def __init__(self, bodies: Sequence[Body], crease_angle: float) -> None:
        meshes = [body.mesh.transformed(body.T_world_body) for body in bodies]
        self.caster, self.boxes = None, []
        if not meshes:
            return
        scene = joined(meshes, "scene")
        self.caster = scene.raycaster
        self.triangles = scene.triangles
        self.face_normals = np.concatenate([m.face_normals for m in meshes])
        self.corner_normals = np.concatenate([_corner_normals(m, crease_angle) for m in meshes])
        color = np.array([_decode_srgb(np.asarray(b.color, float)) for b in bodies])
        self.face_colors = np.repeat(color, [len(m.faces) for m in meshes], axis=0)
        self.center = scene.bounds.mean(0)
        self.radius = float(np.linalg.norm(scene.vertices - self.center, axis=-1).max())
        self.boxes = [m.bounds for m in meshes]

    def is_near(self, points: np.ndarray, distance: float) -> np.ndarray:
        """True where a point is within ``distance`` of some body's bounding box, axis by axis."""
        near = np.zeros(len(points), bool)
        for low, high in self.boxes:
            near |= ((points > low - distance) & (points < high + distance)).all(-1)
        return near

    def shading_normals(self, points: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Corner normals interpolated at points on faces, unit."""
        a, b, c = np.moveaxis(self.triangles[faces], 1, 0)
        e0, e1, d = b - a, c - a, points - a
        d00, d01, d11 = (e0 * e0).sum(-1), (e0 * e1).sum(-1), (e1 * e1).sum(-1)
        p0, p1 = (d * e0).sum(-1), (d * e1).sum(-1)
        area = np.maximum(d00 * d11 - d01 * d01, 1e-30)
        w1, w2 = (d11 * p0 - d01 * p1) / area, (d00 * p1 - d01 * p0) / area
        weights = np.clip(np.stack([1 - w1 - w2, w1, w2], -1), 0, 1)
        n = np.einsum("nk,nkd->nd", weights, self.corner_normals[faces])
        length = np.linalg.norm(n, axis=-1, keepdims=True)
        return np.where(length > 1e-9, n / np.maximum(length, 1e-9), self.face_normals[faces])


def _rays(
    pixels: np.ndarray, T_world_camera: np.ndarray, intrinsics: CameraIntrinsics
) -> np.ndarray:
    """Unit directions of pixels (n, 2) in the world frame."""
    rays = transforms.rotate(T_world_camera, intrinsics.deproject(pixels, np.ones(len(pixels))))
    return rays / np.sqrt(np.einsum("ni,ni->n", rays, rays))[:, None]


def _edges(linear: np.ndarray) -> np.ndarray:
    """True at pixels whose colour differs visibly from a neighbour's above, below, left or right."""
    image = _encode_srgb(linear)
    edge = np.zeros(image.shape[:2], bool)
    down = np.abs(np.diff(image, axis=0)).max(-1) > EDGE_CONTRAST
    right = np.abs(np.diff(image, axis=1)).max(-1) > EDGE_CONTRAST
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _trace(
    soup: _Soup, T_world_camera: np.ndarray, directions: np.ndarray, config: ShadeConfig
) -> np.ndarray:
    """Linear colours seen along unit ``directions`` from the camera."""
    eye = T_world_camera[:3, 3]
    background = _decode_srgb(np.asarray(config.background))
    color = np.broadcast_to(background, directions.shape).copy()
    distance = np.full(len(directions), np.inf)
    face = np.full(len(directions), -1)
    if soup.caster is not None:
        # only rays that pass the bounding sphere
        along = directions @ (soup.center - eye)
        miss2 = ((soup.center - eye) ** 2).sum() - along**2
        near = np.nonzero((miss2 <= soup.radius**2) & (along > -soup.radius))[0]
        hits = soup.caster.first_hit(np.broadcast_to(eye, (len(near), 3)), directions[near])
        distance[near], face[near] = hits.distance, hits.face
    with np.errstate(divide="ignore"):
        to_table = np.where(directions[:, 2] < 0, -eye[2] / directions[:, 2], np.inf)
    on_table = (to_table > 0) & (to_table < distance)
    distance = np.where(on_table, to_table, distance)
    seen = np.nonzero(np.isfinite(distance) & (on_table | (face >= 0)))[0]
    points = eye + distance[seen, None] * directions[seen]
    normals = np.tile([0.0, 0.0, 1.0], (len(seen), 1))
    smooth = normals.copy()
    albedo = np.empty((len(seen), 3))
    table, body = on_table[seen], ~on_table[seen]
    albedo[table] = _table_albedo(points[table], config)
    if body.any():
        f = face[seen[body]]
        albedo[body] = soup.face_colors[f]
        normals[body] = soup.face_normals[f]
        smooth[body] = soup.shading_normals(points[body], f)
        # an open or inside-out mesh shows its back: light it as if it faced the camera
        flip = (normals * directions[seen]).sum(-1) > 0
        normals[flip], smooth[flip] = -normals[flip], -smooth[flip]
    lit = albedo * _light(soup, points, normals, smooth, T_world_camera, config)[:, None]
    fade = np.clip(distance[seen] / config.fade_distance, 0, 1)[:, None] ** 2 * table[:, None]
    color[seen] = (1 - fade) * lit + fade * background
    return color


def _light(
    soup: _Soup,
    points: np.ndarray,
    normals: np.ndarray,
    smooth: np.ndarray,
    T_world_camera: np.ndarray,
    config: ShadeConfig,
) -> np.ndarray:
    """Light that arrives at each point: the distant light unless shadowed, and the sky that is not occluded."""
    right = T_world_camera[:3, 0] * [1, 1, 0]
    forward = np.cross([0.0, 0.0, 1.0], right)
    to_light = np.array(config.light_direction) @ np.stack([right, forward, [0.0, 0.0, 1.0]])
    to_light /= np.linalg.norm(to_light)
    lambert = np.clip(smooth @ to_light, 0, None) * (normals @ to_light > 0)
    sky = 0.75 + 0.25 * smooth[:, 2]
    if soup.caster is not None:
        start = points + 2e-5 * normals
        to_center = soup.center - start
        along = to_center @ to_light
        reach = (to_center**2).sum(-1) - along**2 <= soup.radius**2
        maybe = np.nonzero(reach & (lambert > 0))[0]
        shadow = soup.caster.first_hit(start[maybe], np.tile(to_light, (len(maybe), 1))).found
        lambert[maybe[shadow]] = 0.0
        sky *= _open_sky(soup, start, normals, config)
    return config.light * lambert + config.ambient * sky


def _open_sky(
    soup: _Soup, start: np.ndarray, normals: np.ndarray, config: ShadeConfig
) -> np.ndarray:
    """Share of each point's sky that no nearby body covers, cosine-weighted; the table covers too."""
    n = config.occlusion_rays
    open_sky = np.ones(len(start))
    index = np.nonzero(soup.is_near(start, config.occlusion_distance))[0]
    if n == 0 or len(index) == 0 or soup.caster is None:
        return open_sky
    # a fixed state: the grain is part of the picture's definition, not of any experiment
    rng = np.random.default_rng(0)
    height2 = (np.arange(n) + rng.random((len(index), n))) / n
    phi = 2 * np.pi * ((np.arange(n) * 0.618 + rng.random((len(index), 1))) % 1)
    local = np.stack(
        [np.sqrt(height2) * np.cos(phi), np.sqrt(height2) * np.sin(phi), np.sqrt(1 - height2)], -1
    )
    directions = np.einsum("nij,nkj->nki", _tangent_frames(normals[index]), local).reshape(-1, 3)
    origins = np.repeat(start[index], n, axis=0)
    hit = soup.caster.first_hit(origins, directions).distance
    with np.errstate(divide="ignore"):
        floor = np.where(directions[:, 2] < 0, -origins[:, 2] / directions[:, 2], np.inf)
    hit = np.minimum(hit, floor)
    covered = 1 - np.minimum(hit / config.occlusion_distance, 1.0)
    open_sky[index] = 1 - 0.85 * covered.reshape(-1, n).mean(1)
    return open_sky


def _tangent_frames(normals: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) whose third column is the normal [Duff et al. 2017]."""
    x, y, z = normals.T
    sign = np.where(z >= 0, 1.0, -1.0)
    a = -1 / (sign + z)
    b = x * y * a
    t = np.stack([1 + sign * x * x * a, sign * b, -sign * x], -1)
    s = np.stack([b, sign + y * y * a, -y], -1)
    return np.stack([t, s, normals], -1)


def _table_albedo(points: np.ndarray, config: ShadeConfig) -> np.ndarray:
    base = _decode_srgb(np.asarray(config.table_color))
    if config.checker <= 0:
        return np.broadcast_to(base, points.shape)
    odd = np.floor(points[:, :2] / config.checker).sum(-1) % 2
    return base * (1 - config.checker_contrast * odd)[:, None]


def _corner_normals(mesh: TriMesh, crease_angle: float) -> Float[np.ndarray, "F 3 3"]:
    """Area-weighted mean, per corner, of the normals around its vertex that are within the crease angle."""
    corner_vertex = mesh.faces.reshape(-1)
    corner_face = np.repeat(np.arange(len(mesh.faces)), 3)
    order = np.argsort(corner_vertex, kind="stable")
    degree = np.bincount(corner_vertex, minlength=len(mesh.vertices))
    first = np.cumsum(degree) - degree
    # every ordered pair of corners that share a vertex
    repeats = degree[corner_vertex]
    i = np.repeat(np.arange(len(corner_vertex)), repeats)
    within = np.arange(len(i)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    j = order[first[corner_vertex[i]] + within]
    normal = mesh.face_normals
    similar = (normal[corner_face[i]] * normal[corner_face[j]]).sum(-1) > np.cos(crease_angle)
    i, j = i[similar], corner_face[j[similar]]
    weighted = normal[j] * mesh.face_areas[j, None]
    total = np.stack([np.bincount(i, weighted[:, k], len(corner_vertex)) for k in range(3)], -1)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    total = np.where(length > 0, total / np.where(length > 0, length, 1), normal[corner_face])
    return total.reshape(-1, 3, 3)


def _decode_srgb(color: np.ndarray) -> np.ndarray:
    """sRGB [0, 1] → linear."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def _encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear → sRGB [0, 1]."""
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
