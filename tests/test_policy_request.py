"""What is asked of a planner is what it gives: every policy, every field."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig, InvalidImage
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.planning import ADVICE, DOUBT, describe
from antipodal.policy import POLICIES, Request, make_policy
from antipodal.policy.base import Plan
from antipodal.policy.constraints import ConstraintConfig, check_grasps, unseen_share
from antipodal.policy.finish import is_enough, unlike
from antipodal.policy.reasons import REJECTIONS, explain
from antipodal.policy.request import in_half_turn, in_polygon
from antipodal.policy.table import fit_table, objects_on
from antipodal.policy.view import look
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, camera, down, seen, standing, view_of


def by_column(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
    return grasps.center_px[:, 0] / image.intrinsics.width


def planned(name: str, image: DepthImage, request: Request | None) -> Plan:
    return make_policy(name, by_column, YUMI)(image, request, np.random.default_rng(3))


def in_world(plan: Plan, image: DepthImage) -> Grasp:
    grasps = plan.grasps.to_grasp(image.intrinsics, plan.approach_axis)
    return grasps.in_frame(np.asarray(image.T_world_camera))


@pytest.fixture(scope="module")
def scene() -> tuple[DepthImage, np.ndarray]:
    return seen(box(0.03, 0.08, 0.04), yaw=0.3)


@pytest.mark.parametrize("name", POLICIES)
def test_centres_lie_in_the_box_near_the_target_and_in_the_workspace(name, scene):
    image, mask = scene
    v, u = np.nonzero(mask)
    u0, v0 = u.mean(), v.mean()
    inside = planned(name, image, Request(box_px=np.array([0, 0, 640, v0]))).grasps
    assert len(inside) > 0 and (inside.center_px[:, 1] <= v0 + 0.5).all()

    plan = planned(name, image, Request(target_px=np.array([u0, v0]), target_radius=0.015))
    target = image.intrinsics.deproject([u0, v0], image.depth[round(v0), round(u0)])
    center = plan.grasps.to_grasp(INTRINSICS, plan.approach_axis).center
    # of the centre's pixel on the surface: the centre itself is up to 4 cm below it
    across = center - target - np.outer((center - target) @ plan.approach_axis, plan.approach_axis)
    assert len(plan.grasps) > 0 and np.linalg.norm(across, axis=-1).max() < 0.015 + 0.008

    half = np.array([[-0.2, 0.0], [0.2, 0.0], [0.2, 0.2], [-0.2, 0.2]])
    plan = planned(name, image, Request(workspace=half))
    assert len(plan.grasps) > 0 and in_world(plan, image).center[:, 1].min() >= 0
    if "in_width" in plan.counts:
        assert plan.counts["in_request"] < plan.counts["in_width"]


@pytest.mark.parametrize("name", POLICIES)
def test_the_closing_axis_stays_within_the_yaw_range_in_the_world(name, scene):
    image, _ = scene
    bounds = np.array([0.3, 0.6])
    grasps = in_world(planned(name, image, Request(yaw_range=bounds)), image)
    yaw = np.arctan2(grasps.closing_axis[:, 1], grasps.closing_axis[:, 0]) % np.pi
    assert len(grasps) > 0 and bounds[0] - 1e-6 <= yaw.min() and yaw.max() <= bounds[1] + 1e-6
    # the same asked with the jaws swapped
    swapped = planned(name, image, Request(yaw_range=bounds - np.pi))
    assert len(swapped.grasps) == len(grasps)
    none = planned(name, image, Request(yaw_range=np.array([1.8, 1.85])))
    assert len(none.grasps) == 0 and none.reason is not None


@pytest.mark.parametrize("name", POLICIES)
def test_tips_stay_as_high_as_is_asked_and_the_hand_opens_no_wider(name, scene):
    image, _ = scene
    request = Request(min_height=0.012, width_range=np.array([0.0, 0.042]))
    plan = planned(name, image, request)
    grasps = in_world(plan, image)
    assert len(plan.grasps) > 0
    assert grasps.center[:, 2].min() - YUMI.tip_overhang >= 0.012 - 3e-4
    assert plan.grasps.width.max() <= 0.042


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_thinner_than_asked_is_not_grasped(name):
    image, _ = seen(cylinder(0.01, 0.05))
    plan = planned(name, image, Request(width_range=np.array([0.03, 0.05])))
    assert len(plan.grasps) == 0 and plan.reason is not None
    assert len(planned(name, image, Request(width_range=np.array([0.015, 0.05]))).grasps) > 0


@pytest.mark.parametrize("name", POLICIES)
def test_the_best_few_are_unlike_each_other_and_the_best_is_still_the_best(name, scene):
    image, _ = scene
    every = planned(name, image, None)
    few = planned(name, image, Request(n_grasps=3, min_distance=0.01, min_angle=np.pi))
    assert few.quality[0] == every.quality[0] and len(few.grasps) == 3
    center = few.grasps.to_grasp(INTRINSICS, few.approach_axis).center
    apart = np.linalg.norm(center[:, None] - center, axis=-1)[np.triu_indices(3, 1)]
    assert apart.min() >= 0.01


def test_grasps_that_are_alike_are_not_enough(scene):
    """A search that ended with three good grasps of one place would leave the other two of three to chance."""
    image, mask = scene
    apart = Request(mask=mask, n_grasps=3, min_distance=0.01, min_angle=np.pi)
    spots = np.array(
        [[300.0, 240.0], [300.5, 240.0], [301.0, 240.0], [340.0, 240.0], [380.0, 240.0]]
    )
    grasps = PlanarGrasp(spots, 0.0, 0.7, 0.05)

    def told(request: Request, rows: slice) -> bool:
        view = look(image, request, np.random.default_rng(0))
        quality = np.full(len(grasps[rows]), 0.9)
        return is_enough(grasps[rows], quality, view, 0.9)

    assert told(Request(mask=mask, n_grasps=3), slice(3))
    assert not told(apart, slice(3)) and not told(apart, slice(4))
    assert told(apart, slice(5))


def test_unlike_by_angle_knows_that_a_closing_axis_is_a_line():
    pose = np.stack([transforms.rot_z(a) for a in (0.0, 0.05, np.pi - 0.05, 0.5)])
    request = Request(min_distance=0.01, min_angle=0.2)
    assert unlike(Grasp(pose, 0.05), request).tolist() == [0, 3]
    assert unlike(Grasp(pose, 0.05), Request(n_grasps=2)).tolist() == [0, 1]


def test_a_tilted_approach_beyond_the_limit_is_refused_with_both_angles(scene):
    image, _ = scene
    blind = DepthImage(image.depth, image.intrinsics)
    plan = planned("antipodal", blind, Request(max_tilt=np.deg2rad(5)))
    assert plan.reason is not None and "tilted by 12.7°" in plan.reason
    assert "at most 5.0°" in plan.reason
    # with the pose known the hand comes straight down
    assert len(planned("antipodal", image, Request(max_tilt=0.01)).grasps) > 0


@pytest.mark.parametrize("seed", range(6))
def test_with_the_pose_known_no_rounding_tilts_a_hand_that_comes_straight_down(scene, seed):
    """A unit vector's product with itself may be 1 − ε/2, whose arccos is not 0."""
    way = np.random.default_rng(seed).uniform(-0.3, 0.3, 2)
    pose = transforms.look_at([*way, 0.7], [0.0, 0.0, 0.0])
    image = DepthImage(np.full(INTRINSICS.shape, 0.7), INTRINSICS, pose)
    view = look(image, Request(max_tilt=0.0), np.random.default_rng(0))
    assert view.refusal is None


