"""From trials.parquet to report.json: every planner's numbers, at each execution error, and who beats whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..dataset.store import read_table
from ..files import write_json
from ..sim.trial import Outcome
from .config import bench_config
from .objects import expect_usable
from .rows import RANKS_ONLY
from .runner import open_run
from .scores import (
    Outcomes,
    beats,
    calibration,
    rate,
    share_interval,
    success_coverage,
    summarise,
)

THIRDS = ("easy", "middle", "hard")
"""Objects by ε₇₅, the most forgiving third first."""
OUTCOMES = tuple(outcome.name for outcome in Outcome)
"""How a trial can end, in the order of the charts."""


@dataclass(frozen=True, eq=False)
class Trials:
    """The table of a finished run, with its config."""

    folder: Path
    config: dict[str, Any]
    table: pa.Table
    plan_times: dict[str, np.ndarray]
    """Planner → s, on a single process; empty if they were not measured apart."""

    @property
    def planners(self) -> list[str]:
        """Names in the order in which they were asked for."""
        return [spec for spec, _ in self.config["planners"]]

    @property
    def errors(self) -> list[float]:
        """Execution errors, m; the first is the headline's."""
        return list(self.config["config"]["execution_errors"])

    def of(self, planner: str, error: float) -> pa.Table:
        """Rows of one planner at one execution error, in the order of (object, k); unusable objects have none."""
        names = self.table.column("planner").to_numpy(zero_copy_only=False)
        errors = self.table.column("execution_error").to_numpy()
        usable = self.table.column("mesh_hash").is_valid().to_numpy()
        return self.table.filter(pa.array((names == planner) & (errors == error) & usable))


def open_trials(path: str | Path) -> Trials:
    """Open a finished run: its folder or its trials.parquet."""
    folder, config = open_run(path)
    times: dict[str, np.ndarray] = {}
    if (folder / "plan_times.parquet").is_file():
        table = read_table(folder / "plan_times.parquet")
        names = table.column("planner").to_numpy(zero_copy_only=False)
        seconds = table.column("plan_time").to_numpy()
        times = {str(name): seconds[names == name] for name in np.unique(names.astype(str))}
    return Trials(folder, config, read_table(folder / "trials.parquet"), times)


def short_names(specs: Sequence[str]) -> dict[str, str]:
    """Names for people: a planner's file without its folder and suffix, as long as no two become the same."""
    short = {}
    for spec in specs:
        row, colon, path = spec.rpartition(":")
        is_file = Path(path).suffix in (".onnx", ".npz")
        short[spec] = f"{row}{colon}{Path(path).stem}" if is_file else spec
    taken = list(short.values())
    return {spec: name if taken.count(name) == 1 else spec for spec, name in short.items()}


def outcomes_of(rows: pa.Table) -> Outcomes:
    """The columns that scores need."""
    objects = rows.column("object").to_numpy(zero_copy_only=False).astype(str)
    return Outcomes(
        rows.column("success").to_numpy(zero_copy_only=False).astype(bool),
        rows.column("graspable").to_numpy(zero_copy_only=False).astype(bool),
        rows.column("quality").to_numpy(zero_copy_only=False).astype(float),
        np.unique(objects, return_inverse=True)[1],
    )


def make_report(trials: Trials) -> dict[str, Any]:
    """Compute every number; write report.json beside the trials and return it.

    Raises:
        InvalidConfig: not one object could be simulated.
    """
    headline, unusable = trials.errors[0], _unusable(trials)
    expect_usable(len(trials.config["objects"]), unusable)
    outcomes = {name: outcomes_of(trials.of(name, headline)) for name in trials.planners}
    report = {
        "planners": {name: _planner(trials, name, outcomes[name]) for name in trials.planners},
        "comparisons": _comparisons(outcomes, trials.config["config"]["seed"]),
        "n_objects": len(trials.config["objects"]) - len(unusable),
        "n_trials_per_object": trials.config["config"]["n_trials"],
        "execution_error": headline,
        "camera": bench_config(trials.config["config"]).camera_name,
        "gripper": trials.config["gripper_name"],
        "seed": trials.config["config"]["seed"],
        "version": trials.config["version"],
        "unusable_objects": unusable,
    }
    report = _finite(report)
    write_json(report, trials.folder / "report.json")
    return report


