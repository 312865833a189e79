"""The command line: each verb reads its inputs, calls the library, and prints one result.

Progress goes to stderr, the result to stdout, ``--json`` makes it one JSON object. Exit 0: done; 1: ran, but the answer
is no; 2: misuse, in one line. Flags and help come from the signatures below.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from . import __version__
from .cli_bench import BENCH_VERBS
from .cli_dataset import DATASET_VERBS, summary_text
from .cli_gripper import GRIPPER_VERBS
from .cli_learn import LEARN_VERBS
from .cli_plan import doctor, plan
from .cli_retarget import retarget
from .cli_serve import serve
from .cli_view import view
from .errors import AntipodalError, InvalidConfig, InvalidMesh, NoGraspFound
from .terminal import Output, emit, generation_report, progress_bar, result_alone, stderr, stdout

EXTRAS = {
    "data": ("pyarrow", "numba", "h5py"),
    "train": ("torch", "lightning", "onnx", "onnxscript", "onnxruntime", "tensorboard"),
    "cluster": ("ray",),
    "bench": ("sklearn", "small_gicp", "PIL"),
    "serve": ("fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client", "httpx"),
    "view": ("viser",),
}
"""Modules that an extra brings."""
Verb = Callable[..., int]


def demo(output: Output = Path("out/demo"), seed: int = 0, json: bool = False) -> int:
    """The main job end to end on a built-in object: noisy depth image → grasp → simulated lift.

    Writes demo.png and demo.json. Needs no download and no torch.

    Example: antipodal demo -o out/demo

    Args:
        output: folder for the picture and the JSON.
        seed: of the scene, the noise and the planner.
        json: print the result as JSON.
    """
    from .demo import run_demo

    result = run_demo(output, seed)
    best, planned, trial = result["plan"]["grasps"][0], result["plan"]["plan_time"], result["trial"]
    text = (
        f"object {result['object']}: grasp q = {best['quality']:.2f} planned in {planned * 1e3:.0f} ms, "
        f"{trial['outcome']} ({trial['lift_height'] * 100:.0f} cm)\npicture: {output / 'demo.png'}"
    )
    emit(result, text, json)
    return 0 if trial["success"] else 1


def objects_make(
    output: Output,
    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 100,
    seed: int = 0,
    families: tuple[str, ...] = (),
) -> int:
    """Make procedural training objects.

    Example: antipodal objects make -n 200 --seed 1 -o objects

    Args:
        output: folder for the object set.
        n: how many.
        seed: object i of a seed and a list of families is the same whatever n.
        families: names to take turns; all if not given.
    """
    from .objects import make_object_set

    with progress_bar("objects") as progress:
        made = make_object_set(output, n, seed, families or None, progress)
    emit({}, f"{len(made)} objects in {output}", False)
    return 0


def objects_import(
    source: Positional[Path],
    output: Output,
    mesh_unit: str | None = None,
    licence: str = "unknown",
    json: bool = False,
) -> int:
    """Import a folder of meshes: repaired, or refused by name with the reason.

    Example: antipodal objects import parts/ --mesh-unit mm --licence CC0-1.0 -o objects

    Args:
        source: folder with STL, OBJ, PLY, OFF or GLB files.
        output: folder for the object set.
        mesh_unit: m, mm, cm, inch, or metres per unit; without it, one is guessed for all files but GLB, and said.
        licence: of the files, for the record.
        json: print the result as JSON.
    """
    from .objects import import_meshes

    with progress_bar("meshes") as progress:
        made = import_meshes(source, output, mesh_unit, licence=licence, progress=progress)
    unit = made.source["unit_reason"]
    lines = [f"refused {name}: {reason}" for name, reason in made.refused.items()]
    lines += [f"{r.name}: {'; '.join(r.repairs)}" for r in made.records if r.repairs]
    lines.append(f"unit: {unit}" + ("" if mesh_unit else "; --mesh-unit overrides"))
    lines.append(f"{len(made)} objects in {output}, {len(made.refused)} refused")
    values = {"objects": made.names, "refused": made.refused, "source": made.source}
    emit({**values, "content_hash": made.content_hash}, "\n".join(lines), json)
    return 0


def objects_info(source: Positional[Path], gripper: str = "yumi", json: bool = False) -> int:
    """List an object set: size, volume, stable poses, antipodal grasps that fit (of 100 sought), complexity, ε₇₅.

    Complexity is an entropy in bits; ε₇₅, the difficulty, the 75th percentile of robust ε over the grasps: low is hard.

    Example: antipodal objects info objects

    Args:
        source: object set, or any folder of meshes.
        gripper: name, or a gripper.toml.
        json: print the list as JSON.
    """
    from .gripper import load_gripper
    from .objects import describe, load_object_set

    hand, objects = load_gripper(gripper), load_object_set(source)
    rows, refused = [], dict(objects.refused)
    for index, record in enumerate(objects.records):
        try:
            rows.append(describe(objects[index], hand))
        except InvalidMesh as error:  # of any folder, whose meshes none has tried before
            refused[record.file] = str(error)
    lines = [
        f"{r['name']:<28} {'×'.join(f'{1e3 * x:.0f}' for x in r['extents']):>15} mm "
        f"{1e6 * r['volume']:8.1f} cm³ {r['n_stable_poses']:3d} poses {r['n_grasps']:3d} grasps "
        f"{r['complexity']:4.1f} bits  ε₇₅ {r['difficulty']:.4f}"
        for r in rows
    ]
    lines += [f"refused {name}: {reason}" for name, reason in refused.items()]
    lines += [f"changed: {fault}" for fault in objects.check()]
    lines.append(f"{len(rows)} objects, content hash {objects.content_hash[:16]}")
    values = {
        "objects": rows, "refused": refused, "content_hash": objects.content_hash, "source": objects.source
    }  # fmt: skip
    emit(values, "\n".join(lines), json)
    return 0 if rows else 1


def generate(
    objects: Positional[Path],
    output: Output,
    preset: str = "paper",
    n_datapoints: int | None = None,
    images_per_pose: int | None = None,
    gripper: str = "yumi",
    camera: str | None = None,
    workers: int = 1,
    ray: str | None = None,
    max_object_time: float = 300.0,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Generate a data set from an object set. The same command resumes an interrupted run.

    An object that cannot be used, crashes or takes too long is refused by name, and the run goes on.

    Example: antipodal generate objects -o data/pilot --preset builtin --n-datapoints 20000 --workers 2

    Args:
        objects: object set, or any folder of meshes in metres.
        output: folder for the data set.
        preset: paper or release2017, for train --model paper, or builtin (what the shipped model is trained on), for
            train --model compact, which is train's default.
        n_datapoints: about how many in all, the same for each object.
        images_per_pose: every grasp in so many images of each stable pose, as in the paper; the preset's if not given.
        gripper: name, or a gripper.toml.
        camera: preset or file that replaces the focal length and image size of the preset's camera.
        workers: processes; the bytes do not depend on it.
        ray: address of a Ray cluster that computes instead: host:port of its head, or auto.
        max_object_time: an object that takes longer is refused, seconds.
        seed: the only source of randomness.
        json: print the summary as JSON; before it, on stderr, one JSON object per event.
    """
    from .dataset.execution import Execution
    from .dataset.run import run_generate

    execution = Execution(workers, ray, max_object_time)
    with generation_report(json) as report:
        summary = run_generate(
            objects,
            output,
            preset,
            n_datapoints=n_datapoints,
            gripper=gripper,
            camera=camera,
            seed=seed,
            execution=execution,
            report=report,
            images_per_pose=images_per_pose,
        )
    text = f"{summary_text(summary)}\nin {output}, {summary['datapoints_per_second']:.0f}/s"
    emit(summary, text, json)
    return 0


