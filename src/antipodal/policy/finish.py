"""The last step of every planner: sort, thin out to what is asked, and say why nothing is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from ..grasp import Grasp, PlanarGrasp
from .base import Plan, Rejected, empty_plan, no_grasps
from .constraints import Checked
from .reasons import explain
from .request import Request
from .view import View


def finished_plan(
    view: View,
    grasps: PlanarGrasp,
    quality: Float[np.ndarray, "N"],
    counts: Mapping[str, int],
    rejected: Rejected | None = None,
) -> Plan:
    """Sort scored grasps, best first, and keep as many, as unlike each other, as the request asks for.

    An empty set becomes an empty plan with its reason.
    """
    order = _best_unlike(grasps, quality, view)
    counts = {**view.repaired, **counts, "scored": len(grasps), "planned": len(order)}
    if len(order) == 0:
        plan = empty_plan(explain(counts, view.objects, view.refusal), counts)
        return replace(
            plan, approach_axis=view.approach_axis, rejected=rejected, warnings=view.warnings
        )
    return Plan(
        grasps[order],
        quality[order],
        view.approach_axis,
        counts,
        rejected=rejected,
        warnings=view.warnings,
    )


def is_enough(
    grasps: PlanarGrasp, quality: Float[np.ndarray, "N"], view: View, enough: float
) -> bool:
    """Whether as many grasps as the request asks for, as unlike each other, have at least this quality."""
    good, n_wanted = quality >= enough, view.request.n_grasps or 1
    if n_wanted == 1:
        return bool(good.any())
    return len(_best_unlike(grasps[good], quality[good], view)) >= n_wanted


def _best_unlike(
    grasps: PlanarGrasp, quality: Float[np.ndarray, "N"], view: View
) -> Int[np.ndarray, "K"]:
    """Rows of what the request asks for of these grasps, best first."""
    order = np.argsort(-quality, kind="stable")
    if view.request.n_grasps is None and not _thins_out(view.request):
        return order
    spatial = grasps[order].to_grasp(view.image.intrinsics, view.approach_axis)
    return order[unlike(spatial, view.request)]


def unlike(grasps: Grasp, request: Request) -> Int[np.ndarray, "K"]:
    """Choose rows, best first, each unlike those before it, up to ``n_grasps``.

    Two grasps are alike if their centres are nearer than ``min_distance`` and their closing axes, as lines, less than
    ``min_angle`` apart.
    """
    n_wanted = len(grasps) if request.n_grasps is None else min(request.n_grasps, len(grasps))
    if not _thins_out(request):
        return np.arange(n_wanted)
    left, chosen = np.ones(len(grasps), bool), []
    for row in range(len(grasps)):
        if len(chosen) == n_wanted:
            break
        if left[row]:
            chosen.append(row)
            apart = np.linalg.norm(grasps.center - grasps.center[row], axis=-1)
            cosine = np.abs(grasps.closing_axis @ grasps.closing_axis[row])
            left &= (apart >= request.min_distance) | (cosine <= np.cos(request.min_angle))
    return np.array(chosen, np.int64)


def gather(parts: Sequence[tuple[PlanarGrasp, Checked]]) -> Rejected:
    """Join what several checks have rejected."""
    grasps = join([no_grasps(), *(g for g, _ in parts)])
    reason = np.concatenate([np.empty(0, np.int64), *(c.reason for _, c in parts)])
    return Rejected(grasps[reason >= 0], reason[reason >= 0])


def join(batches: Sequence[PlanarGrasp]) -> PlanarGrasp:
    """Join batches of grasps, of which there is at least one."""
    names = ("center_px", "angle", "depth", "width")
    return PlanarGrasp(*(np.concatenate([getattr(b, n) for b in batches]) for n in names))


def _thins_out(request: Request) -> bool:
    return request.min_distance > 0 and request.min_angle > 0
