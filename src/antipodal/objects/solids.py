"""Closed solids from few numbers, as manifold3d values: what the families build with. Metres, z up.

manifold3d's booleans are exact in topology: whatever comes out of a chain of them is closed and oriented.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from manifold3d import CrossSection, Manifold, Mesh64
from numpy.typing import ArrayLike

from ..mesh import TriMesh

CIRCLE_SEGMENTS = 36
"""Sides of a round thing: 10° each."""
DETAIL = 1e-6
"""Slivers that booleans of nearly flush faces leave are thinner than this, m."""


def to_mesh(solid: Manifold) -> TriMesh:
    """Return the solid as a mesh whose bounding box is centred on the origin, without details below 1 µm."""
    data = solid.simplify(DETAIL).to_mesh64()
    vertices = np.asarray(data.vert_properties)[:, :3]
    vertices = vertices - (vertices.min(0) + vertices.max(0)) / 2
    return TriMesh(vertices, np.asarray(data.tri_verts, np.int64))


def from_arrays(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Manifold:
    """Solid of a closed, outward mesh."""
    solid = Manifold(Mesh64(np.asarray(vertices, np.float64), np.asarray(faces, np.uint64)))
    assert not solid.is_empty(), "the arrays are not a closed mesh"
    return solid


def place(
    solid: Manifold, translation: ArrayLike = (0, 0, 0), rotation: ArrayLike | None = None
) -> Manifold:
    """Rotate by a 3×3 matrix, then move, m."""
    R = np.eye(3) if rotation is None else np.asarray(rotation, float)
    t = np.asarray(translation, float)
    return solid.transform(np.hstack([R, t[:, None]]))


def box(x: float, y: float, z: float) -> Manifold:
    """Box centred on the origin."""
    return Manifold.cube([x, y, z], True)


def cylinder(
    radius: float, height: float, top_radius: float | None = None, segments: int = CIRCLE_SEGMENTS
) -> Manifold:
    """Cylinder, or cone, about z, centred on the origin."""
    top = radius if top_radius is None else top_radius
    return Manifold.cylinder(height, radius, top, segments, True)


def sphere(radius: float, segments: int = CIRCLE_SEGMENTS) -> Manifold:
    """Sphere centred on the origin."""
    return Manifold.sphere(radius, segments)


def polygon(points: ArrayLike) -> CrossSection:
    """Filled polygon of points (n, 2), either way round."""
    p = np.asarray(points, float)
    x, y = p.T
    if (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < 0:
        p = p[::-1]
    return CrossSection([p])


def extrude(section: CrossSection, height: float) -> Manifold:
    """Prism over a section in the xy plane, from z = −height/2 to height/2."""
    return section.extrude(height).translate([0, 0, -height / 2])


def revolve(profile: ArrayLike, segments: int = CIRCLE_SEGMENTS) -> Manifold:
    """Body of revolution about z of the closed profile (n, 2) = (r, z)."""
    return polygon(profile).revolve(segments)


def turned(
    radius: Float[np.ndarray, "n"],
    z: Float[np.ndarray, "n"],
    segments: int = CIRCLE_SEGMENTS,
) -> Manifold:
    """Solid body of revolution with radius(z)."""
    outline = np.stack([radius, z], -1)
    return revolve(np.concatenate([[[0.0, z[0]]], outline, [[0.0, z[-1]]]]), segments)


def sweep(
    path: Float[np.ndarray, "n 3"], radius: ArrayLike, sides: int = 16, closed: bool = False
) -> Manifold:
    """Round rod along a path, of constant or per-point radius; frames are parallel-transported.

    Args:
        path: points, m; no two neighbours equal. The caller keeps the bends wider than the radius.
        radius: () or (n,) m.
        sides: of the rod's section.
        closed: join the last point to the first.
    """
    n = len(path)
    if closed:
        tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent = tangent / np.linalg.norm(tangent, axis=-1, keepdims=True)
    normal = np.empty_like(path)
    normal[0] = np.cross(tangent[0], np.eye(3)[np.argmin(np.abs(tangent[0]))])
    normal[0] /= np.linalg.norm(normal[0])
    for i in range(1, n):
        v = normal[i - 1] - tangent[i] * (normal[i - 1] @ tangent[i])
        normal[i] = v / np.linalg.norm(v)
    other = np.cross(tangent, normal)
    r = np.broadcast_to(np.asarray(radius, float), (n,))[:, None, None]
    phi = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(phi)[:, None] * normal[:, None] + np.sin(phi)[:, None] * other[:, None]
    vertices = (path[:, None] + r * ring).reshape(-1, 3)
    i, k = np.meshgrid(np.arange(n if closed else n - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + k, i * sides + (k + 1) % sides
    c, d = (a + sides) % (n * sides), (b + sides) % (n * sides)
    faces = [
        np.stack([a, b, d], -1).reshape(-1, 3),
        np.stack([a, d, c], -1).reshape(-1, 3),
    ]
    if not closed:
        first = np.arange(1, sides - 1)
        last = (n - 1) * sides
        faces.append(np.stack([np.zeros_like(first), first + 1, first], -1))
        faces.append(last + np.stack([np.zeros_like(first), first, first + 1], -1))
    return from_arrays(vertices, np.concatenate(faces))


def union(parts: Sequence[Manifold]) -> Manifold:
    """All parts in one."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def smooth_curve(
    knots_t: ArrayLike, knots_value: ArrayLike, t: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Monotone cubic through knots: no overshoot, so that a radius stays between its neighbours'."""
    from scipy.interpolate import PchipInterpolator  # heavy: loaded with the first use

    return PchipInterpolator(np.asarray(knots_t, float), np.asarray(knots_value, float))(t)
