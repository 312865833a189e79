"""Qualities that see more of an image than each grasp's crop: its table, its objects, where they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ..camera import DepthImage
from ..grasp import PlanarGrasp
from .view import View, look

FIT_SEED = 0
"""Random state of the plane fit where a quality is asked without a view: the same image always gets the same score."""

Score = Callable[[PlanarGrasp], np.ndarray]
"""N grasps of one view → (N,) in [0, 1]."""


class ViewQuality(ABC):
    """A :data:`~antipodal.policy.base.QualityFn` that a policy hands its own view: with its mask, looked at once."""

    @abstractmethod
    def at(self, view: View) -> Score:
        """Prepare what all grasps of a view share."""

    def __call__(self, image: DepthImage, grasps: PlanarGrasp) -> Float[np.ndarray, "N"]:
        """Score grasps of an image, whose objects are what stands on its table."""
        if len(grasps) == 0:
            return np.empty(0)
        return self.at(last_view(image))(grasps)


@lru_cache(maxsize=1)
def last_view(image: DepthImage) -> View:
    """Look at an image without a request, and remember it: a search scores the same one several times."""
    return look(image, None, np.random.default_rng(FIT_SEED))
