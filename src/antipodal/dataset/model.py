"""The generative model p(S, u, x, y) as one frozen configuration, and its presets [Mahler17, §IV-A, table I]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..alignment import MAX_APPROACH_TABLE_ANGLE
from ..collision import CollisionConfig
from ..crop import CropConfig
from ..errors import InvalidConfig
from ..gripper import GripperModel
from ..render.scene import RELEASE2017_CAMERA, CameraDistribution, PoseDistribution
from ..robust import Perturbation
from ..sampling import SamplingConfig
from ..stable_pose import MIN_PROBABILITY
from ..success import EXECUTION_NOISE, ExecutionNoise

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
    window_strokes: float | None = None
    """Side of the crop's window in multiples of the gripper's stroke; None: as ``crop`` says."""
    execution: ExecutionNoise | None = None
    """Errors under which P(free) and P(hold) are computed; None leaves them out, as the paper does."""

    def __post_init__(self) -> None:
        limits = {"n_grasps": (1, 1000), "n_jittered": (0, 1000), "images_per_pose": (1, 1000)}
        for name, (low, high) in (limits | {"max_poses": (1, MAX_POSES)}).items():
            if not low <= getattr(self, name) <= high:
                raise InvalidConfig(f"{name} = {getattr(self, name)}: expected {low} to {high}")

    def for_gripper(self, gripper: GripperModel) -> GenerativeModel:
        """The model with the window that this gripper's stroke asks for."""
        if self.window_strokes is None:
            return self
        window = self.window_strokes * gripper.max_width
        return replace(self, crop=replace(self.crop, window_px=None, window_m=window))


PAPER = GenerativeModel()
RELEASE2017 = GenerativeModel(
    sampling=SamplingConfig(friction=0.75),
    perturbation=Perturbation(
        friction_outside="clip", friction_bounds=(0.0, 10.0), n_object_poses=10
    ),
    camera=RELEASE2017_CAMERA,
)
BUILTIN = GenerativeModel(
    n_grasps=50,
    n_jittered=50,
    images_per_pose=5,
    rescale_to=None,
    max_poses=6,
    collision=CollisionConfig(rule="zero", table_offset=0.0),
    camera=CameraDistribution(
        radius=(0.4, 1.05), polar=(0.0, float(np.deg2rad(28.0))), focal_px=(380.0, 700.0)
    ),
    crop=CropConfig(size=40, window_px=None, window_m=0.1),
    window_strokes=2.0,
    execution=EXECUTION_NOISE,
)
"""What the shipped model is trained on: real sizes, near misses as negatives, the hand as it is executed, cameras from
many places, and a crop of twice the gripper's stroke, 2.5 mm a pixel for the YuMi's, so that focal length and height
drop out."""

PRESETS = {"builtin": BUILTIN, "paper": PAPER, "release2017": RELEASE2017}
