"""Grippers: every built-in one is a sound, symmetric hand; a wrong file is told what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.errors import InvalidConfig, UnknownAsset
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import (
    UNIT_BOX_FACES,
    UNIT_BOX_VERTICES,
    GripperModel,
    gripper_names,
    load_gripper,
)
from antipodal.mesh import TriMesh

ASSETS = Path(str(resources.files("antipodal"))) / "assets" / "grippers"
NAMES = gripper_names()


def yumi_text() -> str:
    return (ASSETS / "yumi" / "gripper.toml").read_text()


def test_the_papers_gripper_and_two_common_ones_are_built_in() -> None:
    assert {"yumi", "robotiq_2f85", "franka_hand"} <= set(NAMES)
    yumi = load_gripper("yumi")  # reference §3.1
    assert (yumi.min_width, yumi.max_width, yumi.max_force) == (0.0, 0.05, 20.0)
    assert yumi.contact_radius == 0.01
    assert yumi.tip_overhang == 0.0122


@pytest.mark.parametrize("name", NAMES)
def test_every_gripper_folder_loads_by_name_folder_and_file_and_tells_its_derivation(
    name: str,
) -> None:
    by_name = load_gripper(name)
    assert by_name.name == name
    assert load_gripper(ASSETS / name).max_width == by_name.max_width
    assert load_gripper(ASSETS / name / "gripper.toml").max_width == by_name.max_width
    assert len((ASSETS / name / "README.md").read_text()) > 200


@pytest.mark.parametrize("name", NAMES)
def test_the_jaws_are_mirror_images_and_as_far_apart_as_asked(name: str) -> None:
    gripper = load_gripper(name)
    for width in (gripper.min_width, 0.03, gripper.max_width):
        centers, sizes = gripper.boxes(width)
        left, right = gripper.JAWS
        assert np.array_equal(centers[left] * [-1, 1, 1], centers[right])
        assert np.array_equal(sizes[left], sizes[right])
        inner = centers[right, 0] - sizes[right, 0] / 2
        assert np.isclose(2 * inner, width + 2 * gripper.jaw_clearance)
        assert np.isclose(centers[right, 2] + sizes[right, 2] / 2, gripper.tip_overhang)
        assert centers[left, 0] < 0 < centers[right, 0]


@pytest.mark.parametrize("name", NAMES)
def test_the_palm_lies_behind_the_grasp_centre_and_meets_the_fingers(name: str) -> None:
    gripper = load_gripper(name)
    centers, sizes = gripper.boxes(gripper.max_width)
    front = (centers[2:, 2] + sizes[2:, 2] / 2).max()
    finger_root = gripper.tip_overhang - gripper.finger_depth
    assert front < 0  # +z is the approach: what is in front of the palm is fingers alone
    assert abs(front - finger_root) < 1e-6
    assert (np.abs(centers[2:, 1]) < 0.05).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_collision_mesh_is_closed_and_holds_the_volume_of_its_boxes(name: str) -> None:
    gripper = load_gripper(name)
    mesh = gripper.collision_mesh_at(Grasp(np.eye(4), gripper.max_width))
    assert mesh.is_watertight
    _, sizes = gripper.boxes(gripper.max_width)
    assert np.isclose(mesh.volume, sizes.prod(-1).sum())


def test_boxes_take_batches_of_widths() -> None:
    gripper = load_gripper("yumi")
    widths = np.linspace(0, 0.05, 6).reshape(2, 3)
    centers, sizes = gripper.boxes(widths)
    assert centers.shape == sizes.shape == (2, 3, 2 + len(gripper.palm_boxes), 3)
    assert np.array_equal(centers[1, 2], gripper.boxes(widths[1, 2]).centers)


def test_the_unit_box_is_closed_and_outward() -> None:
    mesh = TriMesh(UNIT_BOX_VERTICES, UNIT_BOX_FACES)
    assert mesh.is_watertight
    assert np.isclose(mesh.volume, 1.0)


def test_the_hand_is_put_where_the_grasp_is(rng: np.random.Generator) -> None:
    gripper = load_gripper("yumi")
    pose = transforms.from_rt(transforms.random_rotations(1, rng)[0], [0.3, -0.2, 0.5])
    grasp = Grasp(pose, np.array(0.05))
    T_parent_gripper = gripper.T_parent_gripper(grasp)
    assert np.allclose(T_parent_gripper @ gripper.T_gripper_grasp, pose, atol=1e-12)
    in_hand = gripper.collision_mesh_at(Grasp(gripper.T_gripper_grasp, grasp.width))
    there = in_hand.transformed(T_parent_gripper)
    assert np.allclose(there.vertices, gripper.collision_mesh_at(grasp).vertices, atol=1e-12)


def test_over_a_table_the_palm_is_nearer_to_the_camera_than_the_tips() -> None:
    """The sign that matters: a hand planned in an image comes from the camera's side."""
    camera = CameraIntrinsics(525, 525, 319.5, 239.5, 640, 480)
    planar = PlanarGrasp(np.array([320.0, 240]), np.array(0.3), np.array(0.7), np.array(0.05))
    gripper = load_gripper("yumi")
    z = gripper.collision_mesh_at(planar.to_grasp(camera)).vertices[:, 2]
    assert np.isclose(z.max(), 0.7 + gripper.tip_overhang)
    assert z.min() < 0.6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "max_width = 0.05",
            "max_width = 50",
            "max_width = 50: expected .* at most 1 m; millimetres",
        ),
        ("max_width = 0.05", 'max_width = "wide"', "max_width = 'wide': expected a positive"),
        ("min_width = 0.0", "min_width = 0.06", "widths 0.06–0.05 m: expected min < max"),
        ("min_width = 0.0", 'min_width = "none"', "expected a number ≥ 0 in SI units"),
        ("max_force = 20.0", "max_force = 0", "max_force = 0: expected a positive number"),
        ("max_force = 20.0", "max_force = true", "max_force = True"),
        ("max_force = 20.0", "", "missing key max_force: add it"),
        ("max_force = 20.0", "force = 20.0", "unknown key force: expected some of name, max_width"),
        ("tip_overhang = 0.0122", "tip_overhang = 0.1", "between 0 and finger_depth 0.0304"),
        ("jaw_clearance = 0.0006", "jaw_clearance = -0.1", "jaw_clearance = -0.1"),
        ("jaw_clearance = 0.0006", "jaw_clearance = 2.0", "at most 1 m; millimetres"),
        ("contact_radius = 0.01", "contact_radius = 9.0", "at most 1 m; millimetres"),
        ("0.078237]", "78.237]", "base 78.237 m from the grasp's centre: expected at most 1 m"),
        ("center = [0.0, 0.0, -0.0934]", "", r"palm box has \['size'\]: expected center and size"),
        ("size = [0.0903, 0.075, 0.1504]", "size = [0, 1, 1]", "expected positive lengths"),
        ("wxyz = [1.0, 0.0, 0.0, 0.0]", "wxyz = [0, 0, 0, 0]", "expected four numbers, not all 0"),
        ("wxyz = [1.0, 0.0, 0.0, 0.0]", "rpy = [0, 0, 0]", "expected translation and wxyz"),
        ("[[palm_boxes]]", "[palm_boxes]", "expected tables"),
        ('name = "yumi"', "name = ", "not readable as TOML"),
    ],
)
def test_a_wrong_gripper_file_is_told_what_is_wrong(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert yumi_text().count(old) == 1
    (tmp_path / "gripper.toml").write_text(yumi_text().replace(old, new))
    with pytest.raises(InvalidConfig, match=message):
        load_gripper(tmp_path)


def test_a_copied_file_is_a_new_gripper(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        yumi_text()
        .replace('"yumi"', '"mine"')
        .replace("wxyz = [1.0, 0.0, 0.0, 0.0]", "wxyz = [0, 0, 0, 2]")
    )
    gripper = load_gripper(tmp_path / "mine.toml")
    assert gripper.name == "mine"
    assert np.allclose(gripper.T_gripper_grasp[:3, :3], np.diag([-1, -1, 1]))


def test_a_grippers_numbers_may_be_numpys() -> None:
    yumi = load_gripper("yumi")
    wide = replace(yumi, max_width=np.float32(0.0625), max_force=np.int64(30))
    assert (wide.max_width, wide.max_force) == (0.0625, 30.0)
    assert type(wide.max_width) is type(wide.max_force) is float


@pytest.mark.parametrize("name", NAMES)
def test_a_gripper_comes_back_from_json(name: str) -> None:
    hand = load_gripper(name)
    again = GripperModel.from_json(json.loads(json.dumps(hand.to_json())), "here")
    assert again.to_json() == hand.to_json()
    assert type(again.palm_boxes) is tuple


def test_an_unknown_gripper_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownAsset, match=r"unknown gripper 'barrett': expected one of .*yumi"):
        load_gripper("barrett")
