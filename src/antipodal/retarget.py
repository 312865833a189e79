"""From somebody's parts, gripper and camera to a network for their cell: what ``antipodal retarget`` does.

    check ─▶ objects (parts + procedural) ─▶ data set ─▶ train from the shipped weights ─▶ export ─▶ benchmark ─▶ say

Every step leaves a file that the next run finds, so that the same command resumes. All parts are lifted in the
benchmark, in poses, before cameras and with friction that training has not seen; where there are enough parts, some
have not been trained on at all, and are told apart. The network is compared with the shipped one and with the best
heuristic on the same lifts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from .bench.config import BenchConfig
from .bench.objects import distinct
from .bench.page import write_page
from .bench.report import make_report, open_trials
from .bench.runner import BenchRun, run_bench
from .camera_files import camera_json, camera_names, load_camera
from .dataset.events import Report
from .dataset.execution import Execution
from .dataset.model import PRESETS
from .dataset.run import run_generate, with_camera
from .doctor import Finding, examine_camera, examine_gripper, examine_mesh
from .errors import InvalidConfig
from .files import alone, claim, write_json
from .gripper import check_name, gripper_names, load_gripper
from .mesh import MESH_SUFFIXES
from .nn.config import PRESETS as NETWORKS
from .nn.export import export_run
from .nn.pretrained import Pretrained
from .nn.train import train
from .objects.object_set import ObjectRecord, import_meshes, load_object_set, make_object_set
from .render.scene import CameraDistribution
from .retarget_ready import write_ready
from .retarget_verdict import NEW, SEEN, improve, summarise
from .values import check_seed

MIN_PARTS_TO_HOLD_OUT = 5
"""With fewer parts none is held out."""
PRESET = "builtin"
"""The generative model."""
SHIPPED = Path(str(resources.files("antipodal") / "assets" / "models" / "builtin"))
"""The shipped network's weights as a training run, to start from."""
BASELINES = ("builtin-cem", "heuristic")
"""What the new network has to beat."""
FIXED, DATAPOINT, TRAINED, LIFT = 60.0, 0.002, 0.003, 0.6
"""Seconds: of all that does not grow; then of one process for a datapoint, an image of an epoch, a lift."""


@dataclass(frozen=True)
class Budget:
    """How much is made of everything."""

    n_procedural: int
    """Procedural objects beside the parts: they keep the network from learning the parts' backs by heart."""
    n_datapoints: int
    n_epochs: int
    n_lifts: int
    """Lifts per planner, shared out among the parts."""

    def minutes(self, n_processes: int) -> float:
        """About how long it takes where two processes had two cores of an AMD EPYC (see docs/retarget.md)."""
        images = self.n_datapoints * self.n_epochs
        lifts = self.n_lifts * (1 + len(BASELINES))
        seconds = DATAPOINT * self.n_datapoints + TRAINED * images + LIFT * lifts
        return (FIXED + seconds / n_processes) / 60


BUDGETS = {
    "15min": Budget(60, 120_000, 3, 240),
    "2h": Budget(400, 800_000, 5, 1000),
    "overnight": Budget(1500, 2_500_000, 8, 4000),
}
"""Budgets by the name that the command line uses."""


MADE = ("parts", "sources", "objects", "held_out", "judged")
"""Folders of OUTPUT that an interrupted run makes anew."""


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
    mesh_unit: str | None = None
    """m, mm, cm, inch; None guesses."""
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.budget not in BUDGETS:
            raise InvalidConfig(f"budget '{self.budget}': expected one of {', '.join(BUDGETS)}")
        if self.workers < 1:
            raise InvalidConfig(f"workers {self.workers}: expected at least 1")
        check_seed(self.seed)


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
    """Run, or resume, every step; return the summary that stands in OUTPUT/summary.json, its paths as seen from there.

    Raises:
        AntipodalError: parts, gripper or camera cannot be used.
        InvalidConfig: OUTPUT holds the cell of other inputs, or another process is at it.
    """
    tell = tell or Callbacks()
    _examine(cell, tell.step)
    _check_apart(cell)
    with alone(cell.output):
        return _steps(cell, tell)


