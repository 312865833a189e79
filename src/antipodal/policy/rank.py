"""The fixed-set policy: sample, constrain, score, sort [Mahler17, supplement §II-A]."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from ..camera import DepthImage
from ..errors import InvalidConfig
from ..grasp import PlanarGrasp
from ..gripper import GripperModel
from .base import Plan, Policy, QualityFn, empty_plan
from .constraints import DEFAULT_CONSTRAINTS, ConstraintConfig, check_grasps
from .image_sampler import PAPER_SAMPLER, SamplerConfig, sample_grasps
from .table import DEFAULT_TABLE, TableConfig
from .view import View, look


def rank_policy(
    quality: QualityFn,
    gripper: GripperModel,
    sampler: SamplerConfig = PAPER_SAMPLER,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    table: TableConfig = DEFAULT_TABLE,
) -> Policy:
    """Build π(y) = argmax over a fixed set of candidates of Q(u, y) [Mahler17, §III-C].

    Args:
        quality: scores the candidates.
        gripper: every planned grasp approaches with its whole stroke open.
        sampler: Algorithm 1.
        constraints: what a candidate must satisfy before it is scored.
        table: how the table is found.
    """

    def policy(
        image: DepthImage, mask: Bool[np.ndarray, "H W"] | None, rng: np.random.Generator
    ) -> Plan:
        view = look(image, mask, rng, table)
        sample = sample_grasps(view, gripper, rng, sampler)
        checked = check_grasps(view, sample.grasps, gripper, constraints)
        counts = sample.counts | checked.counts
        return ranked_plan(view, sample.grasps[checked.keep], quality, counts)

    return policy


def ranked_plan(
    view: View, grasps: PlanarGrasp, quality: QualityFn, counts: Mapping[str, int]
) -> Plan:
    """Score grasps and sort them, best first; an empty set becomes an empty plan with its reason."""
    counts = {**counts, "planned": len(grasps)}
    if len(grasps) == 0:
        return empty_plan(explain(view, counts), counts)._replace(approach_axis=view.approach_axis)
    q = scores(view.image, grasps, quality)
    order = np.argsort(-q, kind="stable")
    return Plan(grasps[order], q[order], view.approach_axis, counts)


def scores(image: DepthImage, grasps: PlanarGrasp, quality: QualityFn) -> np.ndarray:
    """Call a quality function and check what comes back.

    Raises:
        InvalidConfig: not N finite numbers in [0, 1].
    """
    q = np.asarray(quality(image, grasps), float)
    if q.shape != (len(grasps),) or not ((q >= 0) & (q <= 1)).all():
        raise InvalidConfig(
            f"the quality function returned shape {q.shape}, range [{q.min(initial=0):g}, {q.max(initial=0):g}] for "
            f"{len(grasps)} grasps: expected shape ({len(grasps)},) in [0, 1]"
        )
    return q


def explain(view: View, counts: Mapping[str, int]) -> str:
    """Say in words why there is no grasp: the first stage that left nothing."""
    if view.objects is not None and not view.objects.any():
        return "nothing stands on the table: no pixels rise above the fitted plane"
    if counts.get("edges", 0) == 0:
        return "no edges: the surface drops nowhere on the object; is it flat, or is the depth unit wrong?"
    if counts.get("antipodal", 0) == 0:
        return "no two edges within the gripper's reach face away from each other: the object may be too wide"
    if counts.get("in_width", 0) == 0:
        return "every antipodal pair is wider than the gripper's stroke"
    if counts.get("sampled", 0) == 0:
        return "every height is too low: the object is flatter than the fingertips need above the table"
    names = (
        "outside_image", "off_object", "into_table", "finger_blocked", "palm_blocked", "nothing_between",
    )  # fmt: skip
    worst = max(names, key=lambda name: counts.get(name, 0))
    words = {
        "outside_image": "leave the image",
        "off_object": "have their centre off the object",
        "into_table": "would put a fingertip into the table",
        "finger_blocked": "would land a finger on something",
        "palm_blocked": "would land the palm on something",
        "nothing_between": "would close on nothing",
    }
    return (
        f"all {counts['sampled']} candidates were rejected: {counts.get(worst, 0)} {words[worst]}"
    )
