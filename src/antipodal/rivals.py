"""Berkeley's networks as they are meant to be fed: from an imported file to a policy.

``antipodal import-berkeley MODEL_DIR -o model.onnx`` writes the file; here it gets the policy and the parameters with
which it was published (reference §8.2, §8.6). The networks were trained at f = 552.5 px, 0.65–0.8 m above the table,
for a 5 cm jaw; their window is 96 px of the image at any camera.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .camera import DepthImage
from .dense_quality import load_dense_quality
from .gripper import GripperModel
from .policy import cem_policy
from .policy.base import Plan, Policy
from .policy.cem import RELEASE_CEM, CEMConfig
from .policy.constraints import DEFAULT_CONSTRAINTS
from .policy.fully_convolutional import FullyConvolutionalConfig, fully_convolutional_policy
from .policy.heuristics import PAPER_CONSTRAINTS
from .policy.image_sampler import SamplerConfig
from .policy.request import Asked
from .quality import load_quality, read_network

CEM_4_0 = CEMConfig(n_seeds=128, n_resamples=64, n_components=None)
"""Algorithm 2 as released for GQ-CNN 4.0, parallel jaws."""
SAMPLER_4_0 = SamplerConfig(
    friction=(1.0,), downsample=4, height_step=None, depth_range=(0.015, 0.05), mask_margin_px=0
)
"""Algorithm 1 as released for GQ-CNN 4.0, parallel jaws."""
SAMPLER_2_0 = SamplerConfig(friction=(0.8,), height_step=None, mask_margin_px=0)
"""Algorithm 1 as released for GQ-CNN 2.0 and 2.1."""


def load_rival(path: str | Path, gripper: GripperModel, clearance: bool = False) -> Policy:
    """Make a policy of an imported network: dense for FC-GQ-CNN, else the cross-entropy method.

    Both see the image inpainted, as theirs do.

    Args:
        path: file from ``antipodal import-berkeley``.
        gripper: every planned grasp approaches with its whole stroke open.
        clearance: also leave out grasps where our check sees fingers or palm land on something. The networks learned
            clearance for another hand: the depths that 4.0 prefers, 15 to 50 mm below the surface, put a palm on the
            object that is, like our YuMi's, only 18 mm behind the grasp's centre.

    Raises:
        UnknownAsset: no such file.
        IncompatibleCheckpoint: not a network of this package.
    """
    # the released policies ask only that a grasp's centre is in the mask; that the tips stay above the table was their
    # robot's care, and is given to them here
    constraints = DEFAULT_CONSTRAINTS if clearance else PAPER_CONSTRAINTS
    if read_network(path).metadata["architecture"] == "fcgqcnn":
        config = FullyConvolutionalConfig(constraints=constraints)
        return fully_convolutional_policy(load_dense_quality(path), gripper, config)
    quality = load_quality(path)
    published = (CEM_4_0, SAMPLER_4_0) if quality.crop.size == 96 else (RELEASE_CEM, SAMPLER_2_0)
    cem = cem_policy(quality, gripper, *published, constraints)

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        return cem(image.inpaint(), asked, rng)

    return policy
