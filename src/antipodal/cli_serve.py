"""The verb ``antipodal serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import tyro


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    model: str = "builtin",
    gripper: tuple[str, ...] = (),
    workers: int | None = None,
    api_key_file: Path | None = None,
    max_megabytes: float = 16.0,
    max_megapixels: float = 4.0,
    max_plan_time: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 10.0,
    queue: int = 16,
) -> int:
    """Plan over HTTP: POST /v1/plan, GET /healthz /readyz /metrics /openapi.json. Ends on SIGTERM, with its work done.

    Logs one JSON object per request to stderr.

    Example: antipodal serve --port 8000

    Args:
        host: address to bind; other than loopback only with --api-key-file.
        port: 0 takes any free one and logs it.
        model: "builtin", or an ONNX file.
        gripper: gripper.toml files that callers may name, beside the built-in grippers. A single one, file or name, is
            meant where a request names none; without any it is the one that the model was trained for.
        workers: processes that plan; one per core if not given.
        api_key_file: file with the key that callers must send as "Authorization: Bearer KEY".
        max_megabytes: largest request.
        max_megapixels: largest image.
        max_plan_time: a plan that takes longer is ended, seconds.
        queue: requests that may wait; one more is answered 503.
    """
    from .service.config import Limits, ServiceConfig
    from .service.server import read_api_key, run_service

    limits = Limits(
        max_bytes=_mega(max_megabytes, "megabytes"),
        max_pixels=_mega(max_megapixels, "megapixels"),
        plan_time=max_plan_time,
        queue_length=queue,
    )
    key = None if api_key_file is None else read_api_key(api_key_file)
    n_workers = workers if workers is not None else os.cpu_count() or 1
    run_service(ServiceConfig(model, gripper, n_workers, key, limits), host, port)
    return 0


def _mega(value: float, what: str) -> int:
    from .errors import InvalidConfig

    if not 0 < value < 2**20:
        raise InvalidConfig(f"max-{what} {value:g}: expected a positive number")
    return int(value * 2**20)
