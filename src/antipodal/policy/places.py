"""Where the jaws may go: every place and angle at once, from the map across the approach axis.

All grasps of a plan share one approach axis, so that a finger's way in is a rectangle of that map, the
:mod:`~antipodal.policy.relief`, and the first surface under it a minimum filter, for every position at once. The map is
turned once for each angle, around each group of objects alone, and all angles are filtered in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..errors import InvalidConfig
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from .base import no_grasps
from .constraints import DEFAULT_CONSTRAINTS, ConstraintConfig
from .rays import along_at
from .relief import Relief
from .view import View

UNKNOWN = 1e3
"""Distance of what is not seen, or is table, m: beyond everything, but finite for the filters' arithmetic."""
APART = 10
"""Objects' cells are of one group where squares of so many cells on each side of them meet."""


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
    cells = _object_cells(view)
    if len(cells) == 0:
        return Places(no_grasps(), 0, 0)
    angles = (np.arange(config.n_angles) + 0.5) * np.pi / config.n_angles - np.pi / 2
    found = [
        _survey(view, group, cells.mean(0), angles, gripper, config, constraints)
        for group in _groups(cells, view.relief.depth.shape)
    ]
    spots = _Spots(*(np.concatenate(column) for column in zip(*(f for f, _ in found), strict=True)))
    order = np.argsort(-spots.score, kind="stable")[: config.n_cells]
    best = _Spots(*(column[order] for column in spots))
    n_clear = sum(n for _, n in found)
    return Places(_lift(view, best, gripper, config), config.n_angles * len(cells), n_clear)


class _Spots(NamedTuple):
    """Cells at an angle where the jaws may close, the best of each 2×2."""

    score: Float[np.ndarray, "S"]
    at: Float[np.ndarray, "S 2"]
    """Index into the relief, with fractions."""
    angle: Float[np.ndarray, "S"]
    """Of the closing axis about the relief's z from its x, rad."""
    tip: Float[np.ndarray, "S"]
    """Distance of the tips along the approach, m."""
    engaged: Float[np.ndarray, "S"]
    """What stands between the jaws above the tips, m."""


class _Turned(NamedTuple):
    """Maps of one size, one for each angle: rows across the closing axis, columns along it."""

    z: Float[np.ndarray, "A H W"]
    """Distance of the surface, m; with a margin around the group; ``UNKNOWN`` for table and what is not seen."""
    objects: Float[np.ndarray, "A h w"]
    """1 on the group's cells; without the margin."""
    at: Float[np.ndarray, "A h w 2"]
    """Index into the relief, with fractions; without the margin."""


def _object_cells(view: View) -> Int[np.ndarray, "K 2"]:
    """Cells of the relief into which an object's pixel fell."""
    relief, image = view.relief, view.filled
    pixels = np.flatnonzero(image.valid if view.objects is None else image.valid & view.objects)
    where = np.zeros(relief.depth.shape, bool)
    index = []
    for axis, first, n in zip(relief.R_relief_camera, relief.corner, where.shape, strict=False):
        at = along_at(image, axis / relief.cell, pixels) - np.float32(first / relief.cell)
        index.append(np.clip(at, 0, n - 1).astype(np.intp))
    where[index[0], index[1]] = True
    where[[0, -1]] = where[:, [0, -1]] = False  # outside the map
    return np.argwhere(where)


def _groups(cells: Int[np.ndarray, "K 2"], shape: tuple[int, ...]) -> list[Int[np.ndarray, "k 2"]]:
    """Part cells that lie far from each other: no map is made of the table between two objects."""
    import cv2  # heavy: loaded with the first plan

    where = np.zeros(shape, np.uint8)
    where[cells[:, 0], cells[:, 1]] = 1
    joined = cv2.dilate(where, np.ones((2 * APART + 1, 2 * APART + 1), np.uint8))
    n, labels = cv2.connectedComponents(joined)
    label = np.asarray(labels)[cells[:, 0], cells[:, 1]]
    return [cells[label == k] for k in range(1, n)]


