"""Meshes: mass properties in closed form, files there and back, repair that says what it did."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.errors import InvalidConfig, InvalidMesh, UnknownAsset
from antipodal.mesh import (
    DENSITY,
    MESH_SUFFIXES,
    TriMesh,
    joined,
    load_mesh,
    overlap,
    repair,
    rescale,
    save_mesh,
)
from conftest import box, sphere

SQUARE = TriMesh(
    np.array([[0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0.05, 0.05, 0]]),
    np.array([[0, 1, 2], [1, 3, 2]]),
    "square",
)


def test_a_box_weighs_what_the_formula_says() -> None:
    x, y, z = 0.04, 0.06, 0.1
    mesh = box(x, y, z)
    assert np.isclose(mesh.volume, x * y * z, rtol=1e-12)
    assert np.isclose(mesh.mass, DENSITY * x * y * z, rtol=1e-12)
    assert np.abs(mesh.center_of_mass).max() < 1e-15
    expected = mesh.mass / 12 * np.diag([y**2 + z**2, x**2 + z**2, x**2 + y**2])
    assert np.allclose(mesh.inertia, expected, rtol=1e-12, atol=1e-18)
    assert np.allclose(mesh.extents, [x, y, z])
    assert np.isclose(mesh.face_areas.sum(), 2 * (x * y + y * z + x * z))
    assert np.all(np.sum(mesh.face_normals * mesh.triangles.mean(1), -1) > 0)  # outward


def test_a_fine_sphere_weighs_nearly_what_a_ball_does() -> None:
    r = 0.02
    mesh = sphere(r, 5)
    assert np.isclose(mesh.volume, 4 / 3 * np.pi * r**3, rtol=2e-3)
    assert np.allclose(mesh.inertia, 0.4 * mesh.mass * r**2 * np.eye(3), rtol=2e-3, atol=1e-12)


def test_mass_properties_move_with_the_mesh(rng: np.random.Generator) -> None:
    mesh = TriMesh(box(0.04, 0.06, 0.1).vertices + np.array([0.01, 0, 0]), box().faces)
    R = transforms.random_rotations(1, rng)[0]
    T = transforms.from_rt(R, [3.0, -2.0, 1.0])  # far off: cancellation would show
    moved = mesh.transformed(T)
    assert np.isclose(moved.volume, mesh.volume, rtol=1e-12)
    com = transforms.apply(T, mesh.center_of_mass[None])[0]
    assert np.allclose(moved.center_of_mass, com, atol=1e-13)
    assert np.allclose(moved.inertia, R @ mesh.inertia @ R.T, rtol=1e-9, atol=1e-16)


def test_mass_properties_are_trimeshs_on_a_body_without_symmetry() -> None:
    ring = trimesh.creation.annulus(0.01, 0.03, 0.02)
    spike = trimesh.creation.cone(0.01, 0.04)
    spike.apply_translation([0.1, 0.02, 0.03])
    both = trimesh.util.concatenate([ring, spike])
    mesh = TriMesh(both.vertices, both.faces)
    both.density = DENSITY
    assert np.isclose(mesh.volume, both.volume, rtol=1e-12)
    assert np.allclose(mesh.center_of_mass, both.center_mass, atol=1e-12)
    assert np.allclose(mesh.inertia, both.moment_inertia, rtol=1e-9, atol=1e-15)


def test_scaling_follows_the_powers_of_length() -> None:
    mesh, factor = box(0.04, 0.06, 0.1), 1.7
    scaled = mesh.scaled(factor)
    assert np.isclose(scaled.volume, factor**3 * mesh.volume)
    assert np.allclose(scaled.inertia, factor**5 * mesh.inertia, atol=1e-18)
    with pytest.raises(InvalidMesh, match="expected a positive factor"):
        mesh.scaled(-1.0)


def test_an_open_mesh_takes_the_middle_of_its_bounding_box_for_centre_of_mass() -> None:
    mesh = TriMesh(box(0.04, 0.06, 0.1).vertices + np.array([0.5, 0, 0]), box().faces[:-1])
    assert not mesh.is_watertight
    assert np.allclose(mesh.center_of_mass, [0.5, 0, 0])


def test_watertight_means_every_edge_twice_and_in_opposite_directions() -> None:
    mesh = box()
    assert mesh.is_watertight
    flipped = np.array(mesh.faces)
    flipped[0] = flipped[0, ::-1]
    assert not TriMesh(mesh.vertices, flipped).is_watertight
    assert not TriMesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:1]])).is_watertight
    assert TriMesh(mesh.vertices, mesh.faces[:, ::-1]).is_watertight
    assert TriMesh(mesh.vertices, mesh.faces[:, ::-1]).volume < 0


def test_a_flat_mesh_has_no_volume_and_raises_no_warning() -> None:
    assert SQUARE.volume == 0.0
    assert np.allclose(SQUARE.center_of_mass, [0.025, 0.025, 0])
    degenerate = TriMesh(SQUARE.vertices, np.array([[0, 1, 1], [0, 1, 2]]))
    assert np.array_equal(degenerate.face_normals[0], [0, 0, 0])


def test_impossible_meshes_are_refused() -> None:
    with pytest.raises(InvalidMesh, match="has no faces: expected a triangle mesh"):
        TriMesh(np.zeros((3, 3)), np.empty((0, 3), int))
    with pytest.raises(InvalidMesh, match="faces name vertex 7, but there are 4"):
        TriMesh(SQUARE.vertices, np.array([[0, 1, 7]]))
    with pytest.raises(InvalidMesh, match=r"faces has shape \(1, 4\)"):
        TriMesh(SQUARE.vertices, np.array([[0, 1, 2, 3]]))
    with pytest.raises(InvalidMesh, match="non-finite"):
        TriMesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    with pytest.raises(InvalidMesh, match="positive kg/m³"):
        TriMesh(SQUARE.vertices, SQUARE.faces, density=0.0)


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_every_format_is_read_back_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    mesh = box(0.04, 0.06, 0.1).transformed(transforms.translation([0.01, 0.02, 0.03]))
    save_mesh(mesh, tmp_path / f"thing{suffix}")
    back = load_mesh(tmp_path / f"thing{suffix}")
    assert back.name == "thing"
    assert back.is_watertight  # STL's corners are merged again
    assert len(back.faces) == 12
    assert np.isclose(back.volume, mesh.volume, rtol=1e-6)
    assert np.allclose(back.bounds, mesh.bounds, atol=1e-7)  # axes and origin are the file's
    assert np.allclose(back.center_of_mass, mesh.center_of_mass, atol=1e-7)


def test_upper_case_suffixes_and_scenes_of_several_bodies_are_read(tmp_path: Path) -> None:
    scene = trimesh.Scene(
        [trimesh.creation.box((0.02, 0.02, 0.02)), trimesh.creation.icosphere(radius=0.01)]
    )
    scene.export(tmp_path / "two.glb")
    assert len(load_mesh(tmp_path / "two.glb").faces) == 12 + 1280
    save_mesh(box(), tmp_path / "box.stl")
    (tmp_path / "box.stl").rename(tmp_path / "BOX.STL")
    assert len(load_mesh(tmp_path / "BOX.STL").vertices) == 8


def test_textured_seams_are_welded(tmp_path: Path) -> None:
    lines = ["v 0 0 0", "v 0.04 0 0", "v 0 0.04 0", "v 0 0 0.04"]
    lines += ["vt 0 0", "vt 1 0", "vt 0 1", "vt 1 1"]
    lines += ["f 1/1 3/2 2/3", "f 1/4 2/1 4/2", "f 1/2 4/3 3/1", "f 2/2 3/4 4/1"]
    (tmp_path / "tetra.obj").write_text("\n".join(lines))
    mesh = load_mesh(tmp_path / "tetra.obj")
    assert len(mesh.vertices) == 4
    assert mesh.is_watertight
    assert np.isclose(mesh.volume, 0.04**3 / 6)


def test_a_mesh_in_millimetres_is_told_how_to_say_so(tmp_path: Path) -> None:
    save_mesh(box(40.0, 60.0, 100.0), tmp_path / "mm.stl")
    with pytest.raises(InvalidMesh, match=r"extents 100 m: .* Give --mesh-unit mm.*objects import"):
        load_mesh(tmp_path / "mm.stl")
    assert np.allclose(load_mesh(tmp_path / "mm.stl", unit=1e-3).extents, [0.04, 0.06, 0.1])
    with pytest.raises(InvalidMesh, match=r"expected at least 0\.1 mm; is its unit right"):
        load_mesh(tmp_path / "mm.stl", unit=1e-7)
    with pytest.raises(InvalidConfig, match=r"mesh unit -0\.001: expected metres per unit"):
        load_mesh(tmp_path / "mm.stl", unit=-1e-3)


def test_files_that_are_no_mesh_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownAsset, match=r"no mesh .*gone\.stl: check the path"):
        load_mesh(tmp_path / "gone.stl")
    files = {
        "points.ply": "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
        "property float z\nend_header\n0 0 0\n",
        "empty.obj": "",
        "empty.stl": "",
        "noise.glb": "this is no mesh",
        "cut.off": "OFF\n3 1 0\n0 0 0\n",
        "part.step": "ISO-10303-21;",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InvalidMesh, match=name) as caught:
            load_mesh(tmp_path / name)
        assert "expected" in str(caught.value) or "not a readable mesh" in str(caught.value)


def test_a_sound_mesh_needs_no_repair() -> None:
    assert repair(box()).actions == []


DAMAGED = {
    "hole": (lambda m: TriMesh(m.vertices, m.faces[:-1]), "closed holes, faces: 11 → 12"),
    "square hole": (lambda m: TriMesh(m.vertices, m.faces[:-2]), "closed holes, faces: 10 → 12"),
    "inside out": (lambda m: TriMesh(m.vertices, m.faces[:, ::-1]), "turned the faces outward"),
    "one face flipped": (
        lambda m: TriMesh(m.vertices, np.concatenate([m.faces[:-1], m.faces[-1:, ::-1]])),
        "made the winding consistent",
    ),
    "duplicate faces": (
        lambda m: TriMesh(m.vertices, np.concatenate([m.faces, m.faces[:3]])),
        "dropped degenerate and duplicate faces: 15 → 12",
    ),
    "degenerate faces": (
        lambda m: TriMesh(m.vertices, np.concatenate([m.faces, [[0, 0, 1], [2, 2, 2]]])),
        "dropped degenerate and duplicate faces: 14 → 12",
    ),
    "unwelded": (
        lambda m: TriMesh(m.triangles.reshape(-1, 3), np.arange(36).reshape(-1, 3)),
        "merged and dropped vertices: 36 → 8",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_repair_restores_the_box_and_says_what_it_did(damage: str) -> None:
    break_it, action = DAMAGED[damage]
    broken = break_it(box(0.04, 0.06, 0.1))
    repaired, actions = repair(broken)
    assert actions == [action]
    assert repaired.is_watertight
    assert np.isclose(repaired.volume, 0.04 * 0.06 * 0.1)


def test_a_large_hole_in_a_sphere_is_closed_by_its_chord_plane() -> None:
    whole = sphere(0.02, 4)
    height = whole.triangles.mean(1)[:, 2]
    opened = TriMesh(whole.vertices, whole.faces[height < 0.015])
    repaired, actions = repair(opened)
    assert any(a.startswith("closed holes") for a in actions)
    assert repaired.is_watertight
    cap = np.pi * 0.005**2 * (3 * 0.02 - 0.005) / 3
    assert abs(whole.volume - repaired.volume - cap) < 0.1 * cap


def test_repair_of_nothing_is_an_error_and_of_a_sheet_says_it_stays_open() -> None:
    with pytest.raises(InvalidMesh, match="every face is degenerate"):
        repair(TriMesh(np.zeros((3, 3)), np.array([[0, 1, 2]])))
    assert any("still not watertight" in action for action in repair(SQUARE).actions)


def test_the_open_meshes_of_the_catalogue_load_and_are_closed_or_said_to_stay_open(
    shared: Path,
) -> None:
    with (shared / "data/catalogue.csv").open(newline="") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["watertight"] == "0"]
    assert len(files) == 9
    for file in files:
        mesh = load_mesh(shared / "data" / file)
        assert not mesh.is_watertight
        repaired, actions = repair(mesh)
        assert repaired.is_watertight != any("still not watertight" in a for a in actions)
        assert abs(repaired.volume / mesh.volume - 1) < 0.02


def test_rescaling_brings_the_smallest_side_to_its_length_and_refuses_a_flat_mesh() -> None:
    assert rescale(box(0.1, 0.02, 0.05)).extents == pytest.approx([0.2, 0.04, 0.1])
    assert rescale(box(0.1, 0.02, 0.05), 0.03).extents == pytest.approx([0.15, 0.03, 0.075])
    with pytest.raises(InvalidMesh, match="is flat"):
        rescale(SQUARE)


def test_a_body_that_is_inside_out_is_turned_and_a_hollow_stays_one() -> None:
    body = box(0.06, 0.04, 0.04)
    apart = transforms.translation([0.06, 0.0, 0.0])
    handle = box(0.03, 0.02, 0.02).transformed(apart)
    inverted = TriMesh(handle.vertices, handle.faces[:, ::-1], "handle")
    good = joined([body, handle], "good")
    for parts in ((body, inverted), (inverted, body)):
        mended = repair(joined(parts, "inverted"))
        assert mended.mesh.volume == pytest.approx(good.volume)
        assert mended.mesh.center_of_mass == pytest.approx(good.center_of_mass)
        assert "turned the faces of 1 of its bodies outward" in mended.actions
    assert repair(good).actions == []
    hole = box(0.02, 0.02, 0.02)
    hollow = joined([body, TriMesh(hole.vertices, hole.faces[:, ::-1])], "hollow")
    kept = repair(hollow)
    assert kept.actions == []
    assert kept.mesh.volume == pytest.approx(body.volume - hole.volume)


def at(mesh: TriMesh, x: float, y: float = 0.0, z: float = 0.0) -> TriMesh:
    return mesh.transformed(transforms.translation([x, y, z]))


def test_an_overlap_is_measured_and_what_touches_or_is_hollow_has_none() -> None:
    """Closed forms: two boxes, a ball within a box, three bars that count thrice where they cross."""
    bars = joined([box(0.1, 0.03, 0.03), box(0.03, 0.1, 0.03), box(0.03, 0.03, 0.1)], "bars")
    ball = sphere(0.02, 4)
    cases = [
        (joined([box(0.04, 0.06, 0.1), at(box(0.04, 0.06, 0.1), 0.03, 0.01)], "two"), 5e-5),
        (joined([box(0.06, 0.06, 0.06), ball], "ball"), ball.volume),
        (bars, 2 * 0.03**3),
    ]
    for mesh, expected in cases:
        for _ in range(3):  # along any axis
            mesh = TriMesh(mesh.vertices[:, [1, 2, 0]], mesh.faces, mesh.name)
            assert np.isclose(overlap(mesh), expected, rtol=1 / 6)  # one line in six
            said = f"overlap: about {1e6 * overlap(mesh):.3g} cm³ count twice"
            assert any(said in action for action in repair(mesh).actions)
    hollow = joined([box(0.06, 0.06, 0.06), TriMesh(ball.vertices, ball.faces[:, ::-1])], "hollow")
    stacked = joined([at(box(0.02, 0.03, 0.04), 0.02 * k) for k in range(3)], "stacked")
    R = transforms.rot_x(0.3) @ transforms.rot_y(0.5)
    for mesh in (hollow, stacked, stacked.transformed(R), ball, at(box(), 1000.0)):
        assert mesh.is_watertight and overlap(mesh) < 1e-6 * mesh.volume
        assert repair(mesh).actions == []
