"""What the service does when it is pressed: too large, too slow, too many, killed, told to end."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from conftest import box
from policy_scenes import seen

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig
from antipodal.service import server
from antipodal.service.client import PlanClient
from antipodal.service.config import Limits
from antipodal.service.faults import ServiceError
from antipodal.service.server import is_loopback
from service_process import Service, refused, running, running_code

KEY = "a-key-of-more-than-16-characters"
BEARER = {"Authorization": f"Bearer {KEY}"}
SMALL = Limits(
    max_bytes=2**20, max_pixels=2**16, read_time=2.0, plan_time=10.0, queue_time=0.5, queue_length=1
)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Iterator[Service]:
    """A service with small limits and a key, reachable from elsewhere."""
    code = f"""
from antipodal.service.config import Limits, ServiceConfig
from antipodal.service.server import run_service
run_service(ServiceConfig(n_workers=1, api_key={KEY!r}, limits={SMALL!r}), "0.0.0.0", 0)
"""
    with running_code(code, tmp_path_factory.mktemp("narrow"), KEY) as service:
        service.url = service.url.replace("0.0.0.0", "127.0.0.1")
        yield service


@pytest.fixture(scope="module")
def scene() -> tuple[DepthImage, np.ndarray]:
    image, mask = seen(box(0.03, 0.04, 0.05))
    u, v = 200, 120
    return image.crop(u, v, 240, 240), mask[v : v + 240, u : u + 240]


def ask(service: Service, depth: bytes, **headers: str) -> httpx.Response:
    url, files = f"{service.url}/v1/plan", {"depth": ("depth", depth)}
    data = {"request": '{"camera": "primesense"}'}
    return httpx.post(url, data=data, files=files, headers=BEARER | headers, timeout=60)


def png(width: int, height: int) -> bytes:
    """A file of some hundred bytes that claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tiff(*tags: tuple[int, int]) -> bytes:
    """A directory of whole-number tags and nothing else."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def npy_header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_only_the_key_opens_but_health_is_open(narrow, scene) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
        for path in ("/metrics", "/v1/plan"):
            method = "GET" if path == "/metrics" else "POST"
            response = httpx.request(method, narrow.url + path, headers=headers)
            refused(response, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
    assert httpx.get(f"{narrow.url}/readyz").status_code == 200
    assert httpx.get(f"{narrow.url}/healthz", headers={"host": "robot.lan"}).status_code == 200
    assert httpx.get(f"{narrow.url}/metrics", headers=BEARER).status_code == 200
    with PlanClient(narrow.url, KEY) as client:
        assert len(client.plan(*scene, k=1).grasps) == 1
    with PlanClient(narrow.url) as stranger, pytest.raises(ServiceError, match="no API key"):
        stranger.plan(*scene)
    assert KEY not in narrow.log_path.read_text()


BOMBS = {
    "PNG of 3.6 gigapixels": png(60_000, 60_000),
    "TIFF of 16 gigapixels": tiff((256, 2**17), (257, 2**17)),
    "TIFF with a giant tile": tiff((256, 8), (257, 8), (322, 2**16), (323, 2**16)),
    ".npy of a terapixel": npy_header("(1000000, 1000000)"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_by_what_its_header_claims(narrow, what) -> None:
    assert "expected at most 65536" in refused(ask(narrow, BOMBS[what]), "too_many_pixels")


def test_a_body_is_refused_by_its_length_or_when_it_goes_on(narrow) -> None:
    assert "bytes: expected at most" in refused(ask(narrow, bytes(2**21)), "body_too_large")
    chunks = (bytes(2**16) for _ in range(32))  # without a length
    headers = BEARER | {"content-type": "application/json"}
    response = httpx.post(f"{narrow.url}/v1/plan", content=chunks, headers=headers)
    assert "goes on" in refused(response, "body_too_large")


def slow_upload(service: Service) -> socket.socket:
    """Begin a request and never finish it."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = (
        f"POST /v1/plan HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    connection.sendall(head.encode())
    return connection


def test_a_body_that_never_comes_frees_its_place(narrow) -> None:
    with slow_upload(narrow) as connection:
        assert b"408 Request Timeout" in connection.recv(65536)
    with slow_upload(narrow):
        pass  # the caller leaves in the middle
    assert refused(ask(narrow, b""), "invalid_image")
    assert narrow.metric("antipodal_requests_inside", BEARER) == 0


def test_a_connection_that_says_nothing_is_closed(narrow) -> None:
    host, port = narrow.url.removeprefix("http://").split(":")
    health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: loc", health + b"\r\n" + health):
        begin = time.monotonic()
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(said)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert time.monotonic() - begin > 0.9 * SMALL.read_time
        assert answer.count(b"200 OK") == said.count(b"\r\n\r\n")


