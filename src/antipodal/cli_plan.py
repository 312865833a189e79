"""The verbs that look at one image: ``antipodal plan`` and ``antipodal doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tyro.conf import Positional

from .errors import InvalidConfig
from .files import write_json
from .terminal import emit

Pair = tuple[float, float]


def plan(
    depth: Positional[Path],
    camera: str,
    mask: Path | None = None,
    gripper: str = "yumi",
    model: str = "builtin",
    policy: Literal["auto", "cem", "dense", "antipodal"] = "auto",
    depth_unit: float | None = None,
    seed: int = 0,
    repeat: int = 1,
    output: Annotated[Path | None, tyro.conf.arg(aliases=("-o",))] = None,
    plot: Path | None = None,
    json: bool = False,
    box: tuple[float, float, float, float] | None = None,
    target: Pair | None = None,
    target_radius: float = 0.05,
    workspace: tuple[Pair, ...] = (),
    yaw_range_deg: Pair | None = None,
    max_tilt_deg: float | None = None,
    min_height: float | None = None,
    width_range: Pair | None = None,
    n_grasps: int | None = None,
    apart: Pair = (0.0, 0.0),
    repair: Literal["none", "holes", "all"] = "holes",
) -> int:
    """Plan grasps from one depth image. Exit 1, with the reason, if there is none.

    Example: antipodal plan depth.npy --camera primesense --mask mask.png --plot plan.png -o grasp.json

    Args:
        depth: .npy (metres), or 16-bit PNG/TIFF.
        camera: preset, or a .intr, .json or .toml file; FILE#NAME where it holds several.
        mask: image whose non-zero pixels are the object; without it, whatever stands on the table.
        gripper: name, or a gripper.toml.
        model: "builtin", or an ONNX file.
        policy: cem refines by the cross-entropy method; antipodal ranks a fixed set; auto is cem.
        depth_unit: metres per count, for 16-bit images: 0.001 or 0.0001.
        seed: of the planner.
        repeat: plan this often and report the median time.
        output: write the plan as JSON.
        plot: draw the plan, and what was rejected for what.
        json: print the plan as JSON.
        box: U0 V0 U1 V1: the grasp's centre lies in this rectangle, pixels.
        target: U V: the grasp's centre is near the surface at this pixel.
        target_radius: how near, metres.
        workspace: X0 Y0 X1 Y1 X2 Y2 …: the centre lies in this polygon of the world, metres.
        yaw_range_deg: least and greatest angle of the closing axis from world x, or from image +u without a pose.
        max_tilt_deg: largest angle between approach and straight down (the optical axis without a pose).
        min_height: the fingertips stay this far above the table, metres.
        width_range: least width between the jaws, and greatest opening, metres.
        n_grasps: only the best so many.
        apart: leave out grasps nearer than METRES and less than DEGREES turned from a better one.
        repair: holes fills missing depth with what is behind it; all drops flying pixels first.
    """
    from .planning import plan_image, read_inputs
    from .policy.repair import DEFAULT_REPAIR, FULL_REPAIR, NO_REPAIR
    from .policy.request import Request

    if plot is not None:  # matplotlib is loaded for those who ask for a picture
        from .draw import check_picture_path

        check_picture_path(plot)
    request = Request(
        box_px=_array(box),
        target_px=_array(target),
        target_radius=target_radius,
        workspace=_array(workspace),
        yaw_range=_array(yaw_range_deg, np.pi / 180),
        max_tilt=None if max_tilt_deg is None else np.deg2rad(max_tilt_deg),
        min_height=min_height,
        width_range=_array(width_range),
        n_grasps=n_grasps,
        min_distance=apart[0],
        min_angle=np.deg2rad(apart[1]),
    )
    mend = {"none": NO_REPAIR, "holes": DEFAULT_REPAIR, "all": FULL_REPAIR}[repair]
    inputs = read_inputs(depth, camera, mask, gripper, model, policy, depth_unit, request, mend)
    result = plan_image(inputs, seed, repeat)
    if output is not None:
        write_json(result.json, output)
    if plot is not None:
        from .draw import save_plan

        save_plan(plot, inputs.image, result.plan, inputs.gripper, inputs.mask)
    emit(result.json, result.text, json)
    return 0 if len(result.plan.grasps) else 1


def doctor(
    inputs: Positional[tuple[str, ...]],
    camera: str | None = None,
    gripper: str = "yumi",
    depth_unit: float | None = None,
    mesh_unit: float = 1.0,
    json: bool = False,
) -> int:
    """Say in words what is wrong with depth images, meshes, grippers or cameras. Exit 1 if one is unusable.

    Example: antipodal doctor depth.png --camera d435.json --depth-unit 0.001

    Args:
        inputs: depth images, meshes, gripper or camera files or names.
        camera: of the depth images.
        gripper: that meshes and what stands on the table must fit.
        depth_unit: metres per count of 16-bit images.
        mesh_unit: metres per unit of the meshes.
        json: print the findings as JSON.
    """
    from .doctor import examine

    if not inputs:
        raise InvalidConfig(
            "doctor: nothing to examine: give depth images, meshes, grippers or cameras"
        )
    reports = {
        name: examine(
            name, camera=camera, gripper=gripper, depth_unit=depth_unit, mesh_unit=mesh_unit
        )
        for name in inputs
    }
    lines = [f"{name}: {f.severity}: {f.message}" for name, found in reports.items() for f in found]
    findings = {
        n: [{"severity": f.severity, "message": f.message} for f in fs] for n, fs in reports.items()
    }
    emit({"findings": findings}, "\n".join(lines), json)
    return int(any(f.severity == "error" for found in reports.values() for f in found))


def _array(values: tuple | None, factor: float = 1.0) -> np.ndarray | None:
    """None where nothing was given."""
    return np.array(values, float) * factor if values else None
