"""Weights on disk: written so that a kill or a full disk leaves the last ones whole, read so that damage is named."""

from __future__ import annotations

import io
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ..errors import IncompatibleCheckpoint
from ..files import write_bytes


def save_weights(state: dict[str, Any], file: Path) -> None:
    """Write what :func:`load_weights` reads.

    Raises:
        OSError: e.g. a full disk; names the file.
    """
    content = io.BytesIO()  # of a full disk, torch's own writer says "unexpected pos 768"
    torch.save(state, content)
    write_bytes(content.getvalue(), file)


def load_weights(file: Path, remedy: str) -> dict[str, Any]:
    """Read weights onto the CPU.

    Raises:
        IncompatibleCheckpoint: the file is damaged; says what to do.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (ValueError, RuntimeError, EOFError, OSError, UnpicklingError) as error:
        raise damaged(file, error, remedy) from error


def damaged(file: Path, error: Exception, remedy: str) -> IncompatibleCheckpoint:
    """The one line on a file that cannot be read."""
    return IncompatibleCheckpoint(f"{file} is damaged ({type(error).__name__}): {remedy}")
