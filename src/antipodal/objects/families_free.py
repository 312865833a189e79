"""Families without a tool to name them after: superquadrics, hulls, piles of boxes, noise blobs, boolean mixtures."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from ..mesh import TriMesh
from ..transforms import random_rotations
from . import solids


def superquadric(rng: np.random.Generator) -> TriMesh:
    """|x/a|^(2/e₂) … between box, ellipsoid, cylinder and octahedron [Barr81], sometimes tapered."""
    e1, e2 = rng.uniform(0.25, 1.7, 2)
    a = np.array([rng.uniform(0.01, 0.022), rng.uniform(0.012, 0.03), rng.uniform(0.015, 0.045)])
    ball = Manifold.sphere(1.0, 48)
    taper = rng.uniform(-0.35, 0.35) * (rng.random() < 0.4)

    def shape(p: np.ndarray) -> np.ndarray:
        p = np.asarray(p) / np.linalg.norm(p, axis=-1, keepdims=True)
        eta, omega = np.arcsin(np.clip(p[:, 2], -1, 1)), np.arctan2(p[:, 1], p[:, 0])
        ring = _power(np.cos(eta), e1)
        q = np.stack(
            [ring * _power(np.cos(omega), e2), ring * _power(np.sin(omega), e2), _power(p[:, 2], e1)], -1
        )  # fmt: skip
        q[:, :2] *= 1 + taper * q[:, 2:]
        return q * a

    return solids.to_mesh(ball.warp_batch(shape))


def convex_hull(rng: np.random.Generator) -> TriMesh:
    """Convex hull of a few random points in an ellipsoid: pebbles, cut stones, wedges."""
    n = int(rng.integers(6, 30))
    p = rng.normal(size=(n, 3))
    p = p / np.linalg.norm(p, axis=-1, keepdims=True) * rng.uniform(0.6, 1, (n, 1))
    a = np.array([rng.uniform(0.012, 0.024), rng.uniform(0.015, 0.035), rng.uniform(0.02, 0.055)])
    return solids.to_mesh(Manifold.hull_points(p * a))


def welded_boxes(rng: np.random.Generator) -> TriMesh:
    """Three to seven boxes, each stuck to one before it."""
    sizes = rng.uniform(0.01, 0.045, (int(rng.integers(3, 8)), 3))
    sizes[:, 0] = rng.uniform(0.008, 0.025, len(sizes))
    sizes = rng.permuted(sizes, axis=1)
    centers = np.zeros_like(sizes)
    parts = [solids.box(*sizes[0])]
    for k in range(1, len(sizes)):
        j = int(rng.integers(k))
        axis, side = int(rng.integers(3)), rng.choice([-1, 1])
        reach = (sizes[j] + sizes[k]) / 2
        offset = rng.uniform(-0.6, 0.6, 3) * reach
        offset[axis] = side * (reach[axis] - 0.25 * min(sizes[j, axis], sizes[k, axis]))
        centers[k] = centers[j] + offset
        parts.append(solids.box(*sizes[k]).translate(centers[k]))
    return solids.to_mesh(solids.union(parts))


def blob(rng: np.random.Generator) -> TriMesh:
    """Level set of a few random plane waves in an ellipsoid: ginger, pebbles, melted things."""
    a = np.array([rng.uniform(0.014, 0.022), rng.uniform(0.016, 0.03), rng.uniform(0.02, 0.045)])
    n = 6
    waves = rng.normal(0, 1.6, (n, 3))
    phase, weight = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.06, 0.16, n)
    ball = Manifold.sphere(1.0, 56)

    def shape(p: np.ndarray) -> np.ndarray:
        u = np.asarray(p) / np.linalg.norm(p, axis=-1, keepdims=True)
        bump = (weight * np.sin(2 * (u[:, None] * waves).sum(-1) + phase)).sum(-1)
        return u * np.exp(0.8 * bump)[:, None] * a

    return solids.to_mesh(ball.warp_batch(shape))


def metaballs(rng: np.random.Generator) -> TriMesh:
    """Implicit surface of soft balls along a random walk, by marching tetrahedra."""
    n = int(rng.integers(3, 7))
    radius = rng.uniform(0.010, 0.017, n)
    step = rng.normal(size=(n, 3))
    step /= np.linalg.norm(step, axis=-1, keepdims=True)
    centers = np.cumsum(step * radius[:, None] * 1.5, 0)
    centers -= centers.mean(0)

    def density(x: float, y: float, z: float) -> float:
        d2 = (centers[:, 0] - x) ** 2 + (centers[:, 1] - y) ** 2 + (centers[:, 2] - z) ** 2
        return float(np.exp(1.8 * (1 - d2 / radius**2)).sum() - 1.0)

    low, high = centers.min(0) - 0.03, centers.max(0) + 0.03
    solid = Manifold.level_set(density, [*low, *high], 0.0045)
    return solids.to_mesh(solid)


def boolean_mixture(rng: np.random.Generator) -> TriMesh:
    """Unions and differences of boxes, cylinders and spheres at random poses."""
    solid = _primitive(rng, rng.uniform(0.022, 0.034))
    for _ in range(int(rng.integers(2, 6))):
        other = _primitive(rng, rng.uniform(0.010, 0.026))
        on_surface = rng.normal(size=3)
        on_surface *= 0.022 / np.linalg.norm(on_surface)
        other = other.translate(on_surface)
        mixed = solid - other if rng.random() < 0.45 else solid + other
        # a cut that leaves little or several pieces is not made
        if len(mixed.decompose()) == 1 and mixed.volume() > 0.5 * solid.volume():
            solid = mixed
    return solids.to_mesh(solid)


def machine_part(rng: np.random.Generator) -> TriMesh:
    """Flange with boss, ribs and bolt holes: the look of the paper's printed adversarial parts."""
    r, t = rng.uniform(0.022, 0.036), rng.uniform(0.005, 0.010)
    boss, height = r * rng.uniform(0.35, 0.6), rng.uniform(0.02, 0.05)
    n = int(rng.integers(3, 7))
    base = solids.cylinder(r, t) if rng.random() < 0.6 else solids.box(1.8 * r, 1.5 * r, t)
    solid = base + solids.cylinder(boss, height, boss * rng.uniform(0.7, 1.0)).translate(
        [0, 0, height / 2]
    )
    rib = solids.box(1.6 * r, rng.uniform(0.003, 0.005), 0.6 * height)
    turn = 2 * np.pi / n
    if rng.random() < 0.6:
        solid = solid + rib.translate([0, 0, 0.3 * height]).rotate([0, 0, 90.0])
    for k in range(n):
        at = 0.8 * r * np.array([np.cos(k * turn + 0.3), np.sin(k * turn + 0.3), 0])
        if rng.random() < 0.8:
            solid = solid - solids.cylinder(0.09 * r, 0.5, segments=16).translate(at)
    if rng.random() < 0.7:
        solid = solid - solids.cylinder(0.55 * boss, 1.0)
    if rng.random() < 0.4:
        side = solids.cylinder(0.5 * boss, 2.2 * boss).rotate([90.0, 0, 0])
        solid = solid + side.translate([0, boss, 0.65 * height])
    return solids.to_mesh(solid)


