"""Write a gripper as the TOML that ``load_gripper`` reads, with what each number means beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from . import transforms
from .errors import InvalidConfig
from .files import write_bytes
from .gripper import GripperModel

FIELDS: dict[str, str] = {
    "min_width": "smallest distance between the jaws, m",
    "max_width": "largest distance between the jaws, m",
    "max_force": "force limit of one jaw, N",
    "jaw_thickness": "finger along the closing direction, m",
    "jaw_width": "finger across it, m",
    "finger_depth": "free finger from palm to tip, m",
    "tip_overhang": "how far the tips reach beyond the grasp's centre, m",
    "contact_radius": "of the soft contact patch, m",
    "jaw_clearance": "each jaw's face stands this far outside half the width, m",
}
"""Numbers of a gripper in the order of its file, in words."""


def gripper_toml(gripper: GripperModel, notes: Iterable[str] = ()) -> str:
    """Return the file's text; ``notes`` become comments at its head."""
    lines = [f"# {note}" for line in notes for note in line.splitlines()]
    lines += ["# All in SI units.", f"name = {json.dumps(gripper.name, ensure_ascii=False)}"]
    for name, words in FIELDS.items():
        lines.append(f"{name} = {float(getattr(gripper, name))!r}  # {words}")
    lines += [
        "",
        "# Boxes in the grasp frame: origin midway between the jaws, x closing, z approach.",
    ]
    for box in gripper.palm_boxes:
        lines += [
            "[[palm_boxes]]",
            f"center = {_row(box['center'])}",
            f"size = {_row(box['size'])}",
        ]
    T = gripper.T_gripper_grasp
    lines += [
        "",
        f"# Pose of the grasp frame in the hand's own base frame: {base_in_words(gripper)}.",
    ]
    lines.append("[T_gripper_grasp]")
    lines.append(f"translation = {_row(T[:3, 3])}")
    lines.append(f"wxyz = {_row(transforms.to_wxyz(T[:3, :3]))}")
    return "\n".join(lines) + "\n"


def base_in_words(gripper: GripperModel) -> str:
    """Say where the base lies as seen from the grasp's centre, and along which of its axes the jaws close."""
    T = gripper.T_gripper_grasp
    x, y, z = 1e3 * transforms.inverse(T)[:3, 3]
    aside = float(np.hypot(x, y))
    place = f"{abs(z):.4g} mm {'in front of' if z > 0 else 'behind'}"
    place += f" and {aside:.4g} mm beside" if aside > 0.1 else ""
    axis = int(np.argmax(np.abs(T[:3, 0])))
    about = "" if abs(T[axis, 0]) > 0.999 else "about "
    return f"the base is {place} the grasp's centre, the jaws close {about}along its {'xyz'[axis]}"


def save_gripper(gripper: GripperModel, path: str | Path, notes: Iterable[str] = ()) -> None:
    """Write the file; its folder is made.

    Raises:
        InvalidConfig: not a ``.toml``: nothing else is read, and pictures stand beside it under the same name.
    """
    if Path(path).suffix.lower() != ".toml":
        raise InvalidConfig(f"gripper file {path}: expected a name that ends in .toml")
    write_bytes(gripper_toml(gripper, notes).encode(), Path(path))


def _row(values: Iterable[float]) -> str:
    return "[" + ", ".join(repr(float(v)) for v in values) + "]"
