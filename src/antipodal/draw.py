"""Pictures of plans and lifts. Pixels and camera frame; nothing here computes a grasp."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from . import transforms
from .camera import CameraIntrinsics, DepthImage
from .errors import InvalidConfig
from .files import write_bytes
from .grasp import Grasp
from .gripper import GripperModel
from .policy.base import Plan
from .policy.reasons import REJECTIONS

PICTURES = (".png", ".jpg", ".pdf", ".svg")
"""What a picture's name may end in."""
REJECTED_COLORS = (
    "#999999", "#bbbbbb", "#8c564b", "#17becf", "#bcbd22", "#9467bd",
    "#c5b0d5", "#d62728", "#e377c2", "#1f77b4", "#2ca02c", "#98df8a",
)  # fmt: skip
"""One for each of :data:`~antipodal.policy.reasons.REJECTIONS`."""
N_OTHERS = 20
"""Runners-up that are drawn beside the best grasp."""
N_EACH = 60
"""Rejected candidates that are drawn of each reason, at most."""
JAW_COLOR, AXIS_COLOR, OTHER_COLOR, MASK_COLOR = "#ff7f0e", "#ffd92f", "#7fd6ff", "#2ca02c"


def draw_depth(axes: Axes, image: DepthImage, mask: Bool[np.ndarray, "H W"] | None = None) -> None:
    """Show depth in grey, near is bright; missing pixels dark blue; the mask's outline green."""
    depth = np.ma.masked_where(~image.valid, image.depth)
    seen = image.depth[image.valid]
    near, far = np.percentile(seen, [5.0, 99.0])
    axes.imshow(depth, cmap="gray_r", vmin=near - 0.02, vmax=far + 0.02, interpolation="nearest")
    axes.set_facecolor("#1b2a49")
    if mask is not None and mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=MASK_COLOR, linewidths=0.8)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_plan(axes: Axes, image: DepthImage, plan: Plan, gripper: GripperModel) -> None:
    """Draw the best grasp's two fingertips and closing axis to scale, and the runners-up thin."""
    grasps_camera = plan.grasps.to_grasp(image.intrinsics, plan.approach_axis)
    for ends in image.intrinsics.project(grasps_camera[1 : 1 + N_OTHERS].jaws):
        axes.plot(ends[:, 0], ends[:, 1], color=OTHER_COLOR, lw=0.7, alpha=0.5)
    if len(plan.grasps) == 0:
        axes.set_title(f"no grasp: {plan.reason}", fontsize=9, wrap=True)
        return
    best = plan.best
    for corners in fingertips_px(grasps_camera[0], image.intrinsics, gripper):
        axes.add_patch(Polygon(corners, closed=True, fc=JAW_COLOR, ec="black", lw=0.6, alpha=0.85))
    ends = image.intrinsics.project(grasps_camera[0].jaws)
    axes.plot(ends[:, 0], ends[:, 1], color=AXIS_COLOR, lw=1.5)
    axes.plot(*best.center_px, "o", ms=4, color=AXIS_COLOR, mec="black", mew=0.6)


def draw_rejected(axes: Axes, image: DepthImage, plan: Plan) -> None:
    """Draw the closing lines of rejected candidates, a colour for each reason, with a legend of how many there were."""
    if plan.rejected is None or len(plan.rejected.grasps) == 0:
        return
    grasps_camera = plan.rejected.grasps.to_grasp(image.intrinsics, plan.approach_axis)
    for k, (name, words) in enumerate(REJECTIONS.items()):
        rows = np.flatnonzero(plan.rejected.reason == k)
        if len(rows) == 0:
            continue
        rows = rows[:: -(-len(rows) // N_EACH)]
        color = REJECTED_COLORS[k % len(REJECTED_COLORS)]
        centers = image.intrinsics.project(grasps_camera.center[rows])
        axes.plot(*centers.T, ".", color=color, ms=2.5, alpha=0.9)
        lines = list(image.intrinsics.project(grasps_camera[rows].jaws))
        axes.add_collection(LineCollection(lines, colors=color, linewidths=0.4, alpha=0.5))
        axes.plot([], [], color=color, lw=2, label=f"{plan.counts.get(name, 0)} {words}")
    # the candidates' surroundings: they may fill a small part of the image
    centers = image.intrinsics.project(grasps_camera.center)
    low, high = np.percentile(centers, [1, 99], axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2 + 40, 80.0)
    axes.set_xlim(middle[0] - 1.2 * half, middle[0] + 1.2 * half)
    axes.set_ylim(middle[1] + half, middle[1] - half)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), fontsize=7, frameon=False, ncols=2)