def test_a_least_height_without_a_table_is_refused():
    depth = np.zeros(INTRINSICS.shape)
    depth[200:280, 290:330] = 0.7
    request = Request(mask=depth > 0, min_height=0.01)
    plan = planned("cem", DepthImage(depth, INTRINSICS), request)
    assert plan.reason is not None and "no table was found" in plan.reason


def test_an_empty_corner_of_the_image_says_so(scene):
    plan = planned("cem", scene[0], Request(box_px=np.array([0, 0, 50, 50])))
    assert plan.reason is not None and "within the box" in plan.reason


@pytest.mark.parametrize("dtype", [bool, np.uint8, float])
def test_what_is_masked_in_a_mask_is_not_the_object(dtype):
    hidden = np.arange(8) % 3 == 0
    mask = np.ma.masked_array(np.ones((6, 8), dtype), np.broadcast_to(hidden, (6, 8)))
    np.testing.assert_array_equal(Request(mask=mask).mask, np.broadcast_to(~hidden, (6, 8)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"box_px": np.array([5, 0, 3, 9])}, "u0 ≤ u1"),
        ({"box_px": np.array([0, 0, np.nan, 9])}, "non-finite"),
        ({"target_px": np.zeros((2, 2))}, "without a batch"),
        ({"workspace": np.zeros((2, 2))}, "3 or more"),
        ({"yaw_range": np.array([1.0, 0.0])}, r"expected \(low, high\)"),
        ({"yaw_range": np.array([60.0, 90.0])}, r"yaw_range 60 rad \(3438°\)"),
        ({"yaw_range": np.array([-90.0, 0.0])}, r"yaw_range -90 rad"),
        (
            {"max_tilt": 30.0},
            r"max_tilt 30 rad \(1719°\): expected between 0 and 1.571 rad \(90°\)",
        ),
        ({"workspace": 100.0 * np.eye(3)[:, :2]}, "workspace 100 m: .* 20 m; millimetres?"),
        ({"width_range": np.array([0.0, 40.0])}, "width_range 40 m: .* 1 m; millimetres?"),
        ({"target_radius": 10.0}, "target_radius 10 m: .* 1 m; millimetres?"),
        ({"min_height": -0.1}, "min_height -0.1"),
        ({"n_grasps": 0}, "n_grasps 0"),
        ({"n_grasps": True}, "n_grasps True"),
        ({"n_grasps": 2.5}, "n_grasps 2.5"),
        ({"min_distance": np.nan}, "min_distance nan"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_senseless_requests_are_refused(fields, words):
    with pytest.raises(InvalidConfig, match=words):
        Request(**fields)


def test_requests_that_this_image_or_hand_cannot_meet_are_refused(scene):
    image, _ = scene
    blind = DepthImage(image.depth, image.intrinsics)
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(InvalidConfig, match="needs T_world_camera"):
        planned("cem", blind, Request(workspace=triangle))
    with pytest.raises(InvalidConfig, match="expected a pixel of the 640×480 image"):
        planned("cem", image, Request(target_px=np.array([700.0, 0.0])))
    with pytest.raises(InvalidConfig, match="yumi opens from 0"):
        planned("cem", image, Request(width_range=np.array([0.06, 0.1])))
    with pytest.raises(InvalidImage, match="1 negative values"):
        Request(mask=np.array([[0, -1, 1]], np.int8))
    with pytest.raises(InvalidImage, match=r"floats such as 0\.0003: expected 0 and 1; threshold"):
        Request(mask=np.array([[3e-4, 0.9997]]))
    mask = Request(mask=np.array([[0.0, np.nan, 1.0]])).mask
    assert mask is not None and mask.tolist() == [[False, False, True]]
    with pytest.raises(InvalidImage, match="mask has shape"):
        Request(mask=np.zeros((3, 4, 5)))


def test_a_polygon_holds_what_its_winding_number_says(rng):
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 1.0], [0.0, 4.0]])
    points = rng.uniform(-1, 5, (500, 2))
    # an independent oracle: the winding number, by the angles under which the sides are seen
    spoke = corners[None] - points[:, None]
    angle = np.arctan2(spoke[..., 1], spoke[..., 0])
    turn = (np.roll(angle, -1, 1) - angle + np.pi) % (2 * np.pi) - np.pi
    assert (in_polygon(points, corners) == (np.abs(turn.sum(1)) > np.pi)).all()


