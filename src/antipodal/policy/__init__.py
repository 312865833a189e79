"""Planning from one depth image: sample, constrain, score, rank."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidConfig
from ..gripper import GripperModel
from .base import Plan as Plan
from .base import Policy as Policy
from .base import QualityFn as QualityFn
from .cem import cem_policy as cem_policy
from .rank import rank_policy as rank_policy

POLICIES: dict[str, Callable[..., Policy]] = {"antipodal": rank_policy, "cem": cem_policy}
"""Planners by name: Algorithm 1 with the best of a fixed set, and Algorithm 2."""


def make_policy(name: str, quality: QualityFn, gripper: GripperModel, **options: object) -> Policy:
    """Build a planner by name.

    Args:
        name: a key of :data:`POLICIES`.
        quality: scores the candidates.
        gripper: every planned grasp approaches with its whole stroke open.
        options: configs of that planner by keyword (``config``, ``sampler``, ``constraints``, ``table``).

    Raises:
        InvalidConfig: no such planner.
    """
    if name not in POLICIES:
        raise InvalidConfig(f"policy '{name}': expected one of {', '.join(POLICIES)}")
    return POLICIES[name](quality, gripper, **options)
