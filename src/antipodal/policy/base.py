"""What a planner is: two callables and the value that they exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..camera import CameraIntrinsics, DepthImage
from ..errors import InvalidConfig, NoGraspFound
from ..grasp import PlanarGrasp
from ..values import RIGID_TOLERANCE, array
from .reasons import REJECTIONS, commonest
from .request import Asked

OPTICAL_AXIS = np.array([0.0, 0.0, 1.0])
"""Approach in the camera frame where nothing is known about the table."""


class Rejected(NamedTuple):
    """Candidates that may not be executed."""

    grasps: PlanarGrasp
    """(R)."""
    reason: Int[np.ndarray, "R"]
    """Position in :data:`~antipodal.policy.reasons.REJECTIONS` of what each failed first."""


def no_grasps() -> PlanarGrasp:
    """Return an empty batch."""
    return PlanarGrasp(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0))


@dataclass(frozen=True, eq=False)
class Plan:
    """Ranked grasps, best first; empty, with its reason, where there is none."""

    grasps: PlanarGrasp
    """(N)."""
    quality: Float[np.ndarray, "N"]
    """Predicted probability of success in [0, 1], descending."""
    approach_axis: Float[np.ndarray, "3"] = field(default_factory=lambda: OPTICAL_AXIS)
    """Unit direction of every grasp's approach, camera frame: minus the table's normal where that is known."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many candidates each stage saw and rejected."""
    reason: str | None = None
    """Why the plan is empty, in words."""
    rejected: Rejected | None = None
    """Candidates that were rejected, for a picture; None where the planner does not keep them."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the image or its camera, a line each."""

    def __post_init__(self) -> None:
        q = array(self.quality, (), "plan quality")
        if not (q.ndim == 1 and self.grasps.batch_shape == q.shape):
            raise InvalidConfig(
                f"plan of grasps {self.grasps.batch_shape} with quality {q.shape}: expected (N,) of each"
            )
        if len(q) and not (q.min() >= 0 and q.max() <= 1):
            raise InvalidConfig(
                f"plan quality between {q.min():.4g} and {q.max():.4g}: expected probabilities in [0, 1]"
            )
        if (q[1:] > q[:-1]).any():
            raise InvalidConfig(
                "plan quality is not descending: expected the best grasp first; order = np.argsort(-quality) and "
                "Plan(grasps[order], quality[order]) sort it"
            )
        axis = array(self.approach_axis, (3,), "plan approach_axis")
        if axis.shape != (3,) or abs(axis @ axis - 1) > RIGID_TOLERANCE:
            raise InvalidConfig(
                f"plan approach_axis {axis.tolist()}: expected one direction of length 1 in the camera frame"
            )
        object.__setattr__(self, "quality", q)
        object.__setattr__(self, "approach_axis", axis)

    @property
    def best(self) -> PlanarGrasp:
        """The first grasp.

        Raises:
            NoGraspFound: the plan is empty; carries the rejection counts.
        """
        if len(self.grasps) == 0:
            raise NoGraspFound(self.reason or "no grasp found", self.counts)
        return self.grasps[0]

    @property
    def commonest_rejection(self) -> str | None:
        """What most candidates were rejected for, in words, also where some were not; None if none was rejected."""
        worst = commonest(self.counts)
        if worst is None:
            return None
        return f"{self.counts[worst]} candidates {REJECTIONS[worst]}"

    def to_json(self, intrinsics: CameraIntrinsics) -> dict[str, Any]:
        """Return the plan as nested lists.

        ``{"grasps": [{center_px, angle, depth, width, quality, T_camera_grasp}, …], "counts", "reason",
        "commonest_rejection", "warnings"}``; ``reason`` is null unless the plan is empty.
        """
        poses = self.grasps.to_grasp(intrinsics, self.approach_axis).pose
        return {
            "grasps": [
                {**g.to_json(), "quality": float(q), "T_camera_grasp": T.tolist()}
                for g, q, T in zip(self.grasps, self.quality, poses, strict=True)
            ],
            "counts": {k: int(v) for k, v in self.counts.items()},
            "reason": self.reason,
            "commonest_rejection": self.commonest_rejection,
            "warnings": list(self.warnings),
        }


def empty_plan(reason: str, counts: Mapping[str, int] | None = None) -> Plan:
    """Return a plan without grasps."""
    return Plan(no_grasps(), np.empty(0), counts=dict(counts or {}), reason=reason)


QualityFn = Callable[[DepthImage, PlanarGrasp], np.ndarray]
"""(image, N grasps) → (N,) predicted probability of success: a network, an analytic oracle, or chance."""

Policy = Callable[[DepthImage, Asked, np.random.Generator], Plan]
"""(image, what is asked, random state) → Plan. What is asked is a :class:`~.request.Request`, an object mask alone, or
None for any grasp."""
