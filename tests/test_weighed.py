"""What make_policy does with a network of ours: three judges, and every pair as a seed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from antipodal.policy import WeighedQuality, make_policy
from antipodal.policy.heuristics import GeometricQuality
from antipodal.policy.view import look
from antipodal.policy.weighed import WeighedConfig, weigh, weight_torque
from antipodal.quality import load_quality
from conftest import box
from policy_scenes import YUMI, down, seen

BUILTIN = load_quality("builtin")


def test_a_plan_of_a_network_is_scored_by_three_judges_in_the_plans_own_view(rng):
    image, mask = seen(box(0.03, 0.12, 0.04))
    plan = make_policy("antipodal", BUILTIN, YUMI)(image, mask, rng)
    weighed = WeighedQuality(BUILTIN, YUMI)
    view = look(image, mask, np.random.default_rng(0))
    assert plan.quality == pytest.approx(weighed.at(view)(plan.grasps), abs=1e-5)
    assert np.abs(plan.quality - BUILTIN(image, plan.grasps)).max() > 0.01


def test_asked_without_a_view_a_weighed_quality_looks_itself(rng):
    image = seen(box(0.03, 0.05, 0.04))[0]
    plan = make_policy("antipodal", BUILTIN, YUMI)(image, None, rng)
    assert WeighedQuality(BUILTIN, YUMI)(image, plan.grasps) == pytest.approx(
        plan.quality, abs=1e-3
    )
    assert len(WeighedQuality(BUILTIN, YUMI)(image, plan.grasps[:0])) == 0


def test_with_the_other_judges_silent_the_network_orders_and_with_it_silent_the_geometry():
    image, mask = seen(box(0.03, 0.06, 0.04), tilt=0.0)
    offset = np.linspace(-0.025, 0.025, 7)
    points = np.stack([np.zeros(7), offset, np.full(7, 0.025)], -1)
    grasps = down(np.asarray(image.T_world_camera), points, np.zeros(7))
    view = look(image, mask, np.random.default_rng(0))
    alone = WeighedQuality(BUILTIN, YUMI, WeighedConfig(geometry=0.0, torque=0.0)).at(view)
    assert np.argsort(alone(grasps)).tolist() == np.argsort(BUILTIN(image, grasps)).tolist()
    mute = WeighedQuality(lambda i, g: np.full(len(g), 0.5), YUMI, WeighedConfig(torque=0.0))
    geometry = GeometricQuality(YUMI).at(view)
    assert np.argsort(mute.at(view)(grasps)).tolist() == np.argsort(geometry(grasps)).tolist()


def test_weighing_is_the_formula_of_its_page(rng):
    q, g, torque = rng.uniform(0.01, 1, (3, 50))
    c = WeighedConfig()
    w = q * g**c.geometry * np.exp(-c.torque * torque)
    odds = np.exp(c.intercept) * w**c.slope
    assert weigh(q, g, torque, c) == pytest.approx(odds / (1 + odds))


def test_what_no_table_tells_the_volume_of_weighs_the_geometric_mean_of_its_bounds():
    config = WeighedConfig(mass_bounds=(0.04, 0.25), density=1000.0)
    found: Any = SimpleNamespace(volume=np.array([np.nan, 1e-4, 1.0, 0.0]), lever=np.full(4, 0.02))
    masses = np.array([0.1, 0.1, 0.25, 0.04])
    assert weight_torque(found, config) == pytest.approx(9.81 * 0.02 * masses)


def test_of_two_grasps_alike_in_the_crop_the_one_nearer_to_the_middle_is_better():
    # the crop ends 5 cm from the grasp: both see the same bar
    image, mask = seen(box(0.02, 0.30, 0.03), tilt=0.0)
    points = np.array([[0.0, 0.0, 0.02], [0.0, 0.09, 0.02]])
    grasps = down(np.asarray(image.T_world_camera), points, np.zeros(2))
    view = look(image, mask, np.random.default_rng(0))
    near, far = WeighedQuality(BUILTIN, YUMI).at(view)(grasps)
    assert near > far + 0.01


def test_two_answers_begun_before_either_is_asked_for_do_not_mix(rng):
    image, mask = seen(box(0.03, 0.05, 0.04))
    grasps = make_policy("antipodal", BUILTIN, YUMI)(image, mask, rng).grasps
    answers = [BUILTIN.start(image, some) for some in (grasps[:30], grasps[20:27])]
    assert answers[1]() == pytest.approx(BUILTIN(image, grasps[20:27]), abs=1e-6)
    assert answers[0]() == pytest.approx(BUILTIN(image, grasps[:30]), abs=1e-6)
