"""The real service in a process of its own, on a free loopback port: what the tests of the service talk to."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from antipodal.service.client import PlanClient
from antipodal.service.faults import KINDS

COMMAND = """
import sys
from antipodal import cli, cli_serve
cli.GROUPS.setdefault("serve", cli_serve.serve)
cli.main(["serve", *sys.argv[1:]])
"""
START_TIME = 120.0


def command(*arguments: str) -> list[str]:
    """The command line ``antipodal serve …`` with this interpreter."""
    return [sys.executable, "-c", COMMAND, *arguments]


class Service:
    """A running service."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.process, self.log_path = process, log_path
        self.url = self._url()

    def log(self) -> list[dict]:
        """Every line that it wrote to stderr, read as JSON."""
        whole = self.log_path.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def line(self, request_id: str) -> dict:
        """The one line about a request; it may be written after the answer has arrived."""
        give_up = time.monotonic() + 30
        while True:
            lines = [e for e in self.log() if e.get("request_id") == request_id]
            if lines or time.monotonic() > give_up:
                (line,) = lines
                return line
            time.sleep(0.05)

    def _url(self) -> str:
        give_up = time.monotonic() + START_TIME
        while time.monotonic() < give_up and self.process.poll() is None:
            if self.log_path.read_bytes().count(b"\n"):
                return self.log()[0]["url"]
            time.sleep(0.05)
        raise AssertionError(f"no service: {self.log_path.read_text()}")

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted(int(pid) for task in tasks for pid in task.read_text().split())

    @contextmanager
    def stopped_workers(self) -> Iterator[None]:
        """Halt the workers: what is asked meanwhile waits."""
        pids = self.workers()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in set(pids) & set(self.workers()):
                os.kill(pid, signal.SIGCONT)

    def metric(self, name: str, headers: dict[str, str] | None = None) -> float:
        """One number of /metrics; 0 if it was never set."""
        text = httpx.get(f"{self.url}/metrics", headers=headers, trust_env=False).text
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)]
        return float(found[0]) if found else 0.0

    def wait_for(self, name: str, value: float) -> None:
        """Wait until a number of /metrics has a value."""
        give_up = time.monotonic() + START_TIME
        while self.metric(name) != value:
            assert time.monotonic() < give_up, f"{name} never became {value}"
            time.sleep(0.02)


@contextmanager
def running(
    arguments: Sequence[str], folder: Path, api_key: str | None = None
) -> Iterator[Service]:
    """Start a service and wait until it is warm; at the end it is told to stop."""
    yield from _running(command("--port", "0", *arguments), folder, api_key)


@contextmanager
def running_code(code: str, folder: Path, api_key: str | None = None) -> Iterator[Service]:
    """The same for a service that Python code runs."""
    yield from _running([sys.executable, "-c", code], folder, api_key)


@contextmanager
def running_command(
    arguments: Sequence[str], folder: Path, api_key: str | None = None
) -> Iterator[Service]:
    """The same for a whole command line."""
    yield from _running(arguments, folder, api_key)


def _running(arguments: Sequence[str], folder: Path, api_key: str | None) -> Iterator[Service]:
    log_path = folder / "service.log"
    with log_path.open("wb") as stderr:
        process = subprocess.Popen(arguments, stderr=stderr)
    try:
        service = Service(process, log_path)
        with PlanClient(service.url, api_key) as client:
            client.wait_until_ready(START_TIME)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def refused(response: httpx.Response, code: str) -> str:
    """Check a refusal's whole shape; return its message."""
    body = response.json()
    assert (body["error"], response.status_code) == (code, KINDS[code].status), body
    assert body == {"error": code, "message": body["message"], "remedy": KINDS[code].remedy}
    assert response.headers["content-type"] == "application/json"
    return body["message"]


def npy(a: np.ndarray) -> bytes:
    """A .npy file; also of objects, which the service must refuse."""
    buffer = io.BytesIO()
    np.save(buffer, a, allow_pickle=True)
    return buffer.getvalue()
