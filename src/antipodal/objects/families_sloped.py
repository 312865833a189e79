"""Families with faces that lean: what two jaws hold at one friction and squeeze out at another."""

from __future__ import annotations

import numpy as np
from manifold3d import Manifold

from ..mesh import TriMesh
from . import solids

MAX_SLOPE = float(np.radians(38))
"""Of a face to the axis; beyond it no jaw of this friction holds."""


def frustum(rng: np.random.Generator) -> TriMesh:
    """Pyramid or cone with its top cut off, of 3 to 8 or many sides, often on a plate or on its twin."""
    sides = int(rng.choice([3, 4, 4, 4, 5, 6, 8, 36]))
    radius, height = rng.uniform(0.014, 0.034), rng.uniform(0.012, 0.05)
    slope = rng.uniform(np.radians(4), MAX_SLOPE)
    top = max(radius - height * np.tan(slope), rng.uniform(0.06, 0.3) * radius)
    oblong = rng.uniform(0.7, 1.8)
    body = solids.cylinder(radius, height, top, segments=sides).scale([1.0, oblong, 1.0])
    kind = rng.integers(3)
    if kind == 1:
        plate = rng.uniform(0.003, 0.012)
        wider = radius * rng.uniform(0.85, 1.3)
        foot = solids.cylinder(wider, plate, segments=sides).scale([1.0, oblong, 1.0])
        body = body + foot.translate([0, 0, -(height + plate) / 2 + 1e-4])
    elif kind == 2:
        body = body + body.mirror([0, 0, 1]).translate([0, 0, -height + 1e-4])
    return solids.to_mesh(body)


def wedge(rng: np.random.Generator) -> TriMesh:
    """Prism over a trapezoid whose two sides lean differently, one sometimes upright, often with a step or a notch."""
    width, height, length = rng.uniform([0.015, 0.015, 0.02], [0.05, 0.05, 0.09])
    lean = np.tan(rng.uniform(0, MAX_SLOPE, 2)) * height
    lean[0] *= rng.random() < 0.7
    lean *= min(1.0, 0.93 * width / max(lean.sum(), 1e-6))
    section = solids.polygon(
        [(0, 0), (width, 0), (width - lean[1], height), (lean[0], height)]
    ).translate([-width / 2, -height / 2])
    solid = solids.extrude(section, length)
    kind = rng.integers(3)
    if kind == 1:
        solid = solid - _slot(rng, width, height, length)
    elif kind == 2:
        step = solids.box(rng.uniform(0.5, 1.0) * width, rng.uniform(0.2, 0.5) * height, length / 2)
        solid = solid + step.translate([0, -0.3 * height, -0.6 * length])
    return solids.to_mesh(solid)


def _slot(rng: np.random.Generator, width: float, height: float, length: float) -> Manifold:
    """A slot across the top of a prism."""
    slot = solids.box(2 * width, rng.uniform(0.3, 0.9) * height, rng.uniform(0.1, 0.35) * length)
    return slot.translate([0, height / 2, rng.uniform(-0.25, 0.25) * length])
