"""Antipodal grasp candidates from a depth image: Algorithm 1 [Mahler17, supplement §II-A].

Edges are pixels where the surface drops along the approach axis; their 2-D normals point down the drop, out of the
object. Two edges are antipodal if the line between them lies in both friction cones. The friction coefficient rises
step by step until there are candidates enough. Each pair gives grasps at several heights.

Deviations, all stated: every pair of edges within the gripper's reach is tried (Algorithm 1 draws pairs at random);
"down to the table" ends where the fingertips are above it; the drop is measured along the approach axis, so that a
tilted table is flat (along the optical axis, as in the original, where the approach is that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..camera import DepthImage
from ..errors import InvalidConfig
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from ..values import POSITIVE, expect
from .constraints import in_workspace, in_yaw_range, on_objects
from .rays import along, bounds
from .view import View


@dataclass(frozen=True)
class SamplerConfig:
    """Parameters of Algorithm 1; the defaults are the paper's (reference §8.1, §8.2)."""

    n_grasps: int = 1000
    """Candidates wanted, M."""
    gradient_threshold: float = 0.0025
    """Least drop of an edge, m per down-sampled pixel (a magnitude: reference 10.15)."""
    smoothing_px: float = 1.0
    """σ of the Gaussian before the gradient, px."""
    downsample: int = 2
    """Edges are sought in the image shrunk by this."""
    friction: tuple[float, ...] = (0.4, 0.6, 0.8, 1.0)
    """Friction coefficients tried in turn."""
    height_step: float | None = 0.01
    """Distance between the heights of one pair, m; None = one random height from ``depth_range``."""
    depth_range: tuple[float, float] = (0.005, 0.04)
    """Random depth below the surface at the centre, m (the seeds of Algorithm 2)."""
    table_clearance: float = 0.003
    """The fingertips stay at least this far above the table, m."""
    min_engagement: float = 0.003
    """The fingertips reach at least this far below the surface at the centre, m."""
    mask_margin_px: int = 3
    """Edges up to this far outside the mask count as the object's."""
    max_edges: int = 2000
    """If there are more edges, this many are drawn."""

    def __post_init__(self) -> None:
        expect(
            self, "sampler", POSITIVE, "n_grasps", "gradient_threshold", "downsample", "max_edges"
        )
        if not self.friction or list(self.friction) != sorted(self.friction):
            raise InvalidConfig(
                f"sampler friction {self.friction}: expected ascending coefficients"
            )
        if self.height_step is not None and not self.height_step >= 1e-4:
            raise InvalidConfig(
                f"sampler height_step {self.height_step}: expected at least 1e-4 m, or None"
            )
        if not self.depth_range[0] <= self.depth_range[1]:
            raise InvalidConfig(
                f"sampler depth_range {self.depth_range}: expected (least, most) in m"
            )


PAPER_SAMPLER = SamplerConfig()
"""Algorithm 1 as printed."""


class Edges(NamedTuple):
    """Edge pixels with their 2-D normals."""

    px: Float[np.ndarray, "E 2"]
    """(u, v), centre of the down-sampled pixel."""
    outward: Float[np.ndarray, "E 2"]
    """Unit, in the image, down the drop; (1, 0) where there is none."""


class Pairs(NamedTuple):
    """Two edges that face away from each other."""

    edge: Int[np.ndarray, "P 2"]
    """Rows of :class:`Edges`, first < second."""
    friction: Float[np.ndarray, "P"]
    """Least coefficient at which the pair is antipodal."""
    n_tried: int
    """How many pairs lay within reach."""


class Sample(NamedTuple):
    """Candidates, and how many of what there were on the way."""

    grasps: PlanarGrasp
    counts: dict[str, int]


