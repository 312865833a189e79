"""From an HTTP request to a :class:`~.worker.Job`: sizes, content types, fields; nothing is decoded."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import NamedTuple

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from .config import Limits
from .faults import Fault
from .headers import check_image
from .schemas import PlanBody, PlanOptions, parse_options
from .worker import Job

FIELDS = ("depth", "mask", "request")
"""Of a multipart body: two files, and the options as JSON."""
MAX_OPTIONS = 256 * 2**10
"""Longest field ``request`` of a form, bytes."""
DRAIN_TIME = 2.0
"""A refused body is read and thrown away for so long, s, so that the caller reads the answer and not a reset."""


class _Parts(NamedTuple):
    options: PlanOptions
    depth: bytes
    mask: bytes | None


async def read_job(request: Request, limits: Limits) -> Job:
    """Read and check a request.

    Raises:
        Fault: too large, too slow, of another type, with unknown fields, or its images claim too many pixels.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        raise Fault("unsupported_media_type", f"content type '{kind[:60]}' cannot be read")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Fault("unsupported_media_type", "the body is compressed: expected none of that")
    body = await _read_body(request, limits)
    parts = _from_json(body) if kind == "application/json" else await _from_form(request, body)
    if parts.options.k > limits.max_grasps:
        raise Fault(
            "invalid_request", f"k: {parts.options.k}: expected at most {limits.max_grasps}"
        )
    depth = check_image(parts.depth, "depth", limits.max_pixels)
    if parts.mask is None:
        return Job(parts.options, parts.depth, depth.suffix)
    mask = check_image(parts.mask, "mask", limits.max_pixels)
    return Job(parts.options, parts.depth, depth.suffix, parts.mask, mask.suffix)


async def drain(request: Request, limits: Limits) -> None:
    """Read what is left of a refused body, for a while, and forget it."""
    n = 0
    try:
        async with asyncio.timeout(DRAIN_TIME):
            async for chunk in request.stream():
                n += len(chunk)
                if n > limits.max_bytes:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it had been read
        return


async def _read_body(request: Request, limits: Limits) -> bytes:
    too_large = f"expected at most {limits.max_bytes} bytes"
    claimed = request.headers.get("content-length", "0")
    if claimed.isdigit() and int(claimed) > limits.max_bytes:
        raise Fault("body_too_large", f"the body has {claimed[:20]} bytes: {too_large}")
    body = bytearray()
    try:
        async with asyncio.timeout(limits.read_time):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.max_bytes:
                    raise Fault("body_too_large", f"the body goes on: {too_large}")
    except TimeoutError:
        raise Fault(
            "upload_timeout",
            f"{len(body)} bytes came in {limits.read_time:g} s: expected the whole body",
        ) from None
    return bytes(body)


def _from_json(body: bytes) -> _Parts:
    options = parse_options(body, PlanBody)
    assert isinstance(options, PlanBody)
    mask = None if options.mask is None else _from_base64(options.mask, "mask")
    return _Parts(options, _from_base64(options.depth, "depth"), mask)


def _from_base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Fault("invalid_request", f"{name}: not base64: {error}") from error


async def _from_form(request: Request, body: bytes) -> _Parts:
    """Parse the multipart body that has been read; starlette does it, over a request that replays it."""

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    _check_form(request.headers.get("content-type", ""), body)
    again = Request(request.scope, replay)
    found: dict[str, bytes] = {}
    try:
        async with again.form(
            max_files=len(FIELDS), max_fields=len(FIELDS), max_part_size=len(body) + 1
        ) as form:
            for name, part in form.multi_items():
                if name not in FIELDS or name in found:
                    often = "twice" if name in found else "unknown"
                    raise Fault(
                        "invalid_request",
                        f"field {name[:60]!r} is {often}: expected {', '.join(FIELDS)}, once each",
                    )
                found[name] = await part.read() if isinstance(part, UploadFile) else part.encode()
    except HTTPException as error:  # starlette's word for a form that it cannot parse
        raise Fault("invalid_request", f"the form cannot be read: {error.detail}") from error
    for name in ("depth", "request"):
        if name not in found:
            raise Fault(
                "invalid_request", f"field '{name}' is missing: expected {', '.join(FIELDS)}"
            )
    if (n := len(found["request"])) > MAX_OPTIONS:
        raise Fault(
            "invalid_request", f"field 'request' has {n} bytes: expected at most {MAX_OPTIONS}"
        )
    return _Parts(parse_options(found["request"]), found["depth"], found.get("mask"))


def _check_form(content_type: str, body: bytes) -> None:
    """Refuse what the parser would take: a form in any charset, or one whose last part, a mask, it drops in silence."""
    parameters = parse_options_header(content_type)[1]
    charset = parameters.get(b"charset", b"utf-8")
    if charset.lower() != b"utf-8":  # to decode punycode takes the square of the length
        said = charset[:60].decode("latin-1")
        raise Fault("invalid_request", f"the form's charset is {said!r}: expected utf-8")
    if (boundary := parameters.get(b"boundary")) is None:
        return  # the parser says so
    last = b"\r\n--" + boundary + b"--"
    end = body.find(last)
    if end < 0 or body[end + len(last) :].strip():
        raise Fault(
            "invalid_request",
            "the form ends without its last boundary: expected --boundary-- and nothing after it; was it cut off?",
        )
