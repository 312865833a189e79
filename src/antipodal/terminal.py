"""What a person and a machine see: one result on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .files import plain


def emit(values: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print one result: JSON for machines, words for people."""
    stdout(json.dumps(values, default=plain) if as_json else text)


def table(values: Mapping[str, Any]) -> str:
    """One line per number or word, numbers short; what is nested is left to ``--json``."""
    flat = {k: v for k, v in values.items() if not isinstance(v, dict | list)}
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in flat.items()}
    return "\n".join(f"{key:<24} {value}" for key, value in shown.items())


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """Yield a callback (done, total, datapoints) that draws a bar with rate and time left on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[n]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=None, n="")

    def callback(done: int, total: int, datapoints: int | None = None) -> None:
        bar.start()  # with the first report, so that a refused input leaves one line and no bar
        said = "" if datapoints is None else f"{datapoints} datapoints"
        bar.update(task, completed=done, total=total, n=said)

    try:
        yield callback
    finally:
        if bar.live.is_started:
            bar.stop()


def stdout(text: str) -> None:
    """Print to stdout."""
    sys.stdout.write(text + "\n")


def stderr(text: str) -> None:
    """Print to stderr."""
    sys.stderr.write(text + "\n")
