"""The fixed-set policy: sample, constrain, score, sort [Mahler17, supplement §II-A]."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..camera import DepthImage
from ..errors import InvalidConfig
from ..grasp import PlanarGrasp
from ..gripper import GripperModel
from .base import Plan, Policy, QualityFn
from .constraints import DEFAULT_CONSTRAINTS, ConstraintConfig, check_grasps
from .finish import finished_plan, gather
from .image_sampler import PAPER_SAMPLER, SamplerConfig, sample_grasps
from .repair import DEFAULT_REPAIR, RepairConfig
from .request import Asked
from .table import DEFAULT_TABLE, TableConfig
from .view import View, doubted, look
from .view_quality import Score, ViewQuality


def rank_policy(
    quality: QualityFn,
    gripper: GripperModel,
    sampler: SamplerConfig = PAPER_SAMPLER,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    table: TableConfig = DEFAULT_TABLE,
    mend: RepairConfig = DEFAULT_REPAIR,
) -> Policy:
    """Build π(y) = argmax over a fixed set of candidates of Q(u, y) [Mahler17, §III-C].

    Args:
        quality: scores the candidates.
        gripper: every planned grasp approaches with its whole stroke open.
        sampler: Algorithm 1.
        constraints: what a candidate must satisfy before it is scored.
        table: how the table is found.
        mend: what is mended in the image before it is looked at.
    """

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        view = doubted(look(image, asked, rng, table, mend), table, constraints.max_unseen)
        hand = view.request.opened(gripper)
        sample = sample_grasps(view, hand, rng, sampler)
        checked = check_grasps(view, sample.grasps, hand, constraints)
        free = sample.grasps[checked.keep]
        q = scorer(view, quality)(free)
        counts = sample.counts | checked.counts | {"free": len(free)}
        return finished_plan(view, free, q, counts, gather([(sample.grasps, checked)]))

    return policy


def scorer(view: View, quality: QualityFn) -> Score:
    """Return what scores grasps of one view by a quality function, and checks what comes back.

    Raises (when called):
        InvalidConfig: not N finite numbers in [0, 1].
    """
    ask = quality.at(view) if isinstance(quality, ViewQuality) else partial(quality, view.image)

    def score(grasps: PlanarGrasp) -> np.ndarray:
        if len(grasps) == 0:
            return np.empty(0)
        q = np.asarray(ask(grasps), float)
        if q.shape != (len(grasps),) or not ((q >= 0) & (q <= 1)).all():
            raise InvalidConfig(
                f"the quality function returned shape {q.shape}, range [{q.min(initial=0):g}, {q.max(initial=0):g}] "
                f"for {len(grasps)} grasps: expected shape ({len(grasps)},) in [0, 1]"
            )
        return q

    return score
