"""OpenVINO in this process: its one core, and what is compiled for the CPU, in each child of a fork anew.

A fork copies OpenVINO's memory but none of its threads: what the parent compiled would wait for them for ever, in the
child, and so would what takes over the threads of a network that the parent has let go of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, Literal, NoReturn, TypeVar
from weakref import finalize

from .errors import InvalidConfig

Precision = Literal["auto", "float32", "bfloat16"]
"""What products are computed in; auto is bfloat16 where the CPU has it and the file is not quantised."""

Made = TypeVar("Made")

_INHERITED: list[object] = []
"""What a parent has compiled: to let go of it would wait for its threads."""
_LET_GO: set[int] = set()
"""Processes that have let go of a compiled network: OpenVINO keeps its threads, for the next one that is compiled."""


class PerProcess(Generic[Made]):
    """What is compiled, and compiled anew in a child of a fork: OpenVINO's threads are the parent's alone."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made = (os.getpid(), make())

    def here(self) -> Made:
        """Return this process's own."""
        pid, made = self._made
        if pid != os.getpid():
            _INHERITED.append(made)
            made = self._make()
            self._made = (os.getpid(), made)
        return made

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a network cannot be pickled: load it in each process, or fork or use threads"
        )


def compiled(model: Any, precision: Precision, n_streams: int | None = None) -> Any:
    """Compile for the CPU, for so many requests at a time of one core each, or for one on all cores.

    Raises:
        InvalidConfig: OpenVINO would wait for ever: a parent of this process has let go of a network.
    """
    options = {
        # said aloud: the default may pick bfloat16 on CPUs that have it, also for metres
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        # a thread tied to the core on which the caller goes on would push it aside
        "ENABLE_CPU_PINNING": "NO",
    }
    if n_streams is not None:
        options |= {"NUM_STREAMS": str(n_streams), "INFERENCE_NUM_THREADS": str(n_streams)}
    if _LET_GO - {os.getpid()}:
        raise InvalidConfig(
            "a network was let go of before this process was forked, and compiling would wait for its threads for "
            "ever: keep every network until the last fork, load none before it, or use spawn or forkserver"
        )
    made = the_core().compile_model(model, "CPU", options)
    finalize(made, lambda: _LET_GO.add(os.getpid())).atexit = False
    return made


@cache
def the_core() -> Any:
    """OpenVINO's one core of this process, which stays; heavy: loaded with the first network.

    Its CPU plugin gives the thread that loads it a stack for signals. Of two cores of which the first goes first, the
    second leaves the first's stack behind, which is unmapped by then: the next signal, an interrupt too, ends the
    process (OpenVINO 2026.4).
    """
    return load_openvino().Core()


def load_openvino() -> Any:
    """OpenVINO without its converter of other frameworks' files.

    It can do without. The converter would take a third of the time, and tell its makers over the network that it was
    imported.
    """
    hidden = [n for n in ("openvino.tools.ovc", "openvino_telemetry") if n not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        import openvino
    finally:
        for name in hidden:
            del sys.modules[name]
    return openvino
