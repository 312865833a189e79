"""A gripper from bounding boxes: of two open jaws and of what they hang from, in any frame with known axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from . import transforms
from .errors import InvalidConfig
from .gripper import GripperModel

Axis = Literal["x", "y", "z", "-x", "-y", "-z"]
SAME = 0.002
"""Jaws whose tips or sides differ by more than this are worth a note, m."""


class Imported(NamedTuple):
    """A gripper, and in words what was assumed of it."""

    gripper: GripperModel
    notes: tuple[str, ...]


class Bounds(NamedTuple):
    """An axis-aligned box, m."""

    low: Float[np.ndarray, "3"]
    high: Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class HandBounds:
    """What was measured of a hand in the axes of its grasp frame, about the origin of its base frame."""

    R_gripper_grasp: Float[np.ndarray, "3 3"]
    """Columns: closing, across, approach."""
    jaws: tuple[Bounds, Bounds]
    """The −x and the +x jaw, fully open."""
    palm: tuple[Bounds, ...]
    min_width: float
    """m."""
    finger_root: float
    """Where the free finger starts along the approach, m."""


@dataclass(frozen=True)
class Unmeasured:
    """What geometry does not say."""

    name: str
    max_force: float
    """N."""
    tip_overhang: float | None = None
    """m; None: half the jaw's width, or half the finger where that is less."""
    contact_radius: float | None = None
    """m; None: half the jaw's width, at most 1 cm."""


def gripper_from_bounds(hand: HandBounds, said: Unmeasured) -> Imported:
    """Build a gripper; its fingers are as thick and wide as the larger of the two jaws.

    Raises:
        InvalidConfig: the open jaws overlap, or do not reach beyond the palm.
    """
    left, right = hand.jaws
    max_width = float(right.low[0] - left.high[0])
    if max_width <= 0:
        raise InvalidConfig(
            f"{said.name}: the boxes around the open jaws overlap by {-1e3 * max_width:.1f} mm: "
            "expected a gap between them; is the closing direction right?"
        )
    low, high = np.minimum(left.low, right.low), np.maximum(left.high, right.high)
    thickness = max(float(b.high[0] - b.low[0]) for b in hand.jaws)
    tip = float(high[2])
    depth = tip - hand.finger_root
    if depth <= 0:
        raise InvalidConfig(
            f"{said.name}: the jaws end {-1e3 * depth:.1f} mm behind the palm's face: expected fingers that reach "
            "beyond it; is the approach direction right?"
        )
    jaw_width = float(high[1] - low[1])
    notes = []
    if any(abs(left[k][i] - right[k][i]) > SAME for k in (0, 1) for i in (1, 2)):
        notes.append("the two jaws differ: both are taken as large as their common box")
    overhang = said.tip_overhang
    if overhang is None:
        overhang = min(jaw_width, depth) / 2
        notes.append(
            f"tip_overhang assumed: {1e3 * overhang:.1f} mm, half the jaw's width or finger"
        )
    radius = said.contact_radius
    if radius is None:
        radius = min(jaw_width / 2, 0.01)
        notes.append(f"contact_radius assumed: {1e3 * radius:.1f} mm")
    center = np.array([(left.high[0] + right.low[0]) / 2, (low[1] + high[1]) / 2, tip - overhang])
    gripper = GripperModel(
        name=said.name,
        min_width=hand.min_width,
        max_width=max_width,
        max_force=said.max_force,
        jaw_thickness=thickness,
        jaw_width=jaw_width,
        finger_depth=depth,
        tip_overhang=overhang,
        contact_radius=radius,
        palm_boxes=tuple(_palm_box(b, center) for b in hand.palm),
        T_gripper_grasp=transforms.from_rt(hand.R_gripper_grasp, hand.R_gripper_grasp @ center),
    )
    return Imported(gripper, tuple(notes))


def axes_from(closing: Float[np.ndarray, "3"], approach: Float[np.ndarray, "3"]) -> np.ndarray:
    """R_gripper_grasp of two directions in the base frame; the approach is made perpendicular to the closing axis.

    Raises:
        InvalidConfig: they are parallel.
    """
    x = closing / np.linalg.norm(closing)
    z = approach - (approach @ x) * x
    if np.linalg.norm(z) < 0.1 * np.linalg.norm(approach):
        raise InvalidConfig(
            "the approach is parallel to the closing direction: expected another axis"
        )
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], -1)


def direction(axis: Axis) -> Float[np.ndarray, "3"]:
    """Unit vector of an axis' name."""
    unit = np.eye(3)["xyz".index(axis[-1])]
    return -unit if axis.startswith("-") else unit


def _palm_box(bounds: Bounds, center: Float[np.ndarray, "3"]) -> dict[str, list[float]]:
    middle = (bounds.low + bounds.high) / 2 - center
    size = np.maximum(bounds.high - bounds.low, 1e-4)  # a sheet has no thickness of its own
    return {"center": middle.tolist(), "size": size.tolist()}
