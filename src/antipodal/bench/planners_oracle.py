"""Row oracle: the best collision-free grasp by robust ε on the true mesh and pose, the ceiling of the label."""

from __future__ import annotations

import numpy as np

from ..gripper import GripperModel
from .oracle import oracle_grasps
from .planner import FunctionPlanner, Observation, Planner, Ranked, no_grasp
from .planners_registration import quality_of


def oracle_planner(gripper: GripperModel) -> Planner:
    """Build the planner that knows everything but the friction and the execution error."""

    def plan(observation: Observation, rng: np.random.Generator) -> Ranked:
        assert observation.mesh is not None and observation.T_world_obj is not None
        found = oracle_grasps(observation.mesh, observation.T_world_obj, gripper, rng)
        if len(found.grasps_world) == 0:
            return no_grasp("the oracle knows no collision-free grasp in this pose")
        return Ranked(found.grasps_world, quality_of(found.robust_epsilon))

    return FunctionPlanner(plan, "pose")
