"""Which datapoints are wanted: by label, object and the range of one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import Dataset
from ..errors import InvalidConfig

Label = Literal["positive", "free, not positive", "in collision"]
LABELS: tuple[Label, ...] = ("positive", "free, not positive", "in collision")
METRICS = ("robust_epsilon", "epsilon", "depth", "angle", "width")
"""Numbers of a datapoint by which it is filtered and ordered; ``epsilon`` is its grasp's."""
FACTS = ("collision_free", "robust_epsilon", "depth", "angle", "width", "object_id", "grasp_id")


@dataclass(frozen=True, eq=False)
class Facts:
    """What is filtered by, a number for every datapoint."""

    label: Int[np.ndarray, "N"]
    """Place in :data:`LABELS`."""
    object_id: Int[np.ndarray, "N"]
    numbers: dict[str, np.ndarray]
    """Of :data:`METRICS`, each (N,)."""
    object_names: dict[int, str]
    """Of the objects that have datapoints."""


@dataclass(frozen=True)
class Filter:
    """What is wanted; None takes everything."""

    label: Label | None = None
    object_id: int | None = None
    metric: str = "robust_epsilon"
    """Of :data:`METRICS`: what ``low``, ``high`` and ``order`` speak of."""
    low: float = -np.inf
    high: float = np.inf
    order: Literal["stored", "high first", "low first"] = "stored"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InvalidConfig(f"metric '{self.metric}': expected one of {', '.join(METRICS)}")


def read_filter_facts(dataset: Dataset) -> Facts:
    """Read the columns that are filtered by; a few bytes for each datapoint."""
    dataset.expect_one_hand("what is to be seen")
    read = dataset.read(FACTS)
    robust = read["robust_epsilon"] > SUCCESS_THRESHOLD
    label = np.where(read["collision_free"], np.where(robust, 0, 1), 2)
    grasps = dataset.table("grasps")
    numbers = {name: read[name] for name in METRICS if name in read}
    numbers["epsilon"] = np.full(len(label), np.nan)
    if len(grasps):  # an imported data set has none
        ids = grasps.column("grasp_id").to_numpy()
        order = np.argsort(ids)
        where = order[np.searchsorted(ids, read["grasp_id"], sorter=order)]
        numbers["epsilon"] = grasps.column("epsilon").to_numpy()[where]
    table = dataset.table("objects")
    names = zip(table["object_id"].to_pylist(), table["name"].to_pylist(), strict=True)
    present = set(np.unique(read["object_id"]).tolist())
    return Facts(label, read["object_id"], numbers, {i: n for i, n in names if i in present})


def select(facts: Facts, wanted: Filter) -> Int[np.ndarray, "M"]:
    """Return the numbers of the datapoints that are wanted, in the order that is wanted; NaN is in no range."""
    values = facts.numbers[wanted.metric]
    keep = np.ones(len(values), bool)
    if np.isfinite(wanted.low) or np.isfinite(wanted.high):
        keep &= (values >= wanted.low) & (values <= wanted.high)
    if wanted.label is not None:
        keep &= facts.label == LABELS.index(wanted.label)
    if wanted.object_id is not None:
        keep &= facts.object_id == wanted.object_id
    rows = np.flatnonzero(keep)
    if wanted.order == "stored":
        return rows
    sign = -1 if wanted.order == "high first" else 1
    return rows[np.argsort(sign * values[rows], kind="stable")]
