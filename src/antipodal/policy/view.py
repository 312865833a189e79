"""What a planner knows about an image before it samples: table, approach, objects, obstacles, and what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage, far_for_grasping, odd_intrinsics, wrong_unit
from ..errors import InvalidConfig
from .base import OPTICAL_AXIS
from .holes import fill_holes
from .pose_check import NO_PLANE, NO_TABLE, disagreement, not_downwards
from .relief import Relief, build_relief
from .repair import DEFAULT_REPAIR, RepairConfig, drop_flying
from .request import Asked, Request, as_request, object_mask, region
from .table import DEFAULT_TABLE, TableConfig, TablePlane, fit_table, objects_on, raised

NOTHING_THERE = "nothing stands on the table within the box or near the target that were asked for"
"""Why no grasp may be planned in an empty region."""


class View(NamedTuple):
    """One image, understood."""

    image: DepthImage
    """As given, with its holes."""
    filled: DepthImage
    """Mended: for edges, surface heights and obstacles, never for scoring."""
    table: TablePlane | None
    objects: Bool[np.ndarray, "H W"] | None
    """Where a grasp's centre may lie: as asked, or what stands on the table; None = anywhere."""
    approach_axis: Float[np.ndarray, "3"]
    """Unit, camera frame: minus the table's normal, or the optical axis where no table is known."""
    relief: Relief
    """The obstacles, as a map across the approach axis."""
    request: Request = Request()
    """What is asked."""
    refusal: str | None = None
    """Why no grasp may be planned at all; ``objects`` is then False everywhere."""
    repaired: Mapping[str, int] = {}
    """``flying_px`` dropped and ``filled_px`` filled, if any."""
    warnings: tuple[str, ...] = ()
    """What is doubtful: the camera's numbers or pose, the depths' unit, or that there is no table."""


def look(
    image: DepthImage,
    asked: Asked,
    rng: np.random.Generator,
    config: TableConfig = DEFAULT_TABLE,
    mend: RepairConfig = DEFAULT_REPAIR,
) -> View:
    """Mend the image, fit the table, choose the approach, segment, and map the obstacles.

    Args:
        image: the depth image.
        asked: a request or an object mask; without a region, what stands on the table is taken.
        rng: random state of the plane fit.
        config: tolerances of table and objects.
        mend: what is mended in the image.

    Raises:
        InvalidImage: the mask has another shape than the image, or is empty.
        InvalidConfig: the camera's pose says that it does not look down; a workspace is asked for without that pose;
            the target has no depth; ``rng`` is no generator.
    """
    if not isinstance(rng, np.random.Generator):
        raise InvalidConfig(
            f"random state {type(rng).__name__}: expected numpy.random.default_rng(seed)"
        )
    request = as_request(asked)
    if request.workspace is not None and image.T_world_camera is None:
        raise InvalidConfig(
            "request workspace: needs T_world_camera, the camera's pose: give it, or ask for box_px or a mask"
        )
    mask = object_mask(request, image)
    kept = drop_flying(image, mend)
    table = fit_table(kept, mask, rng, config)
    approach_axis = approach_of(image, table)
    filled = fill_holes(kept, approach_axis) if mend.fill_holes else kept
    objects, where = mask, region(request, image, filled)
    if mask is None and table is not None:
        objects = objects_on(kept, table, config) if where is None else raised(kept, table, config)
    if where is not None:
        objects = where if objects is None else objects & where
    refusal = _refuse(request, image, table, approach_axis, objects)
    if refusal is not None:
        objects = np.zeros(image.depth.shape, bool)
    floor = np.inf if table is None else table.offset - config.min_height
    relief = build_relief(filled, approach_axis, objects, floor)
    n_given, n_kept, n_filled = (int(i.valid.sum()) for i in (image, kept, filled))
    changed = {"flying_px": n_given - n_kept, "filled_px": n_filled - n_kept}
    return View(
        image,
        filled,
        table,
        objects,
        approach_axis,
        relief,
        request,
        refusal,
        {name: n for name, n in changed.items() if n},
    )


def doubted(view: View, config: TableConfig, max_unseen: float = 0.0) -> View:
    """Compare unit, camera and pose of a view with its image: where that refutes unit or pose, all is refused.

    Not for a window of an image, which the object that is followed may fill. That no table is found goes without saying
    where the background was cut away (``max_unseen`` 1: :class:`ConstraintConfig`).
    """
    image = view.image
    if (words := wrong_unit(image)) is not None:
        return _refused(view, words)
    doubts = odd_intrinsics(image.intrinsics)
    if (words := far_for_grasping(image)) is not None:
        doubts += (words,)
    view = view._replace(warnings=doubts)
    off = disagreement(image, view.request.mask, view.table, config)
    if off is None:
        words = NO_PLANE if image.T_world_camera is None else NO_TABLE
        doubtful = view.table is None and max_unseen < 1
        return view._replace(warnings=(*view.warnings, words)) if doubtful else view
    if off.is_certain:
        return _refused(view, off.words)
    return view._replace(warnings=(*view.warnings, off.words))


def approach_of(image: DepthImage, table: TablePlane | None) -> Float[np.ndarray, "3"]:
    """Direction of approach in the camera frame: minus the table's normal, else the optical axis (reference §8.7)."""
    normal = image.table_normal_camera()
    if normal is None:
        return OPTICAL_AXIS if table is None else -table.normal_camera
    if (words := not_downwards(normal)) is not None:
        raise InvalidConfig(words)
    return -normal


def _refused(view: View, words: str) -> View:
    return view._replace(refusal=words, objects=np.zeros(view.image.depth.shape, bool))


def _refuse(
    request: Request,
    image: DepthImage,
    table: TablePlane | None,
    approach_axis: Float[np.ndarray, "3"],
    objects: Bool[np.ndarray, "H W"] | None,
) -> str | None:
    """Say why the request cannot be met whatever is seen; None if it can."""
    if request.max_tilt is not None and image.T_world_camera is None:  # else it is straight down
        tilt = float(np.arccos(np.clip(approach_axis @ OPTICAL_AXIS, -1.0, 1.0)))
        if tilt > request.max_tilt:
            return (
                f"the approach, perpendicular to the table, is tilted by {np.rad2deg(tilt):.1f}° from the optical "
                f"axis: asked for at most {np.rad2deg(request.max_tilt):.1f}°"
            )
    if request.min_height is not None and table is None:
        return "a least height above the table was asked for, but no table was found in the image"
    region_asked = request.box_px is not None or request.target_px is not None
    if objects is not None and region_asked and not objects.any():
        return NOTHING_THERE
    return None
