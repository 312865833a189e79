"""The verbs of ``antipodal bench``: run the benchmark, draw its report again, replay one of its trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from .terminal import MaybeOutput, Output, emit, progress_bar, stderr

Millimetres = Annotated[tuple[float, ...], tyro.conf.arg(name="execution-error-mm")]


def bench_run(
    policy: tuple[str, ...],
    objects: Path,
    output: Output,
    trials: int = 5,
    gripper: str = "yumi",
    camera: Literal["dexnet", "transfer", "rival"] = "dexnet",
    execution_error: Millimetres = (2.0,),
    time_limit: float = 30.0,
    workers: int = 2,
    seed: int = 0,
    cache: Path | None = None,
    n_timed: int = 12,
    require: float | None = None,
    json: bool = False,
) -> int:
    """Run planners on the same simulated lifts. The same command resumes an interrupted run.

    Writes trials.parquet, report.json and report.html. Exit 1 if the first planner's success rate is below --require.

    Example: antipodal bench run --policy builtin-cem heuristic random --objects meshes -o out/bench

    Args:
        policy: oracle, random, igq, heuristic, reg, builtin-fixed, builtin-cem, builtin-dense (each also with
            -bfloat16), builtin-dense-fast, rf:FILE.npz, svm:FILE.npz, gqcnn-fixed:FILE.onnx, gqcnn-cem:FILE.onnx,
            dense:FILE.onnx, rival:FILE.onnx, rival-clear:FILE.onnx, FILE.onnx, or your own
            module:function(image, mask, rng) → Plan; with a parameter gripper it gets the hand too.
        objects: object set, or a folder of meshes in metres; sub-folders are their sources.
        output: folder for the results.
        trials: per object.
        gripper: name, or a gripper.toml.
        camera: dexnet is the paper's; transfer varies height, tilt and focal length; rival is Dex-Net 4.0's.
        execution_error: standard deviation of the hand's position, mm; plans are executed at each, the first counts.
        time_limit: a plan that takes longer is a failed trial, seconds.
        workers: processes; the outcomes do not depend on it.
        seed: the only source of randomness.
        cache: folder for convex pieces, shared by runs; default OUTPUT/cache.
        n_timed: objects on which plan times are measured afterwards, one process at work; 0 takes those of the run.
        require: least success rate of the first planner.
        json: print the report as JSON.
    """
    from .bench.config import BenchConfig
    from .bench.runner import BenchRun, run_bench

    config = BenchConfig(trials, seed, camera, tuple(e / 1000 for e in execution_error), time_limit)
    run = BenchRun(policy, objects, output, gripper, config, workers, cache, n_timed)
    with progress_bar("objects") as progress:
        found = _Found(progress)
        run_bench(run, found)
    found.say("trials", trials)
    report = _report(output, json)
    rate = report["planners"][next(iter(run.names))]["success_rate"]
    return int(require is not None and (rate is None or rate < require))


def bench_clutter(
    policy: tuple[str, ...],
    objects: Path,
    output: Output,
    rounds: int = 100,
    gripper: str = "yumi",
    camera: Literal["dexnet", "transfer", "rival"] = "dexnet",
    execution_error: Annotated[float, tyro.conf.arg(name="execution-error-mm")] = 2.0,
    time_limit: float = 30.0,
    workers: int = 2,
    seed: int = 0,
    cache: Path | None = None,
    json: bool = False,
) -> int:
    """Clear piles: 5 objects dropped into a 30 cm square, one grasp at a time, until empty or two failures in a row.

    Writes picks.parquet and report.json. The same command resumes an interrupted run.

    Example: antipodal bench clutter --policy builtin-cem heuristic --objects meshes -o out/clutter

    Args:
        policy: as for bench run, but only planners that see the image alone.
        objects: object set, or a folder of meshes in metres; those that fit the jaws are used.
        output: folder for the results.
        rounds: piles; every planner gets the same.
        gripper: name, or a gripper.toml.
        camera: dexnet, transfer or rival; a new view for each grasp.
        execution_error: standard deviation of the hand's position, mm.
        time_limit: a plan that takes longer is a failure, seconds.
        workers: processes; the outcomes do not depend on it.
        seed: the only source of randomness.
        cache: folder for convex pieces, shared by runs; default OUTPUT/cache.
        json: print the report as JSON.
    """
    from .bench.clutter import ClutterRun, run_clutter
    from .bench.config import BenchConfig

    config = BenchConfig(1, seed, camera, (execution_error / 1000,), time_limit)
    run = ClutterRun(policy, objects, output, rounds, gripper, config, workers, cache)
    with progress_bar("rounds") as progress:
        found = _Found(progress)
        report = run_clutter(run, found)
    found.say("piles")
    lines = ["planner              grasps  success [95 %]  declutter [95 %]  picks/plan"]
    for name, p in report["planners"].items():
        success = _share(p["grasp_success_rate"], p.get("grasp_success_interval"))
        declutter = _share(p["declutter_rate"], p.get("declutter_interval"))
        lines.append(
            f"{name:<20} {p['n_grasps']:6d}  {success:<14}  {declutter:<16}  "
            f"{_number(p.get('picks_per_plan'), 10, 2)}"
        )
    if unusable := next(iter(report["planners"].values()))["n_rounds_unusable"]:
        lines.append(f"{unusable} of {rounds} piles unusable, counted for nobody")
    emit(report, "\n".join(lines), json)
    return 0


def bench_agreement(
    objects: Path,
    output: Output,
    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 5000,
    gripper: str = "yumi",
    workers: int = 2,
    seed: int = 0,
    cache: Path | None = None,
    pictures: Path | None = None,
    max_objects: int = 250,
    near_misses: bool = False,
    json: bool = False,
) -> int:
    """Say how often simulated lifts agree with robust ε > 0.002 and with P(success) > ½. The same command resumes.

    Example: antipodal bench agreement --objects meshes -o out/agreement -n 5000

    Args:
        objects: object set, or a folder of meshes in metres.
        output: folder for agreement.parquet and agreement.json.
        n: collision-free antipodal grasps executed.
        gripper: name, or a gripper.toml.
        workers: processes.
        seed: the only source of randomness.
        cache: folder for convex pieces, shared by runs; default OUTPUT/pieces.
        pictures: draw the worst disagreements into this PNG.
        max_objects: draw so many of the objects.
        near_misses: move every second grasp a little: data for runs/hold_model.py.
        json: print the result as JSON.
    """
    from .bench.agreement import AgreementConfig, run_agreement

    config = AgreementConfig(n, seed, gripper, max_objects, near_misses)
    with progress_bar("objects") as progress:
        result = run_agreement(objects, output, config, workers, progress, cache)
    found = result["n"] + result["n_near_misses"]
    drawn, refused = len(result["config"]["objects"]), result["config"]["refused"]
    said = (
        f"{found} collision-free grasps found on {result['n_objects']} of {drawn} objects ({len(refused)} refused), "
        f"{n} asked for\n{_agreement_table(result)}"
    )
    said += "".join(f"\nrefused {name}: {reason}" for name, reason in refused.items())
    if pictures is not None:
        from .bench.disagreements import draw_disagreements
        from .bench.runner import read_rows
        from .gripper import load_gripper

        rows = read_rows(output / "agreement.parquet")
        pieces = cache or output / "pieces"
        if not draw_disagreements(rows, objects, load_gripper(gripper), pictures, pieces):
            result["no_picture"] = (
                f"no picture {pictures}: no grasp that P(hold) promised was lost in the hand, none that it did not "
                "promise was lifted"
            )
            said += f"\n{result['no_picture']}"
    emit(result, said, json)
    return 0


def bench_report(run: Positional[Path], json: bool = False) -> int:
    """Compute report.json and report.html again from a finished run.

    Example: antipodal bench report out/bench

    Args:
        run: folder of the run, or its trials.parquet.
        json: print the report as JSON.
    """
    _report(run, json)
    return 0


def bench_replay(
    trials: Positional[Path],
    trial: int,
    output: MaybeOutput = None,
    view: bool = False,
    objects: Path | None = None,
    fps: float = 10.0,
    json: bool = False,
) -> int:
    """Execute one recorded trial again and film it, as GIF or MP4. Exit 1 if it ends otherwise than recorded.

    Example: antipodal bench replay out/bench/trials.parquet --trial 17 --view

    Args:
        trials: trials.parquet, or its folder.
        trial: row of the table, from 0.
        output: the .gif or .mp4 file; default trial-N.gif beside the table.
        view: open the film with the system's viewer, the browser say; no OpenGL is needed.
        objects: folder of the meshes, where it has moved since the run.
        fps: frames per second of simulated time, 1 to 50; those of a GIF last whole hundredths of a second, so that 35
            are 33.3.
        json: print the result as JSON.
    """
    from .bench.replay import replay, show

    folder = trials.parent if trials.suffix == ".parquet" else trials
    output = output or folder / f"trial-{trial}.gif"
    result = replay(trials, trial, output, objects, fps)
    said = f"{result['planner']} on {result['object']}: {result['outcome']}"
    if not result["same"]:
        said += f", recorded as {result['recorded_outcome']}"
    said += f"\n{result['n_frames']} frames in {output}"
    if view and not show(output):
        said += "; nothing here can show it: open the file yourself"
    emit(result, said, json)
    return int(not result["same"])


class _Found:
    """Progress that remembers how much an earlier run had left."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._first: tuple[int, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        self._first = self._first or (done, total)
        self._progress(done, total)

    def say(self, what: str, each: int = 1) -> None:
        """Say on stderr how much was here, if anything."""
        done, total = self._first or (0, 0)
        if done:
            stderr(f"{done * each} of {total * each} {what} were here already, of an earlier run")


