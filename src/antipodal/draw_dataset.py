"""Pictures of a data set for somebody who has never seen it: crops by label, objects, distributions of the facts.

Memory is that of the numbers of all datapoints, and of the crops that are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from .dataset.schema import SUCCESS_THRESHOLD
from .dataset.store import Dataset
from .draw import save_figure
from .errors import InvalidConfig

N_CROPS = 24
"""Crops shown of each class."""
N_OBJECTS = 40
"""Objects shown, at most."""
RELIEF = 0.05
"""Depths that the greys span on each side of the grasp's, m."""
CELL_PX = 120
"""Side of a drawn crop and the line between two, px."""
MARK = (28, 111, 208)
POSITIVE, LOOSE, COLLISION = "#2a7f3f", "#b8860b", "#b3362b"
SHOWN = ("crop", "width", "depth", "intrinsics", "object_id")


def save_dataset_plots(dataset: Dataset, folder: str | Path) -> list[Path]:
    """Draw crops by label, one crop of each of many objects, and the distributions of the facts; return the files."""
    if len(dataset) == 0:
        raise InvalidConfig(f"{dataset.path} has no datapoints: there is nothing to draw")
    folder = Path(folder)
    facts = _read_facts(dataset)
    facts["positive"] = facts["collision_free"] & (facts["robust_epsilon"] > SUCCESS_THRESHOLD)
    pictures = {"crops.png": _draw_crops(dataset, facts)}
    if len(np.unique(facts["object_id"])) > 1:  # one alone says no more than the crops
        pictures["objects.png"] = _draw_objects(dataset, facts)
    pictures["distributions.png"] = _draw_distributions(facts)
    for name, figure in pictures.items():
        save_figure(figure, folder / name)
    return [folder / name for name in pictures]


def _read_facts(dataset: Dataset) -> dict[str, np.ndarray]:
    """Numbers of every datapoint; of the cameras one per image: distance, polar angle, focal length."""
    names = ["collision_free", "robust_epsilon", "depth", "angle", "object_id"]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in [*names, "radius", "polar", "focal"]}
    for rows in dataset.iterate([*names, "image_id", "T_world_camera", "intrinsics"]):
        for name in names:
            parts[name].append(rows[name])
        _, first = np.unique(rows["image_id"], return_index=True)
        T = rows["T_world_camera"][first].reshape(-1, 4, 4)
        parts["radius"].append(np.linalg.norm(T[:, :3, 3], axis=-1))
        parts["polar"].append(np.degrees(np.arccos(np.clip(-T[:, 2, 2], -1, 1))))
        parts["focal"].append(rows["intrinsics"][first, 0])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _draw_crops(dataset: Dataset, facts: dict[str, np.ndarray]) -> Figure:
    """Grid of crops by label. The jaws close along the rows; greys are depths relative to theirs."""
    free, positive = facts["collision_free"], facts["positive"]
    classes = [
        ("positive", POSITIVE, positive),
        ("free, not positive", LOOSE, free & ~positive),
        ("in collision", COLLISION, ~free),
    ]
    rng = np.random.default_rng(0)
    figure = Figure(figsize=(13, 7.2), layout="constrained")
    grids = figure.add_gridspec(1, 3)
    for k, (name, color, chosen) in enumerate(classes):
        grid = figure.add_subfigure(grids[k])
        rows = np.flatnonzero(chosen)
        title = f"{name}: {len(rows)} ({len(rows) / len(chosen):.1%})"
        grid.suptitle(title, fontsize=12, color=color)
        rows = rng.choice(rows, min(N_CROPS, len(rows)), replace=False)
        _show(dataset, rows, list(np.ravel(grid.subplots(6, 4))), color)
    figure.supxlabel(
        f"bright is near; grey: at the jaws' depth; black: {RELIEF * 100:.0f} cm below them. "
        "The bars are the open jaws, and close along the line",
        fontsize=10,
    )
    return figure


