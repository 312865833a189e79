"""The dense policy: every place and angle at once by clearance, then the network on the best, then around those.

    relief ─▶ for each angle: how deep may the jaws go, what stands between them ─▶ best cells ─▶ Q ─▶ refine ─▶ best

All grasps of a plan share one approach axis, so that in the map across it (:mod:`antipodal.policy.relief`) a finger's
way in is a rectangle: the first surface under it is a minimum filter, for every position at once. Nine failures in ten
are a finger or the palm landing on the object (docs/benchmark.md); this sees every place where they do not. Which of
those holds is the network's question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .. import transforms
from ..camera import DepthImage
from ..errors import InvalidConfig
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from .base import Plan, Policy, QualityFn, no_grasps
from .constraints import DEFAULT_CONSTRAINTS, Checked, ConstraintConfig, check_grasps
from .finish import finished_plan, gather, join
from .rank import scores
from .repair import DEFAULT_REPAIR, RepairConfig
from .request import Asked
from .table import DEFAULT_TABLE, TableConfig
from .view import View, look

UNKNOWN = 1e3
"""Distance of what is not seen, or is table, m: beyond everything."""


@dataclass(frozen=True)
class DenseConfig:
    """How finely it looks and how much it scores."""

    n_angles: int = 16
    """Closing axes, evenly over half a turn."""
    n_cells: int = 96
    """Places and angles that are scored, the clearest first, each at ``n_heights``."""
    n_heights: int = 2
    """From as deep as the jaws may go, upwards by ``height_step``."""
    height_step: float = 0.005
    """m."""
    n_refined: int = 12
    """The best are moved a little, ``n_moves`` ways each, ``n_rounds`` times."""
    n_moves: int = 8
    n_rounds: int = 2
    move_sigma: float = 0.002
    """Of a move along each axis, m; halved each round."""
    turn_sigma: float = float(np.deg2rad(5.0))
    """Of its turn about the approach, rad; halved each round."""
    wide_margin: float = 0.003
    """A place is better where the fingers would still go in this much thicker, m."""
    engagement: float = 0.016
    """More than this between the jaws, above their tips, is no better, m."""

    def __post_init__(self) -> None:
        for name in ("n_angles", "n_cells", "n_heights", "n_refined", "n_moves"):
            if not getattr(self, name) >= 1:
                raise InvalidConfig(f"dense {name} {getattr(self, name)}: expected at least 1")
        for name in ("n_rounds", "height_step", "move_sigma", "turn_sigma", "wide_margin"):
            if not getattr(self, name) >= 0:
                raise InvalidConfig(f"dense {name} {getattr(self, name)}: expected 0 or more")
        if not self.engagement > 0:
            raise InvalidConfig(f"dense engagement {self.engagement}: expected a positive length")


DEFAULT_DENSE = DenseConfig()


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
        q = scores(image, seen, quality) if len(seen) else np.empty(0)
        for k in range(config.n_rounds if len(seen) else 0):
            best = np.argsort(-q, kind="stable")[: config.n_refined]
            moved = keep(_moved(view, seen[best], config, 0.5**k, rng))
            if len(moved):
                seen, q = join([seen, moved]), np.concatenate([q, scores(image, moved, quality)])
        for _, checked in tried:
            for name, n in checked.counts.items():
                counts[name] = counts.get(name, 0) + n
        return finished_plan(view, seen, q, counts, gather(tried) if tried else None)

    return policy


class Places(NamedTuple):
    """Where the jaws may go."""

    grasps: PlanarGrasp
    """The clearest, at every height."""
    n_seen: int
    """Cells of objects times angles."""
    n_clear: int
    """Of them, where the jaws go in and close on something."""


def clear_places(
    view: View,
    gripper: GripperModel,
    config: DenseConfig = DEFAULT_DENSE,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
) -> Places:
    """Find places and angles where fingers and palm come in free with something between them, the clearest first."""
    chart = _chart(view, gripper)
    if chart is None:
        return Places(no_grasps(), 0, 0)
    angles = (np.arange(config.n_angles) + 0.5) * np.pi / config.n_angles - np.pi / 2
    found = [_at_angle(chart, angle, gripper, config, constraints) for angle in angles]
    score = np.stack([f[0] for f in found])
    z_tip, engaged = np.stack([f[1] for f in found]), np.stack([f[2] for f in found])
    clear = np.isfinite(score)
    n_seen = config.n_angles * int(chart.objects.sum())
    order = _spread(score, config.n_cells)
    a, row, column = np.unravel_index(order, score.shape)
    middle = (chart.z.shape[0] - 1) / 2
    along, across = (column - middle) * chart.cell, (row - middle) * chart.cell
    cos, sin = np.cos(angles[a]), np.sin(angles[a])
    xy = chart.center + np.stack([along * cos - across * sin, along * sin + across * cos], -1)
    tip, room = z_tip.ravel()[order], engaged.ravel()[order]
    up = np.arange(config.n_heights)[:, None] * np.minimum(config.height_step, room / 2)
    z = (tip - up - gripper.tip_overhang).ravel()
    center = np.column_stack([np.tile(xy, (config.n_heights, 1)), z])
    axis = np.tile(np.stack([cos, sin, np.zeros_like(cos)], -1), (config.n_heights, 1))
    R = view.relief.R_relief_camera
    spatial = Grasp.from_axes(center @ R, axis @ R, view.approach_axis, gripper.max_width)
    ahead = spatial.center[:, 2] > 1e-3
    grasps = spatial[ahead].to_planar(view.image.intrinsics)
    return Places(grasps, n_seen, int(clear.sum()))


class _Chart(NamedTuple):
    """A square window of the relief around the objects; rows along its y, columns along its x."""

    z: Float[np.ndarray, "n n"]
    """Distance of the surface along the approach, float32 m; ``UNKNOWN`` for table and what is not seen."""
    objects: Float[np.ndarray, "n n"]
    """1 where an object's pixel fell."""
    center: Float[np.ndarray, "2"]
    """x, y of the middle cell in the relief frame, m."""
    cell: float
    lowest: float
    """Deepest that a tip may go, m."""


