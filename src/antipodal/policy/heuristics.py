"""Qualities without learning: chance, the centroid rule (IGQ), and the geometry that the image shows.

Each is a factory of a ``QualityFn``. They are baselines (reference §8.5) and stand-ins where there is no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from .base import Plan, Policy, QualityFn
from .constraints import DEFAULT_CONSTRAINTS, ConstraintConfig, footprint
from .image_sampler import PAPER_SAMPLER, SamplerConfig
from .rank import rank_policy
from .view import View, look

FIT_SEED = 0
"""Random state of the plane fit inside a quality: the same image always gets the same score."""


@dataclass(frozen=True)
class GeometricConfig:
    """Scales at which the geometric quality saturates."""

    clearance: float = 0.006
    """Free space between a finger and the object that is plenty, m."""
    engagement: float = 0.012
    """Depth of the tips below the object's top that is plenty, m."""
    friction: float = 0.5
    """Slope of the contacts at which the score has fallen to 1/e."""
    spread: float = 0.04
    """Distance from the object's centroid over which the score falls, m."""
    penetration: float = 0.002
    """Points less than this above the tips are not between the jaws, m."""


DEFAULT_GEOMETRIC = GeometricConfig()
"""For household objects in a 5 to 10 cm jaw."""


class Closing(NamedTuple):
    """What the jaws meet when they close, from the relief, one row per line across the jaw."""

    gap: Float[np.ndarray, "N 2"]
    """Way of each jaw from its start to the object, m; the smallest over the jaw's width."""
    slope: Float[np.ndarray, "N"]
    """Tangent of the larger angle between closing axis and contact normal, in the plane of closing."""
    coverage: Float[np.ndarray, "N"]
    """Share of the jaw's width that meets something."""
    engagement: Float[np.ndarray, "N"]
    """Mean depth of the tips below what is between the jaws, m."""


def random_quality(rng: np.random.Generator) -> QualityFn:
    """Score by chance: the fixed-set policy with it is the paper's random baseline."""
    return lambda image, grasps: rng.uniform(size=len(grasps))