def test_a_yaw_range_is_taken_modulo_half_a_turn():
    angle = np.array([-0.1, 0.0, 0.4, 0.5, 3.1, np.pi])
    expected = [False, True, True, False, False, True]
    assert in_half_turn(angle, np.array([0.0, 0.4])).tolist() == expected
    across = in_half_turn(np.array([1.5, -1.5, 0.0]), np.array([1.4, 1.8]))
    assert across.tolist() == [True, True, False]
    assert in_half_turn(np.linspace(-9, 9, 50), np.array([0.0, np.pi])).all()


@pytest.mark.parametrize("name", POLICIES)
def test_every_checked_candidate_is_counted_once_and_kept_for_the_picture(name, scene):
    plan = planned(name, scene[0], None)
    assert plan.rejected is not None
    n_rejected = sum(plan.counts.get(reason, 0) for reason in REJECTIONS)
    assert len(plan.rejected.grasps) == len(plan.rejected.reason) == n_rejected
    if "free" in plan.counts:
        n_tried = plan.counts["sampled"] + plan.counts.get("drawn", 0)
        assert n_tried == n_rejected + plan.counts["free"]
    by_reason = np.bincount(plan.rejected.reason, minlength=len(REJECTIONS))
    assert by_reason.tolist() == [plan.counts.get(reason, 0) for reason in REJECTIONS]
    worst = list(REJECTIONS)[int(by_reason.argmax())]
    said = f"{by_reason.max()} candidates {REJECTIONS[worst]}"
    # what the dense network proposes may all be executed
    assert plan.commonest_rejection == (said if n_rejected else None)
    assert n_rejected or name == "dense"
    assert plan.to_json(INTRINSICS)["commonest_rejection"] == plan.commonest_rejection


