"""Qualities without learning: their geometry in closed form, and what they prefer."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.policy import make_policy
from antipodal.policy.heuristics import (
    centroid_policy,
    centroid_quality,
    close_jaws,
    geometric_quality,
    random_quality,
)
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, seen, view_of


def down(T_world_camera: np.ndarray, points: np.ndarray, yaw: np.ndarray) -> PlanarGrasp:
    """Straight-down grasps at world points."""
    closing = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))], -1)
    world = Grasp.from_axes(points, closing, [0.0, 0.0, -1.0], YUMI.max_width)
    return world.in_frame(transforms.inverse(T_world_camera)).to_planar(INTRINSICS)


def test_closing_on_a_bar_measures_gap_slope_coverage_and_engagement():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    yaw = np.array([0.0, 0.2, -0.2, 0.0])
    points = np.array([[0.0, 0.0, 0.03]] * 3 + [[0.004, 0.0, 0.03]])
    T = np.asarray(view.image.T_world_camera)
    closing = close_jaws(view, down(T, points, yaw).to_grasp(INTRINSICS, view.approach_axis), YUMI)
    cell = 0.003  # a cell, half a pixel and a step of the jaw
    assert closing.gap[0] == pytest.approx([0.013, 0.013], abs=cell)
    assert np.sort(closing.gap[3]) == pytest.approx([0.009, 0.017], abs=cell)
    assert closing.slope == pytest.approx([0.0, np.tan(0.2), np.tan(0.2), 0.0], abs=0.06)
    assert (closing.coverage == 1.0).all()
    # tips 12.2 mm below 30 mm, the top is at 40 mm
    assert closing.engagement == pytest.approx(np.full(4, 0.0222), abs=2e-3)


def test_closing_on_nothing_has_no_coverage_and_no_gap():
    view = view_of(box(0.024, 0.05, 0.04), tilt=0.0)
    T = np.asarray(view.image.T_world_camera)
    grasps = down(T, np.array([[0.12, 0.0, 0.03]]), np.zeros(1))
    closing = close_jaws(view, grasps.to_grasp(INTRINSICS, view.approach_axis), YUMI)
    assert closing.coverage[0] == 0.0
    assert closing.gap[0].tolist() == [0.0, 0.0]
    assert geometric_quality(YUMI)(view.image, grasps)[0] == 0.0


def test_the_geometric_quality_prefers_centred_square_deep_grasps():
    image, _ = seen(box(0.024, 0.08, 0.045))
    points = np.array(
        [
            [0.0, 0.0, 0.03],
            [0.008, 0.0, 0.03],
            [0.0, 0.0, 0.03],
            [0.0, 0.0, 0.052],
            [0.0, 0.034, 0.03],
        ]
    )
    yaw = np.array([0.0, 0.0, 0.4, 0.0, 0.0])
    q = geometric_quality(YUMI)(image, down(np.asarray(image.T_world_camera), points, yaw))
    good, off_centre, skew, shallow, at_the_end = q
    assert good > 0.8
    assert max(off_centre, skew, shallow, at_the_end) < 0.8 * good


def test_the_geometric_quality_is_the_same_for_swapped_jaws_and_in_any_batch(rng):
    image, _ = seen(cylinder(0.018, 0.05))
    points = np.concatenate([rng.normal(0, 0.01, (40, 2)), rng.uniform(0.02, 0.05, (40, 1))], -1)
    grasps = down(np.asarray(image.T_world_camera), points, rng.uniform(-np.pi, np.pi, 40))
    quality = geometric_quality(YUMI)
    q = quality(image, grasps)
    assert ((q >= 0) & (q <= 1)).all() and q.std() > 0.05
    swapped = PlanarGrasp(grasps.center_px, grasps.angle + np.pi, grasps.depth, grasps.width)
    assert quality(image, swapped) == pytest.approx(q)
    assert quality(image, grasps[7:9]) == pytest.approx(q[7:9])
    assert quality(image, grasps[:0]).shape == (0,)


def test_a_quality_does_not_remember_the_wrong_image():
    bar, _ = seen(box(0.024, 0.08, 0.045))
    low, _ = seen(box(0.06, 0.08, 0.02))
    quality, fresh = geometric_quality(YUMI), geometric_quality(YUMI)
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


def test_chance_is_uniform(rng):
    image, _ = seen(box())
    grasps = PlanarGrasp(np.full((4000, 2), 300.0), 0.0, 0.7, 0.05)
    q = random_quality(rng)(image, grasps)
    assert q.min() >= 0 and q.max() <= 1
    # the largest deviation of the empirical distribution: Kolmogorov's 99.9 % bound
    assert np.abs(np.sort(q) - np.linspace(0, 1, 4000)).max() < 1.95 / np.sqrt(4000)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no mask"])
def test_real_objects_get_a_centred_grasp_with_both_jaws_beside_them(shared, number, masked, rng):
    from antipodal.camera_files import load_depth, load_mask

    folder = shared / "data" / "depth" / "gqcnn_primesense_single"
    image = load_depth(folder / f"depth_{number}.npy", folder / "camera.json")
    mask = load_mask(folder / f"segmask_{number}.png", image.depth.shape)
    plan = make_policy("cem", geometric_quality(YUMI), YUMI)(image, mask if masked else None, rng)
    best = plan.best
    u, v = np.rint(best.center_px).astype(int)
    assert mask[v, u]
    ends = np.rint(best.endpoints_px(INTRINSICS)).astype(int)
    assert not mask[ends[:, 1], ends[:, 0]].any()
    assert plan.quality[0] > 0.2
