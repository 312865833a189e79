"""The rows of a benchmark that can be replayed, and how to find them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bench.frames import Recorded, recorded
from ..bench.runner import open_run, read_rows
from ..errors import InvalidConfig
from ..gripper import GripperModel


@dataclass(frozen=True, eq=False)
class BenchRecord:
    """A finished benchmark."""

    folder: Path
    config: dict[str, Any]
    """Its config.json."""
    rows: list[dict[str, Any]]
    """Of trials.parquet."""
    gripper: GripperModel
    objects: Path | None = None
    """Folder of the meshes, if it has moved."""

    def matching(
        self, planner: str | None = None, name: str | None = None, outcome: str | None = None
    ) -> list[int]:
        """Rows with a grasp to execute, of one planner, object and outcome; None takes all."""
        wanted = {"planner": planner, "object": name, "outcome": outcome}
        return [
            i
            for i, row in enumerate(self.rows)
            if row["T_world_grasp"] is not None
            and row["mesh_hash"] is not None
            and all(value is None or row[key] == value for key, value in wanted.items())
        ]

    def values(self, column: str) -> list[str]:
        """What a column holds in the rows that can be replayed, sorted."""
        return sorted({self.rows[i][column] for i in self.matching()})

    def record(self, row: int) -> Recorded:
        """Rebuild the scene of a row; see :func:`antipodal.bench.frames.recorded`."""
        return recorded(self.rows[row], self.config, self.gripper, self.objects)


def open_trials_run(path: str | Path, objects: Path | None = None) -> BenchRecord:
    """Open a finished benchmark.

    Raises:
        UnknownAsset: there is none.
        InvalidConfig: no row has a grasp.
    """
    folder, config = open_run(path)
    gripper = GripperModel.from_json(config["gripper"], "config.json: gripper")
    run = BenchRecord(folder, config, read_rows(folder / "trials.parquet"), gripper, objects)
    if not run.matching():
        raise InvalidConfig(f"{folder}: none of its {len(run.rows)} trials has a grasp to replay")
    return run
