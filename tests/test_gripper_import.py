"""Grippers from URDFs and meshes that are written here: the numbers that went in come out; the rest is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.cli_gripper import GRIPPER_VERBS
from antipodal.errors import InvalidConfig, InvalidMesh, UnknownAsset
from antipodal.grasp import Grasp
from antipodal.gripper import GripperModel, load_gripper
from antipodal.gripper_boxes import Unmeasured
from antipodal.gripper_mesh import import_mesh_gripper
from antipodal.gripper_urdf import UrdfOptions, import_urdf_gripper
from antipodal.mesh import TriMesh, save_mesh

# A hand that closes along y of its base, stroke 80 mm: palm 200 × 60 mm, its face 60 mm above the base; fingers 20 mm
# wide, 15 mm thick, tips at 110 mm. At joint position 0 it is closed.
LIMIT = '<limit lower="{low}" upper="{high}" effort="{effort}" velocity="0.1"/>'
HAND = """<?xml version="1.0"?>
<robot name="two_jaws">
  <link name="flange"/>
  <link name="hand">
    <visual><geometry><sphere radius="3"/></geometry></visual>
    <collision><origin xyz="0 0 0.03"/><geometry><box size="0.06 0.2 0.06"/></geometry></collision>
  </link>
  <link name="left">
    <collision><origin xyz="0 0.0075 0.03"/><geometry><box size="0.02 0.015 0.06"/></geometry></collision>
  </link>
  <link name="right">
    <collision>{right}</collision>
  </link>
  <joint name="mount" type="fixed"><parent link="flange"/><child link="hand"/><origin xyz="0 0 0.1"/></joint>
  <joint name="left_slide" type="{kind}">
    <parent link="hand"/><child link="left"/><origin xyz="0 0 0.05"/><axis xyz="0 1 0"/>{left_limit}
  </joint>
  <joint name="right_slide" type="prismatic">
    <parent link="hand"/><child link="right"/><origin xyz="0 0 0.05" rpy="0 0 {yaw}"/><axis xyz="0 {sign} 0"/>
    {right_limit}{mimic}
  </joint>
