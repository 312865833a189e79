"""Qualities without learning: their geometry in closed form, and what they prefer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from antipodal.camera import DepthImage
from antipodal.grasp import PlanarGrasp
from antipodal.policy.closing import Closing
from antipodal.policy.heuristics import (
    DEFAULT_GEOMETRIC,
    IGQ_SAMPLER,
    GeometricConfig,
    GeometricQuality,
    centroid_policy,
    centroid_quality,
    geometric_policy,
    hold_chance,
    random_policy,
    reach_chance,
)
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, down, seen


def test_the_GeometricQuality_prefers_centred_square_deep_grasps():
    image, _ = seen(box(0.024, 0.08, 0.045))
    points = np.array(
        [
            [0.0, 0.0, 0.03],
            [0.011, 0.0, 0.03],
            [0.0, 0.0, 0.03],
            [0.0, 0.0, 0.052],
            [0.0, 0.034, 0.03],
        ]
    )
    yaw = np.array([0.0, 0.0, 0.6, 0.0, 0.0])
    grasps = down(np.asarray(image.T_world_camera), points, yaw)
    q = GeometricQuality(YUMI, GeometricConfig(power=1.0))(image, grasps)
    good, off_centre, skew, shallow, at_the_end = q
    assert good > 0.8
    assert max(off_centre, skew, shallow, at_the_end) < 0.8 * good


def test_the_GeometricQuality_is_the_same_for_swapped_jaws_and_in_any_batch(rng):
    image, _ = seen(cylinder(0.018, 0.05))
    points = np.concatenate([rng.normal(0, 0.01, (40, 2)), rng.uniform(0.02, 0.05, (40, 1))], -1)
    grasps = down(np.asarray(image.T_world_camera), points, rng.uniform(-np.pi, np.pi, 40))
    quality = GeometricQuality(YUMI)
    q = quality(image, grasps)
    assert ((q >= 0) & (q <= 1)).all() and q.std() > 0.05
    swapped = PlanarGrasp(grasps.center_px, grasps.angle + np.pi, grasps.depth, grasps.width)
    assert quality(image, swapped) == pytest.approx(q)
    assert quality(image, grasps[7:9]) == pytest.approx(q[7:9])
    assert quality(image, grasps[:0]).shape == (0,)


def test_a_quality_does_not_remember_the_wrong_image():
    bar, _ = seen(box(0.024, 0.08, 0.045))
    low, _ = seen(box(0.06, 0.08, 0.02))
    quality, fresh = GeometricQuality(YUMI), GeometricQuality(YUMI)
    grasps = down(np.asarray(bar.T_world_camera), np.array([[0.0, 0.0, 0.03]]), np.zeros(1))
    first = quality(bar, grasps)
    assert quality(low, grasps) == fresh(low, grasps)
    assert quality(bar, grasps) == first != quality(low, grasps)


def test_the_centroid_rule_scores_by_distance_in_pixels():
    image = DepthImage(np.full(INTRINSICS.shape, 0.7), INTRINSICS)
    mask = np.zeros(INTRINSICS.shape, bool)
    mask[100:121, 200:221] = True
    grasps = PlanarGrasp(np.array([[210.0, 110.0], [240.0, 150.0]]), 0.0, 0.7, 0.05)
    assert centroid_quality(mask)(image, grasps) == pytest.approx([1.0, np.exp(-0.5)])


def test_igq_returns_the_candidate_nearest_to_the_centroid(rng):
    image, mask = seen(box(0.024, 0.09, 0.04))
    plan = centroid_policy(YUMI)(image, mask, rng)
    v, u = np.nonzero(mask)
    distance = np.linalg.norm(plan.grasps.center_px - [u.mean(), v.mean()], axis=-1)
    assert distance[0] == distance.min() < 8
    assert distance.max() > 20


def test_igq_takes_one_fixed_depth_below_the_centre_pixel(rng):
    image, mask = seen(box(0.024, 0.09, 0.04), tilt=0.0)
    plan = centroid_policy(YUMI)(image, mask, rng)
    offset = IGQ_SAMPLER.depth_range[0]
    surface = 0.7 - 0.04
    assert plan.grasps.depth == pytest.approx(np.full(len(plan.grasps), surface + offset), abs=1e-4)


def test_the_random_baseline_draws_another_candidate_with_another_seed():
    image, mask = seen(box(0.024, 0.09, 0.04))
    policy = random_policy(YUMI)
    plans = [policy(image, mask, np.random.default_rng(seed)) for seed in (0, 1, 0)]
    assert (plans[0].quality == 0.5).all()
    assert plans[0].best.center_px.tolist() == plans[2].best.center_px.tolist()
    assert plans[0].best.center_px.tolist() != plans[1].best.center_px.tolist()
    # not the first of some order: over seeds the best grasps are spread over the bar's length
    centers = [policy(image, mask, np.random.default_rng(s)).best.center_px[1] for s in range(8)]
    assert np.std(centers) > 8


def test_the_chance_to_get_there_is_a_half_where_one_finger_has_just_its_room():
    far = np.full((1, 2), np.inf)
    config = DEFAULT_GEOMETRIC
    ideal = Closing(
        far, np.array([np.inf]), np.zeros((1, 2)), np.ones(1), np.ones(1), np.zeros(1), np.zeros(1)
    )
    assert reach_chance(ideal, np.array([np.inf])) == pytest.approx([1.0])
    tight = ideal._replace(clearance=np.array([[config.finger_room, np.inf]]))
    assert reach_chance(tight, np.array([np.inf])) == pytest.approx([0.5])
    both = ideal._replace(clearance=np.full((1, 2), config.finger_room))
    assert reach_chance(both, np.array([np.inf])) == pytest.approx([0.25])
    low = ideal._replace(palm_room=np.array([config.palm_room]))
    assert reach_chance(low, np.array([np.inf])) == pytest.approx([0.5])
    assert reach_chance(ideal, np.array([config.table_room])) == pytest.approx([0.5])


def test_the_chance_to_hold_falls_to_one_in_e_at_each_length_of_the_config():
    config, e = DEFAULT_GEOMETRIC, np.exp(1.0)
    deep = np.array([1.0])
    ideal = Closing(
        np.full((1, 2), 1.0),
        np.ones(1),
        np.zeros((1, 2)),
        np.ones(1),
        deep,
        np.zeros(1),
        np.zeros(1),
    )
    assert hold_chance(ideal) == pytest.approx([1.0])
    slanted = ideal._replace(slope=np.array([[0.0, config.slope]]))
    assert hold_chance(slanted) == pytest.approx([1 / e])
    assert hold_chance(ideal._replace(lever=np.array([config.lever]))) == pytest.approx([1 / e])
    shallow = ideal._replace(engagement=np.array([config.engagement]))
    assert hold_chance(shallow) == pytest.approx([1 - 1 / e])
    assert hold_chance(ideal._replace(coverage=np.zeros(1))) == [0.0]


def test_the_best_heuristic_centres_the_hand_on_a_tight_bar(rng):
    image, mask = seen(box(0.042, 0.08, 0.04), yaw=0.4)
    plan = geometric_policy(YUMI)(image, mask, rng)
    best = plan.best.to_grasp(INTRINSICS, plan.approach_axis).in_frame(image.T_world_camera)
    across = np.array([np.cos(0.4), np.sin(0.4), 0.0])
    # 4 mm a side: a millimetre off centre, 4° off square at most
    assert abs(best.center @ across) < 1.5e-3
    assert abs(best.closing_axis @ across) > np.cos(np.deg2rad(4))
    assert best.center[2] - YUMI.tip_overhang > 3e-3


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_real_objects_get_a_centred_grasp_with_both_jaws_beside_them(shared, number, masked, rng):
    from antipodal.camera_files import load_depth, load_mask

    folder = shared / "data" / "depth" / "gqcnn_primesense_single"
    image = load_depth(folder / f"depth_{number}.npy", folder / "camera.json")
    mask = load_mask(folder / f"segmask_{number}.png", image.depth.shape)
    plan = geometric_policy(YUMI)(image, mask if masked else None, rng)
    best = plan.best
    u, v = np.rint(best.center_px).astype(int)
    assert mask[v, u]
    ends = np.rint(best.endpoints_px(INTRINSICS)).astype(int)
    # the masks are drawn around what the camera smears: their outermost pixels are as low as the table
    solid = ndimage.binary_erosion(mask, iterations=2)
    assert not solid[ends[:, 1], ends[:, 0]].any()
    assert plan.quality[0] > 0.2
