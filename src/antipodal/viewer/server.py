"""The web server of the viewer: bound to this machine alone, silent on stdout."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import viser

from ..errors import InvalidConfig
from ..values import check_port

HOST = "127.0.0.1"
"""Loopback: there is no authentication, so that nothing but this machine may connect."""
PORT = 8080
"""Where it is asked to listen; if taken, the next free one."""


@contextmanager
def open_server(port: int = PORT, label: str = "antipodal") -> Iterator[viser.ViserServer]:
    """Yield a server with an empty scene, z up, and stop it afterwards.

    Raises:
        InvalidConfig: no such port, or none free from there on.
    """
    port = free_port(port)
    with redirect_stdout(io.StringIO()):  # viser greets on stdout, where a command's result belongs
        server = viser.ViserServer(host=HOST, port=port, label=label, verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False)
    server.gui.main_panel.dock_right()
    server.scene.set_up_direction("+z")
    try:
        yield server
    finally:
        with redirect_stdout(io.StringIO()):
            server.stop()


def free_port(port: int) -> int:
    """Return the port, or the next free one.

    Raises:
        InvalidConfig: no such port, or none free from there on.
    """
    check_port(port)
    for candidate in range(port, 65536):
        try:
            socket.create_server((HOST, candidate)).close()
        except OSError:
            continue
        return candidate
    raise InvalidConfig(f"port {port}: taken, and so are all after it: choose a smaller one")


def url_of(server: viser.ViserServer) -> str:
    """Return the address for the browser."""
    return f"http://{HOST}:{server.get_port()}"
