"""Failures as pictures: what the planner saw and chose, beside how the simulated attempt ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from .. import transforms
from ..draw import AXIS_COLOR, JAW_COLOR, draw_depth, fingertips_px, zoom
from ..errors import AntipodalError
from ..gripper import GripperModel
from .frames import Recorded, execute_again, last_picture, recorded, small_png
from .report import Trials
from .scenes import photograph

N_PICTURES = 24
"""Failures shown in all, shared out among the planners."""
MIN_EACH, MAX_EACH = 2, 12
SIZE = 300
"""Side of a picture, px."""


class Failure(NamedTuple):
    """One card of the gallery."""

    row: dict[str, Any]
    number: int
    """Row in trials.parquet: what ``bench replay --trial`` takes."""
    seen: bytes
    """PNG of the depth image with the grasp."""
    ended: bytes
    """PNG of the end of the attempt."""


def failures(trials: Trials, objects: Path | None = None) -> list[Failure]:
    """Draw each planner's most confident failures on graspable trials, one per object.

    A trial whose mesh is gone is left out.
    """
    gripper = GripperModel.from_json(trials.config["gripper"], "config.json: gripper")
    each = int(np.clip(N_PICTURES // len(trials.planners), MIN_EACH, MAX_EACH))
    found = []
    for planner in trials.planners:
        for number, row in worst(trials, planner, each):
            try:
                record = recorded(row, trials.config, gripper, objects)
                found.append(Failure(row, number, draw_seen(record), draw_end(record)))
            except AntipodalError:
                continue
    return found


def worst(trials: Trials, planner: str, n: int) -> list[tuple[int, dict[str, Any]]]:
    """The failures of a planner that were executed, on graspable trials: the surest first, one per object."""
    rows = trials.table.to_pylist()
    failed = [
        (i, r)
        for i, r in enumerate(rows)
        if r["planner"] == planner
        and r["execution_error"] == trials.errors[0]
        and r["graspable"]
        and not r["success"]
        and r["T_world_grasp"] is not None
    ]
    failed.sort(key=lambda item: -(item[1]["quality"] or 0.0))
    seen: set[str] = set()
    chosen = []
    for i, r in failed:
        if r["object"] not in seen:
            seen.add(r["object"])
            chosen.append((i, r))
    return chosen[:n]


def draw_seen(record: Recorded) -> bytes:
    """The noisy depth image around the object, with fingertips and closing axis of the grasp."""
    image, mask = photograph(record.trial)
    T_world_camera = record.trial.scene.T_world_camera
    grasp_camera = record.grasp_world.in_frame(transforms.inverse(T_world_camera))
    figure = Figure(figsize=(SIZE / 100, SIZE / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_depth(axes, image, mask)
    for corners in fingertips_px(grasp_camera, image.intrinsics, record.gripper):
        axes.add_patch(Polygon(corners, closed=True, fc=JAW_COLOR, ec="black", lw=0.6, alpha=0.85))
    ends = image.intrinsics.project(grasp_camera.jaws)
    axes.plot(ends[:, 0], ends[:, 1], color=AXIS_COLOR, lw=1.5)
    center = image.intrinsics.project(grasp_camera.center)
    zoom(axes, image, center, max(0.16, 1.4 * float(record.trial.scene.mesh.extents.max())))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return small_png(np.asarray(canvas.buffer_rgba())[..., :3])


def draw_end(record: Recorded) -> bytes:
    """The last frame of the attempt, executed again."""
    result, _ = execute_again(record)
    return small_png(last_picture(result, record.trial.scene.mesh, record.gripper, SIZE))
