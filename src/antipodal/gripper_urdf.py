"""A gripper from a URDF: two jaws on prismatic joints, stroke from their limits, boxes around their geometry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from . import transforms
from .errors import InvalidConfig
from .gripper_boxes import (
    Axis,
    Bounds,
    HandBounds,
    Imported,
    Unmeasured,
    axes_from,
    direction,
    gripper_from_bounds,
)
from .urdf import Geometry, Joint, Robot, read_urdf

PARALLEL = 1e-3
"""Largest sine of the angle between the two jaws' directions."""
SAME_STROKE = 0.02
"""Jaws whose strokes differ by a larger share do not move symmetrically."""


@dataclass(frozen=True)
class UrdfOptions:
    """What a URDF may not say; None takes what it says, or the usual."""

    name: str | None = None
    max_force: float | None = None
    """N; None: the joints' effort."""
    tip_overhang: float | None = None
    contact_radius: float | None = None
    approach_axis: Axis | None = None
    """Of the base link; None: the one along which the fingers reach furthest beyond the rest."""


class _Jaw(NamedTuple):
    joint: Joint
    geometry: tuple[Geometry, ...]
    """In the base frame, at joint position 0."""
    way: Float[np.ndarray, "3"]
    """Unit direction of motion in the base frame."""
    limits: tuple[float, float]


def import_urdf_gripper(path: str | Path, options: UrdfOptions | None = None) -> Imported:
    """Measure a hand with two sliding jaws. The link that the first slides on becomes the hand's base frame.

    What the URDF fixes between its root and that link is told in a note, not measured in: the arm's flange may be
    either.

    Raises:
        UnknownAsset: no such file, or one of its meshes is missing.
        InvalidMesh: one of its meshes cannot be used.
        InvalidConfig: not two jaws that slide symmetrically along one line; says what was found.
    """
    options = options or UrdfOptions()
    robot = read_urdf(path)
    first, second = _jaw_joints(robot)
    base = robot.rigid_with(first.parent)
    if second.parent not in base:
        raise InvalidConfig(
            f"{robot.name}: the jaws slide on {first.parent} and {second.parent}, which move against each other: "
            "expected both on one body"
        )
    _refuse_other_moving_parts(robot, (first, second), base)
    a, b = _jaw(robot, first, base), _jaw(robot, second, base)
    if np.linalg.norm(np.cross(a.way, b.way)) > PARALLEL:
        angle = np.degrees(np.arccos(np.clip(abs(a.way @ b.way), 0, 1)))
        raise InvalidConfig(
            f"{robot.name}: {first.name} and {second.name} slide {angle:.1f}° apart: expected one line"
        )
    palm = tuple(_moved(g, T) for link, T in base.items() for g in robot.links[link])
    x = a.way if _middle(a, a.way) < _middle(b, a.way) else -a.way  # the first jaw is the −x one
    approach = (
        direction(options.approach_axis) if options.approach_axis else _forward(a, b, palm, x)
    )
    R = axes_from(x, approach)
    hand, notes = _measure(robot, (a, b), palm, R)
    effort = [j.effort for j in (first, second) if j.effort > 0]
    force = options.max_force if options.max_force is not None else min(effort, default=0.0)
    if options.max_force is None and force <= 0:
        raise InvalidConfig(
            f"{robot.name}: its joints have no effort: give the force with --max-force"
        )
    notes = (_base_note(robot, first.parent, base), *notes)
    name = options.name or robot.name
    said = Unmeasured(name, force, options.tip_overhang, options.contact_radius)
    made = gripper_from_bounds(hand, said)
    if options.max_force is None:
        notes = (*notes, f"max_force {force:g} N is the joints' effort")
    return made._replace(notes=(*notes, *made.notes))


def _jaw_joints(robot: Robot) -> tuple[Joint, Joint]:
    sliding = [j for j in robot.joints.values() if j.kind == "prismatic"]
    if len(sliding) != 2:
        others = [f"{j.name} ({j.kind})" for j in robot.joints.values() if j.kind != "fixed"]
        raise InvalidConfig(
            f"{robot.name} has {len(sliding)} prismatic joints, and moves by {', '.join(others) or 'none at all'}: "
            "expected two jaws that slide; describe other hands with 'antipodal gripper new'"
        )
    first, second = sliding
    return (second, first) if first.mimic is not None else (first, second)


def _base_note(robot: Robot, link: str, base: dict[str, Float[np.ndarray, "4 4"]]) -> str:
    """Say which link the numbers are measured from, and where it is on the URDF's root, if that is joined rigidly."""
    said = f"the base is the link {link}"
    root = (set(robot.links) - {joint.child for joint in robot.joints.values()}) - {link}
    fixed = [name for name in base if name in root]
    if not fixed:
        return said
    T = transforms.inverse(base[fixed[0]])
    if np.abs(T - np.eye(4)).max() < 1e-9:
        return f"{said}, where the root {fixed[0]} is"
    return (
        f"{said}, not the root {fixed[0]}: where the robot is told that, as its flange, pass T_flange_gripper = "
        f"{np.round(T, 9).tolist()}"
    )


def _refuse_other_moving_parts(
    robot: Robot, jaws: tuple[Joint, Joint], base: Iterable[str]
) -> None:
    """What moves against the jaws or the palm has no place in the model: left out, the hand would seem smaller."""
    held = {*base, *(link for jaw in jaws for link in robot.rigid_with(jaw.child))}
    for joint in robot.joints.values():
        if joint.kind == "fixed" or joint in jaws or joint.parent not in held:
            continue
        if any(robot.links[link] for link in robot.below(joint.child)):
            raise InvalidConfig(
                f"{robot.name}: {joint.child} moves on {joint.parent} by {joint.name} ({joint.kind}): expected nothing "
                "but the two jaws to move; make the joint fixed where the hand is to be measured, or take the part out"
            )


