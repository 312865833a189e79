"""The generator: deterministic bytes, resuming, and facts that agree with the geometry they were taken from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.alignment import MAX_APPROACH_TABLE_ANGLE
from antipodal.camera import CameraIntrinsics
from antipodal.collision import approach_is_free, lowest_corner
from antipodal.contact import ContactModel, find_contacts
from antipodal.crop import crop_grasps
from antipodal.dataset.events import Advance, Event
from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.model import BUILTIN, MAX_POSES, PAPER, GenerativeModel
from antipodal.dataset.rows import (
    JITTER_CLEARANCE,
    JITTER_SHARES,
    choose_poses,
    flat_grasps,
    label_grasps,
    near_misses,
    object_rows,
    pose_grasps,
)
from antipodal.dataset.store import Dataset
from antipodal.dataset.summary import summary
from antipodal.errors import CorruptDataset, InvalidConfig, InvalidMesh
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.metrics import ferrari_canny, force_closure
from antipodal.render.depth import render_depth
from antipodal.render.scene import Scene
from antipodal.robust import Perturbation, robust_epsilon
from antipodal.sampling import sample_antipodal
from antipodal.stable_pose import StablePose, stable_poses
from conftest import box, cylinder, to_trimesh_value

SMALL: GenerativeModel = dataclasses.replace(
    PAPER,
    n_grasps=12,
    n_jittered=4,
    images_per_pose=2,
    rescale_to=None,
    perturbation=Perturbation(n_samples=4),
)
YUMI = load_gripper("yumi")


def objects() -> list[TriMesh]:
    """Ten objects, so that there are two shards; one of them no jaw can span."""
    shapes = [
        dataclasses.replace(box(0.03, 0.02 + 0.002 * i, 0.05), name=f"box{i}") for i in range(8)
    ]
    return [
        *shapes,
        cylinder(0.015, 0.06, 24),
        dataclasses.replace(box(0.2, 0.2, 0.2), name="wall"),
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """One small data set, made once."""
    return generate(objects(), YUMI, tmp_path_factory.mktemp("data") / "set", SMALL, seed=3)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_bytes_do_not_depend_on_the_number_of_workers(dataset: Dataset, tmp_path: Path) -> None:
    generate(objects(), YUMI, tmp_path / "two", SMALL, seed=3, execution=Execution(workers=2))
    assert content(tmp_path / "two") == content(dataset.path)


def test_an_interrupted_run_resumes_to_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def stop_after_one(event: Event) -> None:
        if isinstance(event, Advance):
            raise Killed

    with pytest.raises(Killed):
        generate(objects(), YUMI, tmp_path / "set", SMALL, 3, report=stop_after_one)
    with pytest.raises(CorruptDataset, match="resume"):
        Dataset.open(tmp_path / "set")
    generate(objects(), YUMI, tmp_path / "set", SMALL, 3)
    assert content(tmp_path / "set") == content(dataset.path)


def test_another_seed_gives_other_data(dataset: Dataset, tmp_path: Path) -> None:
    other = generate(objects()[:8], YUMI, tmp_path / "set", SMALL, seed=4)
    n = min(len(other), 100)
    assert not np.array_equal(
        other.read(["depth"])["depth"][:n], dataset.read(["depth"])["depth"][:n]
    )


def test_a_folder_of_another_configuration_is_refused(dataset: Dataset) -> None:
    with pytest.raises(InvalidConfig, match="seed differ"):
        generate(objects(), YUMI, dataset.path, SMALL, seed=5)


def test_an_object_that_gives_nothing_says_why(dataset: Dataset) -> None:
    assert [r["name"] for r in summary(dataset)["refused"]] == ["wall"]
    assert "gripper" in summary(dataset)["refused"][0]["reason"]


@pytest.mark.parametrize("n_datapoints", [None, 60])
def test_a_datapoint_carries_the_label_of_its_own_grasp(
    tmp_path: Path, n_datapoints: int | None
) -> None:
    """Also where an image shows only some of its pose's grasps."""
    made = generate(objects()[:3], YUMI, tmp_path / "set", SMALL, 1, n_datapoints)
    rows = made.read(["grasp_id", "pose_id", "robust_epsilon", "collision_free", "object_id"])
    grasps = {g["grasp_id"]: g for g in made.table("grasps").to_pylist()}
    poses = {p["pose_id"]: p for p in made.table("poses").to_pylist()}
    stored = np.array([grasps[g]["robust_epsilon"] for g in rows["grasp_id"]], np.float32)
    np.testing.assert_array_equal(stored, rows["robust_epsilon"])
    assert len(np.unique(stored)) > 5
    # every distinct pair of pose and grasp, by the collision model
    for pose_id, grasp_id in {
        (p, g) for p, g in zip(rows["pose_id"], rows["grasp_id"], strict=True)
    }:
        here = (rows["pose_id"] == pose_id) & (rows["grasp_id"] == grasp_id)
        T_world_obj = np.array(poses[pose_id]["T_world_obj"]).reshape(4, 4)
        T_obj_grasp = np.array(grasps[grasp_id]["T_obj_grasp"]).reshape(4, 4)
        world = T_world_obj @ T_obj_grasp
        grasp = Grasp.from_axes(world[None, :3, 3], world[None, :3, 0], [[0, 0, -1.0]], 0.05)
        mesh = objects()[rows["object_id"][here][0]]
        free = approach_is_free(mesh, T_world_obj, grasp, YUMI)[0]
        assert (rows["collision_free"][here] == free).all()