def _steps(cell: Cell, tell: Callbacks) -> dict[str, Any]:
    """All that reads or writes OUTPUT."""
    budget, out = BUDGETS[cell.budget], cell.output
    _check_ours(out)
    _claim(cell)
    parts = _objects(cell, budget, tell.step)
    minutes = budget.minutes(min(cell.workers, os.cpu_count() or 1))
    tell.step(
        f"about {minutes:.0f} minutes with {cell.workers} processes; the same command resumes"
    )
    facts = run_generate(
        out / "objects",
        out / "data",
        PRESET,
        n_datapoints=budget.n_datapoints,
        gripper=cell.gripper,
        camera=cell.camera,
        seed=cell.seed,
        execution=Execution(cell.workers),
        report=tell.generation,
    )
    n_judged = _judged(out, parts, {refused["name"] for refused in facts["refused"]}, tell.step)
    tell.step("training")
    model = _train(cell, budget, tell.training)
    tell.step("lifting the parts in simulation")
    n_trials = math.ceil(budget.n_lifts / n_judged)
    run = BenchRun(
        (str(model), *BASELINES),
        out / "judged",
        out / "bench",
        cell.gripper,
        BenchConfig(n_trials, cell.seed, _cameras(cell)),
        cell.workers,
        out / "cache",
        n_timed=min(6, n_judged),
    )
    run_bench(run, tell.trials)
    trials = open_trials(out / "bench")
    report = make_report(trials)
    planners = tuple(run.names)
    rows = trials.of(planners[0], trials.errors[0]).to_pylist()
    summary, advice = summarise(report, planners), improve(rows)
    page = write_page(trials, report, out / "judged", [summary["verdict"], *advice])
    write_ready(out, cell.gripper, cell.camera)
    files = {"model": str(model.relative_to(out)), "report": str(page.relative_to(out))}
    summary |= {"improve": advice, **files}
    write_json(summary, out / "summary.json")
    return summary


def _examine(cell: Cell, say: Callable[[str], None]) -> None:
    """Refuse a gripper or camera that cannot be read, or would be taken for another; say what is odd about it."""
    if (misnamed := check_name(load_gripper(cell.gripper))) is not None:
        raise InvalidConfig(misnamed)
    if cell.camera is not None:
        load_camera(cell.camera)
        _say_odd(examine_camera(cell.camera), say)
    _say_odd(examine_gripper(cell.gripper), say)


def _say_odd(findings: Iterable[Finding], say: Callable[[str], None], about: str = "") -> None:
    for finding in findings:
        if finding.severity != "ok":
            say(f"warning: {about}{finding.message}")


def _check_apart(cell: Cell) -> None:
    """Refuse parts among what is made anew, and an OUTPUT among the parts."""
    out, parts = cell.output.resolve(), cell.parts.resolve()
    if out.is_relative_to(parts) or any(parts.is_relative_to(out / name) for name in MADE):
        raise InvalidConfig(
            f"{cell.parts} and {cell.output}: the parts and what is made of them would share a folder: "
            "choose an output folder elsewhere"
        )


def _check_ours(out: Path) -> None:
    """Refuse an OUTPUT whose folders, which are made anew, are not ours to empty."""
    foreign = [name for name in MADE if (out / name).exists()]
    if foreign and not (out / "cell.json").is_file():
        raise InvalidConfig(
            f"{out} holds {', '.join(foreign)}, which no retarget made: choose a new folder"
        )


def _claim(cell: Cell) -> None:
    """Remember the inputs; refuse the folder of others."""
    files = sorted(p for p in cell.parts.rglob("*") if p.suffix.lower() in MESH_SUFFIXES)
    hand, eye = cell.gripper, cell.camera  # a file counts by what it says, a preset by its name
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    record = {
        "parts": digest.hexdigest(),
        "gripper": hand if hand in gripper_names() else load_gripper(hand).to_json(),
        "camera": eye if eye is None or eye in camera_names() else camera_json(load_camera(eye)),
        "budget": cell.budget,
        "mesh_unit": cell.mesh_unit,
        "seed": cell.seed,
    }
    file = cell.output / "cell.json"
    if not (cell.output / "objects" / "objects.json").is_file():
        file.unlink(missing_ok=True)  # nothing was made from these inputs: they may be corrected
    claim(file, record, "cell")