def _report(run: Path, json: bool) -> dict[str, Any]:
    from .bench.page import write_page
    from .bench.report import make_report, open_trials

    trials = open_trials(run)
    report = make_report(trials)
    page = write_page(trials, report)
    emit(report, f"{report_table(report)}\nreport: {page}", json)
    for line in not_executed(report):
        stderr(line)
    return report


def report_table(report: dict[str, Any]) -> str:
    """The headline as lines of text, best planner first."""
    from .bench.report import short_names

    names = short_names(list(report["planners"]))
    planners = {names[spec]: numbers for spec, numbers in report["planners"].items()}
    order = sorted(planners, key=lambda name: -(planners[name]["success_rate"] or 0.0))
    width = max(len("planner"), *(len(name) for name in order))
    lines = [
        f"{'planner':<{width}}  success [95 %]      all  precision    all  robust    AP   ms/plan"
    ]
    for name in order:
        p = planners[name]
        low, high = p["success_interval"]
        milliseconds = None if p["plan_time_median"] is None else 1e3 * p["plan_time_median"]
        lines.append(
            f"{name:<{width}}  {_percent(p['success_rate'])} [{_percent(low)}–{_percent(high)}]  "
            f"{_percent(p['success_rate_all'])}     {_percent(p['precision'])}  {_percent(p['precision_all'])}   "
            f"{_percent(p['robust_grasp_rate'])}  {_number(p['average_precision'], 4, 2)}  "
            f"{_number(milliseconds, 8, 0)}"
        )
    first = planners[order[0]]
    lines.append(
        f"{report['n_objects']} objects × {report['n_trials_per_object']} trials, "
        f"{first['n_graspable']} of {first['n_trials']} trials graspable; success is over those"
    )
    lines += [f"unusable {name}: {reason}" for name, reason in report["unusable_objects"].items()]
    return "\n".join(lines)


