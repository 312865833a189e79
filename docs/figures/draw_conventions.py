"""Draw the two figures of conventions.md with the package itself, so that they cannot disagree with it.

    python docs/figures/draw_conventions.py [FOLDER]

Frames are drawn x red, y green, z blue, as in RViz.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Arc, Polygon

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.crop import PAPER_CROP, crop_grasps
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import UNIT_BOX_FACES, UNIT_BOX_VERTICES, load_gripper
from antipodal.mesh import TriMesh
from antipodal.render.depth import render_depth
from antipodal.render.scene import Scene
from antipodal.render.shade import Body, shade

RED, GREEN, BLUE = "#d62f2f", "#1f9d3a", "#1f5fd6"
OUTLINE = {"color": "white", "linewidth": 5, "solid_capstyle": "round", "zorder": 5}
GRIPPER = replace(
    load_gripper("yumi"),
    finger_depth=0.05,
    palm_boxes=({"center": [0.0, 0.0, -0.0528], "size": [0.0903, 0.045, 0.03]},),
)
"""The YuMi's jaws on longer fingers and a palm cut short, so that the drawing shows what is behind."""


def cuboid(lower: tuple[float, float, float], upper: tuple[float, float, float]) -> TriMesh:
    """A box between two corners, so that its obj frame need not be its middle."""
    a, b = np.array(lower), np.array(upper)
    return TriMesh(a + UNIT_BOX_VERTICES * (b - a), UNIT_BOX_FACES)


OBJECT = cuboid((-0.034, 0.0, 0.0), (0.0, 0.08, 0.045))
"""Its file has the origin in a corner."""
T_WORLD_OBJ = transforms.translation([0.13, 0.0, 0.0]) @ transforms.rot_z(np.deg2rad(12))
GRASP_OBJ = Grasp.from_axes([-0.017, 0.04, 0.032], [1, 0, 0], [0, 0, -1], GRIPPER.max_width)


def arrow(axes: Axes, start: np.ndarray, end: np.ndarray, color: str, width: float = 2.6) -> None:
    """An arrow over a white outline."""
    axes.plot(*np.stack([start, end]).T, **OUTLINE)
    style = {"arrowstyle": "-|>,head_width=0.35,head_length=0.7", "color": color}
    axes.annotate(
        "",
        end,
        start,
        arrowprops={**style, "linewidth": width, "shrinkA": 0, "shrinkB": 0},
        zorder=6,
    )


def label(axes: Axes, at: np.ndarray, text: str, color: str = "black", size: float = 11) -> None:
    """Words over a white box."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2}
    axes.text(*at, text, color=color, fontsize=size, ha="center", va="center", bbox=box, zorder=8)


class View:
    """The drawing's own camera: shaded bodies below, arrows and words above."""

    def __init__(self, axes: Axes, T_world_view: np.ndarray, intrinsics: CameraIntrinsics) -> None:
        self.axes, self.T_view_world = axes, transforms.inverse(T_world_view)
        self.T_world_view, self.intrinsics = T_world_view, intrinsics
        axes.set_axis_off()

    def bodies(self, bodies: list[Body]) -> None:
        """Shade the bodies as the picture's background."""
        self.axes.imshow(shade(bodies, self.T_world_view, self.intrinsics), zorder=0)

    def px(self, points_world: np.ndarray) -> np.ndarray:
        """Where points appear in the drawing."""
        return self.intrinsics.project(transforms.apply(self.T_view_world, points_world))

    def frame(self, T_world_f: np.ndarray, name: str, length: float, name_at: np.ndarray) -> None:
        """The three axes of a frame, and its name at an offset of ``name_at`` px."""
        tips = T_world_f[:3, 3] + length * T_world_f[:3, :3].T
        origin, *ends = self.px(np.concatenate([T_world_f[None, :3, 3], tips]))
        order = np.argsort(-transforms.apply(self.T_view_world, tips)[:, 2])  # the nearest last
        for i in order:
            color = (RED, GREEN, BLUE)[i]
            arrow(self.axes, origin, ends[i], color)
            outward = (ends[i] - origin) / np.linalg.norm(ends[i] - origin)
            label(self.axes, ends[i] + 17 * outward, "xyz"[i], color)
        label(self.axes, origin + name_at, name, size=14)

    def lines(self, points_world: np.ndarray, **style: object) -> None:
        """A polyline."""
        self.axes.plot(*self.px(points_world).T, **style)


