"""Draw a gripper to scale: from the front and from the side, open and closed, beside a scale bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from . import transforms
from .draw import check_picture_path, save_figure
from .gripper import GripperModel

JAW, PALM, CLOSED, NOTE = "#f28c26", "#8c8f94", "#b3362b", "#1b2a49"
BARS = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Lengths of the scale bar, m: the longest that takes less than a third of the picture."""


def save_gripper_picture(gripper: GripperModel, path: str | Path) -> None:
    """Write the picture.

    Raises:
        InvalidConfig: an unknown suffix.
    """
    check_picture_path(path)
    figure = Figure(figsize=(9.5, 6.2), layout="constrained")
    axes = figure.subplots()  # one for both views, so that they have one scale
    beside = _reach(gripper, 0) + _reach(gripper, 1) + 0.35 * _reach(gripper, 0) + 0.02
    draw_gripper(axes, gripper, 0)
    draw_gripper(axes, gripper, 1, beside)
    _measure(axes, gripper)
    _frame(axes, gripper)
    axes.set_aspect("equal")
    axes.margins(0.08)
    axes.autoscale_view()
    axes.invert_yaxis()  # the approach, +z, goes down
    axes.set_axis_off()
    _scale_bar(axes)
    figure.suptitle(
        f"{gripper.name}: stroke {_mm(gripper.min_width)}–{_mm(gripper.max_width)} mm, {gripper.max_force:g} N",
        fontsize=12,
    )
    save_figure(figure, path)


def draw_gripper(axes: Axes, gripper: GripperModel, across: int, offset: float = 0.0) -> None:
    """Draw the boxes in the plane of x (``across`` = 0) or y (1) and z; from the front the closed jaws dashed.

    Args:
        axes: in metres, z upwards until it is inverted.
        gripper: the hand.
        across: axis of the grasp frame that runs to the right.
        offset: where that axis' zero is, m.
    """
    for width, closed in ((gripper.max_width, False), (gripper.min_width, True)):
        centers, sizes = gripper.boxes(width)
        for i in reversed(range(len(centers))):
            is_jaw = i in gripper.JAWS
            if closed and not (is_jaw and across == 0):
                continue
            low = (centers[i] - sizes[i] / 2)[[across, 2]]
            style = {"fc": JAW if is_jaw else PALM, "ec": "black", "lw": 0.7, "alpha": 0.9}
            if closed:
                style = {"fc": "none", "ec": CLOSED, "lw": 1.0, "ls": "--"}
            size = sizes[i][[across, 2]]
            axes.add_patch(Rectangle((low[0] + offset, low[1]), *size, **style))  # pyright: ignore[reportArgumentType]
    axes.plot(offset, 0, "+", ms=12, mew=1.6, color=NOTE)
    words = ("from the front", "from the side")[across]
    centers, sizes = gripper.boxes(gripper.max_width)
    base = transforms.inverse(gripper.T_gripper_grasp)[2, 3]  # its axes are labelled beside it
    top = min((centers - sizes / 2)[:, 2].min(), base)
    axes.annotate(
        words, (offset, top), (0, 8), textcoords="offset points", ha="center", fontsize=10
    )


def _reach(gripper: GripperModel, axis: int) -> float:
    """Furthest that the open hand reaches from the grasp's centre along ± an axis, m."""
    centers, sizes = gripper.boxes(gripper.max_width)
    return float((np.abs(centers) + sizes / 2)[:, axis].max())


def _measure(axes: Axes, gripper: GripperModel) -> None:
    """Arrows with the stroke, the finger's length and thickness, and the tips' overhang."""
    tip = gripper.tip_overhang
    root = tip - gripper.finger_depth
    outside = gripper.max_width / 2 + gripper.jaw_clearance + gripper.jaw_thickness
    step = 0.07 * max(gripper.finger_depth + outside, 0.05)
    half = gripper.max_width / 2
    _arrow(axes, (-half, tip + step), (half, tip + step), f"max_width {_mm(gripper.max_width)}")
    at = outside + step
    _arrow(axes, (at, root), (at, tip), f"finger_depth {_mm(gripper.finger_depth)}")
    at = -outside - step
    _arrow(axes, (at, 0.0), (at, tip), f"tip_overhang {_mm(tip)}")
    inner = half + gripper.jaw_clearance
    thick = f"jaw_thickness {_mm(gripper.jaw_thickness)}"
    _arrow(axes, (inner, tip + 2.6 * step), (outside, tip + 2.6 * step), thick)


def _arrow(axes: Axes, a: tuple[float, float], b: tuple[float, float], words: str) -> None:
    axes.annotate(
        "",
        a,
        b,
        arrowprops={"arrowstyle": "<->", "color": NOTE, "lw": 1.0, "shrinkA": 0, "shrinkB": 0},
    )
    upright = a[0] == b[0]
    middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
    shift = (4.0 if a[0] > 0 else -4.0, 0.0) if upright else (0.0, -4.0)
    axes.annotate(
        words,
        middle,
        shift,
        textcoords="offset points",
        fontsize=8,
        color=NOTE,
        rotation=90 if upright else 0,
        ha=("left" if a[0] > 0 else "right") if upright else "center",
        va="center" if upright else "top",
    )
    axes.update_datalim([a, b])


def _frame(axes: Axes, gripper: GripperModel) -> None:
    """Mark the base frame's origin and its axes, of unit length cut to the picture's plane."""
    T = transforms.inverse(gripper.T_gripper_grasp)
    origin = T[[0, 2], 3]
    length = 0.25 * max(gripper.finger_depth, 0.04)
    for i, name in enumerate("xyz"):
        way = T[[0, 2], i]
        if np.linalg.norm(way) < 0.3:
            continue  # out of the picture
        end = origin + length * way
        arrow = {"arrowstyle": "->", "color": NOTE, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", tuple(end), tuple(origin), arrowprops=arrow)
        right, down = (int(n) for n in np.rint(way))
        # beside the end; of a level arrow below its line, which may lie on the palm's edge
        beyond = (4 * right, -4 * down if down else -2)
        axes.annotate(
            f"base {name}",
            tuple(end),
            beyond,
            textcoords="offset points",
            fontsize=8,
            color=NOTE,
            ha=("center", "left", "right")[right],
            va=("top", "top", "bottom")[down],
        )
    axes.update_datalim([origin])


def _scale_bar(axes: Axes) -> None:
    """A bar of a round length in the lower right corner."""
    left, right = axes.get_xlim()
    below, above = axes.get_ylim()  # inverted: the larger is below
    length = max((b for b in BARS if b < (right - left) / 3), default=BARS[0])
    y, x = below - 0.04 * (below - above), right - 0.04 * (right - left)
    axes.plot([x - length, x], [y, y], "-", lw=4, color="black", solid_capstyle="butt")
    axes.text(x - length / 2, y, f"{_mm(length)} mm\n", ha="center", va="center", fontsize=9)


def _mm(metres: float) -> str:
    return f"{1e3 * metres:.3g}"
