"""What an object is, in numbers a user asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..gripper import GripperModel
from ..mesh import TriMesh
from ..sampling import sample_antipodal
from ..stable_pose import stable_poses

N_GRASPS = 100
"""Antipodal grasps looked for."""


def describe(mesh: TriMesh, gripper: GripperModel) -> dict[str, Any]:
    """Return size, volume, stable poses and antipodal grasps of one mesh."""
    grasps = sample_antipodal(mesh, gripper, N_GRASPS, np.random.default_rng(0))
    return {
        "name": mesh.name,
        "extents": mesh.extents.tolist(),
        "volume": mesh.volume,
        "is_watertight": mesh.is_watertight,
        "n_faces": len(mesh.faces),
        "n_stable_poses": len(stable_poses(mesh)),
        "n_grasps": len(grasps),
    }
