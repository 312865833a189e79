"""The JSON of the service: what a request may say and what it gets back. The field names are those of the value types.

From these come the checks of every request and the OpenAPI description, so that neither can drift from the other.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..camera import CameraIntrinsics
from ..camera_files import MIN_UNIT, Camera, camera_names, load_camera
from ..errors import UnknownAsset
from ..policy.request import MAX_LENGTH, Request
from ..values import doubled
from .faults import Fault

MAX_SEED = 2**63 - 1
MAX_VALUES = 5000
"""Most values in a request's JSON; a workspace of 1,000 corners has 3,000. Millions would be validated for seconds."""
MAX_SAID = 5
"""So many of a request's faults are told, and how many there are."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Pixels = Annotated[float, Field(ge=-1e6, le=1e6)]
Metres = Annotated[float, Field(ge=-1e3, le=1e3)]
Point = Annotated[list[Metres], Field(min_length=2, max_length=2)]
Range = Annotated[list[Metres], Field(min_length=2, max_length=2)]
Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Strict(BaseModel):
    """No unknown keys, no silent conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Intrinsics(_Strict):
    """Pinhole camera, as in ``antipodal.CameraIntrinsics``; pixels, an integer is a pixel's centre."""

    fx: Annotated[float, Field(gt=0, le=1e6)]
    fy: Annotated[float, Field(gt=0, le=1e6)]
    cx: Pixels
    cy: Pixels
    width: Annotated[int, Field(ge=1, le=16384)]
    height: Annotated[int, Field(ge=1, le=16384)]


class CameraBody(_Strict):
    """A camera file as JSON: what ``antipodal.save_depth`` writes beside an image."""

    intrinsics: Intrinsics
    T_world_camera: Annotated[list[Row], Field(min_length=4, max_length=4)] | None = Field(
        None, description="pose of the camera in the world (z up), m; gives the table's normal"
    )
    depth_unit: Annotated[float, Field(ge=MIN_UNIT, le=1.0)] | None = Field(
        None, description="metres per count of a 16-bit image"
    )


class Constraints(_Strict):
    """What every grasp of the plan must satisfy; the fields of ``antipodal.policy.request.Request``."""

    box_px: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = Field(
        None, description="(u0, v0, u1, v1): the centre lies in this rectangle, bounds included"
    )
    target_px: Annotated[list[Pixels], Field(min_length=2, max_length=2)] | None = Field(
        None, description="(u, v): the centre lies within target_radius of the surface seen there"
    )
    target_radius: Annotated[float, Field(ge=0, le=MAX_LENGTH)] = Field(0.05, description="m")
    workspace: Annotated[list[Point], Field(min_length=3, max_length=1000)] | None = Field(
        None, description="polygon in the world's x and y, m; needs T_world_camera"
    )
    yaw_range: Range | None = Field(
        None, description="(low, high) of the closing axis about the vertical, rad"
    )
    max_tilt: Annotated[float, Field(ge=0, le=np.pi / 2)] | None = Field(
        None, description="largest angle between approach and straight down, rad"
    )
    min_height: Annotated[float, Field(ge=0, le=MAX_LENGTH)] | None = Field(
        None, description="the fingertips stay at least so far above the table, m"
    )
    width_range: Range | None = Field(
        None, description="(least thickness between the jaws, largest opening), m"
    )
    min_distance: Annotated[float, Field(ge=0, le=MAX_LENGTH)] = Field(
        0.0, description="grasps are alike if their centres are nearer than this, m, and …"
    )
    min_angle: Annotated[float, Field(ge=0, le=np.pi)] = Field(
        0.0, description="… their closing axes differ by less, rad; of those the best is kept"
    )


class PlanOptions(_Strict):
    """What to plan: everything of a request but its images."""

    camera: Name | CameraBody = Field(description="a preset's name, or a camera")
    gripper: Name | None = Field(
        None,
        description="name of a gripper that the service knows; null = the one that it was started with, or that its "
        "model was trained for",
    )
    policy: Literal["auto", "cem", "antipodal", "dense"] = Field(
        "auto",
        description="cem refines by the cross-entropy method; antipodal ranks a fixed set; dense tries every place; "
        "auto is cem",
    )
    depth_unit: Annotated[float, Field(ge=MIN_UNIT, le=1.0)] | None = Field(
        None, description="metres per count of a 16-bit image; needed where the camera does not say"
    )
    constraints: Constraints | None = Field(
        None, description="what every grasp must satisfy; null = nothing more"
    )
    k: Annotated[int, Field(ge=1)] = Field(10, description="most grasps in the answer, best first")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = Field(
        0, description="of the planner: the same request gives the same grasps"
    )


class PlanBody(PlanOptions):
    """A request in one JSON object, its images in base64."""

    depth: str = Field(
        description="base64 of a 16-bit PNG, TIFF or .npy", json_schema_extra={"format": "byte"}
    )
    mask: str | None = Field(
        None,
        description="base64 of an image or .npy; non-zero = object",
        json_schema_extra={"format": "byte"},
    )


