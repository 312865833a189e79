"""Put whatever a path is on a server: read it first, so that a wrong file is one line and no browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import viser

from ..dataset.store import Dataset
from ..errors import InvalidConfig
from ..gripper import load_gripper
from ..mesh import load_mesh, repair
from ..objects.units import read_unit
from ..planning import read_inputs
from ..values import check_seed
from .dataset_view import DatasetView
from .depth_view import DepthView, plan_and_look
from .kinds import Kind, kind_of
from .mesh_grasps import examine_grasps
from .mesh_view import MeshView
from .replayed import open_trials_run
from .trials_view import TrialsView

Shown = MeshView | DepthView | DatasetView | TrialsView
Show = Callable[[viser.ViserServer], Shown]


@dataclass(frozen=True)
class ViewOptions:
    """How a path is to be understood; each kind of input reads its own."""

    gripper: str = "yumi"
    mesh_unit: str = "m"
    """Of a mesh: a name, or metres per unit."""
    n: int = 100
    """Of a mesh: grasps looked for."""
    camera: str | None = None
    """Of a depth image."""
    mask: Path | None = None
    depth_unit: float | None = None
    """Metres per count of a 16-bit image."""
    model: str = "builtin"
    policy: str = "auto"
    objects: Path | None = None
    """Of a benchmark: folder of the meshes, if it has moved."""
    seed: int = 0


def prepare(path: str | Path, options: ViewOptions) -> tuple[Kind, Show]:
    """Read and compute what will be drawn; return what it is and a function that draws it on a server.

    Raises:
        AntipodalError: it is not there, or cannot be used.
    """
    check_seed(options.seed)
    kind = kind_of(path)
    return kind, READERS[kind](Path(path), options)


def _mesh(path: Path, options: ViewOptions) -> Show:
    mesh = repair(load_mesh(path, read_unit(options.mesh_unit).factor)).mesh
    rng = np.random.default_rng(options.seed)
    found = examine_grasps(mesh, load_gripper(options.gripper), options.n, rng)
    return lambda server: MeshView(server, found)


def _depth(path: Path, options: ViewOptions) -> Show:
    if options.camera is None:
        raise InvalidConfig(f"{path.name}: a depth image needs its camera: give --camera")
    o = options
    inputs = read_inputs(path, options.camera, o.mask, o.gripper, o.model, o.policy, o.depth_unit)
    seen = plan_and_look(inputs, options.seed)
    return lambda server: DepthView(server, seen, path.name)


def _dataset(path: Path, options: ViewOptions) -> Show:
    dataset = Dataset.open(path)
    if len(dataset) == 0:
        raise InvalidConfig(f"{path} has no datapoints: there is nothing to show")
    return lambda server: DatasetView(server, dataset)


def _trials(path: Path, options: ViewOptions) -> Show:
    run = open_trials_run(path, options.objects)
    return lambda server: TrialsView(server, run)


READERS: dict[Kind, Callable[[Path, ViewOptions], Show]] = {
    "mesh": _mesh,
    "depth": _depth,
    "dataset": _dataset,
    "trials": _trials,
}