GROUPS: dict[str, Verb | dict[str, Verb]] = {
    "demo": demo,
    "plan": plan,
    "doctor": doctor,
    "objects": {"make": objects_make, "import": objects_import, "info": objects_info},
    "generate": generate,
    **LEARN_VERBS,
    "dataset": DATASET_VERBS,
    "bench": BENCH_VERBS,
    "retarget": retarget,
    "gripper": GRIPPER_VERBS,
    "serve": serve,
    "view": view,
}
"""Every verb; a dictionary holds the verbs of one group."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow is no reason to lose an answer
    try:
        try:
            code = run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # here, where it can be answered for
    except BrokenPipeError:  # who reads has enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit code."""
    verbs, prog = GROUPS, "antipodal"
    while arguments and arguments[0] in verbs:
        verb, prog = verbs[arguments[0]], f"{prog} {arguments[0]}"
        arguments = arguments[1:]
        if not isinstance(verb, dict):
            return _call(verb, prog, arguments)
        verbs = verb
        if "run" in verbs and arguments and arguments[0].startswith("--pol"):
            return _call(verbs["run"], f"{prog} run", arguments)  # `bench --policy …`
    return _help(prog, verbs, arguments)


def _call(verb: Verb, prog: str, arguments: list[str]) -> int:
    try:
        command = _parsed(verb, prog, arguments)
        with result_alone():
            return command()
    except NoGraspFound as error:
        stderr(f"{prog}: no grasp: {error}")
        return 1
    except AntipodalError as error:
        stderr(f"{prog}: {error}")
    except ImportError as error:
        stderr(f"{prog}: {_remedy(error)}")
    except BrokenPipeError:
        raise  # main knows
    except OSError as error:
        stderr(f"{prog}: {_refusal(error)}")
    except KeyboardInterrupt:
        stderr(f"{prog}: interrupted")
        return 130
    return 2


