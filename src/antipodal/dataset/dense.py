"""What a dense network learns from: noisy views of procedural objects, and the quality of thousands of their cells.

A cell's label is what planning would do with the grasp that it stands for: 0 where a constraint forbids it, else the
answer of the built-in network for single grasps. It orders cells as a plan would. What they are worth is told by other
views, of one object each, whose labels are P(success) on the object itself (:func:`cell_chance`).

    view i = f(seed, i):  1–3 objects ─▶ depth image ─▶ noise ─▶ look ─▶ one window, N_LABELS random entries
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .. import __version__, transforms
from ..camera import DepthImage
from ..errors import AntipodalError, InvalidConfig
from ..files import claim, writing
from ..gripper import GripperModel
from ..mesh import TriMesh, joined
from ..objects.families import FAMILIES, make_one
from ..policy.base import QualityFn
from ..policy.constraints import check_grasps
from ..policy.height_window import (
    N_ANGLES,
    SIZE,
    TIP_DEPTHS,
    Cells,
    HeightWindow,
    height_windows,
    to_grasps,
)
from ..policy.rank import scorer
from ..policy.view import View, look
from ..render.depth import render, see_whole
from ..render.noise import STRUCTURED_LIGHT, observe
from ..render.scene import CameraDistribution, draw_pose
from ..robust import robust_epsilon
from ..stable_pose import resting_poses
from ..success import success_chances
from .epsilon import fast_ferrari_canny

N_LABELS = 2000
"""Of one window, …"""
N_TRUE = 200
"""… where they come from the object itself: it takes milliseconds each."""
CAMERAS = (
    CameraDistribution((0.6, 0.8), (0.02, 0.4), focal_px=(500.0, 560.0), width=640, height=480, recenter=False),
    CameraDistribution((0.4, 1.2), (0.0, 0.53), focal_px=(380.0, 700.0), width=640, height=480, recenter=False),
)  # fmt: skip
"""Near the paper's, and far wider: every third view has the second."""
SECOND_RATE = 0.2
"""Share of views of which the second most voluminous window is labelled."""
NEIGHBOUR_RATE = 0.35
"""Share of views with one or two more objects beside the first."""
MAX_CAMERA_DRAWS = 20
"""A camera that does not see all objects is drawn again, so often."""
OFF_CENTER = 0.08
"""The first object's distance from where cameras look, at most, m in x and y."""
MAX_GAP = 0.04
"""m."""
VIEWS_PER_OBJECT = 4
SHARD = 100
"""Views in one file: what is lost of an interrupted run."""


class LabelledViews(NamedTuple):
    """V windows with their labels."""

    height: Float[np.ndarray, "V S S"]
    """float16 strokes."""
    place: Int[np.ndarray, "V N"]
    """Flat index into (angle, tip depth, cell, cell), int32."""
    quality: Float[np.ndarray, "V N"]
    """uint8: 255 q."""


