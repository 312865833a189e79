"""On another core: what a plan will need, while it does what it needs now.

NumPy, OpenCV and OpenVINO let go of the interpreter while they compute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def beside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """Begin a call; the answer waits for its result, and raises what it raised, as often as it is asked."""
    return _threads().submit(function, *args, **kwargs).result


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="beside")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a forked process has no threads