def not_executed(report: dict[str, Any]) -> list[str]:
    """Of each planner that gave nothing to execute in some trial the two commonest reasons, a line each."""
    from .bench.report import short_names

    lines = []
    for spec, name in short_names(list(report["planners"])).items():
        p = report["planners"][spec]
        n = p["outcomes_all"]["NO_GRASP"] + p["outcomes_all"]["UNSTABLE"]
        said = "; ".join(
            f"{r['count']} × {shorten(r['reason'], 120, placeholder=' …')}"
            for r in p["reasons"][:2]
        )
        if n:
            lines.append(f"{name}: no grasp executed in {n} of {p['n_trials']} trials: {said}")
    return lines


def _agreement_table(result: dict[str, Any]) -> str:
    lines = [
        f"{'label':<17} {'AUC [95 %]':<21} {'agreement':<12}  {'lifted of its yes':<21}  of its no"
    ]
    for name, label in (
        ("robust ε > 0.002", result["robust_epsilon"]),
        ("P(success) > ½", result["p_success"]),
    ):
        if label.get("agreement") is None:
            continue
        area = f"{label['auc']:.3f}" if label["auc"] is not None else "–"
        if label["auc_interval"]:
            area += " [{:.3f}–{:.3f}]".format(*label["auc_interval"])
        shares = [_share(label["agreement"], label["agreement_interval"])]
        shares += [
            f"{_share(label[side]['success_rate'], label[side]['success_interval'])} of {label[side]['n']}"
            for side in ("above", "below")
        ]
        lines.append(f"{name:<17} {area:<21} {shares[0]:<12}  {shares[1]:<21}  {shares[2]}")
    return "\n".join(lines)


def _share(rate: float | None, interval: list[float] | None) -> str:
    if rate is None or interval is None:
        return "–"
    return f"{100 * rate:.0f}% [{100 * interval[0]:.0f}–{100 * interval[1]:.0f}]"


def _percent(value: float | None) -> str:
    return "    –" if value is None else f"{100 * value:4.0f}%"


def _number(value: float | None, width: int, digits: int) -> str:
    return "–".rjust(width) if value is None else f"{value:{width}.{digits}f}"


BENCH_VERBS: dict[str, Callable[..., int]] = {
    "run": bench_run,
    "clutter": bench_clutter,
    "agreement": bench_agreement,
    "report": bench_report,
    "replay": bench_replay,
}
"""Verbs by their name on the command line."""
