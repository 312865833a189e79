"""Where a robot's flange goes: pre-grasp, grasp and lift.

Frames: ``grasp`` (between the jaws) ← ``gripper`` (the hand's own base) ← ``flange`` (what the arm's controller moves).

    T_base_flange = T_base_camera · T_camera_grasp · T_gripper_grasp⁻¹ · T_flange_gripper⁻¹
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from . import transforms
from .errors import InvalidConfig
from .grasp import Grasp
from .gripper import GripperModel
from .values import rigid


@dataclass(frozen=True, eq=False)
class Waypoints:
    """Poses of the flange for N grasps, or for one, in the frame of the grasps' parent: the camera, or the base."""

    T_parent_flange_pre_grasp: Float[np.ndarray, "*batch 4 4"]
    """Jaws open, ``approach_distance`` before the grasp along its approach."""
    T_parent_flange_grasp: Float[np.ndarray, "*batch 4 4"]
    """Where the jaws close."""
    T_parent_flange_lift: Float[np.ndarray, "*batch 4 4"]
    """Jaws closed, ``lift_height`` further up."""
    width: Float[np.ndarray, "*batch"]
    """Opening of the jaws until they close, m."""

    def to_json(self) -> dict[str, Any]:
        """Return ``{"pre_grasp", "grasp", "lift", "width"}`` as nested lists."""
        return {
            "pre_grasp": self.T_parent_flange_pre_grasp.tolist(),
            "grasp": self.T_parent_flange_grasp.tolist(),
            "lift": self.T_parent_flange_lift.tolist(),
            "width": self.width.tolist(),
        }


def waypoints(
    grasps_camera: Grasp,
    gripper: GripperModel,
    T_base_camera: transforms.Transform | None = None,
    T_flange_gripper: transforms.Transform | None = None,
    approach_distance: float = 0.1,
    lift_height: float = 0.1,
    up: ArrayLike | None = None,
) -> Waypoints:
    """Turn grasps into what an arm is told: three straight moves of its flange.

    Between pre-grasp and grasp the hand moves along the approach axis, which is the way that a plan has found free; it
    lifts along ``up``. The turn of the hand by π about the approach, which swaps the jaws, is the caller's to choose.

    Args:
        grasps_camera: one or N, as ``plan.grasps.to_grasp(image.intrinsics, plan.approach_axis)`` gives them.
        gripper: its ``T_gripper_grasp`` is the tool's offset.
        T_base_camera: pose of the camera in the robot's base, from the calibration; the answer is then in the base
            frame, without it in the camera's.
        T_flange_gripper: pose of the hand's base on the flange: adapters and sensors between them; none = none.
        approach_distance: from pre-grasp to grasp, m.
        lift_height: from grasp to lift, m.
        up: direction of the lift in the answer's frame; without it, z of the base, or back along the approach.

    Raises:
        InvalidConfig: a distance that is not positive, a transform that is not rigid, or an ``up`` that is zero.
    """
    for name, value in (("approach_distance", approach_distance), ("lift_height", lift_height)):
        if not 0 < value < np.inf:
            raise InvalidConfig(f"{name} {value}: expected a positive number of metres")
    base = None if T_base_camera is None else rigid(T_base_camera, "T_base_camera", ndim=2)
    offset = np.eye(4) if T_flange_gripper is None else T_flange_gripper
    offset = rigid(offset, "T_flange_gripper", ndim=2)
    grasps = grasps_camera if base is None else grasps_camera.in_frame(base)
    T_parent_flange = gripper.T_parent_gripper(grasps) @ transforms.inverse(offset)
    if up is None and base is None:
        upward = -grasps.approach_axis
    else:
        given = np.asarray([0.0, 0.0, 1.0] if up is None else up, float)
        length = float(np.linalg.norm(given))
        if given.shape != (3,) or not 0 < length < np.inf:
            raise InvalidConfig(f"up {given.tolist()}: expected a direction of three numbers")
        upward = given / length
    return Waypoints(
        _moved(T_parent_flange, -approach_distance * grasps.approach_axis),
        T_parent_flange,
        _moved(T_parent_flange, lift_height * upward),
        grasps.width,
    )


def _moved(T: Float[np.ndarray, "*batch 4 4"], by: Float[np.ndarray, "*batch 3"]) -> np.ndarray:
    """Shift poses by vectors of their parent frame."""
    moved = np.array(T)
    moved[..., :3, 3] += by
    return moved