def sample_grasps(
    view: View,
    gripper: GripperModel,
    rng: np.random.Generator,
    config: SamplerConfig = PAPER_SAMPLER,
) -> Sample:
    """Draw antipodal grasp candidates from what is seen.

    Args:
        view: the image and its table, objects and approach.
        gripper: its stroke bounds the pairs, its tips the depth; the grasps are as wide as its stroke.
        rng: random state.
        config: Algorithm 1's parameters.

    Returns:
        At most ``n_grasps`` candidates, unconstrained but for the width and the table, and how many edges, pairs within
        reach, antipodal pairs, pairs within the stroke, and heights (at the friction that gave enough) there were.
    """
    edges = find_edges(view.filled, view.approach_axis, _edge_region(view, gripper, config), config)
    counts = {"edges": len(edges.px)}
    if len(edges.px) > config.max_edges:
        chosen = np.sort(rng.choice(len(edges.px), config.max_edges, replace=False))
        edges = Edges(edges.px[chosen], edges.outward[chosen])
    reach = _reach_px(view.filled, edges, gripper.max_width)
    pairs = find_pairs(edges, reach, config.friction[-1])
    counts |= {"pairs": pairs.n_tried, "antipodal": len(pairs.edge)}
    lifted = _lift(view, gripper, edges, pairs)
    counts |= {"in_width": len(lifted.friction)}
    if _narrowed(view) or view.request.workspace is not None or view.request.yaw_range is not None:
        grasp = lifted.grasps(view, gripper)
        may = in_workspace(view, grasp) & in_yaw_range(view, grasp)
        may[may] = on_objects(view, grasp[may].to_planar(view.image.intrinsics))
        lifted = lifted.some(may)
        counts |= {"in_request": len(lifted.friction)}
    ladder = _heights(view, gripper, lifted, rng, config)
    friction = lifted.friction[ladder.pair]
    level = next(
        (m for m in config.friction if np.count_nonzero(friction <= m) >= config.n_grasps),
        config.friction[-1],
    )
    chosen = np.flatnonzero(friction <= level)
    counts |= {"heights": len(chosen)}
    chosen = chosen[rng.permutation(len(chosen))[: config.n_grasps]]
    if (
        config.height_step is None and 0 < len(chosen) < config.n_grasps
    ):  # few pairs: more depths of each
        chosen = rng.choice(chosen, config.n_grasps)
        ladder = _heights(view, gripper, lifted, rng, config, ladder.pair[chosen])
        chosen = np.arange(len(ladder.pair))
    some = lifted.some(ladder.pair[chosen])
    some = some._replace(center=some.center + ladder.below[chosen, None] * view.approach_axis)
    # m: heights above the surface may lie behind the camera
    some = some.some(some.center[:, 2] > 0.01)
    grasps = some.grasps(view, gripper).to_planar(view.image.intrinsics)
    return Sample(grasps, counts | {"sampled": len(grasps)})


def _narrowed(view: View) -> bool:
    """Whether the centre is asked to lie in less than all of what may be grasped."""
    return view.request.box_px is not None or view.request.target_px is not None


def _edge_region(
    view: View, gripper: GripperModel, config: SamplerConfig
) -> Bool[np.ndarray, "H W"] | None:
    """Where edges count: on the objects, and around what the centre is asked to lie in as far as a jaw reaches."""
    if not _narrowed(view) or view.objects is None or not view.objects.any():
        return near(view.objects, config.mask_margin_px)
    camera = view.image.intrinsics
    nearest = max(float(view.filled.depth[view.objects].min()), 0.1)
    half = int(np.ceil(gripper.max_width / 2 * max(camera.fx, camera.fy) / nearest))
    region, mask = near(view.objects, half), near(view.request.mask, config.mask_margin_px)
    return region if mask is None else region & mask