def draw_frames(path: Path) -> None:
    """Figure 1: the frames world, obj, camera and grasp, with a hand and a box."""
    intrinsics = CameraIntrinsics(2150.0, 2150.0, 619.5, 454.5, 1240, 910)
    T_world_view = transforms.look_at([0.33, -0.66, 0.33], [0.068, 0.02, 0.073])
    figure = plt.figure(figsize=(12.4, 9.1), dpi=100)
    view = View(figure.add_axes((0, 0, 1, 1)), T_world_view, intrinsics)
    grasp_world = GRASP_OBJ.in_frame(T_WORLD_OBJ)
    view.bodies(
        [
            Body(OBJECT, T_WORLD_OBJ, (0.93, 0.62, 0.25)),
            Body(GRIPPER.collision_mesh_at(grasp_world), np.eye(4), (0.62, 0.66, 0.72)),
        ]
    )
    T_world_camera = transforms.look_at([-0.07, 0.04, 0.19], [0.085, 0.04, 0.02])
    camera = CameraIntrinsics(525, 525, 319.5, 239.5, 640, 480)
    corners = camera.deproject([[0, 0], [639, 0], [639, 479], [0, 479], [0, 0]], 0.04)
    corners = transforms.apply(T_world_camera, corners)
    for corner in corners[:4]:
        view.lines(np.stack([T_world_camera[:3, 3], corner]), color="0.25", linewidth=1.2, zorder=3)
    view.lines(corners, color="0.25", linewidth=1.2, zorder=3)
    axis = np.stack([T_world_camera[:3, 3], T_world_camera[:3, 3] + 0.15 * T_world_camera[:3, 2]])
    view.lines(axis, color="0.45", linewidth=1, linestyle=(0, (6, 5)), zorder=2)

    view.frame(np.eye(4), "world", 0.05, np.array([-48, 26]))
    view.frame(T_WORLD_OBJ, "obj", 0.034, np.array([24, 34]))
    view.frame(T_world_camera, "camera", 0.045, np.array([-6, -40]))
    view.frame(grasp_world.pose, "grasp", 0.05, np.array([-50, -24]))

    note = {"fontsize": 12, "color": "0.15", "zorder": 8, "linespacing": 1.45, "va": "center"}
    words = view.axes.text
    words(28, 44, "x red   y green   z blue", **(note | {"fontsize": 13}))
    at = view.px(grasp_world.center[None] - 0.055 * grasp_world.approach_axis)[0]
    words(
        at[0] + 160,
        at[1] - 20,
        "hand: the palm lies behind the\ngrasp (−z), the fingertips reach\nbeyond it (+z)",
        **note,
    )
    at = view.px(grasp_world.center[None])[0]
    words(
        at[0] + 205,
        at[1] - 28,
        "grasp: midway between the jaws,\nz approach, x closing, y = z × x",
        **note,
    )
    at = view.px(T_world_camera[None, :3, 3])[0]
    words(at[0] + 150, at[1] + 40, "camera: x right,\ny down, z forward", **note)
    words(
        28, 874, "world: z up, the table is z = 0      obj: as in the mesh file, in metres", **note
    )
    formula = "T_world_grasp = T_world_obj @ T_obj_grasp"
    words(1212, 874, formula, ha="right", family="monospace", **note)
    view.axes.set_xlim(0, intrinsics.width - 1)
    view.axes.set_ylim(intrinsics.height - 1, 0)
    figure.savefig(path)
    plt.close(figure)


