"""Following a grasp: filters and geometry in closed form, the loop on rendered frames, the test bed in MuJoCo."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from antipodal import transforms
from antipodal.bench.tracking import (
    HOME,
    WIDE,
    Loop,
    LoopController,
    TrackingScene,
    camera_beside,
    draw_scene,
    run_scene,
)
from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig, InvalidImage
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import load_gripper
from antipodal.mesh import joined
from antipodal.policy.base import Plan, QualityFn, empty_plan
from antipodal.policy.closed_loop import ClosedLoopPolicy
from antipodal.policy.constraints import check_grasps
from antipodal.policy.hand_in_view import best_rigid, hand_mask, locate_hand, without_hand
from antipodal.policy.heuristics import GeometricQuality, geometric_policy
from antipodal.policy.request import Request
from antipodal.policy.track import ClosedLoopConfig, Phase, Tracked
from antipodal.policy.view import look
from antipodal.policy.warm_start import blended, candidates_around, elite_mean, window_px
from antipodal.quality import load_quality
from antipodal.render.depth import render
from antipodal.render.noise import SensorNoise
from antipodal.render.scene import Scene
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.support import SupportPath, drift
from antipodal.sim.tracking import (
    Command,
    Frame,
    StandingCamera,
    TrackingConfig,
    photograph,
    stepped,
    track_and_lift,
)
from antipodal.sim.trial import Outcome
from antipodal.sim.world import World
from conftest import box
from policy_scenes import INTRINSICS, YUMI, camera

BOX = box(0.03, 0.08, 0.04)
UP = np.array([0.0, 0.0, 1.0])
DOWN = -UP
WIDTH = YUMI.max_width


def frame_of(x: float, y: float = 0.0, yaw: float = 0.0) -> DepthImage:
    """The box standing at (x, y), seen by the benchmark's kind of camera, without noise."""
    T_world_obj = transforms.translation([x, y, 0.02]) @ transforms.rot_z(yaw)
    return render(Scene(BOX, T_world_obj, camera(), INTRINSICS)).image


