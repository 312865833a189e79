"""Bind, run, end: the service as a process.

Bound to loopback it serves whoever is on the machine. Bound elsewhere it does not start without an API key.
"""

from __future__ import annotations

import logging
import signal
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from .. import __version__
from ..errors import AntipodalError, InvalidConfig, UnknownAsset
from ..values import check_port
from .app import create_app, is_loopback
from .config import ServiceConfig
from .connection import impatient
from .logs import write_logs_as_json

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
"""More open connections than this are answered 503 by uvicorn itself."""


def read_api_key(path: str | Path) -> str:
    """Read the API key: the file's only line.

    Raises:
        UnknownAsset: no such file.
        InvalidConfig: not one line of text.
    """
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except FileNotFoundError as error:
        raise UnknownAsset(f"no API key file {path}: check the path") from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"API key file {path}: expected ASCII") from error
    if len(lines) != 1:
        raise InvalidConfig(f"API key file {path} has {len(lines)} lines: expected one, the key")
    return lines[0].strip()


def check_binding(host: str, api_key: str | None) -> None:
    """Refuse to be reachable from elsewhere without a key.

    Raises:
        InvalidConfig: ``host`` is not loopback and there is no key.
    """
    if api_key is None and not is_loopback(host):
        raise InvalidConfig(
            f"host {host} can be reached from other machines: expected an API key there; give --api-key-file, "
            "or bind to 127.0.0.1"
        )


def run_service(config: ServiceConfig, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted.

    Args:
        config: what to serve.
        host: address to bind.
        port: 0 = any free one; the log's first line says which.

    Raises:
        InvalidConfig: no key where one is needed; the port is taken.
        AntipodalError: model or gripper cannot be used.
    """
    check_binding(host, config.api_key)
    failures: list[AntipodalError] = []

    def fail(error: AntipodalError) -> None:
        failures.append(error)
        server.should_exit = True

    def end(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    limits = config.limits
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(config, fail),
            http=impatient(limits.read_time),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=round(limits.shutdown_time),
        )
    )
    listener = _listen(host, port)
    write_logs_as_json()
    name, number = listener.getsockname()[:2]
    url = f"http://{f'[{name}]' if ':' in name else name}:{number}"
    log.info("listening", extra={"fields": {"url": url, "version": __version__}})
    # uvicorn raises a signal once more after its graceful end; this one takes it, so that the exit code is 0
    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()
    log.info("ended", extra={"fields": {"url": url}})
    if failures:
        raise failures[0]


def _listen(host: str, port: int) -> socket.socket:
    check_port(port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        raise InvalidConfig(
            f"{host} port {port} cannot be bound: {error.strerror or error}: choose another with --host and --port"
        ) from error
    # asyncio does it for sockets that say TCP; without, a second answer waits 40 ms for the first's acknowledgement
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
