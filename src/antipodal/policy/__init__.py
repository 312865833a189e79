"""Planning from one depth image: sample, constrain, score, rank."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidConfig
from ..gripper import GripperModel
from .base import Policy, QualityFn
from .cem import CALIBRATED_CEM, WIDE_SEEDS
from .cem import cem_policy as cem_policy
from .dense import dense_policy as dense_policy
from .rank import rank_policy as rank_policy
from .request import Request as Request
from .weighed import WeighedQuality as WeighedQuality
from .weighed import told_of

POLICIES: dict[str, Callable[..., Policy]] = {
    "antipodal": rank_policy,
    "cem": cem_policy,
    "dense": dense_policy,
}
"""Planners by name: Algorithm 1 with the best of a fixed set, Algorithm 2, and every place at once."""
AUTO = "cem"
"""What ``auto`` is: as good as the best, and the quickest of the good ones when it matters (docs/planning.md)."""


def make_policy(name: str, quality: QualityFn, gripper: GripperModel, **options: object) -> Policy:
    """Build a planner by name.

    Args:
        name: a key of :data:`POLICIES`, or ``auto``.
        quality: scores the candidates. A network of ours is told of the hand
            (:func:`~antipodal.policy.weighed.told_of`), and the cross-entropy method seeded with every pair that a
            rubber jaw could hold and ended at :data:`~antipodal.policy.cem.CALIBRATED_CEM`'s quality.
        gripper: every planned grasp approaches with its whole stroke open.
        options: configs of that planner by keyword (``config``, ``sampler``, ``constraints``, ``table``,
            ``mend``).

    Raises:
        InvalidConfig: no such planner.
    """
    name = AUTO if name == "auto" else name
    if name not in POLICIES:
        raise InvalidConfig(f"policy '{name}': expected one of auto, {', '.join(POLICIES)}")
    quality = told_of(quality, gripper)
    if name == "cem" and isinstance(quality, WeighedQuality):
        options = {"config": CALIBRATED_CEM, "sampler": WIDE_SEEDS, **options}
    return POLICIES[name](quality, gripper, **options)
