"""Depth repair: what is dropped, what is filled, and that it says so."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig
from antipodal.policy import make_policy
from antipodal.policy.repair import (
    DEFAULT_REPAIR,
    FULL_REPAIR,
    NO_REPAIR,
    RepairConfig,
    flying_pixels,
)
from antipodal.policy.view import look
from conftest import box
from policy_scenes import INTRINSICS, YUMI, seen


def spotted(rng: np.random.Generator) -> tuple[DepthImage, np.ndarray]:
    """A table at 0.7 m with lone pixels above it."""
    depth = np.full(INTRINSICS.shape, 0.7)
    v, u = rng.integers(5, 470, 40) // 4 * 4, rng.integers(5, 630, 40) // 4 * 4
    depth[v, u] = rng.uniform(0.5, 0.68, 40)
    return DepthImage(depth, INTRINSICS), depth < 0.69


def test_lone_pixels_fly_and_nothing_else_does(rng):
    image, lone = spotted(rng)
    assert (flying_pixels(image) == lone).all()


@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.2], ids=["across", "29°", "69°"])
def test_a_plane_however_tilted_has_no_flying_pixels(tilt):
    v, _ = np.mgrid[:480, :640]
    slope = np.tan(tilt)
    ray = (v - INTRINSICS.cy) / INTRINSICS.fy
    image = DepthImage(0.7 / (1 + slope * ray).clip(0.35), INTRINSICS)
    assert not flying_pixels(image).any()


def test_a_rod_one_pixel_thick_is_no_flying_pixel():
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[100:200, 320] = 0.66
    assert not flying_pixels(DepthImage(depth, INTRINSICS)).any()


def test_repair_says_what_it_changed_and_undoes_both_faults(rng):
    image, lone = spotted(rng)
    depth = np.array(image.depth)
    depth[300:310, 300:310] = 0.0
    holed = image.with_depth(depth)
    n_lone = int((lone & holed.valid).sum())
    mended = look(holed, None, rng, mend=FULL_REPAIR)
    assert mended.repaired == {"flying_px": n_lone, "filled_px": n_lone + 100}
    assert mended.filled.depth == pytest.approx(np.full(INTRINSICS.shape, 0.7), abs=1e-6)
    assert look(holed, None, rng, mend=DEFAULT_REPAIR).repaired == {"filled_px": 100}
    untouched = look(holed, None, rng, mend=NO_REPAIR)
    assert untouched.filled is holed and untouched.repaired == {}


def test_a_plan_reports_the_repair_and_the_network_sees_the_image_as_it_is(rng):
    image, _ = seen(box(0.03, 0.05, 0.04))
    depth = np.array(image.depth)
    depth[40:60, 40:60] = 0.0
    depth[100, 100] = 0.4
    given = image.with_depth(depth)
    shown = []

    def quality(image, grasps):
        shown.append(image)
        return np.full(len(grasps), 0.5)

    plan = make_policy("antipodal", quality, YUMI, mend=FULL_REPAIR)(given, None, rng)
    assert plan.counts["flying_px"] >= 1 and plan.counts["filled_px"] >= 401
    assert shown and all(s is given for s in shown)
    plain = make_policy("antipodal", quality, YUMI, mend=NO_REPAIR)(given, None, rng)
    assert "filled_px" not in plain.counts


def test_senseless_repairs_are_refused():
    with pytest.raises(InvalidConfig, match="jump 0"):
        RepairConfig(jump=0)
    with pytest.raises(InvalidConfig, match="min_neighbours 9"):
        RepairConfig(min_neighbours=9)
