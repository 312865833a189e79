"""Whatever is put in: a clear error, or a plan whose grasps are safe, or an empty plan with its reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antipodal import transforms
from antipodal.camera import MIN_DEPTH, CameraIntrinsics, DepthImage
from antipodal.doctor import examine_depth
from antipodal.errors import AntipodalError
from antipodal.gripper import load_gripper
from antipodal.policy import POLICIES, Request, make_policy
from antipodal.policy.closed_loop import ClosedLoopPolicy
from antipodal.policy.table import fit_table
from antipodal.policy.track import Phase
from antipodal.quality import load_quality
from antipodal.waypoints import waypoints

YUMI = load_gripper("yumi")
ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)
LENGTH = st.one_of(st.floats(-2, 2), ANY)
SANE = {"fx": 150.0, "fy": 150.0, "cx": 39.5, "cy": 29.5, "width": 80, "height": 60}
BOUNDED = settings(
    max_examples=25, deadline=20_000, derandomize=True, suppress_health_check=list(HealthCheck)
)


def block_on_table() -> np.ndarray:
    """A block 4 cm high on a table 0.35 m away."""
    depth = np.full((60, 80), 0.35)
    depth[25:32, 30:50] = 0.31
    return depth


@st.composite
def bars(draw: st.DrawFn) -> np.ndarray:
    """A bar on a table at 0.35 m, with noise and holes or without: what a planner must look at."""
    depth = block_on_table()
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    depth += rng.normal(0, draw(st.sampled_from([0.0, 0.001])), depth.shape)
    return np.where(rng.random(depth.shape) < draw(st.sampled_from([0.0, 0.01, 0.6])), 0, depth)


@st.composite
def depths(draw: st.DrawFn) -> np.ndarray:
    """Arrays of any number of axes and dtype; some of them could be depth images."""
    shape = draw(
        st.sampled_from(
            [(), (0, 0), (7,), (1, 1), (2, 3), (60, 80), (60, 80), (60, 80), (60, 80, 3)]
        )
    )
    dtype = draw(st.sampled_from([np.float32, np.float64, np.uint16, np.int32, np.bool_, object]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([0.0, 1e-30, 0.3, 0.7, 700.0, 1e30]))
    values = np.full(shape, scale)
    if values.ndim >= 2 and min(shape[:2]) > 20:
        values[20:40, 30:44] -= 0.05 * scale
        values = values + rng.normal(0, draw(st.sampled_from([0.0, 0.001, 0.2])), shape)
    spoil = draw(st.sampled_from([0.0, 0.0, np.nan, np.inf, -np.inf, -1.0]))
    share = draw(st.sampled_from([0.0, 0.0, 0.01, 0.6, 1.0]))
    values = np.where(rng.random(shape) < share, spoil, values)
    with np.errstate(invalid="ignore", over="ignore"):
        return values.astype(dtype)


@st.composite
def cameras(draw: st.DrawFn) -> dict[str, object]:
    """Numbers for intrinsics, mostly sane."""
    if draw(st.integers(0, 3)):
        return {**SANE, "fx": 90.0, "fy": 90.0}
    number = st.one_of(ANY, st.sampled_from([1e-9, 1e12, -50.0]))
    return {name: draw(number) for name in ("fx", "fy", "cx", "cy")} | {"width": 80, "height": 60}


@st.composite
def poses(draw: st.DrawFn) -> np.ndarray | None:
    """No pose, one above the table, one below it, or no pose at all."""
    kind = draw(st.sampled_from(["none", "above", "below", "up", "not rigid", "far"]))
    below = transforms.look_at([0.0, -0.1, -0.7], [0.0, 0.0, 0.0])
    return {
        "none": None,
        "above": transforms.look_at([0.0, -0.1, 0.7], [0.0, 0.0, 0.0]),
        "below": below,
        "up": transforms.translation([0.0, 0.0, -1.0]),
        "not rigid": np.full((4, 4), draw(ANY)),
        "far": transforms.translation([1e9, 0, 0]) @ transforms.rot_x(np.pi),
    }[kind]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, object]:
    """Fields of a request, sane or not."""
    shape = draw(st.sampled_from([(60, 80), (60, 80), (3, 3), (60, 80, 3), ()]))
    fields = {
        "mask": np.random.default_rng(draw(st.integers(0, 99))).random(shape) < draw(LENGTH),
        "box_px": draw(st.lists(st.one_of(st.floats(-20, 100), ANY), min_size=3, max_size=5)),
        "target_px": draw(st.lists(st.one_of(st.floats(-20, 100), ANY), min_size=2, max_size=2)),
        "target_radius": draw(LENGTH),
        "workspace": [[draw(LENGTH), draw(LENGTH)] for _ in range(draw(st.integers(0, 5)))],
        "yaw_range": [draw(LENGTH), draw(LENGTH)],
        "max_tilt": draw(LENGTH),
        "min_height": draw(LENGTH),
        "width_range": [draw(LENGTH), draw(LENGTH)],
        "n_grasps": draw(st.one_of(st.integers(-1, 5), ANY)),
        "min_distance": draw(LENGTH),
        "min_angle": draw(LENGTH),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(fields)), max_size=2))
    return {name: fields[name] for name in chosen}


@st.composite
def inputs(draw: st.DrawFn) -> tuple[object, ...]:
    """Depth, intrinsics, pose and request, of which up to two may be anything and the others are sound."""
    anything = {"depth": depths(), "numbers": cameras(), "pose": poses(), "fields": requests()}
    sound = {"depth": bars(), "numbers": st.just(SANE), "pose": st.none(), "fields": st.just({})}
    spoilt = draw(st.sets(st.sampled_from(sorted(sound)), max_size=2))
    return tuple(draw((anything if name in spoilt else sound)[name]) for name in sound)


def flat_quality(image: DepthImage, grasps) -> np.ndarray:
    return np.full(len(grasps), 0.5)


QUALITIES = st.sampled_from([flat_quality, load_quality("builtin")])


def assert_safe(plan, image: DepthImage, request: Request) -> None:
    if len(plan.grasps) == 0:
        assert plan.reason
        return
    limit = [image.intrinsics.width - 1, image.intrinsics.height - 1]
    points = np.concatenate(
        [plan.grasps.center_px, plan.grasps.endpoints_px(image.intrinsics).reshape(-1, 2)]
    )
    assert ((points >= 0) & (points <= limit)).all()
    assert ((plan.grasps.width > 0) & (plan.grasps.width <= YUMI.max_width)).all()
    spatial = plan.grasps.to_grasp(image.intrinsics, plan.approach_axis)
    assert np.isfinite(waypoints(spatial, YUMI, image.T_world_camera).T_parent_flange_lift).all()
    table = fit_table(image, request.mask, np.random.default_rng(0))
    if table is not None:
        tips = spatial.center + YUMI.tip_overhang * spatial.approach_axis
        # another random plane fit: 2 mm
        assert table.height(tips).min() > -0.002
    if request.n_grasps is not None:
        assert len(plan.grasps) <= request.n_grasps


def try_to_plan(name: str, quality, depth, numbers, pose, fields) -> str:
    """Plan; check the refusal or the plan, and say which of them it was."""
    try:
        image = DepthImage(depth, CameraIntrinsics(**numbers), pose)
        request = Request(**fields)
        plan = make_policy(name, quality, YUMI)(image, request, np.random.default_rng(0))
    except AntipodalError as error:
        assert len(str(error)) > 20 and "\n" not in str(error)
        return "error"
    assert_safe(plan, image, request)
    return "grasps" if len(plan.grasps) else "empty"


def test_anything_gives_an_error_in_words_or_a_safe_plan():
    ends = Counter()

    @BOUNDED
    @given(name=st.sampled_from([*POLICIES]), quality=QUALITIES, case=inputs())
    def check(name, quality, case):
        ends[try_to_plan(name, quality, *case)] += 1

    check()
    assert ends["grasps"] >= 3 and ends["error"] >= 3


@pytest.mark.parametrize("name", POLICIES)
def test_a_unit_that_is_ten_times_too_small_is_refused_in_the_doctors_words(name):
    policy, rng = make_policy(name, flat_quality, YUMI), np.random.default_rng(0)
    depth, camera = block_on_table(), CameraIntrinsics(**SANE)
    plan = policy(DepthImage(depth / 10, camera), None, rng)
    errors = [f.message for f in examine_depth(depth / 10, camera) if f.severity == "error"]
    assert len(plan.grasps) == 0
    assert errors == [plan.reason]
    assert "median 0.035 m: expected metres" in errors[0]
    for factor, is_refused in ((0.99, True), (1.01, False)):  # of the least median
        plan = policy(DepthImage(depth / 0.35 * MIN_DEPTH * factor, camera), None, rng)
        assert ("is the unit right" in f"{plan.reason}, {plan.warnings}") == is_refused


@pytest.mark.parametrize("name", POLICIES)
def test_a_unit_that_is_ten_times_too_large_is_warned_of_in_the_doctors_words(name):
    policy, rng = make_policy(name, flat_quality, YUMI), np.random.default_rng(0)
    depth, camera = block_on_table(), CameraIntrinsics(**SANE)
    assert not any("unit" in w for w in policy(DepthImage(depth, camera), None, rng).warnings)
    plan = policy(DepthImage(depth * 10, camera), None, rng)
    found = [f.message for f in examine_depth(depth * 10, camera) if f.severity == "warning"]
    (warning,) = [w for w in plan.warnings if "unit" in w]
    assert warning in found and "median 3.500 m: far for grasping" in warning


def test_any_request_on_a_sound_image_is_refused_or_met():
    ends = Counter()

    @BOUNDED
    @given(
        name=st.sampled_from([*POLICIES]), depth=bars(), pose=st.none() | poses(), fields=requests()
    )
    def check(name, depth, pose, fields):
        ends[try_to_plan(name, flat_quality, depth, SANE, pose, fields)] += 1

    check()
    assert ends["grasps"] >= 3 and ends["error"] >= 3


def test_any_frame_after_a_sound_one_is_refused_followed_or_lost_for_a_reason():
    ends = Counter()
    sound = st.tuples(bars(), st.just(SANE), st.none(), st.just({}))

    @BOUNDED
    @given(first=bars(), case=sound | inputs(), later=st.sampled_from([-1.0, 0.1, 0.1, 0.1, 1e9]))
    def check(first, case, later):
        depth, numbers, pose, fields = case
        follow, rng = ClosedLoopPolicy(flat_quality, YUMI), np.random.default_rng(0)
        follow(DepthImage(first, CameraIntrinsics(**SANE)), None, rng, 0.0)
        try:
            image = DepthImage(depth, CameraIntrinsics(**numbers), pose)
            tracked = follow(image, Request(**fields), rng, later)
        except AntipodalError as error:
            assert len(str(error)) > 20 and "\n" not in str(error)
            ends["error"] += 1
            return
        if tracked.grasp is None:
            assert tracked.reason
        else:
            assert np.isfinite(tracked.grasp.pose).all() and np.isfinite(tracked.velocity).all()
            assert 0 < tracked.grasp.width <= YUMI.max_width
        ends[tracked.phase] += 1

    check()
    assert ends["error"] >= 3 and ends[Phase.TRACKED] >= 3
