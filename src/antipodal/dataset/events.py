"""What a run of the generator reports while it goes on: for a bar on a terminal, or as lines of JSON."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Progress = Callable[[int, int, int], None]
"""(done, in all, datapoints so far), of runs that have nothing else to report."""


@dataclass(frozen=True)
class Start:
    """Before the first object: what there is to do and what an earlier run has done."""

    n_objects: int
    n_resumed: int
    n_datapoints: int
    n_refused: int


@dataclass(frozen=True)
class Advance:
    """After each shard."""

    n_objects: int
    n_done: int
    n_datapoints: int
    n_refused: int
    datapoints_per_second: float
    """Of this run: what an earlier one has made does not count."""
    eta_s: float
    """Time left if the remaining objects take as long as this run's, s."""


@dataclass(frozen=True)
class ObjectRefused:
    """An object that gave no datapoint."""

    name: str
    reason: str


@dataclass(frozen=True)
class Done:
    """The data set is finished."""

    n_objects: int
    n_datapoints: int
    n_refused: int
    datapoints_per_second: float
    seconds: float


Event = Start | Advance | ObjectRefused | Done
Report = Callable[[Event], None]

NAMES: dict[type, str] = {
    Start: "start",
    Advance: "progress",
    ObjectRefused: "object_refused",
    Done: "done",
}


def event_json(event: Event) -> dict[str, Any]:
    """An event as JSON: its name under ``event``, then its fields."""
    return {"event": NAMES[type(event)], **dataclasses.asdict(event)}


class Tally:
    """Counts of a run, and what they say about its pace."""

    def __init__(
        self,
        n_objects: int,
        n_resumed: int,
        n_datapoints: int,
        n_refused: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock, self.started = clock, clock()
        self.n_objects, self.n_resumed, self.n_resumed_rows = n_objects, n_resumed, n_datapoints
        self.n_done, self.n_datapoints, self.n_refused = n_resumed, n_datapoints, n_refused

    def add(self, n_objects: int, n_datapoints: int, n_refused: int) -> None:
        """Count a finished shard."""
        self.n_done += n_objects
        self.n_datapoints += n_datapoints
        self.n_refused += n_refused

    def start(self) -> Start:
        """Report before the first shard."""
        return Start(self.n_objects, self.n_resumed, self.n_datapoints, self.n_refused)

    def advance(self) -> Advance:
        """Report after a shard."""
        seconds, rate = self._pace()
        each = seconds / max(self.n_done - self.n_resumed, 1)
        counts = (self.n_objects, self.n_done, self.n_datapoints, self.n_refused)
        return Advance(*counts, rate, each * (self.n_objects - self.n_done))

    def done(self) -> Done:
        """Report at the end."""
        seconds, rate = self._pace()
        return Done(self.n_objects, self.n_datapoints, self.n_refused, rate, seconds)

    def _pace(self) -> tuple[float, float]:
        seconds = self.clock() - self.started
        return seconds, (self.n_datapoints - self.n_resumed_rows) / max(seconds, 1e-9)
