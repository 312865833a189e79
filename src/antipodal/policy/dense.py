"""The dense policy: every place and angle at once by clearance, then the network on the best, then around those.

    relief ─▶ for each angle: how deep may the jaws go, what stands between them ─▶ best cells ─▶ Q ─▶ refine ─▶ best

Nine failures in ten are a finger or the palm landing on the object (docs/benchmark.md); :mod:`.places` sees every place
where they do not. Which of those holds is the network's question.
"""

from __future__ import annotations

import numpy as np

from .. import transforms
from ..camera import DepthImage
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from .base import Plan, Policy, QualityFn, no_grasps
from .constraints import DEFAULT_CONSTRAINTS, Checked, ConstraintConfig, check_grasps
from .finish import finished_plan, gather, join
from .places import DEFAULT_DENSE, DenseConfig, clear_places
from .rank import scorer
from .repair import DEFAULT_REPAIR, RepairConfig
from .request import Asked
from .table import DEFAULT_TABLE, TableConfig
from .view import View, look


def dense_policy(
    quality: QualityFn,
    gripper: GripperModel,
    config: DenseConfig = DEFAULT_DENSE,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    table: TableConfig = DEFAULT_TABLE,
    mend: RepairConfig = DEFAULT_REPAIR,
) -> Policy:
    """Build the policy; its plan holds every grasp that was scored, best first.

    Args:
        quality: scores the candidates.
        gripper: every planned grasp approaches with its whole stroke open.
        config: resolution and effort.
        constraints: what a grasp must satisfy before it is scored.
        table: how the table is found.
        mend: what is mended in the image.
    """

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        view = look(image, asked, rng, table, mend)
        hand = view.request.opened(gripper)
        tried: list[tuple[PlanarGrasp, Checked]] = []

        def keep(grasps: PlanarGrasp) -> PlanarGrasp:
            checked = check_grasps(view, grasps, hand, constraints)
            tried.append((grasps, checked))
            return grasps[checked.keep]

        places = clear_places(view, hand, config, constraints)
        counts = {"cells": places.n_seen, "clear": places.n_clear, "sampled": len(places.grasps)}
        seen = keep(places.grasps) if len(places.grasps) else no_grasps()
        score = scorer(view, quality)
        q = score(seen)
        for k in range(config.n_rounds if len(seen) else 0):
            best = np.argsort(-q, kind="stable")[: config.n_refined]
            moved = keep(_moved(view, seen[best], config, 0.5**k, rng))
            if len(moved):
                seen, q = join([seen, moved]), np.concatenate([q, score(moved)])
        for _, checked in tried:
            for name, n in checked.counts.items():
                counts[name] = counts.get(name, 0) + n
        return finished_plan(view, seen, q, counts, gather(tried) if tried else None)

    return policy


def _moved(
    view: View, grasps: PlanarGrasp, config: DenseConfig, shrink: float, rng: np.random.Generator
) -> PlanarGrasp:
    """Each grasp in turn, displaced along its own axes and turned about its approach."""
    n = len(grasps) * config.n_moves
    spatial = grasps.to_grasp(view.image.intrinsics, view.approach_axis)
    pose = np.repeat(spatial.pose, config.n_moves, 0)
    shift = transforms.translation(rng.normal(size=(n, 3)) * config.move_sigma * shrink)
    turn = transforms.rot_z(rng.normal(size=n) * config.turn_sigma * shrink)
    moved = Grasp(pose @ shift @ turn, np.repeat(spatial.width, config.n_moves))
    return moved[moved.center[:, 2] > 1e-3].to_planar(view.image.intrinsics)
