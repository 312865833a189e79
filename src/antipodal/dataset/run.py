"""From paths and names to a data set: what ``antipodal generate`` does, as one function."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import CameraIntrinsics
from ..camera_files import load_camera
from ..errors import InvalidConfig, InvalidMesh, UnknownAsset
from ..gripper import load_gripper
from ..mesh import TriMesh
from ..objects import ObjectSet, load_object_set
from ..render.scene import CameraDistribution
from .events import Done, Event, Report
from .execution import Execution
from .generate import generate
from .model import PRESETS, GenerativeModel
from .shard import Unreadable
from .summary import summary


def run_generate(
    objects: str | Path,
    output: str | Path,
    preset: str,
    *,
    n_datapoints: int | None,
    gripper: str | Path,
    camera: str | Path | None,
    seed: int,
    execution: Execution,
    report: Report,
    images_per_pose: int | None = None,
) -> dict[str, Any]:
    """Generate from an object set; return the summary with the rate of this run.

    ``n_datapoints`` gives each object the same share; ``images_per_pose`` gives each aligned grasp the same, as the
    paper has it.

    Raises:
        UnknownAsset: preset, gripper, camera or objects that do not exist.
        InvalidConfig: no object gave a single datapoint, e.g. because none fits between the jaws; a file is not what
            its object set recorded.
    """
    if preset not in PRESETS:
        raise UnknownAsset(f"unknown preset '{preset}': expected one of {', '.join(PRESETS)}")
    model = PRESETS[preset]
    if images_per_pose is not None:
        if n_datapoints is not None:
            raise InvalidConfig("n_datapoints and images_per_pose: expected only one of them")
        model = dataclasses.replace(model, images_per_pose=images_per_pose)
    if camera is not None:
        model = with_camera(model, load_camera(camera).intrinsics)
    hand = load_gripper(gripper)
    meshes = load_meshes(load_object_set(objects))
    unreadable = [mesh for mesh in meshes if isinstance(mesh, Unreadable)]
    if unreadable and len(unreadable) == len(meshes):
        name, reason = unreadable[0]
        raise InvalidConfig(f"none of {len(meshes)} objects can be read: {name}: {reason}")
    rate = 0.0

    def watch(event: Event) -> None:
        nonlocal rate
        if isinstance(event, Done):
            rate = event.datapoints_per_second
        report(event)

    dataset = generate(meshes, hand, output, model, seed, n_datapoints, execution, watch)
    facts = summary(dataset)
    if facts["n_datapoints"] == 0:
        reasons = list(facts["refused_by_reason"])
        said = "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")
        raise InvalidConfig(
            f"none of {len(meshes)} objects gave a datapoint ({said}): use smaller objects, a wider "
            f"gripper than {gripper}, or --preset paper, which rescales objects"
        )
    return {**facts, "datapoints_per_second": rate}


def load_meshes(objects: ObjectSet) -> list[TriMesh | Unreadable]:
    """Load every object; one that cannot be read keeps its place, with the reason.

    Raises:
        InvalidConfig: a file is missing, or is not what the set recorded.
    """
    if faults := objects.check_files():
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InvalidConfig(f"{objects.directory}: {faults[0]}{more}")
    loaded: list[TriMesh | Unreadable] = []
    for index, record in enumerate(objects.records):
        try:
            loaded.append(objects[index])
        except (InvalidMesh, UnknownAsset) as error:
            reason = str(error).removeprefix(f"{Path(record.file).name}: ")
            loaded.append(Unreadable(record.name, reason))
    return loaded


def with_camera(model: GenerativeModel, intrinsics: CameraIntrinsics) -> GenerativeModel:
    """Replace image size and focal length; the latter varies by ±1 %, about as the paper's does."""
    focal = float(np.sqrt(intrinsics.fx * intrinsics.fy))
    camera: CameraDistribution = dataclasses.replace(
        model.camera,
        focal_px=(0.99 * focal, 1.01 * focal),
        width=intrinsics.width,
        height=intrinsics.height,
    )
    return dataclasses.replace(model, camera=camera)
