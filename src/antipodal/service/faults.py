"""What the service refuses, as values of one shape: ``{"error": code, "message": words, "remedy": words}``."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import (
    AntipodalError,
    IncompatibleCheckpoint,
    InvalidConfig,
    InvalidImage,
    UnknownAsset,
)


class Kind(NamedTuple):
    """One sort of refusal."""

    status: int
    """HTTP status."""
    remedy: str
    """What the caller can do."""


KINDS: dict[str, Kind] = {
    "unauthorized": Kind(401, "send the header 'Authorization: Bearer KEY' with the service's API key"),
    "wrong_origin": Kind(403, "call the service from a program; a web page asks its own server to"),
    "unknown_asset": Kind(404, "use one of the names in the message"),
    "not_found": Kind(404, "see /openapi.json for the paths"),
    "method_not_allowed": Kind(405, "see /openapi.json for the methods"),
    "upload_timeout": Kind(408, "send the body faster, or a smaller image"),
    "body_too_large": Kind(413, "send a smaller or compressed image: 16-bit PNG, or a crop with its own camera"),
    "too_many_pixels": Kind(413, "crop or resize image and camera together"),
    "unsupported_media_type": Kind(415, "send multipart/form-data or application/json, without Content-Encoding"),
    "wrong_host": Kind(421, "call the service by a loopback name, or start it with --api-key-file"),
    "invalid_request": Kind(422, "compare the request with the schema and the examples in /openapi.json"),
    "invalid_image": Kind(422, "run 'antipodal doctor' on the image; it says what is wrong with it"),
    "invalid_config": Kind(422, "correct the value that the message names"),
    "internal": Kind(500, "report the request_id with the server's log line"),
    "worker_died": Kind(500, "report the image; the worker has been replaced, other requests are not affected"),
    "queue_full": Kind(503, "try again after the seconds in Retry-After"),
    "not_ready": Kind(503, "wait until /readyz answers 200"),
    "plan_timeout": Kind(504, "send fewer pixels or a mask, or raise --max-plan-time on the server"),
}  # fmt: skip
"""Every code, with its status and its remedy."""

CODES: dict[type[AntipodalError], str] = {
    InvalidImage: "invalid_image",
    InvalidConfig: "invalid_config",
    UnknownAsset: "unknown_asset",
    IncompatibleCheckpoint: "invalid_config",
}
"""What the package's own errors are called over HTTP."""

MAX_MESSAGE = 1000
"""A message is cut here: it may quote what the caller sent."""


class Fault(Exception):
    """A refusal on its way to the caller."""

    def __init__(self, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…"
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """HTTP status."""
        return KINDS[self.code].status

    @property
    def body(self) -> dict[str, str]:
        """The JSON object that the caller gets."""
        return {"error": self.code, "message": self.message, "remedy": KINDS[self.code].remedy}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the status."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers


def fault_of(error: AntipodalError) -> Fault:
    """Translate an error of the package that the caller caused."""
    return Fault(CODES.get(type(error), "invalid_config"), str(error))


class ServiceError(AntipodalError, RuntimeError):
    """What the client raises where the service refuses for a reason that is none of the package's own errors."""

    def __init__(self, code: str, message: str, remedy: str, status: int) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.code = code
        self.remedy = remedy
        self.status = status
