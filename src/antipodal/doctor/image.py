"""What is wrong with a depth image: unit, range, holes, table, and whether what stands on it fits the gripper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..camera import CameraIntrinsics, DepthImage, depths_in_words, far_for_grasping, wrong_unit
from ..camera_files import Camera, load_camera, load_depth
from ..errors import AntipodalError
from ..gripper import GripperModel, load_gripper
from ..policy.pose_check import disagreement, not_downwards
from ..policy.relief import across
from ..policy.repair import flying_pixels
from ..policy.table import CHANCE, DEFAULT_TABLE, TablePlane, fit_table, objects_on
from .camera import NO_POSE, TRAINED_DISTANCE, TRAINED_PITCH, check_intrinsics, check_tilt
from .finding import Finding
from .finding import millimetres as _mm
from .gripper import examine_gripper

DEPTH_SEED = 0
"""Random state of the plane fit: the same image gets the same findings."""


MAX_NOISE = 0.003
"""Noise of the table beyond which a planner's clearances of 1 to 3 mm mean little, m."""
MAX_BOW = 0.005
"""Deviation of the table's parts from one plane beyond which its edges are taken for objects, m."""
BLOCK = 32
"""Side of a neighbourhood, px: a table's bow is flat there, a sensor's noise is not."""
MIN_PART = 500
"""Fewest pixels of one part of the table that is looked at."""
TOP = 0.02
"""Outlines are measured this far down from their highest point: below it a slanted view smears their sides, m."""
MAX_FLYING = 0.01
"""Share of flying pixels beyond which they should be dropped."""


def examine_depth(
    depth: str | Path | np.ndarray,
    camera: Camera | CameraIntrinsics | str | Path,
    unit: float | None = None,
    gripper: GripperModel | str | Path | None = None,
) -> list[Finding]:
    """Examine a depth image: unit, range, holes, camera, table, and the size of what stands on it.

    Args:
        depth: a file, or an array in counts of ``unit`` m.
        camera: its camera, as a value, a preset name or a file.
        unit: metres per count.
        gripper: the hand that is to hold what stands on the table, or None to leave that question.
    """
    try:
        hand = gripper if isinstance(gripper, GripperModel | None) else load_gripper(gripper)
        image = _read(depth, camera, unit)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    pixels = [_range(image), _holes(image), _flying(image)]
    odd = [] if hand is None else [f for f in examine_gripper(hand) if f.severity != "ok"]
    pose = [] if image.T_world_camera is not None else [NO_POSE]
    return [*pixels, *check_intrinsics(image.intrinsics), *pose, *_table(image, hand), *odd]


def _read(
    depth: str | Path | np.ndarray,
    camera: Camera | CameraIntrinsics | str | Path,
    unit: float | None,
) -> DepthImage:
    if not isinstance(depth, np.ndarray):
        return load_depth(depth, camera, unit)
    if isinstance(camera, str | Path):
        camera = load_camera(camera)
    if isinstance(camera, CameraIntrinsics):
        camera = Camera("", camera)
    metres = depth if unit is None else depth * unit
    return DepthImage(metres, camera.intrinsics, camera.T_world_camera)


def _range(image: DepthImage) -> Finding:
    if (wrong := wrong_unit(image)) is not None:
        return Finding("error", wrong)
    if (far := far_for_grasping(image)) is not None:
        return Finding("warning", far)
    return Finding("ok", depths_in_words(image))


def _holes(image: DepthImage) -> Finding:
    share = 1.0 - float(image.valid.mean())
    words = f"{share:.1%} of the pixels are missing ({int((~image.valid).sum())} have depth 0)"
    if share > 0.9:
        return Finding("error", f"{words}: expected depth on most of the image")
    if share > 0.4:
        return Finding(
            "warning",
            f"{words}: fingers are kept out of what is not seen; change the view or the exposure, merge several "
            "frames, or say with a mask where the object is",
        )
    return Finding("ok", words)


def _flying(image: DepthImage) -> Finding:
    share = float(flying_pixels(image).sum() / image.valid.sum())
    words = f"{share:.2%} of the pixels fly between surfaces"
    if share > MAX_FLYING:
        return Finding("warning", f"{words} and look like obstacles: plan with --repair all")
    return Finding("ok", words)


def _table(image: DepthImage, gripper: GripperModel | None) -> list[Finding]:
    """The plane, as the planner will find it: with the pose if that is known."""
    normal = image.table_normal_camera()
    if normal is not None and (words := not_downwards(normal)) is not None:
        return [Finding("error", words)]
    table = fit_table(image, None, np.random.default_rng(DEPTH_SEED))
    off = disagreement(image, None, table)
    wrong = [] if off is None else [Finding("error" if off.is_certain else "warning", off.words)]
    if table is None:
        least = DEFAULT_TABLE.min_share + (CHANCE if normal is None else 0.0)
        return [
            *wrong,
            Finding(
                "warning",
                f"no table: no plane{'' if normal is None else ' perpendicular to world z'} holds "
                f"{least:.0%} of the pixels; heights above it cannot be checked",
            ),
        ]
    findings = [check_tilt(table.tilt), *_distance(image, table), _flatness(image, table), *wrong]
    return [*findings, *_objects(image, table, gripper)]


