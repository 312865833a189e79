"""From somebody's parts, gripper and camera to a network for their cell: what ``antipodal retarget`` does.

    check ─▶ objects (parts + procedural) ─▶ data set ─▶ train from the shipped weights ─▶ export ─▶ benchmark ─▶ report

Every step leaves a file that the next run finds, so that the same command resumes. Parts are held out where there are
enough of them; the benchmark draws poses, cameras and friction that training has not seen in any case. The network is
compared with the shipped one and with the best heuristic on the same lifts, and the report says whether it pays.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from .bench.config import BenchConfig
from .bench.page import write_page
from .bench.report import make_report, open_trials
from .bench.runner import BenchRun, run_bench
from .camera_files import load_camera
from .dataset.events import Report
from .dataset.execution import Execution
from .dataset.model import PRESETS
from .dataset.run import run_generate, with_camera
from .errors import InvalidConfig
from .files import claim, write_json
from .gripper import load_gripper
from .mesh import MESH_SUFFIXES
from .objects.object_set import import_meshes, load_object_set, make_object_set
from .render.scene import CameraDistribution

MIN_PARTS_TO_HOLD_OUT = 5
"""With fewer parts all of them train, and only poses, views and friction are new to the benchmark."""
PRESET = "builtin"
"""The generative model."""
SHIPPED = Path(str(resources.files("antipodal") / "assets" / "models" / "builtin"))
"""The shipped network's weights as a training run, to start from."""
BASELINES = ("builtin-cem", "heuristic")
"""What the new network has to beat."""


@dataclass(frozen=True)
class Budget:
    """How much is made of everything."""

    n_procedural: int
    """Procedural objects beside the parts: they keep the network from learning the parts' backs by heart."""
    n_datapoints: int
    n_epochs: int
    n_trials: int
    """Lifts per part and planner."""
    minutes: int
    """About how long two cores take."""


BUDGETS = {
    "15min": Budget(60, 120_000, 3, 3, 15),
    "2h": Budget(400, 800_000, 5, 10, 120),
    "overnight": Budget(1500, 2_500_000, 10, 25, 600),
}
"""Budgets by the name that the command line uses."""


@dataclass(frozen=True)
class Cell:
    """What to fit, and where."""

    parts: Path
    """Folder of meshes."""
    output: Path
    gripper: str
    camera: str | None
    """Preset or file; None: the shipped model's range of cameras."""
    budget: str = "15min"
    unit: str | None = None
    """Of the meshes; None guesses."""
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.budget not in BUDGETS:
            raise InvalidConfig(f"budget '{self.budget}': expected one of {', '.join(BUDGETS)}")


@dataclass(frozen=True)
class Callbacks:
    """Who is told what."""

    step: Callable[[str], None] = lambda text: None
    """A line before each step."""
    generation: Report = lambda event: None
    trials: Callable[[int, int], None] = lambda done, total: None
    training: bool = False
    """Whether to draw the trainer's own progress bar."""


def retarget(cell: Cell, tell: Callbacks | None = None) -> dict[str, Any]:
    """Run, or resume, every step; return the summary that stands in OUTPUT/summary.json.

    Raises:
        AntipodalError: parts, gripper or camera cannot be used.
        InvalidConfig: OUTPUT holds the cell of other inputs.
    """
    tell, budget = tell or Callbacks(), BUDGETS[cell.budget]
    load_gripper(cell.gripper)
    cameras = _cameras(cell)
    _claim(cell)
    tell.step(f"about {budget.minutes} minutes on two cores; the same command resumes")
    parts, trained_on, judged_on = _objects(cell, budget)
    tell.step(f"{parts} parts; trains on {trained_on}, is judged on {judged_on}")
    out = cell.output
    run_generate(
        out / "objects",
        out / "data",
        PRESET,
        budget.n_datapoints,
        cell.gripper,
        cell.camera,
        cell.seed,
        Execution(cell.workers),
        tell.generation,
    )
    tell.step("training")
    model = _train(cell, budget, tell.training)
    tell.step("lifting the parts in simulation")
    planners = (str(model), *BASELINES)
    run = BenchRun(
        planners,
        out / "judged",
        out / "bench",
        cell.gripper,
        BenchConfig(budget.n_trials, cell.seed, cameras),
        cell.workers,
        out / "cache",
        n_timed=min(6, judged_on),
    )
    run_bench(run, tell.trials)
    trials = open_trials(out / "bench")
    report = make_report(trials)
    page = write_page(trials, report, out / "judged")
    summary = _summary(report, planners) | {"model": str(model), "report": str(page)}
    write_json(summary, out / "summary.json")
    return summary