def best_near(point: np.ndarray):
    """A quality that is highest at one point of the object's table position, known to the test alone."""

    def quality(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
        assert image.T_world_camera is not None
        center = grasps.to_grasp(image.intrinsics).in_frame(image.T_world_camera).center
        return 0.9 * np.exp(-np.linalg.norm(center[:, :2] - point, axis=-1) / 0.05)

    return quality


def planner_at(x: float, y: float):
    """A planner that knows the answer: the box's middle, across its short side."""

    def plan(image: DepthImage, asked: object, rng: np.random.Generator) -> Plan:
        assert image.T_world_camera is not None
        grasp = Grasp.from_axes([[x, y, 0.03]], [[1.0, 0.0, 0.0]], DOWN, WIDTH)
        camera_grasp = grasp.in_frame(transforms.inverse(image.T_world_camera))
        axis = -transforms.inverse(image.T_world_camera)[:3, 2]
        return Plan(camera_grasp.to_planar(image.intrinsics), np.array([0.8]), axis)

    return plan


def follow(positions: list[tuple[float, float]], tracker: ClosedLoopPolicy) -> list[Tracked]:
    """Feed frames at 10 Hz."""
    rng = np.random.default_rng(0)
    return [tracker(frame_of(x, y), None, rng, 0.1 * k) for k, (x, y) in enumerate(positions)]


def constant(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
    return np.full(len(grasps), 0.5)


def test_a_grasp_follows_its_object_and_learns_the_velocity() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    way = [(0.01 * k, -0.005 * k) for k in range(10)]  # 0.1 and −0.05 m/s
    steps = follow(way, tracker)
    assert [s.phase for s in steps] == [Phase.PLANNED] + [Phase.TRACKED] * 9
    last = steps[-1].grasp
    assert last is not None
    assert np.abs(steps[-1].velocity - [0.1, -0.05, 0.0]).max() < 0.01
    assert np.linalg.norm(last.center[:2] - way[-1]) < 0.005
    ahead = steps[-1].ahead(0.5)
    assert ahead is not None
    assert np.allclose(ahead.center - last.center, 0.5 * steps[-1].velocity)


def test_a_network_is_told_of_the_hand_that_follows() -> None:
    network, hand = load_quality("builtin"), load_gripper("robotiq_2f85")
    assert network.gripper != hand.name

    def followed(quality: QualityFn) -> list[float]:
        tracker = ClosedLoopPolicy(quality, hand, planner=planner_at(0.0, 0.0))
        return [step.quality for step in follow([(0.0, 0.0)] * 4, tracker)]

    told = followed(network)
    assert told == followed(network.for_gripper(hand))
    assert told != followed(lambda image, grasps: network(image, grasps))


def test_turning_rises_where_the_object_turns_and_falls_again() -> None:
    """An exponential mean of time constant τ lags a step in velocity by the whole step, then by e^(−t/τ) of it."""
    there = [(0.006 * k, 0.0) for k in range(8)]
    back = [(0.042, 0.006 * k) for k in range(1, 9)]
    config = ClosedLoopConfig(position_gain=1.0, velocity_gain=1.0)
    steps = follow(there + back, ClosedLoopPolicy(constant, YUMI, config, planner_at(0.0, 0.0)))
    turning = np.array([s.turning for s in steps])
    assert steps[7].turning < 0.005
    step = 0.06 * np.sqrt(2.0)  # from (0.06, 0) to (0, 0.06) m/s; frames come every 0.1 s
    expected = step * np.exp(-np.arange(1, 9) * 0.1 / config.turning_time)
    assert np.abs(turning[8:] - expected).max() < 0.006


def hide(image: DepthImage, half: str) -> DepthImage:
    """Drop the depth of half of the box where it stands at x = 0.03, and of everything beyond."""
    u = int(np.floor(image.intrinsics.cx + 0.03 / 0.68 * image.intrinsics.fx))
    depth = np.array(image.depth)
    depth[:, slice(u, None) if half == "right" else slice(None, u)] = 0.0
    return image.with_depth(depth)


@pytest.mark.parametrize("half", ["left", "right"])
def test_a_half_hidden_object_is_followed_as_if_it_were_whole(half: str) -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng = np.random.default_rng(0)
    whole = [tracker(frame_of(0.01 * k), None, rng, 0.1 * k) for k in range(4)][-1]
    assert whole.grasp is not None
    grasp_obj = whole.grasp.center - [0.03, 0.0, 0.0]
    for k, x in enumerate([0.032, 0.034, 0.032, 0.030]):
        partly = tracker(hide(frame_of(x), half), None, rng, 0.4 + 0.1 * k)
        assert partly.phase is Phase.TRACKED and partly.reason == "partly hidden"
        assert partly.grasp is not None
        assert np.linalg.norm(partly.grasp.center - grasp_obj - [x, 0.0, 0.0]) < 0.004


def test_a_committed_grasp_moves_with_its_object_and_is_not_changed() -> None:
    """What would be a better grasp, 3 cm along the box, neither pulls it nor takes over."""
    good = best_near(np.array([0.0, 0.03]))
    config = ClosedLoopConfig(switch_margin=0.1)
    tracker = ClosedLoopPolicy(good, YUMI, config, planner_at(0.0, -0.02))
    rng = np.random.default_rng(0)
    steps = [tracker(frame_of(0.005 * k), None, rng, 0.1 * k, committed=True) for k in range(8)]
    assert {s.reason for s in steps[1:]} == {"committed"}
    first, last = steps[0].grasp, steps[-1].grasp
    assert first is not None and last is not None
    assert np.allclose(last.closing_axis, first.closing_axis)
    assert np.allclose(last.center - first.center, [0.035, 0.0, 0.0], atol=0.002)


@pytest.mark.parametrize("dt", [0.03, 0.3, 0.9])
def test_a_refinement_goes_the_share_of_a_low_pass(dt: float) -> None:
    tau, better = 0.3, 0.9
    tracker = ClosedLoopPolicy(
        lambda image, grasps: np.full(len(grasps), better),
        YUMI,
        ClosedLoopConfig(smoothing_time=tau),
        planner_at(0.0, 0.0),
    )
    rng = np.random.default_rng(0)
    before, after = (tracker(frame_of(0.0), None, rng, t) for t in (0.0, dt))
    share = 1 - np.exp(-dt / tau)
    assert after.phase is Phase.TRACKED and before.quality != better
    assert after.quality == pytest.approx(before.quality + share * (better - before.quality))


def test_a_velocity_is_no_larger_than_the_largest() -> None:
    config = ClosedLoopConfig(velocity_gain=1.0, max_speed=0.3)
    tracker = ClosedLoopPolicy(constant, YUMI, config, planner_at(0.0, 0.0))
    rng = np.random.default_rng(0)
    steps = [tracker(frame_of(x), None, rng, 0.1 * k) for k, x in enumerate((0.0, 0.025, 0.075))]
    assert [s.phase for s in steps[1:]] == [Phase.TRACKED] * 2
    assert np.linalg.norm(steps[1].velocity) == pytest.approx(0.25, abs=0.02)
    assert np.linalg.norm(steps[2].velocity) == pytest.approx(0.3)


def test_what_seems_to_rise_moves_no_grasp_off_its_table() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, first = np.random.default_rng(0), frame_of(0.0)
    risen = transforms.translation([0.0, 0.0, 0.01]) @ np.asarray(first.T_world_camera)
    before = tracker(first, None, rng, 0.0, committed=True)
    image = DepthImage(first.depth, INTRINSICS, risen)
    after = tracker(image, None, rng, 0.1, committed=True)
    assert after.phase is Phase.TRACKED
    assert before.grasp is not None and after.grasp is not None
    assert after.grasp.center == pytest.approx(before.grasp.center, abs=1e-3)
    assert np.abs(after.velocity).max() < 0.01


def test_a_velocity_lies_along_the_table_as_it_is_seen_now() -> None:
    """Without its pose the camera is the fixed frame; in the last frame the table tilts in it, about the box.

    0.2 m/s along what it was before would be 0.02 m/s off it.
    """
    planner = planner_at(0.0, 0.0)

    def unposed(image: DepthImage, asked: object, rng: np.random.Generator) -> Plan:
        return planner(DepthImage(image.depth, INTRINSICS, camera()), asked, rng)

    tracker, rng = ClosedLoopPolicy(constant, YUMI, planner=unposed), np.random.default_rng(0)
    for k in range(6):
        tilt = np.deg2rad(6.0 if k == 5 else 0.0)
        T_world_obj = transforms.translation([0.02 * k, 0.0, 0.02])
        about = T_world_obj @ transforms.rot_y(tilt) @ transforms.inverse(T_world_obj)
        pose = about @ camera()
        image = render(Scene(BOX, T_world_obj, pose, INTRINSICS)).image
        step = tracker(DepthImage(image.depth, INTRINSICS), None, rng, 0.1 * k, committed=True)
        normal = pose[:3, :3].T @ UP
        assert step.phase is (Phase.TRACKED if k else Phase.PLANNED)
        assert step.velocity @ normal == pytest.approx(0.0, abs=1e-4)
        assert k == 0 or np.linalg.norm(step.velocity) > 0.1


def test_what_jumps_or_grows_is_not_the_same_object() -> None:
    large = box(0.07, 0.19, 0.04)
    standing = transforms.translation([0.0, 0.0, 0.02])
    grown = render(Scene(large, standing, camera(), INTRINSICS)).image
    for image, why in ((frame_of(0.03), "jumped"), (grown, "size")):
        tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
        rng = np.random.default_rng(0)
        tracker(frame_of(0.0), None, rng, 0.0)
        step = tracker(image, None, rng, 0.02)  # 30 mm at no more than 0.5 m/s
        assert step.phase is Phase.COASTED and why in step.reason


def test_candidates_that_would_meet_the_table_pull_no_grasp_down() -> None:
    def deepest(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
        return np.clip(grasps.depth - 0.2, 0, 1)

    tracker = ClosedLoopPolicy(deepest, YUMI, planner=planner_at(0.0, 0.0))
    rng = np.random.default_rng(0)
    steps = [tracker(frame_of(0.0), None, rng, 0.5 * k) for k in range(12)]
    assert {s.phase for s in steps[1:]} == {Phase.TRACKED}
    tips = [s.grasp.center[2] - YUMI.tip_overhang for s in steps if s.grasp is not None]
    assert tips[-1] < tips[0] - 0.005  # it went down, …
    assert min(tips) > 0.0025  # … and stayed above the table


def test_the_mean_of_lines_lies_between_them_whichever_jaw_is_first() -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    for swap in (1.0, -1.0):
        lines = np.array([[c, s, 0.0], [swap * c, -swap * s, 0.0]])
        grasps = Grasp.from_axes(np.zeros((2, 3)), lines, UP, WIDTH)
        mean, _ = elite_mean(grasps, np.array([0.5, 0.5]), 1.0)
        assert abs(mean.closing_axis[0]) == pytest.approx(1.0)


def test_a_standing_object_keeps_its_grasp_still() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    steps = follow([(0.0, 0.0)] * 6, tracker)
    assert np.abs(steps[-1].velocity).max() < 1e-3


def test_an_object_that_vanishes_is_coasted_for_then_lost() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    steps = follow([(0.01 * k, 0.0) for k in range(5)], tracker)
    rng, empty = np.random.default_rng(0), frame_of(5.0)
    gone = [tracker(empty, None, rng, 0.5 + 0.1 * k) for k in range(5)]
    assert {s.phase for s in gone} == {Phase.COASTED}
    assert "nothing stands on the table" in gone[0].reason
    first, last = gone[0].grasp, gone[-1].grasp
    assert first is not None and last is not None
    assert np.allclose(last.center - first.center, 0.4 * steps[-1].velocity)
    again = tracker(frame_of(0.05), None, rng, 1.1)
    assert again.phase is Phase.PLANNED and "nothing stands" in again.reason


def test_a_committed_grasp_whose_object_is_gone_is_lost_until_it_is_seen_or_planned_anew() -> None:
    """The hand is sent neither on over the bare table nor to another object."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, dt, empty = np.random.default_rng(0), 0.1, frame_of(5.0)
    for k in range(5):
        tracker(frame_of(0.005 * k), None, rng, k * dt, committed=k > 2)
    gone = [tracker(empty, None, rng, k * dt, committed=True) for k in range(5, 25)]
    longest = round(ClosedLoopConfig().max_coast / dt)
    assert {s.phase for s in gone[:longest]} == {Phase.COASTED}
    for step in gone[longest:]:
        assert step.phase is Phase.LOST and step.grasp is None and step.ahead(0.1) is None
        assert step.quality == 0.0 and not step.velocity.any()
        assert "sees past it" in step.reason and "asked for" not in step.reason
    other = frame_of(0.1)
    assert tracker(other, None, rng, 2.5, committed=False).phase is Phase.PLANNED


@pytest.mark.parametrize("hidden", ["by the hand", "too near for depth"])
def test_a_committed_grasp_goes_on_as_long_as_its_object_may_be_hidden(hidden: str) -> None:
    """A slow hand hides a small object for seconds, and a camera at the wrist has no depth near it."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, depth = np.random.default_rng(0), np.array(frame_of(0.0).depth)
    first = tracker(frame_of(0.0), None, rng, 0.0)
    depth[140:340, 220:420] = 0.5 if hidden == "by the hand" else 0.0
    covered = frame_of(0.0).with_depth(depth)
    steps = [tracker(covered, None, rng, 0.1 * k, committed=True) for k in range(1, 30)]
    assert {s.phase for s in steps} == {Phase.COASTED}
    back = tracker(frame_of(0.0), None, rng, 3.0, committed=True)
    assert back.phase is Phase.TRACKED and back.grasp is not None and first.grasp is not None
    assert np.linalg.norm(back.grasp.center - first.grasp.center) < 0.002


@pytest.mark.parametrize("committed", [False, True])
def test_a_neighbour_is_not_taken_for_an_object_that_is_gone(committed: bool) -> None:
    """Two equal boxes, 8 cm apart; the one that was followed is taken away."""
    other = BOX.transformed(transforms.translation([0.08, 0.0, 0.0]))
    standing = transforms.translation([0.0, 0.0, 0.02])
    two = render(Scene(joined([BOX, other], "two"), standing, camera(), INTRINSICS)).image
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, dt = np.random.default_rng(0), 0.05
    followed = [tracker(two, None, rng, k * dt, committed=committed) for k in range(5)][-1]
    left = [tracker(frame_of(0.08), None, rng, k * dt, committed=committed) for k in range(5, 14)]
    assert followed.grasp is not None and followed.phase is Phase.TRACKED
    for step in left:
        assert step.phase is Phase.COASTED and step.grasp is not None
        assert np.linalg.norm(step.grasp.center - followed.grasp.center) < 0.003


def test_a_camera_that_comes_nearer_still_sees_the_same_object() -> None:
    """Though a part of it never has depth: nearer, more pixels are the same area."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng = np.random.default_rng(0)
    standing = transforms.translation([0.0, 0.0, 0.02])
    for k, nearer in enumerate(np.linspace(0.0, 0.4, 9)):
        pose = camera() @ transforms.translation([0.0, 0.0, nearer])
        image = render(Scene(BOX, standing, pose, INTRINSICS)).image
        if k:
            points = transforms.apply(pose, image.points_camera())
            hidden = (points[..., 1] > 0.01) & (points[..., 2] > 0.002)
            image = DepthImage(np.where(hidden, 0, image.depth), INTRINSICS, pose)
        step = tracker(image, None, rng, 0.1 * k)
        assert step.phase is (Phase.TRACKED if k else Phase.PLANNED), step.reason
        assert step.grasp is not None
        assert np.linalg.norm(step.grasp.center[:2]) < 0.005


@pytest.mark.parametrize("seed", range(4))
def test_a_slow_stream_is_followed_too(seed: int) -> None:
    """Between two frames there is time to refine to the end: the quality, not the draw, says where to."""
    middle = np.zeros(2)
    tracker = ClosedLoopPolicy(best_near(middle), YUMI, planner=planner_at(0.0, 0.0))
    rng, steps = np.random.default_rng(seed), []
    for k in range(5):
        middle[0] = 0.002 * k
        steps.append(tracker(frame_of(middle[0]), None, rng, 2.0 * k))
    assert [s.phase for s in steps] == [Phase.PLANNED] + [Phase.TRACKED] * 4
    assert steps[-1].grasp is not None and abs(steps[-1].grasp.center[0] - 0.008) < 0.002


def test_an_object_that_vanished_between_slow_frames_is_planned_anew() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng = np.random.default_rng(0)
    tracker(frame_of(0.0), None, rng, 0.0)
    gone = tracker(frame_of(5.0), None, rng, 2.0)
    assert gone.phase is Phase.PLANNED and "nothing stands" in gone.reason


def test_a_single_object_may_have_gone_farther_than_its_width() -> None:
    """Its speed is not known yet; in an empty window there is nothing else that it could be."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng = np.random.default_rng(0)
    steps = [tracker(frame_of(0.04 * k), None, rng, 0.1 * k) for k in range(4)]
    assert [s.phase for s in steps] == [Phase.PLANNED] + [Phase.TRACKED] * 3
    assert steps[-1].velocity[0] == pytest.approx(0.4, abs=0.1)


def test_one_of_two_that_stopped_unseen_is_found_on_its_way() -> None:
    other = transforms.translation([0.0, 0.1, 0.0])

    def both(x: float) -> DepthImage:
        moving = BOX.transformed(transforms.translation([x, 0.0, 0.02]))
        standing = BOX.transformed(other @ transforms.translation([0.0, 0.0, 0.02]))
        return render(
            Scene(joined([moving, standing], "two"), np.eye(4), camera(), INTRINSICS)
        ).image

    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, dt, speed = np.random.default_rng(0), 0.05, 0.25
    for k in range(9):
        tracker(both(speed * k * dt), None, rng, k * dt, committed=k > 6)
    for k in range(9, 16):
        tracker(frame_of(5.0), None, rng, k * dt, committed=True)
    stopped = speed * 11 * dt  # it should be at 0.2 m by now, and was last seen at 0.1 m
    back = [tracker(both(stopped), None, rng, k * dt, committed=True) for k in range(16, 28)]
    assert back[-1].phase is Phase.TRACKED and back[-1].grasp is not None
    assert abs(back[-1].grasp.center[0] - stopped) < 0.01


@pytest.mark.parametrize("shape", [(960, 1280), (300, 400)])
def test_a_mask_of_another_shape_is_refused_in_every_frame(shape: tuple[int, int]) -> None:
    """Not only where it is planned: a window of it would be another place of the image."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    image, rng = frame_of(0.0), np.random.default_rng(0)
    right, wrong = np.ones(image.depth.shape, bool), np.ones(shape, bool)
    tracker(image, right, rng, 0.0)
    with pytest.raises(InvalidImage, match=rf"{shape[0]}, {shape[1]}\): expected \(480, 640\)"):
        tracker(image, wrong, rng, 0.1)
    assert tracker(image, right, rng, 0.1).phase is Phase.TRACKED


def test_frames_with_and_without_the_cameras_pose_do_not_mix() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    image, rng = frame_of(0.0), np.random.default_rng(0)
    tracker(image, None, rng, 0.0)
    with pytest.raises(InvalidConfig, match="without T_world_camera after one with it"):
        tracker(DepthImage(image.depth, INTRINSICS), None, rng, 0.1)


@pytest.mark.parametrize("committed", [False, True])
def test_an_object_that_stopped_unseen_does_not_throw_the_grasp(committed: bool) -> None:
    """What has come about while it was hidden is no speed of one frame."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, dt, speed = np.random.default_rng(0), 0.05, 0.2
    for k in range(11):
        tracker(frame_of(speed * k * dt), None, rng, k * dt, committed=committed and k > 8)
    empty, stands = frame_of(5.0), speed * 10 * dt
    for k in range(11, 18):
        tracker(empty, None, rng, k * dt, committed=committed)
    back = [
        tracker(frame_of(stands), None, rng, k * dt, committed=committed) for k in range(18, 30)
    ]
    for step in back:
        assert np.linalg.norm(step.velocity) < 1.1 * speed
    assert back[-1].phase is Phase.TRACKED and back[-1].grasp is not None
    assert abs(back[-1].grasp.center[0] - stands) < 0.005


def test_an_empty_plan_is_lost_with_its_reason() -> None:

    tracker = ClosedLoopPolicy(constant, YUMI, planner=lambda *_: empty_plan("no edges"))
    answer = tracker(frame_of(0.0), None, np.random.default_rng(0), 0.0)
    assert answer.phase is Phase.LOST and answer.grasp is None and "no edges" in answer.reason
    assert answer.ahead(1.0) is None


def test_what_the_plan_warns_of_is_said_in_every_frame_that_follows_it() -> None:
    """The image contradicts the camera's pose by 4°."""
    off = transforms.rot_x(np.deg2rad(4.0))
    frames = [frame_of(0.002 * k) for k in range(4)]
    wrong = [DepthImage(i.depth, INTRINSICS, np.asarray(i.T_world_camera) @ off) for i in frames]
    planner = geometric_policy(YUMI)
    said = planner(wrong[0], None, np.random.default_rng(0)).warnings
    assert len(said) == 1 and "4.0° off" in said[0]
    for images, expected in ((frames, ()), (wrong, said)):
        tracker, rng = ClosedLoopPolicy(constant, YUMI, planner=planner), np.random.default_rng(0)
        steps = [tracker(image, None, rng, 0.1 * k) for k, image in enumerate(images)]
        steps.append(tracker(frame_of(5.0), None, rng, 0.4))
        phases = [Phase.PLANNED] + [Phase.TRACKED] * 3 + [Phase.COASTED]
        assert [s.phase for s in steps] == phases
        assert {s.warnings for s in steps} == {expected}


def test_a_lost_grasp_says_what_its_empty_plan_warns_of() -> None:
    empty = dataclasses.replace(empty_plan("no edges"), warnings=("far for grasping",))
    tracker = ClosedLoopPolicy(constant, YUMI, planner=lambda *_: empty)
    answer = tracker(frame_of(0.0), None, np.random.default_rng(0), 0.0)
    assert answer.phase is Phase.LOST and answer.warnings == ("far for grasping",)


def test_it_switches_only_when_another_grasp_stays_clearly_better() -> None:
    """The best place is 3 cm along the box: far enough to be another grasp."""
    frames = [(0.0, 0.0)] * 8
    good = best_near(np.array([0.0, 0.03]))
    config = ClosedLoopConfig(switch_margin=0.1, position_sigma=0.001)
    steps = follow(frames, ClosedLoopPolicy(good, YUMI, config, planner_at(0.0, -0.02)))
    phases = [s.phase for s in steps]
    assert phases.count(Phase.SWITCHED) >= 1
    assert phases.index(Phase.SWITCHED) >= config.switch_frames  # a new challenger starts anew
    never = ClosedLoopConfig(switch_margin=0.9, position_sigma=0.001)
    steps = follow(frames, ClosedLoopPolicy(good, YUMI, never, planner_at(0.0, -0.02)))
    assert all(s.phase is not Phase.SWITCHED for s in steps)


LEFT = Request(workspace=np.array([[-0.2, -0.1], [0.03, -0.1], [0.03, 0.1], [-0.2, 0.1]]))
"""As far as x = 3 cm."""


@pytest.mark.parametrize("how", ["followed", "committed", "not seen"])
def test_a_grasp_that_leaves_the_workspace_may_not_be_executed(how: str) -> None:
    """It is carried on, so that it may come back."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    rng, steps = np.random.default_rng(0), []
    there, back = np.arange(0.0, 0.06, 0.005), np.arange(0.06, 0.01, -0.005)
    for k, x in enumerate([*there, *back]):
        unseen = how == "not seen" and k >= 4
        image, committed = frame_of(5.0 if unseen else x), how != "followed" and k >= 4
        steps.append(tracker(image, LEFT, rng, 0.05 * k, committed))
    seen = [s for s in steps if s.grasp is not None]
    outside = np.array([s.grasp.center[0] > 0.03 for s in seen if s.grasp is not None])
    assert outside.sum() > 5 and (~outside).sum() > 5
    for step, out in zip(seen, outside, strict=True):
        assert (step.phase is Phase.BLOCKED) == out == (step.quality == 0.0)
        assert ("the workspace" in step.reason) == out
    if how != "not seen":
        assert steps[-1].phase is Phase.TRACKED


WALL = box(0.04, 0.2, 0.1).transformed(transforms.translation([0.07, 0.0, 0.05]))
"""A block 10 cm tall, from x = 5 cm on."""


def beside_wall(x: float) -> tuple[DepthImage, np.ndarray]:
    """The box standing at x, beside the wall, and its mask."""
    moving = BOX.transformed(transforms.translation([x, 0.0, 0.02]))
    scene = Scene(joined([moving, WALL], "two"), np.eye(4), camera(), INTRINSICS)
    image = render(scene).image
    points = transforms.apply(camera(), image.points_camera())
    return image, (points[..., 2] > 0.005) & (points[..., 0] < min(x + 0.016, 0.05))


def may_be_executed(image: DepthImage, mask: np.ndarray, grasp: Grasp) -> bool:
    """As a planner that sees the whole picture says."""
    assert image.T_world_camera is not None
    view = look(image, mask, np.random.default_rng(0))
    some = Grasp(grasp.pose[None], np.array([WIDTH]))
    drawn = some.in_frame(transforms.inverse(image.T_world_camera)).to_planar(INTRINSICS)
    return bool(check_grasps(view, drawn, YUMI).keep[0])


def test_what_slides_against_a_wall_is_answered_as_free_or_as_blocked() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(-0.04, 0.0))
    rng, steps = np.random.default_rng(0), []
    for k, x in enumerate([*np.arange(-0.04, 0.03, 0.01), *[0.03] * 4]):
        image, mask = beside_wall(x)
        step = tracker(image, mask, rng, 0.05 * k)
        assert step.grasp is not None
        free = may_be_executed(image, mask, step.grasp)
        assert free == (step.phase is not Phase.BLOCKED) == (step.quality > 0.0)
        assert free or "would land" in step.reason
        steps.append(step)
    assert steps[1].phase is Phase.TRACKED and steps[-1].phase is Phase.BLOCKED


def test_a_committed_grasp_is_not_stopped_by_what_the_camera_sees_in_its_way() -> None:
    """It may be the hand itself."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.03, 0.0))
    rng, (image, mask) = np.random.default_rng(0), beside_wall(0.03)
    steps = [tracker(image, mask, rng, 0.05 * k, committed=True) for k in range(5)]
    assert {(s.phase, s.reason, s.quality) for s in steps[1:]} == {
        (Phase.TRACKED, "committed", 0.8)
    }


def test_a_grasp_that_stays_blocked_gives_way_to_a_free_one_beside_it() -> None:
    """One noisy frame says little, three in a row are enough; until then it is said to be blocked."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.008, 0.0))
    rng, (image, mask) = np.random.default_rng(0), beside_wall(0.008)
    steps = [tracker(image, mask, rng, 0.01 * k) for k in range(6)]
    n = ClosedLoopConfig().switch_frames
    blocked, switched, after = steps[1:n], steps[n], steps[n + 1 :]
    assert {(s.phase, s.quality) for s in blocked} == {(Phase.BLOCKED, 0.0)}
    assert switched.phase is Phase.SWITCHED and "would land" in switched.reason
    assert {s.phase for s in after} == {Phase.TRACKED}
    for step in (switched, *after):
        assert step.grasp is not None and may_be_executed(image, mask, step.grasp)


def test_times_must_rise_until_it_is_reset() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    image, rng = frame_of(0.0), np.random.default_rng(0)
    tracker(image, None, rng, 1.0)
    with pytest.raises(InvalidConfig, match="rising times"):
        tracker(image, None, rng, 1.0)
    with pytest.raises(InvalidConfig, match="rising times"):
        tracker(image, None, rng, np.inf)
    tracker.reset()
    assert tracker(image, None, rng, 0.0).phase is Phase.PLANNED


@pytest.mark.parametrize("unit", [1e3, 1e6, 1e9])
def test_times_that_are_no_seconds_are_refused_while_something_is_followed(unit: float) -> None:
    """At 60 Hz in milliseconds frames are 16.7 apart; a velocity of m/ms would be none."""
    tracker = ClosedLoopPolicy(constant, YUMI, planner=planner_at(0.0, 0.0))
    image, rng, start = frame_of(0.0), np.random.default_rng(0), 1.7e9
    tracker(image, None, rng, unit * start)
    with pytest.raises(InvalidConfig, match=r"expected times in seconds.*reset"):
        tracker(image, None, rng, unit * (start + 1 / 60))
    tracker.reset()
    assert tracker(image, None, rng, start + 60.0).phase is Phase.PLANNED


@pytest.mark.parametrize("time", [np.nan, "0.3", None, True])
def test_a_first_frame_that_is_refused_leaves_nothing_behind(time: Any) -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=lambda *_: empty_plan("no edges"))
    image, rng = frame_of(0.0), np.random.default_rng(0)
    with pytest.raises(InvalidConfig, match="seconds"):
        tracker(image, None, rng, time)
    answer = tracker(DepthImage(image.depth, INTRINSICS), None, rng, 0.0)
    assert answer.reason.startswith("first frame")


def test_while_nothing_is_followed_a_pause_may_be_long() -> None:
    tracker = ClosedLoopPolicy(constant, YUMI, planner=lambda *_: empty_plan("no edges"))
    for time in (0.0, 1e4):
        answer = tracker(frame_of(0.0), None, np.random.default_rng(0), time)
        assert answer.phase is Phase.LOST


def test_what_was_lost_is_said_when_it_is_found_again_and_times_rise_meanwhile() -> None:
    empty = Plan(PlanarGrasp(np.zeros((0, 2)), *np.zeros((3, 0))), np.zeros(0), DOWN, reason="no")
    answers = [empty, empty, planner_at(0.0, 0.0)(frame_of(0.0), None, np.random.default_rng(0))]
    tracker = ClosedLoopPolicy(constant, YUMI, planner=lambda *_: answers.pop(0))
    image, rng = frame_of(0.0), np.random.default_rng(0)
    steps = [tracker(image, None, rng, 1.0), tracker(image, None, rng, 2.0)]
    with pytest.raises(InvalidConfig, match="rising times"):
        tracker(image, None, rng, 1.5)
    steps.append(tracker(image, None, rng, 3.0))
    assert [s.phase for s in steps] == [Phase.LOST, Phase.LOST, Phase.PLANNED]
    said = [s.reason or "" for s in steps]
    assert said[0].startswith("first frame") and all(r.startswith("lost before") for r in said[1:])


@pytest.mark.parametrize("name", ["n_candidates", "elite_fraction", "max_speed"])
def test_numbers_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(InvalidConfig, match=name):
        ClosedLoopConfig(**{name: 0})


def test_candidates_lie_along_the_approach_and_the_first_is_the_grasp_itself() -> None:
    axis = np.array([0.1, 0.2, 1.0]) / np.linalg.norm([0.1, 0.2, 1.0])
    grasp = Grasp.from_axes([0.0, 0.0, 0.6], np.cross(axis, [0.0, 1.0, 0.0]), axis, WIDTH)
    drawn = candidates_around(grasp, axis, (0.01, 0.002, 0.3), 500, np.random.default_rng(0))
    assert np.allclose(drawn.approach_axis, axis)
    assert np.allclose(drawn.pose[0], grasp.pose)
    local = (drawn.center - grasp.center) @ grasp.pose[:3, :3]
    assert np.allclose(local.std(0), [0.01, 0.01, 0.002], rtol=0.15)


def test_the_mean_of_two_jaw_orders_of_one_grasp_is_that_grasp() -> None:
    x = np.array([[1.0, 0.1, 0.0], [-1.0, -0.1, 0.0]])
    grasps = Grasp.from_axes(np.zeros((2, 3)), x, [0.0, 0.0, 1.0], WIDTH)
    mean, q = elite_mean(grasps, np.array([0.4, 0.6]), 1.0)
    assert abs(mean.closing_axis @ grasps.closing_axis[0]) == pytest.approx(1.0)
    assert q == pytest.approx(0.52)  # weighted by itself
    assert np.allclose(blended(grasps[0], mean, 0.3).pose, grasps[0].pose)


def test_the_window_is_centred_and_of_the_asked_size() -> None:
    image = frame_of(0.0)
    u0, v0, width, height = window_px(image, np.array([0.0, 0.0, 0.7]), 0.1) or (0, 0, 0, 0)
    assert abs(u0 + (width - 1) / 2 - 319.5) <= 1 and abs(v0 + (height - 1) / 2 - 239.5) <= 1
    assert width == pytest.approx(2 * 0.1 / 0.7 * 525, abs=2)
    assert window_px(image, np.array([1.0, 0.0, 0.7]), 0.1) is None
    assert window_px(image, np.array([0.0, 0.0, -0.7]), 0.1) is None


def test_the_best_rigid_motion_recovers_a_motion(rng: np.random.Generator) -> None:
    points = rng.normal(size=(20, 3))
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], [0.1, -0.2, 0.3])
    assert np.allclose(best_rigid(points, transforms.apply(T, points)), T)


def bed_picture(rng: np.random.Generator, shift: float = 0.0, angle: float = 0.0):
    """The test bed's camera and its first picture."""
    beside = camera_beside(rng, shift, angle)
    T_world_obj = transforms.translation([0.0, 0.0, 0.02])
    return beside, photograph(BOX, YUMI, T_world_obj, HOME, WIDTH, beside, rng)


def test_the_hand_is_found_in_a_noisy_picture_through_a_wrong_calibration() -> None:
    rng = np.random.default_rng(3)
    beside, image = bed_picture(rng, 0.02, np.deg2rad(5.0))
    believed = transforms.inverse(beside.T_world_camera_believed) @ HOME
    true = transforms.inverse(beside.T_world_camera) @ HOME
    assert np.linalg.norm(believed[:3, 3] - true[:3, 3]) > 0.015

    seen = locate_hand(image, YUMI, believed, WIDTH, WIDE)
    assert seen is not None
    assert np.linalg.norm(seen[:3, 3] - true[:3, 3]) < 0.005


def test_the_hand_leaves_the_picture_and_the_object_stays() -> None:
    rng = np.random.default_rng(0)
    beside, image = bed_picture(rng)
    T_camera_grasp = transforms.inverse(beside.T_world_camera) @ HOME
    hand = hand_mask(image, YUMI, T_camera_grasp, WIDTH)
    clean = without_hand(image, YUMI, T_camera_grasp, WIDTH)
    assert hand.sum() > 3000 and not clean.valid[hand].any()
    assert (clean.depth[~hand] == image.depth[~hand]).all()
    far = locate_hand(clean, YUMI, T_camera_grasp, WIDTH)
    assert far is None  # nothing left to find


def test_a_support_keeps_its_speed_turns_gently_and_stays_near() -> None:
    path = drift(0.1, 20.0, np.random.default_rng(0))
    assert np.linalg.norm(path.acceleration, axis=-1).max() <= 0.5 + 1e-9
    assert np.linalg.norm(path.velocity, axis=-1).max() <= 0.1 + 1e-9
    assert np.linalg.norm(path.position, axis=-1).max() < 0.25
    steps = np.diff(path.position, axis=0) / 0.01
    assert np.allclose(steps, (path.velocity[1:] + path.velocity[:-1]) / 2, atol=1e-9)


def test_a_pose_steps_no_further_than_it_may() -> None:
    goal = transforms.translation([1.0, 0.0, 0.0]) @ transforms.rot_z(1.0)
    T = stepped(np.eye(4), goal, 0.1, 0.2)
    assert np.allclose(T, transforms.translation([0.1, 0.0, 0.0]) @ transforms.rot_z(0.2))
    assert np.allclose(stepped(np.eye(4), goal, 2.0, 2.0), goal)


def lift(path: SupportPath, knows_velocity: bool) -> Outcome:
    """Grasp the box on a support with a controller that knows where it is, and perhaps how it moves."""
    world = World(BOX, convex_pieces(BOX), YUMI)
    beside = camera_beside(np.random.default_rng(0))

    def controller(frame: Frame) -> Command | None:
        position, velocity, _ = path.at(frame.time)
        if not knows_velocity and frame.time > 0:
            return None
        grasp = Grasp.from_axes(position + 0.03 * UP, [1.0, 0.0, 0.0], DOWN, WIDTH)
        return Command(grasp, velocity * knows_velocity)

    T_world_obj = transforms.translation([0.0, 0.0, 0.02])
    rng = np.random.default_rng(0)
    config = TrackingConfig(frame_rate=5.0)
    return track_and_lift(
        world, T_world_obj, HOME, beside, path, controller, 0.6, rng, config
    ).outcome


def test_the_bed_lifts_a_moving_box_for_who_knows_its_motion_and_not_for_who_looks_once() -> None:
    n = 800
    velocity = np.tile([0.05, 0.08, 0.0], (n, 1))
    position = velocity * 0.01 * np.arange(n)[:, None]
    path = SupportPath(position, velocity, np.zeros((n, 3)))
    assert lift(path, knows_velocity=True) is Outcome.SUCCESS
    assert lift(path, knows_velocity=False) is not Outcome.SUCCESS


def turn_right(speed: float, at: float) -> SupportPath:
    """Along x, then, within 0.3 s, along y."""
    n, block = 800, 0.01
    share = np.clip((np.arange(n) * block - at) / 0.3, 0.0, 1.0)[:, None]
    velocity = speed * ((1 - share) * [1.0, 0.0, 0.0] + share * [0.0, 1.0, 0.0])
    position = np.vstack([np.zeros(3), np.cumsum((velocity[1:] + velocity[:-1]) / 2 * block, 0)])
    return SupportPath(position, velocity, np.gradient(velocity, block, axis=0))


def outcome_of(loop: Loop, beside: StandingCamera, path: SupportPath, **controls: bool) -> Outcome:
    """The whole of it: noisy pictures with the hand in them, the geometric planner, the tracker, MuJoCo."""
    hand = dataclasses.replace(load_gripper("robotiq_2f85"), max_width=0.07)
    T_world_obj = transforms.translation([0.0, 0.0, 0.02]) @ transforms.rot_z(0.2)
    scene = TrackingScene(T_world_obj, 0.6, beside, path, seed=0)
    planner = geometric_policy(hand)
    tracker = ClosedLoopPolicy(GeometricQuality(hand), hand, planner=planner)
    controller = LoopController(loop, planner, tracker, hand, np.random.default_rng(0), **controls)
    config = TrackingConfig(noise=SensorNoise(edge_dropout=0.0, flying_rate=0.0))
    return run_scene(scene, World(BOX, convex_pieces(BOX), hand), controller, config).outcome


def test_the_loop_lifts_a_box_that_turns_at_full_speed_and_one_look_does_not() -> None:
    beside, path = camera_beside(np.random.default_rng(0)), turn_right(0.1, 0.7)
    outcome = {loop: outcome_of(loop, beside, path) for loop in (Loop.OPEN, Loop.CLOSED)}
    assert outcome == {Loop.OPEN: Outcome.MISSED, Loop.CLOSED: Outcome.SUCCESS}


def test_the_loop_lifts_through_20_mm_and_5_degrees_of_calibration_error() -> None:
    """One look does not, though it leaves its own hand out as well as the loop does."""
    wrong = camera_beside(np.random.default_rng(0), 0.02, float(np.deg2rad(5.0)))
    still = SupportPath(*np.zeros((3, 800, 3)))
    lifted = {
        loop: outcome_of(loop, wrong, still, locates_hand=True, calibrates=loop is Loop.CLOSED)
        is Outcome.SUCCESS
        for loop in (Loop.OPEN, Loop.CLOSED)
    }
    assert lifted == {Loop.OPEN: False, Loop.CLOSED: True}


def test_a_hand_that_is_told_to_hold_stays_above_until_it_may_go_in() -> None:
    """Told so for the first 1.5 s it closes later than a hand that is not, and lifts the box all the same."""
    world = World(BOX, convex_pieces(BOX), YUMI)
    beside, closed_at = camera_beside(np.random.default_rng(0)), {}
    config = TrackingConfig(frame_rate=5.0)
    lowest = 0.03 + 0.75 * config.hold_height
    for until in (0.0, 1.5):

        def controller(frame: Frame, until: float = until) -> Command:
            grasp = Grasp.from_axes([0.0, 0.0, 0.03], [1.0, 0.0, 0.0], DOWN, WIDTH)
            if 0.7 < frame.time < until:  # it has come down by then
                assert frame.T_world_grasp[2, 3] > lowest
            return Command(grasp, np.zeros(3), hold=frame.time < until)

        T_world_obj, rng = transforms.translation([0.0, 0.0, 0.02]), np.random.default_rng(0)
        still = SupportPath(*(np.zeros((1, 3)) for _ in range(3)))
        result = track_and_lift(
            world, T_world_obj, HOME, beside, still, controller, 0.6, rng, config
        )
        assert result.success
        closed_at[until] = result.time
    assert closed_at[0.0] < 1.5 < closed_at[1.5]


def test_a_scene_is_a_function_of_its_number() -> None:
    world = World(BOX, convex_pieces(BOX), YUMI)

    def facts(index: int) -> list[np.ndarray]:
        scene = draw_scene(BOX, world, 0.1, (0.01, 0.02), index, duration=2.0)
        assert scene is not None
        believed = scene.camera.T_world_camera_believed
        return [scene.T_world_obj, np.array(scene.friction), believed, scene.path.position]

    first, again, other = facts(3), facts(3), facts(4)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - c).max() > 1e-3


def test_an_open_loop_answers_once() -> None:
    beside, image = bed_picture(np.random.default_rng(0))
    tracker = ClosedLoopPolicy(constant, YUMI)
    planner = planner_at(0.0, 0.0)

    def unposed(image: DepthImage, asked: object, rng: np.random.Generator) -> Plan:
        posed = DepthImage(image.depth, image.intrinsics, beside.T_world_camera)
        return planner(posed, asked, rng)

    loop = LoopController(Loop.OPEN, unposed, tracker, YUMI, np.random.default_rng(0))
    first = loop(Frame(image, HOME, WIDTH, 0.0))
    assert first is not None and loop(Frame(image, HOME, WIDTH, 0.1)) is None
    assert np.allclose(first.grasp_world.center, [0.0, 0.0, 0.03], atol=1e-9)
    assert (first.velocity == 0).all()
