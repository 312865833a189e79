"""A planner that fails in every one of its first trials is named while the run goes on, not after it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..dataset.store import read_table
from ..sim.trial import Outcome

_log = logging.getLogger(__name__)

N_FIRST = 5
"""Trials after which a planner that failed in all of them is named."""
FAULTS = (
    "raised ",
    "answered ",
    "took longer ",
    "cannot be executed",
    "crashed its worker",
    "ended its worker",
)
"""How the reasons of a planner begin that failed, rather than found nothing."""


def watch_faults(error: float, say: Callable[[str], None] = _log.warning) -> Callable[[Path], None]:
    """Return what to call with each finished part of ``trials.TRIALS``; it names a planner once, or never.

    Args:
        error: the execution error whose rows count, one of each plan.
        say: is told.
    """
    first: dict[str, list[str | None]] = {}

    def look(part: Path) -> None:
        for row in read_table(part).to_pylist():
            if row["execution_error"] != error or row["plan_time"] is None:  # nobody was asked
                continue
            faults = first.setdefault(row["planner"], [])
            if len(faults) == N_FIRST:
                continue
            faults.append(row["reason"] if is_fault(row) else None)
            if len(faults) == N_FIRST and all(faults):
                say(
                    f"warning: {row['planner']} failed in each of its first {N_FIRST} trials: {faults[-1]}. The run "
                    "goes on; to mend the planner end it with Ctrl-C, and take a new folder afterwards"
                )

    return look


def is_fault(row: dict[str, Any]) -> bool:
    """Whether a planner failed in a row, rather than found nothing."""
    return row["outcome"] == Outcome.NO_GRASP.name and row["reason"].startswith(FAULTS)