def draw_planar(path: Path) -> None:
    """Figure 2: u = (i, j, φ, z) in the depth image, and the aligned crop."""
    intrinsics = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480)
    T_world_camera = transforms.look_at([0.155, -0.09, 0.70], [0.11, 0.03, 0.0])
    T_world_obj = T_WORLD_OBJ @ transforms.rot_z(np.deg2rad(-20))
    scene = Scene(OBJECT, T_world_obj, T_world_camera, intrinsics)
    image = render_depth(scene)
    grasp = GRASP_OBJ.in_frame(T_world_obj).in_frame(transforms.inverse(T_world_camera))
    planar = grasp.to_planar(intrinsics)
    u, v = planar.center_px
    angle, half = float(planar.angle), float(planar.width_px(intrinsics)) / 2

    figure = plt.figure(figsize=(13.2, 6.0), dpi=100)
    axes = figure.add_axes((0.045, 0.1, 0.5, 0.8))
    shown = axes.imshow(image.depth, cmap="gray_r", interpolation="nearest")
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    window = PAPER_CROP.window_px or 96.0
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * window / 2
    square = planar.center_px + signs[:, :1] * along + signs[:, 1:] * across
    axes.add_patch(Polygon(square, fill=False, edgecolor="#e8a200", linewidth=1.6, linestyle="--"))
    ends = planar.endpoints_px(intrinsics)
    for end in ends:
        plate = np.stack([end - 11 * across, end + 11 * across])
        axes.plot(*plate.T, color=RED, linewidth=4.5, solid_capstyle="butt", zorder=6)
    axes.plot(*ends.T, color=RED, linewidth=1.6, zorder=6)
    axes.plot(u, v, "o", color=RED, markersize=5, zorder=7)
    axes.annotate(
        "",
        (u + 78, v),
        (u, v),
        arrowprops={"arrowstyle": "-", "color": BLUE, "linewidth": 1.3, "linestyle": ":"},
    )
    axes.annotate(
        "",
        planar.center_px + 80 * along,
        (u, v),
        arrowprops={"arrowstyle": "->", "color": BLUE, "linewidth": 1.6},
    )
    # with v downwards matplotlib's angles too run clockwise on the screen
    axes.add_patch(
        Arc(
            (u, v),
            120,
            120,
            theta1=min(0, np.degrees(angle)),
            theta2=max(0, np.degrees(angle)),
            color=BLUE,
            linewidth=2,
            zorder=7,
        )
    )
    middle = np.array([np.cos(angle / 2), np.sin(angle / 2)])
    label(axes, planar.center_px + 73 * middle, "φ", BLUE, 14)
    label(
        axes,
        np.array([u + 52, v - 74]),
        f"(i, j) = ({u:.0f}, {v:.0f}) px,  z = {planar.depth:.3f} m",
        RED,
    )
    axes.annotate("", (u, v - 2), (u + 30, v - 70), arrowprops={"arrowstyle": "-", "color": RED})
    label(axes, ends[0] - 12 * along, "jaw", RED)
    words = f"width {1000 * planar.width:.0f} mm = {2 * half:.1f} px"
    label(axes, planar.center_px - 12 * along + 47 * across, words, RED)
    label(axes, np.array([u - 30, square[:, 1].max() + 9]), "window of the crop, 96 px", "#b07a00")
    arrow(axes, np.array([214, 153]), np.array([254, 153]), "black", 1.8)
    arrow(axes, np.array([214, 153]), np.array([214, 193]), "black", 1.8)
    label(axes, np.array([262, 153]), "u")
    label(axes, np.array([214, 201]), "v")
    axes.set(xlim=(200, 440), ylim=(340, 140), xlabel="u = column [px]", ylabel="v = row [px]")
    axes.set_title(
        f"depth image and PlanarGrasp: φ = {angle:+.2f} rad, from +u towards +v", fontsize=12
    )
    bar = figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02)
    bar.set_label("depth along the optical axis [m]")

    batch = PlanarGrasp(
        planar.center_px[None], planar.angle[None], planar.depth[None], planar.width[None]
    )
    crop = crop_grasps(image, batch)[0]
    axes = figure.add_axes((0.655, 0.1, 0.335, 0.8))
    axes.imshow(crop, cmap="gray_r", clim=shown.get_clim(), interpolation="nearest")
    half = half * PAPER_CROP.size / window
    for side in (-1, 1):
        axes.plot(
            [15.5 + side * half] * 2,
            [15.5 - 3.6, 15.5 + 3.6],
            color=RED,
            linewidth=5,
            solid_capstyle="butt",
        )
    axes.plot([15.5 - half, 15.5 + half], [15.5, 15.5], color=RED, linewidth=1.8)
    axes.plot(15.5, 15.5, "o", color=RED, markersize=6)
    axes.set(xticks=[0, 8, 16, 24, 31], yticks=[0, 8, 16, 24, 31], ylabel="row")
    axes.set_xlabel("column\ngrasp centre at (15.5, 15.5), jaws on the middle row")
    axes.set_title("crop_grasps: 32 × 32, what the network sees", fontsize=12)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    draw_frames(folder / "frames.png")
    draw_planar(folder / "planar_grasp.png")
