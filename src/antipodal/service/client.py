"""The client: a depth image in, a :class:`~antipodal.policy.base.Plan` out, as if the planner were here."""

from __future__ import annotations

import io
import json
import time
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np

from ..camera import DepthImage
from ..camera_files import camera_json
from ..errors import AntipodalError, InvalidConfig, InvalidImage, UnknownAsset
from ..files import plain
from ..grasp import PlanarGrasp
from ..policy.base import OPTICAL_AXIS, Plan
from ..policy.request import Asked, as_request
from .faults import ServiceError
from .schemas import PlanJson, json_of

ERRORS: dict[str, type[AntipodalError]] = {
    "invalid_image": InvalidImage,
    "invalid_config": InvalidConfig,
    "unknown_asset": UnknownAsset,
}
"""Codes that become the error which the planner would have raised here."""
ELSEWHERE = {
    "camera": "give the image its own: DepthImage(depth, intrinsics, T_world_camera)",
    "depth_unit": "give it to load_depth: a DepthImage is in metres",
    "constraints": "give them as fields of the Request",
}
"""Keys of the service's JSON that are no options here, and where to say them."""
MIN_PAUSE = 0.1
"""Shortest pause before a busy service is asked again, s."""
ELSE = "is this the address of a service of this version?"
"""The remedy where something else answers."""


class PlanClient:
    """One service; keeps its connection open. Use it in a ``with`` block, or call :meth:`close`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        timeout: float = 60.0,
        max_wait: float = 0.0,
    ) -> None:
        """Connect lazily.

        Args:
            url: of the service.
            api_key: sent as ``Authorization: Bearer``.
            timeout: of silence, s: an answer that goes on coming is waited for.
            max_wait: where the service is busy (503), try again for so long, s.

        Raises:
            InvalidConfig: no such address can be, or the key is not printable ASCII.
        """
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise InvalidConfig("the API key: expected printable ASCII, without the line's end")
        address = _address(url)
        self._http = httpx.Client(
            base_url=address, headers=headers, timeout=timeout, trust_env=False
        )
        self._max_wait = max_wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def plan(
        self,
        image: DepthImage,
        asked: Asked = None,
        **options: Any,
    ) -> Plan:
        """Plan grasps on the service.

        Args:
            image: sent as float32 with its camera and pose: nothing is lost.
            asked: a :class:`~antipodal.policy.request.Request`, an object mask alone, or None, as a policy takes it.
            options: gripper, policy, k, seed; see ``/openapi.json``. Without a gripper it is the service's own, whose
                name :meth:`plan_json` gives.

        Raises:
            InvalidImage, InvalidConfig, UnknownAsset: as the planner would here.
            ServiceError: refused for another reason, or the service cannot be reached.
        """
        return plan_from_json(self.plan_json(image, asked, **options))

    def plan_json(
        self,
        image: DepthImage,
        asked: Asked = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Plan grasps on the service and return its JSON object; see :meth:`plan`."""
        wanted = as_request(asked)
        for name, where in ELSEWHERE.items():
            if name in options:
                raise InvalidConfig(
                    f"option {name} would replace what image or Request say: {where}"
                )
        if "k" in options and wanted.n_grasps is not None:
            raise InvalidConfig(
                f"option k {options['k']} beside the Request's n_grasps {wanted.n_grasps}: expected one of them"
            )
        values = {"camera": camera_json(image)} | json_of(wanted) | options
        request = json.dumps(values, default=plain)
        files = {"depth": ("depth.npy", _npy(image.depth))}
        if wanted.mask is not None:
            files["mask"] = ("mask.npy", _npy(wanted.mask))
        give_up = time.monotonic() + self._max_wait
        while True:
            response = self._send("POST", "/v1/plan", data={"request": request}, files=files)
            if response.status_code == 200:
                return _read_plan(response, options.get("gripper"))
            rest = give_up - time.monotonic()
            if response.status_code != 503 or rest <= 0:
                raise error_of(response)
            said = response.headers.get("Retry-After", "")
            pause = float(said) if said.isdecimal() else 1.0
            time.sleep(min(max(pause, MIN_PAUSE), rest))

    def is_ready(self) -> bool:
        """Whether the service is there and warm."""
        try:
            return self._send("GET", "/readyz").status_code == 200
        except ServiceError:
            return False

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait until the service is warm.

        Raises:
            ServiceError: it is not after ``timeout`` s.
        """
        give_up = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > give_up:
                raise ServiceError(
                    "not_ready", f"no answer from {self._http.base_url} in {timeout:g} s", "is it running?", 503
                )  # fmt: skip
            time.sleep(0.1)

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.DecodingError as error:
            raise ServiceError(
                "unknown", f"an answer that cannot be read: {error}", ELSE, 0
            ) from error
        except (httpx.TransportError, UnicodeError) as error:  # a host's name may be too long
            raise ServiceError(
                "unreachable", f"{self._http.base_url}: {error or type(error).__name__}", "is the service running?", 0
            ) from error  # fmt: skip


def _address(url: str) -> httpx.URL:
    words = f"service at {url!r}: expected an address such as http://127.0.0.1:8000"
    try:
        address = httpx.URL(url)
        fits = address.scheme in ("http", "https") and address.host and (address.port or 0) < 2**16
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise InvalidConfig(words) from error
    if not fits:
        raise InvalidConfig(words)
    return address


def _read_plan(response: httpx.Response, gripper: str | None) -> dict[str, Any]:
    """Check that an answer is a plan, for the hand that was asked for."""
    try:
        values = response.json()
        planned = PlanJson.model_validate(values).gripper
    except ValueError as error:  # no JSON, or of another schema
        raise ServiceError(
            "unknown", f"expected a plan, came {response.text[:200]!r}", ELSE, 200
        ) from error
    if gripper is not None and planned != gripper:
        raise ServiceError(
            "unknown", f"the plan is for gripper '{planned[:60]}': expected '{gripper}'", ELSE, 200
        )
    return values


def plan_from_json(values: dict[str, Any]) -> Plan:
    """Rebuild a plan from its JSON; the approach axis, read off a pose, is the same to rounding."""
    grasps = values["grasps"]
    planar = PlanarGrasp(
        np.array([g["center_px"] for g in grasps], float).reshape(-1, 2),
        np.array([g["angle"] for g in grasps], float),
        np.array([g["depth"] for g in grasps], float),
        np.array([g["width"] for g in grasps], float),
    )
    quality = np.array([g["quality"] for g in grasps], float)
    axis = np.array(grasps[0]["T_camera_grasp"])[:3, 2] if grasps else OPTICAL_AXIS
    warnings = tuple(values.get("warnings", ()))
    return Plan(planar, quality, axis, values["counts"], values["reason"], warnings=warnings)


def error_of(response: httpx.Response) -> AntipodalError:
    """Build the exception for a refusal."""
    try:
        body = response.json()
        code, message, remedy = (str(body[name]) for name in ("error", "message", "remedy"))
    except (ValueError, LookupError, TypeError):  # not our service, or something before it
        said = response.text[:200] or "nothing more"
        code, message, remedy = "unknown", f"status {response.status_code} and {said}", ELSE
    if code in ERRORS:
        return ERRORS[code](message)
    return ServiceError(code, message, remedy, response.status_code)


def _npy(a: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, a)
    return buffer.getvalue()
