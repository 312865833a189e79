"""The command line on good and bad input: exit codes, one-line errors, JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from antipodal.camera_files import camera_names, load_camera
from antipodal.cli import GROUPS, run
from antipodal.mesh import save_mesh
from antipodal.render.depth import render
from antipodal.render.scene import CameraDistribution, sample_scene
from antipodal.stable_pose import stable_poses
from conftest import box

CAMERA = "primesense"
VERBS = [
    [name, *([sub] if sub else [])]
    for name, verb in GROUPS.items()
    for sub in (verb if isinstance(verb, dict) else [""])
]


@pytest.fixture(scope="module")
def scene_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered box on a table: depth.npy, mask.png, camera.json."""
    folder = tmp_path_factory.mktemp("scene")
    mesh = box(0.03, 0.05, 0.04)
    rng = np.random.default_rng(5)
    distribution = CameraDistribution(width=640, height=480, recenter=False)
    scene = sample_scene(mesh, stable_poses(mesh)[0], rng, distribution)
    image, mask = render(scene)
    np.save(folder / "depth.npy", image.depth)
    cv2.imwrite(str(folder / "mask.png"), mask.astype(np.uint8) * 255)
    camera = {
        "intrinsics": image.intrinsics.to_json(),
        "T_world_camera": scene.T_world_camera.tolist(),
    }
    (folder / "camera.json").write_text(json.dumps(camera))
    return folder


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line."""
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.removesuffix("\n")
    assert line
    assert "\n" not in line
    assert "Traceback" not in line
    return line


def depth_file(folder: Path, depth: np.ndarray) -> str:
    """Write a depth array; return its path."""
    np.save(folder / "bad.npy", depth)
    return str(folder / "bad.npy")


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_with_an_example(verb, capsys) -> None:
    with pytest.raises(SystemExit) as exit_:
        run([*verb, "--help"])
    assert exit_.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Example: antipodal " + " ".join(verb) in shown
    # of a flag --no-x it would say that x is left out unless asked for
    assert "(default: True)" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing from antipodal plan: PATH"),
        (["d.npy"], "--camera STR preset, or a .intr"),
        (["d.npy", "--camera"], "Missing value for argument '--camera'"),
        (["d.npy", "--camera", CAMERA, "--colour", "red"], "Unrecognized options: --colour"),
        (["d.npy", "--camera", CAMERA, "--policy", "best"], "invalid choice 'best' for argument"),
        (["d.npy", "--camera", CAMERA, "--seed", "x"], "Error parsing --seed"),
        (["d.npy", "--camera", CAMERA, "--box", "1", "2"], "Error parsing --box"),
    ],
    ids=["nothing", "missing", "no value", "unknown", "choice", "word", "too few"],
)
def test_a_flag_that_is_unknown_missing_or_unreadable_is_one_line(arguments, said, capsys) -> None:
    line = fails(["plan", *arguments], capsys)
    assert line.startswith("antipodal plan: ")
    assert said in line
    assert line.endswith("; antipodal plan --help says more")
    assert not set("╭│─\x1b") & set(line)


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("fastapi", ["serve"], "serve"),
        ("viser", ["view", "mug.ply"], "view"),
        ("pyarrow", ["bench", "report", "out"], "data"),
        ("numba", ["generate", "objects", "-o", "data"], "data"),
        ("torch", ["train", "data", "-o", "run"], "train"),
        ("lightning", ["retarget", "--meshes", "parts", "-o", "cell"], "train"),
    ],
)
def test_a_missing_extra_is_named_before_anything_else(module, arguments, extra, tmp_path) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; from antipodal.cli import main; "
        f"main({arguments!r})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 2
    assert f"pip install 'antipodal[{extra}]'" in run.stderr
    assert run.stderr.count("\n") == 1


def test_what_others_print_does_not_mix_with_the_result() -> None:
    code = (
        "import os, subprocess, sys; from antipodal.terminal import result_alone, stdout\n"
        "with result_alone():\n"
        "    print('a planner'); os.write(1, b'a library\\n')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"a worker\")'])\n"
        "    stdout('{}')\n"
        "print('after')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["{}", "after"]
    assert all(said in ran.stderr for said in ("a planner", "a library", "a worker"))


def test_a_result_is_printed_before_the_verb_ends() -> None:
    """``antipodal view --no-open`` says its address and goes on."""
    code = (
        "import os, sys; from antipodal.terminal import result_alone, stdout\n"
        "with result_alone():\n"
        "    stdout('address'); os.write(2, b'running\\n'); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == b"running\n"
        os.set_blocking(process.stdout.fileno(), False)
        assert process.stdout.read() == b"address\n"
        process.stdin.close()


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "import time; time.sleep(0.3); from antipodal.cli import main; main(['plan', '--help'])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_an_unknown_verb_lists_the_known_ones(capsys) -> None:
    assert run(["grab"]) == 2
    assert "expected one of demo, plan" in capsys.readouterr().err


def test_help_lists_every_verb(capsys) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in GROUPS)


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (np.full((480, 640), 730.0), "metres below 20; if these are millimetres"),
        (np.full((480, 640), np.nan), "NaN"),
        (np.zeros((480, 640)), "0 everywhere"),
        (np.full((100, 100), 0.7), "the camera says 640×480"),
        (np.full((480, 640, 3), 0.7), "one channel"),
        (np.full((480, 640), 730, np.uint16), "--depth-unit 0.001"),
        (-np.ones((480, 640)), "negative"),
        (np.array("text"), "one channel"),
    ],
    ids=["millimetres", "nan", "zero", "shape", "colour", "unit", "negative", "text"],
)
def test_a_bad_depth_image_is_refused_in_one_line(depth, said, tmp_path, capsys) -> None:
    assert said in fails(["plan", depth_file(tmp_path, depth), "--camera", CAMERA], capsys)


def test_a_partly_nan_image_says_how_to_mend_it(tmp_path, capsys) -> None:
    depth = np.full((480, 640), 0.7)
    depth[:5, :5] = np.nan
    line = fails(["plan", depth_file(tmp_path, depth), "--camera", CAMERA], capsys)
    assert "25 NaN" in line
    assert "nan_to_num" in line


def test_an_empty_mask_is_refused(scene_files, tmp_path, capsys) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((480, 640), np.uint8))
    arguments = [
        str(scene_files / "depth.npy"),
        "--camera",
        CAMERA,
        "--mask",
        str(tmp_path / "empty.png"),
    ]
    assert "empty" in fails(["plan", *arguments], capsys)


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--camera", "kinekt", "primesense"),
        ("--gripper", "claw", "franka_hand"),
        ("--model", "gpt", "builtin"),
        ("--mask", "nowhere.png", "nowhere.png"),
    ],
)
def test_an_unknown_name_lists_what_there_is(flag, value, said, scene_files, capsys) -> None:
    camera = [] if flag == "--camera" else ["--camera", CAMERA]
    assert said in fails(["plan", str(scene_files / "depth.npy"), *camera, flag, value], capsys)


def test_a_missing_file_is_named(capsys) -> None:
    assert "no file nowhere.npy" in fails(["plan", "nowhere.npy", "--camera", CAMERA], capsys)


def test_an_unknown_preset_lists_the_known_ones(tmp_path, capsys) -> None:
    line = fails(
        ["generate", str(tmp_path), "-o", str(tmp_path / "o"), "--preset", "paperr"], capsys
    )
    assert "builtin, paper, release2017" in line


def test_a_gripper_narrower_than_every_object_says_so(tmp_path, capsys) -> None:
    (tmp_path / "in").mkdir()
    save_mesh(box(0.2, 0.2, 0.2), tmp_path / "in" / "crate.ply")
    arguments = ["generate", str(tmp_path / "in"), "-o", str(tmp_path / "o"), "--preset", "builtin"]
    assert run(arguments) == 2
    assert "no antipodal grasp fits the gripper" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("n", ["0", "-5"])
def test_no_datapoints_are_refused(n, tmp_path, capsys) -> None:
    save_mesh(box(0.03, 0.03, 0.03), tmp_path / "cube.ply")
    arguments = ["generate", str(tmp_path), "-o", str(tmp_path / "o"), "--n-datapoints", n]
    assert "expected at least 1" in fails(arguments, capsys)


def test_a_negative_seed_is_refused_everywhere(scene_files, tmp_path, capsys) -> None:
    save_mesh(box(0.03, 0.03, 0.03), tmp_path / "cube.ply")
    depth = [str(scene_files / "depth.npy"), "--camera", CAMERA]
    for arguments in (
        ["plan", *depth],
        ["demo", "-o", str(tmp_path / "demo")],
        ["generate", str(tmp_path), "-o", str(tmp_path / "o")],
        ["objects", "make", "-n", "2", "-o", str(tmp_path / "made")],
    ):
        assert "seed -1" in fails([*arguments, "--seed", "-1"], capsys)


def test_a_place_that_cannot_be_written_is_named(scene_files, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    arguments = [
        "plan",
        str(scene_files / "depth.npy"),
        "--camera",
        str(scene_files / "camera.json"),
    ]
    assert "file" in fails([*arguments, "-o", str(tmp_path / "file" / "plan.json")], capsys)
    assert ".png" in fails([*arguments, "--plot", str(tmp_path / "plan.xyz")], capsys)


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"K": [[525, 0, 0], [0, 525, 0], [319.5, 239.5, 1]]}, "transposed"),
        ({"K": [[525, 80, 319.5], [0, 525, 239.5], [0, 0, 1]]}, "skewed"),
        ({"fx": 525, "fy": 525, "cx": 319.5, "cy": 239.5, "D": [0.1, 0, 0, 0, 0]}, "rectify"),
        ({"fx": "wide", "fy": 525, "cx": 319.5, "cy": 239.5}, "fx"),
    ],
    ids=["transposed", "skewed", "distorted", "word"],
)
def test_a_camera_that_would_mislead_is_refused(
    camera, said, scene_files, tmp_path, capsys
) -> None:
    (tmp_path / "camera.json").write_text(json.dumps({"width": 640, "height": 480, **camera}))
    arguments = ["plan", str(scene_files / "depth.npy"), "--camera", str(tmp_path / "camera.json")]
    assert said in fails(arguments, capsys)


def test_a_small_data_set_is_made_shown_and_checked(tmp_path, capsys) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        save_mesh(box(0.02 + 0.004 * i, 0.03, 0.05), tmp_path / "in" / f"box{i}.ply")
    out = str(tmp_path / "data")
    arguments = ["--preset", "builtin", "--n-datapoints", "80", "--json"]
    assert run(["generate", str(tmp_path / "in"), "-o", out, *arguments]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["n_objects"] == 2
    assert made["datapoints_per_second"] > 0
    assert run(["dataset", "info", out, "--plots", str(tmp_path / "plots"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["n_datapoints"] == made["n_datapoints"]
    assert all(cv2.imread(p).std() > 5 for p in shown["plots"])
    assert run(["dataset", "check", out]) == 0
    shard = tmp_path / "data" / "shards" / "part-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert run(["dataset", "check", out]) == 1
    capsys.readouterr()
    assert "not readable" in fails(["dataset", "info", out], capsys)


def test_a_mesh_in_millimetres_is_refused_with_the_flag_that_helps(tmp_path, capsys) -> None:
    save_mesh(box(40.0, 40.0, 40.0), tmp_path / "mm.stl")
    assert run(["doctor", str(tmp_path / "mm.stl")]) == 1
    assert "--mesh-unit mm" in capsys.readouterr().out


def test_a_verb_without_a_mesh_unit_names_the_one_that_has_it(tmp_path, capsys) -> None:
    save_mesh(box(40.0, 40.0, 40.0), tmp_path / "in" / "mm.stl")
    line = fails(["generate", str(tmp_path / "in"), "-o", str(tmp_path / "data")], capsys)
    assert "none of 1 objects can be read: mm: extents 40 m" in line
    assert "wider gripper" not in line
    assert not (tmp_path / "data").exists()
    (advice,) = re.findall("'antipodal (.*)'", line)
    places = {"FOLDER": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}
    assert run([places.get(word, word) for word in advice.split()]) == 0
    assert run(["objects", "info", str(tmp_path / "out")]) == 0


def test_a_data_set_is_not_generated_among_its_meshes(tmp_path, capsys) -> None:
    save_mesh(box(0.03, 0.04, 0.05), tmp_path / "box.ply")
    line = fails(["generate", str(tmp_path), "-o", str(tmp_path)], capsys)
    assert "holds meshes" in line and "choose another" in line
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--max-tilt-deg", "-5"], "max_tilt -0.08727 rad (-5°): expected between 0 and 1.571 rad (90°)"),
        (["--yaw-range-deg", "20", "10"], "(0.3491 rad (20°), 0.1745 rad (10°))"),
    ],
    ids=["tilt", "yaw"],
)  # fmt: skip
def test_an_angle_is_answered_in_the_degrees_in_which_it_was_given(
    asked, said, scene_files, capsys
) -> None:
    line = fails(["plan", str(scene_files / "depth.npy"), "--camera", CAMERA, *asked], capsys)
    assert said in line and "np." not in line


def test_a_mesh_without_faces_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "empty.off").write_text("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n")
    assert run(["doctor", str(tmp_path / "empty.off")]) == 1
    assert "no faces" in capsys.readouterr().out


def test_plan_writes_json_and_a_picture(scene_files, tmp_path, capsys) -> None:
    arguments = [str(scene_files / "depth.npy"), "--camera", str(scene_files / "camera.json")]
    arguments += ["--mask", str(scene_files / "mask.png"), "-o", str(tmp_path / "plan.json")]
    assert run(["plan", *arguments, "--plot", str(tmp_path / "plan.png"), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan == json.loads((tmp_path / "plan.json").read_text())
    best = plan["grasps"][0]
    assert set(best) == {"center_px", "angle", "depth", "width", "quality", "T_camera_grasp"}
    qualities = [g["quality"] for g in plan["grasps"]]
    assert qualities == sorted(qualities, reverse=True)
    mask = cv2.imread(str(scene_files / "mask.png"), cv2.IMREAD_UNCHANGED) > 0
    u, v = np.round(best["center_px"]).astype(int)
    assert mask[v, u]
    picture = cv2.imread(str(tmp_path / "plan.png"))
    assert picture is not None
    assert picture.std() > 10
    assert run(["plan", *arguments[:-1], str(tmp_path)]) == 2
    assert "is a folder: expected a file's name" in capsys.readouterr().err


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_a_file_where_a_folder_is_needed_is_named_with_the_remedy(below, tmp_path, capsys) -> None:
    file = tmp_path / "afile"
    file.write_text("mine")
    assert run(["objects", "make", "-n", "1", "-o", f"{file}{below}"]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"antipodal objects make: {file} is a file: expected a folder, or a new name for one; choose another\n"
    )


def test_the_same_seed_plans_the_same_grasp(scene_files, capsys) -> None:
    arguments = [
        "plan",
        str(scene_files / "depth.npy"),
        "--camera",
        str(scene_files / "camera.json"),
        "--json",
    ]
    answers = []
    for seed in ("1", "1", "2"):
        assert run([*arguments, "--seed", seed]) == 0
        answers.append(json.loads(capsys.readouterr().out)["grasps"][0])
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]


def test_a_cut_away_background_is_free_only_if_that_is_said(scene_files, tmp_path, capsys) -> None:
    mask = cv2.imread(str(scene_files / "mask.png"), 0) > 0
    depth = np.where(mask, np.load(scene_files / "depth.npy"), 0)
    arguments = ["plan", depth_file(tmp_path, depth), "--json"]
    arguments += ["--camera", str(scene_files / "camera.json")]
    arguments += ["--mask", str(scene_files / "mask.png")]
    assert run(arguments) == 1
    assert json.loads(capsys.readouterr().out)["counts"]["finger_unseen"] > 0
    assert run([*arguments, "--cut-away"]) == 0
    assert json.loads(capsys.readouterr().out)["grasps"]


def test_bfloat16_plans_what_float32_does_or_is_refused_where_the_processor_has_none(
    scene_files, capsys
) -> None:
    arguments = ["plan", str(scene_files / "depth.npy"), "--json"]
    arguments += ["--camera", str(scene_files / "camera.json"), "--precision"]
    assert run([*arguments, "float32"]) == 0
    exact = json.loads(capsys.readouterr().out)["grasps"][0]["quality"]
    for precision in ("auto", "bfloat16"):
        code = run([*arguments, precision])
        said = capsys.readouterr()
        if code == 0:
            rounded = json.loads(said.out)["grasps"][0]["quality"]
            assert rounded == pytest.approx(exact, abs=0.02)
        else:
            assert (precision, code) == ("bfloat16", 2)
            assert "does not compute in it" in said.err


def test_an_empty_table_gives_no_grasp_and_a_reason(tmp_path, capsys) -> None:
    path = depth_file(tmp_path, np.full((480, 640), 0.7, np.float32))
    assert run(["plan", path, "--camera", CAMERA, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["grasps"] == []
    assert answer["reason"]


def test_a_16_bit_image_with_its_unit_is_read(scene_files, tmp_path, capsys) -> None:
    depth = np.load(scene_files / "depth.npy")
    cv2.imwrite(str(tmp_path / "depth.png"), np.round(depth * 1e4).astype(np.uint16))
    arguments = ["plan", str(tmp_path / "depth.png"), "--camera", str(scene_files / "camera.json")]
    assert run([*arguments, "--depth-unit", "0.0001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["grasps"]


def test_every_camera_preset_is_accepted(tmp_path, capsys) -> None:
    for name in camera_names():
        shape = load_camera(name).intrinsics.shape
        path = depth_file(tmp_path, np.full(shape, 0.7, np.float32))
        assert run(["plan", path, "--camera", name]) == 1
        assert "no grasp" in capsys.readouterr().out
