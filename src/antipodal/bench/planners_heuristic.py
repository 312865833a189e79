"""Rows that look and do not learn: chance, IGQ, and the strongest heuristic that we can write."""

from __future__ import annotations

from ..gripper import GripperModel
from ..policy.heuristics import centroid_policy, geometric_policy, random_policy
from .planner import Planner, image_planner


def random_planner(gripper: GripperModel) -> Planner:
    """Build the paper's random baseline: one of Algorithm 1's candidates."""
    return image_planner(random_policy(gripper))


def igq_planner(gripper: GripperModel) -> Planner:
    """Build the paper's image-based heuristic: the antipodal pair nearest to the mask's centroid."""
    return image_planner(centroid_policy(gripper))


def heuristic_planner(gripper: GripperModel) -> Planner:
    """Build the best heuristic: geometry of the depth image, searched by the cross-entropy method."""
    return image_planner(geometric_policy(gripper))
