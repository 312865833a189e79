"""Procedural objects and object sets: closed, of one piece, graspable, the same for the same seed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from antipodal.errors import InvalidConfig, InvalidMesh, UnknownAsset
from antipodal.mesh import load_mesh, save_mesh
from antipodal.objects import (
    FAMILIES,
    import_meshes,
    load_object_set,
    make_object,
    make_object_set,
    make_objects,
    solids,
)
from antipodal.objects.families import (
    MAX_FACES,
    SIZE,
    count_bodies,
    fault,
    graspable_share,
    make_one,
)
from antipodal.stable_pose import stable_poses
from conftest import box, sphere, to_trimesh_value

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def samples():
    """Three objects of each family."""
    return {
        name: [make_object(name, np.random.default_rng(seed)) for seed in SEEDS]
        for name in FAMILIES
    }


def test_there_are_at_least_fifteen_families():
    assert len(FAMILIES) >= 15


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_object_is_closed_of_one_piece_and_of_hand_size(samples, name):
    for mesh in samples[name]:
        assert mesh.is_watertight and mesh.volume > 0
        assert count_bodies(mesh) == 1
        assert SIZE[0] <= mesh.extents.max() <= SIZE[1]
        assert len(mesh.faces) <= MAX_FACES
        # trimesh's own opinion, from its own edges
        other = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert other.is_volume and other.volume == pytest.approx(mesh.volume)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_object_can_stand_and_its_poses_are_likely_to_cover_its_drops(samples, name):
    for mesh in samples[name]:
        poses = stable_poses(mesh)
        assert 0.5 < sum(pose.probability for pose in poses) < 1 + 1e-9


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_objects_of_a_family_differ(samples, name):
    volumes = [mesh.volume for mesh in samples[name]]
    assert len({round(v * 1e9, 3) for v in volumes}) == len(SEEDS)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_objects_stay_closed_through_a_file(samples, name, tmp_path):
    mesh = samples[name][0]
    save_mesh(mesh, tmp_path / "object.ply")
    loaded = load_mesh(tmp_path / "object.ply")
    assert loaded.is_watertight
    assert loaded.volume == pytest.approx(mesh.volume, rel=1e-4)


def test_object_i_depends_on_seed_and_i_alone():
    families = ["bracket", "gear", "convex_hull"]
    long, short = make_objects(7, 11, families), make_objects(4, 11, families)
    for a, b in zip(short, long, strict=False):
        assert a.content_hash == b.content_hash and a.name == b.name
    assert make_one(5, 11, families).content_hash == long[5].content_hash
    assert make_objects(1, 12, families)[0].content_hash != long[0].content_hash


def test_families_take_turns_and_names_say_family_and_index():
    meshes = make_objects(6, 0, ["plate", "spool"])
    assert [m.name for m in meshes] == [
        f"{f}_{i:04d}" for i, f in enumerate(["plate", "spool"] * 3)
    ]


def test_an_unknown_family_is_refused_with_the_known_ones(rng):
    with pytest.raises(UnknownAsset, match=r"'teapot'.*expected one of blob, .*wrench"):
        make_object("teapot", rng)


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (box(0.3, 0.02, 0.02), "longest side 0.300 m"),
        (box(0.01, 0.01, 0.01), "longest side 0.010 m"),
        (box(0.08, 0.08, 0.08), "only 0% of the surface"),
        (sphere(0.02, 5), "20480 faces"),
        (replace(box(), faces=box().faces[:-1]), "not a closed"),
        (replace(box(), faces=box().faces[:, ::-1]), "not a closed outward"),
    ],
)
def test_faults_are_named(rng, mesh, words):
    assert words in fault(mesh, rng)


def test_two_pieces_are_counted(rng):
    a = trimesh.creation.box((0.02, 0.02, 0.02))
    b = a.copy().apply_translation([0.05, 0, 0])
    two = to_trimesh_value(trimesh.util.concatenate([a, b]))
    assert count_bodies(two) == 2 and fault(two, rng) == "2 pieces"


def test_the_graspable_share_of_a_slab_is_the_share_of_its_faces_that_are_near(rng):
    slab = box(0.08, 0.06, 0.02)
    near = 2 * 0.08 * 0.06
    expected = near / (near + 2 * 0.02 * (0.08 + 0.06))
    share = graspable_share(slab, rng, n_samples=4000)
    assert share == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(4000))


def test_turned_solids_have_the_volume_of_their_prism():
    n, r, h = 36, 0.02, 0.05
    prism = n / 2 * np.sin(2 * np.pi / n) * r**2 * h
    solid = solids.turned(np.array([r, r]), np.array([0, h]))
    assert solids.to_mesh(solid).volume == pytest.approx(prism, rel=1e-6)


def test_a_swept_circle_has_pappus_volume():
    phi = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    path = 0.03 * np.stack([np.cos(phi), np.sin(phi), 0 * phi], -1)
    mesh = solids.to_mesh(solids.sweep(path, 0.008, 64, closed=True))
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 0.03 * 0.008**2, rel=0.005)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).euler_number == 0


def test_a_straight_sweep_is_a_prism_with_caps_outward():
    path = np.array([[0.0, 0, 0], [0.01, 0.02, 0.03]])
    mesh = solids.to_mesh(solids.sweep(path, 0.005, 16))
    area = 8 * np.sin(np.pi / 8) * 0.005**2
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(area * np.linalg.norm(path[1]), rel=1e-6)


def test_a_set_reads_back_what_was_made(tmp_path):
    calls = []
    made = make_object_set(tmp_path / "set", 5, 3, progress=lambda i, n: calls.append((i, n)))
    read = load_object_set(tmp_path / "set")
    assert calls[-1] == (5, 5)
    assert read.records == made.records and len(read) == 5
    assert read.source["seed"] == 3 and read.check() == []
    for mesh, original in zip(read, make_objects(5, 3), strict=True):
        assert mesh.name == original.name and mesh.is_watertight
        assert mesh.volume == pytest.approx(original.volume, rel=1e-4)
    assert read.mesh(read.names[2]).name == read[2].name
    assert read.records[0].source == f"family:{sorted(FAMILIES)[0]}"


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    a = make_object_set(tmp_path / "a", 4, 9, ["plate", "bracket"])
    b = make_object_set(tmp_path / "b", 4, 9, ["plate", "bracket"])
    assert [r.sha256 for r in a.records] == [r.sha256 for r in b.records]
    assert (tmp_path / "a/objects.json").read_bytes() == (tmp_path / "b/objects.json").read_bytes()


def test_making_a_set_again_replaces_it_and_spares_other_meshes(tmp_path):
    make_object_set(tmp_path, 3, 0, ["plate"])
    again = make_object_set(tmp_path, 2, 1, ["bracket"])
    assert sorted(p.name for p in tmp_path.glob("*.ply")) == sorted(r.file for r in again.records)
    (tmp_path / "mine.ply").write_bytes(b"")
    with pytest.raises(InvalidConfig, match="already holds meshes"):
        make_object_set(tmp_path, 2, 1)
    assert (tmp_path / "mine.ply").exists()


def test_a_changed_or_missing_file_is_found(tmp_path):
    made = make_object_set(tmp_path, 3, 0, ["plate"])
    (tmp_path / made.records[0].file).unlink()
    save_mesh(box(), tmp_path / made.records[1].file)
    faults = load_object_set(tmp_path).check()
    assert len(faults) == 2 and "missing" in faults[0] and "hash differs" in faults[1]


def test_import_repairs_renames_and_refuses_by_name(tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    save_mesh(box(), source / "good.stl")
    save_mesh(box(0.03, 0.03, 0.03), source / "good.obj")
    save_mesh(sphere(), source / "sub" / "ball.ply")
    holed = sphere(0.02, 2)
    save_mesh(replace(holed, faces=holed.faces[1:]), source / "holed.ply")
    save_mesh(box().scaled(1000), source / "millimetres.ply")
    save_mesh(box().scaled(50), source / "two_metres.ply")
    save_mesh(replace(box(), faces=box().faces[:6]), source / "open.ply")
    (source / "broken.ply").write_text("not a mesh")
    (source / "readme.txt").write_text("not asked")
    objects = import_meshes(source, tmp_path / "set", licence="CC0")
    assert sorted(objects.names) == ["good", "good_stl", "holed", "sub_ball"]
    assert set(objects.refused) == {"millimetres.ply", "two_metres.ply", "open.ply", "broken.ply"}
    assert "mm" in objects.refused["two_metres.ply"] or "cm" in objects.refused["two_metres.ply"]
    assert "millimetres" in objects.refused["millimetres.ply"]
    read = load_object_set(tmp_path / "set")
    assert read.refused == objects.refused and read.check() == []
    assert all(mesh.is_watertight and mesh.volume > 0 for mesh in read)
    by_name = {r.name: r for r in read.records}
    assert any("closed holes" in words for words in by_name["holed"].repairs)
    assert by_name["sub_ball"].source == "sub/ball.ply" and by_name["good"].licence == "CC0"


def test_import_scales_units_and_applies_dex_nets_rule(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    save_mesh(box(0.03, 0.05, 0.08).scaled(1000), source / "part.stl")
    millimetres = import_meshes(source, tmp_path / "mm", unit="mm")
    np.testing.assert_allclose(millimetres[0].extents, [0.03, 0.05, 0.08], rtol=1e-5)
    assert millimetres.records[0].unit == 0.001
    rescaled = import_meshes(source, tmp_path / "rescaled", unit=0.001, rescale_to=0.04)
    np.testing.assert_allclose(rescaled[0].extents, np.array([3, 5, 8]) * 0.04 / 3, rtol=1e-5)
    with pytest.raises(InvalidMesh, match=r"none of 1 meshes can be used: .*millimetres"):
        import_meshes(source, tmp_path / "metres")
    with pytest.raises(InvalidConfig, match="expected m, mm, cm, inch"):
        import_meshes(source, tmp_path / "feet", unit="feet")


def test_import_never_writes_into_its_source(tmp_path):
    make_object_set(tmp_path, 2, 0, ["plate"])
    before = sorted(p.name for p in tmp_path.iterdir())
    for inside in (tmp_path, tmp_path / "sub" / "set"):
        with pytest.raises(InvalidConfig, match="outside"):
            import_meshes(tmp_path, inside)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_index_that_points_outside_its_folder_is_refused(tmp_path):
    make_object_set(tmp_path / "set", 1, 0, ["plate"])
    (tmp_path / "precious.ply").write_bytes(b"mine")
    index = tmp_path / "set" / "objects.json"
    content = json.loads(index.read_text())
    content["objects"][0]["file"] = "../precious.ply"
    index.write_text(json.dumps(content))
    with pytest.raises(InvalidConfig, match="inside the set's folder"):
        make_object_set(tmp_path / "set", 1, 1)
    assert (tmp_path / "precious.ply").read_bytes() == b"mine"


def test_a_plain_folder_of_meshes_is_a_set(tmp_path):
    for name in ("b", "a"):
        save_mesh(box(), tmp_path / f"{name}.stl")
    objects = load_object_set(tmp_path)
    assert objects.names == ["a", "b"] and objects[0].name == "a"
    with pytest.raises(UnknownAsset, match="expected one of a, b"):
        objects.mesh("c")


def test_what_is_no_set_is_refused_in_words(tmp_path):
    with pytest.raises(UnknownAsset, match="no folder"):
        load_object_set(tmp_path / "absent")
    with pytest.raises(UnknownAsset, match=r"neither objects\.json nor a mesh"):
        load_object_set(tmp_path)
    (tmp_path / "objects.json").write_text("{")
    with pytest.raises(InvalidConfig, match="not readable as JSON"):
        load_object_set(tmp_path)
    (tmp_path / "objects.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(InvalidConfig, match="schema 99: expected 1"):
        load_object_set(tmp_path)
    with pytest.raises(InvalidConfig, match="0 objects"):
        make_object_set(tmp_path / "none", 0, 0)
    with pytest.raises(UnknownAsset, match="unknown object family 'teapot'"):
        make_object_set(tmp_path / "none", 2, 0, ["plate", "teapot"])
    assert not (tmp_path / "none").exists()


def test_real_scans_import(shared, tmp_path):
    source = shared / "data" / "meshes" / "bench" / "hope"
    objects = import_meshes(source, tmp_path)
    assert len(objects) + len(objects.refused) == len(list(source.glob("*.ply")))
    assert len(objects) >= 8
    assert Counter(mesh.is_watertight for mesh in objects) == {True: len(objects)}
