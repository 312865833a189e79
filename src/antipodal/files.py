"""Write files so that a reader never meets half of one: a temporary name, then a rename. Claim and hold folders."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InvalidConfig

LOCK = ".lock"
"""An empty file of a folder that a run holds locked."""


def write_json(value: Any, path: Path) -> None:
    """Write JSON atomically; the folder is made. Arrays and numpy numbers become lists and numbers."""
    write_bytes((json.dumps(value, indent=1, default=plain) + "\n").encode(), path)


def claim(
    file: Path, config: Mapping[str, Any], what: str, where: Mapping[str, str] | None = None
) -> None:
    """Write the config of a run into its folder, or check that the folder belongs to this very run.

    Args:
        file: config.json of the folder, which is made.
        config: everything that the result depends on.
        what: is made there, for the message.
        where: written beside it when it is new, and not compared: places may change.

    Raises:
        InvalidConfig: the folder holds another run, or an unreadable file; names what differs.
    """
    if not file.is_file():
        write_json({**config, **(where or {})}, file)
        return
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise InvalidConfig(
            f"{file} is not readable ({error}): restore it, or delete the folder"
        ) from error
    wanted = json.loads(json.dumps(config, default=plain))
    if differing := sorted(key for key in wanted if found.get(key) != wanted[key]):
        raise InvalidConfig(
            f"{file.parent} holds another {what} ({', '.join(differing)} differ): "
            "choose a new folder, or delete this one"
        )


@contextmanager
def alone(path: Path, written: Path | None = None) -> Iterator[None]:
    """Hold a folder, which is made, so that two runs cannot write each other's files; a dead process holds nothing.

    Args:
        path: the folder.
        written: what is written there, for the message; None: the folder.

    Raises:
        InvalidConfig: another process, or this one, holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / LOCK).open("ab") as file:  # never replaced, unlike what is written atomically
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            raise InvalidConfig(
                f"another process is writing {written or path}: let it end, or choose another place"
            ) from error
        except OSError:  # network disks without locks
            pass
        yield


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file as :func:`writing` does."""
    with writing(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written atomically and durably: it is on the disk before its name is. The folder is made.

    Raises:
        OSError: e.g. a full disk. Whatever is raised in between: no part of the file is left.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: expected a file's name", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: two processes may write the same file, e.g. of a shared cache
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder near ``path`` that is gone at the end; what a kill leaves of one, the next call clears.

    Raises:
        InvalidConfig: another process is writing ``path`` so.
    """
    held = path.with_name(f".{path.name}.partial")
    with alone(held, path):
        folder = held / "files"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(held, ignore_errors=True)


@contextmanager
def publishing(path: Path) -> Iterator[Path]:
    """Give a place of the same name near a file, for what other libraries write by name; then move it there.

    The folder is made. Whatever is raised in between, a check that fails for one: the file is what it was before.

    Raises:
        InvalidConfig: another process is writing ``path`` so.
    """
    with partial_folder(path) as folder:
        unfinished = folder / path.name
        yield unfinished
        os.replace(unfinished, path)


def plain(value: Any) -> Any:
    """What JSON makes of a numpy array or number; anything else in words."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed; BlockingIOError, or PermissionError on Windows, where it is locked already."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
