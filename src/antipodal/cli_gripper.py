"""The verbs of ``antipodal gripper``: describe a hand by its numbers, show one, import one from a URDF or a mesh."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from .gripper_boxes import Axis
from .terminal import MaybeOutput, Output, emit, stderr

if TYPE_CHECKING:
    from .gripper import GripperModel


def gripper_new(
    output: Output = Path("gripper.toml"),
    like: str = "franka_hand",
    no_ask: bool = False,
    name: str | None = None,
    min_width: str | None = None,
    max_width: str | None = None,
    max_force: str | None = None,
    jaw_thickness: str | None = None,
    jaw_width: str | None = None,
    finger_depth: str | None = None,
    tip_overhang: str | None = None,
    contact_radius: str | None = None,
    jaw_clearance: str | None = None,
    palm_width: str | None = None,
    palm_depth: str | None = None,
    palm_height: str | None = None,
    base_distance: str | None = None,
    closing_axis: str | None = None,
    json: bool = False,
) -> int:
    """Describe a gripper by its numbers: asks for each that no flag gives, writes the TOML and draws it beside.

    Lengths are metres unless a unit follows: 0.085, "85 mm", "8.5 cm".

    Example: antipodal gripper new -o mine.toml --name mine --max-width "85 mm"

    Args:
        output: the TOML file; the picture is beside it, as PNG.
        like: the gripper whose numbers are the defaults.
        no_ask: take the defaults instead of asking.
        name: a word for this hand.
        min_width: smallest distance between the jaws.
        max_width: largest distance between the jaws.
        max_force: force limit of one jaw, N.
        jaw_thickness: finger along the closing direction.
        jaw_width: finger across it.
        finger_depth: free finger from palm to tip.
        tip_overhang: how far the tips reach beyond the grasp's centre.
        contact_radius: of the soft contact patch.
        jaw_clearance: each jaw's face stands this far outside half the width.
        palm_width: palm along the closing direction.
        palm_depth: palm across it.
        palm_height: palm along the approach.
        base_distance: from the hand's base (flange) to the grasp's centre.
        closing_axis: axis of the base frame along which the jaws close, x or y.
        json: print the gripper as JSON.
    """
    given = dict(locals())
    from .doctor.gripper import examine_base
    from .gripper import load_gripper
    from .gripper_files import save_gripper
    from .gripper_questions import gripper_from_answers

    model = load_gripper(like)
    gripper = gripper_from_answers(_answers(given, model, ask=not no_ask), model)
    more = len(gripper.palm_boxes) - 1
    notes = [f"palm_boxes after the first: {more}, as {model.name} has them"] if more else []
    base = examine_base(gripper)
    notes += [f"{base.severity}: {base.message}"] if base.severity != "ok" else []
    save_gripper(gripper, output, ["Made by 'antipodal gripper new'.", *notes])
    _finish(gripper, output, notes, json)
    return 0


def gripper_show(gripper: Positional[str], output: MaybeOutput = None, json: bool = False) -> int:
    """Say a gripper's numbers and what is odd about them; draw it with -o. Exit 1 if it cannot be used.

    Example: antipodal gripper show robotiq_2f85 -o gripper.png

    Args:
        gripper: name, or a gripper.toml.
        output: picture to draw.
        json: print the gripper as JSON.
    """
    from .doctor import examine_gripper
    from .gripper import load_gripper

    hand, findings = load_gripper(gripper), examine_gripper(gripper)
    if output is not None:
        from .draw_gripper import save_gripper_picture

        save_gripper_picture(hand, output)
    lines = [_table(hand), *(f"{f.severity}: {f.message}" for f in findings)]
    if output is not None:
        lines.append(f"picture: {output}")
    emit(hand.to_json() | {"findings": [f._asdict() for f in findings]}, "\n".join(lines), json)
    return int(any(f.severity == "error" for f in findings))


def gripper_import(
    source: Positional[Path],
    output: Output,
    name: str | None = None,
    max_force: float | None = None,
    tip_overhang: float | None = None,
    contact_radius: float | None = None,
    closing_axis: Axis | None = None,
    approach_axis: Axis | None = None,
    mesh_unit: str | None = None,
    min_width: float | None = None,
    json: bool = False,
) -> int:
    """Measure a gripper in a URDF with two sliding jaws, or in a mesh of the open hand; write the TOML and draw it.

    Says what it assumed. What it measures are bounding boxes: look at the picture.

    Example: antipodal gripper import hand.urdf -o hand.toml --max-force 70

    Args:
        source: .urdf, or STL, OBJ, PLY, OFF or GLB of the open hand.
        output: the TOML file; the picture is beside it, as PNG.
        name: a word for this hand; default the robot's or the file's.
        max_force: of one jaw, N; default the effort of a URDF's joints.
        tip_overhang: how far the tips reach beyond the grasp's centre, m.
        contact_radius: of the soft contact patch, m.
        closing_axis: of a mesh's frame, along which the jaws close; default x.
        approach_axis: of the base frame, along which the fingers point; default z of a mesh, found in a URDF.
        mesh_unit: of a mesh: m, mm, cm, inch, or metres per unit; default m.
        min_width: of a mesh: distance of the closed jaws, m; default 0.
        json: print the gripper as JSON.
    """
    from .errors import InvalidConfig
    from .gripper_boxes import Unmeasured
    from .gripper_files import save_gripper
    from .gripper_mesh import import_mesh_gripper
    from .gripper_urdf import UrdfOptions, import_urdf_gripper
    from .mesh import MESH_SUFFIXES
    from .objects.units import read_unit

    if source.suffix.lower() in MESH_SUFFIXES:
        if max_force is None:
            raise InvalidConfig(
                f"{source.name}: a mesh does not say the force: give --max-force, N"
            )
        said = Unmeasured(name or source.stem, max_force, tip_overhang, contact_radius)
        unit = read_unit("m" if mesh_unit is None else mesh_unit).factor
        axes = closing_axis or "x", approach_axis or "z"
        made = import_mesh_gripper(source, said, unit, *axes, min_width or 0.0)
    else:
        of_meshes = {
            "--closing-axis": closing_axis,
            "--mesh-unit": mesh_unit,
            "--min-width": min_width,
        }
        if given := [flag for flag, value in of_meshes.items() if value is not None]:
            raise InvalidConfig(
                f"{', '.join(given)}: for meshes alone, and {source.name} is none: a URDF says it itself; leave it out"
            )
        options = UrdfOptions(name, max_force, tip_overhang, contact_radius, approach_axis)
        made = import_urdf_gripper(source, options)
    save_gripper(made.gripper, output, [f"Imported from {source.name}.", *made.notes])
    _finish(made.gripper, output, list(made.notes), json)
    return 0


def _answers(given: Mapping[str, str | None], like: GripperModel, ask: bool) -> dict[str, str]:
    """Take each answer from its flag; else ask, or take another gripper's."""
    from .gripper_questions import QUESTIONS, answers_of, read_answer

    answers = answers_of(like)
    said = {q.name: value for q in QUESTIONS if (value := given[q.name]) is not None}
    for question in QUESTIONS:
        if question.name in said:
            read_answer(question, said[question.name])  # refused before anything is asked
    if ask:
        for question in QUESTIONS:
            if question.name not in said:
                answers[question.name] = _ask(question, answers[question.name])
    return answers | said


