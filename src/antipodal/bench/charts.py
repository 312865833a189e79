"""The report's charts as SVG text: drawn by matplotlib, words kept as words so that the page's font is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..page import COLORS, FAINT, GRID, INK, chart, legend, percent, svg

OUTCOME_COLORS = {
    "SUCCESS": "#2b8a3e",
    "NO_GRASP": "#adb5bd",
    "COLLIDED_TABLE": "#e8590c",
    "COLLIDED_OBJECT": "#f59f00",
    "MISSED": "#9c36b5",
    "SLIPPED_LIFT": "#1864ab",
    "SLIPPED_CARRY": "#4dabf7",
    "SLIPPED_SHAKE": "#a5d8ff",
    "UNSTABLE": "#343a40",
}
"""Green held; greys never tried; warm: on the way in; blue: lost on the way out."""


def color_of(planners: Sequence[str], name: str) -> tuple[str, str]:
    """Colour and line style of a planner, in the order of the run: after twelve they start again, with dashes."""
    i = list(planners).index(name)
    return COLORS[i % len(COLORS)], "-" if i < len(COLORS) else "--"


def success_chart(planners: dict[str, dict[str, Any]], order: Sequence[str]) -> str:
    """Success over graspable trials with its interval, best first; hollow: over all trials."""
    figure, axes = chart(8.2, 0.9 + 0.34 * len(order))
    for y, name in enumerate(order):
        p = planners[name]
        if p["success_rate"] is not None:
            low, high = p["success_interval"]
            axes.plot([low, high], [y, y], color="#b6d7e4", lw=7, solid_capstyle="round")
            axes.plot(p["success_rate"], y, "o", ms=8, color=COLORS[0])
            axes.annotate(
                f"{100 * p['success_rate']:.0f} %", (high, y), (9, 0), textcoords="offset points",
                va="center", fontsize=10, fontweight="bold",
            )  # fmt: skip
        axes.plot(p["success_rate_all"], y, "o", ms=6, mfc="white", mec=FAINT)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(-0.015, 1.08)  # a dot at 0 is whole
    percent(axes, "x")
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10.5)
    axes.grid(axis="x", color=GRID)
    return svg(figure)


def coverage_chart(planners: dict[str, dict[str, Any]]) -> str:
    """Success among the trials taken on, against their share."""
    figure, axes = chart(5.6, 4.2)
    for name, p in planners.items():
        color, dash = color_of(list(planners), name)
        x, y = p["success_coverage"]["coverage"], p["success_coverage"]["success_rate"]
        if x:
            axes.plot(x, y, dash, color=color, lw=1.8, label=name)
            axes.plot(x[-1], y[-1], "o", color=color, ms=5)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    percent(axes, "x")
    percent(axes, "y")
    axes.set_xlabel("share of graspable trials taken on")
    axes.set_ylabel("success among them")
    axes.grid(color=GRID)
    legend(axes)
    return svg(figure)


def calibration_chart(planners: dict[str, dict[str, Any]]) -> str:
    """Success rate of grasps of like quality; on the diagonal q means what it says."""
    figure, axes = chart(5.6, 4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":")
    for name, p in planners.items():
        color, dash = color_of(list(planners), name)
        bins = p["calibration"]
        if bins["quality"]:
            axes.plot(bins["quality"], bins["success_rate"], dash, color=color, lw=1.3, label=name)
            size = 8 + 90 * np.array(bins["n"]) / max(1, sum(bins["n"]))
            axes.scatter(bins["quality"], bins["success_rate"], size, color=color, zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.02, 1.04)
    percent(axes, "y")
    axes.set_xlabel("predicted quality q")
    axes.set_ylabel("success rate")
    axes.grid(color=GRID)
    legend(axes)
    return svg(figure)


def outcome_chart(planners: dict[str, dict[str, Any]], order: Sequence[str]) -> str:
    """How the graspable trials ended, one bar of 100 % per planner."""
    figure, axes = chart(8.2, 1.3 + 0.34 * len(order))
    left = np.zeros(len(order))
    used = [o for o in OUTCOME_COLORS if any(planners[n]["outcomes"][o] for n in order)]
    for outcome in used:
        total = np.array([max(1, planners[n]["n_graspable"]) for n in order])
        share = np.array([planners[n]["outcomes"][outcome] for n in order]) / total
        axes.barh(
            range(len(order)), share, left=left, height=0.72, color=OUTCOME_COLORS[outcome],
            label=outcome.replace("_", " ").lower(),
        )  # fmt: skip
        for y, (s, x) in enumerate(zip(share, left, strict=True)):
            if s >= 0.05:
                dark = outcome not in ("SLIPPED_SHAKE", "NO_GRASP", "COLLIDED_OBJECT")
                axes.text(
                    x + s / 2, y, f"{100 * s:.0f}", ha="center", va="center", fontsize=9,
                    color="white" if dark else INK,
                )  # fmt: skip
        left += share
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    percent(axes, "x")
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10.5)
    if used:
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=5, frameon=False, fontsize=9,
            handlelength=1, columnspacing=1.2,
        )  # fmt: skip
    return svg(figure)