</robot>
"""
RIGHT = '<origin xyz="0 0.0075 0.03"/><geometry><box size="0.02 0.015 0.06"/></geometry>'


def bounds_of(hand: GripperModel) -> np.ndarray:
    """Of the open hand, in its own base frame."""
    return hand.collision_mesh_at(Grasp(hand.T_gripper_grasp, hand.max_width)).bounds


def hand_urdf(path: Path, **changes: object) -> Path:
    """The right finger is the left one, turned by half a turn about z."""
    limit = LIMIT.format(low=0.0, high=0.04, effort=35)
    values: dict[str, object] = {
        "kind": "prismatic",
        "left_limit": limit,
        "right_limit": limit,
        "mimic": "",
        "sign": 1,
        "yaw": np.pi,
        "right": RIGHT,
    }
    path.write_text(HAND.format(**values | changes))
    return path


def test_a_urdf_gives_back_the_hand_that_was_written(tmp_path: Path) -> None:
    made = import_urdf_gripper(hand_urdf(tmp_path / "hand.urdf"), UrdfOptions(tip_overhang=0.012))
    g = made.gripper
    assert g.name == "two_jaws"
    assert (g.min_width, g.max_width) == (pytest.approx(0, abs=1e-12), pytest.approx(0.08))
    assert (g.jaw_thickness, g.jaw_width) == (pytest.approx(0.015), pytest.approx(0.02))
    assert g.finger_depth == pytest.approx(0.05)  # tips at 110 mm, the palm's face at 60 mm
    assert g.max_force == 35
    # in the hand's own base frame the jaws close along y, and the centre is 12 mm behind the tips
    T = g.T_gripper_grasp
    np.testing.assert_allclose(np.abs(T[:3, 0]), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(T[:3, 2], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(T[:3, 3], [0, 0, 0.098], atol=1e-12)
    (palm,) = g.palm_boxes
    np.testing.assert_allclose(palm["size"], [0.2, 0.06, 0.06], atol=1e-12)
    np.testing.assert_allclose(palm["center"], [0, 0, 0.03 - 0.098], atol=1e-12)
    assert any("max_force 35 N is the joints' effort" in note for note in made.notes)


def test_the_boxes_of_the_gripper_are_those_of_the_urdf_at_both_ends(tmp_path: Path) -> None:
    """An independent road: the jaws' boxes in the base frame, straight from the URDF's numbers."""
    g = import_urdf_gripper(hand_urdf(tmp_path / "hand.urdf")).gripper
    for width, q in ((g.max_width, 0.04), (g.min_width, 0.0)):
        boxes = g.boxes(width)
        centers = transforms.apply(g.T_gripper_grasp, boxes.centers[:2])
        expected = np.array([[0, q + 0.0075, 0.08], [0, -q - 0.0075, 0.08]])
        # the collision model's finger starts at the palm's face, 60 mm, the URDF's 10 mm behind it
        expected[:, 2] = (0.06 + 0.11) / 2
        order = np.argsort(-centers[:, 1])
        np.testing.assert_allclose(centers[order], expected, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 0.005])
def test_a_mimicking_joint_and_other_signs_describe_the_same_hand(
    offset: float, tmp_path: Path
) -> None:
    plain = import_urdf_gripper(hand_urdf(tmp_path / "a.urdf")).gripper
    follows = f'<mimic joint="left_slide" multiplier="-1" offset="{-offset}"/>'
    mirrored = f'<origin xyz="0 {-0.0075 + offset} 0.03"/><geometry><box size="0.02 0.015 0.06"/></geometry>'
    changed = hand_urdf(tmp_path / "b.urdf", sign=1, yaw=0, mimic=follows, right=mirrored)
    mimicking = import_urdf_gripper(changed).gripper
    assert mimicking.max_width == pytest.approx(plain.max_width)
    assert mimicking.min_width == pytest.approx(plain.min_width, abs=1e-12)
    np.testing.assert_allclose(bounds_of(mimicking), bounds_of(plain), atol=1e-12)


def test_meshes_are_found_scaled_and_turned(tmp_path: Path) -> None:
    """The right finger as an STL in millimetres, in a package beside the URDF's folder."""
    package = tmp_path / "my_hand"
    (package / "meshes").mkdir(parents=True)
    (package / "urdf").mkdir()
    finger = trimesh.creation.box((20, 60, 15))  # its length is y and its thickness z
    finger.export(package / "meshes" / "finger.stl")
    mesh = (
        f'<origin xyz="0 0.0075 0.03" rpy="{np.pi / 2} 0 0"/><geometry>'
        '<mesh filename="package://my_hand/meshes/finger.stl" scale="0.001 0.001 0.001"/></geometry>'
    )
    file = hand_urdf(package / "urdf" / "hand.urdf", right=mesh)
    made, plain = import_urdf_gripper(file), import_urdf_gripper(hand_urdf(tmp_path / "plain.urdf"))
    np.testing.assert_allclose(bounds_of(made.gripper), bounds_of(plain.gripper), atol=1e-9)
    (package / "meshes" / "finger.stl").unlink()
    with pytest.raises(UnknownAsset, match=r"no mesh 'package://my_hand/meshes/finger\.stl'"):
        import_urdf_gripper(file)


def test_what_is_wrong_with_a_mesh_of_a_urdf_is_said_in_terms_of_the_urdf(tmp_path: Path) -> None:
    trimesh.creation.box((20, 15, 60)).export(tmp_path / "finger.stl")
    mesh = '<geometry><mesh filename="finger.stl"/></geometry>'
    with pytest.raises(InvalidMesh) as caught:
        import_urdf_gripper(hand_urdf(tmp_path / "hand.urdf", right=mesh))
    said = str(caught.value)
    assert "extents 60 m" in said and 'scale="0.001 0.001 0.001"' in said
    assert "--mesh-unit" not in said and "numbers as URDF" not in said
    scaled = mesh.replace("/></g", ' scale="0.001 0.001 0.001"/></g')
    import_urdf_gripper(hand_urdf(tmp_path / "hand.urdf", right=scaled))  # as it was told
    (tmp_path / "finger.stl").write_text("no mesh")
    with pytest.raises(InvalidMesh, match=r"finger\.stl"):
        import_urdf_gripper(hand_urdf(tmp_path / "hand.urdf", right=mesh))