def test_near_misses_end_at_every_clearance_and_come_in_every_kind() -> None:
    model = dataclasses.replace(BUILTIN, n_jittered=40)
    mesh, rng = box(0.03, 0.024, 0.02), np.random.default_rng(0)
    pose = stable_poses(mesh)[0]
    flat = flat_grasps(sample_antipodal(mesh, YUMI, 60, rng), pose, model)
    near = near_misses(mesh, flat, pose, YUMI, model, rng)
    world = near.in_frame(pose.T_world_obj)
    height = lowest_corner(YUMI.boxes(world.width), world.pose)
    assert height.min() > -1e-9
    assert np.count_nonzero(height < JITTER_CLEARANCE[1]) > 20
    assert np.bincount((height * 1000).astype(int)).max() < 0.4 * len(near)
    free = approach_is_free(mesh, pose.T_world_obj, world, YUMI, model.collision)
    held = force_closure(find_contacts(mesh, near).contacts) & find_contacts(mesh, near).found
    counts = [(free & held).sum(), (free & ~held).sum(), (~free).sum()]
    assert all(0 < n <= share * 40 for n, share in zip(counts, JITTER_SHARES, strict=True))
    assert counts[0] > 10


def test_labels_are_those_of_the_hands_own_fingers(rng: np.random.Generator) -> None:
    mesh, hand = cylinder(0.015, 0.06), dataclasses.replace(YUMI, contact_radius=0.004)
    grasps = sample_antipodal(mesh, hand, 8, rng)
    made = label_grasps(mesh, grasps, hand, SMALL, np.random.default_rng(3), 0, 0)
    want = robust_epsilon(mesh, grasps, hand, np.random.default_rng(3), SMALL.perturbation)
    np.testing.assert_allclose(made.robust_epsilon, want.mean, atol=1e-9)
    columns = made.table.to_pydict()
    np.testing.assert_allclose(columns["robust_epsilon"], want.mean, atol=1e-6)
    np.testing.assert_allclose(columns["robust_epsilon_error"], want.standard_error, atol=1e-6)
    model = ContactModel(contact_radius=hand.contact_radius)
    exact = ferrari_canny(find_contacts(mesh, grasps).contacts, mesh.center_of_mass, model)
    assert (exact > 0).any()
    np.testing.assert_allclose(columns["epsilon"], exact, atol=1e-6)


def test_grasps_that_close_steeper_than_five_degrees_are_left_out_of_a_pose(
    rng: np.random.Generator,
) -> None:
    mesh = cylinder(0.015, 0.06)
    labelled = label_grasps(mesh, sample_antipodal(mesh, YUMI, 60, rng), YUMI, SMALL, rng, 0, 0)
    pose = max(stable_poses(mesh, 0.0), key=lambda p: p.T_world_obj[2, 2])  # the side closes level
    kept = pose_grasps(mesh, labelled, pose, 0, YUMI, SMALL, rng)
    rise = np.abs(labelled.grasps_obj.in_frame(pose.T_world_obj).closing_axis[:, 2])
    level = rise < np.sin(MAX_APPROACH_TABLE_ANGLE)
    assert 0 < level.sum() < len(level)
    np.testing.assert_array_equal(kept.grasp_id, labelled.grasp_id[level])
    np.testing.assert_array_equal(kept.robust_epsilon, labelled.robust_epsilon[level])
    down = kept.grasps_obj.in_frame(pose.T_world_obj).approach_axis[:, 2]
    assert (down < -np.cos(MAX_APPROACH_TABLE_ANGLE)).all()


