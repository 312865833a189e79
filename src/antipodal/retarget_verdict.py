"""What a finished retarget says: rates with intervals, on parts that training has seen and has not, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

SEEN, NEW = "seen", "new"
"""Parts that training has seen, though not as they lie here; and parts that it has not."""
HELPS = {
    "NO_GRASP": "nothing was planned: the report's end says why",
    "COLLIDED_TABLE": "the fingertips met the table: tips that are thinner or reach less far beyond the grasp's centre",
    "COLLIDED_OBJECT": "a finger or the palm landed on the part: thinner or longer fingers, a wider stroke",
    "MISSED": "the jaws closed beside the part: a better hand-eye calibration, wider fingertips",
    "SLIPPED_LIFT": "lost while lifted: more force, softer or larger pads; heavy or long parts nearer their middle",
    "SLIPPED_CARRY": "lost on the way: more force, softer or larger pads",
    "SLIPPED_SHAKE": "lost while shaken: more force, softer or larger pads, slower motion",
    "UNSTABLE": "the part moved before the hand came: a nest or a tray",
}
"""Outcome → what usually helps."""
MAX_NAMED = 6
"""So many parts are named in a sentence."""


def summarise(report: dict[str, Any], planners: tuple[str, ...]) -> dict[str, Any]:
    """Gather the figures that decide, and the verdict in words.

    Args:
        report: of the benchmark, as ``bench.report.make_report`` gives it.
        planners: the new network's name, then the shipped one's, then others.
    """
    ours, shipped = planners[0], planners[1]
    found = {name: report["planners"][name] for name in planners}
    rates = {name: found[name]["success_rate"] for name in planners}
    gain = next(
        (c for c in report["comparisons"] if {c["better"], c["worse"]} == {ours, shipped}), None
    )
    return {
        "success_rate": rates,
        "success_interval": {name: found[name]["success_interval"] for name in planners},
        "by_part": {
            group: {name: found[name]["by_source"][group] for name in planners}
            for group in (SEEN, NEW)
            if group in found[ours]["by_source"]
        },
        "n_graspable": found[ours]["n_graspable"],
        "comparison": gain,
        "verdict": verdict(rates[ours], rates[shipped], gain, ours),
    }


def verdict(
    ours: float | None, shipped: float | None, comparison: dict[str, Any] | None, name: str
) -> str:
    """Say whether the new network pays."""
    if ours is None or shipped is None:
        return "no trial was graspable: the parts do not fit this gripper; see report.html"
    said = f"{ours:.0%} of graspable lifts hold, {shipped:.0%} with the shipped model"
    if comparison is None:
        return f"{said}; too few parts for an interval"
    if None in comparison["interval"]:
        return f"{said}; too few parts for an interval"
    sign = 1.0 if comparison["better"] == name else -1.0
    low, high = sorted(sign * x + 0.0 for x in comparison["interval"])  # + 0: no "-0%"
    if low > 0:
        return f"{said}: it pays (by {low:.0%} to {high:.0%})"
    if high < 0:
        return f"{said}: it does not pay, use the shipped model"
    return f"{said}: no difference is certain ({low:+.0%} to {high:+.0%}); a larger budget may tell"


def improve(trials: Iterable[dict[str, Any]]) -> list[str]:
    """Say what stands between the new network and every lift: parts that cannot be held, ways to fail, weak parts.

    Args:
        trials: of the new network: object, graspable, success, outcome.
    """
    trials = list(trials)
    names = list(dict.fromkeys(t["object"] for t in trials))
    reachable = [t for t in trials if t["graspable"]]
    held = Counter(t["object"] for t in reachable if t["success"])
    tried = Counter(t["object"] for t in reachable)
    failed = Counter(t["outcome"] for t in reachable if not t["success"])
    said = []
    settled = {t["object"] for t in trials if t["outcome"] != "UNSTABLE"}
    if restless := [name for name in names if name not in settled]:
        said.append(
            f"{len(restless)} of {len(names)} parts never lay still ({_listed(restless)}): {HELPS['UNSTABLE']}"
        )
    if hopeless := [name for name in names if name in settled and not tried[name]]:
        said.append(
            f"{len(hopeless)} of {len(names)} parts have no grasp for this hand as they lie ({_listed(hopeless)}): "
            "a wider stroke, a fixture, or leave them out"
        )
    for outcome, n in failed.most_common(2):
        said.append(f"{n} of {failed.total()} failures: {HELPS[outcome]}")
    weak = sorted(
        (name for name in tried if held[name] < tried[name]), key=lambda n: held[n] / tried[n]
    )
    if weak:
        each = [f"{name} {held[name]} of {tried[name]}" for name in weak]
        said.append(f"weakest parts: {_listed(each)}")
    return said


def _listed(words: list[str]) -> str:
    more = len(words) - MAX_NAMED
    return ", ".join(words[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