def make_views(
    directory: str | Path,
    n_views: int,
    seed: int,
    gripper: GripperModel,
    quality: QualityFn | None,
    teacher: str,
    progress: Callable[[int, int], None] | None = None,
    every: tuple[int, int] = (0, 1),
) -> None:
    """Write shards of views that are not there yet; ``every`` (k, n): the k-th of n processes.

    ``quality`` labels them; None: the object itself does.

    Raises:
        InvalidConfig: the folder holds views of another number, seed, hand or ``teacher``, which names the labels.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    told = {"n_views": n_views, "seed": seed, "gripper": gripper.to_json(), "teacher": teacher}
    claim(directory / "config.json", {**told, "version": __version__}, "views")
    n_shards = -(-n_views // SHARD)
    for k in range(every[0], n_shards, every[1]):
        path = _shard(directory, k)
        if not path.is_file():
            made: list[LabelledViews] = []
            for i in range(k * SHARD, min((k + 1) * SHARD, n_views)):
                made += label_view(i, seed, gripper, quality)
            _write(path, made, N_LABELS if quality else N_TRUE)
        if progress:
            progress(k + 1, n_shards)


def load_views(directory: str | Path, which: slice = slice(None)) -> LabelledViews:
    """Read the shards of a folder in order, or those ``which``; no object is in two of them but as a neighbour.

    Raises:
        InvalidConfig: the folder does not hold all that its config.json names.
    """
    directory = Path(directory)
    if not (directory / "config.json").is_file():
        raise InvalidConfig(f"{directory} holds no views: label them first")
    n_views = json.loads((directory / "config.json").read_text())["n_views"]
    paths = [_shard(directory, k) for k in range(-(-n_views // SHARD))]
    if missing := [path for path in paths if not path.is_file()]:
        raise InvalidConfig(
            f"{directory} holds {len(paths) - len(missing)} of {len(paths)} files of views: label the rest first"
        )
    shards = []
    for path in paths[which]:
        with np.load(path) as file:
            shards.append(LabelledViews(*(file[name] for name in LabelledViews._fields)))
    return LabelledViews(*(np.concatenate(column) for column in zip(*shards, strict=True)))


def label_view(
    index: int, seed: int, gripper: GripperModel, quality: QualityFn | None
) -> list[LabelledViews]:
    """Make one view and label it; nothing where the view shows nothing to grasp."""
    rng = np.random.default_rng([seed, index])
    neighbour_rate, n_labels = (NEIGHBOUR_RATE, N_LABELS) if quality else (0.0, N_TRUE)
    try:
        mesh = _arrange(index, seed, neighbour_rate, rng)
        image = _photograph(mesh, rng)
        view = look(image, None, rng)
    except AntipodalError:  # an object without a stable pose, a camera that sees nothing
        return []
    windows = list(islice(height_windows(view, gripper, (SIZE,)), 2))
    if not windows:
        return []
    # the second is another object
    window = windows[min(int(rng.random() < SECOND_RATE), len(windows) - 1)]
    if len(window.cells) == 0:
        return []
    some = Cells(
        rng.integers(N_ANGLES, size=n_labels),
        rng.integers(len(TIP_DEPTHS), size=n_labels),
        window.cells[rng.integers(len(window.cells), size=n_labels)],
    )
    if quality:
        q = cell_quality(view, window, some, gripper, quality)
    else:
        q = cell_chance(mesh, view, window, some, gripper, rng)
    place = np.ravel_multi_index(
        (some.angle, some.depth, *some.cell.T), (N_ANGLES, len(TIP_DEPTHS), SIZE, SIZE)
    )
    return [
        LabelledViews(
            window.shown[None].astype(np.float16),
            place[None].astype(np.int32),
            np.rint(255 * q)[None].astype(np.uint8),
        )
    ]


def cell_quality(
    view: View, window: HeightWindow, some: Cells, gripper: GripperModel, quality: QualityFn
) -> Float[np.ndarray, "N"]:
    """Quality of the grasps that cells stand for; 0 where they may not be executed."""
    grasps = to_grasps(view, window, some, gripper)
    keep = check_grasps(view, grasps, gripper).keep
    q = np.zeros(len(grasps))
    if keep.any():
        q[keep] = scorer(view, quality)(grasps[keep])
    return q


def cell_chance(
    mesh: TriMesh,
    view: View,
    window: HeightWindow,
    some: Cells,
    gripper: GripperModel,
    rng: np.random.Generator,
) -> Float[np.ndarray, "N"]:
    """P(success) of the grasps that cells stand for, on the one object that the view shows, given in the world."""
    assert view.image.T_world_camera is not None
    grasps = to_grasps(view, window, some, gripper)
    grasps_world = grasps.to_grasp(view.image.intrinsics, view.approach_axis).in_frame(
        view.image.T_world_camera
    )
    epsilon = robust_epsilon(mesh, grasps_world, gripper, rng, metric=fast_ferrari_canny).mean
    return success_chances(
        mesh, np.eye(4), grasps_world, gripper, epsilon, rng,
        metric=fast_ferrari_canny, everywhere=False,
    ).success  # fmt: skip


def _photograph(mesh: TriMesh, rng: np.random.Generator) -> DepthImage:
    """Draw a camera that sees the objects, and add its noise."""
    camera = CAMERAS[int(rng.random() < 1 / 3)]
    scene = see_whole(mesh, np.eye(4), rng, camera, MAX_CAMERA_DRAWS)
    return observe(render(scene).image, rng, STRUCTURED_LIGHT)


def _arrange(index: int, seed: int, neighbour_rate: float, rng: np.random.Generator) -> TriMesh:
    """Put one object, or two or three beside each other, on the table: one mesh in the world."""
    n = 1 + (rng.integers(1, 3) if rng.random() < neighbour_rate else 0)
    families, placed, first = sorted(FAMILIES), [], 0.0
    angle = rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(-OFF_CENTER, OFF_CENTER, size=2)
    for k in range(n):
        number = index // VIEWS_PER_OBJECT if k == 0 else int(rng.integers(10**6))
        mesh = make_one(number, seed, families)
        at = transforms.apply(draw_pose(resting_poses(mesh), rng), mesh.vertices)
        xy = at[:, :2] - (at[:, :2].min(0) + at[:, :2].max(0)) / 2
        radius = float(np.linalg.norm(xy, axis=1).max())
        if k == 0:
            first = radius
        else:
            # their circles overlap by up to a third, or are up to MAX_GAP apart
            away = first * rng.uniform(0.7, 1.0) + radius * rng.uniform(0.7, 1.0)
            away += rng.uniform(0.0, MAX_GAP)
            a = angle + (k - 1) * rng.uniform(1.5, np.pi)
            xy = xy + away * np.array([np.cos(a), np.sin(a)])
        placed.append(TriMesh(np.column_stack([xy + middle, at[:, 2]]), mesh.faces))
    return joined(placed, "scene")


def _shard(directory: Path, index: int) -> Path:
    return directory / f"views_{index:04d}.npz"


def _write(path: Path, views: list[LabelledViews], n_labels: int) -> None:
    none = LabelledViews(
        np.empty((0, SIZE, SIZE), np.float16),
        np.empty((0, n_labels), np.int32),
        np.empty((0, n_labels), np.uint8),
    )
    height, place, quality = (np.concatenate(column) for column in zip(none, *views, strict=True))
    with writing(path) as file:
        np.savez_compressed(file, height=height, place=place, quality=quality)
