"""Where the flange goes, by another road: points of the hand carried through scipy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig
from antipodal.gripper import gripper_names, load_gripper
from antipodal.planning import PlanInputs, plan_image
from antipodal.policy import make_policy
from antipodal.waypoints import waypoints
from conftest import box
from policy_scenes import INTRINSICS, YUMI, seen


def pose(rotation: Rotation, t) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation.as_matrix(), t
    return T


@pytest.fixture(scope="module")
def planned():
    image, _ = seen(box(0.03, 0.05, 0.04), yaw=0.4)
    plan = make_policy("antipodal", lambda i, g: np.full(len(g), 0.5), YUMI)(
        image, None, np.random.default_rng(0)
    )
    return image, plan.grasps[:5].to_grasp(INTRINSICS, plan.approach_axis)


@pytest.mark.parametrize("name", gripper_names())
def test_the_hand_on_the_flange_puts_its_jaws_where_the_grasp_is(name, planned, rng):
    _, grasps = planned
    hand = load_gripper(name)
    camera_in_base = Rotation.random(rng=rng), rng.uniform(-1, 1, 3)
    hand_on_flange = Rotation.random(rng=rng), rng.uniform(-0.1, 0.1, 3)
    T_base_camera, T_flange_gripper = pose(*camera_in_base), pose(*hand_on_flange)
    way = waypoints(grasps, hand, T_base_camera, T_flange_gripper, 0.08, 0.12)
    for k in range(len(grasps)):
        # three points of the grasp frame, carried by the hand on the flange that the robot was told
        axes = np.concatenate([np.zeros((1, 3)), 0.02 * np.eye(3)])
        in_hand = Rotation.from_matrix(hand.T_gripper_grasp[:3, :3]).apply(axes)
        in_flange = hand_on_flange[0].apply(in_hand + hand.T_gripper_grasp[:3, 3])
        in_flange = in_flange + hand_on_flange[1]
        flange = way.T_parent_flange_grasp[k]
        carried = Rotation.from_matrix(flange[:3, :3]).apply(in_flange) + flange[:3, 3]
        # the same three by the plan and the camera's calibration
        wanted = Rotation.from_matrix(grasps.pose[k, :3, :3]).apply(axes) + grasps.center[k]
        wanted = camera_in_base[0].apply(wanted) + camera_in_base[1]
        assert carried == pytest.approx(wanted, abs=1e-9)
        approach = camera_in_base[0].apply(grasps.approach_axis[k].copy())
        back = way.T_parent_flange_pre_grasp[k, :3, 3] - flange[:3, 3]
        assert back == pytest.approx(-0.08 * approach, abs=1e-9)
        assert way.T_parent_flange_lift[k, :3, 3] - flange[:3, 3] == pytest.approx(
            [0, 0, 0.12], abs=1e-9
        )
        for T in (way.T_parent_flange_pre_grasp[k], way.T_parent_flange_lift[k]):
            assert (T[:3, :3] == flange[:3, :3]).all()
    assert (way.width == grasps.width).all()


def test_with_the_worlds_pose_a_top_grasp_ends_above_the_object(planned):
    image, grasps = planned
    way = waypoints(grasps[0], YUMI, image.T_world_camera)
    # the YuMi's base frame is 78 mm behind the grasp's centre, straight up
    height = way.T_parent_flange_grasp[2, 3] - grasps[0].in_frame(image.T_world_camera).center[2]
    assert height == pytest.approx(YUMI.T_gripper_grasp[2, 3], abs=1e-6)
    assert way.T_parent_flange_grasp[2, 2] == pytest.approx(-1.0, abs=1e-6)
    assert way.T_parent_flange_pre_grasp[2, 3] - way.T_parent_flange_grasp[2, 3] == pytest.approx(
        0.1, abs=1e-6
    )


def test_in_the_camera_frame_the_hand_lifts_back_along_its_approach(planned):
    _, grasps = planned
    way = waypoints(grasps, YUMI, approach_distance=0.1, lift_height=0.1)
    assert way.T_parent_flange_lift == pytest.approx(way.T_parent_flange_pre_grasp)
    sideways = waypoints(grasps, YUMI, up=[0.0, -2.0, 0.0], lift_height=0.05)
    shift = sideways.T_parent_flange_lift[:, :3, 3] - sideways.T_parent_flange_grasp[:, :3, 3]
    assert shift == pytest.approx(np.tile([0.0, -0.05, 0.0], (len(grasps), 1)))


def test_senseless_ways_are_refused(planned):
    _, grasps = planned
    with pytest.raises(InvalidConfig, match="lift_height 0"):
        waypoints(grasps, YUMI, lift_height=0.0)
    with pytest.raises(InvalidConfig, match="not a rigid transform"):
        waypoints(grasps, YUMI, T_base_camera=2 * np.eye(4))
    with pytest.raises(InvalidConfig, match="expected a direction"):
        waypoints(grasps, YUMI, up=[0.0, 0.0, 0.0])


def test_json_holds_the_three_poses(planned):
    way = waypoints(planned[1][0], YUMI, transforms.translation([1.0, 0.0, 0.0]))
    values = way.to_json()
    assert set(values) == {"pre_grasp", "grasp", "lift", "width"}
    assert np.array(values["lift"]) == pytest.approx(way.T_parent_flange_lift)


@pytest.mark.parametrize("frame", ["world", "camera"])
def test_a_plans_json_has_the_flanges_way_in_the_frame_that_it_names(frame):
    image, _ = seen(box(0.03, 0.05, 0.04), yaw=0.4)
    T, up = np.asarray(image.T_world_camera), np.array([0.0, 0.0, 1.0])
    if frame == "camera":
        image, T = DepthImage(image.depth, INTRINSICS), np.eye(4)
    policy = make_policy("antipodal", lambda i, g: np.full(len(g), 0.5), YUMI)
    plan, values, _ = plan_image(PlanInputs(image, None, YUMI, policy), 0)
    way = values["waypoints"]
    assert way["frame"] == frame and way["width"] == YUMI.max_width
    grasp = T @ plan.best.to_grasp(INTRINSICS, plan.approach_axis).pose
    flange = grasp @ transforms.inverse(YUMI.T_gripper_grasp)
    assert np.array(way["grasp"]) == pytest.approx(flange, abs=1e-9)
    back = -0.1 * grasp[:3, 2]
    assert np.array(way["pre_grasp"])[:3, 3] - flange[:3, 3] == pytest.approx(back, abs=1e-9)
    lift = 0.1 * up if frame == "world" else back
    assert np.array(way["lift"])[:3, 3] - flange[:3, 3] == pytest.approx(lift, abs=1e-9)


def test_an_empty_plan_leads_nowhere():
    image = DepthImage(np.full(INTRINSICS.shape, 0.7), INTRINSICS)
    policy = make_policy("antipodal", lambda i, g: np.full(len(g), 0.5), YUMI)
    assert plan_image(PlanInputs(image, None, YUMI, policy), 0).json["waypoints"] is None
