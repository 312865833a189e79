"""Draw complexity and difficulty of our objects beside those of other collections, for objects.md.

    python docs/figures/draw_spread.py MESHES_DIR [FOLDER]

MESHES_DIR holds the folders kit, egad_train and random_urdfs, with closed meshes in metres; those collections are not
part of this repository. What is drawn is printed too, as the table of the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh, load_mesh
from antipodal.objects import FAMILIES, describe, make_objects

OURS = "ours"
COLLECTIONS = {"KIT": "kit", "EGAD": "egad_train", "random_urdfs": "random_urdfs"}
COLORS = {OURS: "#d9480f", "KIT": "#1f5fd6", "EGAD": "#1f9d3a", "random_urdfs": "#777777"}
N_OURS = 4 * len(FAMILIES)
"""Four of each family."""
SEED = 1
N_OTHERS = 60
"""Of each collection, evenly over its files."""


def spread(meshes: list[TriMesh]) -> np.ndarray:
    """Complexity in bits and difficulty, (n, 2)."""
    gripper = load_gripper("yumi")
    numbers = [describe(mesh, gripper) for mesh in meshes]
    return np.array([[n["complexity"], n["difficulty"]] for n in numbers])


def read_some(folder: Path) -> list[TriMesh]:
    """N_OTHERS closed meshes of a folder."""
    files = sorted(folder.glob("*.ply"))
    chosen = np.unique(np.linspace(0, len(files) - 1, N_OTHERS).round().astype(int))
    meshes = [load_mesh(files[k]) for k in chosen]
    return [mesh for mesh in meshes if mesh.is_watertight and mesh.volume > 0]


def uncovered(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """True where none of ours is within half a standard deviation (of all points, axis by axis)."""
    scale = np.concatenate([theirs, ours]).std(0)
    gap = np.linalg.norm((theirs[:, None] - ours) / scale, axis=-1).min(1)
    return gap > 0.5


def rows(points: dict[str, np.ndarray]) -> list[str]:
    """The page's table: 5, 50 and 95 % of both measures, and the share that has one of ours near by."""
    ours = points[OURS]
    lines = [
        "| objects | n | complexity, bits | ε₇₅ × 1000 | near one of ours |",
        "|---|---|---|---|---|",
    ]
    for name, xy in points.items():
        bits, epsilon = np.percentile(xy, [5, 50, 95], axis=0).T * [[1], [1000]]
        said = [" / ".join(f"{x:.1f}" for x in measure) for measure in (bits, epsilon)]
        near = "–" if name == OURS else f"{1 - uncovered(xy, ours).mean():.0%}"
        lines.append(f"| {name} | {len(xy)} | {' | '.join([*said, near])} |")
    return lines


def scatter(axes: Axes, name: str, xy: np.ndarray, ours: np.ndarray) -> None:
    """One collection over ours."""
    axes.scatter(*ours.T * [[1], [1000]], s=14, color=COLORS[OURS], alpha=0.45, label=OURS)
    axes.scatter(*xy.T * [[1], [1000]], s=20, color=COLORS[name], label=name)
    missed = xy[uncovered(xy, ours)]
    if len(missed):
        ring = {"s": 90, "facecolors": "none", "edgecolors": "black", "linewidths": 0.8}
        axes.scatter(*missed.T * [[1], [1000]], label="none of ours near", **ring)
    axes.axhline(2, color="black", linewidth=0.8, linestyle=":")
    axes.set_title(name, fontsize=12)
    axes.set_xlabel("complexity, bits")
    axes.legend(fontsize=8, loc="upper right")


def draw(points: dict[str, np.ndarray], path: Path) -> None:
    """Three panels with the same axes."""
    figure, panels = plt.subplots(1, len(points) - 1, figsize=(12, 4), sharex=True, sharey=True)
    for axes, (name, xy) in zip(panels, list(points.items())[1:], strict=True):
        scatter(axes, name, xy, points[OURS])
    panels[0].set_ylabel("difficulty ε₇₅ × 1000 (low is hard)")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(meshes: Path, folder: Path) -> None:
    """Measure, draw, print."""
    points = {OURS: spread(make_objects(N_OURS, SEED))}
    for name, sub in COLLECTIONS.items():
        points[name] = spread(read_some(meshes / sub))
    draw(points, folder / "spread.png")
    sys.stdout.write("\n".join(rows(points)) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("draw_spread.py: no folder of meshes: give MESHES_DIR (see the first lines)")
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
