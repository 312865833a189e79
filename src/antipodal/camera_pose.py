"""The camera's pose in a camera file: T_world_camera, Berkeley's ``T_camera_to_world``, and what may be one.

A pose maps camera points to the world, 4×4, m. What looks like one under another name is refused, since it may be the
inverse.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from jaxtyping import Float

from . import transforms
from .errors import InvalidConfig
from .values import array

SAME_POSE = 1e-3
"""Poses are the same whose entries differ by less, those of the translation in m: files carry as few as four digits."""
POSE = re.compile(r"T_((world|base|robot)_cam\w*|cam\w*_(world|base|robot))", re.IGNORECASE)
"""Keys of a camera file that mean its pose."""
POSE_IF_MATRIX = re.compile(
    r"T_\w+_cam\w*|T_cam\w*|\w+_T_cam\w*|cam\w*_T_\w+|T_?(WC|CW|BC|CB)|(T_)?cam(era)?_?2_?\w+|"
    r"(cam(era)?_)?(pose|extrinsics?)(_\w+)?|cam(era)?_to_\w+|hand_?eye|X",
    re.IGNORECASE,
)
"""Keys that mean it where they hold a transform other than the identity, which Open3D writes for none."""


def pose_of(held: list[dict[str, Any]], name: str) -> Float[np.ndarray, "4 4"] | None:
    """Return T_world_camera as the file gives it, or None; the same one twice is fine.

    Args:
        held: the file's tables, which may each hold it.
        name: what messages call the file.

    Raises:
        InvalidConfig: two that differ, or only something else that may be the pose.
    """
    where = f"camera {name}: T_world_camera"
    given = [v["T_world_camera"] for v in held if v.get("T_world_camera") is not None]
    poses = [array(T, (4, 4), where) for T in given]
    for v in held:
        other = v.get("T_camera_to_world")
        if isinstance(other, dict):
            poses.append(_autolab_pose(other, name))
        elif poses and other is not None:
            poses.append(array(other, (4, 4), f"camera {name}: T_camera_to_world"))
    for T in poses[1:]:
        if T.shape != poses[0].shape or np.abs(T - poses[0]).max(initial=0.0) > SAME_POSE:
            raise InvalidConfig(
                f"camera {name} holds two poses that differ: expected one T_world_camera"
            )
    unclear = sorted(
        {str(k) for v in held for k, value in v.items() if _may_be_pose(str(k), value)}
    )
    if not poses and unclear:
        raise InvalidConfig(
            f"camera {name} holds {', '.join(unclear)}: expected the camera's pose in the world as T_world_camera, "
            "which maps camera points to the world; rename it, invert it (as an extrinsic is), or take it out"
        )
    return poses[0] if poses else None


def _may_be_pose(key: str, value: object) -> bool:
    """Whether an entry that is not ours looks like the camera's pose, so that to pass over it would lose it."""
    if key == "T_world_camera":
        return False
    if POSE.fullmatch(key):
        return True
    if not POSE_IF_MATRIX.fullmatch(key):
        return False
    try:
        numbers = np.array(value, float)
    except (TypeError, ValueError):  # a table, words
        return False
    if numbers.shape not in ((4, 4), (3, 4), (16,), (12,)):
        return False
    return not np.allclose(numbers.ravel()[:12], np.eye(4).ravel()[:12])


def _autolab_pose(values: dict[str, Any], name: str) -> Float[np.ndarray, "4 4"]:
    """autolab's "camera to world" maps camera points to the world: it is our T_world_camera."""
    if not {"rotation", "translation_m"} <= set(values):
        raise InvalidConfig(
            f"camera {name}: T_camera_to_world has {sorted(values)}: expected rotation and translation_m"
        )
    where = f"camera {name}: T_camera_to_world"
    rotation = array(values["rotation"], (3, 3), f"{where}.rotation")
    return transforms.from_rt(
        rotation, array(values["translation_m"], (3,), f"{where}.translation_m")
    )
