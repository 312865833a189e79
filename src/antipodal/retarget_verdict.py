"""What a finished retarget says: rates with intervals, on parts that training has seen and has not, and the verdict."""

from __future__ import annotations

from typing import Any

SEEN, NEW = "seen", "new"
"""Parts that training has seen, though not as they lie here; and parts that it has not."""


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
    sign = 1.0 if comparison["better"] == name else -1.0
    low, high = sorted(sign * x + 0.0 for x in comparison["interval"])  # + 0: no "-0%"
    if not low <= high:  # nan
        return f"{said}; too few parts for an interval"
    if low > 0:
        return f"{said}: it pays (by {low:.0%} to {high:.0%})"
    if high < 0:
        return f"{said}: it does not pay, use the shipped model"
    return f"{said}: no difference is certain ({low:+.0%} to {high:+.0%}); a larger budget may tell"
