"""One thing that the doctor looked at, in words."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    severity: Severity
    message: str


def millimetres(length: float) -> str:
    """Write a length in m as mm."""
    return f"{length * 1e3:.0f} mm"
