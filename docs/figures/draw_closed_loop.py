"""Draw the strip of closed-loop.md: what the camera sees of one moving object, under the closed loop and the open one.

    python docs/figures/draw_closed_loop.py [FOLDER]

Red is where the jaws are to close by the command in force, moved on with its velocity to the time of the picture.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from antipodal import transforms
from antipodal.bench.tracking import Loop, LoopController, TrackingScene, draw_scene, run_scene
from antipodal.gripper import load_gripper
from antipodal.mesh import rescale
from antipodal.objects.families import make_one
from antipodal.policy.closed_loop import ClosedLoopPolicy
from antipodal.policy.heuristics import GeometricQuality, geometric_policy
from antipodal.render.noise import SensorNoise
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.tracking import Command, Frame, TrackingConfig
from antipodal.sim.world import World

HAND = replace(load_gripper("robotiq_2f85"), max_width=0.07)
FAMILIES = ("carton", "convex_hull", "superquadric")
INDEX, SEED, SPEED = 1, 7, 0.1
"""The object and scene of benchmarks/closed_loop.py; m/s."""
N_PICTURES = 6
AROUND = (30, 90, 260, 240)
"""Part of each picture that is drawn: u, v, width, height."""


@dataclass
class Recorder:
    """A controller that keeps what it saw and said."""

    controller: LoopController
    frames: list[tuple[Frame, Command]] = field(default_factory=list)

    def __call__(self, frame: Frame) -> Command | None:
        """Pass a frame on."""
        command = self.controller(frame)
        if command is not None:
            moved = command
        else:
            before, last = self.frames[-1]
            way = (frame.time - before.time) * last.velocity
            T = transforms.translation(way) @ last.grasp_world.pose
            moved = replace_grasp(last, T)
        self.frames.append((frame, moved))
        return command


def replace_grasp(command: Command, pose: np.ndarray) -> Command:
    """Say the same of another pose."""
    return command._replace(grasp_world=replace(command.grasp_world, pose=pose))


def record(loop: Loop, scene: TrackingScene, world: World) -> tuple[Recorder, str]:
    """Run one trial."""
    planner = geometric_policy(HAND)
    tracker = ClosedLoopPolicy(GeometricQuality(HAND), HAND, planner=planner)
    rng = np.random.default_rng([INDEX, 3])
    recorder = Recorder(LoopController(loop, planner, tracker, HAND, rng))
    config = TrackingConfig(noise=SensorNoise(edge_dropout=0.0, flying_rate=0.0))
    result = run_scene(scene, world, recorder, config)
    return recorder, result.outcome.value


def draw(axes: Axes, frame: Frame, command: Command) -> None:
    """One picture, and the grasp in it."""
    u0, v0, width, height = AROUND
    image = frame.image
    axes.imshow(np.where(image.valid, image.depth, np.nan), cmap="gray", vmin=0.4, vmax=0.95)
    grasp, T = command.grasp_world, image.T_world_camera
    assert T is not None
    half = grasp.closing_axis * 0.025
    ends = np.stack([grasp.center - half, grasp.center + half, grasp.center])
    ends = np.concatenate([ends, (grasp.center - 0.04 * grasp.approach_axis)[None]])
    u, v = image.intrinsics.project(transforms.apply(transforms.inverse(T), ends)).T
    axes.plot(u[:2], v[:2], color="#e8262a", linewidth=2.5)
    axes.plot(u[2:], v[2:], color="#e8262a", linewidth=1.0)
    axes.set(xlim=(u0, u0 + width), ylim=(v0 + height, v0), xticks=[], yticks=[])
    axes.set_title(f"{frame.time:.2f} s", fontsize=8, pad=2)


def main() -> None:
    """Draw both rows."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    mesh = rescale(make_one(INDEX, SEED, FAMILIES), 0.025)
    world = World(mesh, convex_pieces(mesh), HAND)
    scene = draw_scene(mesh, world, SPEED, (0.0, 0.0), INDEX)
    assert scene is not None
    figure, rows = plt.subplots(2, N_PICTURES, figsize=(11.0, 3.9))
    for axes, loop in zip(rows, (Loop.CLOSED, Loop.OPEN), strict=True):
        recorder, outcome = record(loop, scene, world)
        seen = recorder.frames
        for k, i in enumerate(np.linspace(0, len(seen) - 1, N_PICTURES).round().astype(int)):
            draw(axes[k], *seen[i])
        axes[0].set_ylabel(f"{loop.value} loop: {outcome}", fontsize=9)
    figure.tight_layout(pad=0.4)
    figure.savefig(folder / "closed_loop.png", dpi=110)


if __name__ == "__main__":
    main()
