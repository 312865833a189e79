"""What the service says about itself in ``/openapi.json``: the bodies that it reads by hand, its refusals, examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .faults import KINDS, Fault
from .schemas import EXAMPLE_OPTIONS, ErrorJson, PlanBody, PlanOptions

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
TEMPLATE = "#/components/schemas/{model}"

EXAMPLE_PLAN: dict[str, Any] = {
    "gripper": "yumi",
    "grasps": [
        {
            "center_px": [322.5, 240.1],
            "angle": 0.31,
            "depth": 0.683,
            "width": 0.05,
            "quality": 0.94,
            "T_camera_grasp": [
                [0.9523, -0.3051, 0.0, 0.0039],
                [0.3051, 0.9523, 0.0, 0.0008],
                [0.0, 0.0, 1.0, 0.683],
                [0.0, 0.0, 0.0, 1.0],
            ],
        }
    ],
    "counts": {"sampled": 600, "finger_blocked": 212, "seeds": 100, "planned": 250},
    "reason": None,
    "plan_time": 0.24,
}
"""One grasp."""


def faults(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals of a path, by status, with one example for each code."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = KINDS[code].status
        entry = found.setdefault(
            status,
            {
                "model": ErrorJson,
                "description": "",
                "content": {"application/json": {"examples": {}}},
            },
        )
        entry["description"] = "; ".join(filter(None, [entry["description"], code]))
        example = {"summary": code, "value": Fault(code, "what came: expected what").body}
        entry["content"]["application/json"]["examples"][code] = example
        if status == 503:
            entry["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "s"}}
    return found


FAULTS_OF_ALL = faults("internal")
METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "the metrics"},
    **faults("unauthorized", "wrong_origin", "wrong_host"),
}
PLAN_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": EXAMPLE_PLAN}}, "description": "the plan"},
    **faults(
        "unauthorized", "wrong_origin", "unknown_asset", "upload_timeout", "body_too_large", "too_many_pixels",
        "unsupported_media_type", "wrong_host", "invalid_request", "invalid_image", "invalid_config",
        "internal", "worker_died", "queue_full", "not_ready", "plan_timeout",
    ),
}  # fmt: skip

_FILE = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["depth", "request"],
    "additionalProperties": False,
    "properties": {
        "depth": {**_FILE, "description": "16-bit PNG, TIFF or .npy"},
        "mask": {**_FILE, "description": "image or .npy; non-zero = object"},
        "request": {"$ref": TEMPLATE.format(model="PlanOptions")},
    },
}
PLAN_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _FORM,
                "encoding": {"request": {"contentType": "application/json"}},
                "example": {"depth": "(the file)", "request": EXAMPLE_OPTIONS},
            },
            "application/json": {
                "schema": {"$ref": TEMPLATE.format(model="PlanBody")},
                "example": {**EXAMPLE_OPTIONS, "depth": "iVBORw0KGgo…"},
            },
        },
    }
}
"""The two bodies of ``POST /v1/plan``."""


def complete(app: FastAPI) -> None:
    """Add the schemas of the hand-read bodies to the description that FastAPI makes."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        described = plain()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        for model in (PlanBody, PlanOptions):
            schema = model.model_json_schema(ref_template=TEMPLATE)
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        # FastAPI drops what is null, and with it the plan's reason
        answer = described["paths"]["/v1/plan"]["post"]["responses"]["200"]
        answer["content"]["application/json"]["example"] = EXAMPLE_PLAN
        return described

    app.openapi = openapi  # FastAPI's own way to extend it
