"""Rows with a network: the paper's policies around a faithful GQ-CNN, and ours around the built-in one.

The faithful rows ask of a grasp what the paper asks, that it lies in the image, on the object and above the table. Ours
also look whether fingers and palm are free (:mod:`antipodal.policy.constraints`).
"""

from __future__ import annotations

from pathlib import Path

from ..gripper import GripperModel
from ..policy import make_policy
from ..policy.heuristics import PAPER_CONSTRAINTS
from ..quality import Precision, load_quality
from .planner import Planner, image_planner


def faithful_planner(model: str | Path, policy: str, gripper: GripperModel) -> Planner:
    """Build GQ-CNN 2.0 as published: ``policy`` is "antipodal" (the fixed set) or "cem".

    Raises:
        UnknownAsset: no such model.
        IncompatibleCheckpoint: not a network of this package.
    """
    quality = load_quality(model)
    return image_planner(make_policy(policy, quality, gripper, constraints=PAPER_CONSTRAINTS))


def network_planner(
    model: str | Path,
    policy: str,
    gripper: GripperModel,
    precision: Precision = "float32",
    **options: object,
) -> Planner:
    """Build what we ship: the same policies with obstacles checked. Raises as :func:`faithful_planner`."""
    return image_planner(make_policy(policy, load_quality(model, precision), gripper, **options))
