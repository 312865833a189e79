"""Procedural objects and object sets: closed, of one piece, graspable, the same for the same seed."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.bench.objects import list_objects
from antipodal.cli import run
from antipodal.errors import InvalidConfig, InvalidMesh, UnknownAsset
from antipodal.gripper import load_gripper
from antipodal.mesh import load_mesh, save_mesh
from antipodal.objects import (
    FAMILIES,
    import_meshes,
    load_object_set,
    make_object,
    make_object_set,
    make_objects,
    object_set,
    solids,
)
from antipodal.objects.describe import complexity, describe
from antipodal.objects.families import (
    MAX_FACES,
    N_RAYS,
    SIZE,
    count_bodies,
    fault,
    graspable_share,
    make_one,
)
from antipodal.objects.units import guess_unit, read_unit
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
    share = np.mean([graspable_share(slab, rng) for _ in range(4000 // N_RAYS)])
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
    assert read[2].name == read.names[2]
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


def test_a_half_made_set_is_no_set_and_the_same_command_makes_it_whole(tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def die(number, *more):
        if number == 2:
            raise Killed
        return made(number, *more)

    made = object_set.make_one
    monkeypatch.setattr(object_set, "make_one", die)
    with pytest.raises(Killed):
        make_object_set(tmp_path / "cut", 4, 9, ["plate", "bracket"])
    assert len(list((tmp_path / "cut").glob("*.ply"))) == 2
    for read in (load_object_set, list_objects):
        with pytest.raises(UnknownAsset, match="is unfinished: run the same"):
            read(tmp_path / "cut")
    monkeypatch.undo()
    for name in ("cut", "whole"):
        make_object_set(tmp_path / name, 4, 9, ["plate", "bracket"])
    cut, whole = (sorted((tmp_path / name).iterdir()) for name in ("cut", "whole"))
    assert [p.name for p in cut] == [p.name for p in whole]
    assert load_object_set(tmp_path / "cut").records == load_object_set(tmp_path / "whole").records


def test_a_second_start_on_a_folder_is_refused_and_the_first_is_unharmed(tmp_path):
    source, target = tmp_path / "source", tmp_path / "set"
    source.mkdir()
    for k in range(3):
        save_mesh(box(0.03, 0.04, 0.05 + 0.01 * k), source / f"{k}.stl")
    makers = (
        partial(make_object_set, target, 3, 0, ["plate"]),
        partial(import_meshes, source, target, "m"),
    )
    refusals = []

    def start_others(done, total):
        for other in makers:
            with pytest.raises(InvalidConfig, match="another process is writing") as caught:
                other()
            refusals.append(caught.value)

    for make in makers:
        made = make(progress=start_others)
        assert len(made) == 3 and load_object_set(target).check() == []
    assert len(refusals) == 2 * 3 * 2


def test_no_data_are_made_of_a_file_that_is_not_what_its_set_recorded(tmp_path, capsys):
    made = make_object_set(tmp_path / "set", 2, 0, ["plate"])
    save_mesh(box(), tmp_path / "set" / made.records[1].file)
    command = ["generate", str(tmp_path / "set"), "-o", str(tmp_path / "data")]
    assert run([*command, "--n-datapoints", "40"]) == 2
    assert f"{made.records[1].file} was changed since the set was made" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


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
    assert re.match(r"not closed.*: [1-9]\d* of its edges", objects.refused["open.ply"])
    read = load_object_set(tmp_path / "set")
    assert read.refused == objects.refused and read.check() == []
    assert all(mesh.is_watertight and mesh.volume > 0 for mesh in read)
    by_name = {r.name: r for r in read.records}
    assert any("closed holes" in words for words in by_name["holed"].repairs)
    assert by_name["sub_ball"].source == "sub/ball.ply" and by_name["good"].licence == "CC0"


def test_import_scales_units(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    save_mesh(box(0.03, 0.05, 0.08).scaled(1000), source / "part.stl")
    for k, unit in enumerate(("mm", "0.001", 0.001, None)):
        millimetres = import_meshes(source, tmp_path / f"mm{k}", unit=unit)
        np.testing.assert_allclose(millimetres[0].extents, [0.03, 0.05, 0.08], rtol=1e-5)
        assert millimetres.records[0].unit == millimetres.source["unit"] == 0.001
    assert millimetres.source["unit_reason"].startswith("mm, guessed: ")
    assert millimetres.source["unit_reason"].endswith("the median 80, that is 8 cm")
    with pytest.raises(InvalidMesh, match=r"none of 1 meshes can be used: part.stl: .*millimetres"):
        import_meshes(source, tmp_path / "metres", unit="m")
    for wrong in ("feet", "-1", "nan", 0.0):
        with pytest.raises(InvalidConfig, match="expected m, mm, cm, inch"):
            import_meshes(source, tmp_path / "wrong", unit=wrong)


@pytest.mark.parametrize("name", ["m", "mm", "cm"])
def test_the_unit_of_things_of_hand_size_is_guessed_and_one_odd_file_does_not_sway_it(
    tmp_path, name
):
    factor = read_unit(name).factor
    sizes = (0.04, 0.06, 0.09, 0.12)
    files = [tmp_path / f"{k}.ply" for k in range(5)]
    for path, size in zip(files, sizes, strict=False):
        save_mesh(box(0.02, 0.03, size).scaled(1 / factor), path)
    save_mesh(box(0.02, 0.03, 0.1).scaled(1000 / factor), files[4])
    guess = guess_unit(files)
    assert guess.factor == factor and guess.reason.startswith(f"{name}, guessed")


def test_glb_is_in_metres_whatever_lies_beside_it_unless_told_otherwise(tmp_path):
    source, metres = tmp_path / "source", box(0.03, 0.05, 0.08)
    source.mkdir()
    save_mesh(metres, source / "says.glb")
    save_mesh(metres.scaled(1000), source / "part.stl")
    save_mesh(metres.scaled(25), source / "table.glb")  # 2 m, which would fit in cm
    objects = import_meshes(source, tmp_path / "set")
    assert [(r.name, r.unit) for r in objects.records] == [("part", 0.001), ("says", 1.0)]
    for mesh in objects:
        np.testing.assert_allclose(mesh.extents, [0.03, 0.05, 0.08], rtol=1e-5)
    assert "longest side 2 m" in objects.refused["table.glb"]
    assert "mm, guessed" in objects.source["unit_reason"]
    assert "m for GLB" in objects.source["unit_reason"]
    save_mesh(metres.scaled(1000), source / "table.glb")
    (source / "part.stl").unlink()
    (source / "says.glb").unlink()
    with pytest.raises(InvalidMesh, match="Give --mesh-unit mm"):
        import_meshes(source, tmp_path / "other")
    told = import_meshes(source, tmp_path / "told", "mm")
    np.testing.assert_allclose(told[0].extents, [0.03, 0.05, 0.08], rtol=1e-5)


def test_an_object_far_from_its_origin_comes_in_as_it_is_or_not_at_all(tmp_path):
    sides = [0.04, 0.06, 0.1]
    for k, far in enumerate((100.0, 1e4, 1e5, 1e7)):  # float32 tells 8 µm, 1 mm, 8 mm, 1 m apart
        source = tmp_path / f"source{k}"
        source.mkdir()
        save_mesh(box(*sides).transformed(transforms.translation([far] * 3)), source / "box.obj")
        if k == 0:
            made = import_meshes(source, tmp_path / "set", "m")
            np.testing.assert_allclose(made[0].extents, sides, atol=1e-5)
        else:
            with pytest.raises(InvalidMesh, match=r"m from its origin, .* rounds .* move it"):
                import_meshes(source, tmp_path / f"set{k}", "m")
            assert not list((tmp_path / f"set{k}").glob("*.ply"))


def test_a_folder_is_listed_though_some_of_its_meshes_are_of_no_use(tmp_path, capsys):
    save_mesh(box(0.03, 0.05, 0.08), tmp_path / "part.stl")
    (tmp_path / "broken.ply").write_text("not a mesh")
    trimesh.Trimesh(np.eye(3), [[0, 1, 2]]).export(tmp_path / "flat.stl")
    assert run(["objects", "info", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [o["name"] for o in said["objects"]] == ["part"]
    assert sorted(said["refused"]) == ["broken.ply", "flat.stl"]
    (tmp_path / "part.stl").unlink()
    assert run(["objects", "info", str(tmp_path)]) == 1


def test_the_command_shows_its_guess_and_each_refusal(tmp_path, capsys):
    source, target = tmp_path / "source", str(tmp_path / "set")
    source.mkdir()
    save_mesh(box(0.03, 0.05, 0.08).scaled(1000), source / "part.stl")
    save_mesh(box(0.03, 0.05, 3).scaled(1000), source / "beam.stl")
    (source / "broken.ply").write_text("not a mesh")
    assert run(["objects", "import", str(source), "-o", target, "--licence", "CC0"]) == 0
    shown = capsys.readouterr().out
    assert "unit: mm, guessed" in shown and "--mesh-unit overrides" in shown
    assert "refused beam.stl: longest side 3 m" in shown and "refused broken.ply" in shown
    assert load_object_set(target).records[0].licence == "CC0"
    assert run(["objects", "info", target, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["content_hash"] == load_object_set(target).content_hash
    assert described["objects"][0]["difficulty"] > 0.002
    assert run(["objects", "import", str(source), "-o", target, "--mesh-unit", "feet"]) == 2
    assert "'feet': expected m, mm, cm, inch" in capsys.readouterr().err
    before = load_object_set(target).content_hash
    assert run(["objects", "import", str(source), "-o", target, "--mesh-unit", "m"]) == 2
    assert "none of 3 meshes can be used" in capsys.readouterr().err
    assert load_object_set(target).content_hash == before  # nothing was lost
    assert run(["objects", "make", "-o", target, "-n", "3", "--families", "burr", "carton"]) == 0
    assert load_object_set(target).names == ["burr_0000", "carton_0001", "burr_0002"]


def test_sizes_that_fit_no_unit_stay_metres_and_say_so(tmp_path):
    save_mesh(box().scaled(1e6), tmp_path / "hill.ply")
    guess = guess_unit([tmp_path / "hill.ply"])
    assert guess.factor == 1.0 and "no" in guess.reason
    (tmp_path / "broken.ply").write_text("not a mesh")
    assert guess_unit([tmp_path / "broken.ply"]).factor == 1.0


def test_a_surface_closed_by_a_sliver_without_area_comes_in_closed(tmp_path):
    whole = box(0.03, 0.04, 0.05)
    a, b, c = whole.faces[0]
    middle, m = (whole.vertices[a] + whole.vertices[b]) / 2, len(whole.vertices)
    # face 0 is halved at the middle of an edge, its neighbour is not: the triangle (a, b, m) has no area
    faces = np.vstack([whole.faces[1:], [[a, m, c], [m, b, c], [a, b, m]]])
    source = tmp_path / "source"
    source.mkdir()
    save_mesh(
        replace(whole, vertices=np.vstack([whole.vertices, middle]), faces=faces), source / "t.ply"
    )
    objects = import_meshes(source, tmp_path / "set")
    assert objects[0].is_watertight
    assert objects[0].volume == pytest.approx(0.03 * 0.04 * 0.05, rel=1e-5)


def test_files_that_differ_in_folder_or_suffix_alone_keep_apart(tmp_path):
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    for k, file in enumerate(("a/b.ply", "a/b.stl", "a_b.ply", "a_b_ply.ply")):
        save_mesh(box(0.03, 0.03, 0.03 + 0.01 * k), source / file)
    objects = import_meshes(source, tmp_path / "set")
    assert len(set(objects.names)) == 4 and objects.check() == []
    meshes = zip(objects.records, objects, strict=True)
    heights = {record.source: mesh.extents[2] for record, mesh in meshes}
    assert heights["a_b_ply.ply"] == pytest.approx(0.06) and heights["a/b.ply"] == pytest.approx(
        0.03
    )


def test_the_hash_of_a_set_names_its_objects_and_nothing_else(tmp_path):
    made = make_object_set(tmp_path / "a", 3, 0, ["plate"])
    index = tmp_path / "a" / "objects.json"
    content = json.loads(index.read_text())
    assert content["content_hash"] == made.content_hash
    assert load_object_set(tmp_path / "a").content_hash == made.content_hash
    content["objects"][0]["licence"] = "CC0"
    index.write_text(json.dumps(content))
    assert load_object_set(tmp_path / "a").check() == []
    del content["objects"][1]
    index.write_text(json.dumps(content))
    fewer = load_object_set(tmp_path / "a")
    assert fewer.content_hash != made.content_hash
    assert len(fewer.check()) == 1 and "objects.json was changed" in fewer.check()[0]
    # without its index, the folder is the same files under the same names
    index.unlink()
    assert load_object_set(tmp_path / "a").content_hash == made.content_hash


def subdivided(mesh):
    """Each face in four."""
    work = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).subdivide().subdivide()
    return to_trimesh_value(work)


def test_the_complexity_of_a_cube_is_the_entropy_of_its_flat_and_its_square_pairs():
    # unordered pairs closer than r on a cube of side a = 1, corners (order r⁴) left out
    r = 0.1 * np.sqrt(6)
    across = 12 * np.pi * r**3 / 3
    flat = (6 * np.pi * r**2 - 12 * 4 / 3 * r**3) / 2
    p = np.array([flat, across]) / (flat + across)
    expected = -(p * np.log2(p)).sum()
    measured = complexity(box(0.05, 0.05, 0.05), np.random.default_rng(0))
    assert measured == pytest.approx(expected, abs=0.06)


def test_complexity_depends_neither_on_frame_nor_scale_nor_triangles(rng):
    mesh = make_object("bracket", rng)
    value = complexity(mesh, np.random.default_rng(0))
    R, t = transforms.random_rotations(1, rng)[0], np.array([0.1, -0.2, 0.3])
    moved = mesh.transformed(transforms.from_rt(R, t)).scaled(3.0)
    assert complexity(moved, np.random.default_rng(0)) == pytest.approx(value, abs=1e-6)
    assert complexity(subdivided(mesh), np.random.default_rng(1)) == pytest.approx(value, abs=0.15)


def test_gears_and_burrs_are_more_complex_than_boxes_and_spheres(samples):
    simple = [complexity(mesh, np.random.default_rng(0)) for mesh in (box(), sphere(0.02, 4))]
    for name in ("gear", "burr"):
        assert min(complexity(m, np.random.default_rng(0)) for m in samples[name]) > max(simple) + 1


def test_what_the_hand_cannot_hold_is_hardest_and_a_carton_is_easier_than_a_burr(samples):
    hand = load_gripper("yumi")
    assert describe(box(0.08, 0.08, 0.08), hand)["difficulty"] == 0.0
    easy = [describe(mesh, hand)["difficulty"] for mesh in samples["carton"]]
    hard = [describe(mesh, hand)["difficulty"] for mesh in samples["burr"]]
    assert min(easy) > 1.5 * max(hard)


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
    assert objects.source["unit"] == 1.0 and not objects.refused
    assert Counter(mesh.is_watertight for mesh in objects) == {True: len(objects)}


@pytest.mark.parametrize(
    "listed", ["[1]", '[{"name": "a", "file": 5, "sha256": "", "source": "x"}]', "[[]]"]
)
def test_a_damaged_list_of_objects_is_refused(listed, tmp_path):
    (tmp_path / "objects.json").write_text(f'{{"schema": 1, "objects": {listed}}}')
    with pytest.raises(InvalidConfig, match="expected"):
        load_object_set(tmp_path)
