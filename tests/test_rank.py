"""The fixed-set policy, what no planner may do, and what it says when it finds nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antipodal import transforms
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.errors import InvalidConfig, InvalidImage, NoGraspFound
from antipodal.grasp import PlanarGrasp
from antipodal.gripper import load_gripper
from antipodal.policy import POLICIES, make_policy
from antipodal.policy.base import Plan
from antipodal.policy.constraints import ConstraintConfig
from antipodal.policy.rank import rank_policy
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, seen

SMALL = CameraIntrinsics(130.0, 130.0, 79.5, 59.5, 160, 120)


def by_column(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
    """A quality that anyone can check."""
    return grasps.center_px[:, 0] / image.intrinsics.width


def assert_safe(plan: Plan, image: DepthImage, mask: np.ndarray | None) -> None:
    """Nothing that a planner promises not to return is in the plan."""
    if len(plan.grasps) == 0:
        assert plan.reason
        return
    limit = np.array([image.intrinsics.width - 1, image.intrinsics.height - 1])
    points = np.concatenate(
        [plan.grasps.center_px, plan.grasps.endpoints_px(image.intrinsics).reshape(-1, 2)]
    )
    assert ((points >= 0) & (points <= limit)).all()
    assert (plan.grasps.depth > 0).all()
    if mask is not None:
        u, v = np.rint(plan.grasps.center_px).astype(int).T
        assert mask[v, u].all()


@pytest.mark.parametrize("name", POLICIES)
def test_a_plan_is_sorted_and_scored_by_the_quality_function(name, rng):
    image, mask = seen(box(0.03, 0.05, 0.04))
    plan = make_policy(name, by_column, YUMI)(image, mask, rng)
    assert len(plan.grasps) > 30
    assert (np.diff(plan.quality) <= 0).all()
    assert plan.quality == pytest.approx(by_column(image, plan.grasps))
    assert plan.counts["planned"] == len(plan.grasps)
    assert_safe(plan, image, mask)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("known", [True, False], ids=["pose known", "pose unknown"])
def test_the_approach_is_minus_the_tables_normal_and_tips_stay_above_it(name, known, rng):
    image, mask = seen(box(0.03, 0.05, 0.04), yaw=0.5, tilt=0.25)
    T = np.asarray(image.T_world_camera)
    given_image = image if known else DepthImage(image.depth, INTRINSICS)
    plan = make_policy(name, by_column, YUMI)(given_image, None, rng)
    world = plan.grasps.to_grasp(INTRINSICS, plan.approach_axis).in_frame(T)
    assert np.rad2deg(np.arccos(-world.approach_axis[:, 2].min())) < 0.2
    tips = world.center[:, 2] - YUMI.tip_overhang
    assert tips.min() > 0.002
    assert_safe(plan, image, None)
    u, v = np.rint(plan.grasps.center_px).astype(int).T
    assert mask[v, u].mean() > 0.95  # found without the mask


def test_without_a_table_the_approach_is_the_optical_axis(rng):
    depth = np.zeros(INTRINSICS.shape)
    depth[200:280, 290:330] = 0.7
    plan = rank_policy(by_column, YUMI)(DepthImage(depth, INTRINSICS), None, rng)
    assert plan.approach_axis.tolist() == [0.0, 0.0, 1.0]


def test_other_grippers_plan_with_their_own_stroke(rng):
    image, mask = seen(box(0.06, 0.06, 0.05))
    hand = load_gripper("franka_hand")
    plan = rank_policy(by_column, hand)(image, mask, rng)
    assert len(plan.grasps) > 10
    assert (plan.grasps.width == hand.max_width).all()
    narrow = rank_policy(by_column, YUMI)(image, mask, rng)
    assert len(narrow.grasps) == 0


def test_an_empty_table_says_that_nothing_stands_on_it(rng):
    image = DepthImage(np.full(INTRINSICS.shape, 0.7), INTRINSICS)
    plan = rank_policy(by_column, YUMI)(image, None, rng)
    assert plan.reason is not None and plan.reason.startswith("nothing stands on the table")
    with pytest.raises(NoGraspFound, match="nothing stands") as caught:
        _ = plan.best
    assert caught.value.counts["planned"] == 0


def test_a_too_wide_object_is_named_as_the_reason(rng):
    image, mask = seen(box(0.09, 0.09, 0.05), tilt=0.0)
    plan = rank_policy(by_column, YUMI)(image, mask, rng)
    assert plan.reason is not None
    assert "too wide" in plan.reason or "wider than the gripper" in plan.reason


def test_a_finger_in_the_way_is_named_as_the_reason(rng):
    image, mask = seen(cylinder(0.0245, 0.05), tilt=0.0)
    wary = ConstraintConfig(lateral_margin=0.004)
    plan = rank_policy(by_column, YUMI, constraints=wary)(image, mask, rng)
    assert plan.reason is not None and "would land a finger on something" in plan.reason


def test_bad_masks_and_a_camera_that_looks_up_are_refused(rng):
    image, mask = seen(box())
    policy = rank_policy(by_column, YUMI)
    with pytest.raises(InvalidImage, match="mask is empty"):
        policy(image, np.zeros_like(mask), rng)
    with pytest.raises(InvalidImage, match=r"mask has shape \(10, 10\): expected \(480, 640\)"):
        policy(image, np.ones((10, 10), bool), rng)
    up = DepthImage(image.depth, INTRINSICS, transforms.translation([0.0, 0.0, 1.0]))
    with pytest.raises(
        InvalidConfig, match="90° above the horizon: expected a camera that looks down"
    ):
        policy(up, mask, rng)


def test_a_quality_that_is_no_quality_is_refused(rng):
    image, mask = seen(box())
    with pytest.raises(InvalidConfig, match=r"expected shape \(\d+,\) in \[0, 1\]"):
        rank_policy(lambda i, g: np.full(len(g), 1.5), YUMI)(image, mask, rng)
    with pytest.raises(InvalidConfig, match=r"range \[-0\.1, "):
        rank_policy(lambda i, g: np.full(len(g), -0.1), YUMI)(image, mask, rng)
    with pytest.raises(InvalidConfig, match=r"returned shape \(3,\)"):
        rank_policy(lambda i, g: np.zeros(3), YUMI)(image, mask, rng)
    with pytest.raises(InvalidConfig, match="expected shape"):
        rank_policy(lambda i, g: np.full(len(g), np.nan), YUMI)(image, mask, rng)


TWO = PlanarGrasp(np.full((2, 2), 300.0), np.zeros(2), np.full(2, 0.7), np.full(2, 0.05))


@pytest.mark.parametrize(
    ("grasps", "quality", "axis", "said"),
    [
        (TWO, [0.1, 0.9], [0, 0, 1], "not descending: expected the best grasp first"),
        (TWO, [0.9], [0, 0, 1], r"grasps \(2,\) with quality \(1,\): expected \(N,\) of each"),
        (TWO, 0.9, [0, 0, 1], r"with quality \(\)"),
        (TWO[0], 0.9, [0, 0, 1], r"grasps \(\) with"),
        (TWO, [0.9, np.nan], [0, 0, 1], "1 non-finite"),
        (TWO, [3.0, 0.5], [0, 0, 1], r"between 0\.5 and 3: expected probabilities in \[0, 1\]"),
        (TWO, [0.5, -0.1], [0, 0, 1], r"between -0\.1 and 0\.5"),
        (TWO, [0.9, 0.5], [0, 0, 2], "expected one direction of length 1"),
        (TWO, [0.9, 0.5], [[0, 0, 1]], "expected one direction of length 1"),
        (TWO, [0.9, 0.5], [0, 1], r"approach_axis has shape \(2,\)"),
    ],
)
def test_a_plan_that_is_no_plan_is_refused(grasps, quality, axis, said):
    with pytest.raises(InvalidConfig, match=said):
        Plan(grasps, np.array(quality), np.array(axis))


def test_a_plan_keeps_what_it_was_given_whatever_becomes_of_it():
    quality, axis = np.array([0.5, 0.5]), np.array([0.0, 0.0, 1.0])
    plan = Plan(TWO, quality, axis)
    quality[:], axis[:] = 0.0, 0.0
    np.testing.assert_array_equal(plan.quality, [0.5, 0.5])
    np.testing.assert_array_equal(plan.approach_axis, [0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="read-only"):
        plan.quality[0] = 1.0


@pytest.mark.parametrize("rng", [0, np.random.RandomState(0), np.random, None])
@pytest.mark.parametrize("name", POLICIES)
def test_what_is_no_generator_is_told_how_to_make_one(name, rng):
    image, mask = seen(box())
    with pytest.raises(InvalidConfig, match=r"expected numpy\.random\.default_rng\(seed\)"):
        make_policy(name, by_column, YUMI)(image, mask, rng)


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(InvalidConfig, match="policy 'magic': expected one of auto, antipodal, cem"):
        make_policy("magic", by_column, YUMI)


def test_auto_is_the_cross_entropy_method():
    image, mask = seen(box(0.03, 0.05, 0.04))
    auto, cem = (
        make_policy(name, by_column, YUMI)(image, mask, np.random.default_rng(0))
        for name in ("auto", "cem")
    )
    np.testing.assert_array_equal(auto.quality, cem.quality)


def odd_depth(kind: str, seed: int) -> np.ndarray:
    """Images that no table-top scene produces."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:120, :160]
    plane = 0.6 + rng.uniform(-2e-3, 2e-3) * u + rng.uniform(-2e-3, 2e-3) * v
    spots = rng.random((120, 160))
    match kind:
        case "few pixels":
            return np.where(spots < rng.choice([0.0005, 0.02]), 0.7, 0.0) + np.pad(
                [[0.7]], ((5, 114), (5, 154))
            )
        case "tilted plane with holes":
            return np.where(spots < rng.uniform(0, 0.9), 0.0, np.maximum(plane, 0.1))
        case "noise":
            return rng.uniform(0.2, 2.0, (120, 160))
        case "steps":
            return (
                0.5
                + 0.03 * ((u // rng.integers(4, 30)) % 2)
                + 0.02 * ((v // rng.integers(4, 30)) % 3)
            )
        case "near":
            return np.where(np.hypot(u - 80, v - 60) < rng.integers(2, 50), 0.02, 0.06)
        case _:
            return np.where(
                np.hypot(u - rng.integers(160), v - rng.integers(120)) < 20, 0.65, plane
            )


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(
        ["few pixels", "tilted plane with holes", "noise", "steps", "near", "bump"]
    ),
    seed=st.integers(0, 2**31),
    name=st.sampled_from(list(POLICIES)),
    masked=st.booleans(),
    posed=st.booleans(),
)
def test_odd_images_never_crash_a_planner_nor_get_an_unsafe_grasp(kind, seed, name, masked, posed):
    rng = np.random.default_rng(seed)
    T = transforms.look_at([0.0, -0.2, 0.6], [0.0, 0.0, 0.0]) if posed else None
    image = DepthImage(np.asarray(odd_depth(kind, seed)), SMALL, T)
    mask = (rng.random((120, 160)) < 0.6) if masked else None
    plan = make_policy(name, by_column, load_gripper("yumi"))(image, mask, rng)
    assert_safe(plan, image, mask)
