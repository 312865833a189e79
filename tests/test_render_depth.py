"""Ray-traced depth against closed forms and another ray tracer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.errors import InvalidImage
from antipodal.render.depth import object_window, render, render_depth
from antipodal.render.scene import Scene, sample_scene
from antipodal.stable_pose import stable_poses
from conftest import box, cylinder, moller_trumbore, sphere, to_trimesh_value

SMALL = CameraIntrinsics(131.0, 131.0, 79.5, 59.5, 160, 120)
DOWN = transforms.look_at([0, 0, 0.7], [0, 0, 0])


def tilted(angle: float, height: float = 0.7):
    """Camera at x = −height·tan(angle) looking at the origin."""
    return transforms.look_at([-height * np.tan(angle), 0, height], [0, 0, 0])


def random_scene(rng, intrinsics=SMALL) -> Scene:
    mesh = to_trimesh_value(trimesh.creation.annulus(0.012, 0.03, 0.05), "ring")
    scene = sample_scene(mesh, stable_poses(mesh)[0], rng)
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], [0.02, -0.01, 0.05])
    return replace(scene, T_world_obj=T, intrinsics=intrinsics)


def test_a_table_seen_from_above_has_one_depth():
    scene = Scene(sphere(), transforms.translation([0, 0, -1.0]), DOWN, SMALL)
    rendering = render(scene)
    np.testing.assert_allclose(rendering.image.depth, 0.7, rtol=1e-6)
    assert not rendering.mask.any()


def test_a_tilted_table_has_the_depth_of_a_plane():
    angle = 0.3
    scene = Scene(sphere(), transforms.translation([0, 0, -1.0]), tilted(angle), SMALL)
    distance = 0.7 / np.cos(angle)
    # image y runs down the slope, towards the camera: 1/z is linear in v
    v = (np.arange(120) - 59.5) / 131.0
    expected = distance / (1 + np.tan(angle) * v)
    depth = render_depth(scene).depth
    np.testing.assert_allclose(depth, np.tile(expected[:, None], (1, 160)), rtol=1e-6)


def test_all_table_points_lie_at_height_zero(rng):
    scene = random_scene(rng)
    rendering = render(scene)
    points = transforms.apply(
        scene.T_world_camera, rendering.image.points_camera()[~rendering.mask]
    )
    assert np.abs(points[:, 2]).max() < 1e-6


def test_a_sphere_is_nearest_at_its_middle_by_its_radius():
    radius, z = 0.03, 0.6
    k = CameraIntrinsics(525.0, 525.0, 80.0, 60.0, 161, 121)
    scene = Scene(sphere(radius, 5), transforms.translation([0, 0, 0.7 - z]), DOWN, k)
    rendering = render(scene)
    # 2e-5: the facets of the icosphere stand back by r(1 − cos 0.6°)
    assert rendering.image.depth[60, 80] == pytest.approx(z - radius, abs=2e-5)
    assert rendering.image.depth[rendering.mask].min() >= z - radius - 1e-6


def test_a_spheres_silhouette_is_a_circle_of_radius_f_r_over_root_of_z2_minus_r2():
    radius, z = 0.03, 0.6
    k = CameraIntrinsics(525.0, 525.0, 80.0, 60.0, 161, 121)
    mask = render(Scene(sphere(radius, 5), transforms.translation([0, 0, 0.7 - z]), DOWN, k)).mask
    expected = np.pi * (525 * radius) ** 2 / (z**2 - radius**2)
    assert mask.sum() == pytest.approx(expected, rel=0.01)
    v, u = np.nonzero(mask)
    assert (u.mean(), v.mean()) == pytest.approx((80, 60), abs=0.1)


def test_visible_points_of_a_box_lie_on_the_box(rng):
    scene = sample_scene(box(0.03, 0.05, 0.04), stable_poses(box(0.03, 0.05, 0.04))[0], rng)
    rendering = render(scene)
    points_obj = transforms.apply(
        transforms.inverse(scene.T_camera_obj), rendering.image.points_camera()[rendering.mask]
    )
    outside = np.abs(points_obj) - np.array([0.03, 0.05, 0.04]) / 2
    assert np.abs(outside.max(-1)).max() < 1e-6


def test_depth_agrees_with_every_ray_tried_on_every_triangle(rng):
    scene = random_scene(rng)
    u0, v0, u1, v1 = object_window(scene)
    pixels = rng.integers([u0, v0], [u1, v1], (400, 2))
    ours = render_depth(scene, table=False).depth[pixels[:, 1], pixels[:, 0]]
    triangles = transforms.apply(scene.T_camera_obj, scene.mesh.vertices)[scene.mesh.faces]
    rays = SMALL.deproject(pixels, np.ones(400))
    theirs = moller_trumbore(triangles, np.zeros_like(rays), rays)
    theirs = np.where(np.isfinite(theirs), theirs, 0)
    assert 100 < (theirs > 0).sum() < 400
    np.testing.assert_allclose(ours, theirs, atol=4e-7)  # float32 of 0.6 m, rounded some times


@pytest.mark.parametrize("yaw", [0.4, 2.0])
def test_moving_camera_and_object_together_over_the_table_changes_nothing(rng, yaw):
    scene = random_scene(rng)
    move = transforms.translation([0.3, -0.2, 0.0]) @ transforms.rot_z(yaw)
    moved = replace(
        scene,
        T_world_obj=move @ scene.T_world_obj,
        T_world_camera=move @ scene.T_world_camera,
    )
    a, b = render(scene), render(moved)
    same = a.mask == b.mask
    assert same.mean() > 0.999
    np.testing.assert_allclose(a.image.depth[same], b.image.depth[same], atol=1e-6)


def test_a_recentred_scene_shows_a_flat_object_in_the_middle(rng):
    coin = cylinder(0.02, 0.002)
    stable = stable_poses(coin)[0]
    for _ in range(5):
        scene = sample_scene(coin, stable, rng)
        v, u = np.nonzero(render(scene).mask)
        assert (u.mean(), v.mean()) == pytest.approx((299.5, 299.5), abs=1.0)


def test_without_a_table_the_background_is_missing_and_the_object_the_same(rng):
    scene = replace(random_scene(rng), T_world_obj=transforms.translation([0, 0, 0.1]))
    with_table, without = render(scene), render(scene, table=False)
    np.testing.assert_array_equal(with_table.mask, without.mask)
    assert (without.image.depth[~without.mask] == 0).all()
    np.testing.assert_array_equal(
        with_table.image.depth[with_table.mask], without.image.depth[with_table.mask]
    )


def test_what_is_below_the_table_is_hidden(rng):
    half = Scene(sphere(0.03), np.eye(4), DOWN, SMALL)
    rendering = render(half)
    points = transforms.apply(DOWN, rendering.image.points_camera())
    assert points[..., 2].min() > -1e-6
    radius_px = 131 * 0.03 / 0.7
    assert rendering.mask.sum() == pytest.approx(np.pi * radius_px**2, rel=0.1)


def test_an_object_behind_the_camera_is_not_seen():
    scene = Scene(box(), transforms.translation([0, 0, 1.5]), DOWN, SMALL)
    assert not render(scene).mask.any()
    with pytest.raises(InvalidImage, match="0 everywhere"):
        render(scene, table=False)


def test_a_camera_that_looks_at_the_horizon_sees_nothing_above_it():
    level = transforms.look_at([-1, 0, 0.3], [0, 0, 0.3])
    depth = render_depth(Scene(box(), transforms.translation([0, 0, 0.02]), level, SMALL)).depth
    assert (depth[:59] == 0).all()
    assert (depth[70:] > 0).all()


def test_the_window_contains_every_pixel_of_the_mask(rng):
    for _ in range(5):
        scene = random_scene(rng)
        u0, v0, u1, v1 = object_window(scene)
        v, u = np.nonzero(render(scene, table=False).mask)
        assert u0 <= u.min() <= u0 + 2 and u1 - 3 <= u.max() < u1
        assert v0 <= v.min() <= v0 + 2 and v1 - 3 <= v.max() < v1
