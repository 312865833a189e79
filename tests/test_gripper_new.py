"""Describing a hand by its numbers: answers and flags, the file that comes of them, and the picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from antipodal.cli_gripper import GRIPPER_VERBS
from antipodal.draw_gripper import save_gripper_picture
from antipodal.errors import InvalidConfig
from antipodal.gripper import GripperModel, gripper_names, load_gripper
from antipodal.gripper_files import FIELDS, gripper_toml, save_gripper
from antipodal.gripper_questions import QUESTIONS, answers_of, gripper_from_answers, read_answer

new, show = GRIPPER_VERBS["new"], GRIPPER_VERBS["show"]


def assert_same(a: GripperModel, b: GripperModel, tolerance: float = 1e-15) -> None:
    assert a.name == b.name
    for name in FIELDS:
        assert getattr(a, name) == pytest.approx(getattr(b, name), abs=tolerance), name
    for width in (a.min_width, a.max_width):
        np.testing.assert_allclose(a.boxes(width).centers, b.boxes(width).centers, atol=tolerance)
        np.testing.assert_allclose(a.boxes(width).sizes, b.boxes(width).sizes, atol=tolerance)
    np.testing.assert_allclose(a.T_gripper_grasp, b.T_gripper_grasp, atol=max(tolerance, 1e-15))


@pytest.mark.parametrize("name", gripper_names())
def test_a_gripper_written_and_read_again_is_the_same(name: str, tmp_path: Path) -> None:
    gripper = load_gripper(name)
    save_gripper(gripper, tmp_path / "again.toml", ["a note", "of two\nlines"])
    assert_same(load_gripper(tmp_path / "again.toml"), gripper)


def test_odd_names_survive_the_file(tmp_path: Path) -> None:
    answers = answers_of(load_gripper("yumi")) | {"name": 'the "best" hand \\ Zürich'}
    gripper = gripper_from_answers(answers)
    (tmp_path / "odd.toml").write_text(gripper_toml(gripper), encoding="utf-8")
    assert load_gripper(tmp_path / "odd.toml").name == gripper.name


@pytest.mark.parametrize("name", gripper_names())
def test_the_answers_of_a_hand_are_that_hand(name: str) -> None:
    """The palms sit right behind the fingers, centred, which is what the questions assume."""
    gripper = load_gripper(name)
    again = gripper_from_answers(answers_of(gripper) | {"name": name}, gripper)
    assert_same(again, gripper, tolerance=1e-6)


def test_the_second_palm_box_of_the_hand_it_is_like_is_kept_behind_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    like = load_gripper("robotiq_2f85")
    file = tmp_path / "mine.toml"
    longer = {"finger_depth": "65 mm", "palm_height": "50 mm"}
    assert new(file, like="robotiq_2f85", no_ask=True, **longer) == 0
    made = load_gripper(file)
    first, second = made.palm_boxes
    # fingers 10 mm longer and the first box 5 mm higher: the second stands 15 mm further back
    assert second["center"][2] == pytest.approx(like.palm_boxes[1]["center"][2] - 0.015)
    assert second["size"] == like.palm_boxes[1]["size"]
    assert first["center"][2] - first["size"][2] / 2 == pytest.approx(
        second["center"][2] + second["size"][2] / 2
    )
    assert "palm_boxes after the first: 1, as robotiq_2f85 has them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "metres"), [("0.085", 0.085), ("85 mm", 0.085), ("8.5cm", 0.085), (" 85e-3 m ", 0.085)]
)
def test_lengths_take_their_unit(text: str, metres: float) -> None:
    question = next(q for q in QUESTIONS if q.name == "max_width")
    assert read_answer(question, text) == pytest.approx(metres, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("max_width", "wide", "expected a number, with one of m, cm, mm after it"),
        ("max_width", "85 N", "expected a number"),
        ("max_force", "70 mm", "with one of N after it"),
        ("closing_axis", "z", "expected x or y"),
        ("max_width", "", "expected a number"),
    ],
)
def test_answers_that_cannot_be_read_say_what_was_expected(
    name: str, text: str, message: str
) -> None:
    question = next(q for q in QUESTIONS if q.name == name)
    with pytest.raises(InvalidConfig, match=message):
        read_answer(question, text)


def test_every_question_has_a_flag_and_flags_alone_make_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.toml"
    answers = answers_of(load_gripper("robotiq_2f85")) | {"name": "mine", "max_width": "90 mm"}
    assert new(output, **answers, json=True) == 0  # nothing is asked: stdin is not read
    made = load_gripper(output)
    assert (made.name, made.max_width) == ("mine", pytest.approx(0.09))
    assert json.loads(capsys.readouterr().out)["max_width"] == pytest.approx(0.09)
    assert (tmp_path / "mine.png").is_file()


def test_what_no_flag_says_is_asked_and_an_empty_line_takes_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = {"name": "typed", "max_width": "7 cm", "max_force": "strong\n40 N"}
    lines = [typed.get(q.name, "") for q in QUESTIONS if q.name != "jaw_width"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    assert new(tmp_path / "typed.toml", like="yumi", jaw_width="18mm") == 0
    made, yumi = load_gripper(tmp_path / "typed.toml"), load_gripper("yumi")
    assert (made.name, made.max_force) == ("typed", 40.0)
    assert made.max_width == pytest.approx(0.07)
    assert made.jaw_width == pytest.approx(0.018)
    assert made.finger_depth == yumi.finger_depth
    asked = capsys.readouterr().err
    assert "finger_depth: free finger from palm to tip, m [0.0304]" in asked
    assert "jaw_width" not in asked
    assert "max_force 'strong': expected a number" in asked


def test_answers_that_end_too_early_and_impossible_hands_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(
        InvalidConfig, match="no answer to min_width: give --min-width, or --no-ask"
    ):
        new(tmp_path / "a.toml")
    with pytest.raises(InvalidConfig, match=r"max_width = 85\.0: expected .* 1 m; millimetres"):
        new(tmp_path / "a.toml", no_ask=True, max_width="85")
    assert not list(tmp_path.iterdir())


def colored(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """Pixels of nearly that colour on white at 90 %."""
    shown = 0.9 * np.array(rgb) + 0.1 * 255
    return (np.abs(picture[..., ::-1].astype(float) - shown) < 12).all(-1)


@pytest.mark.parametrize("name", ["yumi", "franka_hand", "robotiq_2f85"])
def test_no_label_of_the_base_lies_on_another_or_on_an_arrow(name: str, monkeypatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(
        "antipodal.draw_gripper.save_figure", lambda figure, path: drawn.append(figure)
    )
    save_gripper_picture(load_gripper(name), Path("hand.png"))
    drawn[0].savefig(io.BytesIO())
    notes = [t for t in drawn[0].axes[0].texts if isinstance(t, Annotation)]
    words = [t for t in drawn[0].axes[0].texts if t.get_text()]
    boxes = [Text.get_window_extent(t) for t in words]  # an annotation's own holds its arrow too
    arrows = [t.arrow_patch.get_window_extent() for t in notes if t.arrow_patch is not None]
    labels = [b for b, t in zip(boxes, words, strict=True) if t.get_text().startswith("base")]
    assert len(labels) == 2
    for label in labels:
        assert [b for b in boxes if b.overlaps(label)] == [label]
        assert not any(arrow.overlaps(label) for arrow in arrows)


def test_the_picture_is_to_scale(tmp_path: Path) -> None:
    """The scale bar, the fingers' length and the palm's width have one ratio of pixels to metres."""
    save_gripper_picture(load_gripper("franka_hand"), tmp_path / "hand.png")
    picture = cv2.imread(str(tmp_path / "hand.png"))
    assert picture is not None
    height = len(picture)
    black = (picture < 30).all(-1)
    thick = black[height // 2 : -4] & black[height // 2 + 4 :]  # outlines are thinner
    bar = max(thick.sum(1))
    palm = max(colored(picture, (140, 143, 148)).sum(1)[: height // 2])
    fingers = np.flatnonzero(colored(picture, (242, 140, 38)).any(1))
    pixels_per_metre = bar / 0.1
    # the palm from the front and from the side: 204 + 63 mm
    assert palm / pixels_per_metre == pytest.approx(0.204 + 0.063, rel=0.04)
    assert len(fingers) / pixels_per_metre == pytest.approx(0.0461, rel=0.05)


def test_show_says_numbers_and_oddities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show("yumi", tmp_path / "yumi.png") == 0
    said = capsys.readouterr().out
    assert "finger_depth       30.4 mm  free finger from palm to tip" in said
    assert "max_force             20 N  force limit of one jaw" in said
    narrow = answers_of(load_gripper("yumi")) | {"name": "narrow", "max_width": "9 mm"}
    save_gripper(gripper_from_answers(narrow), tmp_path / "narrow.toml")
    assert show(str(tmp_path / "narrow.toml"), json=True) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any("narrower than most objects" in f["message"] for f in findings)


def test_the_picture_never_takes_the_files_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"ends in \.toml"):
        save_gripper(load_gripper("yumi"), tmp_path / "mine.png")
    assert not (tmp_path / "mine.png").exists()


@pytest.mark.parametrize(
    ("distance", "message"),
    [
        ("155", "base 155 m from the grasp's centre: expected at most 1 m; millimetres"),
        ("1.55", r"base 1\.55 m from the grasp's centre"),
        ("-155mm", "base_distance -155mm: expected 0 or more: the base is behind"),
    ],
)
def test_a_base_in_another_unit_or_before_the_hand_is_refused(
    distance: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        new(tmp_path / "a.toml", no_ask=True, base_distance=distance)
    assert not list(tmp_path.iterdir())


def test_new_warns_as_show_does_of_a_base_before_the_palms_face(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    assert new(file, no_ask=True, base_distance="5 mm") == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning:")]
    assert any("before the palm's face" in line for line in warned)
    assert show(str(file)) == 0
    assert warned[0] in capsys.readouterr().out


def test_new_and_show_say_where_the_base_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "the base is 155 mm behind the grasp's centre, the jaws close along its y"
    file = tmp_path / "mine.toml"
    assert new(file, no_ask=True, base_distance="155 mm", closing_axis="y") == 0
    assert words in capsys.readouterr().out
    assert words in file.read_text()
    assert show(str(file)) == 0
    assert words in capsys.readouterr().out
