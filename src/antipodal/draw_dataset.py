"""Pictures of a data set: what its crops look like, and how its facts are distributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .dataset.schema import SUCCESS_THRESHOLD
from .dataset.store import Dataset
from .draw import save_figure
from .errors import InvalidConfig

N_CROPS = 24
"""Crops shown of each class."""


def save_dataset_plots(dataset: Dataset, folder: str | Path) -> list[Path]:
    """Draw crops by label and the distributions of every stored fact; return the files written."""
    folder = Path(folder)
    facts = dataset.read(
        [
            "crop",
            "depth",
            "collision_free",
            "robust_epsilon",
            "angle",
            "object_id",
            "intrinsics",
            "T_world_camera",
        ]
    )
    if len(facts["depth"]) == 0:
        raise InvalidConfig(f"{dataset.path} has no datapoints: there is nothing to draw")
    positive = facts["collision_free"] & (facts["robust_epsilon"] > SUCCESS_THRESHOLD)
    crops, numbers = folder / "crops.png", folder / "distributions.png"
    _draw_crops(facts, positive, crops)
    _draw_distributions(facts, positive, numbers)
    return [crops, numbers]


def _draw_crops(facts: dict[str, np.ndarray], positive: np.ndarray, path: Path) -> None:
    """Grid of crops: positive, negative by robustness, negative by collision. The jaws close along the rows."""
    side = facts["crop"].shape[-1]
    classes = {
        "positive": positive,
        "free, not robust": facts["collision_free"] & ~positive,
        "in collision": ~facts["collision_free"],
    }
    rng = np.random.default_rng(0)
    figure = Figure(figsize=(13, 7), layout="constrained")
    grids = [figure.add_subfigure(cell) for cell in figure.add_gridspec(1, 3)]
    for grid, (name, chosen) in zip(grids, classes.items(), strict=True):
        rows = np.flatnonzero(chosen)
        grid.suptitle(f"{name}: {len(rows)} ({len(rows) / max(len(chosen), 1):.1%})", fontsize=11)
        rows = rng.choice(rows, min(N_CROPS, len(rows)), replace=False)
        for axes, row in zip(
            grid.subplots(6, 4).flat, [*rows, *[None] * (N_CROPS - len(rows))], strict=True
        ):
            axes.set_axis_off()
            if row is not None:
                axes.imshow(
                    facts["crop"][row].astype(np.float32), cmap="gray_r", vmin=-0.05, vmax=0.05
                )
                axes.plot(
                    [0.3 * side, 0.68 * side],
                    [side / 2 - 0.5] * 2,
                    "|-",
                    color="#ff7f0e",
                    lw=0.8,
                    ms=5,
                )
    save_figure(figure, path)


def _draw_distributions(facts: dict[str, np.ndarray], positive: np.ndarray, path: Path) -> None:
    polar = np.degrees(
        np.arccos(np.clip(-facts["T_world_camera"][:, 10], -1, 1))
    )  # optical axis against −z
    per_object = np.bincount(facts["object_id"], minlength=1)
    share = np.bincount(facts["object_id"], positive, minlength=1) / np.maximum(per_object, 1)
    some = facts["crop"][:: max(1, len(positive) // 2000)].astype(np.float32)
    panels = [
        ("robust ε (free grasps)", facts["robust_epsilon"][facts["collision_free"]], 60),
        ("grasp depth [m]", facts["depth"], 60),
        ("angle [rad]", facts["angle"], 40),
        ("camera's polar angle [°]", polar, 40),
        ("focal length [px]", facts["intrinsics"][:, 0], 40),
        ("datapoints per object", per_object, 40),
        ("positive share per object", share[per_object > 0], 40),
        ("crop minus grasp depth [m]", np.clip(some.ravel(), -0.1, 0.1), 60),
    ]
    figure = Figure(figsize=(13, 6), layout="constrained")
    for axes, (name, values, bins) in zip(figure.subplots(2, 4).flat, panels, strict=True):
        values = values[np.isfinite(values)]
        axes.hist(values, bins, color="#4c78a8")
        axes.set_title(name, fontsize=10)
    figure.axes[0].axvline(SUCCESS_THRESHOLD, color="#d62728", lw=1)
    figure.suptitle(f"{len(positive)} datapoints, {positive.mean():.1%} positive", fontsize=12)
    save_figure(figure, path)
