"""Families cut from stock: plates with holes, brackets, gears, folded and wavy sheets, lattices, extrusions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from manifold3d import CrossSection, JoinType

from ..mesh import TriMesh
from . import solids


def plate(rng: np.random.Generator) -> TriMesh:
    """Flat part of random rounded outline with one to four holes."""
    n = int(rng.integers(5, 11))
    phi = np.sort(rng.uniform(0, 2 * np.pi / n, n) + 2 * np.pi * np.arange(n) / n)
    radius = rng.uniform(0.018, 0.042, n)
    stretch = rng.uniform(0.6, 1.0)
    corners = np.stack([radius * np.cos(phi), stretch * radius * np.sin(phi)], -1)
    outline = solids.polygon(corners).offset(0.004, JoinType.Round, circular_segments=24)
    for _ in range(int(rng.integers(1, 5))):
        r = rng.uniform(0.002, 0.007)
        center = rng.uniform(-0.6, 0.6, 2) * [0.03, 0.03 * stretch]
        hole = CrossSection.circle(r + 0.003, 20).translate(center)
        # a hole keeps 3 mm of material to the edge
        if (hole - outline).is_empty():
            outline = outline - CrossSection.circle(r, 20).translate(center)
    return solids.to_mesh(solids.extrude(outline, rng.uniform(0.006, 0.025)))


def extrusion(rng: np.random.Generator) -> TriMesh:
    """Star, cross, C, hollow square or triangle, drawn out: profiles of window frames and tubes of pasta."""
    kind = rng.integers(4)
    size, length = rng.uniform(0.012, 0.022), rng.uniform(0.03, 0.12)
    if kind == 0:
        n = int(rng.integers(3, 8))
        phi = np.arange(2 * n) * np.pi / n
        r = size * np.where(np.arange(2 * n) % 2, rng.uniform(0.45, 0.75), 1.0)
        section = solids.polygon(np.stack([r * np.cos(phi), r * np.sin(phi)], -1))
    elif kind == 1:
        arm = size * rng.uniform(0.25, 0.5)
        section = _rectangle(2 * size, 2 * arm) + _rectangle(2 * arm, 2 * size)
    elif kind == 2:
        inner = size * rng.uniform(0.5, 0.75)
        section = CrossSection.circle(size, 32) - CrossSection.circle(inner, 32)
        section = section - _rectangle(2 * size, size * rng.uniform(0.5, 1.0)).translate([size, 0])
    else:
        n = int(rng.choice([3, 4, 5, 6]))
        outer = CrossSection.circle(size, n)
        section = outer - CrossSection.circle(size * rng.uniform(0.4, 0.7), n)
    if kind != 2:
        section = section.offset(0.0008, JoinType.Round, circular_segments=16)
    return solids.to_mesh(solids.extrude(section, length))


def bracket(rng: np.random.Generator) -> TriMesh:
    """L, T, U or Z profile with screw holes."""
    a, b = rng.uniform(0.03, 0.06, 2)
    t, depth = rng.uniform(0.004, 0.009), rng.uniform(0.015, 0.04)
    foot = _rectangle(a, t)
    up = _rectangle(t, b).translate([0, b / 2])
    kind = rng.integers(4)
    side = (a - t) / 2
    if kind == 0:
        section, walls = foot + up.translate([-side, 0]), [-side]
    elif kind == 1:
        section, walls = foot + up, [0.0]
    elif kind == 2:
        section = foot + up.translate([-side, 0]) + up.translate([side, 0])
        walls = [-side, side]
    else:
        section = foot + up.translate([-side, 0]) + foot.translate([-(a - t), b - t / 2])
        walls = [-side]
    section = section.offset(-0.0008).offset(0.0008, JoinType.Round, circular_segments=12)
    solid = solids.extrude(section, depth)
    r = min(rng.uniform(0.002, 0.005), 0.3 * depth)
    drill = solids.cylinder(r, 4 * t, segments=24)
    turn_y = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    turn_x = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    for x in walls:
        if rng.random() < 0.7:
            solid = solid - solids.place(drill, [x, rng.uniform(0.5, 0.75) * b, 0], turn_x)
    if kind != 1 and rng.random() < 0.7:
        solid = solid - solids.place(drill, [rng.uniform(-0.1, 0.1) * a, 0, 0], turn_y)
    return solids.to_mesh(solid)


def gear(rng: np.random.Generator) -> TriMesh:
    """Spur or helical gear with a bore, often with a hub."""
    n = int(rng.integers(8, 23))
    r, tooth = rng.uniform(0.014, 0.032), rng.uniform(0.1, 0.2)
    thickness = rng.uniform(0.008, 0.02)
    share = np.array([0.0, 0.22, 0.32, 0.68, 0.78])
    height = np.array([1, 1, 1 - tooth, 1 - tooth, 1])
    phi = 2 * np.pi * (np.arange(n)[:, None] + share).reshape(-1) / n
    radius = r * np.tile(height, n)
    section = solids.polygon(np.stack([radius * np.cos(phi), radius * np.sin(phi)], -1))
    twist = rng.choice([0.0, rng.uniform(8, 25)])
    wheel = section.extrude(thickness, 4 if twist else 0, twist)
    bore = r * rng.uniform(0.15, 0.35)
    if rng.random() < 0.6:
        hub = rng.uniform(0.006, 0.02)
        wheel = wheel + solids.cylinder(bore + 0.2 * r, hub + thickness, segments=32).translate(
            [0, 0, (hub + thickness) / 2]
        )
    return solids.to_mesh(wheel - solids.cylinder(bore, 1.0, segments=24))


def folded_sheet(rng: np.random.Generator) -> TriMesh:
    """Sheet folded along two to five parallel lines."""
    t = rng.uniform(0.002, 0.004)
    n = int(rng.integers(3, 7))
    length = rng.uniform(0.014, 0.032, n)
    # headings swing from side to side and stay within a right angle, so that the sheet never meets itself
    swing = rng.choice([-1, 1]) * np.where(np.arange(n) % 2, 1, -1)
    heading = swing * rng.uniform(0.3, 1.35, n)
    if rng.random() < 0.4:
        heading = np.sort(heading)
    step = length[:, None] * np.stack([np.cos(heading), np.sin(heading)], -1)
    line = np.concatenate([[[0, 0]], np.cumsum(step, 0)])
    section = CrossSection()
    for a, b in pairwise(line):
        section = section + _ribbon(np.stack([a, b]), t)
        section = section + CrossSection.circle(t / 2, 12).translate(b)
    return solids.to_mesh(solids.extrude(section.simplify(1e-5), rng.uniform(0.02, 0.06)))


def wavy_sheet(rng: np.random.Generator) -> TriMesh:
    """Sheet bent to an arc, a wave or a scroll."""
    t, depth = rng.uniform(0.002, 0.005), rng.uniform(0.02, 0.06)
    s = np.linspace(0, 1, 40)
    kind = rng.integers(3)
    if kind == 0:
        r, angle = rng.uniform(0.015, 0.04), rng.uniform(1.5, 4.6)
        line = r * np.stack([np.cos(angle * s), np.sin(angle * s)], -1)
    elif kind == 1:
        waves, amplitude = rng.uniform(1, 2.5), rng.uniform(0.006, 0.015)
        length = 0.03 * (1 + waves)
        line = np.stack([length * s, amplitude * np.sin(2 * np.pi * waves * s)], -1)
    else:
        turns = rng.uniform(1.1, 1.7)
        radius = 0.008 + rng.uniform(0.016, 0.024) * s
        phi = 2 * np.pi * turns * s
        line = radius[:, None] * np.stack([np.cos(phi), np.sin(phi)], -1)
        t = min(t, 0.003)
    return solids.to_mesh(solids.extrude(_ribbon(line, t), depth))


def lattice(rng: np.random.Generator) -> TriMesh:
    """Grid of bars: grille, rack, crate wall, jack."""
    nx, ny = rng.integers(2, 5, 2)
    pitch, bar = rng.uniform(0.014, 0.024), rng.uniform(0.003, 0.006)
    height = rng.uniform(1.0, 3.0) * bar
    wide, long = (nx - 1) * pitch + bar, (ny - 1) * pitch + bar
    parts = [
        solids.box(bar, long, height).translate([(i - (nx - 1) / 2) * pitch, 0, 0])
        for i in range(nx)
    ]
    parts += [
        solids.box(wide, bar, height).translate([0, (j - (ny - 1) / 2) * pitch, 0])
        for j in range(ny)
    ]
    if rng.random() < 0.5:
        post = rng.uniform(0.015, 0.05)
        corners = [(x, y) for x in (-1, 1) for y in (-1, 1)]
        for x, y in corners[: int(rng.integers(1, 5))]:
            at = [x * (wide - bar) / 2, y * (long - bar) / 2, post / 2]
            parts.append(solids.box(bar, bar, post + height).translate(at))
    return solids.to_mesh(solids.union(parts))


def _rectangle(x: float, y: float) -> CrossSection:
    return CrossSection.square([x, y], True)


def _ribbon(line: np.ndarray, thickness: float) -> CrossSection:
    """Open polyline (n, 2) of bends wider than the thickness, thickened to both sides."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    side = thickness / 2 * np.stack([-tangent[:, 1], tangent[:, 0]], -1)
    return solids.polygon(np.concatenate([line + side, (line - side)[::-1]]))