def _chart(view: View, gripper: GripperModel) -> _Chart | None:
    relief, image = view.relief, view.filled
    where = image.valid if view.objects is None else image.valid & view.objects
    if not where.any():
        return None
    points = image.points_camera()[where] @ relief.R_relief_camera.T
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    center, reach = (low + high) / 2, gripper.max_width / 2 + gripper.jaw_thickness + 0.02
    n = 2 * int(np.ceil((np.linalg.norm(high - low) / 2 + reach) / relief.cell)) + 1
    n = min(n, 2 * max(relief.depth.shape) + 1)
    first = np.round((center - relief.corner) / relief.cell - 0.5).astype(int) - n // 2
    z = np.full((n, n), UNKNOWN, np.float32)
    source = np.where(relief.depth < relief.floor, relief.depth, UNKNOWN).T
    dst, src = [], []
    for axis, size in ((1, source.shape[0]), (0, source.shape[1])):  # rows are y
        begin, end = max(first[axis], 0), min(first[axis] + n, size)
        if begin >= end:
            return None
        src.append(slice(begin, end))
        dst.append(slice(begin - first[axis], end - first[axis]))
    z[dst[0], dst[1]] = np.minimum(source[src[0], src[1]], UNKNOWN)
    index = np.floor((points[:, :2] - relief.corner) / relief.cell).astype(int) - first
    inside = ((index >= 0) & (index < n)).all(-1)
    objects = np.zeros((n, n), np.float32)
    objects[index[inside, 1], index[inside, 0]] = 1.0
    middle = relief.corner + (first + n // 2 + 0.5) * relief.cell
    lowest = np.inf if view.table is None else view.table.offset
    return _Chart(z, objects, middle, relief.cell, float(lowest))


def _at_angle(
    chart: _Chart,
    angle: float,
    gripper: GripperModel,
    config: DenseConfig,
    constraints: ConstraintConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, depth of the tips and what stands between the jaws above them, for every cell of the turned chart."""
    import cv2  # heavy: loaded with the first plan

    n = len(chart.z)
    cos, sin, middle = np.cos(angle), np.sin(angle), (n - 1) / 2
    M = np.array([[cos, -sin, middle * (1 - cos + sin)], [sin, cos, middle * (1 - sin - cos)]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    z = cv2.warpAffine(chart.z, M, (n, n), flags=flags, borderValue=UNKNOWN)
    on_object = cv2.warpAffine(chart.objects, M, (n, n), flags=flags, borderValue=0) > 0

    def first_surface(size_x: float, size_y: float) -> np.ndarray:
        kernel = [max(1, round(s / chart.cell)) | 1 for s in (size_x, size_y)]
        return cv2.erode(
            z,
            np.ones((kernel[1], kernel[0]), np.uint8),
            borderType=cv2.BORDER_CONSTANT,
            borderValue=UNKNOWN,
        )

    boxes = gripper.boxes(gripper.max_width)
    step = round(float(boxes.centers[1, 0]) / chart.cell)
    margin = constraints.vertical_margin

    def deepest(lateral: float) -> np.ndarray:
        under = first_surface(gripper.jaw_thickness + 2 * lateral, gripper.jaw_width + 2 * lateral)
        fingers = np.full_like(under, UNKNOWN)
        fingers[:, step : n - step] = np.minimum(under[:, : n - 2 * step], under[:, 2 * step :])
        return fingers - margin

    ceiling = np.full_like(z, chart.lowest - constraints.table_clearance - 1e-4)
    for center, size in zip(
        boxes.centers[len(gripper.JAWS) :], boxes.sizes[len(gripper.JAWS) :], strict=True
    ):
        reach = gripper.tip_overhang - (center[2] + size[2] / 2)
        ceiling = np.minimum(ceiling, first_surface(size[0], size[1]) + reach - margin)
    top = first_surface(gripper.max_width - 2 * chart.cell, gripper.jaw_width / 2)
    z_tip = np.minimum(deepest(constraints.lateral_margin), ceiling)
    z_tip = np.where(z_tip < UNKNOWN / 2, z_tip, top + gripper.finger_depth / 2)
    engaged = z_tip - top
    wide = np.minimum(np.minimum(deepest(config.wide_margin), ceiling), z_tip) - top
    clear = on_object & (engaged >= 2 * constraints.min_engagement) & (top < UNKNOWN / 2)
    v, u = np.nonzero(on_object)
    far = np.zeros_like(z)
    if len(v):
        rows, columns = np.mgrid[:n, :n]
        far = np.hypot(columns - u.mean(), rows - v.mean()) * chart.cell
    e = config.engagement
    score = np.minimum(engaged, e) / e + 0.5 * np.clip(wide, 0, e) / e - 4.0 * far
    return np.where(clear, score, -np.inf), z_tip, engaged


def _spread(score: Float[np.ndarray, "A n n"], n: int) -> np.ndarray:
    """Flat indices of the n best cells, the best of each 2×2 cells of an angle."""
    a, size, _ = score.shape
    even = size - size % 2
    blocks = score[:, :even, :even].reshape(a, even // 2, 2, even // 2, 2)
    blocks = blocks.transpose(0, 1, 3, 2, 4).reshape(a, even // 2, even // 2, 4)
    best, which = blocks.max(-1), blocks.argmax(-1)
    flat = best.ravel()
    n = min(n, int(np.isfinite(flat).sum()))
    if n == 0:
        return np.empty(0, np.int64)
    order = np.argpartition(-flat, n - 1)[:n]
    order = order[np.argsort(-flat[order], kind="stable")]
    k, row, column = np.unravel_index(order, best.shape)
    w = which.ravel()[order]
    return np.ravel_multi_index((k, 2 * row + w // 2, 2 * column + w % 2), score.shape)


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