def _survey(
    view: View,
    cells: Int[np.ndarray, "K 2"],
    middle: Float[np.ndarray, "2"],
    angles: Float[np.ndarray, "A"],
    gripper: GripperModel,
    config: DenseConfig,
    constraints: ConstraintConfig,
) -> tuple[_Spots, int]:
    """Score every cell of a group at every angle; also how many of them are clear.

    Better is where more stands between the jaws, also with the fingers thicker, and nearer to the objects' middle.
    """
    size = _Sizes.of(gripper, config, constraints, view.relief.cell)
    turned = _turn(view.relief, cells, angles, size)
    lowest = (
        np.inf if view.table is None else view.table.offset - constraints.table_clearance - 1e-4
    )
    z_tip, top, wide = _depths(turned, size, lowest, constraints.vertical_margin, gripper)
    engaged, e = z_tip - top, config.engagement
    clear = (turned.objects > 0) & (engaged >= 2 * constraints.min_engagement) & (top < UNKNOWN / 2)
    far = np.hypot(*np.moveaxis(turned.at - middle.astype(np.float32), -1, 0)) * view.relief.cell
    score = np.minimum(engaged, e) / e + 0.5 * np.clip(wide - top, 0, e) / e - 4.0 * far
    best = _best_of_blocks(np.where(clear, score, -np.inf))
    spots = _Spots(
        score[best].astype(float),
        turned.at[best].astype(float),
        angles[best[0]],
        z_tip[best].astype(float),
        engaged[best].astype(float),
    )
    return spots, int(np.count_nonzero(clear))


class _Sizes(NamedTuple):
    """The hand in cells: (along, across) the closing axis, odd, so that each has a middle."""

    finger: tuple[int, int]
    """One finger's cross-section with its lateral margin."""
    wide: tuple[int, int]
    """The same with the wide margin."""
    palms: tuple[tuple[int, int], ...]
    between: tuple[int, int]
    """What the tips' middles pass over."""
    step: int
    """From the middle to either finger."""

    @classmethod
    def of(
        cls, gripper: GripperModel, config: DenseConfig, constraints: ConstraintConfig, cell: float
    ) -> _Sizes:
        """Count the cells of a gripper, open."""

        def odd(x: float, y: float) -> tuple[int, int]:
            return max(1, round(x / cell)) | 1, max(1, round(y / cell)) | 1

        boxes = gripper.boxes(gripper.max_width)
        # a thinner wide margin than the finger's own asks for nothing
        near = constraints.lateral_margin
        x, y = gripper.jaw_thickness, gripper.jaw_width
        narrow, wide = (odd(x + 2 * m, y + 2 * m) for m in (near, max(near, config.wide_margin)))
        return cls(
            narrow,
            wide,
            tuple(odd(*size[:2]) for size in boxes.sizes[len(gripper.JAWS) :]),
            odd(gripper.max_width - 2 * cell, y / 2),
            round(float(boxes.centers[1, 0]) / cell),
        )

    @property
    def margin(self) -> tuple[int, int]:
        """Rows and columns around a cell that the hand there may meet."""
        parts = [(self.wide[0] + 2 * self.step, self.wide[1]), self.between, *self.palms]
        return max(y for _, y in parts) // 2, max(x for x, _ in parts) // 2


def _turn(
    relief: Relief, cells: Int[np.ndarray, "K 2"], angles: Float[np.ndarray, "A"], size: _Sizes
) -> _Turned:
    """Turn the relief about a group of cells, by the nearest cell."""
    import cv2  # heavy: loaded with the first plan

    cos, sin = np.cos(angles), np.sin(angles)
    column, row = np.stack([cos, sin], -1), np.stack([-sin, cos], -1)  # index per step
    along, across = cells @ column.T, cells @ row.T
    # even, for blocks of 2×2
    w, h = (2 * int(np.ceil((np.ptp(a, axis=0).max() + 1) / 2)) for a in (along, across))
    begin = ((along.min(0) + along.max(0) - w + 1) / 2)[:, None] * column
    begin = begin + ((across.min(0) + across.max(0) - h + 1) / 2)[:, None] * row
    my, mx = size.margin
    shape = (len(angles), h + 2 * my, w + 2 * mx)
    z, objects = np.empty(shape, np.float32), np.empty((len(angles), h, w), np.float32)
    on_cells = np.zeros(relief.depth.shape, np.float32)
    on_cells[cells[:, 0], cells[:, 1]] = 1.0
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    for k, corner in enumerate(begin - mx * column - my * row):
        # cv2's x is the second index
        M = np.array([column[k], row[k], corner]).T[::-1]
        cv2.warpAffine(relief.depth, M, (shape[2], shape[1]), z[k], flags, borderValue=UNKNOWN)
        M = np.array([column[k], row[k], begin[k]]).T[::-1]
        cv2.warpAffine(on_cells, M, (w, h), objects[k], flags, borderValue=0)
    down = begin[:, None] + np.arange(h)[:, None] * row[:, None]
    at = down[:, :, None] + np.arange(w)[:, None] * column[:, None, None]
    return _Turned(np.minimum(z, UNKNOWN, out=z), objects, at.astype(np.float32))