def test_a_mesh_is_taken_from_its_own_package_even_where_the_urdfs_has_one_of_the_same_path(
    tmp_path: Path,
) -> None:
    """Only the own package, called so by its folder or its package.xml, will do."""
    mesh = '<geometry><mesh filename="package://pkg_b/meshes/finger.stl" scale="0.001 0.001 0.001"/></geometry>'
    for package, length in (("pkg_a", 20), ("pkg_b", 60)):
        (tmp_path / package / "meshes").mkdir(parents=True)
        (tmp_path / package / "urdf").mkdir()
        finger = trimesh.creation.box((20, 15, length))
        finger.apply_translation((0, 7.5, 30))
        finger.export(tmp_path / package / "meshes" / "finger.stl")
    file = hand_urdf(tmp_path / "pkg_a" / "urdf" / "hand.urdf", right=mesh)
    plain = import_urdf_gripper(hand_urdf(tmp_path / "plain.urdf"))
    assert import_urdf_gripper(file).notes == plain.notes
    (tmp_path / "pkg_b").rename(tmp_path / "clone")
    with pytest.raises(UnknownAsset, match="no mesh 'package://pkg_b/meshes/finger"):
        import_urdf_gripper(file)
    (tmp_path / "clone" / "package.xml").write_text("<package><name>pkg_b</name></package>")
    inside = hand_urdf(tmp_path / "clone" / "urdf" / "hand.urdf", right=mesh)
    assert import_urdf_gripper(inside).notes == plain.notes


FINGERTIP = """<link name="tip"><visual><geometry><sphere radius="0.01"/></geometry></visual></link>
<link name="frame"/>
<joint name="knuckle" type="{kind}"><parent link="{parent}"/><child link="frame"/></joint>
<joint name="screw" type="fixed"><parent link="frame"/><child link="tip"/></joint></robot>"""


@pytest.mark.parametrize("parent", ["left", "right", "flange"])
@pytest.mark.parametrize("kind", ["revolute", "continuous"])
def test_a_part_that_moves_on_a_jaw_or_the_palm_is_refused_by_name(
    kind: str, parent: str, tmp_path: Path
) -> None:
    text = hand_urdf(tmp_path / "hand.urdf").read_text()
    moving = text.replace("</robot>", FINGERTIP.format(kind=kind, parent=parent))
    (tmp_path / "moving.urdf").write_text(moving)
    with pytest.raises(InvalidConfig, match=rf"frame moves on {parent} by knuckle \({kind}\)"):
        import_urdf_gripper(tmp_path / "moving.urdf")
    empty = moving.replace('<visual><geometry><sphere radius="0.01"/></geometry></visual>', "")
    (tmp_path / "empty.urdf").write_text(empty)
    assert import_urdf_gripper(tmp_path / "empty.urdf").gripper.max_width == pytest.approx(0.08)


def test_cylinders_and_spheres_have_their_exact_boxes(tmp_path: Path) -> None:
    for shape, extent in (
        ('<cylinder radius="0.0075" length="0.06"/>', [0.015, 0.015]),
        ('<sphere radius="0.03"/>', [0.06, 0.06]),
    ):
        right = f'<origin xyz="0 0.03 0.03"/><geometry>{shape}</geometry>'
        left = f"<collision>{right}</collision>"
        text = hand_urdf(tmp_path / "a.urdf", right=right).read_text()
        start, end = (
            text.index('<link name="left">') + 18,
            text.index("</link>", text.index("left")),
        )
        (tmp_path / "a.urdf").write_text(text[:start] + left + text[end:])
        g = import_urdf_gripper(tmp_path / "a.urdf").gripper
        assert [g.jaw_thickness, g.jaw_width] == pytest.approx(extent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "revolute"}, r"has 1 prismatic joints, and moves by left_slide \(revolute\)"),
        ({"left_limit": ""}, "joint left_slide has the limits None: expected lower < upper"),
        (
            {"left_limit": LIMIT.format(low=0.04, high=0.04, effort=1)},
            "expected lower < upper",
        ),
        (
            {"right_limit": LIMIT.format(low=0, high=0.02, effort=1)},
            r"left_slide slides 40\.0 mm and right_slide 20\.0 mm",
        ),
        ({"yaw": np.pi / 2}, r"slide 90\.0° apart: expected one line"),
        (
            {"mimic": '<mimic joint="left_slide" multiplier="-1"/>'},
            "follows left_slide in the same direction",
        ),
        ({"mimic": '<mimic joint="wrist"/>'}, "mimics 'wrist': expected left_slide"),
        ({"right": "<geometry><capsule/></geometry>"}, "has a <capsule>: expected one of box"),
        ({"right": "<geometry><box size='1 2'/></geometry>"}, "has size='1 2': expected 3 numbers"),
        (
            {
                "left_limit": LIMIT.format(low=0, high=0.04, effort=0),
                "right_limit": LIMIT.format(low=0, high=0.04, effort=0),
            },
            "its joints have no effort: give the force with --max-force",
        ),
        (
            {
                "left_limit": LIMIT.format(low=-0.04, high=0, effort=1),
                "right_limit": LIMIT.format(low=-0.04, high=0, effort=1),
            },
            r"closed jaws would overlap by 30\.0 mm, more than they are thick",
        ),
    ],
)
def test_a_urdf_that_is_no_hand_with_two_sliding_jaws_is_told_why(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        import_urdf_gripper(hand_urdf(tmp_path / "hand.urdf", **changes))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.urdf", "<robot", "not readable as XML"),
        ("a.urdf", "<mujoco/>", "root <mujoco>: expected a URDF's <robot>"),
        ("a.xacro", "<robot/>", "is a xacro: expand it first"),
        ("a.urdf", "<robot><xacro:include/></robot>", "is a xacro"),
        ("a.urdf", '<robot name="r"><link name="a"/></robot>', "has 0 prismatic joints"),
    ],
)
def test_other_files_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidConfig, match=message):
        import_urdf_gripper(tmp_path / name)