def _objects(cell: Cell, budget: Budget, say: Callable[[str], None]) -> list[ObjectRecord]:
    """Make OUTPUT/parts and OUTPUT/objects, which trains: the parts that are not held out, and procedural ones.

    Returns:
        The parts, copies left out: what a copy of was trained on is not new.
    """
    out = cell.output
    is_made = (out / "objects" / "objects.json").is_file()
    if not is_made:
        for name in MADE:
            shutil.rmtree(out / name, ignore_errors=True)
        import_meshes(cell.parts, out / "parts", cell.mesh_unit, licence="the user's")
    imported = load_object_set(out / "parts")
    for name, reason in imported.refused.items():
        say(f"refused {name}: {reason}")
    parts = distinct(imported.records, say)
    for record in parts:
        _say_odd(examine_mesh(out / "parts" / record.file, cell.gripper), say, f"{record.name}: ")
    n_new = len(_held_out(parts))
    unit = imported.source["unit_reason"]
    say(f"{len(parts)} parts in {unit}; {len(parts) - n_new} to train on, {n_new} are held out")
    if not is_made:
        make_object_set(out / "sources" / "procedural", budget.n_procedural, cell.seed)
        _copy(out, {record.file for record in parts} - _held_out(parts), "sources/parts")
        import_meshes(out / "sources", out / "objects", "m")
    shutil.rmtree(out / "sources", ignore_errors=True)
    return parts


def _held_out(parts: Sequence[ObjectRecord]) -> set[str]:
    files = [record.file for record in parts]
    return set(files[::5]) if len(files) >= MIN_PARTS_TO_HOLD_OUT else set()


def _judged(
    out: Path, parts: Sequence[ObjectRecord], refused: set[str], say: Callable[[str], None]
) -> int:
    """Make OUTPUT/judged, which is lifted: all parts; those that gave no data are as new as those held out."""
    files = {record.file for record in parts}
    train_on = files - _held_out(parts)
    objects = load_object_set(out / "objects").records
    kept = {record.source for record in objects if record.name not in refused}
    seen = {file for file in train_on if f"parts/{file}" in kept}
    if seen != train_on:
        say(f"{len(seen)} of {len(train_on)} parts gave data to train on; the others count as new")
    if not (out / "judged" / "objects.json").is_file():
        shutil.rmtree(out / "held_out", ignore_errors=True)
        _copy(out, seen, f"held_out/{SEEN}")
        _copy(out, files - seen, f"held_out/{NEW}")
        import_meshes(out / "held_out", out / "judged", "m", licence="the user's")
    shutil.rmtree(out / "held_out", ignore_errors=True)
    return len(load_object_set(out / "judged"))


def _copy(out: Path, files: Iterable[str], folder: str) -> None:
    (out / folder).mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy2(out / "parts" / file, out / folder / file)


def _cameras(cell: Cell) -> str | CameraDistribution:
    """Where the parts are seen from in the benchmark: as in training, in the camera's whole picture."""
    if cell.camera is None:
        return "dexnet"
    model = with_camera(PRESETS[PRESET], load_camera(cell.camera).intrinsics)
    return dataclasses.replace(model.camera, recenter=False)


def _train(cell: Cell, budget: Budget, progress: bool) -> Path:
    """Train from the shipped weights and export; return the file."""
    out, model = cell.output, cell.output / "model.onnx"
    config = dataclasses.replace(
        NETWORKS["compact"],
        n_epochs=budget.n_epochs,
        learning_rate=NETWORKS["compact"].learning_rate / 3,
        seed=cell.seed,
    )
    train(out / "data", out / "run", config, progress=progress, start=Pretrained(SHIPPED))
    if not model.is_file():
        export_run(out / "run", model)
    return model
