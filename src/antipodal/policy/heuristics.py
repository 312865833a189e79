"""Planners without learning: chance, the centroid rule (IGQ), and the geometry that the image shows.

Chance and IGQ are the paper's baselines (reference §8.5), which do not look for obstacles; the geometric planner is the
best that we can do without labels, and a stand-in where there is no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..grasp import PlanarGrasp
from ..gripper import GripperModel
from .base import Plan, Policy, QualityFn
from .cem import WIDE_SEEDS, CEMConfig, cem_policy
from .closing import Closing, close_jaws
from .constraints import ConstraintConfig, tip_height
from .image_sampler import PAPER_SAMPLER, SamplerConfig
from .rank import rank_policy
from .request import Asked, as_request
from .seen import see_objects
from .view import View
from .view_quality import Score, ViewQuality, last_view

PAPER_CONSTRAINTS = ConstraintConfig(check_obstacles=False)
"""As published: in the image, on the object, above the table; fingers and palm are not checked against the image."""
IGQ_SAMPLER = SamplerConfig(height_step=None, depth_range=(0.01, 0.01))
"""Algorithm 1's pairs at one fixed depth below the centre's pixel, or the deepest that the table allows. The paper does
not give the depth: at 1 cm the YuMi's tips reach 22 mm below the surface and its palm stays 8 mm above."""
GEOMETRIC_SEARCH = CEMConfig(n_seeds=200, n_iterations=4, n_resamples=80)
"""The geometric quality costs little: twice the paper's seeds, one round more, and 80 draws in each instead of 50."""


@dataclass(frozen=True)
class GeometricConfig:
    """Chances as functions of lengths; the numbers are read off labelled grasps on noisy images of training objects."""

    finger_room: float = 0.001
    """Clearance of a finger at which it lands free every other time, m: what the image and the robot err by."""
    finger_sigma: float = 0.003
    """How fast that chance changes, m."""
    palm_room: float = -0.0035
    """The same for the palm above the object, m; below 0, because few points of the image say more than they should."""
    palm_sigma: float = 0.004
    """m."""
    table_room: float = 0.001
    """The same for the tips above the table, m."""
    table_sigma: float = 0.0024
    """m."""
    slope: float = 1.2
    """Tangent of the contacts' slant at which the chance to hold has fallen to 1/e."""
    coverage_power: float = 3.0
    """Power of the share of the jaw's width that meets the object."""
    engagement: float = 0.01
    """Depth of the tips below the object's top at which the chance to hold has risen to 1 − 1/e, m."""
    lever: float = 0.12
    """Distance of the centroid from the line between the jaws at which the chance to hold has fallen to 1/e, m."""
    power: float = 0.4
    """Of the product of all chances: they fail together, so that their product says too little."""
    penetration: float = 0.002
    """Points less than this above the tips are not in the way, and not between the jaws, m."""


DEFAULT_GEOMETRIC = GeometricConfig()
"""For a robot and a depth camera that err by 2 mm each."""


def centroid_quality(mask: Bool[np.ndarray, "H W"] | None = None) -> QualityFn:
    """Score by nearness to the mask's centroid: the image-based heuristic IGQ [Mahler17, §VI-C].

    q = exp(−d / 100 px). Without a mask the centroid is that of what stands on the table, or the image's centre.
    """

    def quality(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
        region = last_view(image).objects if mask is None else mask
        if region is None or not region.any():
            region = np.ones(image.depth.shape, bool)
        v, u = np.nonzero(region)
        distance = np.linalg.norm(grasps.center_px - [u.mean(), v.mean()], axis=-1)
        return np.exp(-distance / 100.0)

    return quality


def random_policy(gripper: GripperModel) -> Policy:
    """Build the paper's random baseline: one of Algorithm 1's candidates, at a random height [Mahler17, §VI-C].

    The sampler returns them in random order; all have q = ½, because chance knows nothing.
    """

    def chance(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
        return np.full(len(grasps), 0.5)

    return rank_policy(chance, gripper, PAPER_SAMPLER, PAPER_CONSTRAINTS)


def centroid_policy(gripper: GripperModel) -> Policy:
    """Build IGQ as a policy: of the antipodal candidates, the one nearest to the centroid of each image's own mask."""

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        quality = centroid_quality(as_request(asked).mask)
        return rank_policy(quality, gripper, IGQ_SAMPLER, PAPER_CONSTRAINTS)(image, asked, rng)

    return policy


@dataclass(frozen=True, eq=False)
class GeometricQuality(ViewQuality):
    """The chance that the hand gets there and that the object stays, from the geometry that the image shows.

    q = (Π_fingers Φ(clearance) · Φ(palm's room) · Φ(tips' height) · exp(−slope²) · coverage³ · (1 − exp(−engagement²))
    · exp(−lever²))^0.4, every length in units of the config's.
    """

    gripper: GripperModel
    config: GeometricConfig = DEFAULT_GEOMETRIC

    def at(self, view: View) -> Score:
        """Look at a view's objects; then score any number of its grasps."""
        chance = geometric_chance(view, self.gripper, self.config)
        return lambda grasps: chance(grasps)[0] ** self.config.power


def geometric_chance(
    view: View, gripper: GripperModel, config: GeometricConfig = DEFAULT_GEOMETRIC
) -> Callable[[PlanarGrasp], tuple[Float[np.ndarray, "N"], Closing]]:
    """Look at a view's objects; return what gives N grasps' chance that the hand gets there and the object stays."""
    seen = see_objects(view)

    def chance(grasps: PlanarGrasp) -> tuple[np.ndarray, Closing]:
        grasps_camera = grasps.to_grasp(view.image.intrinsics, view.approach_axis)
        closing = close_jaws(view, seen, grasps_camera, gripper, config.penetration)
        tips = tip_height(view, grasps_camera, gripper)
        return reach_chance(closing, tips, config) * hold_chance(closing, config), closing

    return chance


def reach_chance(
    closing: Closing, tips: Float[np.ndarray, "N"], config: GeometricConfig = DEFAULT_GEOMETRIC
) -> Float[np.ndarray, "N"]:
    """Chance that fingers and palm meet neither object nor table on the way in.

    Args:
        closing: what the jaws meet.
        tips: height of the tips above the table, m; inf where there is none.
        config: lengths.
    """
    fingers = _normal((closing.clearance - config.finger_room) / config.finger_sigma).prod(-1)
    palm = _normal((closing.palm_room - config.palm_room) / config.palm_sigma)
    return fingers * palm * _normal((tips - config.table_room) / config.table_sigma)


def hold_chance(
    closing: Closing, config: GeometricConfig = DEFAULT_GEOMETRIC
) -> Float[np.ndarray, "N"]:
    """Chance that the closed jaws keep the object."""
    slant = np.exp(-((closing.slope.max(-1) / config.slope) ** 2))
    deep = 1.0 - np.exp(-((np.maximum(closing.engagement, 0) / config.engagement) ** 2))
    lever = np.exp(-((closing.lever / config.lever) ** 2))
    return slant * closing.coverage**config.coverage_power * deep * lever


def geometric_policy(gripper: GripperModel) -> Policy:
    """Build the strongest planner that does not learn: the geometric quality, searched by the cross-entropy method."""
    return cem_policy(GeometricQuality(gripper), gripper, GEOMETRIC_SEARCH, WIDE_SEEDS)


def _normal(x: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """Φ(x). For some hundred numbers; SciPy's would be loaded first, in a fifth of a second of the first plan."""
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(-x / math.sqrt(2)), float) / 2
