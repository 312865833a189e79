"""Families that come off a lathe: bottles, vases, bowls, knobs, spools, dumb-bells, mugs, turned pieces."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from ..mesh import TriMesh
from . import solids


def bottle(rng: np.random.Generator) -> TriMesh:
    """Closed bottle: straight body, shoulder, neck, cap."""
    r, height = rng.uniform(0.013, 0.028), rng.uniform(0.07, 0.16)
    neck = r * rng.uniform(0.3, 0.6)
    shoulder, collar = rng.uniform(0.5, 0.72), rng.uniform(0.76, 0.86)
    cap = neck * rng.uniform(1.05, 1.4)
    waist = rng.uniform(0.82, 1.0)
    z = np.array([0, 0.02, 0.3, shoulder, collar, 0.9])
    radius = np.array([0.9 * r, r, r * waist, r * rng.uniform(0.92, 1), neck, neck])
    t = np.unique(np.concatenate([np.linspace(0, 0.9, 24), z]))
    body = solids.turned(solids.smooth_curve(z, radius, t), t * height)
    top = solids.cylinder(cap, 0.12 * height).translate([0, 0, 0.94 * height])
    return solids.to_mesh(body + top)


def vase(rng: np.random.Generator) -> TriMesh:
    """Open vessel with a swinging outline and an even wall."""
    height, wall = rng.uniform(0.06, 0.13), rng.uniform(0.003, 0.005)
    knots = rng.uniform(0.012, 0.03, 5)
    t = np.linspace(0, 1, 20)
    outer = solids.smooth_curve(np.linspace(0, 1, 5), knots, t)
    return solids.to_mesh(_vessel(outer, t * height, wall, rng.uniform(0.004, 0.008)))


def bowl(rng: np.random.Generator) -> TriMesh:
    """Shallow open vessel: cups, bowls, dishes, funnel-like."""
    rim, height = rng.uniform(0.025, 0.06), rng.uniform(0.02, 0.05)
    foot = rim * rng.uniform(0.35, 0.8)
    power = rng.uniform(0.35, 1.2)
    t = np.linspace(0, 1, 20)
    outer = foot + (rim - foot) * t**power
    return solids.to_mesh(
        _vessel(outer, t * height, rng.uniform(0.0025, 0.005), rng.uniform(0.003, 0.006))
    )


def turned_piece(rng: np.random.Generator) -> TriMesh:
    """Chess piece, baluster, nozzle: many rings and coves on one axis, sometimes bored through."""
    n = int(rng.integers(4, 8))
    height = rng.uniform(0.04, 0.12)
    edges = np.concatenate([[0], np.sort(rng.uniform(0.08, 0.92, n - 1)), [1]])
    radius = rng.uniform(0.007, 0.022, n) * np.linspace(rng.uniform(1, 1.4), 0.8, n)
    z, r = [], []
    for k in range(n):
        length = edges[k + 1] - edges[k]
        t = np.linspace(0.02, 0.98, 5 if rng.random() < 0.5 else 2)
        bulge = rng.uniform(-0.25, 0.35) if len(t) > 2 else 0.0
        z.append(edges[k] + t * length)
        r.append(radius[k] * (1 + bulge * np.sin(np.pi * t)))
    solid = solids.turned(np.concatenate(r), np.concatenate(z) * height)
    if rng.random() < 0.4:
        solid = solid - solids.cylinder(0.5 * radius.min(), 4 * height)
    return solids.to_mesh(solid)


def knob(rng: np.random.Generator) -> TriMesh:
    """Knob or thumbscrew: fluted head on a shaft."""
    r, thickness = rng.uniform(0.012, 0.026), rng.uniform(0.01, 0.025)
    n_flutes = int(rng.integers(5, 13))
    phi = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    depth = rng.uniform(0.04, 0.16)
    outline = r * (1 + depth * np.cos(n_flutes * phi))
    head = solids.extrude(
        solids.polygon(np.stack([outline * np.cos(phi), outline * np.sin(phi)], -1)), thickness
    )
    shaft_length = rng.uniform(0.01, 0.05)
    shaft = solids.cylinder(r * rng.uniform(0.25, 0.5), shaft_length + 0.01)
    shaft = shaft.translate([0, 0, -(thickness + shaft_length) / 2])
    return solids.to_mesh(head + shaft)


def spool(rng: np.random.Generator) -> TriMesh:
    """Two flanges on a hub, usually bored through."""
    height, flange = rng.uniform(0.025, 0.08), rng.uniform(0.018, 0.035)
    hub, rim = flange * rng.uniform(0.4, 0.7), rng.uniform(0.003, 0.008)
    z = np.array([0, rim, rim + 1e-3, height - rim - 1e-3, height - rim, height])
    solid = solids.turned(np.array([flange, flange, hub, hub, flange, flange]), z)
    if rng.random() < 0.8:
        solid = solid - solids.cylinder(hub * rng.uniform(0.4, 0.7), 4 * height)
    return solids.to_mesh(solid)


def pinched(rng: np.random.Generator) -> TriMesh:
    """Two thick ends and a narrow waist, round or flattened: dumb-bell, hourglass, bone."""
    length = rng.uniform(0.05, 0.14)
    ends = rng.uniform(0.014, 0.03, 2)
    waist = ends.min() * rng.uniform(0.3, 0.65)
    middle = rng.uniform(0.35, 0.65)
    z = np.array([0, 0.04, 0.2, middle, 0.8, 0.96, 1])
    radius = np.array([0.4, 0.8, 1, 0, 1, 0.8, 0.4]) * np.repeat(ends, [3, 4])
    radius[3] = waist
    t = np.unique(np.concatenate([np.linspace(0, 1, 28), z]))
    solid = solids.turned(solids.smooth_curve(z, radius, t), t * length)
    return solids.to_mesh(solid.scale([1, rng.uniform(0.55, 1), 1]))


def mug(rng: np.random.Generator) -> TriMesh:
    """Mug, cup or beaker with an ear."""
    r, height = rng.uniform(0.022, 0.038), rng.uniform(0.045, 0.095)
    wall = rng.uniform(0.003, 0.005)
    t = np.linspace(0, 1, 12)
    outer = r * (1 + rng.uniform(-0.12, 0.15) * t + rng.uniform(-0.06, 0.1) * np.sin(np.pi * t))
    body = _vessel(outer, t * height, wall, 0.005)
    z_mid, half = rng.uniform(0.45, 0.58) * height, rng.uniform(0.22, 0.32) * height
    reach = rng.uniform(0.014, 0.026)
    phi = np.linspace(-np.pi / 2, np.pi / 2, 20)
    inset = outer.min() - wall * 0.6
    path = np.stack([inset + reach * np.cos(phi), 0 * phi, z_mid + half * np.sin(phi)], -1)
    lead = path[[0, -1]] * [0, 1, 1] + [outer.min() - 0.9 * wall, 0, 0]
    path = np.concatenate([lead[:1], path + np.array([0.4 * wall, 0, 0]), lead[1:]])
    ear = solids.sweep(path, rng.uniform(0.003, 0.0045), 12)
    # the ear's roots must not stick through the wall
    inside = _cavity(outer, t * height, wall, 0.005)
    return solids.to_mesh(body + (ear - inside))


def _vessel(outer: np.ndarray, z: np.ndarray, wall: float, bottom: float) -> Manifold:
    return solids.turned(outer, z) - _cavity(outer, z, wall, bottom)


def _cavity(outer: np.ndarray, z: np.ndarray, wall: float, bottom: float) -> Manifold:
    """Inside of a vessel, open upwards: the outline moved inwards along its own normal."""
    slope = np.gradient(outer, z)
    inner = np.maximum(outer - wall * np.sqrt(1 + np.minimum(slope**2, 9.0)), 0.15 * outer)
    level = np.linspace(bottom, z[-1], len(z))
    inner = np.interp(level, z, inner)
    level[-1] += 1e-3
    return solids.turned(inner, level)
