"""What a path is: a mesh, a depth image, a data set, or a benchmark's run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..doctor import DEPTH_SUFFIXES
from ..errors import InvalidConfig, UnknownAsset
from ..mesh import MESH_SUFFIXES

Kind = Literal["mesh", "depth", "dataset", "trials"]


def kind_of(path: str | Path) -> Kind:
    """Say what a file or folder holds, by its suffix or by what is in it.

    Raises:
        UnknownAsset: there is nothing.
        InvalidConfig: it is something else.
    """
    path = Path(path)
    if not path.exists():
        raise UnknownAsset(f"no file or folder {path}: check the path")
    suffix = path.suffix.lower()
    if path.is_file() and suffix in MESH_SUFFIXES:
        return "mesh"
    if path.is_file() and suffix in DEPTH_SUFFIXES:
        return "depth"
    if (path / "dataset.json").is_file():
        return "dataset"
    if path.name == "trials.parquet" or (path / "trials.parquet").is_file():
        return "trials"
    raise InvalidConfig(
        f"{path}: expected a mesh ({', '.join(MESH_SUFFIXES)}), a depth image ({', '.join(DEPTH_SUFFIXES)}), a folder "
        "with dataset.json, or a finished benchmark with trials.parquet"
    )
