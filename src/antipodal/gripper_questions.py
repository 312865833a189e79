"""The questions whose answers are a gripper: numbers with their units, one palm box and where the base is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from . import transforms
from .errors import InvalidConfig
from .gripper import GripperModel
from .gripper_files import FIELDS

Kind = Literal["length", "force", "axis", "name"]
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Units that may follow the number of a length; without one it is metres."""


class Question(NamedTuple):
    """One thing to ask."""

    name: str
    """As the flag and the key of the answers are called."""
    words: str
    kind: Kind


QUESTIONS: tuple[Question, ...] = (
    Question("name", "a word for this hand", "name"),
    *(
        Question(name, words, "force" if name == "max_force" else "length")
        for name, words in FIELDS.items()
    ),
    Question("palm_width", "palm behind the fingers along the closing direction, m", "length"),
    Question("palm_depth", "palm across it, m", "length"),
    Question("palm_height", "palm along the approach, m", "length"),
    Question("base_distance", "from the hand's base (flange) to the grasp's centre, m", "length"),
    Question("closing_axis", "axis of the base frame along which the jaws close, x or y", "axis"),
)
"""In the order in which they are asked."""


def answers_of(gripper: GripperModel) -> dict[str, str]:
    """Answers that describe a gripper, as defaults for another one; its palm boxes after the first are no answers."""
    palm = np.asarray(gripper.palm_boxes[0]["size"] if gripper.palm_boxes else [0.1, 0.1, 0.1])
    T = gripper.T_gripper_grasp
    numbers = {name: float(getattr(gripper, name)) for name in FIELDS}
    numbers |= dict(zip(("palm_width", "palm_depth", "palm_height"), palm.tolist(), strict=True))
    numbers["base_distance"] = float(T[2, 3])
    axis = "y" if abs(T[1, 0]) > abs(T[0, 0]) else "x"
    return {
        "name": "my_gripper",
        **{k: f"{v:.6g}" for k, v in numbers.items()},
        "closing_axis": axis,
    }


def gripper_from_answers(
    answers: Mapping[str, str], like: GripperModel | None = None
) -> GripperModel:
    """Build the hand: two fingers, one palm box behind them, a base that looks along the approach.

    Args:
        answers: to each of ``QUESTIONS``.
        like: whose palm boxes after the first are kept, where they stood to the first one's back; None: no more boxes.

    Raises:
        InvalidConfig: an answer is no number, has an unknown unit, or is out of range; says which.
    """
    read = {q.name: read_answer(q, answers[q.name]) for q in QUESTIONS}
    numbers = {name: float(read[name]) for name in FIELDS}
    size = [float(read[name]) for name in ("palm_width", "palm_depth", "palm_height")]
    root = numbers["tip_overhang"] - numbers["finger_depth"]
    if (distance := float(read["base_distance"])) < 0:
        raise InvalidConfig(
            f"base_distance {answers['base_distance']}: expected 0 or more: the base is behind the grasp's centre"
        )
    quarter = np.pi / 2 if read["closing_axis"] == "y" else 0.0
    T_gripper_grasp = transforms.translation([0, 0, distance])
    palm = {"center": [0.0, 0.0, root - size[2] / 2], "size": size}
    return GripperModel(
        name=str(read["name"]),
        palm_boxes=(palm, *_boxes_behind(root - size[2], like.palm_boxes if like else ())),
        T_gripper_grasp=T_gripper_grasp @ transforms.rot_z(quarter),
        **numbers,
    )


def _boxes_behind(
    back: float, boxes: tuple[dict[str, Any], ...]
) -> Iterator[dict[str, list[float]]]:
    """All but the first of some palm boxes, moved along z as the first one's back is to ``back``."""
    for box in boxes[1:]:
        x, y, z = box["center"]
        shift = back - (boxes[0]["center"][2] - boxes[0]["size"][2] / 2)
        yield {"center": [x, y, z + shift], "size": box["size"]}


def read_answer(question: Question, text: str) -> float | str:
    """Understand one answer: ``0.085``, ``85 mm``, ``20 N``, ``x``.

    Raises:
        InvalidConfig: says what was expected.
    """
    text = text.strip()
    if question.kind == "name":
        return text
    if question.kind == "axis":
        if text not in ("x", "y"):
            raise InvalidConfig(f"{question.name} '{text}': expected x or y")
        return text
    units = {"N": 1.0} if question.kind == "force" else METRES
    match = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-zA-Z]*)", text)
    if match is None or (match[2] and match[2] not in units):
        raise InvalidConfig(
            f"{question.name} '{text}': expected a number, with one of {', '.join(units)} after it if you like"
        )
    return float(match[1]) * units.get(match[2], 1.0)
