"""What a step of training frees stays with the process: the next step asks for the same again."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers of these settings (malloc.h)."""
KEEP = 2**31 - 1
USUAL = 32 * 2**20
"""Where glibc's own, moving thresholds end, bytes."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let glibc keep large blocks that are freed meanwhile; give them back at the end. Nothing happens elsewhere.

    By itself it hands blocks of megabytes back to the kernel, which clears every page again at its next use: a third of
    the time of a step of GQ-CNN on a CPU (``benchmarks/training.py``).
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    _set(library, KEEP)
    try:
        yield
    finally:
        _set(library, USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, n_bytes: int) -> None:
    for name in (MMAP_THRESHOLD, TRIM_THRESHOLD):
        library.mallopt(name, n_bytes)
