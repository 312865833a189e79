"""What a grasp must satisfy: in the image, on the object, above the table, fingers and palm free [Mahler17, §V].

The fingers come in along the approach axis. Whatever the depth image shows higher than a finger's tip (or the palm's
face) within its cross-section is in the way: with a narrow jaw this is what most failed grasps fail by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..errors import InvalidConfig
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from .relief import Relief
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
    check_obstacles: bool = True
    """Whether fingers and palm are checked against the depth image at all."""

    def __post_init__(self) -> None:
        for name in ("vertical_margin", "lateral_margin", "max_overlap", "min_engagement"):
            if not getattr(self, name) >= 0:
                raise InvalidConfig(
                    f"constraints {name} {getattr(self, name)}: expected a number ≥ 0"
                )


DEFAULT_CONSTRAINTS = ConstraintConfig()
"""For a depth camera at 0.5–1 m."""


class Checked(NamedTuple):
    """Which grasps may be executed, and how many each constraint was the first to reject."""

    keep: Bool[np.ndarray, "N"]
    counts: dict[str, int]


def check_grasps(
    view: View,
    grasps: PlanarGrasp,
    gripper: GripperModel,
    config: ConstraintConfig = DEFAULT_CONSTRAINTS,
) -> Checked:
    """Test N grasps against every constraint in turn; each grasp is counted where it fails first."""
    keep = np.ones(len(grasps), bool)
    counts: dict[str, int] = {}

    def require(name: str, test: Callable[[PlanarGrasp], Bool[np.ndarray, "N"]]) -> None:
        left = np.flatnonzero(keep)
        good = test(grasps[left]) if len(left) else np.empty(0, bool)
        counts[name] = int((~good).sum())
        keep[left[~good]] = False

    def lift(some: PlanarGrasp) -> Grasp:
        return some.to_grasp(view.image.intrinsics, view.approach_axis)

    def unobstructed(some: PlanarGrasp, boxes: list[int]) -> Bool[np.ndarray, "N"]:
        overlap = box_overlap(view.relief, lift(some), gripper, boxes, config)
        return np.all(overlap <= config.max_overlap, axis=-1)

    fingers = list(gripper.JAWS)
    palm = list(range(len(fingers), len(fingers) + len(gripper.palm_boxes)))
    require(
        "bad_width",
        lambda g: (g.width >= gripper.min_width) & (g.width <= gripper.max_width + 1e-9),
    )
    require("outside_image", lambda g: inside_image(view, g))
    require("off_object", lambda g: on_objects(view, g))
    require("into_table", lambda g: tip_height(view, lift(g), gripper) >= config.table_clearance)
    if config.check_obstacles:
        require("finger_blocked", lambda g: unobstructed(g, fingers))
        require("palm_blocked", lambda g: unobstructed(g, palm))
        require(
            "nothing_between",
            lambda g: between_jaws(view.relief, lift(g), gripper, config) > config.max_overlap,
        )
    return Checked(keep, counts)


def inside_image(view: View, grasps: PlanarGrasp) -> Bool[np.ndarray, "N"]:
    """True where centre and both jaw ends, in the image plane and in space, are in the image, before the camera."""
    intrinsics = view.image.intrinsics
    ahead = grasps.depth > 1e-3
    good = ahead.copy()
    if not ahead.any():
        return good
    some = grasps[ahead]
    spatial = some.to_grasp(intrinsics, view.approach_axis)
    half = spatial.closing_axis * (some.width / 2)[:, None]
    jaws = intrinsics.project(np.stack([spatial.center - half, spatial.center + half], 1))
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
        z = relief.around(grasps_camera, all_boxes.centers[:, b, None, :2] + grid)
        face = all_boxes.centers[:, b, 2] + size[2] / 2
        overlap[:, column] = (
            (z < face[:, None] + config.vertical_margin).mean(-1) * size[0] * size[1]
        )
    return overlap


def between_jaws(
    relief: Relief, grasps_camera: Grasp, gripper: GripperModel, config: ConstraintConfig
) -> Float[np.ndarray, "N"]:
    """Area of what stands between the open jaws, above their tips, m²."""
    grid = footprint(1.0, gripper.jaw_width, relief.cell, n_x=24)
    offsets = grid * np.stack([grasps_camera.width, np.ones(len(grasps_camera))], -1)[:, None]
    z = relief.around(grasps_camera, offsets)
    share = (z < gripper.tip_overhang - config.min_engagement).mean(-1)
    return share * grasps_camera.width * gripper.jaw_width


def footprint(
    size_x: float, size_y: float, cell: float, n_x: int | None = None
) -> Float[np.ndarray, "1 K 2"]:
    """Grid of midpoints that fills a rectangle about the origin, no coarser than ``cell``."""
    n_x = n_x or max(int(np.ceil(size_x / cell)), 1)
    n_y = max(int(np.ceil(size_y / cell)), 1)
    x = (np.arange(n_x) + 0.5) / n_x * size_x - size_x / 2
    y = (np.arange(n_y) + 0.5) / n_y * size_y - size_y / 2
    return np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(1, -1, 2)
