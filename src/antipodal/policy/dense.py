"""The dense policy: one pass of a network over heights, exact checks of its best cells, Q around the best of those.

    relief ─▶ windows ─▶ network: every place, 16 angles, 5 tip depths ─▶ unlike cells, best first ─▶ constraints ─▶ Q
                                                                                             best ─▶ moved a little ─▶ Q
    none of them good: Algorithm 1's candidates ─▶ constraints ─▶ Q ─▶ again the best of all, moved a little ─▶ Q

The network tells where a grasp that may be executed would hold. It only proposes: the plan's quality is the per-grasp
network's, and every grasp of the plan has passed the constraints. Where what it proposed is poor, it may have been
wrong, and the candidates of another search are looked at as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .. import transforms
from ..camera import DepthImage
from ..dense_quality import shipped_window_quality
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from ..values import AT_LEAST_ONE, NOT_NEGATIVE, expect
from .base import Plan, Policy, QualityFn, no_grasps
from .cem import WIDE_SEEDS
from .constraints import (
    DEFAULT_CONSTRAINTS,
    Checked,
    ConstraintConfig,
    check_grasps,
    in_workspace,
    in_yaw_range,
)
from .finish import finished_plan, gather, is_enough, join
from .height_window import (
    CELL,
    N_ANGLES,
    SIZE,
    Cells,
    HeightWindow,
    angles,
    closing_axes,
    height_windows,
    to_grasps,
)
from .image_sampler import sample_grasps
from .rank import scorer
from .repair import DEFAULT_REPAIR, RepairConfig
from .request import Asked
from .table import DEFAULT_TABLE, TableConfig
from .view import View, doubted, look

WindowFn = Callable[[Float[np.ndarray, "S S"], Int[np.ndarray, "K 2"]], Float[np.ndarray, "A D K"]]
"""(heights of a window, strokes; cells) → log-odds of every angle and tip depth at those cells."""


@dataclass(frozen=True)
class DenseConfig:
    """How much is checked and scored."""

    n_checked: int = 32
    """Cells whose grasps are checked, the best first and unlike each other; four times as many again while too few
    of them may be executed."""
    n_rounds: int = 3
    """So often."""
    n_scored: int = 16
    """The best of those that may be executed are scored; twice ``n_grasps`` where that is more."""
    n_refined: int = 4
    """The best are moved a little, ``n_moves`` ways each."""
    n_moves: int = 8
    n_refinements: int = 4
    """So often, each time half as far, …"""
    enough: float = 0.895
    """… until so many grasps as are asked for have this quality; 1 = always."""
    doubted: float = 0.85
    """Where no quality reaches this, the antipodal sampler is asked as well; 0 = never."""
    n_sampled: int = 300
    """Its candidates, …"""
    n_second: int = 64
    """… and so many of those that may be executed are scored."""
    near_cells: int = 2
    """Two entries are alike if their cells are no more than so many apart, both ways, …"""
    turned: int = 1
    """… and their angles no more than so many steps apart."""
    move_sigma: float = 0.005
    """Of a move along each axis, m."""
    turn_sigma: float = 0.15
    """Of its turn about the approach, rad."""
    n_windows: int = 8
    """Most windows that the network is shown."""
    small: float = 0.25
    """A window with less than this share of the largest's volume, the table's noise for one, waits until the others
    have given too few grasps."""

    def __post_init__(self) -> None:
        expect(
            self,
            "dense",
            AT_LEAST_ONE,
            "n_checked",
            "n_rounds",
            "n_scored",
            "n_refined",
            "n_windows",
            "n_sampled",
        )
        expect(
            self,
            "dense",
            NOT_NEGATIVE,
            "n_moves",
            "n_refinements",
            "enough",
            "doubted",
            "n_second",
            "near_cells",
            "turned",
            "move_sigma",
            "turn_sigma",
            "small",
        )


DEFAULT_DENSE = DenseConfig()
FAST_DENSE = DenseConfig(n_checked=16, n_scored=5, n_refinements=0, doubted=0.0)
"""The best five proposals, no search: for a loop that asks again before it moves. It lifts less (docs/planning.md)."""


class Proposals(NamedTuple):
    """The network's best entries, best first."""

    window: Int[np.ndarray, "M"]
    """Which of the windows."""
    cells: Cells
    """(M)."""
    n_cells: int
    """Entries that were looked at."""
    n_clear: int
    """Of them, those that are told more than :data:`CHANCE`."""


CHANCE = 0.3
"""What is told less is no proposal as long as there are others."""
N_BEST = 128
"""For each cell that is checked at first so many entries of a window may be proposed: most are alike."""
SUB_ANGLES = 33
"""Angles of one bin that are tried where a yaw is asked for."""


