"""Rows that know the mesh: the oracle, which knows its pose too, and REG, which registers it [Mahler17, §VI-C].

The oracle takes the best collision-free grasp by robust ε on the true pose: the ceiling of the label. REG takes the
best on the pose that it estimates. The paper finds that pose with AlexNet features and refines it by ICP. Here every
stable pose and yaw is rendered and compared, which needs no training and is exact up to the object's symmetries
(:mod:`antipodal.bench.registration`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..dataset.schema import SUCCESS_THRESHOLD
from ..gripper import GripperModel
from ..stable_pose import stable_poses
from .oracle import OracleConfig, oracle_grasps
from .planner import FunctionPlanner, Observation, Planner, Ranked, no_grasp
from .registration import DEFAULT_REGISTRATION, RegistrationConfig, register

N_REMEMBERED = 4
"""Objects whose stable poses are kept: a benchmark runs the trials of one object in a row."""


def oracle_planner(gripper: GripperModel) -> Planner:
    """Build the planner that knows everything but the friction and the execution error."""

    def plan(observation: Observation, rng: np.random.Generator) -> Ranked:
        assert observation.mesh is not None and observation.T_world_obj is not None
        found = oracle_grasps(observation.mesh, observation.T_world_obj, gripper, rng)
        if len(found.grasps_world) == 0:
            return no_grasp("the oracle knows no collision-free grasp in this pose")
        return Ranked(found.grasps_world, quality_of(found.robust_epsilon))

    return FunctionPlanner(plan, "pose")


def registration_planner(
    gripper: GripperModel, config: RegistrationConfig = DEFAULT_REGISTRATION
) -> Planner:
    """Build a planner that knows the mesh, not the pose.

    q = 1 − 2^(−ε/δ) of the grasp on the estimated pose: ½ at the label's threshold δ.
    """
    poses_of = lru_cache(N_REMEMBERED)(stable_poses)

    def plan(observation: Observation, rng: np.random.Generator) -> Ranked:
        mesh = observation.mesh
        if mesh is None:
            return no_grasp("registration needs the mesh: the runner did not give it")
        if not observation.mask.any():
            return no_grasp("the mask is empty: nothing to register")
        found = register(mesh, observation.image, observation.mask, poses_of(mesh), config)
        if found is None:
            return no_grasp("no stable pose of the mesh, or no depth in the mask")
        best = oracle_grasps(mesh, found.T_world_obj, gripper, rng, OracleConfig())
        if len(best.grasps_world) == 0:
            return no_grasp(
                f"no collision-free grasp on the registered pose (residual {found.residual * 1e3:.1f} mm)"
            )
        return Ranked(best.grasps_world, quality_of(best.robust_epsilon))

    return FunctionPlanner(plan, "mesh")


def quality_of(epsilon: np.ndarray) -> np.ndarray:
    """Map robust ε of the oracle's grasps to [0, 1): 1 − 2^(−ε/δ), no larger than that of any grasp ranked before."""
    best_first = np.minimum.accumulate(np.maximum(epsilon, 0.0))
    return 1.0 - np.exp2(-best_first / SUCCESS_THRESHOLD)
