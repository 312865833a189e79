"""What is seen of each object: its volume, its centroid, and where one object ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal import transforms
from antipodal.grasp import Grasp
from antipodal.policy.closing import close_jaws
from antipodal.policy.seen import see_objects
from antipodal.policy.view import look
from antipodal.policy.weighed import WeighedConfig, weigh, weight_torque
from antipodal.render.depth import render
from conftest import box
from policy_scenes import INTRINSICS, YUMI, down, standing, view_of


def test_the_volume_below_a_box_is_the_box():
    view = view_of(box(0.06, 0.03, 0.04), tilt=0.0)
    seen = see_objects(view)
    assert len(seen.points) == (view.objects & view.image.valid).sum()
    assert seen.volume == pytest.approx(np.full(2, 0.06 * 0.03 * 0.04), rel=0.03)
    # the camera stands over the box: the relief frame's origin is above its middle
    assert seen.centroid == pytest.approx(np.zeros((2, 2)), abs=1e-3)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("tilt", [0.0, 0.22, 0.5])
@pytest.mark.parametrize("size", [(0.04, 0.09, 0.15), (0.04, 0.04, 0.2), (0.05, 0.05, 0.02)])
def test_a_wall_that_a_tilted_camera_sees_has_nothing_below_it(size, tilt, masked):
    rendering = render(standing(box(*size), 0.3, tilt))
    mask = rendering.mask if masked else None
    view = look(rendering.image, mask, np.random.default_rng(0))
    assert view.table is not None
    seen = see_objects(view)
    top = 1 + int(
        seen.volume[1:].argmax()
    )  # without a mask a steep wall may be an object of its own
    assert seen.volume[[0, top]] == pytest.approx(np.full(2, np.prod(size)), rel=0.03)
    on_table = np.append(seen.centroid[top], view.table.offset) @ view.relief.R_relief_camera
    middle = transforms.apply(np.asarray(rendering.image.T_world_camera), on_table[None])[0]
    assert middle[:2] == pytest.approx([0.0, 0.0], abs=5e-4)


def test_of_a_wall_alone_the_middle_of_its_points_is_taken():
    rendering = render(standing(box(0.1, 0.05, 0.08), 0.0, 0.9))
    height = np.asarray(rendering.image.points_camera() @ rendering.image.table_normal_camera())
    front = rendering.mask & (height < height[rendering.mask].max() - 0.01)
    view = look(rendering.image, front, np.random.default_rng(0))
    seen = see_objects(view)
    assert seen.centroid[1] == pytest.approx(seen.points[:, :2].mean(0), abs=1e-9)


def test_two_boxes_are_told_apart_without_a_mask_and_one_with_it():
    scene = standing(box(0.03, 0.03, 0.05))
    T = np.asarray(scene.T_world_obj)
    images = [
        render(replace(scene, T_world_obj=transforms.translation([x, 0.0, 0.0]) @ T))
        for x in (-0.06, 0.06)
    ]
    depth = np.minimum(images[0].image.depth, images[1].image.depth)
    image = images[0].image.with_depth(depth)
    apart = see_objects(look(image, None, np.random.default_rng(0)))
    assert apart.volume[1:] == pytest.approx(np.full(2, 0.03 * 0.03 * 0.05), rel=0.05)
    assert apart.centroid[2, 0] - apart.centroid[1, 0] == pytest.approx(0.12, abs=0.005)
    both = images[0].mask | images[1].mask
    assert len(see_objects(look(image, both, np.random.default_rng(0))).volume) == 2


def test_the_torque_is_that_of_the_weight_about_the_jaws():
    view = view_of(box(0.02, 0.16, 0.04), tilt=0.0)
    seen = see_objects(view)
    points = np.array([[0.0, 0.0, 0.03], [0.0, 0.06, 0.03]])
    grasps = down(np.asarray(view.image.T_world_camera), points, np.zeros(2))
    closing = close_jaws(view, seen, grasps.to_grasp(INTRINSICS, view.approach_axis), YUMI)
    weight = 9.81 * 500 * 0.02 * 0.16 * 0.04
    assert weight_torque(closing) == pytest.approx([0.0, weight * 0.06], rel=0.12, abs=3e-4)
    unknown = closing._replace(volume=np.full(2, np.nan))
    assert weight_torque(unknown)[1] == pytest.approx(9.81 * np.sqrt(0.03 * 0.3) * 0.06, rel=0.03)


def test_every_judge_moves_the_chance_its_own_way():
    q, geometry, torque = np.array([0.5, 0.9]), np.full(2, 0.5), np.zeros(2)
    first = weigh(q, geometry, torque)
    assert first[0] < first[1] < 1
    assert (weigh(q, geometry / 2, torque) < first).all()
    assert (weigh(q, geometry, torque + 0.1) < first).all()
    plain = WeighedConfig(geometry=0.0, torque=0.0, intercept=0.0, slope=1.0)
    # with the other judges silent the odds are the quality
    assert weigh(q, geometry, torque, plain) == pytest.approx(q / (1 + q))
    assert np.isfinite(weigh(np.zeros(1), np.zeros(1), np.full(1, 9.0))).all()


def test_a_grasp_beside_every_object_takes_them_all():
    view = view_of(box(0.03, 0.03, 0.04), tilt=0.0)
    seen = see_objects(view)
    beside = down(
        np.asarray(view.image.T_world_camera), np.array([[0.05, 0.02, 0.03]]), np.zeros(1)
    )
    grasps_camera = beside.to_grasp(INTRINSICS, view.approach_axis)
    assert isinstance(grasps_camera, Grasp)
    assert close_jaws(view, seen, grasps_camera, YUMI).lever[0] == pytest.approx(0.02, abs=2e-3)
