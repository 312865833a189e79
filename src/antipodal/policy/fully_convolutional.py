"""The fully convolutional policy: score every place, angle and depth, take the best [Satish19, §IV; reference §8.6].

The released policy's steps and numbers: the image inpainted; depth bins between the nearest point of the objects and
the farthest of the image; a cell counts if the pixel that it stands for lies in the mask. What no such cell can see is
not computed: the network runs on the window around the mask, with the same answers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from ..camera import DepthImage
from ..grasp import PlanarGrasp
from ..gripper import GripperModel
from ..values import AT_LEAST_ONE, expect
from .base import Plan, Policy, no_grasps
from .constraints import ConstraintConfig, check_grasps
from .finish import finished_plan
from .request import Asked
from .table import DEFAULT_TABLE, TableConfig
from .view import View, doubted, look


class DenseQualityFn(Protocol):
    """(image (H, W) m without holes, depths (D)) → quality (D, A, h, w) of every cell."""

    @property
    def window_px(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def angles(self) -> Float[np.ndarray, "A"]: ...
    def __call__(
        self, depth_image: Float[np.ndarray, "H W"], depths: Float[np.ndarray, "D"], /
    ) -> Float[np.ndarray, "D A h w"]: ...


@dataclass(frozen=True)
class FullyConvolutionalConfig:
    """Parameters of the released policy."""

    n_depths: int = 16
    """Depth bins; each stands for its centre."""
    depth_offset: float = 0.0
    """Added to the nearest depth, m."""
    n_grasps: int = 100
    """Grasps in the plan, best first."""
    constraints: ConstraintConfig | None = None
    """What a grasp must satisfy besides its quality; None = nothing, as released."""

    def __post_init__(self) -> None:
        expect(self, "fully convolutional", AT_LEAST_ONE, "n_depths", "n_grasps")


RELEASED = FullyConvolutionalConfig()
"""As released for FC-GQ-CNN 4.0."""

BLOCK = 1000
"""Cells of the sorted list that are checked at a time."""


class OutputCells(NamedTuple):
    """Cells of the network's output that stand for object pixels."""

    rows: Int[np.ndarray, "K"]
    columns: Int[np.ndarray, "K"]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First row and column, last row and column."""
        r, c = self.rows, self.columns
        return int(r.min()), int(c.min()), int(r.max()), int(c.max())


def fully_convolutional_policy(
    quality: DenseQualityFn,
    gripper: GripperModel,
    config: FullyConvolutionalConfig = RELEASED,
    table: TableConfig = DEFAULT_TABLE,
) -> Policy:
    """Build the policy. Without a mask the objects are what stands on the table.

    Args:
        quality: scores every cell of an image.
        gripper: every planned grasp approaches with its whole stroke open.
        config: the released policy's parameters.
        table: how the table is found, for the approach, the missing mask and the constraints.
    """

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        filled = image.inpaint()
        unseen = 0.0 if config.constraints is None else config.constraints.max_unseen
        view = doubted(look(image, asked, rng, table), table, unseen)
        hand = view.request.opened(gripper)
        objects = filled.valid if view.objects is None else view.objects
        cells = object_cells(objects, quality.window_px, quality.stride)
        counts = {"cells": len(cells.rows)}
        if len(cells.rows) == 0:
            return finished_plan(view, no_grasps(), np.empty(0), counts)
        depths = depth_bins(filled, objects, config)
        scored = score_cells(quality, filled, depths, cells)
        grasps, q, rejected = _best(view, hand, quality, cells, depths, scored, config)
        return finished_plan(view, grasps, q, {**counts, "sampled": scored.size, **rejected})

    return policy


def depth_bins(
    image: DepthImage, objects: Bool[np.ndarray, "H W"], config: FullyConvolutionalConfig
) -> Float[np.ndarray, "D"]:
    """Centres of the bins between the objects' nearest and the image's farthest depth, m."""
    nearest = float(image.depth[objects].min()) + config.depth_offset
    farthest = float(image.depth.max())
    step = (farthest - nearest) / config.n_depths
    return nearest + (np.arange(config.n_depths) + 0.5) * step


def object_cells(objects: Bool[np.ndarray, "H W"], window_px: int, stride: int) -> OutputCells:
    """Cells whose pixel, window / 2 behind the window's first, lies on an object."""
    half = window_px // 2
    height, width = ((s - window_px) // stride + 1 for s in objects.shape)
    if height < 1 or width < 1:
        return OutputCells(np.empty(0, np.int64), np.empty(0, np.int64))
    seen = objects[half : half + stride * height : stride, half : half + stride * width : stride]
    rows, columns = np.nonzero(seen)
    return OutputCells(rows, columns)


def score_cells(
    quality: DenseQualityFn, image: DepthImage, depths: Float[np.ndarray, "D"], cells: OutputCells
) -> Float[np.ndarray, "D A K"]:
    """Score the cells, computing no more of the image than they see."""
    r0, c0, r1, c1 = cells.box
    s, w = quality.stride, quality.window_px
    window = image.depth[s * r0 : s * r1 + w, s * c0 : s * c1 + w]
    return quality(window, depths)[:, :, cells.rows - r0, cells.columns - c0]


def _best(
    view: View,
    gripper: GripperModel,
    quality: DenseQualityFn,
    cells: OutputCells,
    depths: Float[np.ndarray, "D"],
    scored: Float[np.ndarray, "D A K"],
    config: FullyConvolutionalConfig,
) -> tuple[PlanarGrasp, Float[np.ndarray, "N"], Counter[str]]:
    """Walk the sorted cells in blocks until there are grasps enough that satisfy the constraints."""
    order = np.argsort(-scored, axis=None, kind="stable")
    center = quality.window_px // 2 + quality.stride * np.stack([cells.columns, cells.rows], -1)

    def grasps_at(some: Int[np.ndarray, "N"]) -> PlanarGrasp:
        d, a, k = np.unravel_index(some, scored.shape)
        width = np.full(len(some), gripper.max_width)
        return PlanarGrasp(center[k], quality.angles[a], depths[d], width)

    n_wanted = max(config.n_grasps, 2 * (view.request.n_grasps or 0))
    kept, rejected = order[:0], Counter[str]()
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        if config.constraints is not None or view.request.bounds_grasps:
            checked = check_grasps(view, grasps_at(block), gripper, config.constraints)
            block = block[checked.keep]
            rejected.update(checked.counts)
        kept = np.concatenate([kept, block])
        if len(kept) >= n_wanted:
            break
    kept = kept[:n_wanted]
    return grasps_at(kept), np.clip(scored.reshape(-1)[kept].astype(float), 0.0, 1.0), rejected
