"""What the jaws meet: closed forms on boxes and cylinders, invariances."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal.grasp import Grasp
from antipodal.policy.closing import Closing, close_jaws
from antipodal.policy.seen import see_objects
from antipodal.policy.view import View
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, down, view_of

PIXEL = 0.7 / 525.0
"""Side of a pixel on the table, m: the least that an outline can be wrong by."""
FACE = YUMI.max_width / 2 + YUMI.jaw_clearance


def closed(view: View, points: np.ndarray, yaw: np.ndarray) -> Closing:
    T = np.asarray(view.image.T_world_camera)
    grasps = down(T, np.asarray(points), np.asarray(yaw))
    grasps_camera = grasps.to_grasp(INTRINSICS, view.approach_axis)
    return close_jaws(view, see_objects(view), grasps_camera, YUMI)


def test_a_bar_between_the_jaws_leaves_the_stroke_minus_its_width():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    found = closed(view, [[0.0, 0.0, 0.03], [0.004, 0.0, 0.03]], np.zeros(2))
    assert found.clearance[0] == pytest.approx(np.full(2, FACE - 0.012), abs=2 * PIXEL)
    assert np.sort(found.clearance[1]) == pytest.approx([FACE - 0.016, FACE - 0.008], abs=2 * PIXEL)
    # both outlines move together: the sum is the stroke's rest, wherever the hand is
    assert found.clearance.sum(-1) == pytest.approx(np.full(2, 2 * FACE - 0.024), abs=3 * PIXEL)
    assert (found.coverage == 1.0).all()


def test_a_turned_bar_has_the_slope_of_its_angle():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    yaw = np.array([0.0, 0.2, -0.2, 0.4])
    found = closed(view, np.tile([0.0, 0.0, 0.03], (4, 1)), yaw)
    expected = np.broadcast_to(np.abs(np.tan(yaw))[:, None], (4, 2))
    assert found.slope == pytest.approx(expected, abs=0.06)


def test_engagement_is_the_depth_of_the_tips_below_the_top():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    heights = np.array([0.02, 0.03, 0.04])
    points = np.stack([np.zeros(3), np.zeros(3), heights], -1)
    found = closed(view, points, np.zeros(3))
    assert found.engagement == pytest.approx(0.04 - heights + YUMI.tip_overhang, abs=1e-3)


def test_the_palm_has_the_room_between_its_face_and_the_top():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    heights = np.array([0.015, 0.025, 0.035])
    points = np.stack([np.zeros(3), np.zeros(3), heights], -1)
    reach = YUMI.finger_depth - YUMI.tip_overhang
    assert closed(view, points, np.zeros(3)).palm_room == pytest.approx(
        heights + reach - 0.04, abs=1e-3
    )


def test_the_lever_is_the_distance_of_the_closing_line_from_the_centroid():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    points = np.array([[0.0, 0.0, 0.03], [0.0, 0.02, 0.03], [0.009, 0.0, 0.03]])
    found = closed(view, points, np.zeros(3))
    assert found.lever == pytest.approx([0.0, 0.02, 0.0], abs=PIXEL)


def test_half_a_jaw_at_the_end_of_a_bar_is_half_covered():
    view = view_of(box(0.024, 0.10, 0.04), tilt=0.0)
    found = closed(view, [[0.0, 0.05, 0.03], [0.0, 0.08, 0.03]], np.zeros(2))
    assert found.coverage == pytest.approx([0.5, 0.0], abs=0.13)


def test_a_finger_over_the_object_has_negative_clearance():
    view = view_of(box(0.09, 0.09, 0.04), tilt=0.0)
    found = closed(view, [[0.0, 0.0, 0.03]], np.zeros(1))
    # the outer face lies this far within the box
    assert found.clearance[0] == pytest.approx(np.full(2, -YUMI.jaw_thickness / 2), abs=2 * PIXEL)


def test_above_everything_nothing_is_in_the_way_and_nothing_is_held():
    view = view_of(box(0.024, 0.05, 0.04), tilt=0.0)
    found = closed(view, [[0.0, 0.0, 0.06], [0.12, 0.0, 0.03]], np.zeros(2))
    assert np.isinf(found.clearance[0]).all()
    assert found.coverage.tolist() == [0.0, 0.0]
    assert found.engagement.tolist() == [0.0, 0.0]


def test_a_cylinder_meets_both_jaws_alike_from_any_side(rng):
    view = view_of(cylinder(0.018, 0.05), tilt=0.0)
    yaw = rng.uniform(-np.pi / 2, np.pi / 2, 12)
    found = closed(view, np.tile([0.0, 0.0, 0.035], (12, 1)), yaw)
    assert found.clearance == pytest.approx(np.full((12, 2), FACE - 0.018), abs=2 * PIXEL)
    assert found.slope.max() < 0.15


def test_swapped_jaws_swap_the_answers_and_a_batch_is_its_parts(rng):
    view = view_of(box(0.02, 0.05, 0.04), yaw=0.3)
    n = 30
    points = np.concatenate([rng.normal(0, 0.01, (n, 2)), rng.uniform(0.02, 0.04, (n, 1))], -1)
    yaw = rng.uniform(-np.pi, np.pi, n)
    T = np.asarray(view.image.T_world_camera)
    grasps = down(T, points, yaw).to_grasp(INTRINSICS, view.approach_axis)
    turned = Grasp(grasps.pose @ np.diag([-1.0, -1.0, 1.0, 1.0]), grasps.width)
    seen = see_objects(view)
    here, there = (close_jaws(view, seen, g, YUMI) for g in (grasps, turned))
    assert there.clearance[:, ::-1] == pytest.approx(here.clearance, abs=1e-9)
    assert there.lever == pytest.approx(here.lever)
    part = close_jaws(view, seen, grasps[7:9], YUMI)
    for name in Closing._fields:
        assert getattr(part, name) == pytest.approx(getattr(here, name)[7:9]), name
