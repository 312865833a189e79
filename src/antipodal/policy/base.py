"""What a planner is: two callables and the value that they exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..camera import CameraIntrinsics, DepthImage
from ..errors import NoGraspFound
from ..grasp import PlanarGrasp

OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])
"""Approach in the camera frame where nothing is known about the table."""


class Plan(NamedTuple):
    """Ranked grasps, best first; empty, with its reason, where there is none."""

    grasps: PlanarGrasp
    """(N)."""
    quality: Float[np.ndarray, "N"]
    """Predicted robustness in [0, 1], descending."""
    approach_axis: Float[np.ndarray, "3"] = OPTICAL_AXIS
    """Unit direction of every grasp's approach, camera frame: minus the table's normal where that is known."""
    counts: Mapping[str, int] = {}
    """How many candidates each stage saw and rejected."""
    reason: str | None = None
    """Why the plan is empty, in words."""

    @property
    def best(self) -> PlanarGrasp:
        """The first grasp.

        Raises:
            NoGraspFound: the plan is empty; carries the rejection counts.
        """
        if len(self.grasps) == 0:
            raise NoGraspFound(self.reason or "no grasp found", self.counts)
        return self.grasps[0]

    def to_json(self, intrinsics: CameraIntrinsics) -> dict[str, Any]:
        """Return ``{"grasps": [{center_px, angle, depth, width, quality, T_camera_grasp}, …], "counts", "reason"}``."""
        poses = self.grasps.to_grasp(intrinsics, self.approach_axis).pose
        return {
            "grasps": [
                {**g.to_json(), "quality": float(q), "T_camera_grasp": T.tolist()}
                for g, q, T in zip(self.grasps, self.quality, poses, strict=True)
            ],
            "counts": {k: int(v) for k, v in self.counts.items()},
            "reason": self.reason,
        }


def empty_plan(reason: str, counts: Mapping[str, int] | None = None) -> Plan:
    """Return a plan without grasps."""
    none = PlanarGrasp(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0))
    return Plan(none, np.empty(0), counts=dict(counts or {}), reason=reason)


QualityFn = Callable[[DepthImage, PlanarGrasp], np.ndarray]
"""(image, N grasps) → (N,) predicted robustness in [0, 1]: a network, an analytic oracle, or chance."""

Policy = Callable[[DepthImage, Bool[np.ndarray, "H W"] | None, np.random.Generator], Plan]
"""(image, object mask or None, random state) → Plan."""
