"""One line of JSON per request, and the middleware that writes it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .faults import Fault
from .metrics import Metrics

PATHS = ("/v1/plan", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""Paths that are told apart in the metrics; a stranger's inventions are not."""

log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, event and the record's ``fields``; a traceback becomes one string."""
        moment = datetime.fromtimestamp(record.created, UTC)
        entry = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def write_logs_as_json() -> None:
    """Send what any library has to say to stderr as JSON, of the package itself more; the last call counts."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name, level in (
        ("", logging.WARNING),
        ("antipodal", logging.INFO),
        ("uvicorn", logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


def note(request: Request, **fields: Any) -> None:
    """Add fields to the line that this request will get."""
    request.scope["antipodal"].update(fields)


class RequestLog:
    """ASGI middleware: time, count and log each request; an unforeseen error becomes an answer of the usual shape."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, request_id, status = time.perf_counter(), uuid.uuid4().hex[:16], 0
        fields: dict[str, Any] = {}
        scope["antipodal"] = fields

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # the border of the process: nobody above could answer
            log.exception("unforeseen", extra={"fields": {"request_id": request_id}})
            if status == 0:
                fault = Fault("internal", f"an unforeseen error: request_id {request_id}")
                fields["error"] = fault.code
                await JSONResponse(fault.body, fault.status)(scope, receive, watched)
        finally:
            elapsed = time.perf_counter() - start
            self._count(scope, status, elapsed, fields)
            entry = {
                "request_id": request_id,
                "client": (scope.get("client") or ("", 0))[0],
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": status,
                "time_s": round(elapsed, 4),
            }
            log.info("request", extra={"fields": entry | fields})

    def _count(self, scope: Scope, status: int, elapsed: float, fields: Mapping[str, Any]) -> None:
        path = scope["path"] if scope["path"] in PATHS else "other"
        self._metrics.requests.labels(path, str(status)).inc()
        if path == "/v1/plan":
            self._metrics.request_seconds.observe(elapsed)
        if "error" in fields:
            self._metrics.faults.labels(fields["error"]).inc()
        if "plan_time" in fields:
            self._metrics.plan_seconds.observe(fields["plan_time"])
            self._metrics.empty_plans.inc(int(fields["n_grasps"] == 0))