def _draw_objects(dataset: Dataset, facts: dict[str, np.ndarray]) -> Figure:
    """One grasp of each of many objects, a positive one where there is one, and the object's share of positives."""
    names = dict(
        zip(*(dataset.table("objects")[c].to_pylist() for c in ("object_id", "name")), strict=True)
    )
    rng = np.random.default_rng(0)
    ids, counts = np.unique(facts["object_id"], return_counts=True)
    shares = np.bincount(facts["object_id"], facts["positive"])[ids] / counts
    some = np.sort(rng.choice(len(ids), min(N_OBJECTS, len(ids)), replace=False))
    rows = []
    for k in some:
        mine = facts["object_id"] == ids[k]
        best = np.flatnonzero(mine & facts["positive"])
        rows.append(rng.choice(best if len(best) else np.flatnonzero(mine)))
    columns = min(8, len(some))
    height = -(-len(some) // columns)
    figure = Figure(figsize=(1.65 * columns, 1.9 * height + 0.4), layout="constrained")
    grid = list(np.ravel(figure.subplots(height, columns)))
    colors = [POSITIVE if facts["positive"][row] else COLLISION for row in rows]
    _show(dataset, np.array(rows), grid, colors)
    for axes, k in zip(grid, some, strict=False):
        name = str(names.get(int(ids[k]), ids[k]))
        axes.set_title(f"{name[:22]}\n{counts[k]} × {shares[k]:.0%} positive", fontsize=7)
    figure.suptitle(
        f"{len(some)} of {len(ids)} objects; green: one of its positive grasps, red: it has none",
        fontsize=11,
    )
    return figure


def _show(
    dataset: Dataset, rows: np.ndarray, grid: Sequence[Axes], colors: str | Sequence[str]
) -> None:
    """Draw a crop in each place with the jaws at their opening; places without a row stay empty."""
    for axes in grid:
        axes.set_axis_off()
    if not len(rows):
        return
    shown = dataset.take(SHOWN, rows)
    half = _half_widths(dataset.config["crop"], shown)
    for i, axes in enumerate(grid[: len(rows)]):
        red, green, blue = to_rgb(colors if isinstance(colors, str) else colors[i])
        color = (round(255 * red), round(255 * green), round(255 * blue))
        crop = shown["crop"][i].astype(np.float32)
        axes.imshow(_draw_cell(crop, float(half[i]), color))


def draw_crop_grid(
    dataset: Dataset,
    rows: Int[np.ndarray, "M"],
    colors: Sequence[tuple[int, int, int]],
    shape: tuple[int, int],
    marked: int | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw up to lines × columns crops edge to edge: a point of the picture says which crop it is.

    The cells of the figures, without matplotlib, in milliseconds: for the viewer.

    Args:
        dataset: where the crops are.
        rows: numbers of the datapoints, line by line.
        colors: of the jaws of each, sRGB.
        shape: (lines, columns).
        marked: place in ``rows`` that gets a frame.
    """
    lines, columns = shape
    picture = np.full((lines * CELL_PX, columns * CELL_PX, 3), 255, np.uint8)
    shown = dataset.take(SHOWN, rows)
    half = _half_widths(dataset.config["crop"], shown)
    for i, crop in enumerate(shown["crop"].astype(np.float32)):
        cell = _draw_cell(crop, float(half[i]), colors[i])
        if i == marked:
            cell[:5] = cell[-5:] = cell[:, :5] = cell[:, -5:] = MARK
        v, u = CELL_PX * (i // columns) + 1, CELL_PX * (i % columns) + 1
        picture[v : v + CELL_PX - 2, u : u + CELL_PX - 2] = cell
    return picture


def _draw_cell(
    crop: np.ndarray, half_px: float, color: tuple[int, int, int]
) -> UInt8[np.ndarray, "S S 3"]:
    """One crop with its jaws, :data:`CELL_PX` − 2 wide."""
    side, size = CELL_PX - 2, len(crop)
    nearest = ((np.arange(side) + 0.5) * size / side).astype(int)
    grey = np.clip((RELIEF - crop) / (2 * RELIEF), 0, 1)
    grey = np.where(np.isfinite(crop), 255 * np.nan_to_num(grey), 255).astype(np.uint8)
    cell = np.repeat(grey[np.ix_(nearest, nearest)][..., None], 3, -1)
    if np.isfinite(half_px):
        middle, reach, jaw = side // 2, round(half_px * side / size), side // 8
        left, right = max(middle - reach, 2), min(middle + reach, side - 3)
        cell[middle, left:right] = color
        for u in (left, right):
            cell[middle - jaw : middle + jaw, u - 2 : u + 2] = color
    return cell


def _half_widths(crop: dict[str, Any], shown: dict[str, np.ndarray]) -> np.ndarray:
    """Half the opening in pixels of the crop, at the grasp's depth."""
    if crop.get("window_px"):
        pixels_per_metre = shown["intrinsics"][:, :2].mean(1) / shown["depth"]
        pixels_per_metre = pixels_per_metre * (crop["size"] / crop["window_px"])
    else:
        pixels_per_metre = np.full(len(shown["depth"]), crop["size"] / crop["window_m"])
    return shown["width"] * pixels_per_metre / 2


def _draw_distributions(facts: dict[str, np.ndarray]) -> Figure:
    positive = facts["positive"]
    n = len(positive)
    figure = Figure(figsize=(13, 6.6), layout="constrained")
    grid = list(np.ravel(figure.subplots(2, 4)))
    _draw_epsilon(grid[0], facts)
    _draw_outcomes(grid[1], facts)
    counts = np.bincount(facts["object_id"])
    share = np.bincount(facts["object_id"], positive)[counts > 0] / counts[counts > 0]
    panels = [
        ("positive share of an object's datapoints", share, "objects"),
        ("datapoints of an object", counts[counts > 0], "objects"),
        ("depth of the grasp from the camera [m]", facts["depth"], "datapoints"),
        ("angle of the closing axis in the image [rad]", facts["angle"], "datapoints"),
        ("camera's distance from the world's origin [m]", facts["radius"], "images"),
        ("camera's angle from the vertical [°]", facts["polar"], "images"),
    ]
    for axes, (what, values, of) in zip(grid[2:], panels, strict=True):
        values = values[np.isfinite(values)]
        if len(values):
            axes.hist(values, 40, color="#4c78a8")
        else:
            axes.text(0.5, 0.5, "not known", ha="center", transform=axes.transAxes)
        axes.set_xlabel(what, fontsize=9)
        axes.set_ylabel(of, fontsize=9)
    focal = facts["focal"][np.isfinite(facts["focal"])]
    seen = f", focal length {focal.min():.0f}–{focal.max():.0f} px" if len(focal) else ""
    figure.suptitle(
        f"{n} datapoints of {int((counts > 0).sum())} objects, {positive.mean():.1%} positive{seen}",
        fontsize=12,
    )
    return figure


def _draw_epsilon(axes: Axes, facts: dict[str, np.ndarray]) -> None:
    """Robust ε of free and of colliding grasps, on a logarithmic scale, with the threshold."""
    free = facts["collision_free"]
    epsilon = facts["robust_epsilon"]
    last = float(np.quantile(epsilon, 0.999)) or SUCCESS_THRESHOLD
    bins = np.linspace(0, last, 50).tolist()
    parts = [epsilon[free], epsilon[~free]]
    axes.hist(
        [p.clip(max=last) for p in parts],
        bins,
        stacked=True,
        color=[POSITIVE, COLLISION],
        label=["free", "in collision"],
    )
    axes.axvline(
        SUCCESS_THRESHOLD, color="black", lw=1, ls="--", label=f"δ = {SUCCESS_THRESHOLD:g}"
    )
    axes.set_yscale("log")
    axes.legend(fontsize=8, loc="upper right")
    axes.set_xlabel("robust ε", fontsize=9)
    axes.set_ylabel("datapoints", fontsize=9)


def _draw_outcomes(axes: Axes, facts: dict[str, np.ndarray]) -> None:
    free, positive = facts["collision_free"], facts["positive"]
    robust = facts["robust_epsilon"] > SUCCESS_THRESHOLD
    bars = {
        "free, robust:\npositive": (positive, POSITIVE),
        "free,\nnot positive": (free & ~positive, LOOSE),
        "in collision,\nrobust": (~free & robust, COLLISION),
        "in collision,\nnot robust": (~free & ~robust, COLLISION),
    }
    shares = [float(mask.mean()) for mask, _ in bars.values()]
    places = axes.barh(range(len(bars)), shares, color=[color for _, color in bars.values()])
    axes.bar_label(places, [f"{share:.1%}" for share in shares], fontsize=8, padding=2)
    axes.set_yticks(range(len(bars)), list(bars), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * max(shares))
    axes.set_xlabel("share of datapoints", fontsize=9)
