"""The client before it asks, and what it makes of answers that are none of the service's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.errors import InvalidConfig
from antipodal.policy.request import Request
from antipodal.service.client import MIN_PAUSE, PlanClient
from antipodal.service.describe import EXAMPLE_PLAN
from antipodal.service.faults import ServiceError

IMAGE = DepthImage(
    np.full((120, 160), 0.7, np.float32), CameraIntrinsics(131.0, 131.0, 79.5, 59.5, 160, 120)
)
NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"camera": "primesense"}, "camera .*: give the image its own"),
        ({"depth_unit": 0.001}, "depth_unit .* a DepthImage is in metres"),
        ({"constraints": {"min_height": 0.01}}, "constraints .* fields of the Request"),
        ({"k": 2}, "k 2 beside the Request's n_grasps 3"),
    ],
    ids=["camera", "unit", "constraints", "k"],
)
def test_no_option_replaces_what_image_or_request_say(options, said) -> None:
    asked = Request(box_px=np.array([0.0, 0.0, 9.0, 9.0]), n_grasps=3)
    with PlanClient(NOBODY) as client, pytest.raises(InvalidConfig, match=said):
        client.plan(IMAGE, asked, **options)


Reply = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(*replies: Reply) -> Iterator[tuple[str, Sequence[str]]]:
    """A server that gives these answers one after the other, the last for ever; its address, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(self.path)
            status, headers, body = replies[min(len(asked), len(replies)) - 1]
            self.send_response(status)
            for name, value in (headers | {"content-length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()


def plan(**changed: Any) -> Reply:
    """The example of the service's description, with these values."""
    return 200, {}, json.dumps(EXAMPLE_PLAN | changed).encode()


GRASP = EXAMPLE_PLAN["grasps"][0]
STRANGE = {
    "a page": ((200, {}, b"<html>hi</html>"), "expected a plan, came '<html>hi</html>'"),
    "an empty object": ((200, {}, b"{}"), "expected a plan, came '{}'"),
    "a list": ((200, {}, b"[]"), "expected a plan"),
    "no text": ((200, {}, b"\xff\xfe"), "expected a plan"),
    "no gzip": ((200, {"content-encoding": "gzip"}, b"abc"), "cannot be read"),
    "a NaN": (plan(grasps=[GRASP | {"depth": float("nan")}]), "expected a plan"),
    "half a pose": (plan(grasps=[GRASP | {"T_camera_grasp": [[1.0] * 4]}]), "expected a plan"),
    "another hand's plan": (plan(gripper="franka_hand"), "for gripper 'franka_hand': .*'yumi'"),
    "elsewhere": ((302, {"location": NOBODY}, b""), "status 302 and nothing more"),
    "an error of another shape": (
        (500, {}, b'{"error": [], "message": 1, "remedy": ""}'),
        "^1$",
    ),
}


@pytest.mark.parametrize("what", STRANGE)
def test_an_answer_that_is_no_plan_for_the_hand_asked_for_is_a_service_error(what) -> None:
    reply, said = STRANGE[what]
    with answering(reply) as (url, _), PlanClient(url) as client:
        with pytest.raises(ServiceError, match=said):
            client.plan(IMAGE, gripper="yumi")


def test_a_plan_is_taken_for_the_hand_asked_for_or_for_any_where_none_was() -> None:
    with answering(plan(), plan(gripper="franka_hand")) as (url, _), PlanClient(url) as client:
        assert client.plan(IMAGE, gripper="yumi").quality == [GRASP["quality"]]
        assert client.plan_json(IMAGE)["gripper"] == "franka_hand"


@pytest.mark.parametrize("pause", ["30", "0", "tomorrow"])
def test_a_busy_service_is_asked_again_until_the_time_is_over(pause) -> None:
    body = b'{"error": "queue_full", "message": "3 are inside", "remedy": "wait"}'
    busy = (503, {"retry-after": pause}, body)
    with answering(busy, plan()) as (url, asked), PlanClient(url, max_wait=0.2) as client:
        assert len(client.plan(IMAGE).grasps) == 1
        assert len(asked) == 2
    max_wait = 2.5 * MIN_PAUSE
    with answering(busy) as (url, asked), PlanClient(url, max_wait=max_wait) as client:
        with pytest.raises(ServiceError, match="3 are inside"):
            client.plan(IMAGE)
        assert 2 <= len(asked) <= 4  # at once, and no oftener than every MIN_PAUSE


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "localhost:8000", "http://", "", "http://[::1", "http://h:99999", "http://xn--0.de", "file:///x"],
)  # fmt: skip
def test_what_is_no_address_of_a_service_is_refused_before_it_is_asked(url) -> None:
    with pytest.raises(InvalidConfig, match="service at"):
        PlanClient(url)


@pytest.mark.parametrize("key", ["schlüssel-of-16-characters", "a-key-of-16-characters\n"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(key) -> None:
    with pytest.raises(InvalidConfig, match="API key: expected printable ASCII") as caught:
        PlanClient(NOBODY, api_key=key)
    assert key[:9] not in str(caught.value)


def test_a_host_that_cannot_be_reached_is_a_service_error() -> None:
    for url in (NOBODY, f"http://{'a' * 300}.example"):
        with PlanClient(url) as client, pytest.raises(ServiceError, match="service running"):
            client.plan(IMAGE)
