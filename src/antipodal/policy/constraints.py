"""What a grasp must satisfy: in the image, on the object, above the table, fingers and palm free [Mahler17, §V].

The fingers come in along the approach axis. Whatever the depth image shows higher than a finger's tip (or the palm's
face) within its cross-section is in the way: with a narrow jaw this is what most failed grasps fail by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from .. import transforms
from ..camera import DepthImage
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from ..values import NOT_NEGATIVE, SHARE, expect
from .reasons import REJECTIONS
from .relief import Relief
from .request import in_half_turn, in_polygon
from .view import View


@dataclass(frozen=True)
class ConstraintConfig:
    """How near is too near."""

    table_clearance: float = 0.0029
    """Least height of the fingertips above the table, m; just under the sampler's, so that rounding does not decide."""
    vertical_margin: float = 0.002
    """What reaches to this much below a tip or the palm is already in its way, m."""
    lateral_margin: float = 0.001
    """The fingers are checked this much thicker on every side, m."""
    max_overlap: float = 5e-6
    """Area of obstacle within one finger's or the palm's cross-section that is let pass, m²: a stray cell."""
    min_engagement: float = 0.002
    """Something between the jaws must stand at least this much above the tips, m."""
    max_unseen: float = 0.75
    """Share of a fingertip's end that may go where the camera saw nothing: no depth, or behind something. Missing depth
    is unknown, not free: 0 takes it for an obstacle, 1 for free space. A shadow beside an object is let pass."""
    check_obstacles: bool = True
    """Whether fingers and palm are checked against the depth image at all."""

    def __post_init__(self) -> None:
        expect(
            self,
            "constraints",
            NOT_NEGATIVE,
            "vertical_margin",
            "lateral_margin",
            "max_overlap",
            "min_engagement",
        )
        expect(self, "constraints", SHARE, "max_unseen")


DEFAULT_CONSTRAINTS = ConstraintConfig()
"""For a depth camera at 0.5–1 m."""


class Checked(NamedTuple):
    """Which grasps may be executed, and how many each constraint was the first to reject."""

    keep: Bool[np.ndarray, "N"]
    counts: dict[str, int]
    reason: Int[np.ndarray, "N"]
    """Position in :data:`~antipodal.policy.reasons.REJECTIONS` of what each failed first; −1 where it is kept."""


def check_grasps(
    view: View,
    grasps: PlanarGrasp,
    gripper: GripperModel,
    config: ConstraintConfig | None = DEFAULT_CONSTRAINTS,
) -> Checked:
    """Test N grasps against every constraint in turn; each grasp is counted where it fails first.

    Args:
        view: the image; its request is tested too.
        grasps: N of them.
        gripper: opened as the request allows (``view.request.opened(gripper)``).
        config: how near is too near; None = only what is asked.
    """
    reason = np.full(len(grasps), -1)
    counts: dict[str, int] = {}
    left, some = np.arange(len(grasps)), grasps
    spatial = _lifted(view, some)
    for name, test in _tests(view, gripper, config):
        good = test(some, spatial) if len(left) else np.empty(0, bool)
        counts[name] = int((~good).sum())
        if counts[name]:
            reason[left[~good]] = ORDER[name]
            left, some, spatial = left[good], some[good], spatial[good]
    return Checked(reason < 0, counts, reason)


ORDER = {name: k for k, name in enumerate(REJECTIONS)}
"""Position of each rejection."""

Test = Callable[[PlanarGrasp, Grasp], Bool[np.ndarray, "N"]]
"""Of grasps in the image, and the same in space."""


def _lifted(view: View, grasps: PlanarGrasp) -> Grasp:
    return grasps.to_grasp(view.image.intrinsics, view.approach_axis)


def _tests(
    view: View, gripper: GripperModel, config: ConstraintConfig | None
) -> list[tuple[str, Test]]:
    """List the tests in the order of REJECTIONS: the cheap ones first."""
    request = view.request
    tests: dict[str, Test] = {}
    if config is not None:
        tests["bad_width"] = lambda g, _: (
            (g.width >= gripper.min_width) & (g.width <= gripper.max_width + 1e-9)
        )
        tests["outside_image"] = lambda g, s: inside_image(view, g, s)
        tests["off_object"] = lambda g, _: on_objects(view, g)
        tests["into_table"] = lambda _, s: tip_height(view, s, gripper) >= config.table_clearance
    if request.workspace is not None:
        tests["outside_workspace"] = lambda _, s: in_workspace(view, s)
    if request.yaw_range is not None:
        tests["yaw_out_of_range"] = lambda _, s: in_yaw_range(view, s)
    if (lowest := request.min_height) is not None:
        tests["too_low"] = lambda _, s: tip_height(view, s, gripper) >= lowest
    if config is not None and config.check_obstacles:
        fingers = list(gripper.JAWS)
        palm = list(range(len(fingers), len(fingers) + len(gripper.palm_boxes)))

        def unobstructed(some: Grasp, boxes: list[int]) -> Bool[np.ndarray, "N"]:
            overlap = box_overlap(view.relief, some, gripper, boxes, config)
            return np.all(overlap <= config.max_overlap, axis=-1)

        tests["finger_blocked"] = lambda _, s: unobstructed(s, fingers)
        tests["palm_blocked"] = lambda _, s: unobstructed(s, palm)
        tests["finger_unseen"] = lambda _, s: (
            unseen_share(view, s, gripper).max(-1) <= config.max_unseen
        )
        tests["nothing_between"] = lambda _, s: (
            between_jaws(view.relief, s, gripper, config).area > config.max_overlap
        )
    if gripper.min_width > 0:
        between = config or DEFAULT_CONSTRAINTS
        # a cell of the map at either end
        tests["too_thin"] = lambda _, s: (
            between_jaws(view.relief, s, gripper, between).length
            >= gripper.min_width - view.relief.cell
        )
    return sorted(tests.items(), key=lambda item: ORDER[item[0]])