def find_edges(
    filled: DepthImage,
    approach_axis: Float[np.ndarray, "3"],
    region: Bool[np.ndarray, "H W"] | None,
    config: SamplerConfig,
) -> Edges:
    """Find where the surface drops: ‖∇(a·p)‖ > threshold after smoothing and shrinking.

    Missing depth is no edge (reference 10.47): a pixel whose smoothing or gradient touches any is left out.
    """
    import cv2  # heavy: loaded with the first image

    rate = config.downsample
    rows, columns = _edge_window(filled, region, config)
    if min(rows.stop - rows.start, columns.stop - columns.start) < 2 * rate:
        return Edges(np.empty((0, 2)), np.empty((0, 2)))
    smooth = along(filled, approach_axis, (rows, columns))
    if sigma := config.smoothing_px:
        side = 2 * int(4 * sigma + 0.5) + 1  # to 4 σ
        smooth = cv2.GaussianBlur(
            smooth, (side, side), sigma, sigmaY=sigma, borderType=cv2.BORDER_REFLECT
        )
    height, width = (s // rate for s in smooth.shape)
    small = cv2.resize(
        smooth[: height * rate, : width * rate], (width, height), interpolation=cv2.INTER_AREA
    )
    dv, du = np.gradient(small)
    strong = du * du + dv * dv > np.float32(config.gradient_threshold**2)
    if not filled.valid[rows, columns].all():
        reach = 2 * (int(np.ceil(4 * config.smoothing_px)) + rate) + 1
        missing = (~filled.valid[rows, columns]).view(np.uint8)
        touched = cv2.dilate(missing, np.ones((reach, reach), np.uint8))
        strong &= touched[: height * rate : rate, : width * rate : rate] == 0
    if region is not None:
        strong &= region[rows, columns][: height * rate : rate, : width * rate : rate]
    v, u = np.nonzero(strong)
    v, u = v * rate, u * rate
    outward = _gradient_at(smooth, v, u)
    length = np.linalg.norm(outward, axis=-1, keepdims=True)
    outward = np.where(length > 0, outward / np.where(length > 0, length, 1.0), [1.0, 0.0])
    px = np.stack([u + columns.start, v + rows.start], -1) + (rate - 1) / 2
    return Edges(px, outward)


def _edge_window(
    image: DepthImage, region: Bool[np.ndarray, "H W"] | None, config: SamplerConfig
) -> tuple[slice, slice]:
    """Rows and columns that decide about the edges in a region: around it, as far as smoothing and gradient reach."""
    height, width = image.depth.shape
    if region is None:
        return slice(0, height), slice(0, width)
    rows, columns = bounds(region)
    rate = config.downsample
    reach = rate * int(np.ceil((4 * config.smoothing_px + 2) / rate + 2))

    def around(part: slice, size: int) -> slice:
        # the grid of down-sampled pixels begins at the image's corner
        begin = max((part.start - reach) // rate * rate, 0)
        return slice(begin, min(part.stop + reach, size) if part.stop > part.start else begin)

    return around(rows, height), around(columns, width)


def find_pairs(edges: Edges, max_distance_px: float, max_friction: float) -> Pairs:
    """Find all antipodal pairs nearer than ``max_distance_px``.

    A pair is antipodal at μ if three angles are below atan μ: between its line and either normal, and between one
    normal and the other's opposite (Algorithm 1 and reference §8.2, steps 5 and 6). Returned is the least such μ.
    """
    n, n_tried = len(edges.px), 0
    empty = Pairs(np.empty((0, 2), np.int64), np.empty(0), 0)
    if n < 2 or not max_distance_px > 0:
        return empty
    least = np.cos(np.arctan(max_friction))
    # half pixels, measured from their middle: their squares are exact in float64
    px = edges.px - np.rint(edges.px.mean(0))
    square, found, n_tried = (px**2).sum(-1), [], 0
    for begin in range(0, n, ROWS):
        # every pair once: with the edges after it
        part, rest = slice(begin, begin + ROWS), slice(begin, n)
        distance = square[part, None] + square[rest] - 2 * (px[part] @ px[rest].T)
        near = np.triu(distance < max_distance_px**2, 1)
        n_tried += int(np.count_nonzero(near))
        near &= edges.outward[part] @ edges.outward[rest].T < -least
        found.append(np.stack(np.divmod(np.flatnonzero(near), n - begin), -1) + begin)
    index = np.concatenate(found)
    line = edges.px[index[:, 1]] - edges.px[index[:, 0]]
    line /= np.sqrt((line**2).sum(-1, keepdims=True))
    n1, n2 = edges.outward[index[:, 0]], edges.outward[index[:, 1]]
    cosine = np.minimum(-(n1 * line).sum(-1), (n2 * line).sum(-1))
    cosine = np.minimum(cosine, -(n1 * n2).sum(-1))
    keep = cosine > least
    friction = np.sqrt(np.maximum(1 / cosine[keep] ** 2 - 1, 0))  # tan of the angle
    return Pairs(index[keep], friction, n_tried)


MAX_SUNK = 0.1
"""Depths are tried until the palm is this far below the surface at the pair's middle, m: what lies between two edges
may be lower than they are."""
ROWS = 256
"""Edges that are compared with all at a time: no more memory than that for all pairs of thousands."""


def near(objects: Bool[np.ndarray, "H W"] | None, margin_px: int) -> Bool[np.ndarray, "H W"] | None:
    """Widen a mask by ``margin_px`` pixels."""
    if objects is None or margin_px <= 0:
        return objects
    import cv2

    margin_px = min(margin_px, max(objects.shape))  # a near camera's stroke is wider than any image
    kernel = np.ones((2 * margin_px + 1, 2 * margin_px + 1), np.uint8)
    return cv2.dilate(objects.astype(np.uint8), kernel) > 0


class _Ladder(NamedTuple):
    pair: Int[np.ndarray, "L"]
    below: Float[np.ndarray, "L"]
    """Depth of the grasp's centre below the surface along the approach axis, m."""


def _gradient_at(
    image: Float[np.ndarray, "H W"], v: Int[np.ndarray, "E"], u: Int[np.ndarray, "E"]
) -> Float[np.ndarray, "E 2"]:
    """The same at some pixels."""
    height, width = image.shape
    left, right = np.maximum(u - 1, 0), np.minimum(u + 1, width - 1)
    above, below = np.maximum(v - 1, 0), np.minimum(v + 1, height - 1)
    du = (image[v, right].astype(float) - image[v, left]) / np.maximum(right - left, 1)
    dv = (image[below, u].astype(float) - image[above, u]) / np.maximum(below - above, 1)
    return np.stack([du, dv], -1)


def _reach_px(image: DepthImage, edges: Edges, max_width: float) -> float:
    """Longest the gripper's stroke can look: at the nearest edge."""
    if len(edges.px) == 0:
        return 0.0
    u, v = edges.px.astype(np.int64).T
    depth = image.depth[v, u]
    nearest = depth[depth > 0].min(initial=np.inf)
    return max(image.intrinsics.fx, image.intrinsics.fy) * max_width / max(nearest - 0.05, 0.1)


class _Lifted(NamedTuple):
    """Pairs in space: P of them, camera frame."""

    center: Float[np.ndarray, "P 3"]
    """On the surface, m."""
    line: Float[np.ndarray, "P 3"]
    """From edge to edge, across the approach, m."""
    friction: Float[np.ndarray, "P"]

    def some(self, which: np.ndarray) -> _Lifted:
        """Return some rows."""
        return _Lifted(self.center[which], self.line[which], self.friction[which])

    def grasps(self, view: View, gripper: GripperModel) -> Grasp:
        """Close along the lines."""
        if len(self.center) == 0:
            return Grasp(np.empty((0, 4, 4)), np.empty(0))
        return Grasp.from_axes(self.center, self.line, view.approach_axis, gripper.max_width)


def _lift(view: View, gripper: GripperModel, edges: Edges, pairs: Pairs) -> _Lifted:
    """Put pixel pairs onto the surface; drop those too wide for the gripper.

    Both pixels' rays are cut with the plane across the approach axis through the surface at the pair's midpoint.
    """
    intrinsics, a = view.filled.intrinsics, view.approach_axis
    first, second = edges.px[pairs.edge[:, 0]], edges.px[pairs.edge[:, 1]]
    middle = (first + second) / 2
    u, v = middle.astype(np.int64).T
    right = np.minimum(u + 1, intrinsics.width - 1)
    row, below = v * intrinsics.width, np.minimum(v + 1, intrinsics.height - 1) * intrinsics.width
    # the nearest of the 2×2 pixels around the midpoint (reference §8.2, step 9)
    depth = view.filled.depth.ravel()
    depth = np.where(depth > 0, depth, np.float32(np.inf)) if not view.filled.valid.all() else depth
    corners = [depth.take(row + u), depth.take(row + right), depth.take(below + u)]
    surface = np.minimum.reduce([*corners, depth.take(below + right)])
    ray = intrinsics.deproject(edges.px, np.ones(len(edges.px)))
    slope = ray @ a
    ray = (
        ray / np.where(slope > 1e-3, slope, np.nan)[:, None]
    )  # to where it is 1 along the approach
    with np.errstate(invalid="ignore"):  # no surface, or a ray that never meets it: nan
        along = surface * (intrinsics.deproject(middle, np.ones(len(middle))) @ a)
        one, other = ray[pairs.edge[:, 0]], ray[pairs.edge[:, 1]]
        opening = along * np.sqrt(((other - one) ** 2).sum(-1))
        fits = (opening > max(gripper.min_width, 1e-4)) & (opening < gripper.max_width)
    one, other, along = one[fits], other[fits], along[fits, None]
    return _Lifted((one + other) / 2 * along, (other - one) * along, pairs.friction[fits])


def _heights(
    view: View,
    gripper: GripperModel,
    lifted: _Lifted,
    rng: np.random.Generator,
    config: SamplerConfig,
    pair: Int[np.ndarray, "L"] | None = None,
) -> _Ladder:
    """Choose depths below the surface for each pair, down to where the tips meet the table or the palm the object.

    The lowest rung is where the tips are ``table_clearance`` above the table, or the palm :data:`MAX_SUNK` below the
    surface. On an object flatter than the fingers' overhang it lies above the surface, and counts while the tips still
    engage. Without a table the ladder ends at the end of ``depth_range``.
    """
    pair = np.arange(len(lifted.center)) if pair is None else pair
    deepest = np.full(len(pair), config.depth_range[1])
    if view.table is not None:
        surface = view.table.height(lifted.center[pair])
        lowest = max(config.table_clearance, (view.request.min_height or 0.0) + 1e-4)
        deepest = surface - gripper.tip_overhang - lowest
        # far above the table the palm meets the object long before the tips meet the table
        deepest = np.minimum(deepest, gripper.finger_depth - gripper.tip_overhang + MAX_SUNK)
    keep = deepest + gripper.tip_overhang >= config.min_engagement
    pair, deepest = pair[keep], deepest[keep]
    if config.height_step is None:
        high = np.minimum(config.depth_range[1], deepest)
        low = np.minimum(config.depth_range[0], high)
        return _Ladder(pair, rng.uniform(low, high))
    # rungs at 0, δ, 2δ … above the deepest, and the deepest itself
    n_rungs = np.maximum(np.ceil(deepest / config.height_step - 1e-9).astype(np.int64), 0)
    index = np.repeat(np.arange(len(pair)), n_rungs + 1)
    start = np.repeat(np.cumsum(n_rungs + 1) - (n_rungs + 1), n_rungs + 1)
    rung = np.arange(len(index)) - start
    return _Ladder(pair[index], np.minimum(rung * config.height_step, deepest[index]))
