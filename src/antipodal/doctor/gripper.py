"""What is wrong with a gripper: its unit, its stroke, its palm."""

from __future__ import annotations

from pathlib import Path

from ..errors import AntipodalError
from ..gripper import load_gripper
from .finding import Finding
from .finding import millimetres as _mm


def examine_gripper(gripper: str | Path) -> list[Finding]:
    """Examine a gripper by name or file: readable, with plausible lengths and forces."""
    try:
        hand = load_gripper(gripper)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = [
        Finding(
            "ok",
            f"{hand.name}: stroke {_mm(hand.min_width)}–{_mm(hand.max_width)}, fingers {_mm(hand.jaw_thickness)} "
            f"thick and {_mm(hand.jaw_width)} wide, tips {_mm(hand.tip_overhang)} beyond the grasp's centre, "
            f"{hand.max_force:g} N",
        )
    ]
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
    if hand.max_width - hand.min_width < 0.01:
        findings.append(
            Finding("warning", "the jaws move less than 10 mm: objects must fit almost exactly")
        )
    if not hand.palm_boxes:
        findings.append(
            Finding("warning", "no palm_boxes: collisions of the palm with tall objects go unseen")
        )
    return findings
