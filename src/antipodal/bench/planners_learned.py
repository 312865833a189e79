"""Rows ML-RF and ML-SVM: the paper's candidates and constraints, ranked by a baseline.

``runs/baselines.sh`` makes their files.
"""

from __future__ import annotations

from pathlib import Path

from ..gripper import GripperModel
from ..policy.heuristics import PAPER_CONSTRAINTS
from ..policy.rank import rank_policy
from .learned import load_learned
from .planner import Planner, image_planner


def learned_planner(path: str | Path, gripper: GripperModel) -> Planner:
    """Build a planner around ``forest.npz`` or ``svm.npz``: the best of a fixed set, as in the paper.

    Raises:
        UnknownAsset: no such file.
        IncompatibleCheckpoint: not a baseline of ours.
    """
    policy = rank_policy(load_learned(path), gripper, constraints=PAPER_CONSTRAINTS)
    return image_planner(policy)