def _flatness(image: DepthImage, table: TablePlane) -> Finding:
    """Measure how far the table's pixels are off their neighbours' median, and parts of it, 4 × 4, off one plane."""
    height = table.height(image.points_camera())
    on_table = image.valid & (np.abs(height) < 2 * DEFAULT_TABLE.tolerance)
    noise = _scatter(np.where(on_table, height, np.nan))
    words = f"the table's pixels scatter by {noise * 1e3:.1f} mm (1 σ)"
    parts = []
    for rows in np.array_split(np.arange(height.shape[0]), 4):
        for columns in np.array_split(np.arange(height.shape[1]), 4):
            part = np.ix_(rows, columns)
            if on_table[part].sum() >= MIN_PART:
                parts.append(float(np.median(height[part][on_table[part]])))
    bow = max(np.abs(parts), default=0.0)
    if noise > MAX_NOISE:
        return Finding(
            "warning",
            f"{words}: clearances of 1 to 3 mm drown in that; average several frames or come nearer",
        )
    if bow > MAX_BOW:
        return Finding(
            "warning",
            f"{words}, and parts of it are {bow * 1e3:.0f} mm off one plane: is the lens distortion corrected, the "
            "sensor calibrated, or the table not flat? Give a mask if its edges are taken for objects",
        )
    return Finding("ok", words)


def _scatter(height: Float[np.ndarray, "H W"]) -> float:
    """σ of a normal distribution by the median deviation (1.4826) from the medians of blocks; nan: no table, m.

    Not by the steps from pixel to pixel: a sensor interpolates, so that its noise is smooth, and rounds.
    """
    rows, columns = (n // BLOCK * BLOCK for n in height.shape)
    blocks = height[:rows, :columns].reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    blocks = blocks.swapaxes(1, 2).reshape(-1, BLOCK**2)
    blocks = blocks[np.isfinite(blocks).mean(1) > 0.5]
    if len(blocks) == 0:
        return 0.0
    return 1.4826 * float(np.nanmedian(np.abs(blocks - np.nanmedian(blocks, 1, keepdims=True))))


def _objects(image: DepthImage, table: TablePlane, gripper: GripperModel | None) -> list[Finding]:
    """Measure the tops of what stands on the table, seen from above, against the stroke."""
    import cv2  # heavy: loaded with the first image

    objects = objects_on(image, table)
    if not objects.any():
        return [
            Finding(
                "warning",
                "nothing stands on the table: no pixels rise above it; is the object flatter than "
                f"{_mm(DEFAULT_TABLE.min_height)}, or the depth unit wrong?",
            )
        ]
    findings = [Finding("ok", f"objects on the table cover {int(objects.sum())} px")]
    if gripper is None:
        return findings
    n, found = cv2.connectedComponents(objects.astype(np.uint8), connectivity=4)
    labels, points = np.asarray(found), image.points_camera()
    R = across(-table.normal_camera)
    flat = [_top(points[labels == k] @ R.T) for k in range(1, n)]
    narrow = np.array([min(cv2.minAreaRect(p)[1]) for p in flat])
    stroke, fit = gripper.max_width, int((narrow < gripper.max_width).sum())
    words = (
        f"{fit} of {n - 1} outlines are narrower than the stroke of {gripper.name}, {_mm(stroke)}; the narrowest side "
        f"measures {_mm(narrow.min())} in the top {_mm(TOP)}"
    )
    if narrow.min() > 10 * stroke or narrow.max() < stroke / 20:
        words += ": that is no object's size: check the depth unit and the focal length"
        return [*findings, Finding("warning", words)]
    if fit == 0:
        words += (
            ": only a rim, a handle or a part may fit; take a wider gripper if nothing is planned"
        )
        return [*findings, Finding("warning", words)]
    return [*findings, Finding("ok", words)]


def _top(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 2"]:
    """What lies near the highest of some points (z away from the viewer), across z; 1 % may fly above it."""
    near = points[:, 2] < np.percentile(points[:, 2], 1) + TOP
    return points[near, :2].astype(np.float32)


def _distance(image: DepthImage, table: TablePlane) -> list[Finding]:
    distance = table.offset / -float(table.normal_camera[2])
    words = f"table at {distance:.3f} m along the optical axis"
    pitch = distance / min(image.intrinsics.fx, image.intrinsics.fy)
    coarse = []
    if pitch > 1.05 * TRAINED_PITCH:
        coarse.append(
            Finding(
                "warning",
                f"a pixel covers {pitch * 1e3:.1f} mm of the table: the built-in model was trained on at most "
                f"{TRAINED_PITCH * 1e3:.1f} mm; move the camera nearer, or take its higher resolution",
            )
        )
    low, high = TRAINED_DISTANCE
    # 1 cm: the training range has no sharp end
    if not low - 0.01 <= distance <= high + 0.01:
        words += f": the built-in model was trained at {low}–{high} m; move the camera, or train for this view"
        return [Finding("warning", words), *coarse]
    return [Finding("ok", words), *coarse]
