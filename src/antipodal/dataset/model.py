"""The generative model p(S, u, x, y) as one frozen configuration, and its presets [Mahler17, §IV-A, table I]."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..alignment import MAX_APPROACH_TABLE_ANGLE
from ..collision import CollisionConfig
from ..crop import CropConfig
from ..errors import InvalidConfig
from ..render.scene import RELEASE2017_CAMERA, CameraDistribution, PoseDistribution
from ..robust import Perturbation
from ..sampling import SamplingConfig
from ..stable_pose import MIN_PROBABILITY

MAX_POSES = 64
"""Stable poses of one object that a data set can number: pose_id = object_id · MAX_POSES + pose."""


@dataclass(frozen=True)
class GenerativeModel:
    """Every number that decides what a data set contains, apart from objects, gripper and seed."""

    n_grasps: int = 100
    """Antipodal grasps per object, at most."""
    n_jittered: int = 0
    """Perturbed grasps per stable pose, at most: near misses that the original's data lack; the paper has none."""
    images_per_pose: int = 50
    """Rendered images per stable pose."""
    rescale_to: float | None = 0.04
    """Smallest side of the bounding box after scaling, m; None keeps real sizes (reference §2.5)."""
    min_pose_probability: float = MIN_PROBABILITY
    """Stable poses less probable than this are left out."""
    max_poses: int = MAX_POSES
    """Stable poses per object; of more, this many are drawn by their probability."""
    max_approach_table_angle: float = MAX_APPROACH_TABLE_ANGLE
    """Grasps whose closing axis is tilted more against the table are left out, rad (reference §3.4)."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    perturbation: Perturbation = field(default_factory=Perturbation)
    collision: CollisionConfig = field(default_factory=CollisionConfig)
    camera: CameraDistribution = field(default_factory=CameraDistribution)
    placement: PoseDistribution = field(default_factory=PoseDistribution)
    crop: CropConfig = field(default_factory=CropConfig)

    def __post_init__(self) -> None:
        limits = {"n_grasps": (1, 1000), "n_jittered": (0, 1000), "images_per_pose": (1, 1000)}
        for name, (low, high) in (limits | {"max_poses": (1, MAX_POSES)}).items():
            if not low <= getattr(self, name) <= high:
                raise InvalidConfig(f"{name} = {getattr(self, name)}: expected {low} to {high}")


PAPER = GenerativeModel()
RELEASE2017 = GenerativeModel(
    sampling=SamplingConfig(friction=0.75),
    perturbation=Perturbation(
        friction_outside="clip", friction_bounds=(0.0, 10.0), n_object_poses=10
    ),
    camera=RELEASE2017_CAMERA,
)
BUILTIN = GenerativeModel(
    n_grasps=60,
    n_jittered=60,
    images_per_pose=5,
    rescale_to=None,
    max_poses=8,
    collision=CollisionConfig(rule="zero", table_offset=0.0),
    camera=CameraDistribution(
        radius=(0.45, 0.95), polar=(0.0, float(np.deg2rad(25.0))), focal_px=(500.0, 560.0)
    ),
    crop=CropConfig(window_px=None, window_m=0.128),
)
"""What the shipped model is trained on: real sizes, near misses as negatives, the hand as it is executed, cameras from
many places, and a crop of fixed metric size, so that focal length and height drop out."""

PRESETS = {"builtin": BUILTIN, "paper": PAPER, "release2017": RELEASE2017}