def test_poses_are_drawn_as_often_as_they_are_probable(rng: np.random.Generator) -> None:
    poses = [StablePose(np.eye(4), p) for p in (0.7, 0.2, 0.1)]
    first = [choose_poses(poses, 1, rng)[0].probability for _ in range(1000)]
    assert first.count(0.7) / 1000 == pytest.approx(0.7, abs=4 * np.sqrt(0.7 * 0.3 / 1000))
    assert choose_poses(poses, 3, rng) == poses


def test_objects_of_one_seed_have_random_states_of_their_own() -> None:
    mesh = box(0.03, 0.024, 0.05)
    made = [object_rows(mesh, i, YUMI, SMALL, 1, None).grasps for i in (0, 1)]
    first, second = (grasps.column("T_obj_grasp").to_pylist() for grasps in made)
    assert first != second


def test_a_mesh_that_is_inside_out_is_refused() -> None:
    mesh = box()
    turned = TriMesh(mesh.vertices, mesh.faces[:, ::-1], "inside out")
    with pytest.raises(InvalidMesh, match="faces point inward"):
        object_rows(turned, 0, YUMI, SMALL, 0, None)


def test_labels_are_facts_and_a_threshold(dataset: Dataset) -> None:
    facts = dataset.read(["collision_free", "robust_epsilon"])
    for threshold in (0.0, 0.002, 0.05):
        want = facts["collision_free"] & (facts["robust_epsilon"] > threshold)
        np.testing.assert_array_equal(dataset.labels(threshold), want)
    assert 0 < dataset.labels().mean() < 1


def test_a_stored_crop_is_what_the_whole_pipeline_sees(dataset: Dataset) -> None:
    """Render the whole image anew from the stored camera and the stored pose, and crop it."""
    seen = ["crop", "depth", "center_px", "angle", "T_world_camera", "intrinsics"]
    rows = dataset.read([*seen, "object_id", "pose_id"])
    poses = {p["pose_id"]: p for p in dataset.table("poses").to_pylist()}
    for i in np.linspace(0, len(dataset) - 1, 5).astype(int):
        mesh = objects()[rows["object_id"][i]]
        T_stable = np.array(poses[rows["pose_id"][i]]["T_world_obj"]).reshape(4, 4)
        T_world_camera = rows["T_world_camera"][i].reshape(4, 4).astype(float)
        intrinsics = CameraIntrinsics(*rows["intrinsics"][i].astype(float), 600, 600)
        image = render_depth(Scene(mesh, T_stable, T_world_camera, intrinsics))
        grasp = PlanarGrasp(
            rows["center_px"][i][None], [rows["angle"][i]], [rows["depth"][i]], [0.05]
        )
        want = crop_grasps(image, grasp)[0] - rows["depth"][i]
        # float16 rounds by 0.03 mm, float32 poses move edges by a hundredth of a pixel
        assert np.abs(want - rows["crop"][i]).mean() < 3e-4


def test_the_tables_joined_by_their_ids_project_each_grasp_to_where_it_is_seen(
    dataset: Dataset,
) -> None:
    """T_camera_grasp = T_world_camera⁻¹ T_world_obj T_obj_grasp: neighbouring letters cancel."""
    seen = ["center_px", "depth", "angle", "T_world_camera", "intrinsics"]
    rows = dataset.read([*seen, "pose_id", "grasp_id"])
    poses = {p["pose_id"]: p["T_world_obj"] for p in dataset.table("poses").to_pylist()}
    grasps = {g["grasp_id"]: g["T_obj_grasp"] for g in dataset.table("grasps").to_pylist()}
    T_world_obj = np.reshape([poses[i] for i in rows["pose_id"]], (-1, 4, 4))
    T_obj_grasp = np.reshape([grasps[i] for i in rows["grasp_id"]], (-1, 4, 4))
    T_world_camera = rows["T_world_camera"].reshape(-1, 4, 4).astype(float)
    T = transforms.inverse(T_world_camera) @ T_world_obj @ T_obj_grasp
    np.testing.assert_allclose(T[:, 2, 3], rows["depth"], atol=1e-6)
    f, c = rows["intrinsics"][:, :2], rows["intrinsics"][:, 2:]
    np.testing.assert_allclose(T[:, :2, 3] / T[:, 2:3, 3] * f + c, rows["center_px"], atol=1e-4)
    # the jaws may be swapped
    turned = np.arctan2(T[:, 1, 0], T[:, 0, 0]) - rows["angle"]
    np.testing.assert_allclose(np.sin(turned), 0, atol=1e-5)


