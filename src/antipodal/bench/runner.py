"""Run the benchmark: objects × trials × planners, on several processes, resumable, one Parquet file at the end.

OUT/config.json      everything that the numbers depend on
OUT/parts/           one file per finished object: the same command resumes
OUT/trials.parquet   one row per planner, trial and execution error (``trials.TRIALS``)
OUT/plan_times.parquet  plans measured again on a single process while nothing else runs
OUT/report.json, OUT/report.html
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import __version__
from ..dataset.store import read_table, write_table
from ..errors import CorruptDataset, InvalidConfig, UnknownAsset
from ..files import claim, file_hash
from ..gripper import GripperModel, load_gripper
from .config import BenchConfig
from .faults import watch_faults
from .objects import BenchObject, distinct, list_objects
from .outsider import outsider_files
from .planner import Planner
from .pool import Crew, Progress, crew_task, run_missing
from .rows import make_planner, planner_file, planner_names
from .timing import PLAN_TIMES, time_object
from .trials import TRIALS, At, ObjectJob, run_object


@dataclass(frozen=True)
class BenchRun:
    """What to run, and where."""

    planners: tuple[str, ...]
    """As ``rows.make_planner`` reads them; in the results they go by ``names``."""
    objects: Path
    output: Path
    gripper: str = "yumi"
    config: BenchConfig = dataclasses.field(default_factory=BenchConfig)
    workers: int = 2
    cache: Path | None = None
    """Folder of convex pieces and oracle verdicts, shared by runs; None: ``output/cache``."""
    n_timed: int = 12
    """Objects on which plans are timed on a single process; 0: take the times of the run itself."""

    def __post_init__(self) -> None:
        planner_names(self.planners)  # none, or one twice
        if self.workers < 1 or self.n_timed < 0:
            raise InvalidConfig(
                f"workers {self.workers}, n_timed {self.n_timed}: expected at least 1 and 0"
            )

    @property
    def names(self) -> dict[str, str]:
        """Name in the results → spec."""
        return planner_names(self.planners)


def run_bench(run: BenchRun, progress: Progress = lambda done, total: None) -> Path:
    """Run, or resume, a benchmark; return the path of trials.parquet.

    A planner that fails in each of its first trials is logged as a warning; the others' trials are run all the same.

    Raises:
        UnknownAsset: objects, gripper or a planner that does not exist.
        InvalidConfig: the folder holds a run of another configuration.
    """
    gripper = load_gripper(run.gripper)
    objects = distinct(list_objects(run.objects))
    for spec in run.planners:
        make_planner(spec, gripper)  # a wrong name is an error now, not in a worker
    _open_folder(run, gripper, objects)
    jobs = _jobs(run, objects)
    parts = [_part(job, "trials") for job in jobs]
    crew = Crew(_make_part, run.names, gripper)
    look = watch_faults(run.config.execution_errors[0])
    run_missing(crew_task(crew), jobs, parts, run.workers, progress, look)
    merge_parts(parts, TRIALS, run.output / "trials.parquet")
    if run.n_timed:
        _time_plans(run, crew, jobs)
    return run.output / "trials.parquet"


def open_run(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Find a finished run's folder from itself or from its trials.parquet; return it with its config.

    Raises:
        UnknownAsset: there is none.
        CorruptDataset: its config is damaged.
    """
    path = Path(path)
    folder = path.parent if path.suffix == ".parquet" else path
    if not (folder / "trials.parquet").is_file() or not (folder / "config.json").is_file():
        raise UnknownAsset(
            f"{path}: expected the folder of a finished benchmark, with trials.parquet and config.json; "
            "run or resume 'antipodal bench run'"
        )
    try:
        return folder, json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise CorruptDataset(
            f"{folder / 'config.json'} is not readable ({error}): restore it, or run the benchmark again"
        ) from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet file, as dictionaries."""
    return read_table(path).to_pylist()


def _make_part(
    job: ObjectJob, gripper: GripperModel, planners: Mapping[str, Planner], at: At
) -> Path:
    rows = run_object(job, gripper, planners, at)
    path = _part(job, "trials")
    write_table(pa.Table.from_pylist(rows, TRIALS), path)
    return path


def _make_times(
    job: ObjectJob, gripper: GripperModel, planners: Mapping[str, Planner], at: At
) -> Path:
    rows = time_object(job, gripper, planners, at)
    path = _part(job, "times")
    write_table(pa.Table.from_pylist(rows, PLAN_TIMES), path)
    return path


def _time_plans(run: BenchRun, crew: Crew, jobs: Sequence[ObjectJob]) -> None:
    """Time plans on evenly spaced objects, on one process while the parent sleeps."""
    chosen = np.unique(np.linspace(0, len(jobs) - 1, min(run.n_timed, len(jobs))).round())
    timed = [jobs[int(i)] for i in chosen]
    parts = [_part(job, "times") for job in timed]
    run_missing(crew_task(dataclasses.replace(crew, work=_make_times)), timed, parts, 1)
    merge_parts(parts, PLAN_TIMES, run.output / "plan_times.parquet")


def _jobs(run: BenchRun, objects: Sequence[BenchObject]) -> list[ObjectJob]:
    cache = run.cache or run.output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    parts = run.output / "parts"
    return [
        ObjectJob(i, item, run.objects, run.config, cache, parts) for i, item in enumerate(objects)
    ]


def _part(job: ObjectJob, kind: str) -> Path:
    return job.parts / f"{kind}-{job.index:05d}.parquet"


def merge_parts(parts: Sequence[Path], schema: pa.Schema, target: Path) -> None:
    """Write the parts as one file, in their order."""
    tables = [schema.empty_table(), *(read_table(part, schema=schema) for part in parts)]
    write_table(pa.concat_tables(tables).combine_chunks(), target)


def _open_folder(run: BenchRun, gripper: GripperModel, objects: Sequence[BenchObject]) -> None:
    config = {
        "config": dataclasses.asdict(run.config),
        "planners": [[name, planner_hash(spec)] for name, spec in run.names.items()],
        "gripper": gripper.to_json(),
        "objects": [[item.name, item.sha256] for item in objects],
        "n_timed": run.n_timed,
        "version": __version__,
    }
    where = {
        "objects_directory": str(run.objects.resolve()),
        "gripper_name": run.gripper,
        "cache": str((run.cache or run.output / "cache").resolve()),
    }
    claim(run.output / "config.json", config, "benchmark", where)


def planner_hash(spec: str) -> str:
    """Hash of the files behind a planner, so that a changed one is another run: networks or modules.

    Raises:
        InvalidConfig: a module's ``FILES`` names something that is no file.
    """
    models = Path(str(resources.files("antipodal") / "assets" / "models"))
    path = planner_file(spec)
    files = [path] if path is not None else []
    if spec.startswith("builtin-"):
        files = [models / "builtin.onnx"]
    elif path is None and ":" in spec:
        files = outsider_files(spec.partition(":")[0])  # make_planner has imported it
    if spec.startswith(("builtin-dense", "dense:")):
        files.append(models / "dense" / "dense.onnx")  # it proposes
    return " ".join(file_hash(file) for file in files if file.is_file())