def in_workspace(view: View, grasps_camera: Grasp) -> Bool[np.ndarray, "N"]:
    """True where the centre lies in the request's polygon in the world's x and y; anywhere if none is asked for."""
    if view.request.workspace is None:
        return np.ones(len(grasps_camera), bool)
    assert view.image.T_world_camera is not None  # look has checked it
    center_world = grasps_camera.in_frame(view.image.T_world_camera).center
    return in_polygon(center_world[:, :2], view.request.workspace)


def in_yaw_range(view: View, grasps_camera: Grasp) -> Bool[np.ndarray, "N"]:
    """True where the closing axis points as asked: about the vertical from world x, or from image +u without a pose."""
    if view.request.yaw_range is None:
        return np.ones(len(grasps_camera), bool)
    x = grasps_camera.closing_axis
    if view.image.T_world_camera is not None:
        x = x @ view.image.T_world_camera[:3, :3].T
    return in_half_turn(np.arctan2(x[:, 1], x[:, 0]), view.request.yaw_range)


def inside_image(view: View, grasps: PlanarGrasp, grasps_camera: Grasp) -> Bool[np.ndarray, "N"]:
    """True where centre and both jaw ends, in the image plane and in space, are in the image, before the camera."""
    intrinsics = view.image.intrinsics
    ahead = grasps.depth > 1e-3
    good = ahead.copy()
    if not ahead.any():
        return good
    some, spatial = (
        (grasps, grasps_camera) if ahead.all() else (grasps[ahead], grasps_camera[ahead])
    )
    jaws = intrinsics.project(spatial.jaws)
    points = np.concatenate([some.center_px[:, None], some.endpoints_px(intrinsics), jaws], 1)
    limit = np.array([intrinsics.width - 1, intrinsics.height - 1])
    with np.errstate(invalid="ignore"):  # a jaw behind the camera is nan, and outside
        good[ahead] = ((points >= 0) & (points <= limit)).all((1, 2))
    return good


def on_objects(view: View, grasps: PlanarGrasp) -> Bool[np.ndarray, "N"]:
    """True where the centre's pixel is on the mask, or on what stands on the table; anywhere if neither is known."""
    if view.objects is None:
        return np.ones(len(grasps), bool)
    height, width = view.objects.shape
    uv = np.rint(np.clip(grasps.center_px, -1, 1e6)).astype(np.int64)
    inside = np.all((uv >= 0) & (uv < [width, height]), axis=-1)
    u, v = np.where(inside[:, None], uv, 0).T
    return inside & view.objects[v, u]


def tip_height(view: View, grasps_camera: Grasp, gripper: GripperModel) -> Float[np.ndarray, "N"]:
    """Height of the lowest corner of both fingertips above the table, m; inf where no table is known."""
    if view.table is None:
        return np.full(len(grasps_camera), np.inf)
    x = grasps_camera.width / 2 + gripper.jaw_clearance + gripper.jaw_thickness
    y = gripper.jaw_width / 2
    corners = np.stack(
        [
            np.stack([sx * x, np.full_like(x, sy * y), np.full_like(x, gripper.tip_overhang)], -1)
            for sx in (-1.0, 1.0)
            for sy in (-1.0, 1.0)
        ],
        1,
    )
    return view.table.height(transforms.apply(grasps_camera.pose, corners)).min(-1)


