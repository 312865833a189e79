"""Families of rods and tubes: pipes and elbows, rings, handles, tools with thin shanks, springs, jacks."""

from __future__ import annotations

import numpy as np

from ..mesh import TriMesh
from ..transforms import random_rotations
from . import solids


def pipe(rng: np.random.Generator) -> TriMesh:
    """Pipe, elbow or bend with flanges or sockets at its ends, bored through."""
    r = rng.uniform(0.008, 0.017)
    bore = r * rng.uniform(0.55, 0.8)
    angle = rng.choice([0.0, np.pi / 4, np.pi / 2, rng.uniform(0.3, 2.2)])
    bend = r * rng.uniform(1.6, 2.6)
    legs = rng.uniform(0.012, 0.04, 2)
    path = _bent(legs[0], legs[1], bend, angle)
    solid = solids.sweep(path, r, 28)
    hole = solids.sweep(_bent(legs[0] + 0.02, legs[1] + 0.02, bend, angle), bore, 24)
    if rng.random() < 0.7:
        collar, thick = r * rng.uniform(1.2, 1.6), rng.uniform(0.004, 0.01)
        for end, into in ((path[0], path[1] - path[0]), (path[-1], path[-2] - path[-1])):
            into = into / np.linalg.norm(into)
            solid = solid + solids.sweep(np.stack([end, end + thick * into]), collar, 28)
    return solids.to_mesh(solid - hole)


def tee(rng: np.random.Generator) -> TriMesh:
    """T, Y or cross of pipes."""
    r, length = rng.uniform(0.008, 0.015), rng.uniform(0.045, 0.08)
    bore = r * rng.uniform(0.5, 0.8)
    tilt = rng.choice([np.pi / 2, np.pi / 4, np.pi / 3])
    direction = np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    ends = [np.array([-0.5, 0, 0]) * length, np.array([0.5, 0, 0]) * length]
    ends.append(direction * length * rng.uniform(0.45, 0.7))
    if rng.random() < 0.3:
        ends.append(-ends[-1])
    origin = np.zeros(3)
    solid = solids.union([solids.sweep(np.stack([origin, e]), r, 28) for e in ends])
    solid = solid + solids.sphere(r, 28)
    for e in ends:
        solid = solid - solids.sweep(np.stack([origin, 1.2 * e]), bore, 24)
    return solids.to_mesh(solid)


def ring(rng: np.random.Generator) -> TriMesh:
    """Ring, washer, tyre or link: a section swept round a circle or an oval."""
    big, small = rng.uniform(0.015, 0.035), rng.uniform(0.004, 0.01)
    if rng.random() < 0.5:
        phi = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        oval = rng.uniform(1.0, 1.8)
        path = big * np.stack([oval * np.cos(phi), np.sin(phi), 0 * phi], -1)
        return solids.to_mesh(solids.sweep(path, small, 16, closed=True))
    n = int(rng.choice([3, 4, 6]))
    phi = 2 * np.pi * (np.arange(n) + 0.5) / n
    stretch = rng.uniform(0.6, 2.0)
    profile = small * np.stack([np.cos(phi), stretch * np.sin(phi)], -1) + [big, 0]
    return solids.to_mesh(solids.revolve(profile, 48))


def handle(rng: np.random.Generator) -> TriMesh:
    """Bow handle with two feet, as on drawers and doors."""
    span, rise = rng.uniform(0.05, 0.12), rng.uniform(0.02, 0.04)
    r = rng.uniform(0.004, 0.008)
    power = rng.uniform(0.3, 0.9)
    s = np.linspace(0, np.pi, 36)
    path = np.stack(
        [-span / 2 * np.sign(np.cos(s)) * np.abs(np.cos(s)) ** power, 0 * s, rise * np.sin(s)], -1
    )
    solid = solids.sweep(path, r, 16)
    foot = solids.cylinder(r * rng.uniform(1.5, 2.5), rng.uniform(0.003, 0.008), segments=28)
    feet = [foot.translate([x, 0, 0]) for x in (-span / 2, span / 2)]
    return solids.to_mesh(solid + feet[0] + feet[1])


def screwdriver(rng: np.random.Generator) -> TriMesh:
    """Long thin shank in a thick grip: screwdriver, chisel, brush, awl."""
    grip, shank = rng.uniform(0.05, 0.08), rng.uniform(0.05, 0.1)
    r = rng.uniform(0.009, 0.015)
    t = np.linspace(0, 1, 16)
    outline = r * solids.smooth_curve(
        [0, 0.1, 0.5, 0.85, 1], [0.6, 1, rng.uniform(0.75, 1.05), 0.95, 0.6], t
    )
    sides = int(rng.choice([6, 8, 28]))
    solid = solids.turned(outline, (t - 1) * grip, sides)
    thin = rng.uniform(0.0025, 0.005)
    solid = solid + solids.cylinder(thin, shank + 0.01, segments=18).translate(
        [0, 0, shank / 2 - 0.005]
    )
    tip = solids.box(2 * thin * rng.uniform(1.0, 2.5), thin, 0.012)
    return solids.to_mesh(solid + tip.translate([0, 0, shank]))