def test_collision_flags_are_those_of_the_collision_model(dataset: Dataset) -> None:
    rows = dataset.read(["object_id", "pose_id", "grasp_id", "collision_free"])
    poses = {p["pose_id"]: p for p in dataset.table("poses").to_pylist()}
    grasps = {g["grasp_id"]: g for g in dataset.table("grasps").to_pylist()}
    for i in np.linspace(0, len(dataset) - 1, 12).astype(int):
        T_world_obj = np.array(poses[rows["pose_id"][i]]["T_world_obj"]).reshape(4, 4)
        T_obj_grasp = np.array(grasps[rows["grasp_id"][i]]["T_obj_grasp"]).reshape(4, 4)
        x = T_world_obj[:3, :3] @ T_obj_grasp[:3, 0]
        center = (T_world_obj @ T_obj_grasp)[:3, 3]
        grasp = Grasp.from_axes(center[None], x[None], [[0, 0, -1.0]], 0.05)
        mesh = objects()[rows["object_id"][i]]
        assert approach_is_free(mesh, T_world_obj, grasp, YUMI)[0] == rows["collision_free"][i]


def test_ids_lead_from_a_datapoint_to_its_pose_and_object(dataset: Dataset) -> None:
    rows = dataset.read(["object_id", "pose_id", "image_id", "grasp_id"])
    np.testing.assert_array_equal(rows["pose_id"] // MAX_POSES, rows["object_id"])
    grasp_owner = {g["grasp_id"]: g["object_id"] for g in dataset.table("grasps").to_pylist()}
    assert all(
        grasp_owner[g] == o for g, o in zip(rows["grasp_id"], rows["object_id"], strict=True)
    )


def test_check_finds_every_flipped_byte_and_foreign_file(tmp_path: Path) -> None:
    made = generate(objects()[:2], YUMI, tmp_path / "set", SMALL, seed=0)
    made.check()
    for folder in (made.path, made.path / "shards"):
        foreign = folder / "stranger.parquet"
        foreign.write_bytes(b"x")
        with pytest.raises(CorruptDataset, match="stranger"):
            made.check()
        foreign.unlink()
    for file in made.path.rglob("*.parquet"):
        data = bytearray(file.read_bytes())
        for at in (4, len(data) // 2, len(data) - 5):
            data[at] ^= 1
            file.write_bytes(data)
            with pytest.raises(CorruptDataset, match=f"{file.name} has hash"):
                made.check()
            data[at] ^= 1
        file.write_bytes(data)
    made.check()


def test_another_schema_version_and_a_missing_shard_are_refused(tmp_path: Path) -> None:
    made = generate(objects()[:2], YUMI, tmp_path / "set", SMALL, seed=0)
    manifest = json.loads((made.path / "dataset.json").read_text())
    (made.path / "dataset.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(CorruptDataset, match="99"):
        Dataset.open(made.path)
    (made.path / "dataset.json").write_text(json.dumps(manifest))
    (made.path / "shards" / "part-00000.parquet").unlink()
    with pytest.raises(CorruptDataset, match="part-00000"):
        Dataset.open(made.path)


def test_n_datapoints_is_met_about(tmp_path: Path) -> None:
    boxes = [dataclasses.replace(box(0.03, 0.02, 0.05), name=f"b{i}") for i in range(3)]
    made = generate(boxes, YUMI, tmp_path / "set", SMALL, seed=0, n_datapoints=600)
    assert 450 < len(made) < 750


def test_a_concave_object_is_taken_as_well(tmp_path: Path) -> None:
    ring = to_trimesh_value(trimesh.creation.annulus(0.02, 0.03, 0.03), "ring")
    assert len(generate([ring], YUMI, tmp_path / "set", SMALL, seed=0)) > 0


def test_more_objects_than_ids_have_room_for_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="32769 objects: expected at most 32768"):
        generate([box()] * 32_769, load_gripper("yumi"), tmp_path / "data", PAPER, 0)
    assert not (tmp_path / "data").exists()
    with pytest.raises(InvalidConfig, match="max_object_time = inf"):
        Execution(max_object_time=np.inf)
