"""``antipodal retarget``: from somebody's parts, gripper and camera to a network for their cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from .terminal import emit, generation_report, progress_bar, stderr


def retarget(
    meshes: Path,
    output: Annotated[Path, tyro.conf.arg(aliases=("-o",))],
    gripper: str = "yumi",
    camera: str | None = None,
    budget: Literal["15min", "2h", "overnight"] = "15min",
    unit: str | None = None,
    workers: int = 2,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Fit the system to your parts, gripper and camera, and say whether it pays. The same command resumes.

    Leaves OUTPUT/model.onnx for plan and serve, OUTPUT/bench/report.html with the failures, and OUTPUT/summary.json.

    Example: antipodal retarget --meshes parts --gripper my.toml --camera my_camera.toml -o cell --budget 15min

    Args:
        meshes: folder of your parts: STL, OBJ, PLY, OFF, GLB.
        output: folder for everything that is made.
        gripper: name, or a gripper.toml.
        camera: preset or file; training then sees its focal length and image size alone.
        budget: how long it may take on two cores.
        unit: of the meshes: m, mm, cm, inch; guessed if not given.
        workers: processes.
        seed: the only source of randomness.
        json: print the summary as JSON.
    """
    from .retarget import Callbacks, Cell, retarget

    cell = Cell(meshes, output, gripper, camera, budget, unit, workers, seed)
    with generation_report(json) as report, progress_bar("objects lifted") as lifted:
        summary = retarget(cell, Callbacks(stderr, report, lifted, training=not json))
    lines = [summary["verdict"]]
    for name, rate in summary["success_rate"].items():
        low, high = summary["success_interval"][name] or (float("nan"), float("nan"))
        said = "nothing graspable" if rate is None else f"{rate:6.1%} [{low:.0%}–{high:.0%}]"
        lines.append(f"  {Path(name).name:<14} {said}")
    lines += [
        f"report: {summary['report']}",
        f"plan with: antipodal plan --model {summary['model']} --gripper {gripper} …",
    ]
    emit(summary, "\n".join(lines), json)
    return 0