def _ask(question: Any, default: str) -> str:
    """Ask until the answer can be read; an empty line takes the default."""
    from .errors import InvalidConfig
    from .gripper_questions import read_answer

    while True:
        sys.stderr.write(f"{question.name}: {question.words} [{default}]: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise InvalidConfig(
                f"no answer to {question.name}: give --{question.name.replace('_', '-')}, or --no-ask"
            )
        answer = line.strip() or default
        try:
            read_answer(question, answer)
        except InvalidConfig as error:
            stderr(str(error))
            continue
        return answer


def _finish(gripper: GripperModel, output: Path, notes: list[str], json: bool) -> None:
    """Draw the picture beside the file, and say both."""
    from .draw_gripper import save_gripper_picture

    picture = output.with_suffix(".png")
    save_gripper_picture(gripper, picture)
    lines = [*notes, _table(gripper), f"gripper: {output}", f"picture: {picture}"]
    emit(gripper.to_json() | {"notes": notes}, "\n".join(lines), json)


def _table(gripper: GripperModel) -> str:
    from .gripper_files import FIELDS, base_in_words

    lines = [f"{'name':<16} {gripper.name}"]
    for name, words in FIELDS.items():
        value = float(getattr(gripper, name))
        said = f"{value:.4g} N" if name == "max_force" else f"{1e3 * value:.4g} mm"
        lines.append(f"{name:<16} {said:>9}  {words.rsplit(',', 1)[0]}")
    lines.append(f"{'palm_boxes':<16} {len(gripper.palm_boxes):>9}")
    lines.append(f"{'T_gripper_grasp':<16} {base_in_words(gripper)}")
    return "\n".join(lines)


GRIPPER_VERBS: dict[str, Callable[..., int]] = {
    "new": gripper_new,
    "show": gripper_show,
    "import": gripper_import,
}
"""Verbs by their name on the command line."""