def test_the_reason_is_the_first_stage_that_left_nothing():
    stages = ["edges", "antipodal", "in_width", "in_request", "sampled"]
    said = [explain(dict.fromkeys(stages[:k], 1)) for k in range(5)]
    assert "no edges" in said[0] and "face away" in said[1] and "stroke" in said[2]
    all_rejected = explain(dict.fromkeys(stages, 7) | {"palm_blocked": 4, "finger_blocked": 3})
    assert all_rejected == "all 7 candidates were rejected: 4 would land the palm on something"
    assert explain({}, refusal="because") == "because"


def test_a_fingertip_may_not_go_where_nothing_was_seen():
    view = view_of(box(0.02, 0.02, 0.03), tilt=0.0)
    T = np.asarray(view.image.T_world_camera)
    grasp = down(T, np.array([[0.0, 0.0, 0.02]]), np.zeros(1))
    spatial = grasp.to_grasp(INTRINSICS, view.approach_axis)
    assert unseen_share(view, spatial, YUMI) == pytest.approx(np.zeros((1, 2)))
    # where the +x finger lands there is no depth
    depth = np.array(view.image.depth)
    ends = INTRINSICS.project(spatial.center + 0.032 * spatial.closing_axis)[0]
    v, u = np.mgrid[:480, :640]
    depth[np.hypot(u - ends[0], v - ends[1]) < 20] = 0.0
    holed = look(view.image.with_depth(depth), view.objects, np.random.default_rng(0))
    assert unseen_share(holed, spatial, YUMI)[0].tolist() == [0.0, 1.0]
    assert check_grasps(holed, grasp, YUMI).counts["finger_unseen"] == 1
    assert check_grasps(holed, grasp, YUMI, ConstraintConfig(max_unseen=1.0)).keep.all()


def test_the_space_behind_a_tall_object_is_not_seen():
    # a camera 40° off the vertical: behind a wall of height h the shadow is h·tan 40° long
    tilt, tall = np.deg2rad(40), 0.06
    view = view_of(box(0.08, 0.01, tall), tilt=tilt)
    T = np.asarray(view.image.T_world_camera)
    behind = np.array([0.005 + 0.006, tall * np.tan(tilt) + 0.03])
    points = np.stack([np.zeros(2), behind, np.full(2, 0.004 + YUMI.tip_overhang)], -1)
    grasps = down(T, points, np.zeros(2)).to_grasp(INTRINSICS, view.approach_axis)
    share = unseen_share(view, grasps, YUMI)
    assert share[0].min() > 0.7 and share[1].max() < 0.05


def bin_with(pile: np.ndarray, wall: float = 0.08) -> DepthImage:
    """A camera 0.7 m above a bin's floor, walled all around, with things of some height in it."""
    v, u = np.mgrid[:480, :640]
    outside = np.maximum(np.abs(u - 319.5) - 220, np.abs(v - 239.5) - 160).clip(0) / 40
    return DepthImage(0.7 - np.maximum(wall * outside.clip(0, 1), pile), INTRINSICS)


