"""The baseline rows: registration in closed form, learned baselines against scikit-learn, rows that answer."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import Float

from antipodal import transforms
from antipodal.bench.learned import (
    LearnedQuality,
    fill_farthest,
    forest_probability,
    hog,
    load_learned,
    save_learned,
    svm_margin,
)
from antipodal.bench.learning import Examples, LearningConfig, read_examples, train_kind
from antipodal.bench.planner import Observation, Ranked
from antipodal.bench.planners_known import quality_of, registration_planner
from antipodal.bench.registration import (
    RegistrationConfig,
    at_rest,
    difference,
    register,
    some_pixels,
)
from antipodal.bench.rows import (
    learned_planner,
    make_planner,
    network_planner,
)
from antipodal.camera import DepthImage
from antipodal.collision import CollisionConfig, approach_is_free
from antipodal.crop import CropConfig
from antipodal.dataset.schema import SUCCESS_THRESHOLD
from antipodal.errors import IncompatibleCheckpoint, InvalidConfig, UnknownAsset
from antipodal.mesh import TriMesh
from antipodal.policy.heuristics import PAPER_CONSTRAINTS
from antipodal.render.depth import render
from antipodal.render.noise import observe
from antipodal.render.scene import Scene
from antipodal.stable_pose import StablePose, stable_poses
from conftest import box
from policy_scenes import INTRINSICS, YUMI, camera, seen, standing
from synthetic_grasps import write_boxes

QUICK = RegistrationConfig(n_yaws=12, n_coarse_pixels=150, n_pixels=600, n_refined=3)
SMALL = LearningConfig(n_forest=400, n_svm=300, n_trees=12, max_depth=5)


def wedge() -> TriMesh:
    """A block with one slanted side: no symmetry but its mirror image."""
    profile = np.array([[0.0, 0.0], [0.09, 0.0], [0.05, 0.04], [0.0, 0.04]]) - [0.04, 0.017]
    low, high = np.full((4, 1), -0.015), np.full((4, 1), 0.015)
    vertices = np.concatenate([np.hstack([profile, low]), np.hstack([profile, high])])
    faces = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]]
    for a in range(4):
        b = (a + 1) % 4
        faces += [[a, b, b + 4], [a, b + 4, a + 4]]
    return TriMesh(vertices, np.array(faces), "wedge")


def placed(mesh: TriMesh, pose: StablePose, yaw: float, x: float, y: float) -> Scene:
    T = transforms.translation([x, y, 0.0]) @ transforms.rot_z(yaw) @ pose.T_world_obj
    return Scene(mesh, T, camera(), INTRINSICS)


def crops(n: int, rng: np.random.Generator) -> Examples:
    """Bars of random width, height and offset; a success where they are narrow and centred."""
    column = np.arange(32) - 15.5
    width, offset = rng.uniform(2, 14, n), rng.normal(0, 4, n)
    height = rng.uniform(0.01, 0.05, n)
    inside = np.abs(column - offset[:, None]) < width[:, None] / 2
    row = np.where(inside, -height[:, None] / 2, height[:, None] / 2)
    relative = np.repeat(row[:, None], 32, axis=1) + rng.normal(0, 5e-4, (n, 32, 32))
    success = (np.abs(offset) < 4) & (width < 10)
    return Examples(
        relative.astype(np.float32), rng.uniform(0.6, 0.7, n), success, np.arange(n) % 20
    )


def observation(mesh: TriMesh) -> Observation:
    image, mask = seen(mesh)
    return Observation(image, mask, YUMI, mesh)


# --- registration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1])
def test_registration_finds_pose_yaw_and_place_of_a_block_without_symmetry(k):
    mesh = wedge()
    poses = stable_poses(mesh)
    scene = placed(mesh, poses[k], 2.1 - 3 * k, 0.06, -0.03)
    rendering = render(scene)
    found = register(mesh, rendering.image, rendering.mask, poses, QUICK)
    assert found is not None
    apart = transforms.apply(found.T_world_obj, mesh.vertices) - transforms.apply(
        scene.T_world_obj, mesh.vertices
    )
    assert np.linalg.norm(apart, axis=-1).max() < 2e-3
    assert found.residual < 1e-3


def test_registration_survives_the_noise_of_a_camera(rng):
    mesh = wedge()
    poses = stable_poses(mesh)
    scene = placed(mesh, poses[0], -0.7, -0.05, 0.08)
    rendering = render(scene)
    found = register(mesh, observe(rendering.image, rng), rendering.mask, poses, QUICK)
    assert found is not None
    apart = transforms.apply(found.T_world_obj, mesh.vertices) - transforms.apply(
        scene.T_world_obj, mesh.vertices
    )
    assert np.linalg.norm(apart, axis=-1).max() < 5e-3


def test_the_true_pose_explains_the_image_to_the_micrometre():
    mesh = wedge()
    scene = placed(mesh, stable_poses(mesh)[0], 0.4, 0.0, 0.0)
    rendering = render(scene)
    pixels = some_pixels(rendering.image, rendering.mask, 400)
    assert 150 < len(pixels.depth) < 1200
    assert difference(mesh, scene.T_world_obj, pixels, 0.02) < 1e-6
    # nothing in common: every pixel that either calls object counts in full
    away = transforms.translation([0.0, 0.0, -1.0]) @ scene.T_world_obj
    assert difference(mesh, away, pixels, 0.02) == pytest.approx(0.02)


def test_an_object_put_back_to_rest_keeps_yaw_and_place_and_stands_on_the_table():
    mesh = wedge()
    pose = stable_poses(mesh)[0]
    upright = placed(mesh, pose, 1.1, 0.03, 0.02).T_world_obj
    center = upright[:3, :3] @ mesh.center_of_mass + upright[:3, 3]
    about = transforms.translation(center)
    tilt = about @ transforms.rot_x(0.05) @ transforms.inverse(about)
    rested = at_rest(transforms.translation([0.0, 0.0, 0.01]) @ tilt @ upright, pose, mesh)
    assert rested == pytest.approx(upright, abs=2e-3)
    assert transforms.apply(rested, mesh.vertices)[:, 2].min() == pytest.approx(0.0, abs=1e-9)


def test_registration_of_nothing_is_none(rng):
    mesh = box()
    image, mask = seen(mesh)
    hole = image.with_depth(np.where(mask, 0.0, image.depth).astype(np.float32))
    assert register(mesh, hole, mask) is None
    assert register(mesh, image, mask, poses=[]) is None
    with pytest.raises(InvalidConfig, match="T_world_camera"):
        register(mesh, DepthImage(image.depth, image.intrinsics), mask)


def test_the_registered_row_grasps_the_true_object(rng):
    mesh = box(0.03, 0.07, 0.04)
    scene = observation(mesh)
    planner = registration_planner(YUMI, QUICK)
    assert planner.knows == "mesh"
    ranked = planner(scene, rng)
    best = ranked.grasps_world[0]
    assert ranked.quality[0] > 0.5
    # the fixture stands on the origin: across its short side, near its middle, tips over the table
    assert abs(best.closing_axis[0]) > np.cos(np.deg2rad(5))
    assert abs(best.center[0]) < 0.005 and abs(best.center[1]) < 0.035
    blind = Observation(scene.image, scene.mask, YUMI)
    assert "mesh" in (planner(blind, rng).reason or "")
    assert len(planner(blind, rng).grasps_world) == 0


def test_epsilon_at_the_threshold_is_an_even_chance():
    assert quality_of(np.array([SUCCESS_THRESHOLD, 0.0])) == pytest.approx([0.5, 0.0])
    assert (np.diff(quality_of(np.linspace(0.02, 0.0, 9))) < 0).all()


# --- learned baselines -----------------------------------------------------------------------------------------------


def test_hog_of_a_ramp_votes_for_its_own_direction_alone():
    v, u = np.mgrid[:32, :32].astype(np.float32)
    for k in range(9):
        angle = k * np.pi / 9
        ramp = 0.1 * (np.cos(angle) * u + np.sin(angle) * v)
        cells = hog(ramp[None]).reshape(-1, 9)
        assert (cells.argmax(1) == k).all()
        assert np.delete(cells, k, axis=1).max() < 1e-3


def test_hog_does_not_see_an_offset_and_turns_with_the_image(rng):
    image = rng.normal(0, 0.01, (2, 32, 32)).astype(np.float32)
    assert hog(image + 0.3) == pytest.approx(hog(image), abs=1e-4)
    # upside down: unsigned gradients keep their orientation, cells and blocks trade places
    turned = hog(image[:, ::-1, ::-1]).reshape(2, 7, 7, 2, 2, 9)
    there = turned[:, ::-1, ::-1, ::-1, ::-1]
    assert there == pytest.approx(hog(image).reshape(2, 7, 7, 2, 2, 9), abs=1e-5)


def test_missing_pixels_become_the_farthest_of_their_crop():
    crop = np.full((2, 4, 4), np.nan)
    crop[0, 1] = [-0.01, 0.0, 0.02, np.nan]
    filled = fill_farthest(crop)
    assert filled[0, 0] == pytest.approx(np.full(4, 0.02))
    assert filled[0, 1] == pytest.approx([-0.01, 0.0, 0.02, 0.02])
    assert (filled[1] == 0).all()


def test_our_forest_answers_as_scikit_learn_s_does(rng):
    from sklearn.ensemble import RandomForestClassifier

    from antipodal.bench.learning import train_forest

    examples = crops(400, rng)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    forest = RandomForestClassifier(12, max_depth=5, random_state=SMALL.seed)
    expected = forest.fit(x, examples.success).predict_proba(x)[:, 1]
    arrays = train_forest(x, examples, SMALL)
    assert forest_probability(arrays, x) == pytest.approx(expected, abs=1e-6)


def test_our_margin_is_scikit_learn_s_decision_function(rng):
    from sklearn.svm import SVC

    x = rng.normal(size=(120, 5)).astype(np.float32)
    y = (x[:, 0] ** 2 + x[:, 1] > 0.5).astype(int)
    machine = SVC(C=1.0, gamma=0.3).fit(x, y)
    arrays: dict[str, Float[np.ndarray, "..."]] = {
        "vectors": machine.support_vectors_,
        "dual": machine.dual_coef_[0],
        "kernel": np.array([0.3, machine.intercept_[0]]),
    }
    probe = rng.normal(size=(50, 5))
    assert svm_margin(arrays, probe) == pytest.approx(machine.decision_function(probe), abs=1e-6)


@pytest.mark.parametrize("kind", ["forest", "svm"])
def test_a_baseline_learns_bars_and_is_the_same_after_saving(kind, rng, tmp_path):
    examples, fresh = crops(400, rng), crops(300, rng)
    quality = LearnedQuality(
        kind, CropConfig(), train_kind(kind, examples, SMALL), {"made": "here"}
    )
    q = quality.score(fresh.relative)
    assert ((q >= 0) & (q <= 1)).all()
    assert ((q > 0.5) == fresh.success).mean() > 0.85
    save_learned(quality, tmp_path / "model.npz")
    loaded = load_learned(tmp_path / "model.npz")
    assert (loaded.score(fresh.relative) == q).all()
    assert (loaded.kind, loaded.crop, loaded.metadata) == (kind, CropConfig(), {"made": "here"})


def test_a_file_that_is_no_baseline_is_refused(tmp_path):
    with pytest.raises(UnknownAsset, match="no model"):
        load_learned(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(IncompatibleCheckpoint, match=r"baselines\.sh"):
        load_learned(tmp_path / "text.npz")
    np.savez(tmp_path / "pickled.npz", header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(IncompatibleCheckpoint, match=r"baselines\.sh"):
        load_learned(tmp_path / "pickled.npz")


def test_examples_are_the_rows_asked_for_in_that_order_whatever_shard_holds_them(rng, tmp_path):
    dataset = write_boxes(tmp_path / "boxes", 300, rng)
    rows = np.array([250, 3, 160])  # the second of two shards begins at 150
    got = read_examples(dataset, rows)
    whole = dataset.read(["crop", "depth", "object_id"])
    assert (got.success == dataset.labels()[rows]).all()
    assert (got.depth == whole["depth"][rows]).all()
    assert (got.object_id == whole["object_id"][rows]).all()
    assert (got.relative == whole["crop"][rows]).all()


def test_one_class_alone_cannot_be_learned(rng):
    examples = crops(50, rng)
    with pytest.raises(InvalidConfig, match="one class"):
        train_kind("forest", examples._replace(success=np.zeros(50, bool)), SMALL)


# --- rows ------------------------------------------------------------------------------------------------------------


def check_answer(ranked: Ranked) -> None:
    """What the runner may rely on."""
    assert len(ranked.grasps_world) == len(ranked.quality) > 0
    assert ((ranked.quality >= 0) & (ranked.quality <= 1)).all()
    assert (np.diff(ranked.quality) <= 0).all()
    # straight down, wherever the camera stands
    assert ranked.grasps_world.approach_axis[:, 2] == pytest.approx(-1.0)


@pytest.mark.parametrize("name", ["random", "igq", "heuristic"])
def test_rows_that_look_grasp_a_bar_from_above(name, rng):
    planner = make_planner(name, YUMI)
    assert planner.knows == "image"
    ranked = planner(observation(box(0.024, 0.08, 0.045)), rng)
    check_answer(ranked)
    assert np.abs(ranked.grasps_world[0].center[:2]).max() < 0.05


def test_the_oracle_grasps_a_bar_across_its_narrow_side(rng):
    mesh = box(0.024, 0.08, 0.045)
    image, mask = seen(mesh)
    planner = make_planner("oracle", YUMI)
    assert planner.knows == "pose"
    known = Observation(image, mask, YUMI, mesh, standing(mesh).T_world_obj)
    ranked = planner(known, rng)
    assert len(ranked.grasps_world) == len(ranked.quality)
    assert ranked.quality[0] > 0.5
    assert abs(ranked.grasps_world[0].closing_axis[0]) > 0.98


@pytest.mark.parametrize("policy", ["antipodal", "cem"])
def test_the_faithful_rows_do_not_look_for_obstacles_and_ours_do(policy):
    mesh = box(0.024, 0.08, 0.045)
    scene = observation(mesh)
    faithful = network_planner("builtin", policy, YUMI, constraints=PAPER_CONSTRAINTS)(
        scene, np.random.default_rng(1)
    )
    ours = network_planner("builtin", policy, YUMI)(scene, np.random.default_rng(1))
    check_answer(faithful)
    check_answer(ours)
    T_world_obj = standing(mesh).T_world_obj
    strict = CollisionConfig(rule="zero", table_offset=0.0)

    def free(ranked: Ranked) -> float:
        return approach_is_free(mesh, T_world_obj, ranked.grasps_world, YUMI, strict).mean()

    assert free(ours) > 0.95 > 0.9 > free(faithful)
    if policy == "antipodal":
        assert len(ours.quality) < len(faithful.quality)


def test_a_learned_row_ranks_candidates(tmp_path, rng):
    arrays = train_kind("forest", crops(300, rng), SMALL)
    crop = CropConfig(window_px=None, window_m=0.128)
    save_learned(LearnedQuality("forest", crop, arrays, {}), tmp_path / "forest.npz")
    planner = learned_planner(tmp_path / "forest.npz", YUMI)
    check_answer(planner(observation(box(0.024, 0.08, 0.045)), rng))


def test_a_row_without_candidates_says_why(rng):
    image, mask = seen(box(0.08, 0.09, 0.03))  # wider than the stroke
    ranked = make_planner("random", YUMI)(Observation(image, mask, YUMI), rng)
    assert len(ranked.grasps_world) == len(ranked.quality) == 0
    assert "reach" in (ranked.reason or "")


def test_settings_that_are_no_numbers_are_refused_in_words() -> None:
    with pytest.raises(
        InvalidConfig, match="registration n_poses many: expected a positive number"
    ):
        RegistrationConfig(n_poses="many")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="learning c inf: expected a positive number"):
        LearningConfig(c=np.inf)