class _Answer(BaseModel):
    """No NaN."""

    model_config = ConfigDict(allow_inf_nan=False)


class GraspJson(_Answer):
    """One grasp in the image and in the camera's frame."""

    center_px: Annotated[list[float], Field(min_length=2, max_length=2)]
    angle: float = Field(description="closing axis about the optical axis from image +u, rad")
    depth: float = Field(description="of the jaws' midpoint along the optical axis, m")
    width: float = Field(description="opening when approaching, m")
    quality: Annotated[float, Field(ge=0, le=1)]
    T_camera_grasp: Annotated[list[Row], Field(min_length=4, max_length=4)]


class PlanJson(_Answer):
    """A plan; empty, with its reason, where there is no grasp."""

    gripper: str = Field(description="name of the hand that the grasps are for")
    grasps: list[GraspJson]
    counts: dict[str, int] = Field(description="how many candidates each stage saw and rejected")
    reason: str | None = Field(description="why the plan is empty, in words")
    commonest_rejection: str | None = Field(
        None, description="what most candidates were rejected for, also where some were not"
    )
    warnings: list[str] = Field([], description="what is doubtful about the image or its camera")
    plan_time: float = Field(description="s")
    waypoints: dict[str, Any] | None = Field(
        None, description="the flange's way to the best grasp, as in antipodal.waypoints"
    )


class ErrorJson(BaseModel):
    """Every answer that is not a success."""

    error: str = Field(description="what kind, one word for machines")
    message: str = Field(description="what came and what was expected")
    remedy: str = Field(description="what to do")


class StatusJson(BaseModel):
    """Whether the service lives, or is ready."""

    status: Literal["ok", "ready"]
    version: str


def parse_options(text: bytes | str, model: type[PlanOptions] = PlanOptions) -> PlanOptions:
    """Read the JSON of a request.

    Raises:
        Fault: it does not fit the schema, or says a key twice; names the fields.
    """
    text = text.encode() if isinstance(text, str) else text
    if sum(map(text.count, (b",", b":", b"["))) > MAX_VALUES:  # one before each value
        raise Fault("invalid_request", f"more than {MAX_VALUES} values: expected fewer")
    try:
        options = model.model_validate_json(text)
    except ValidationError as error:
        said = [
            f"{'.'.join(str(part)[:60] for part in e['loc']) or 'the request'}: {e['msg'][:200]}"
            for e in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        more = [f"and {len(said) - MAX_SAID} more"] if len(said) > MAX_SAID else []
        raise Fault("invalid_request", "; ".join(said[:MAX_SAID] + more)) from None
    json.loads(text, object_pairs_hook=_check_once)  # the validator takes the last of two
    return options


def _check_once(pairs: list[tuple[str, Any]]) -> None:
    if (name := doubled(name for name, _ in pairs)) is not None:
        raise Fault("invalid_request", f"key {name[:60]!r} is given twice: expected each key once")


def camera_of(options: PlanOptions) -> Camera:
    """Build the camera; a name is a preset, never a file of the server.

    Raises:
        AntipodalError: no such preset, or a pose that is no rigid transform or far off.
    """
    given = options.camera
    if isinstance(given, str):
        if given not in camera_names():
            raise UnknownAsset(f"unknown camera '{given}': expected one of {camera_names()}")
        return load_camera(given)
    pose = given.T_world_camera
    return Camera(
        "request",
        CameraIntrinsics(**given.intrinsics.model_dump()),
        None if pose is None else np.array(pose),
        given.depth_unit,
    )


def request_of(options: PlanOptions, mask: Bool[np.ndarray, "H W"] | None) -> Request:
    """Build what the planner is asked.

    Raises:
        InvalidConfig: a constraint contradicts itself.
    """
    asked = {} if options.constraints is None else options.constraints.model_dump()
    return Request(mask=mask, n_grasps=options.k, **asked)


def json_of(request: Request) -> dict[str, Any]:
    """Write a request as ``constraints`` and ``k``; its mask travels as an image."""
    values = {name: getattr(request, name) for name in Constraints.model_fields}
    asked = {
        k: v.tolist() if isinstance(v, np.ndarray) else v
        for k, v in values.items()
        if v is not None
    }
    return {"constraints": asked} | ({} if request.n_grasps is None else {"k": request.n_grasps})


EXAMPLE_OPTIONS: dict[str, Any] = {
    "camera": {
        "intrinsics": {
            "fx": 525.0,
            "fy": 525.0,
            "cx": 319.5,
            "cy": 239.5,
            "width": 640,
            "height": 480,
        },
        "depth_unit": 0.001,
    },
    "gripper": "yumi",
    "policy": "cem",
    "k": 3,
    "seed": 0,
}
"""As in the documentation."""