def test_an_answer_that_nobody_reads_is_not_kept(narrow) -> None:
    host, port = narrow.url.removeprefix("http://").split(":")
    n = 600  # of 20 kB: more than the kernel holds
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((host, int(port)))
        connection.settimeout(10)
        connection.sendall(n * b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        give_up = time.monotonic() + 20
        while not any(  # of the first one that had to wait
            e.get("path") == "/openapi.json" and e["time_s"] > 0.9 * SMALL.read_time
            for e in narrow.log()
        ):
            assert time.monotonic() < give_up, "it is kept"
            time.sleep(0.1)
        answer = bytearray()
        with suppress(ConnectionResetError):
            while chunk := connection.recv(2**16):
                answer += chunk
    assert 0 < answer.count(b"200 OK") < n


def test_a_plan_that_takes_too_long_is_killed_with_its_worker_which_is_replaced(
    narrow, scene
) -> None:
    (pid,) = narrow.workers()
    with PlanClient(narrow.url, KEY) as client:
        with (
            narrow.stopped_workers(),
            pytest.raises(ServiceError, match="longer than 10 s") as late,
        ):
            client.plan(*scene)
        assert (late.value.code, late.value.status) == ("plan_timeout", 504)
        assert not Path(f"/proc/{pid}").exists()
        client.wait_until_ready(120)
        assert len(client.plan(*scene, k=1).grasps) == 1
    assert narrow.metric('antipodal_lost_workers_total{reason="late"}', BEARER) == 1


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Iterator[Service]:
    """One worker, one place in the queue, time enough."""
    arguments = ["--workers", "1", "--queue", "1", "--max-plan-time", "100"]
    with running(arguments, tmp_path_factory.mktemp("single")) as service:
        yield service


def plan_with(service: Service, scene, **options) -> int:
    with PlanClient(service.url, timeout=120, **options) as client:
        return len(client.plan(*scene, k=3).grasps)


def test_a_full_queue_answers_503_with_retry_after_and_loses_nothing(single, scene) -> None:
    with ThreadPoolExecutor(3) as callers:
        with single.stopped_workers():
            waiting = [callers.submit(plan_with, single, scene) for _ in range(2)]
            single.wait_for("antipodal_requests_inside", 2)
            response = httpx.post(f"{single.url}/v1/plan", json={})
            refused(response, "queue_full")
            assert 1 <= int(response.headers["retry-after"]) <= 60
            with pytest.raises(ServiceError, match="are being answered"):
                plan_with(single, scene)
            patient = callers.submit(plan_with, single, scene, max_wait=100.0)
        assert [call.result() for call in waiting] == [3, 3]
        assert patient.result() == 3


def test_a_worker_that_dies_idle_costs_nobody_an_answer(single, scene) -> None:
    (pid,) = single.workers()
    os.kill(pid, signal.SIGKILL)
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)  # a signal takes a moment
    assert plan_with(single, scene) == 3
    assert single.workers() != [pid]


def test_a_worker_that_dies_at_work_costs_one_answer(single, scene) -> None:
    (pid,) = single.workers()
    with ThreadPoolExecutor(1) as callers:
        with single.stopped_workers():
            lost = callers.submit(plan_with, single, scene)
            single.wait_for("antipodal_requests_inside", 1)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(ServiceError, match="the process that planned ended") as caught:
                lost.result()
    assert caught.value.code == "worker_died"
    assert plan_with(single, scene) == 3


def test_a_told_service_takes_nothing_new_finishes_what_it_took_and_leaves_no_trace(
    single, scene
) -> None:
    (pid,) = single.workers()
    with ThreadPoolExecutor(2) as callers:
        with single.stopped_workers():
            calls = [callers.submit(plan_with, single, scene) for _ in range(2)]  # one waits
            single.wait_for("antipodal_requests_inside", 2)
            single.process.send_signal(signal.SIGTERM)
            while True:
                try:
                    httpx.get(f"{single.url}/healthz", trust_env=False)
                except httpx.TransportError:
                    break
            assert single.process.poll() is None
        assert [call.result() for call in calls] == [3, 3]
    assert single.process.wait(60) == 0
    assert not Path(f"/proc/{pid}").exists()
    assert single.log()[-1]["event"] == "ended"


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *(
            (host, True)
            for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "Localhost")
        ),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "robot", "")),
    ],
)
def test_loopback_is_told_from_the_rest(host, alone) -> None:
    assert is_loopback(host) is alone


def test_an_answer_does_not_wait_until_the_one_before_is_acknowledged() -> None:
    with server._listen("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("limit", ["soon", -1.0, np.inf, None])
def test_a_limit_is_a_positive_number(limit) -> None:
    with pytest.raises(InvalidConfig, match=f"limit plan_time {limit}: expected a positive number"):
        Limits(plan_time=limit)
