"""``antipodal retarget``: from somebody's parts, gripper and camera to a network for their cell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .terminal import Output, emit, generation_report, progress_bar, stderr


def retarget(
    meshes: Path,
    output: Output,
    gripper: str = "yumi",
    camera: str | None = None,
    budget: Literal["15min", "2h", "overnight"] = "15min",
    mesh_unit: str | None = None,
    workers: int = 2,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Fit the system to your parts, gripper and camera, and say whether it pays. The same command resumes.

    Leaves OUTPUT/model.onnx with plan.sh and serve.sh, OUTPUT/bench/report.html with the failures, and
    OUTPUT/summary.json.

    Example: antipodal retarget --meshes parts --gripper my.toml --camera my_camera.toml -o cell --budget 15min

    Args:
        meshes: folder of your parts: STL, OBJ, PLY, OFF, GLB.
        output: folder for everything that is made.
        gripper: name, or a gripper.toml.
        camera: preset or file; training then sees its focal length and image size alone.
        budget: how long it may take on two cores.
        mesh_unit: m, mm, cm, inch; without it, one is guessed for all files but GLB, and said.
        workers: processes.
        seed: the only source of randomness.
        json: print the summary as JSON.
    """
    from .retarget import Callbacks, Cell, retarget

    cell = Cell(meshes, output, gripper, camera, budget, mesh_unit, workers, seed)
    with generation_report(json) as report, progress_bar("objects lifted") as lifted:
        summary = retarget(cell, Callbacks(stderr, report, lifted, training=not json))
    lines = [
        summary["verdict"],
        f"  {'':<14} {'all parts':<18} "
        + "".join(f"{g} parts".ljust(19) for g in summary["by_part"]),
    ]
    for name, rate in summary["success_rate"].items():
        shares = [(rate, summary["success_interval"][name])]
        for group in summary["by_part"].values():
            shares.append((group[name]["success_rate"], group[name]["success_interval"]))
        lines.append(f"  {Path(name).stem:<14} " + " ".join(_share(*share) for share in shares))
    lines += [
        *summary["improve"],
        f"report: {output / summary['report']}",
        f"plan with: {output / 'plan.sh'} DEPTH; serve with: {output / 'serve.sh'}",
    ]
    emit(summary, "\n".join(lines), json)
    return 0


def _share(rate: float | None, interval: list[float] | None) -> str:
    """A success rate with its 95 % interval."""
    if rate is None or interval is None:
        return f"{'none graspable':<18}"
    low, high = interval
    return f"{rate:6.1%} [{low:.0%}–{high:.0%}]".ljust(18)