# --- meshes -----------------------------------------------------------------------------------


def hand_mesh(gap: float = 0.06, root: float = 0.03) -> TriMesh:
    """Palm 160 × 70 × 50 mm under z = ``root``; fingers 12 × 18 mm, to z = 80 mm, 5 mm off the middle in y."""
    boxes = [((0, 0, root - 0.025), (0.16, 0.07, 0.05))]
    length = 0.08 - root
    for side in (-1, 1):
        center = (side * (gap / 2 + 0.006), 0.005, root + length / 2)
        boxes.append((center, (0.012, 0.018, length)))
    parts = [
        trimesh.creation.box(size, transforms.translation(np.array(center)))
        for center, size in boxes
    ]
    whole = trimesh.util.concatenate(parts)
    return TriMesh(whole.vertices, whole.faces, "hand")


SAID = Unmeasured("hand", 25.0, tip_overhang=0.01, contact_radius=0.008)


def test_a_mesh_gives_back_the_hand_that_was_built(tmp_path: Path) -> None:
    save_mesh(hand_mesh(), tmp_path / "hand.stl")
    g = import_mesh_gripper(tmp_path / "hand.stl", SAID, min_width=0.002).gripper
    tight = {"abs": 2e-6}  # the cut is that far before the palm's face
    assert (g.min_width, g.max_width) == (0.002, pytest.approx(0.06, **tight))
    assert g.jaw_thickness == pytest.approx(0.012, **tight)
    assert g.jaw_width == pytest.approx(0.018, **tight)
    assert g.finger_depth == pytest.approx(0.05, **tight)
    assert (g.tip_overhang, g.contact_radius, g.max_force) == (0.01, 0.008, 25.0)
    np.testing.assert_allclose(g.T_gripper_grasp[:3, 3], [0, 0.005, 0.07], atol=2e-6)
    (palm,) = g.palm_boxes
    np.testing.assert_allclose(palm["size"], [0.16, 0.07, 0.05], atol=4e-6)
    np.testing.assert_allclose(palm["center"], [0, -0.005, 0.005 - 0.07], atol=4e-6)


def test_a_turned_mesh_in_millimetres_is_the_same_hand_in_its_own_frame(tmp_path: Path) -> None:
    R = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # x → y, y → z, z → x
    turned = hand_mesh().transformed(transforms.from_rt(R, [0.1, -0.2, 0.05])).scaled(1000)
    save_mesh(turned, tmp_path / "turned.ply")
    made = import_mesh_gripper(tmp_path / "turned.ply", SAID, 0.001, "y", "x").gripper
    save_mesh(hand_mesh(), tmp_path / "plain.ply")
    plain = import_mesh_gripper(tmp_path / "plain.ply", SAID).gripper
    T_turned_plain = transforms.from_rt(R, [0.1, -0.2, 0.05])
    np.testing.assert_allclose(
        made.T_gripper_grasp, T_turned_plain @ plain.T_gripper_grasp, atol=1e-5
    )
    np.testing.assert_allclose(made.boxes(0.03).centers, plain.boxes(0.03).centers, atol=1e-5)