def hammer(rng: np.random.Generator) -> TriMesh:
    """Head across a thin shaft: hammer, mallet, pick."""
    length, r = rng.uniform(0.08, 0.15), rng.uniform(0.005, 0.009)
    shaft = solids.cylinder(r, length, r * rng.uniform(0.6, 1.0), segments=24)
    head_length, face = rng.uniform(0.035, 0.07), rng.uniform(0.009, 0.018)
    turn_x = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    top = [0, 0, length / 2]
    if rng.random() < 0.5:
        head = solids.cylinder(face, head_length, face * rng.uniform(0.4, 1.0), segments=28)
    else:
        head = solids.box(1.6 * face, 1.6 * face, head_length)
    solid = shaft + solids.place(head, top, turn_x)
    if rng.random() < 0.4:
        claw = solids.box(0.02, 1.2 * face, 0.004)
        solid = solid + claw.translate([-head_length / 2 - 0.005, 0, length / 2])
    return solids.to_mesh(solid)


def wrench(rng: np.random.Generator) -> TriMesh:
    """Flat spanner: an open jaw at one end, a ring at the other."""
    length, thickness = rng.uniform(0.08, 0.15), rng.uniform(0.005, 0.009)
    width, eye = rng.uniform(0.008, 0.014), rng.uniform(0.011, 0.018)
    head = eye * rng.uniform(1.0, 1.3)
    solid = solids.box(length, width, thickness)
    for x, radius in ((-length / 2, eye), (length / 2, head)):
        disc = solids.cylinder(radius, 1.3 * thickness)
        solid = solid + disc.translate([x, 0, 0])
    solid = solid - solids.cylinder(0.6 * eye, 1.0, segments=6).translate([-length / 2, 0, 0])
    jaw = solids.box(2 * head, head, 1.0)
    angle = rng.uniform(-0.5, 0.5)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    cut = np.array([length / 2, 0, 0]) + turn @ [0.9 * head, 0, 0]
    return solids.to_mesh(solid - solids.place(jaw, cut, turn))


def coil(rng: np.random.Generator) -> TriMesh:
    """Spring or screw-like helix of thick wire."""
    r, wire = rng.uniform(0.01, 0.02), rng.uniform(0.0025, 0.004)
    turns = rng.uniform(2.0, 4.0)
    pitch = wire * rng.uniform(2.6, 4.0)
    s = np.linspace(0, 1, int(20 * turns))
    phi = 2 * np.pi * turns * s
    path = np.stack([r * np.cos(phi), r * np.sin(phi), pitch * turns * s], -1)
    return solids.to_mesh(solids.sweep(path, wire, 12))


def jack(rng: np.random.Generator) -> TriMesh:
    """Toy jack, caltrop, valve wheel without a rim: rods out of one centre, with knobs."""
    n = int(rng.integers(3, 7))
    # even but irregular: the first n points of a random frame's octahedron, shaken
    axes = np.concatenate([np.eye(3), -np.eye(3)])[rng.permutation(6)[:n]]
    axes = (axes + rng.normal(0, 0.2, axes.shape)) @ random_rotations(1, rng)[0].T
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    r, origin = rng.uniform(0.004, 0.007), np.zeros(3)
    parts = [solids.sphere(1.8 * r, 20)]
    for a in axes:
        end = a * rng.uniform(0.02, 0.045)
        parts.append(solids.sweep(np.stack([origin, end]), r, 14))
        if rng.random() < 0.6:
            parts.append(solids.sphere(r * rng.uniform(1.3, 2.0), 18).translate(end))
    return solids.to_mesh(solids.union(parts))


def _bent(first: float, second: float, bend: float, angle: float) -> np.ndarray:
    """Path: a straight leg along x, an arc of radius ``bend`` in the xy plane, a second leg."""
    if angle < 1e-6:
        return np.array([[-first, 0, 0], [0, 0, 0], [second, 0, 0]], float)
    phi = np.linspace(0, angle, 14)
    arc = bend * np.stack([np.sin(phi), 1 - np.cos(phi), 0 * phi], -1)
    out = np.array([np.cos(angle), np.sin(angle), 0.0])
    return np.concatenate([[[-first, 0, 0]], arc, [arc[-1] + second * out]])
