"""The shaded picture: same silhouettes as the depth image, right colours, light from the upper left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.errors import InvalidConfig
from antipodal.render.depth import render
from antipodal.render.scene import Scene
from antipodal.render.shade import DEFAULT_SHADE, Body, ShadeConfig, look_from, shade
from conftest import box, cylinder, sphere

K = CameraIntrinsics(160.0, 160.0, 79.5, 59.5, 160, 120)
VIEW = look_from(-1.2, 0.7, 0.4, (0, 0, 0.02))
PLAIN = ShadeConfig(checker=0, occlusion_rays=0, samples=1, fade_distance=1e6)
RED = (0.9, 0.1, 0.1)


def encode(linear):
    return 255 * (1.055 * linear ** (1 / 2.4) - 0.055)


def decode(color):
    return ((np.asarray(color) + 0.055) / 1.055) ** 2.4


def test_the_silhouette_is_that_of_the_depth_image():
    T = transforms.translation([0.02, 0.01, 0.04]) @ transforms.rot_x(0.4)
    mask = render(Scene(cylinder(), T, VIEW, K)).mask
    picture = shade([Body(cylinder(), T, RED)], VIEW, K, PLAIN).astype(int)
    red = picture[..., 0] - picture[..., 1] > 15
    assert mask.sum() > 300
    assert (red == mask).mean() > 0.999


def test_an_empty_table_has_lamberts_brightness():
    config = replace(PLAIN, background=(0, 0, 0))
    down = transforms.look_at([0, 0, 0.5], [0, 0, 0])
    picture = shade([], down, K, config)
    cosine = config.light_direction[2] / np.linalg.norm(config.light_direction)
    expected = encode(decode(config.table_color) * (config.light * cosine + config.ambient))
    np.testing.assert_allclose(picture.reshape(-1, 3).mean(0), expected, atol=0.6)
    assert np.ptp(picture, axis=(0, 1)).max() == 0


def test_the_shadow_falls_to_the_right_and_away(rng):
    ball = Body(sphere(0.02), transforms.translation([0, 0, 0.08]), RED)
    down = transforms.look_at([0, 0, 0.6], [0, 0, 0])
    dark = shade([ball], down, K, PLAIN)[..., 1].astype(int) - shade([], down, K, PLAIN)[..., 1]
    red = render(Scene(ball.mesh, ball.T_world_body, down, K)).mask
    v, u = np.nonzero((dark < -20) & ~red)
    # light (−x, −y, z): a point at height h throws its shadow by h x/z right and h y/z up
    x, y, z = PLAIN.light_direction
    assert (u.mean() - 79.5) * 0.6 / 160 == pytest.approx(-x / z * 0.08, abs=0.006)
    assert (59.5 - v.mean()) * 0.6 / 160 == pytest.approx(-y / z * 0.08, abs=0.006)


def test_the_sphere_is_brighter_towards_the_light():
    ball = Body(sphere(0.05), transforms.translation([0, 0, 0.05]), RED)
    down = transforms.look_at([0, 0, 0.4], [0, 0, 0])
    row = shade([ball], down, K, PLAIN)[59, :, 0].astype(int)
    half = int(160 * 0.03 / 0.35)
    assert row[79 - half] > row[80 + half] + 30


def test_occlusion_darkens_the_table_beside_a_body_and_not_far_from_it():
    # lit by the sky alone
    sky = replace(PLAIN, light=0.0, samples=2)
    body = Body(box(0.05, 0.05, 0.05), transforms.translation([0, 0, 0.025]), RED)
    down = transforms.look_at([0, 0, 0.5], [0, 0, 0])
    without, with_rays = (
        shade([body], down, K, replace(sky, occlusion_rays=n)).astype(int) for n in (0, 16)
    )
    drop = without[..., 1] - with_rays[..., 1]
    beside = drop[50:70, 90:94].mean()
    far = drop[50:70, 130:].mean()
    assert beside > 5 and abs(far) < 0.5


def test_smooth_shading_hides_facets_and_keeps_edges():
    down = transforms.look_at([0, 0, 0.4], [0, 0, 0])
    coarse = Body(sphere(0.05, 2), transforms.translation([0, 0, 0.05]), RED)
    fine = Body(sphere(0.05, 5), transforms.translation([0, 0, 0.05]), RED)
    truth = shade([fine], down, K, PLAIN).astype(int)[45:75, 65:95]
    smooth = shade([coarse], down, K, PLAIN).astype(int)[45:75, 65:95]
    flat = shade([coarse], down, K, replace(PLAIN, crease_angle=0.0)).astype(int)[45:75, 65:95]
    assert np.abs(smooth - truth).mean() < 0.3 * np.abs(flat - truth).mean()
    # a box has one colour per side
    top = shade([Body(box(0.1, 0.1, 0.02), np.eye(4), RED)], down, K, PLAIN)[50:70, 70:90]
    assert np.ptp(top, axis=(0, 1)).max() == 0


def test_supersampling_puts_a_mixed_colour_on_the_edge_only():
    body = Body(box(0.05, 0.05, 0.05), transforms.translation([0, 0, 0.025]), RED)
    one, two = (shade([body], VIEW, K, replace(PLAIN, samples=n)).astype(int) for n in (1, 2))
    changed = np.abs(one - two).max(-1) > 8
    assert 0 < changed.mean() < 0.08


def test_the_same_call_gives_the_same_bytes():
    body = Body(cylinder(), transforms.translation([0, 0, 0.04]), RED)
    a, b = (shade([body], VIEW, K) for _ in range(2))
    assert a.dtype == np.uint8 and a.shape == (120, 160, 3)
    np.testing.assert_array_equal(a, b)


def test_turning_camera_and_body_together_leaves_the_picture():
    plain = replace(DEFAULT_SHADE, checker=0, occlusion_rays=0)
    T = transforms.translation([0.01, 0.0, 0.04])
    turn = transforms.rot_z(1.1)
    a = shade([Body(cylinder(), T, RED)], VIEW, K, plain).astype(int)
    b = shade([Body(cylinder(), turn @ T, RED)], turn @ VIEW, K, plain).astype(int)
    assert (np.abs(a - b).max(-1) <= 1).mean() > 0.999


def test_a_colour_out_of_range_is_refused():
    with pytest.raises(InvalidConfig, match=r"three numbers in \[0, 1\]"):
        Body(box(), np.eye(4), (255, 0, 0))