def carton(rng: np.random.Generator) -> TriMesh:
    """Box with rounded edges that fills the hand at least one way: the packets of a kitchen, easy to hold."""
    x, y, z = rng.uniform(0.014, 0.042), rng.uniform(0.028, 0.047), rng.uniform(0.03, 0.062)
    r = rng.uniform(0.001, 0.004)
    corner = solids.sphere(r, 12)
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)
    parts = [corner.translate(at) for at in signs * (np.array([x, y, z]) / 2 - r)]
    return solids.to_mesh(Manifold.batch_hull(parts))


def burr(rng: np.random.Generator) -> TriMesh:
    """Crowd of round-ended rods and lentils through a ball, mostly along one axis: gaps everywhere, hard to hold."""
    solid = solids.sphere(rng.uniform(0.006, 0.010), 16)
    spread, lentil_share = rng.uniform(0.15, 0.9), rng.uniform(0, 0.5)
    for _ in range(int(rng.integers(9, 20))):
        if rng.random() < lentil_share:
            part = solids.sphere(1.0, 16).scale([*rng.uniform(0.006, 0.012, 2), 0.003])
        else:
            radius, half = rng.uniform(0.002, 0.005), rng.uniform(0.008, 0.02)
            end = solids.sphere(radius, 8)
            part = Manifold.batch_hull([end.translate([0, 0, z]) for z in (-half, half)])
        leaning = np.array([0, 0, 1]) + spread * rng.normal(size=3)
        solid = solid + solids.place(part, 0.007 * rng.normal(size=3), _rotation_to(leaning))
    # what stands apart from the ball is left out
    return solids.to_mesh(max(solid.decompose(), key=lambda piece: piece.volume()))


def _primitive(rng: np.random.Generator, size: float) -> Manifold:
    kind = rng.integers(3)
    if kind == 0:
        solid = solids.box(*(size * rng.uniform(0.8, 1.8, 3)))
    elif kind == 1:
        solid = solids.cylinder(size * rng.uniform(0.3, 0.7), size * rng.uniform(1.0, 2.2))
    else:
        solid = solids.sphere(size * rng.uniform(0.5, 0.8), 28)
    return solids.place(solid, rotation=random_rotations(1, rng)[0])


def _power(base: np.ndarray, exponent: float) -> np.ndarray:
    return np.sign(base) * np.abs(base) ** exponent


def _rotation_to(z_axis: np.ndarray) -> np.ndarray:
    """A rotation whose third column is along ``z_axis``."""
    z = z_axis / np.linalg.norm(z_axis)
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], -1)