def test_in_a_bin_a_pile_that_touches_the_wall_is_found_and_the_wall_is_not():
    v, u = np.mgrid[:480, :640]
    leaning = np.where((np.abs(v - 240) < 14) & (u > 430) & (u < 560), 0.03, 0.0)
    image = bin_with(leaning)
    table = fit_table(image, None, np.random.default_rng(0))
    assert table is not None
    objects = objects_on(image, table)
    assert objects[240, 460] and not objects[240, 590] and not objects[30, 320]
    plan = planned("antipodal", image, None)
    assert len(plan.grasps) > 0
    assert (np.abs(plan.grasps.center_px[:, 1] - 240) < 20).all()


def test_an_arm_that_reaches_over_an_open_table_is_no_object():
    arm = standing(box(0.03, 0.05, 0.04))
    image, _ = seen(arm.mesh)
    depth = np.array(image.depth)
    depth[380:, 250:330] = 0.5
    both = DepthImage(depth, INTRINSICS, camera())
    table = fit_table(both, None, np.random.default_rng(0))
    assert table is not None
    objects = objects_on(both, table)
    assert objects.any() and not objects[380:].any()


@pytest.mark.parametrize("name", POLICIES)
def test_a_box_smaller_than_the_object_asks_for_the_centre_and_not_for_the_edges(name):
    image, mask = seen(box(0.03, 0.05, 0.04), yaw=0.4)
    v, u = (int(x.mean()) for x in np.nonzero(mask))
    asked = Request(mask=mask, box_px=np.array([u - 4, v - 4, u + 4, v + 4]))
    plan = make_policy(name, by_column, YUMI)(image, asked, np.random.default_rng(0))
    assert len(plan.grasps) > 5, plan.reason
    assert (np.abs(plan.grasps.center_px - [u, v]) <= 4.5).all()


@pytest.mark.parametrize(("q", "doubted"), [(0.49, True), (0.5, False), (0.9, False)])
def test_a_plan_that_will_rather_fail_is_said_to_be_one(q, doubted):
    grasp = PlanarGrasp(np.zeros((1, 2)), np.zeros(1), np.full(1, 0.7), np.full(1, 0.05))
    said = describe(Plan(grasp, np.array([q])), 0.1)
    assert (DOUBT in said) is (ADVICE in said) is doubted


def test_a_plan_that_is_warned_of_blames_neither_object_nor_hand():
    grasp = PlanarGrasp(np.zeros((1, 2)), np.zeros(1), np.full(1, 7.0), np.full(1, 0.05))
    said = describe(Plan(grasp, np.array([0.1]), warnings=("is the unit right?",)), 0.1)
    assert DOUBT in said and "is the unit right?" in said
    assert ADVICE not in said


@pytest.mark.parametrize(("height", "stands"), [(0.004, False), (0.008, True)])
def test_what_lies_flatter_than_an_object_is_table_and_no_obstacle(height, stands):
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[200:280, 300:340] = 0.65
    depth[200:280, 345:380] -= height
    relief = look(DepthImage(depth, INTRINSICS), depth < 0.66, np.random.default_rng(0)).relief
    x = relief.corner[0] + (np.arange(len(relief.depth)) + 0.5) * relief.cell
    assert np.isfinite(relief.depth[np.abs(x) < 0.02]).any()
    assert np.isfinite(relief.depth[(x > 0.045) & (x < 0.07)]).any() == stands


def test_a_hole_in_an_obstacle_is_an_obstacle():
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[200:280, 300:330] = 0.65  # the object
    depth[200:280, 345:385] = 0.66  # a neighbour, …
    holed = depth.copy()
    holed[232:246, 358:372] = 0.0  # … black in its middle: 2 cm
    whole, black = (
        look(DepthImage(d, INTRINSICS), depth < 0.655, np.random.default_rng(0)).relief
        for d in (depth, holed)
    )
    np.testing.assert_array_equal(np.isfinite(black.depth), np.isfinite(whole.depth))
