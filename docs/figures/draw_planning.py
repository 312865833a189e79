"""Draw the figures of planning.md with the package itself.

    python docs/figures/draw_planning.py [FOLDER]

Frames are drawn x red, y green, z blue.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

import antipodal
from antipodal import transforms
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.dense_quality import shipped_window_quality
from antipodal.draw import save_plan
from antipodal.grasp import Grasp
from antipodal.gripper import UNIT_BOX_FACES, UNIT_BOX_VERTICES
from antipodal.mesh import TriMesh, joined
from antipodal.policy.height_window import CELL, angles, height_windows
from antipodal.policy.request import Request
from antipodal.policy.view import look
from antipodal.render.shade import Body, look_from, shade
from antipodal.waypoints import waypoints

CAMERA = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480)
T_FLANGE_GRIPPER = transforms.translation([0.0, 0.0, 0.02])


def cuboid(size: tuple[float, float, float]) -> TriMesh:
    """A box on z = 0, its middle at x = y = 0."""
    return TriMesh((UNIT_BOX_VERTICES - [0.5, 0.5, 0.0]) * size, UNIT_BOX_FACES)


THINGS = [
    Body(cuboid((0.03, 0.10, 0.04)), transforms.rot_z(0.5), (0.25, 0.48, 0.75)),
    Body(
        cuboid((0.04, 0.04, 0.07)),
        transforms.translation([0.055, 0.03, 0.0]) @ transforms.rot_z(0.2),
        (0.45, 0.65, 0.4),
    ),
]


def scene_image() -> DepthImage:
    """Two things side by side, seen from 0.6 m, with a hole where a sensor would see none."""
    mesh = joined([b.mesh.transformed(b.T_world_body) for b in THINGS], "things")
    T_world_camera = transforms.look_at([0.0, -0.15, 0.58], [0.01, 0.0, 0.0])
    image = antipodal.render_depth(antipodal.Scene(mesh, np.eye(4), T_world_camera, CAMERA))
    depth = np.array(image.depth)
    depth[190:250, 262:290] = 0.0
    return image.with_depth(depth)


def draw_way(path: Path, image: DepthImage, plan: antipodal.Plan) -> None:
    """Show the hand at pre-grasp, grasp and lift, placed by the flange's poses."""
    assert image.T_world_camera is not None
    hand = antipodal.load_gripper("yumi")
    grasp = plan.best.to_grasp(image.intrinsics, plan.approach_axis)
    open_hand = hand.collision_mesh_at(Grasp(hand.T_gripper_grasp, hand.max_width))
    way = waypoints(grasp, hand, image.T_world_camera, T_FLANGE_GRIPPER, lift_height=0.12)
    stages = {
        "pre-grasp": way.T_parent_flange_pre_grasp,
        "grasp": way.T_parent_flange_grasp,
        "lift": way.T_parent_flange_lift,
    }
    view = CameraIntrinsics(900, 900, 299.5, 349.5, 600, 700)
    T_world_view = look_from(-1.1, np.deg2rad(12), 0.9, np.array([0.01, 0.0, 0.14]))
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.9), layout="constrained")
    for ax, (name, T_world_flange) in zip(axes, stages.items(), strict=True):
        held = THINGS
        if name == "lift":
            up = transforms.inverse(way.T_parent_flange_grasp)
            near = np.argmin([np.linalg.norm((up @ b.T_world_body)[:2, 3]) for b in THINGS])
            moved = T_world_flange @ up @ THINGS[near].T_world_body
            held = [
                Body(b.mesh, moved if k == near else b.T_world_body, b.color)
                for k, b in enumerate(THINGS)
            ]
        T_world_gripper = T_world_flange @ T_FLANGE_GRIPPER
        bodies = [*held, Body(open_hand, T_world_gripper, (0.95, 0.62, 0.25))]
        ax.imshow(shade(bodies, T_world_view, view))
        for T in (T_world_flange, T_world_gripper @ hand.T_gripper_grasp):
            draw_frame(ax, T, T_world_view, view)
        ax.set_title(name)
        ax.axis("off")
    figure.savefig(path, dpi=90)


def draw_frame(ax, T_world_frame, T_world_view, view: CameraIntrinsics) -> None:
    """Draw three axes of 4 cm."""
    T = transforms.inverse(T_world_view) @ T_world_frame
    ends = view.project(transforms.apply(T, np.concatenate([np.zeros((1, 3)), 0.04 * np.eye(3)])))
    for k, color in enumerate(("#d62f2f", "#1f9d3a", "#1f5fd6")):
        ax.plot(*ends[[0, k + 1]].T, color="white", lw=4)
        ax.plot(*ends[[0, k + 1]].T, color=color, lw=2.2)


def draw_dense(path: Path, image: DepthImage) -> None:
    """The window of heights that the dense network is shown, and its best answer in each cell."""
    view = look(image, None, np.random.default_rng(0))
    window = next(height_windows(view, antipodal.load_gripper("yumi")))
    cells, side = window.cells, len(window.height)
    answer = shipped_window_quality()(window.shown, cells)
    best = answer.max(1)  # of the depths: (angles, cells)
    chance = np.full((side, side), np.nan)
    chance[cells[:, 0], cells[:, 1]] = 1 / (1 + np.exp(-best.max(0)))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.2), constrained_layout=True)
    mm = CELL * window.stroke * 1e3
    extent = (0.0, side * mm, 0.0, side * mm)
    heights = window.height.T * window.stroke * 1e3
    drawn = left.imshow(heights, cmap="Greys", origin="lower", extent=extent)
    figure.colorbar(drawn, ax=left, label="height above the table [mm]")
    left.set_title("what it is shown")
    right.imshow(heights, cmap="Greys", origin="lower", extent=extent, alpha=0.25)
    drawn = right.imshow(chance.T, cmap="viridis", vmin=0, vmax=1, origin="lower", extent=extent)
    figure.colorbar(drawn, ax=right, label="P(success), best of 16 angles and 5 depths")
    right.set_title("its answer; lines: best closing axis")
    some = np.flatnonzero((best.max(0) > 0) & (cells % 4 == 0).all(1))
    theta = angles()[best[:, some].argmax(0)]
    middle = (cells[some] + 0.5) * mm
    along = 3.5 * np.stack([np.cos(theta), np.sin(theta)], -1)
    for a, b in zip(middle - along, middle + along, strict=True):
        right.plot(*np.stack([a, b], -1), color="white", linewidth=1.2)
    for axes in (left, right):
        axes.set(xlabel="x [mm]", ylabel="y [mm]", xlim=extent[:2], ylim=extent[2:])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Write the figures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    image = scene_image()
    hand = antipodal.load_gripper("yumi")
    policy = antipodal.make_policy("cem", antipodal.load_quality("builtin"), hand)
    request = Request(n_grasps=8, min_distance=0.008, min_angle=np.pi)
    plan = policy(image, request, np.random.default_rng(0))
    save_plan(folder / "why_not.png", image, plan, hand)
    draw_way(folder / "waypoints.png", image, plan)
    draw_dense(folder / "dense.png", image)


if __name__ == "__main__":
    main()
