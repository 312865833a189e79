"""From paths and names to a data set: what ``antipodal generate`` does, as one function."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import CameraIntrinsics
from ..camera_files import load_camera
from ..errors import InvalidConfig, UnknownAsset
from ..gripper import load_gripper
from ..objects import load_object_set
from ..render.scene import CameraDistribution
from .generate import Progress, generate, summary
from .model import PRESETS, GenerativeModel


def run_generate(
    objects: str | Path,
    output: str | Path,
    preset: str,
    n_datapoints: int | None,
    gripper: str | Path,
    camera: str | Path | None,
    workers: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Generate from an object set; return the summary with the rate of this run.

    Raises:
        UnknownAsset: preset, gripper, camera or objects that do not exist.
        InvalidConfig: no object gave a single datapoint, e.g. because none fits between the jaws.
    """
    if preset not in PRESETS:
        raise UnknownAsset(f"unknown preset '{preset}': expected one of {', '.join(PRESETS)}")
    model = PRESETS[preset]
    if camera is not None:
        model = with_camera(model, load_camera(camera).intrinsics)
    meshes = list(load_object_set(objects))
    start = time.perf_counter()
    made: list[int] = []

    def count(done: int, total: int, n: int) -> None:
        made.append(n)
        progress(done, total, n)

    dataset = generate(
        meshes, load_gripper(gripper), output, model, seed, n_datapoints, workers, count
    )
    facts = summary(dataset)
    if facts["n_datapoints"] == 0:
        reasons = sorted({r["reason"] for r in facts["refused"]})
        raise InvalidConfig(
            f"none of {len(meshes)} objects gave a datapoint ({'; '.join(reasons)}): use smaller objects, a wider "
            f"gripper than {gripper}, or --preset paper, which rescales objects"
        )
    rate = (made[-1] - made[0]) / (time.perf_counter() - start) if made else 0.0
    return {**facts, "datapoints_per_second": rate}


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
