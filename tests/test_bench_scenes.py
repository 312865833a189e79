"""The benchmark's trials: functions of seed, mesh and number alone, in the protocol's ranges, seen by the camera."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal import transforms
from antipodal.bench.config import BenchConfig
from antipodal.bench.objects import distinct, list_objects, load_object
from antipodal.bench.scenes import CAMERAS, draw_trial, photograph, settled
from antipodal.errors import InvalidConfig, UnknownAsset
from antipodal.gripper import load_gripper
from antipodal.mesh import save_mesh
from antipodal.render.depth import render
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.trial import TrialConfig
from antipodal.sim.world import World
from antipodal.stable_pose import resting_poses
from conftest import box, cylinder, sphere

MESH = box(0.03, 0.05, 0.08)
POSES = resting_poses(MESH)
DEXNET = CAMERAS["dexnet"]


def test_a_trial_depends_on_seed_mesh_and_number_alone() -> None:
    first = draw_trial(MESH, POSES, 0, 3, DEXNET)
    again = draw_trial(box(0.03, 0.05, 0.08), POSES, 0, 3, DEXNET)
    assert np.array_equal(first.scene.T_world_obj, again.scene.T_world_obj)
    assert np.array_equal(first.scene.T_world_camera, again.scene.T_world_camera)
    assert first.scene.friction == again.scene.friction
    assert first.execution_seed == again.execution_seed
    assert np.array_equal(photograph(first).image.depth, photograph(again).image.depth)
    others = [
        draw_trial(MESH, POSES, 1, 3, DEXNET),
        draw_trial(MESH, POSES, 0, 4, DEXNET),
        draw_trial(cylinder(), resting_poses(cylinder()), 0, 3, DEXNET),
    ]
    assert len({t.execution_seed for t in [first, *others]}) == 4
    assert len({t.scene.friction for t in [first, *others]}) == 4


def test_the_camera_set_changes_neither_pose_nor_friction_nor_execution() -> None:
    trials = [draw_trial(MESH, POSES, 0, 0, camera) for camera in CAMERAS.values()]
    for t in trials[1:]:
        assert np.array_equal(t.scene.T_world_obj, trials[0].scene.T_world_obj)
        assert t.scene.friction == trials[0].scene.friction
        assert t.execution_seed == trials[0].execution_seed


@pytest.mark.parametrize("name", list(CAMERAS))
def test_trials_stay_in_the_protocols_ranges_and_the_camera_sees_the_whole_object(
    name: str,
) -> None:
    camera = CAMERAS[name]
    for k in range(40):
        scene = draw_trial(MESH, POSES, 5, k, camera).scene
        center = transforms.apply(scene.T_world_obj, MESH.center_of_mass[None])[0]
        assert np.abs(center[:2]).max() <= 0.1 + 1e-9
        assert transforms.apply(scene.T_world_obj, MESH.vertices)[:, 2].min() == pytest.approx(
            0, abs=1e-9
        )
        assert 0.3 <= scene.friction <= 0.8
        eye = scene.T_world_camera[:3, 3]
        assert camera.radius[0] <= np.linalg.norm(eye) <= camera.radius[1]
        assert (
            camera.polar[0] - 1e-9
            <= np.arccos(eye[2] / np.linalg.norm(eye))
            <= camera.polar[1] + 1e-9
        )
        assert camera.focal_px[0] <= scene.intrinsics.fx <= camera.focal_px[1]
        corners = transforms.apply(
            transforms.inverse(scene.T_world_camera) @ scene.T_world_obj, MESH.vertices
        )
        px = scene.intrinsics.project(corners)
        assert (px > -1).all() and (px < [camera.width, camera.height]).all()


def test_stable_poses_come_up_as_often_as_they_are_probable() -> None:
    n = 600
    up = [tuple(np.round(p.T_world_obj[2, :3]).astype(int)) for p in POSES]
    drawn = [draw_trial(MESH, POSES, 9, k, DEXNET).scene.T_world_obj for k in range(n)]
    seen = [up.index(tuple(np.round(T[2, :3]).astype(int))) for T in drawn]
    p = np.array([pose.probability for pose in POSES])
    p = p / p.sum()
    share = np.bincount(seen, minlength=len(p)) / n
    assert (np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / n)).all()


def test_the_mask_is_the_objects_and_the_image_is_noisy_by_millimetres() -> None:
    trial = draw_trial(MESH, POSES, 0, 1, DEXNET)
    image, mask = photograph(trial)
    clean = render(trial.scene)
    assert np.array_equal(mask, clean.mask)
    both = image.valid & clean.image.valid
    error = (image.depth - clean.image.depth)[both]
    assert 0.001 < np.std(error) < 0.01
    assert image.T_world_camera is not None


def test_a_sphere_of_many_facets_has_poses_to_rest_in() -> None:
    assert len(resting_poses(sphere(subdivisions=3))) >= 1


def test_a_box_stays_where_it_settles() -> None:
    world = World(MESH, convex_pieces(MESH), load_gripper("yumi"))
    trial = draw_trial(MESH, POSES, 0, 0, DEXNET)
    rest = settled(trial, world, TrialConfig(settle_window=0.1))
    assert rest is not None
    assert rest.scene.T_world_obj == pytest.approx(trial.scene.T_world_obj, abs=1e-3)
    assert rest.execution_seed == trial.execution_seed


def test_sub_folders_are_sources_and_names_stay_apart(tmp_path) -> None:
    for folder in ("a", "b/deep"):
        (tmp_path / folder).mkdir(parents=True)
        save_mesh(MESH, tmp_path / folder / "thing.ply")
    items = list_objects(tmp_path)
    assert [(i.name, i.source) for i in items] == [("a/thing", "a"), ("b/deep/thing", "b")]
    assert load_object(tmp_path, items[1].file, items[1].name).name == "b/deep/thing"
    save_mesh(MESH, tmp_path / "a" / "thing.stl")
    names = [i.name for i in list_objects(tmp_path)]
    assert names == ["a/thing.ply", "a/thing.stl", "b/deep/thing"]
    with pytest.raises(UnknownAsset, match="nor a mesh"):
        (tmp_path / "empty").mkdir()
        list_objects(tmp_path / "empty")


def test_of_copies_the_first_stays_and_one_line_names_the_others(tmp_path) -> None:
    for name, side in (("a", 0.02), ("b", 0.03), ("c", 0.02), ("d", 0.02), ("e", 0.03)):
        save_mesh(box(side, 0.03, 0.04), tmp_path / f"{name}.ply")
    said: list[str] = []
    items = list_objects(tmp_path)
    assert [item.name for item in distinct(items, said.append)] == ["a", "b"]
    (line,) = said
    assert line.endswith("c (as a), d (as a), e (as b)")
    assert distinct(items[:2], said.append) == items[:2]
    assert len(said) == 1  # nothing is said of a folder without copies
    # why: they are not two independent trials
    a, c = (load_object(tmp_path, items[i].file, items[i].name) for i in (0, 2))
    first, again = (draw_trial(m, resting_poses(m), 0, 1, DEXNET) for m in (a, c))
    assert first.entropy == again.entropy
    assert np.array_equal(first.scene.T_world_obj, again.scene.T_world_obj)


def test_the_execution_error_scales_its_rotation_along() -> None:
    config = BenchConfig(execution_errors=(0.002, 0.0, 0.005))
    assert np.rad2deg(config.trial_config(0.002).rotation_sigma) == pytest.approx(0.5)
    assert config.trial_config(0.0).rotation_sigma == 0.0
    assert config.trial_config(0.005).position_sigma == 0.005
    assert np.rad2deg(config.trial_config(0.005).rotation_sigma) == pytest.approx(1.25)


@pytest.mark.parametrize(
    "values",
    [
        {"n_trials": 0},
        {"seed": -1},
        {"time_limit": 0.0},
        {"time_limit": np.inf},
        {"execution_errors": ()},
        {"execution_errors": (2.0,)},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidConfig, match="expected"):
        BenchConfig(**values)  # type: ignore[arg-type]
