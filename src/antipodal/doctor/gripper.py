"""What is wrong with a gripper: its unit, its stroke, its palm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import transforms
from ..errors import AntipodalError
from ..gripper import GripperModel, check_name, load_gripper
from ..gripper_files import base_in_words
from .finding import Finding
from .finding import millimetres as _mm

TRAINED_STROKE = (0.041, 0.137)
"""Strokes of the fifteen hands that the built-in model was trained with, m (``runs/hands.py``)."""


def examine_gripper(gripper: GripperModel | str | Path) -> list[Finding]:
    """Examine a gripper by name, file or value: readable, with plausible lengths and forces."""
    try:
        hand = gripper if isinstance(gripper, GripperModel) else load_gripper(gripper)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = [
        Finding(
            "ok",
            f"{hand.name}: stroke {_mm(hand.min_width)}–{_mm(hand.max_width)}, fingers {_mm(hand.jaw_thickness)} "
            f"thick and {_mm(hand.jaw_width)} wide, tips {_mm(hand.tip_overhang)} beyond the grasp's centre, "
            f"{hand.max_force:g} N",
        ),
        examine_base(hand),
    ]
    if (misnamed := check_name(hand)) is not None:
        findings.append(Finding("warning", misnamed))
    longest = max(hand.max_width, hand.finger_depth, hand.jaw_width, hand.jaw_thickness)
    if longest > 0.3:
        findings.append(
            Finding(
                "warning",
                f"a finger or the stroke measures {longest:g} m: expected metres; millimetres?",
            )
        )
    if hand.max_width < 0.02:
        findings.append(
            Finding(
                "warning",
                f"the stroke of {_mm(hand.max_width)} is narrower than most objects' thinnest side",
            )
        )
    low, high = TRAINED_STROKE
    if not 0.9 * low <= hand.max_width <= 1.1 * high:
        findings.append(
            Finding(
                "warning",
                f"the built-in model was trained with strokes of {_mm(low)} to {_mm(high)}: 'antipodal retarget' makes "
                f"one for {_mm(hand.max_width)}",
            )
        )
    if hand.max_width - hand.min_width < 0.01:
        findings.append(
            Finding("warning", "the jaws move less than 10 mm: objects must fit almost exactly")
        )
    if not hand.palm_boxes:
        findings.append(
            Finding("warning", "no palm_boxes: collisions of the palm with tall objects go unseen")
        )
    return findings


def examine_base(hand: GripperModel) -> Finding:
    """Where a robot is told to go: behind the palm's face, its z along the approach."""
    words, T = base_in_words(hand), hand.T_gripper_grasp
    if transforms.inverse(T)[2, 3] > hand.tip_overhang - hand.finger_depth + 0.001:
        words += (
            ", before the palm's face: right only where the robot's tool frame is there; else it drives the hand into "
            "the table: give base_distance (T_gripper_grasp)"
        )
        return Finding("warning", words)
    if T[2, 2] < 0.999:
        words += (
            f", and its z is {np.degrees(np.arccos(np.clip(T[2, 2], -1, 1))):.0f}° off the approach: is "
            "T_gripper_grasp in the frame that the robot is told?"
        )
        return Finding("warning", words)
    return Finding("ok", words)