def fingertips_px(
    grasp_camera: Grasp, intrinsics: CameraIntrinsics, gripper: GripperModel
) -> Float[np.ndarray, "2 4 2"]:
    """Outlines in the image of the two fingertips' ends, at the open width of one grasp."""
    boxes = gripper.boxes(grasp_camera.width)
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) / 2
    jaws = list(gripper.JAWS)
    points = boxes.centers[jaws][:, None] + boxes.sizes[jaws][:, None] * corners
    return intrinsics.project(
        transforms.apply(grasp_camera.pose, points.reshape(-1, 3)).reshape(2, 4, 3)
    )


def zoom(
    axes: Axes, image: DepthImage, center_px: Float[np.ndarray, "2"], size_m: float = 0.3
) -> None:
    """Show a square of ``size_m`` around a pixel, at the median depth, and spread its greys."""
    half = size_m / 2 * image.intrinsics.fx / float(np.median(image.depth[image.valid]))
    half = min(half, image.intrinsics.width / 2, image.intrinsics.height / 2)
    u = float(np.clip(center_px[0], half, image.intrinsics.width - half))
    v = float(np.clip(center_px[1], half, image.intrinsics.height - half))
    axes.set_xlim(u - half - 0.5, u + half - 0.5)
    axes.set_ylim(v + half - 0.5, v - half - 0.5)
    rows, columns = slice(int(v - half), int(v + half)), slice(int(u - half), int(u + half))
    shown = image.depth[rows, columns]
    near, far = np.percentile(shown[shown > 0], [0.5, 98.0])
    axes.images[0].set_clim(near - 0.005, far + 0.005)


def save_plan(
    path: str | Path,
    image: DepthImage,
    plan: Plan,
    gripper: GripperModel,
    mask: Bool[np.ndarray, "H W"] | None = None,
) -> None:
    """Write the picture of a plan: the whole image, a close-up of the best grasp, and what was rejected for what."""
    figure = Figure(figsize=(15.5, 5.4), layout="constrained")
    whole, close, refused = figure.subplots(1, 3, width_ratios=[1.3, 1, 1.3])
    for axes in (whole, close):
        draw_depth(axes, image, mask)
        draw_plan(axes, image, plan, gripper)
    draw_depth(refused, image, mask)
    draw_rejected(refused, image, plan)
    n_rejected = sum(plan.counts.get(name, 0) for name in REJECTIONS)
    refused.set_title(f"{n_rejected} candidates rejected", fontsize=10)
    if len(plan.grasps):
        best = plan.best
        zoom(close, image, best.center_px, 0.2)
        whole.set_title(f"{len(plan.grasps)} grasps, best q = {plan.quality[0]:.2f}", fontsize=10)
        close.set_title(
            f"angle {np.degrees(best.angle):.0f}°, depth {best.depth * 1000:.0f} mm, "
            f"opening {best.width * 1000:.0f} mm",
            fontsize=10,
        )
    else:
        close.set_title("")
    save_figure(figure, path)


def save_demo(
    path: str | Path,
    image: DepthImage,
    plan: Plan,
    gripper: GripperModel,
    lift: UInt8[np.ndarray, "H W 3"],
    outcome: str,
) -> None:
    """Write the demo's picture: what the camera saw and what was planned; beside it the simulated lift."""
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_depth(left, image)
    draw_plan(left, image, plan, gripper)
    left.set_title(f"planned from one noisy depth image: q = {plan.quality[0]:.2f}", fontsize=11)
    zoom(left, image, plan.best.center_px, 0.32)
    right.imshow(lift)
    right.set_title(outcome, fontsize=11)
    right.set_xticks([])
    right.set_yticks([])
    save_figure(figure, path)


def check_picture_path(path: str | Path) -> None:
    """Refuse a picture that could not be written, before the work is done.

    Raises:
        InvalidConfig: an unknown suffix.
    """
    if Path(path).suffix.lower() not in PICTURES:
        raise InvalidConfig(f"picture {path}: expected a name that ends in {', '.join(PICTURES)}")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; its folder is made. On a full disk a picture of before is what it was."""
    picture, path = io.BytesIO(), Path(path)
    figure.savefig(picture, format=path.suffix[1:].lower(), dpi=130, bbox_inches="tight")
    write_bytes(picture.getvalue(), path)
