"""What is wrong with a camera: its numbers, its pose, its distance from what the built-in model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..camera import CameraIntrinsics, odd_intrinsics
from ..camera_files import load_camera
from ..errors import AntipodalError
from ..policy.pose_check import not_downwards
from .finding import Finding

TRAINED_DISTANCE = (0.4, 1.05)
"""Camera to table along the optical axis in the built-in model's training images, m: those of
``antipodal.dataset.model.BUILTIN``, which needs an extra (the paper's: 0.65–0.75)."""
TRAINED_PITCH = TRAINED_DISTANCE[1] / 380.0
"""What a pixel covers of the table in them, at most, m: the farthest camera with the shortest focal length."""
TRAINED_TILT = (0.0, float(np.deg2rad(28.0)))
"""Optical axis to table normal in them, rad (the paper's: 9–18°)."""

NO_POSE = Finding(
    "ok",
    "no T_world_camera: the table's normal is fitted to each image, and a way is in the camera's frame",
)


def examine_camera(camera: str | Path) -> list[Finding]:
    """Examine a camera by preset name or file: readable, plausible, with a pose."""
    try:
        found = load_camera(camera)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = check_intrinsics(found.intrinsics)
    if found.T_world_camera is None:
        return [*findings, NO_POSE]
    if (words := not_downwards(found.T_world_camera[2, :3])) is not None:
        return [*findings, Finding("error", words)]
    downward = -float(found.T_world_camera[2, 2])
    return [*findings, check_tilt(float(np.arccos(min(downward, 1.0))))]


def check_intrinsics(intrinsics: CameraIntrinsics) -> list[Finding]:
    """Compare focal length and principal point with the image's size."""
    i = intrinsics
    size = Finding("ok", f"camera {i.width}×{i.height} px, f = ({i.fx:.1f}, {i.fy:.1f}) px")
    return [size, *(Finding("warning", words) for words in odd_intrinsics(i))]


def check_tilt(tilt: float) -> Finding:
    """Compare the angle between optical axis and table normal, rad, with the training range."""
    low, high = np.rad2deg(TRAINED_TILT)
    words = f"the camera looks {np.rad2deg(tilt):.1f}° off the table's normal"
    if not TRAINED_TILT[0] <= tilt <= TRAINED_TILT[1]:
        return Finding(
            "warning",
            f"{words}: the built-in model was trained on {low:.0f}–{high:.0f}°; "
            "look more steeply down, or train for this view",
        )
    return Finding("ok", words)
