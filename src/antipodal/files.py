"""Write files so that a reader never meets half of one: a temporary name, then a rename."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_json(value: Any, path: Path) -> None:
    """Write JSON atomically; the folder is made. Arrays and numpy numbers become lists and numbers."""
    write_bytes((json.dumps(value, indent=1, default=plain) + "\n").encode(), path)


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file atomically and durably: it is on the disk before its name is. The folder is made.

    Raises:
        OSError: e.g. a full disk; no part of the file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def plain(value: Any) -> Any:
    """What JSON makes of a numpy array or number; anything else in words."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
