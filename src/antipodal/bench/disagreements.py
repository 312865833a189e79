"""Pictures of where the label and the simulator disagree most: how those trials ended, one tile each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from ..files import write_bytes
from ..grasp import Grasp
from ..gripper import GripperModel
from ..sim.decompose import convex_pieces
from ..sim.trial import TrialConfig, execute
from ..sim.world import World
from .frames import last_picture, small_png
from .objects import load_object

TILE_PX = 240
"""Side of one picture."""
N_TILES = 6
"""In a row, at most."""
LABEL_PX = 28
"""Height of the strip above a row that says what it shows."""
KINDS = ("promised, lost", "not promised, lifted")
"""Of disagreements, by P(hold) > ½."""


def worst_disagreements(
    rows: Sequence[dict[str, Any]], n: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the failures of largest P(hold) and the successes of least, one per object, both at most ``n``.

    Failures that collided are left out: P(hold) says nothing about the way in.
    """
    failed = [row for row in rows if row["outcome"].startswith(("SLIPPED", "MISSED"))]
    failed = [row for row in failed if row["hold_probability"] > 0.5]
    held = [row for row in rows if row["success"] and row["hold_probability"] <= 0.5]
    failed.sort(key=lambda row: -row["hold_probability"])
    held.sort(key=lambda row: row["hold_probability"])
    return _one_per_object(failed)[:n], _one_per_object(held)[:n]


def draw_disagreements(
    rows: Sequence[dict[str, Any]],
    objects_dir: str | Path,
    gripper: GripperModel,
    path: str | Path,
    cache: Path | None = None,
) -> bool:
    """Execute the worst disagreements again and save their last frames, the failures above; False: there are none."""
    lines = [
        (kind, np.concatenate([_tile(row, objects_dir, gripper, cache) for row in line], 1))
        for kind, line in zip(KINDS, worst_disagreements(rows, N_TILES), strict=True)
        if line
    ]
    if not lines:
        return False
    width = max(tiles.shape[1] for _, tiles in lines)
    picture = np.concatenate([_labelled(kind, tiles, width) for kind, tiles in lines], 0)
    write_bytes(small_png(picture), Path(path))
    return True


def _labelled(
    kind: str, tiles: UInt8[np.ndarray, "S W 3"], width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A row of pictures, filled up to ``width``, under what it shows."""
    margin = ((LABEL_PX, 0), (0, width - tiles.shape[1]), (0, 0))
    padded = np.pad(tiles, margin, constant_values=255)
    place = (8, LABEL_PX - 9)
    return cv2.putText(
        padded, kind, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (31, 41, 51), 1, cv2.LINE_AA
    )


def _tile(
    row: dict[str, Any], objects_dir: str | Path, gripper: GripperModel, cache: Path | None
) -> UInt8[np.ndarray, "S S 3"]:
    mesh = load_object(objects_dir, row["file"], row["object"])
    world = World(mesh, convex_pieces(mesh, cache=cache), gripper)
    grasp = Grasp(np.reshape(row["T_world_grasp"], (4, 4)), np.asarray(gripper.max_width))
    result = execute(
        world,
        np.reshape(row["T_world_obj"], (4, 4)),
        grasp,
        row["friction"],
        row["execution_seed"],
        TrialConfig(settle_window=0.1),
    )
    return last_picture(result, mesh, gripper, TILE_PX)


def _one_per_object(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["object"], row)
    return list(first.values())