def _jaw(robot: Robot, joint: Joint, base: dict[str, Float[np.ndarray, "4 4"]]) -> _Jaw:
    if joint.limits is None or not joint.limits[0] < joint.limits[1]:
        raise InvalidConfig(
            f"{robot.name}: joint {joint.name} has the limits {joint.limits}: "
            "expected lower < upper in its <limit>, m"
        )
    T_base_jaw = base[joint.parent] @ joint.T_parent_child
    held = robot.rigid_with(joint.child)
    geometry = tuple(
        _moved(g, T_base_jaw @ T) for link, T in held.items() for g in robot.links[link]
    )
    if not geometry:
        raise InvalidConfig(f"{robot.name}: link {joint.child} has no geometry: expected a jaw's")
    return _Jaw(joint, geometry, T_base_jaw[:3, :3] @ joint.axis, joint.limits)


def _measure(
    robot: Robot, jaws: tuple[_Jaw, _Jaw], palm: tuple[Geometry, ...], R: Float[np.ndarray, "3 3"]
) -> tuple[HandBounds, tuple[str, ...]]:
    """Boxes of the open hand in the axes of the grasp frame, and how far it closes."""
    a, b = jaws
    shifts = [sorted(q * float(jaw.way @ R[:, 0]) for q in jaw.limits) for jaw in jaws]
    if b.joint.mimic is not None:
        shifts[1] = _following(robot, a, b, R[:, 0])
    strokes = [high - low for low, high in shifts]
    if abs(strokes[0] - strokes[1]) > SAME_STROKE * max(strokes):
        raise InvalidConfig(
            f"{robot.name}: {a.joint.name} slides {1e3 * strokes[0]:.1f} mm and {b.joint.name} "
            f"{1e3 * strokes[1]:.1f} mm: expected jaws that move the same way"
        )
    boxes = [_bounds(jaw.geometry, R) for jaw in jaws]
    # open: the −x jaw furthest along −x, the +x jaw along +x; closed the other way round
    open_boxes = [_along_x(boxes[0], shifts[0][0]), _along_x(boxes[1], shifts[1][1])]
    closed = _along_x(boxes[1], shifts[1][0]).low[0] - _along_x(boxes[0], shifts[0][1]).high[0]
    notes = []
    thickness = min(float(box.high[0] - box.low[0]) for box in open_boxes)
    if closed < -thickness - 1e-6:
        raise InvalidConfig(
            f"{robot.name}: the closed jaws would overlap by {-1e3 * closed:.1f} mm, more than they are thick: "
            "expected limits that end where they meet"
        )
    if closed < -1e-6:
        notes.append(f"the closed jaws' boxes overlap by {-1e3 * closed:.1f} mm: min_width is 0")
    around = tuple(_bounds((g,), R) for g in palm)
    root = max((box.high[2] for box in around), default=min(box.low[2] for box in open_boxes))
    if not around:
        notes.append("no palm: the link that the jaws slide on has no geometry")
    jaw_boxes = (open_boxes[0], open_boxes[1])
    return HandBounds(R, jaw_boxes, around, max(float(closed), 0.0), float(root)), tuple(notes)


def _following(robot: Robot, a: _Jaw, b: _Jaw, x: Float[np.ndarray, "3"]) -> list[float]:
    """Range of the second jaw's shift along x while the first goes through its limits."""
    leader, multiplier, offset = b.joint.mimic or ("", 1.0, 0.0)
    if leader != a.joint.name:
        raise InvalidConfig(
            f"{robot.name}: {b.joint.name} mimics '{leader}': expected {a.joint.name}"
        )
    if multiplier * float(b.way @ x) * float(a.way @ x) >= 0:
        raise InvalidConfig(
            f"{robot.name}: {b.joint.name} follows {a.joint.name} in the same direction: "
            "expected jaws that move against each other"
        )
    return sorted((multiplier * q + offset) * float(b.way @ x) for q in a.limits)


def _forward(
    a: _Jaw, b: _Jaw, palm: tuple[Geometry, ...], x: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """The axis of the base frame, across the closing direction, along which the jaws reach furthest beyond the palm."""
    axes = [s * np.eye(3)[i] for i in np.argsort(np.abs(x))[:2] for s in (1.0, -1.0)]

    def reach(axis: Float[np.ndarray, "3"]) -> float:
        ahead = max(float((g.points @ axis).max()) + g.radius for g in a.geometry + b.geometry)
        behind = max((float((g.points @ axis).max()) + g.radius for g in palm), default=0.0)
        return ahead - behind

    return max(axes, key=reach)


def _middle(jaw: _Jaw, x: Float[np.ndarray, "3"]) -> float:
    """Middle of a jaw along x, at the middle of its stroke."""
    along = np.concatenate([g.points for g in jaw.geometry]) @ x
    return float(along.min() + along.max() + sum(jaw.limits) * (jaw.way @ x)) / 2


def _bounds(geometry: Iterable[Geometry], R: Float[np.ndarray, "3 3"]) -> Bounds:
    lows, highs = zip(
        *(((g.points @ R).min(0) - g.radius, (g.points @ R).max(0) + g.radius) for g in geometry),
        strict=True,
    )
    return Bounds(np.min(lows, 0), np.max(highs, 0))


def _along_x(bounds: Bounds, shift: float) -> Bounds:
    step = np.array([shift, 0.0, 0.0])
    return Bounds(bounds.low + step, bounds.high + step)


def _moved(geometry: Geometry, T: Float[np.ndarray, "4 4"]) -> Geometry:
    return Geometry(transforms.apply(T, geometry.points), geometry.radius)
