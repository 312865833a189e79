"""What the benchmark asks of a planner: an observation in, ranked grasps in the world frame out.

Rows of the table by name: :func:`antipodal.bench.rows.make_planner`. An outsider's function joins with three lines, see
``examples/04_bring_your_own_planner.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..errors import InvalidConfig
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..policy.base import Policy
from ..values import rigid

Knows = Literal["image", "mesh", "pose"]
"""What a planner is told: the image alone; the object's mesh too; the mesh and its pose."""


@dataclass(frozen=True, eq=False)
class Observation:
    """What a planner gets to see of a trial. Never the friction, never the execution error."""

    image: DepthImage
    """Noisy, with holes, with its ``T_world_camera``."""
    mask: Bool[np.ndarray, "H W"]
    """Pixels of the object; optional use."""
    gripper: GripperModel
    mesh: TriMesh | None = None
    """Only for planners that know "mesh" or "pose"."""
    T_world_obj: Float[np.ndarray, "4 4"] | None = None
    """Only for planners that know the "pose"."""

    def __post_init__(self) -> None:
        if self.image.T_world_camera is None:
            raise InvalidConfig("observation without T_world_camera: expected the camera's pose")
        mask = np.array(self.mask, bool)
        mask.setflags(write=False)  # every planner sees the same one
        object.__setattr__(self, "mask", mask)
        if self.T_world_obj is not None:
            T_world_obj = rigid(self.T_world_obj, "observation T_world_obj", ndim=2)
            object.__setattr__(self, "T_world_obj", T_world_obj)


class Ranked(NamedTuple):
    """What a planner answers; empty, with its reason, where it finds nothing."""

    grasps_world: Grasp
    """(N), best first."""
    quality: Float[np.ndarray, "N"]
    """Predicted probability of success in [0, 1], as the planner says it; of an image planner descending."""
    reason: str | None = None
    """Why there is no grasp."""


class Planner(Protocol):
    """One row of the table."""

    @property
    def knows(self) -> Knows:
        """What the runner hands over."""
        ...

    def __call__(self, observation: Observation, rng: np.random.Generator) -> Ranked:
        """Plan one trial."""
        ...


@dataclass(frozen=True)
class FunctionPlanner:
    """A planner made of a function and of what it is told."""

    function: Callable[[Observation, np.random.Generator], Ranked]
    knows: Knows = "image"

    def __call__(self, observation: Observation, rng: np.random.Generator) -> Ranked:
        """Call the function."""
        return self.function(observation, rng)


def no_grasp(reason: str) -> Ranked:
    """Return an answer without grasps."""
    return Ranked(Grasp(np.empty((0, 4, 4)), np.empty(0)), np.empty(0), reason)


def image_planner(policy: Policy) -> Planner:
    """Make a planner of a policy: its planar grasps are lifted along its own approach axis into the world."""

    def plan(observation: Observation, rng: np.random.Generator) -> Ranked:
        image = observation.image
        planned = policy(image, observation.mask, rng)
        if len(planned.grasps) == 0:
            return no_grasp(planned.reason or "the plan is empty")
        grasps_camera = planned.grasps.to_grasp(image.intrinsics, planned.approach_axis)
        assert image.T_world_camera is not None  # Observation has checked it
        return Ranked(
            grasps_camera.in_frame(image.T_world_camera), np.asarray(planned.quality, float)
        )

    return FunctionPlanner(plan)