@pytest.mark.parametrize(
    ("mesh", "axes", "message"),
    [
        (trimesh.creation.box((0.1, 0.05, 0.1)), ("x", "z"), "are 1 lump along the closing axis"),
        (hand_mesh(), ("y", "z"), "are 1 lump along"),
        (hand_mesh(), ("x", "-z"), "are 1 lump along"),
        (hand_mesh(), ("z", "-z"), "parallel to the closing direction"),
    ],
)
def test_a_mesh_without_two_fingers_in_front_is_refused(
    mesh: trimesh.Trimesh | TriMesh, axes: tuple, message: str, tmp_path: Path
) -> None:
    save_mesh(TriMesh(mesh.vertices, mesh.faces), tmp_path / "hand.stl")
    with pytest.raises(InvalidConfig, match=message):
        import_mesh_gripper(tmp_path / "hand.stl", SAID, 1.0, *axes)


def test_fingers_without_a_palm_between_them_are_refused(tmp_path: Path) -> None:
    whole = hand_mesh()
    fingers = replace(whole, vertices=whole.vertices, faces=whole.faces[12:])
    save_mesh(fingers, tmp_path / "fingers.stl")
    with pytest.raises(InvalidConfig, match="nothing lies behind the gap between the fingers"):
        import_mesh_gripper(tmp_path / "fingers.stl", SAID)


def test_the_command_writes_what_load_gripper_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring = GRIPPER_VERBS["import"]
    assert bring(hand_urdf(tmp_path / "hand.urdf"), tmp_path / "out" / "hand.toml") == 0
    again = load_gripper(tmp_path / "out" / "hand.toml")
    assert again.max_width == pytest.approx(0.08)
    assert "tip_overhang assumed" in (tmp_path / "out" / "hand.toml").read_text()
    assert (tmp_path / "out" / "hand.png").is_file()
    assert "max_width" in capsys.readouterr().out
    save_mesh(hand_mesh(), tmp_path / "hand.stl")
    with pytest.raises(InvalidConfig, match="a mesh does not say the force: give --max-force"):
        bring(tmp_path / "hand.stl", tmp_path / "mesh.toml")
    assert bring(tmp_path / "hand.stl", tmp_path / "mesh.toml", max_force=25.0) == 0
    assert load_gripper(tmp_path / "mesh.toml").max_width == pytest.approx(0.06, abs=2e-6)


def test_flags_of_meshes_are_refused_with_a_urdf_and_a_force_of_0_is_not_a_missing_one(
    tmp_path: Path,
) -> None:
    bring, file = GRIPPER_VERBS["import"], hand_urdf(tmp_path / "hand.urdf")
    with pytest.raises(InvalidConfig, match="--closing-axis, --mesh-unit, --min-width: for meshes"):
        bring(file, tmp_path / "a.toml", closing_axis="y", mesh_unit="mm", min_width=0.0)
    for force in (0.0, -5.0):
        with pytest.raises(InvalidConfig, match=f"max_force = {force}: expected a positive number"):
            bring(file, tmp_path / "a.toml", max_force=force)
    assert not (tmp_path / "a.toml").exists()


def test_the_base_is_named_and_where_the_root_fixes_it_said_as_a_flanges_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, made = hand_urdf(tmp_path / "hand.urdf"), tmp_path / "hand.toml"
    turned = '<origin xyz="0 0 0.015" rpy="0 0 0.5235987755982988"/>'
    file.write_text(
        file.read_text().replace('<origin xyz="0 0 0.1"/></joint>', turned + "</joint>")
    )
    assert GRIPPER_VERBS["import"](file, made, json=True) == 0
    (note,) = [n for n in json.loads(capsys.readouterr().out)["notes"] if "the base is" in n]
    assert "the base is the link hand, not the root flange" in note
    assert f"# {note}" in made.read_text()
    matrix = json.loads(note.partition("T_flange_gripper = ")[2])
    wanted = transforms.translation([0, 0, 0.015]) @ transforms.rot_z(np.pi / 6)
    np.testing.assert_allclose(matrix, wanted, atol=1e-8)


def test_between_an_arm_and_the_base_nothing_is_fixed_and_only_the_link_is_named(
    tmp_path: Path,
) -> None:
    file = hand_urdf(tmp_path / "hand.urdf")
    wrist = (
        '<link name="arm"/><joint name="wrist" type="revolute"><parent link="arm"/><child link="flange"/>'
        '<limit lower="-1" upper="1" effort="9" velocity="1"/></joint></robot>'
    )
    file.write_text(file.read_text().replace("</robot>", wrist))
    assert import_urdf_gripper(file).notes[0] == "the base is the link hand"
