"""The application: four paths, one error shape, one description of itself."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import ClientDisconnect

from .. import __version__
from ..errors import AntipodalError
from . import describe
from .config import ServiceConfig
from .faults import Fault
from .intake import drain, read_job
from .logs import RequestLog, note
from .metrics import Metrics
from .pool import WorkerPool
from .schemas import PlanJson, StatusJson

BEARER = HTTPBearer(auto_error=False, description="the service's API key")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost may mean anything."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def create_app(
    config: ServiceConfig, on_failure: Callable[[AntipodalError], None] | None = None
) -> FastAPI:
    """Build the ASGI application. Its workers start with it and end with it.

    Args:
        config: model, grippers, key and limits.
        on_failure: told why the workers cannot start.
    """
    metrics = Metrics()
    pool = WorkerPool(config, metrics)

    async def start() -> None:
        try:
            await pool.start()
        except AntipodalError as error:
            if on_failure is not None:
                on_failure(error)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting = asyncio.create_task(start())
        yield
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        pool.stop()

    app = FastAPI(
        title="antipodal",
        version=__version__,
        summary="Robust parallel-jaw grasps from one depth image",
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        responses=describe.FAULTS_OF_ALL,
    )
    guard = [Depends(_guard(config.api_key))]
    _add_open_paths(app, pool)
    _add_plan(app, pool, guard)

    @app.get("/metrics", dependencies=guard, responses=describe.METRICS, response_class=Response)
    async def metrics_of_the_service() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Counts and times in Prometheus' text format."""
        return Response(metrics.text(), media_type=describe.PROMETHEUS)

    app.exception_handler(Fault)(_answer_fault)
    app.exception_handler(HTTPException)(_answer_http)
    app.exception_handler(404)(_answer_http)
    app.exception_handler(405)(_answer_http)
    app.add_middleware(RequestLog, metrics=metrics)
    describe.complete(app)
    return app


def _add_open_paths(app: FastAPI, pool: WorkerPool) -> None:
    """What an orchestrator asks: without a key, without a secret in the answer."""

    @app.get("/healthz")
    async def healthz() -> StatusJson:  # pyright: ignore[reportUnusedFunction]
        """Answer 200 as long as the server lives."""
        return StatusJson(status="ok", version=__version__)

    @app.get("/readyz", responses=describe.faults("not_ready"))
    async def readyz() -> StatusJson:  # pyright: ignore[reportUnusedFunction]
        """Answer 200 once the network is loaded and every worker has planned once."""
        if not pool.is_ready:
            raise Fault("not_ready", "no worker is warm", retry_after=2)
        return StatusJson(status="ready", version=__version__)


def _add_plan(app: FastAPI, pool: WorkerPool, guard: list[Any]) -> None:
    @app.post(
        "/v1/plan",
        dependencies=guard,
        response_model=PlanJson,
        responses=describe.PLAN_RESPONSES,
        openapi_extra=describe.PLAN_REQUEST,
    )
    async def plan(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Plan grasps from one depth image; an image without any is an empty plan with its reason."""
        limits = pool.config.limits
        try:
            with pool.admit():
                job = await read_job(request, limits)
                asked = job.options
                note(request, gripper=asked.gripper, policy=asked.policy, seed=asked.seed)
                note(request, n_bytes=len(job.depth) + len(job.mask or b""))
                answer = await pool.run(job, lambda: _is_connected(request))
        except Fault:
            await drain(request, limits)
            raise
        except ClientDisconnect:
            answer = None
        if answer is None:
            note(request, error="caller_left")
            return Response(status_code=499)  # nobody reads it; as nginx calls it
        note(request, **answer.log)
        return Response(answer.body, media_type="application/json")


async def _is_connected(request: Request) -> bool:
    return not await request.is_disconnected()


def _guard(api_key: str | None) -> Callable[..., None]:
    """What stands before the paths that cost or tell something."""

    def ask_for_key(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        words = given.credentials.encode() if given is not None else b""
        if not hmac.compare_digest(words, (api_key or "").encode()):
            raise Fault("unauthorized", "no API key, or a wrong one: expected the service's")

    def ask_for_loopback(request: Request) -> None:
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        # a web page that renames itself to 127.0.0.1 is not served
        if not is_loopback(name):
            raise Fault(
                "wrong_host",
                f"Host '{host[:100]}': expected localhost, 127.0.0.1 or [::1] where no API key is set",
            )
        # nor one that sends what it need not read, such as a costly request
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site == "cross-site" or (origin is not None and not _is_here(origin)):
            raise Fault(
                "wrong_origin",
                f"a browser sent this for a web page of '{(origin or 'another site')[:100]}': expected none where no "
                "API key is set",
            )

    return ask_for_key if api_key is not None else ask_for_loopback


def _is_here(origin: str) -> bool:
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:  # no address
        return False


async def _answer_fault(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Fault)
    note(request, error=fault.code, message=fault.message)
    return JSONResponse(fault.body, fault.status, fault.headers)


async def _answer_http(request: Request, error: Exception) -> Response:
    """The router's own refusals, in our shape."""
    assert isinstance(error, HTTPException) or hasattr(error, "status_code")
    status = getattr(error, "status_code", 404)
    code = "method_not_allowed" if status == 405 else "not_found"
    fault = Fault(code, f"{request.method} {request.url.path}: expected a path and method of ours")
    note(request, error=code)
    return JSONResponse(fault.body, fault.status, getattr(error, "headers", None))