def _claim(cell: Cell) -> None:
    """Remember the inputs; refuse the folder of others."""
    files = sorted(p for p in cell.parts.rglob("*") if p.suffix.lower() in MESH_SUFFIXES)
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    record = {
        "parts": digest.hexdigest(),
        "gripper": cell.gripper,
        "camera": cell.camera,
        "budget": cell.budget,
        "unit": cell.unit,
        "seed": cell.seed,
    }
    claim(cell.output / "cell.json", record, "cell")


def _objects(cell: Cell, budget: Budget) -> tuple[int, int, int]:
    """Make OUTPUT/objects (what trains) and OUTPUT/judged (what is lifted); return the numbers of parts."""
    out = cell.output
    if not (out / "judged" / "objects.json").is_file():
        for name in ("parts", "sources", "objects", "judged"):
            shutil.rmtree(out / name, ignore_errors=True)
        imported = import_meshes(cell.parts, out / "parts", cell.unit, licence="the user's")
        names = [record.file for record in imported.records]
        held_out = names[::5] if len(names) >= MIN_PARTS_TO_HOLD_OUT else []
        make_object_set(out / "sources" / "procedural", budget.n_procedural, cell.seed)
        for folder, chosen in (
            ("sources/parts", [n for n in names if n not in held_out]),
            ("held_out", held_out or names),
        ):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for name in chosen:
                shutil.copy2(out / "parts" / name, out / folder / name)
        import_meshes(out / "sources", out / "objects", "m")
        import_meshes(out / "held_out", out / "judged", "m", licence="the user's")
        shutil.rmtree(out / "sources")
        shutil.rmtree(out / "held_out")
    n = {name: len(load_object_set(out / name)) for name in ("parts", "objects", "judged")}
    return n["parts"], n["objects"], n["judged"]


def _cameras(cell: Cell) -> str | CameraDistribution:
    """Where the parts are seen from in the benchmark: as in training, in the camera's whole picture."""
    if cell.camera is None:
        return "dexnet"
    model = with_camera(PRESETS[PRESET], load_camera(cell.camera).intrinsics)
    return dataclasses.replace(model.camera, recenter=False)


def _train(cell: Cell, budget: Budget, progress: bool) -> Path:
    """Train from the shipped weights and export; return the file."""
    from .nn.config import PRESETS as NETWORKS
    from .nn.export import export_run
    from .nn.start import Start
    from .nn.train import train

    out, model = cell.output, cell.output / "model.onnx"
    config = dataclasses.replace(
        NETWORKS["compact"],
        n_epochs=budget.n_epochs,
        learning_rate=NETWORKS["compact"].learning_rate / 3,
        seed=cell.seed,
    )
    train(out / "data", out / "run", config, progress=progress, start=Start(SHIPPED))
    if not model.is_file():
        export_run(out / "run", model)
    return model


def _summary(report: dict[str, Any], planners: tuple[str, ...]) -> dict[str, Any]:
    """The figures that decide, and the verdict in words."""
    ours, shipped = planners[0], planners[1]
    rates = {name: report["planners"][name]["success_rate"] for name in planners}
    pair = {ours, shipped}
    gain = next((c for c in report["comparisons"] if {c["better"], c["worse"]} == pair), None)
    return {
        "success_rate": rates,
        "success_interval": {n: report["planners"][n]["success_interval"] for n in planners},
        "n_graspable": report["planners"][ours]["n_graspable"],
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
    low, high = sorted(sign * x for x in comparison["interval"])
    if not low <= high:  # nan
        return f"{said}; too few parts for an interval"
    if low > 0:
        return f"{said}: it pays (by {low:.0%} to {high:.0%})"
    if high < 0:
        return f"{said}: it does not pay, use the shipped model"
    return f"{said}: no difference is certain ({low:+.0%} to {high:+.0%}); a larger budget may tell"
