"""A network's quality, weighed by what its crop does not show.

    P(success) = σ(a + b · ln w),   w = q · G^α · exp(−c τ)

q is the network's. G is the chance that the geometric heuristic gives the grasp from the points around the hand: a
pixel of the crop is 2.5 mm, and a millimetre of room is worth knowing. τ is the torque of the object's weight about the
jaws, N·m, from the volume below what is seen of it: the crop ends 5 cm from the grasp, the object does not. Of many
grasps the best is the one that its judge overrates most, above all where nothing can be held; judges that err apart are
harder to fool, and σ makes w the probability of the grasp that is chosen, steeper than that of one drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from ..grasp import PlanarGrasp
from ..gripper import GripperModel
from ..mesh import DENSITY
from ..quality import NetworkQuality
from ..success import EXECUTION_NOISE, GRAVITY
from .base import QualityFn
from .closing import Closing
from .heuristics import geometric_chance
from .view import View
from .view_quality import Score, ViewQuality


@dataclass(frozen=True)
class WeighedConfig:
    """How much each judge counts: chosen on grasps and lifts of training objects (docs/planning.md)."""

    geometry: float = 0.2
    """α: power of the geometric chance."""
    torque: float = 2.0
    """c, 1/(N·m)."""
    density: float = DENSITY
    """kg/m³ of the volume below what is seen."""
    mass_bounds: tuple[float, float] = EXECUTION_NOISE.mass_bounds
    """What an object weighs at least and at most, kg; their geometric mean where no table tells its volume."""
    intercept: float = 2.95
    """a, …"""
    slope: float = 3.1
    """… b: fitted to what became of plans for objects of which half cannot be held (``runs/chance.py``)."""


DEFAULT_WEIGHED = WeighedConfig()
FLOOR = 1e-6
"""Least value of each factor of w: a logarithm is taken."""


@dataclass(frozen=True, eq=False)
class WeighedQuality(ViewQuality):
    """The quality of a network, of the geometry and of the weight as one probability of success."""

    quality: QualityFn
    gripper: GripperModel
    config: WeighedConfig = DEFAULT_WEIGHED

    def at(self, view: View) -> Score:
        """Look at a view's objects; then score any number of its grasps."""
        chance = geometric_chance(view, self.gripper)

        def score(grasps: PlanarGrasp) -> np.ndarray:
            # a network computes while the geometry is measured
            if isinstance(self.quality, NetworkQuality):
                answer = self.quality.start(view.image, grasps)
            else:
                answer = partial(self.quality, view.image, grasps)
            geometry, closing = chance(grasps)
            q = np.asarray(answer(), float)
            return weigh(q, geometry, weight_torque(closing, self.config), self.config)

        return score


def told_of(quality: QualityFn, gripper: GripperModel) -> QualityFn:
    """Make a network whose crop is in metres a judge of this hand's grasps, with geometry and weight beside it.

    Trained for another hand, it is told of this one (:meth:`antipodal.quality.NetworkQuality.for_gripper`). Networks of
    windows in pixels, as published, and any other function stay as they are.
    """
    if isinstance(quality, NetworkQuality) and quality.crop.window_m is not None:
        return WeighedQuality(quality.for_gripper(gripper), gripper)
    return quality


def weigh(
    quality: Float[np.ndarray, "N"],
    geometry: Float[np.ndarray, "N"],
    torque: Float[np.ndarray, "N"],
    config: WeighedConfig = DEFAULT_WEIGHED,
) -> Float[np.ndarray, "N"]:
    """P(success) from a network's quality, the geometric chance and the torque of the weight, N·m."""
    log_w = np.log(np.maximum(quality, FLOOR)) - config.torque * torque
    log_w = log_w + config.geometry * np.log(np.maximum(geometry, FLOOR))
    return 1 / (1 + np.exp(-(config.intercept + config.slope * log_w)))


def weight_torque(
    closing: Closing, config: WeighedConfig = DEFAULT_WEIGHED
) -> Float[np.ndarray, "N"]:
    """Torque of the weight of what is seen about the line between the jaws, N·m."""
    unknown = float(np.sqrt(np.prod(config.mass_bounds)))
    mass = np.clip(config.density * closing.volume, *config.mass_bounds)
    return GRAVITY * np.where(np.isnan(mass), unknown, mass) * closing.lever
