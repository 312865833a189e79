"""What a step of training frees stays with the process: the next step asks for the same again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers of these settings (malloc.h)."""
KEEP = 2**31 - 1
USUAL = 32 * 2**20
"""Most that its own, moving threshold of maps comes to, and all that older versions let one set, bytes."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let glibc keep large blocks that are freed meanwhile; give them back at the end. Nothing happens elsewhere.

    By itself it hands blocks of megabytes back to the kernel, which clears every page again at its next use: a fifth to
    a quarter of the time of a step of GQ-CNN on a CPU (``benchmarks/training.py``). Afterwards its thresholds stay
    where they come to by themselves in a process that has used large blocks.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
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
    if not library.mallopt(MMAP_THRESHOLD, n_bytes):
        library.mallopt(MMAP_THRESHOLD, USUAL)
    library.mallopt(TRIM_THRESHOLD, n_bytes)