def _depths(
    turned: _Turned, size: _Sizes, lowest: float, margin: float, gripper: GripperModel
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How deep the tips may go, the top of what is between them, and how deep thicker ones may go, at most as deep.

    Args:
        turned: the maps.
        size: the hand in cells.
        lowest: deepest that a tip may go, m.
        margin: the tips stop this far above what is under them, m.
        gripper: its palm boxes' heights.
    """
    import cv2

    n, h, w = turned.objects.shape
    my, mx = size.margin

    def filtered(z: np.ndarray, kernel: tuple[int, int]) -> np.ndarray:
        # the maps lie beneath each other, a margin apart that is wider than any kernel's half
        return cv2.erode(
            z.reshape(-1, w + 2 * mx),
            np.ones(kernel[::-1], np.uint8),
            borderType=cv2.BORDER_CONSTANT,
            borderValue=UNKNOWN,
        ).reshape(z.shape)

    def inner(z: np.ndarray, by: int = 0) -> np.ndarray:
        return z[:, my : my + h, mx + by : mx + by + w]

    def deepest(under: np.ndarray) -> np.ndarray:
        return np.minimum(inner(under, -size.step), inner(under, size.step)) - np.float32(margin)

    under = filtered(turned.z, size.finger)
    more = (size.wide[0] - size.finger[0] + 1, size.wide[1] - size.finger[1] + 1)
    ceiling = np.full((n, h, w), lowest, np.float32)
    boxes = gripper.boxes(gripper.max_width)
    palms = slice(len(gripper.JAWS), None)
    for kernel, center, box in zip(
        size.palms, boxes.centers[palms], boxes.sizes[palms], strict=True
    ):
        reach = gripper.tip_overhang - (center[2] + box[2] / 2) - margin
        np.minimum(ceiling, inner(filtered(turned.z, kernel)) + np.float32(reach), out=ceiling)
    top = inner(filtered(turned.z, size.between))
    z_tip = np.minimum(deepest(under), ceiling)
    z_tip = np.where(z_tip < UNKNOWN / 2, z_tip, top + np.float32(gripper.finger_depth / 2))
    return z_tip, top, np.minimum(np.minimum(deepest(filtered(under, more)), ceiling), z_tip)


def _best_of_blocks(
    score: Float[np.ndarray, "A h w"],
) -> tuple[Int[np.ndarray, "S"], Int[np.ndarray, "S"], Int[np.ndarray, "S"]]:
    """Index of the best cell of each block of 2×2 in which there is a finite one."""
    corners = np.stack([score[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    which = corners.argmax(0)
    k, row, column = np.nonzero(corners.max(0) > -np.inf)
    corner = which[k, row, column]
    return k, 2 * row + corner // 2, 2 * column + corner % 2


def _lift(view: View, spots: _Spots, gripper: GripperModel, config: DenseConfig) -> PlanarGrasp:
    """Make grasps of places, each at every height: all at the deepest first."""
    relief, n = view.relief, config.n_heights
    xy = relief.corner + (spots.at + 0.5) * relief.cell
    up = np.arange(n)[:, None] * np.minimum(config.height_step, spots.engaged / 2)
    z = (spots.tip - up - gripper.tip_overhang).ravel()
    axis = np.stack([np.cos(spots.angle), np.sin(spots.angle), np.zeros(len(xy))], -1)
    spatial = Grasp.from_axes(
        np.column_stack([np.tile(xy, (n, 1)), z]) @ relief.R_relief_camera,
        np.tile(axis, (n, 1)) @ relief.R_relief_camera,
        view.approach_axis,
        gripper.max_width,
    )
    return spatial[spatial.center[:, 2] > 1e-3].to_planar(view.image.intrinsics)
