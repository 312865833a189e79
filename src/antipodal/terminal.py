"""What a person and a machine see: one result on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import tyro

from .files import plain

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from .dataset.events import Report

Output = Annotated[Path, tyro.conf.arg(aliases=("-o",))]
MaybeOutput = Annotated[Path | None, tyro.conf.arg(aliases=("-o",))]
RESULT: ContextVar[TextIO | None] = ContextVar("RESULT", default=None)
"""Where the result goes, if not to ``sys.stdout``."""


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
    from rich.progress import TimeRemainingColumn

    with _bar(what, TimeRemainingColumn()) as (bar, task):

        def callback(done: int, total: int, datapoints: int | None = None) -> None:
            bar.start()
            said = "" if datapoints is None else f"{datapoints} datapoints"
            bar.update(task, completed=done, total=total, said=said)

        yield callback


@contextmanager
def generation_report(as_json: bool) -> Iterator[Report]:
    """Yield what draws a run of the generator on stderr: a bar for people, or one JSON object per event and line."""
    from .dataset.events import Advance, Done, Event, ObjectRefused, Start, event_json

    if as_json:
        yield lambda event: stderr(json.dumps(event_json(event)))
        return
    with _bar("objects") as (bar, task):

        def draw(event: Event) -> None:
            bar.start()
            if isinstance(event, ObjectRefused):
                said = f"refused {event.name}: {event.reason}"
                bar.console.print(said, markup=False, highlight=False)
                return
            said = f"{event.n_datapoints} datapoints"
            if isinstance(event, Start) and event.n_resumed:
                said += ", resuming"
            if isinstance(event, Advance | Done):
                said += f", {event.datapoints_per_second:.0f}/s"
            if isinstance(event, Advance):
                said += f", {timedelta(seconds=round(event.eta_s))} left"
            done = event.n_resumed if isinstance(event, Start) else event.n_objects
            done = event.n_done if isinstance(event, Advance) else done
            bar.update(task, completed=done, total=event.n_objects, said=said)

        yield draw


@contextmanager
def _bar(what: str, *columns: ProgressColumn) -> Iterator[tuple[Progress, TaskID]]:
    """Yield a bar on stderr and its task; start it with the first report: a refused input leaves one line, no bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    shown = (TextColumn(what), BarColumn(), MofNCompleteColumn(), *columns)
    said = TextColumn("{task.fields[said]}")
    bar = Progress(*shown, said, console=Console(stderr=True))
    task = bar.add_task(what, total=None, said="")
    try:
        yield bar, task
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def result_alone() -> Iterator[None]:
    """Leave stdout to the result: what planners of others, libraries and workers print goes to stderr meanwhile."""
    try:
        captured = sys.stdout.fileno() != 1
    except OSError:
        captured = True
    if captured:  # by a test or a notebook: not ours to move
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(kept, "w", encoding=sys.stdout.encoding, errors="replace") as result:
        before = RESULT.set(result)
        try:
            yield
        finally:
            RESULT.reset(before)
            sys.stdout.flush()
            os.dup2(kept, 1)


def stdout(text: str) -> None:
    """Print a result to stdout, at once: a verb that goes on running prints its address so."""
    result = RESULT.get() or sys.stdout
    result.write(text + "\n")
    result.flush()


def stderr(text: str) -> None:
    """Print to stderr."""
    sys.stderr.write(text + "\n")
