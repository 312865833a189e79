"""Libraries that remark on what we know."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(logger: str, level: int, *known: str) -> Iterator[None]:
    """Silence a logger below a level, and known warnings: patterns of their beginnings. "" is the root logger."""
    log = logging.getLogger(logger)
    before = log.level
    log.setLevel(level)
    try:
        with warnings.catch_warnings():
            for message in known:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        log.setLevel(before)
