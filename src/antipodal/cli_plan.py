"""The verbs that look at one image: ``antipodal plan`` and ``antipodal doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tyro.conf import OmitArgPrefixes, Positional

from .errors import InvalidConfig
from .files import write_json
from .terminal import MaybeOutput, emit

if TYPE_CHECKING:
    from .policy.request import Request

Pair = tuple[float, float]


@dataclass(frozen=True)
class Asked:
    """Where grasps may be, and which are wanted."""

    box: tuple[float, float, float, float] | None = None
    """U0 V0 U1 V1: the grasp's centre lies in this rectangle, pixels."""
    target: Pair | None = None
    """U V: the grasp's centre is near the surface at this pixel."""
    target_radius: float = 0.05
    """How near, metres."""
    workspace: tuple[Pair, ...] = ()
    """X0 Y0 X1 Y1 X2 Y2 …: the centre lies in this polygon of the world, metres."""
    yaw_range_deg: Pair | None = None
    """Least and greatest angle of the closing axis from world x, or from image +u without a pose."""
    max_tilt_deg: float | None = None
    """Largest angle between approach and straight down (the optical axis without a pose)."""
    min_height: float | None = None
    """The fingertips stay this far above the table, metres."""
    width_range: Pair | None = None
    """Least width between the jaws, and greatest opening, metres."""
    n_grasps: int | None = None
    """Only the best so many."""
    apart: Pair = (0.0, 0.0)
    """Leave out grasps nearer than METRES and less than DEGREES turned from a better one."""

    def request(self) -> Request:
        """The same in radians and arrays."""
        from .policy.request import Request

        return Request(
            box_px=_array(self.box),
            target_px=_array(self.target),
            target_radius=self.target_radius,
            workspace=_array(self.workspace),
            yaw_range=_array(self.yaw_range_deg, np.pi / 180),
            max_tilt=None if self.max_tilt_deg is None else np.deg2rad(self.max_tilt_deg),
            min_height=self.min_height,
            width_range=_array(self.width_range),
            n_grasps=self.n_grasps,
            min_distance=self.apart[0],
            min_angle=np.deg2rad(self.apart[1]),
        )


ANYTHING = Asked()


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
    output: MaybeOutput = None,
    plot: Path | None = None,
    json: bool = False,
    repair: Literal["none", "holes", "all"] = "holes",
    cut_away: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "float32",
    grasp: OmitArgPrefixes[Asked] = ANYTHING,
) -> int:
    """Plan grasps from one depth image. Exit 1, with the reason, if there is none.

    Example: antipodal plan depth.npy --camera primesense --mask mask.png --plot plan.png -o grasp.json

    Args:
        depth: .npy (metres), or 16-bit PNG/TIFF.
        camera: preset, or a .intr, .json, .toml, .yaml or .xml file; FILE#NAME where it holds several.
        mask: image whose non-zero pixels are the object; without it, whatever stands on the table.
        gripper: name, or a gripper.toml.
        model: "builtin", or an ONNX file.
        policy: cem refines by the cross-entropy method; antipodal ranks a fixed set;
            dense looks at every pixel at once; auto is cem.
        depth_unit: metres per count, for 16-bit images: 0.001 or 0.0001.
        seed: of the planner.
        repeat: plan this often and report the median time.
        output: write the plan as JSON.
        plot: draw the plan, and what was rejected for what.
        json: print the plan as JSON.
        repair: holes fills missing depth with what is behind it; all drops flying pixels first.
        cut_away: depth is missing because the background was cut away: fingers may go there.
        precision: float32 answers the same on every CPU; auto computes in bfloat16 where the CPU does: faster.
    """
    from .planning import plan_image, read_inputs
    from .policy.repair import DEFAULT_REPAIR, FULL_REPAIR, NO_REPAIR

    if plot is not None:  # matplotlib is loaded for those who ask for a picture
        from .draw import check_picture_path

        check_picture_path(plot)
    mend = {"none": NO_REPAIR, "holes": DEFAULT_REPAIR, "all": FULL_REPAIR}[repair]
    asked = grasp.request()
    inputs = read_inputs(
        depth, camera, mask, gripper, model, policy, depth_unit, asked, mend, cut_away, precision
    )
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
    mesh_unit: str = "m",
    json: bool = False,
) -> int:
    """Say in words what is wrong with depth images, meshes, grippers or cameras. Exit 1 if one is unusable.

    Example: antipodal doctor depth.png --camera d435.json --depth-unit 0.001

    Args:
        inputs: depth images, meshes, gripper or camera files or names.
        camera: of the depth images.
        gripper: that meshes and what stands on the table must fit.
        depth_unit: metres per count of 16-bit images.
        mesh_unit: of the meshes: m, mm, cm, inch, or metres per unit.
        json: print the findings as JSON.
    """
    from .doctor import examine
    from .objects.units import read_unit

    if not inputs:
        raise InvalidConfig(
            "doctor: nothing to examine: give depth images, meshes, grippers or cameras"
        )
    unit = read_unit(mesh_unit).factor
    reports = {
        name: examine(name, camera=camera, gripper=gripper, depth_unit=depth_unit, mesh_unit=unit)
        for name in inputs
    }
    lines = [f"{name}: {f.severity}: {f.message}" for name, found in reports.items() for f in found]
    findings = {n: [f._asdict() for f in found] for n, found in reports.items()}
    emit({"findings": findings}, "\n".join(lines), json)
    return int(any(f.severity == "error" for found in reports.values() for f in found))


def _array(values: tuple | None, factor: float = 1.0) -> np.ndarray | None:
    """None where nothing was given."""
    return np.array(values, float) * factor if values else None