def _parsed(verb: Verb, prog: str, arguments: list[str]) -> Callable[[], int]:
    """Read the flags of a verb; return what runs it.

    Raises:
        InvalidConfig: a flag is unknown, missing or cannot be read.
    """

    @functools.wraps(verb)
    def bind(*args: Any, **options: Any) -> Callable[[], int]:
        return functools.partial(verb, *args, **options)

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(bind, prog=prog, args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as end:
        if end.code in (None, 0):  # --help
            raise
        raise InvalidConfig(f"{_one_line(said.getvalue())}; {prog} --help says more") from None


def _remedy(error: ImportError) -> str:
    """Say which extra brings a module that is missing."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return f"needs {module}: pip install 'antipodal[{extra}]'"
    return str(error)


def _refusal(error: OSError) -> str:
    """What the system refuses, in words; a file that stands where a folder is needed is found."""
    place = Path(error.filename or "a file")
    if isinstance(error, FileExistsError | NotADirectoryError):
        for file in filter(Path.is_file, (place, *place.parents)):
            return f"{file} is a file: expected a folder, or a new name for one; choose another"
    return f"{place}: {error.strerror or error}"


def _one_line(box: str) -> str:
    """The words of tyro's box of errors, down to the line that points to the help."""
    words = re.sub(r"[╭╮╰╯│─\s]+", " ", box.split("\n", 1)[-1])  # its first line is a title
    return re.sub(r" For full helptext.*", "", words).strip().removesuffix(".")


def _help(prog: str, verbs: Mapping[str, Any], arguments: list[str]) -> int:
    if arguments and arguments[0] == "--version":
        stdout(f"antipodal {__version__}")
        return 0
    asked = bool(arguments) and arguments[0] in ("-h", "--help")
    lines = [f"usage: {prog} VERB …", ""]
    for name, verb in verbs.items():
        said = (verb.__doc__ or "").splitlines()[0] if callable(verb) else " | ".join(verb)
        lines.append(f"  {name:<15} {said}")
    lines += ["", f"{prog} VERB --help says more, with an example."]
    if asked:
        stdout("\n".join(lines))
        return 0
    if arguments:
        lines.insert(
            0, f"{prog}: unknown verb '{arguments[0]}': expected one of {', '.join(verbs)}"
        )
    stderr("\n".join(lines))
    return 2
