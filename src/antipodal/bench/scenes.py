"""The trials that every planner meets: object, pose, friction, camera, noise and execution error from one seed.

Trial (object, k) is a function of (seed, mesh, k) alone, not of the planner, the other objects or the workers: two
planners, and two runs of one seed, are compared pair by pair. Frames: world z up, table z = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..mesh import TriMesh
from ..render.depth import Rendering, render, see_whole
from ..render.noise import STRUCTURED_LIGHT, SensorNoise, observe
from ..render.scene import (
    CameraDistribution,
    FrictionDistribution,
    Scene,
    draw_pose,
    sample_friction,
)
from ..sim.trial import TrialConfig, settle
from ..sim.world import World
from ..stable_pose import StablePose
from ..success import EXECUTION_NOISE

CAMERAS: dict[str, CameraDistribution] = {
    "dexnet": CameraDistribution(width=640, height=480, recenter=False),
    "transfer": CameraDistribution(
        radius=(0.4, 1.2),
        polar=(0.0, float(np.deg2rad(30.0))),
        focal_px=(380.0, 700.0),
        width=640,
        height=480,
        recenter=False,
    ),
    "rival": CameraDistribution(
        radius=(0.65, 0.8),
        polar=(0.0, float(np.deg2rad(10.0))),
        focal_px=(552.5, 552.5),
        width=516,
        height=386,
        recenter=False,
    ),
}
"""Where trials are seen from: the paper's cap, a second set that measures transfer, and Dex-Net 4.0's PhoXi."""
FRICTION = FrictionDistribution(
    EXECUTION_NOISE.friction, EXECUTION_NOISE.friction_sigma, *EXECUTION_NOISE.friction_bounds
)
"""Hidden from the planner: what the label of success averages over, ordinary things, where the paper's training
distribution has slippery ones too."""
MAX_CAMERA_DRAWS = 50
"""A camera that does not see the whole object is drawn again, so often."""


@dataclass(frozen=True, eq=False)
class TrialScene:
    """One trial before anybody plans; all of it but the image is hidden from image planners."""

    scene: Scene
    """Object, pose, camera and friction."""
    k: int
    """Number of the trial among those of its object."""
    entropy: tuple[int, ...]
    """(seed, mesh, k): what every random state of the trial comes from."""

    def rng(self, use: str) -> np.random.Generator:
        """A fresh random state for one use (a key of :data:`USES`): the same for every planner."""
        return np.random.default_rng([*self.entropy, USES[use]])

    @property
    def execution_seed(self) -> int:
        """Seed of the execution error."""
        return int(self.rng("execution").integers(2**31))


USES = {"scene": 0, "noise": 1, "execution": 2, "plan": 3, "oracle": 4, "camera": 5}
"""Independent random states of a trial."""


def draw_trial(
    mesh: TriMesh, poses: Sequence[StablePose], seed: int, k: int, camera: CameraDistribution
) -> TrialScene:
    """Draw trial k of an object: stable pose by its probability, yaw, x, y, friction, a camera that sees all of it."""
    entropy = (seed, *(int(mesh.content_hash[i : i + 8], 16) for i in (0, 8)), k)
    rng = np.random.default_rng([*entropy, USES["scene"]])
    T_world_obj = draw_pose(poses, rng)
    friction = float(sample_friction(1, rng, FRICTION)[0])
    rng_camera = np.random.default_rng([*entropy, USES["camera"]])
    scene = see_whole(mesh, T_world_obj, rng_camera, camera, MAX_CAMERA_DRAWS, friction)
    return TrialScene(scene, k, entropy)


def settled(trial: TrialScene, world: World, config: TrialConfig) -> TrialScene | None:
    """Let the object come to rest; the settled pose counts. None if it does not."""
    scene = trial.scene
    T_world_obj = settle(world, scene.T_world_obj, scene.friction, trial.execution_seed, config)
    if T_world_obj is None:
        return None
    # MuJoCo's quaternions: orthonormal to 1e-16, but let the rendered and the simulated pose be the same bits
    return replace(trial, scene=replace(scene, T_world_obj=T_world_obj))


def photograph(trial: TrialScene, noise: SensorNoise = STRUCTURED_LIGHT) -> Rendering:
    """What the camera gives: a noisy depth image; and the object's true mask."""
    image, mask = render(trial.scene)
    return Rendering(observe(image, trial.rng("noise"), noise), mask)
