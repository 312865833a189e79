"""What a service is told when it starts, and the limits that it holds its callers to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ..errors import InvalidConfig
from ..values import is_number

MIN_KEY_LENGTH = 16
"""Shortest API key that is taken."""


@dataclass(frozen=True)
class Limits:
    """What one request may cost, and how many may wait."""

    max_bytes: int = 16 * 2**20
    """Largest request body, bytes."""
    max_pixels: int = 4 * 2**20
    """Largest image, pixels; read from the file's header before anything is decoded."""
    max_grasps: int = 1000
    """Largest k."""
    read_time: float = 10.0
    """A body that takes longer to arrive is refused, an answer that takes longer to be read is dropped, s."""
    plan_time: float = 10.0
    """A plan (decoding included) that takes longer is killed with its worker, s."""
    queue_time: float = 30.0
    """A request that waits longer for a worker is refused, s."""
    queue_length: int = 16
    """Requests that may wait; one more is answered 503."""
    shutdown_time: float = 60.0
    """What was accepted before the end may take so long to finish, s."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name == "queue_length" else 1e-3
            if not (is_number(value) and least <= value < 2**40):
                raise InvalidConfig(f"limit {name} {value}: expected a positive number")


DEFAULT_LIMITS = Limits()
"""For a depth camera of up to 4 megapixels on a machine of one's own."""


@dataclass(frozen=True)
class ServiceConfig:
    """One service: one network, some grippers, so many processes."""

    model: str = "builtin"
    """Built-in network, or an ONNX file."""
    grippers: tuple[str, ...] = ()
    """Names, or files that callers may name beside the built-in ones; a single one is meant where none is named."""
    n_workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that plan."""
    api_key: str | None = field(default=None, repr=False)
    """What callers must send as ``Authorization: Bearer KEY``; None = nobody is asked."""
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if not (is_number(self.n_workers) and 1 <= self.n_workers <= 256):
            raise InvalidConfig(f"workers {self.n_workers}: expected 1 to 256")
        key = self.api_key
        if key is not None and not (
            len(key) >= MIN_KEY_LENGTH and key.isascii() and key.isprintable() and " " not in key
        ):
            raise InvalidConfig(
                f"the API key has {len(key)} characters: expected at least {MIN_KEY_LENGTH} printable ASCII ones, no "
                "space; make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