def dense_policy(
    quality: QualityFn,
    gripper: GripperModel,
    config: DenseConfig = DEFAULT_DENSE,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    table: TableConfig = DEFAULT_TABLE,
    mend: RepairConfig = DEFAULT_REPAIR,
    network: WindowFn | None = None,
) -> Policy:
    """Build the policy; its plan holds every grasp that was scored, best first.

    Args:
        quality: scores the candidates.
        gripper: every planned grasp approaches with its whole stroke open.
        config: effort.
        constraints: what a grasp must satisfy before it is scored.
        table: how the table is found.
        mend: what is mended in the image.
        network: tells where to look; None = the package's own.
    """
    told = shipped_window_quality() if network is None else network

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        view = doubted(look(image, asked, rng, table, mend), table, constraints.max_unseen)
        hand = view.request.opened(gripper)
        tried: list[tuple[PlanarGrasp, Checked]] = []
        counts = {"cells": 0, "clear": 0, "sampled": 0}

        def keep(grasps: PlanarGrasp) -> PlanarGrasp:
            checked = check_grasps(view, grasps, hand, constraints)
            tried.append((grasps, checked))
            return grasps[checked.keep]

        score = scorer(view, quality)

        def refined(seen: PlanarGrasp, q: np.ndarray) -> tuple[PlanarGrasp, np.ndarray]:
            for k in range(config.n_refinements if len(seen) else 0):
                if is_enough(seen, q, view, config.enough):
                    break
                best = np.argsort(-q, kind="stable")[: config.n_refined]
                moved = keep(_moved(view, seen[best], config, 0.5**k, rng))
                counts["drawn"] = counts.get("drawn", 0) + len(best) * config.n_moves
                if len(moved):
                    seen, q = join([seen, moved]), np.concatenate([q, score(moved)])
            return seen, q

        n_scored = max(config.n_scored, 2 * (view.request.n_grasps or 1))
        seen = _first(view, hand, told, config, constraints, keep, counts)[:n_scored]
        counts["sampled"] = sum(len(grasps) for grasps, _ in tried)
        seen, q = refined(seen, score(seen))
        if q.max(initial=0.0) < config.doubted:
            sample = sample_grasps(view, hand, rng, replace(WIDE_SEEDS, n_grasps=config.n_sampled))
            counts["sampled"] += len(sample.grasps)
            more = keep(sample.grasps)[: config.n_second]
            seen, q = refined(join([seen, more]), np.concatenate([q, score(more)]))
        for _, checked in tried:
            for name, n in checked.counts.items():
                counts[name] = counts.get(name, 0) + n
        return finished_plan(view, seen, q, counts, gather(tried) if tried else None)

    return policy


def _first(
    view: View,
    hand: GripperModel,
    network: WindowFn,
    config: DenseConfig,
    constraints: ConstraintConfig,
    keep: Callable[[PlanarGrasp], PlanarGrasp],
    counts: dict[str, int],
) -> PlanarGrasp:
    """Take what the network proposes, best first, until enough of it may be executed; count what it looked at."""
    n_wanted, turned = view.request.n_grasps or 1, asked_angles(view)
    seen = no_grasps()
    for windows in _turns(height_windows(view, hand), config):
        found = propose(view, windows, network, turned, N_BEST * config.n_checked)
        counts["cells"] += found.n_cells
        counts["clear"] += found.n_clear
        if not counts["cells"] and any(len(window.cells) for window in windows):
            counts["in_request"] = 0
        elif counts["cells"]:
            counts.pop("in_request", None)
        for part in _unlike(found, config):
            seen = join(
                [seen, keep(_lifted(view, windows, found, part, hand, constraints, turned))]
            )
            if len(seen) >= n_wanted:
                return seen
    return seen


