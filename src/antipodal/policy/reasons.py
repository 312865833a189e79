"""Why candidates were rejected, and why a plan is empty, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

REJECTIONS: dict[str, str] = {
    "bad_width": "need an opening that the hand does not have",
    "outside_image": "leave the image",
    "off_object": "have their centre off the object",
    "outside_workspace": "leave the workspace",
    "yaw_out_of_range": "close in a direction that was not asked for",
    "into_table": "would put a fingertip into the table",
    "too_low": "come nearer to the table than was asked for",
    "finger_blocked": "would land a finger on something",
    "palm_blocked": "would land the palm on something",
    "finger_unseen": "would land a finger where the camera saw nothing",
    "nothing_between": "would close on nothing",
    "too_thin": "would close on something thinner than was asked for",
}
"""Everything that a single candidate can be rejected for, in the order in which it is checked."""

STAGES: dict[str, str] = {
    "cells": "cells",
    "clear": "where the fingers come in free",
    "edges": "edges",
    "pairs": "pairs within reach",
    "antipodal": "antipodal",
    "in_width": "within the stroke",
    "in_request": "as asked",
    "heights": "heights",
    "sampled": "sampled",
    "drawn": "drawn around the best",
    "free": "free",
    "scored": "scored",
    "planned": "planned",
}
"""What a plan counts on its way, in order."""


def commonest(counts: Mapping[str, int]) -> str | None:
    """Name of the rejection that met most candidates; None if none did."""
    met = {name: counts.get(name, 0) for name in REJECTIONS}
    worst = max(met, key=lambda name: met[name])
    return worst if met[worst] > 0 else None


def explain(
    counts: Mapping[str, int],
    objects: Bool[np.ndarray, "H W"] | None = None,
    refusal: str | None = None,
) -> str:
    """Say why there is no grasp: the first stage that left nothing.

    Args:
        counts: of each stage and rejection.
        objects: where a grasp might have been.
        refusal: why no grasp may be planned at all, if so.
    """
    if refusal is not None:
        return refusal
    if objects is not None and not objects.any():
        return "nothing stands on the table: no pixels rise above the fitted plane"
    if "cells" in counts:
        if counts["cells"] == 0 and "clear" not in counts:
            return "no object pixel is half the network's window away from the image's border"
        if counts.get("in_request", 1) == 0:
            return "no place on the object is inside the workspace or the yaw that were asked for"
        if counts.get("clear", 1) == 0:
            return (
                "nowhere is a grasp likely to come in free and to hold: the object may be too wide or too flat, or its "
                "neighbours too near"
            )
        return _all_rejected(counts)
    if counts.get("edges", 0) == 0:
        return "no edges: the surface drops nowhere on the object; is it flat, or is the depth unit wrong?"
    if counts.get("antipodal", 0) == 0:
        return "no two edges within the gripper's reach face away from each other: the object may be too wide"
    if counts.get("in_width", 0) == 0:
        return "every antipodal pair is wider than the gripper's stroke"
    if counts.get("in_request", 1) == 0:
        return "every antipodal pair is outside the workspace or the yaw that were asked for"
    if counts.get("sampled", 0) == 0:
        return "every height is too low: the object is flatter than the fingertips need above the table"
    return _all_rejected(counts)


def _all_rejected(counts: Mapping[str, int]) -> str:
    n = counts.get("sampled", 0) + counts.get("drawn", 0)
    worst = commonest(counts)
    if worst is None:
        return f"none of {n} candidates was left"
    return f"all {n} candidates were rejected: {counts[worst]} {REJECTIONS[worst]}"