def centroid_quality(mask: Bool[np.ndarray, "H W"] | None = None) -> QualityFn:
    """Score by nearness to the mask's centroid: the image-based heuristic IGQ [Mahler17, §VI-C].

    q = exp(−d / 100 px). Without a mask the centroid is that of what stands on the table, or the image's centre.
    """
    see = _seer()

    def quality(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
        region = see(image).objects if mask is None else mask
        if region is None or not region.any():
            region = np.ones(image.depth.shape, bool)
        v, u = np.nonzero(region)
        distance = np.linalg.norm(grasps.center_px - [u.mean(), v.mean()], axis=-1)
        return np.exp(-distance / 100.0)

    return quality


def centroid_policy(
    gripper: GripperModel,
    sampler: SamplerConfig = PAPER_SAMPLER,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
) -> Policy:
    """Build IGQ as a policy: of the antipodal candidates, the one nearest to the centroid of each image's own mask."""

    def policy(
        image: DepthImage, mask: Bool[np.ndarray, "H W"] | None, rng: np.random.Generator
    ) -> Plan:
        return rank_policy(centroid_quality(mask), gripper, sampler, constraints)(image, mask, rng)

    return policy


def geometric_quality(
    gripper: GripperModel,
    config: GeometricConfig = DEFAULT_GEOMETRIC,
) -> QualityFn:
    """Score what the image shows of a grasp: room for both fingers, contacts that face the jaws, depth, centring.

    q = clearance · exp(−slope/μ) · √coverage · engagement · centring, each in [0, 1]; centring falls from 1 at the
    centroid of the object to ½ far from it, because in a pile the centroid is that of several.
    """
    see = _seer()

    def quality(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
        if len(grasps) == 0:
            return np.empty(0)
        view = see(image)
        grasps_camera = grasps.to_grasp(image.intrinsics, view.approach_axis)
        closing = close_jaws(view, grasps_camera, gripper, config.penetration)
        free = _landing(view, grasps_camera, gripper, config)
        room = np.clip(closing.gap.min(-1) / config.clearance, 0, 1) * free
        deep = np.clip(closing.engagement / config.engagement, 0, 1)
        q = (0.1 + 0.9 * room) * np.exp(-closing.slope / config.friction)
        q = q * np.sqrt(closing.coverage) * (0.1 + 0.9 * deep)
        return np.clip(q * _centring(view, grasps_camera, config.spread), 0.0, 1.0)

    return quality


def close_jaws(
    view: View, grasps_camera: Grasp, gripper: GripperModel, penetration: float = 0.002
) -> Closing:
    """Follow both jaws along the closing axis, on lines a cell apart across the jaw, to where each meets something."""
    n_x = 40
    grid = footprint(1.0, gripper.jaw_width, view.relief.cell, n_x=n_x)
    n = len(grasps_camera)
    offsets = grid * np.stack([grasps_camera.width, np.ones(n)], -1)[:, None]
    z = view.relief.averaged().around(grasps_camera, offsets).reshape(n, n_x, -1)
    y = grid.reshape(n_x, -1, 2)[0, :, 1]
    step = grasps_camera.width / n_x
    tips = gripper.tip_overhang - penetration
    solid = z < tips
    line = np.any(solid, axis=1)
    coverage = line.mean(-1)
    ways = np.stack([solid.argmax(1), solid[:, ::-1].argmax(1)], -1) * step[:, None, None]
    gap = np.where(line[..., None], ways, np.inf).min(1)
    gap = np.where(np.isfinite(gap), gap, 0.0)
    slope = np.stack([_slope(y, ways[..., k], line) for k in (0, 1)], -1)
    depth = np.where(solid, gripper.tip_overhang - z, 0.0).sum((1, 2))
    engagement = depth / np.maximum(solid.sum((1, 2)), 1)
    return Closing(gap, np.abs(slope).max(-1), coverage, engagement)


def _slope(
    y: Float[np.ndarray, "Y"], way: Float[np.ndarray, "N Y"], line: Bool[np.ndarray, "N Y"]
) -> Float[np.ndarray, "N"]:
    """Least-squares slope of the contact line way(y): the tangent of the contact normal's angle; 0 on fewer than 2."""
    weight = line / np.maximum(line.sum(-1, keepdims=True), 1)
    centred = y - (weight * y).sum(-1, keepdims=True)
    variance = (weight * centred**2).sum(-1)
    covariance = (weight * centred * way).sum(-1)
    return np.where(variance > 1e-12, covariance / np.where(variance > 1e-12, variance, 1.0), 0.0)


def _landing(
    view: View, grasps_camera: Grasp, gripper: GripperModel, config: GeometricConfig
) -> Float[np.ndarray, "N"]:
    """Share of the worse finger's landing place, widened by half the clearance, that is free."""
    boxes = gripper.boxes(grasps_camera.width)
    free = []
    for b in gripper.JAWS:
        size = boxes.sizes[0, b, :2] + config.clearance
        grid = footprint(size[0], size[1], view.relief.cell)
        z = view.relief.around(grasps_camera, boxes.centers[:, b, None, :2] + grid)
        free.append(1.0 - (z < gripper.tip_overhang - config.penetration).mean(-1))
    return np.minimum(*free)


def _centring(view: View, grasps_camera: Grasp, spread: float) -> Float[np.ndarray, "N"]:
    """Nearness, across the approach, of each centre to the centroid of the object that it is on."""
    if view.objects is None or not view.objects.any():
        return np.ones(len(grasps_camera))
    import cv2  # heavy: loaded with the first image

    n, found = cv2.connectedComponents(view.objects.astype(np.uint8))
    labels = np.asarray(found, np.int64)
    seen = view.objects & view.image.valid
    points = view.image.points_camera()[seen] @ view.relief.R_relief_camera.T
    count = np.maximum(np.bincount(labels[seen], minlength=n), 1)
    total = np.stack([np.bincount(labels[seen], points[:, i], n) for i in (0, 1)], -1)
    centroids = (total / count[:, None])[1:]
    centers = grasps_camera.center @ view.relief.R_relief_camera[:2].T
    distance = np.linalg.norm(centers[:, None] - centroids, axis=-1).min(-1)
    return 0.5 + 0.5 * np.exp(-((distance / spread) ** 2))


def _seer():
    """Remember the view of the last image: a policy scores the same one several times."""

    @lru_cache(maxsize=1)
    def see(image: DepthImage) -> View:
        return look(image, None, np.random.default_rng(FIT_SEED))

    return see