def propose(
    view: View,
    windows: Sequence[HeightWindow],
    network: WindowFn,
    turned: Float[np.ndarray, "A"],
    n_best: int,
) -> Proposals:
    """Show the network the windows and sort its best answers, so many of each; what was not asked for is left out."""
    may = np.flatnonzero(np.isfinite(turned))
    told, entries, n_cells, n_clear = [], [], 0, 0
    for k, window in enumerate(windows):
        cells = _in_workspace(view, window)
        answer = network(window.shown, cells)[may]
        flat = answer.ravel()
        best = np.flatnonzero(flat > np.log(CHANCE / (1 - CHANCE)))
        n_cells += flat.size
        n_clear += len(best)
        if len(best) < n_best:
            best = np.arange(flat.size)
        if len(best) > n_best:
            best = best[np.argpartition(-flat[best], n_best)[:n_best]]
        angle, depth, cell = np.unravel_index(best, answer.shape)
        told.append(flat[best])
        entries.append(np.column_stack([np.full(len(best), k), may[angle], depth, cells[cell]]))
    if not n_cells:
        nothing = np.empty(0, np.int64)
        return Proposals(nothing, Cells(nothing, nothing, np.empty((0, 2), np.int64)), 0, 0)
    entry = np.concatenate(entries)[np.argsort(-np.concatenate(told), kind="stable")]
    cells = Cells(entry[:, 1], entry[:, 2], entry[:, 3:])
    return Proposals(entry[:, 0], cells, n_cells, n_clear)


def asked_angles(view: View) -> Float[np.ndarray, "A"]:
    """Angle of each channel, rad: its bin's middle, or what is asked for and next to it; nan where none of it is."""
    middle = angles()
    if view.request.yaw_range is None:
        return middle
    offset = np.linspace(-0.5, 0.5, SUB_ANGLES) * np.pi / len(middle)
    offset = offset[np.argsort(np.abs(offset), kind="stable")]
    theta = middle[:, None] + offset
    axes = closing_axes(view, theta.ravel())
    center = np.broadcast_to(view.approach_axis, axes.shape)
    may = in_yaw_range(view, Grasp.from_axes(center, axes, view.approach_axis, 1.0))
    may = may.reshape(theta.shape)
    return np.where(may.any(1), theta[np.arange(len(theta)), may.argmax(1)], np.nan)


def _turns(windows: Iterator[HeightWindow], config: DenseConfig) -> Iterator[list[HeightWindow]]:
    """First the windows that hold something, then, if more is wanted, the small ones."""
    large: list[HeightWindow] = []
    small: list[HeightWindow] = []
    for window in islice(windows, config.n_windows):
        if large and window.volume < config.small * large[0].volume:
            small.append(window)
            break
        large.append(window)
    if large:
        yield large
    small += islice(windows, config.n_windows - len(large) - len(small))
    if small:
        yield small


def _in_workspace(view: View, window: HeightWindow) -> Int[np.ndarray, "K 2"]:
    """Cells whose surface lies in the workspace that was asked for."""
    if view.request.workspace is None or len(window.cells) == 0:
        return window.cells
    xy = window.corner + window.cells * (CELL * window.stroke)
    z = window.floor - window.height[*window.cells.T] * window.stroke
    center = np.column_stack([xy, z]) @ view.relief.R_relief_camera
    axes = np.broadcast_to(view.relief.R_relief_camera[0], center.shape)
    return window.cells[in_workspace(view, Grasp.from_axes(center, axes, view.approach_axis, 1.0))]


def _unlike(found: Proposals, config: DenseConfig) -> Iterator[Int[np.ndarray, "n"]]:
    """Rows that are unlike every row before them, in parts of ``n_checked`` and four times as many each time."""
    taken = np.zeros((int(found.window.max(initial=0)) + 1, N_ANGLES, SIZE, SIZE), bool)
    turn = np.arange(-config.turned, config.turned + 1)
    near = config.near_cells
    part: list[int] = []
    n_left, size = config.n_rounds, config.n_checked
    rows = zip(
        found.window.tolist(), found.cells.angle.tolist(), *found.cells.cell.T.tolist(), strict=True
    )
    for row, (k, a, x, y) in enumerate(rows):
        if taken[k, a, x, y]:
            continue
        for t in (a + turn) % N_ANGLES:
            taken[k, t, max(x - near, 0) : x + near + 1, max(y - near, 0) : y + near + 1] = True
        part.append(row)
        if len(part) == size:
            yield np.array(part)
            part, n_left, size = [], n_left - 1, 4 * size
            if not n_left:
                return
    if part:
        yield np.array(part)


def _lifted(
    view: View,
    windows: Sequence[HeightWindow],
    found: Proposals,
    rows: Int[np.ndarray, "n"],
    gripper: GripperModel,
    constraints: ConstraintConfig,
    turned: Float[np.ndarray, "A"],
) -> PlanarGrasp:
    """Make grasps of rows, in their order."""
    parts, order = [], []
    for k in np.unique(found.window[rows]):
        own = np.flatnonzero(found.window[rows] == k)
        some = Cells(*(column[rows[own]] for column in found.cells))
        parts.append(to_grasps(view, windows[k], some, gripper, constraints, turned))
        order.append(own)
    return join(parts)[np.argsort(np.concatenate(order))]


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