def _planner(trials: Trials, name: str, outcomes: Outcomes) -> dict[str, Any]:
    rows = trials.of(name, trials.errors[0])
    curve = success_coverage(outcomes[outcomes.graspable])
    reachable = outcomes[outcomes.graspable]
    planned = ~np.isnan(reachable.quality)
    rank_only = RANKS_ONLY.get(name)
    asked = planned & (rank_only is None)
    bins = calibration(reachable.quality[asked], reachable.success[asked])
    ended = rows.column("outcome").to_numpy(zero_copy_only=False)
    reach = outcomes.graspable
    return {
        **summarise(outcomes, rank_only is None),
        "quality_is_no_probability": rank_only,
        **_times(trials, name, rows),
        "outcomes": {o: int((ended[reach] == o).sum()) for o in OUTCOMES},
        "outcomes_all": {o: int((ended == o).sum()) for o in OUTCOMES},
        "by_execution_error": [
            {"execution_error": e, **_share(outcomes_of(trials.of(name, e)))} for e in trials.errors
        ],
        "by_source": _by(outcomes, rows.column("source").to_pylist()),
        "by_difficulty": _by(outcomes, difficulty_thirds(rows), THIRDS),
        "success_coverage": _columns(curve),
        "calibration": _columns(bins),
        "reasons": _reasons(rows),
    }


def _times(trials: Trials, name: str, rows: pa.Table) -> dict[str, Any]:
    """Median and 90th percentile of the plan time, and how it was measured."""
    apart = trials.plan_times.get(name)
    if apart is not None and len(apart):
        seconds, how = apart, "single process, nothing beside it"
    else:
        seconds = rows.column("plan_time").to_numpy(zero_copy_only=False).astype(float)
        seconds, how = seconds[np.isfinite(seconds)], "during the run, several processes"
    if len(seconds) == 0:
        return {"plan_time_median": None, "plan_time_p90": None, "plan_time_measured": how}
    return {
        "plan_time_median": float(np.median(seconds)),
        "plan_time_p90": float(np.quantile(seconds, 0.9)),
        "plan_time_measured": how,
    }


def difficulty_thirds(rows: pa.Table) -> list[str]:
    """Name the third of the objects that each trial's object falls into; without a known difficulty: ''."""
    names = np.array(rows.column("object").to_pylist())
    epsilon = rows.column("difficulty").to_numpy(zero_copy_only=False).astype(float)
    unique, first = np.unique(names, return_index=True)
    per_object = dict(zip(unique, epsilon[first], strict=True))
    known = np.array([e for e in per_object.values() if np.isfinite(e)])
    cuts = np.quantile(known, [2 / 3, 1 / 3]) if len(known) else np.zeros(2)

    def third(e: float) -> str:
        if not np.isfinite(e):
            return ""
        return THIRDS[0] if e > cuts[0] else THIRDS[1] if e > cuts[1] else THIRDS[2]

    return [third(per_object[n]) for n in names]


def _by(
    outcomes: Outcomes, groups: list[str], order: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Success over the graspable trials of each group."""
    names = np.array(groups)
    return {
        str(name): _share(outcomes[names == name])
        for name in (order or sorted(set(groups)))
        if name
    }


def _share(outcomes: Outcomes) -> dict[str, Any]:
    reachable = outcomes[outcomes.graspable]
    return {
        "n_graspable": len(reachable.success),
        "success_rate": rate(reachable.success),
        "success_interval": list(share_interval(reachable.success, reachable.object_id)),
    }


def _comparisons(outcomes: dict[str, Outcomes], seed: int) -> list[dict[str, Any]]:
    """Every pair of planners, the better one first."""
    names = sorted(
        outcomes, key=lambda n: -np.nan_to_num(rate(outcomes[n].success[outcomes[n].graspable]))
    )
    rng = np.random.default_rng(seed)
    return [
        {"better": a, "worse": b, **beats(outcomes[a], outcomes[b], rng)}
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]


def _reasons(rows: pa.Table) -> list[dict[str, Any]]:
    """The five most frequent reasons why there was nothing to execute, in the words of the first trial of each.

    Numbers in them do not tell two apart.
    """
    alike: dict[str, list[str]] = {}
    for reason in filter(None, rows.column("reason").to_pylist()):
        words = ("…" if any(c.isdigit() for c in word) else word for word in reason.split())
        alike.setdefault(" ".join(words), []).append(reason)
    most = sorted(alike.values(), key=len, reverse=True)[:5]
    return [{"reason": same[0], "count": len(same)} for same in most]


def _unusable(trials: Trials) -> dict[str, str]:
    """Objects of which not a single trial could be simulated, with their reasons."""
    rows = trials.table.filter(trials.table.column("mesh_hash").is_null())
    names, reasons = rows.column("object").to_pylist(), rows.column("reason").to_pylist()
    return dict(zip(names, reasons, strict=True))


def _columns(values: Any) -> dict[str, list[float]]:
    return {name: getattr(values, name).tolist() for name in values._fields}


def _finite(value: Any) -> Any:
    """NaN becomes null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