def box_overlap(
    relief: Relief,
    grasps_camera: Grasp,
    gripper: GripperModel,
    boxes: Sequence[int],
    config: ConstraintConfig = DEFAULT_CONSTRAINTS,
) -> Float[np.ndarray, "N B"]:
    """Area of what stands in the way of some of the gripper's boxes on its way in, m².

    Args:
        relief: the obstacles.
        grasps_camera: N grasps along the relief's axis.
        gripper: its boxes.
        boxes: rows of ``gripper.boxes``: the jaws, or the palm.
        config: tolerances.
    """
    all_boxes = gripper.boxes(grasps_camera.width)
    overlap = np.empty((len(grasps_camera), len(boxes)))
    for column, b in enumerate(boxes):
        size = np.array(all_boxes.sizes[0, b]) if len(grasps_camera) else np.ones(3)
        if b in gripper.JAWS:
            size[:2] += 2 * config.lateral_margin
        # the palm is large: half the resolution is enough
        grid = footprint(size[0], size[1], relief.cell * (1 if b in gripper.JAWS else 2))
        centers = all_boxes.centers[:, b]
        if len(centers) and (centers == centers[0]).all():
            centers = centers[:1]
        z = relief.around(grasps_camera, centers[:, None, :2] + grid)
        face = all_boxes.centers[:, b, 2] + size[2] / 2 + config.vertical_margin
        met = np.count_nonzero(z < face[:, None].astype(np.float32), axis=-1)
        overlap[:, column] = met / z.shape[1] * size[0] * size[1]
    return overlap


class Between(NamedTuple):
    """What stands between the open jaws, above their tips; N grasps."""

    area: Float[np.ndarray, "N"]
    """Seen along the approach, m²."""
    length: Float[np.ndarray, "N"]
    """Of the longest line along the closing axis that it covers, m."""


def between_jaws(
    relief: Relief, grasps_camera: Grasp, gripper: GripperModel, config: ConstraintConfig
) -> Between:
    """Measure what stands between the open jaws by the cells of the map."""
    n_x = 24
    grid = footprint(1.0, gripper.jaw_width, relief.cell, n_x=n_x)
    width = np.array(grasps_camera.width)
    if len(width) and (width == width[0]).all():
        width = width[:1]
    offsets = grid * np.stack([width, np.ones_like(width)], -1)[:, None]
    z = relief.around(grasps_camera, offsets)
    held = z < np.float32(gripper.tip_overhang - config.min_engagement)
    lines = held.reshape(len(grasps_camera), n_x, -1)
    return Between(
        held.mean(-1) * grasps_camera.width * gripper.jaw_width,
        lines.mean(1).max(-1, initial=0.0) * grasps_camera.width,
    )


def unseen_share(
    view: View, grasps_camera: Grasp, gripper: GripperModel
) -> Float[np.ndarray, "N 2"]:
    """Share of each fingertip's end that goes where the camera saw nothing.

    A point is seen to be free if the camera measured something behind it, along its own ray: then nothing is there. It
    is unknown where that pixel has no depth, lies outside the image, or shows something nearer, which hides the point.
    """
    boxes = gripper.boxes(grasps_camera.width)
    ends = footprint(gripper.jaw_thickness, gripper.jaw_width, TIP_GRID)
    ends = np.concatenate([ends, np.zeros((*ends.shape[:-1], 1))], -1)
    jaws = list(gripper.JAWS)
    tip = boxes.centers[:, jaws] + [0.0, 0.0, gripper.finger_depth / 2]
    points = tip[:, :, None] + ends
    points = transforms.apply(grasps_camera.pose, points.reshape(len(tip), -1, 3))
    seen = seen_free(view.image, points)
    return 1.0 - seen.reshape(len(tip), len(jaws), -1).mean(-1)


TIP_GRID = 0.004
"""Distance between the points of a fingertip's end that are looked at, m."""


def seen_free(
    image: DepthImage, points_camera: Float[np.ndarray, "*batch 3"]
) -> Bool[np.ndarray, "*batch"]:
    """True where the camera measured something behind a point: the space there is empty."""
    px = image.intrinsics.project(points_camera)
    limit = [image.intrinsics.width, image.intrinsics.height]
    with np.errstate(invalid="ignore"):  # nan, behind the camera, is outside
        inside = np.all((px > -0.5) & (px < np.array(limit) - 0.5), axis=-1)
    u, v = np.moveaxis(np.rint(np.where(np.expand_dims(inside, -1), px, 0)).astype(np.int64), -1, 0)
    # the tip may stand on what is seen: the table's noise is no occlusion
    return inside & (image.depth[v, u] > points_camera[..., 2] - SEEN_TOLERANCE)


SEEN_TOLERANCE = 0.003
"""A point this far behind the surface that is seen is on it, m: the noise of depth."""


@lru_cache(maxsize=64)
def footprint(
    size_x: float, size_y: float, cell: float, n_x: int | None = None
) -> Float[np.ndarray, "1 K 2"]:
    """Grid of midpoints that fills a rectangle about the origin, no coarser than ``cell``."""
    n_x = n_x or max(int(np.ceil(size_x / cell)), 1)
    n_y = max(int(np.ceil(size_y / cell)), 1)
    x = (np.arange(n_x) + 0.5) / n_x * size_x - size_x / 2
    y = (np.arange(n_y) + 0.5) / n_y * size_y - size_y / 2
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(1, -1, 2)
    grid.setflags(write=False)
    return grid
