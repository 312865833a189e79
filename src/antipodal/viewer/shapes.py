"""Triangles of what is drawn about a grasp: rods, friction cones, the hand's boxes. Plain arrays, m."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..contact import Contact
from ..gripper import UNIT_BOX_FACES, UNIT_BOX_VERTICES, GripperModel

ROD = 0.0012
"""Thickness of a grasp's lines, m."""
STEM = 0.02
"""Length of the line that shows where the hand comes from, m."""
N_EDGES = 32
"""Of a friction cone that is drawn."""


class Shape(NamedTuple):
    """Triangles."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


def closing_rod() -> Shape:
    """A rod of length 1 along x about the origin: scaled by (gap, 1, 1) it joins two contacts."""
    return Shape((UNIT_BOX_VERTICES - 0.5) * [1.0, ROD, ROD], UNIT_BOX_FACES)


def approach_stem() -> Shape:
    """A rod from the grasp's centre back along −z, whence the hand comes."""
    return Shape((UNIT_BOX_VERTICES - [0.5, 0.5, 1.0]) * [ROD, ROD, STEM], UNIT_BOX_FACES)


def box(size: Float[np.ndarray, "3"]) -> Shape:
    """A box about the origin."""
    return Shape((UNIT_BOX_VERTICES - 0.5) * size, UNIT_BOX_FACES)


def cone(contact: Contact, friction: float, height: float) -> Shape:
    """The friction cone of one contact: apex at the point, axis along the inward normal, slope μ."""
    edges = contact.friction_cone(friction, N_EDGES)
    rim = contact.point + height * edges
    base = contact.point + height * contact.inward_normal
    vertices = np.concatenate([contact.point[None], base[None], rim])
    i = np.arange(N_EDGES)
    j = (i + 1) % N_EDGES
    # rim turns from t₁ to n × t₁: seen along the normal from the apex it turns clockwise
    sides = np.stack([np.zeros_like(i), 2 + j, 2 + i], -1)
    lid = np.stack([np.ones_like(i), 2 + i, 2 + j], -1)
    return Shape(vertices, np.concatenate([sides, lid]))


class HandPart(NamedTuple):
    """One box of a hand at some opening."""

    center: Float[np.ndarray, "3"]
    """In the grasp frame, m."""
    shape: Shape
    is_jaw: bool


def hand_parts(gripper: GripperModel, width: float) -> list[HandPart]:
    """Boxes of fingers and palm, in the order of ``GripperModel.boxes``."""
    centers, sizes = gripper.boxes(width)
    return [
        HandPart(center, box(size), i in gripper.JAWS)
        for i, (center, size) in enumerate(zip(centers, sizes, strict=True))
    ]
