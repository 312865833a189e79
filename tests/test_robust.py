"""Robust metrics: limits, Monte-Carlo error, and the distributions that are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, norm, truncnorm

from antipodal import transforms
from antipodal.contact import ContactModel, find_contacts
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.metrics import ferrari_canny, force_closure
from antipodal.robust import Perturbation, perturb, robust, robust_epsilon
from antipodal.sampling import sample_antipodal
from conftest import box, cylinder, sphere

YUMI = load_gripper("yumi")
NOTHING = Perturbation(
    n_samples=2,
    gripper_translation=0.0,
    gripper_rotation=0.0,
    approach=0.0,
    width=0.0,
    object_translation=0.0,
    object_rotation=0.0,
    center_of_mass=0.0,
    friction=0.0,
    torque_scaling=0.0,
)


def centred(n: int = 1, width: float = 0.05) -> Grasp:
    """Grasps along x through the origin, from above."""
    return Grasp.from_axes(np.zeros((n, 3)), [1.0, 0, 0], [0, 0, -1.0], width)


def test_without_noise_the_mean_is_the_metric_itself(rng):
    mesh = cylinder()
    grasps = sample_antipodal(mesh, YUMI, 20, rng)
    exact = ferrari_canny(find_contacts(mesh, grasps).contacts, mesh.center_of_mass)
    mean, error = robust_epsilon(mesh, grasps, YUMI, rng, NOTHING)
    assert (exact > 0).any()
    np.testing.assert_allclose(mean, exact, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(error, 0, atol=1e-9)


def test_the_mean_tends_to_the_metric_as_the_noise_vanishes(rng):
    mesh, grasps = sphere(0.02, 5), centred()
    exact = ferrari_canny(find_contacts(mesh, grasps).contacts, mesh.center_of_mass)
    gaps = []
    for s in (1e-1, 1e-2, 1e-3):
        noise = Perturbation(
            n_samples=20, object_translation=5e-3 * s, object_rotation=0.01 * s, gripper_translation=1e-3 * s,
            center_of_mass=0.01 * s, friction=0.3 * s, torque_scaling=3.0 * s,
        )  # fmt: skip
        gaps.append(float(np.abs(robust_epsilon(mesh, grasps, YUMI, rng, noise).mean - exact)[0]))
    assert gaps[2] < 0.02 * exact[0]
    assert gaps[0] > gaps[1] > gaps[2]


def test_few_samples_agree_with_many_within_their_standard_error(rng):
    mesh = box(0.04, 0.05, 0.06)
    grasps = centred(60)
    few = robust_epsilon(mesh, grasps, YUMI, rng)
    many = robust_epsilon(mesh, centred(), YUMI, rng, Perturbation(n_samples=1500))
    z = (few.mean - many.mean) / np.hypot(few.standard_error, many.standard_error)
    # 60 equal grasps are 60 trials: their spread is the standard error that each reports
    assert (
        abs(few.mean.mean() - many.mean[0])
        < 4 * many.standard_error[0] + 4 * few.mean.std() / 60**0.5
    )
    assert (np.abs(z) < 3).mean() > 0.9
    np.testing.assert_allclose(few.mean.std(), np.median(few.standard_error), rtol=0.4)


def test_friction_is_a_truncated_gaussian_and_clipping_leaves_its_atom(rng):
    n = 400
    drawn = np.asarray(perturb(box(), centred(n), rng).model.friction)
    sigma = 0.1**0.5
    law = truncnorm(-0.5 / sigma, 0.5 / sigma, loc=0.5, scale=sigma)
    assert kstest(drawn.ravel(), law.cdf).pvalue > 1e-3
    clip = Perturbation(friction_outside="clip", friction_bounds=(0.0, np.inf))
    clipped = np.asarray(perturb(box(), centred(n), rng, clip).model.friction)
    np.testing.assert_allclose((clipped == 0).mean(), 0.057, atol=0.01)  # reference 10.8
    assert clipped.max() > 1


def test_each_noise_has_its_stated_standard_deviation(rng):
    mesh, n = box(0.04, 0.5, 0.5), 4000
    perturbation = Perturbation(n_samples=2)
    contacts, found, com, model = perturb(mesh, centred(n, width=0.12), rng, perturbation)
    assert found.all()
    np.testing.assert_allclose(com.std((0, 1)), 0.01, rtol=0.05)
    np.testing.assert_allclose((1 / np.asarray(model.torque_scale)).std(), 10**0.5, rtol=0.05)
    # on a slab the contacts lie where the closing line meets it: y and z are the object's and gripper's moves
    moved = contacts.point.mean(2)[..., 1:]
    np.testing.assert_allclose(moved.std((0, 1)), np.hypot(0.005, 0.001), rtol=0.05)
    line = contacts.point[:, :, 1] - contacts.point[:, :, 0]
    turn = np.arctan2(line[..., 1:], line[..., :1])
    np.testing.assert_allclose(turn.std((0, 1)), np.hypot(0.01, 0.001), rtol=0.05)


def test_a_scaled_object_is_touched_on_its_scaled_faces(rng):
    noise = replace(NOTHING, object_scale=0.05, n_samples=50)
    contacts = perturb(box(), centred(), rng, noise).contacts
    half = np.abs(contacts.point[..., 0])
    np.testing.assert_allclose(half[..., 0], half[..., 1], rtol=1e-9)
    np.testing.assert_allclose((half / 0.02 - 1).std(), 0.05, rtol=0.4)


def test_the_hand_turns_about_the_grasps_centre(rng):
    noise = replace(NOTHING, gripper_rotation=0.05, n_samples=200)
    grasp = Grasp.from_axes([[0.0, 0.1, 0.0]], [1.0, 0, 0], [0, 0, -1.0], 0.12)
    contacts, found, *_ = perturb(box(0.04, 0.5, 0.5), grasp, rng, noise)
    assert found.all()
    # on a slab the middle of the contacts is where the closing line meets its middle: the centre, whatever the turn
    np.testing.assert_allclose(contacts.point.mean(2)[0, :, 1:], [[0.1, 0.0]] * 200, atol=1e-6)
    assert np.ptp(contacts.point[0, :, 0, 1]) > 1e-3


def test_an_object_that_grew_beyond_the_opening_is_not_found(rng):
    noise = replace(NOTHING, object_scale=0.2, n_samples=4000)
    found = perturb(box(), centred(), rng, noise).found.mean()
    assert found == pytest.approx(norm.cdf(0.25 / 0.2), abs=0.03)  # 40 mm × scale < 50 mm


def test_the_opening_varies_by_its_own_deviation(rng):
    noise = replace(NOTHING, width=1e-4, n_samples=4000)
    found = perturb(box(), centred(width=0.0401), rng, noise).found.mean()
    assert found == pytest.approx(norm.cdf(1.0), abs=0.03)  # a box of 40 mm


def test_the_edges_of_the_cones_turn_about_the_closing_axis(rng):
    noise = replace(NOTHING, approach=0.05, n_samples=4000)
    tangent = perturb(box(), centred(), rng, noise).contacts.tangent[0, :, 0]
    turn = np.mod(np.arctan2(tangent[:, 2], tangent[:, 1]) + np.pi / 2, np.pi) - np.pi / 2
    np.testing.assert_allclose(turn.std(), 0.05, rtol=0.1)


def test_each_sample_of_a_grasp_has_its_own_centre_of_mass(rng):
    noise = replace(NOTHING, center_of_mass=0.01, n_samples=4000)
    com = perturb(box(), centred(), rng, noise).center_of_mass
    np.testing.assert_allclose(com[0].std(0), 0.01, rtol=0.05)


def test_reused_object_poses_repeat_the_contacts(rng):
    noise = replace(NOTHING, object_translation=0.005, n_samples=6, n_object_poses=3)
    points = perturb(sphere(), centred(), rng, noise).contacts.point[0]
    np.testing.assert_allclose(points[:3], points[3:], atol=1e-12)
    assert np.abs(points[0] - points[1]).max() > 1e-5


def test_the_result_does_not_depend_on_where_the_mesh_file_puts_the_object():
    mesh, grasps = cylinder(), centred(3)
    T = transforms.translation([0.3, -0.2, 0.1])
    here = robust_epsilon(mesh, grasps, YUMI, np.random.default_rng(1))
    there = robust_epsilon(mesh.transformed(T), grasps.in_frame(T), YUMI, np.random.default_rng(1))
    # Embree works in float32: a ray near an edge of the cylinder may meet the neighbouring face
    np.testing.assert_allclose(there.mean, here.mean, rtol=0.05)


def test_the_same_seed_gives_the_same_bytes():
    a, b = (robust_epsilon(box(), centred(4), YUMI, np.random.default_rng(3)) for _ in range(2))
    assert a.mean.tobytes() == b.mean.tobytes()
    assert a.standard_error.tobytes() == b.standard_error.tobytes()


def test_a_grasp_that_misses_is_worth_nothing(rng):
    beside = Grasp.from_axes([[0, 0.1, 0]], [1.0, 0, 0], [0, 0, -1.0], 0.05)
    mean, error = robust_epsilon(box(), beside, YUMI, rng)
    assert mean == 0
    assert error == 0
    assert robust_epsilon(box(), centred(0), YUMI, rng).mean.shape == (0,)


def test_a_sample_that_misses_counts_as_what_the_metric_calls_worst(rng):
    """At a box's edge half of the samples miss; of a metric that is always 1 the mean is h + (1 − h) · missed."""
    edge = Grasp.from_axes(np.tile([0, 0.1, 0], (3, 1)), [1.0, 0, 0], [0, 0, -1.0], 0.05)
    mesh, noise = box(0.02, 0.2, 0.1), replace(NOTHING, object_translation=0.005, n_samples=200)
    one = lambda contacts, com, model: np.ones(len(contacts.point))  # noqa: E731
    hit = robust(one, mesh, edge, np.random.default_rng(5), noise).mean
    assert (np.abs(hit - 0.5) < 0.2).all()
    for missed in (-1.5, 0.1):
        mean = robust(one, mesh, edge, np.random.default_rng(5), noise, missed=missed).mean
        np.testing.assert_allclose(mean, hit + (1 - hit) * missed)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (lambda contacts, com, model: contacts.point[..., 0], r"of shape \(\d+, 2\) for \d+ pairs of contacts"),
        (lambda contacts, com, model: 1.0, r"of shape \(\) for \d+ pairs"),
        (lambda contacts, com, model: np.full(len(com), np.nan), "values are NaN or infinite"),
    ],
)  # fmt: skip
def test_a_metric_that_gives_other_than_one_number_each_is_told(rng, metric, words):
    with pytest.raises(InvalidConfig, match=words):
        robust(metric, box(), centred(4), rng)
    with pytest.raises(InvalidConfig, match="missed nan"):
        robust(force_closure, box(), centred(4), rng, missed=np.nan)


def test_the_mean_of_force_closure_is_its_probability(rng):
    # faces square to the closing axis, noise in the orientation only: P = P(turn < atan μ), a Rayleigh law
    sigma, mu = 0.2, 0.3
    noise = replace(NOTHING, object_rotation=sigma, n_samples=4000)
    mean, error = robust(
        force_closure, box(0.02, 0.5, 0.5), centred(), rng, noise, ContactModel(mu)
    )
    # the turn about the closing axis hardly matters: what tilts the line are the two others
    expected = 1 - np.exp(-(np.arctan(mu) ** 2) / (2 * sigma**2))
    assert abs(mean[0] - expected) < 4 * error[0] + 0.01


@pytest.mark.parametrize(
    ("mean", "sigma", "bounds"),
    [(0.5, 0.1, (0.3, 0.8)), (0.1, 0.05, (0.3, 0.8)), (0.1, 0.02, (0.3, 0.8)), (1.5, 0.02, (0.3, 0.8))],
)  # fmt: skip
def test_a_mean_far_outside_of_the_bounds_gives_the_nearer_end(rng, mean, sigma, bounds):
    errors = Perturbation(friction=sigma, friction_bounds=bounds)
    model = ContactModel(friction=mean)
    drawn = np.asarray(perturb(box(), centred(4000), rng, errors, model).model.friction)
    low, high = (np.array(bounds) - mean) / sigma
    assert drawn.mean() == pytest.approx(truncnorm.mean(low, high, mean, sigma), abs=0.005)
    never = Perturbation(friction=1e-4, friction_bounds=bounds)
    drawn = np.asarray(perturb(box(), centred(5), rng, never, model).model.friction)
    assert drawn == pytest.approx(np.clip(mean, *bounds), abs=1e-3)


@pytest.mark.parametrize(("mean", "end"), [(0.1, 0.3), (1.0, 0.8)])
def test_the_tail_of_friction_beyond_a_far_mean_is_exact(rng, mean, end):
    errors = Perturbation(friction=0.02, friction_bounds=(0.3, 0.8), n_samples=10)
    model = ContactModel(friction=mean)
    drawn = np.asarray(perturb(box(), centred(1000), rng, errors, model).model.friction)
    low, high = (np.array([0.3, 0.8]) - mean) / 0.02
    off = truncnorm.mean(low, high, mean, 0.02) - end
    assert drawn.mean() - end == pytest.approx(off, rel=0.1)


def test_bounds_that_are_equal_are_the_friction(rng):
    for outside in ("resample", "clip"):
        errors = Perturbation(friction_bounds=(0.4, 0.4), friction_outside=outside)
        drawn = np.asarray(perturb(box(), centred(50), rng, errors).model.friction)
        np.testing.assert_array_equal(drawn, 0.4)


def test_friction_may_differ_from_grasp_to_grasp(rng):
    model = ContactModel(np.array([0.2, 0.5, 0.9]))
    mean, _ = robust(ferrari_canny, box(), centred(3), rng, NOTHING, model)
    exact = ferrari_canny(find_contacts(box(), centred(3)).contacts, np.zeros(3), model)
    np.testing.assert_allclose(mean, exact, rtol=1e-6)
    assert (np.diff(mean) > 0).all()


def test_the_grippers_own_patch_is_used(rng):
    small = ContactModel(contact_radius=0.005)
    hand = replace(YUMI, contact_radius=small.contact_radius)
    contacts = find_contacts(box(), centred()).contacts
    mean = robust_epsilon(box(), centred(), hand, rng, NOTHING).mean
    np.testing.assert_allclose(mean, ferrari_canny(contacts, np.zeros(3), small), rtol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        {"n_samples": 1},
        {"n_samples": "many"},
        {"n_object_poses": 0},
        {"n_object_poses": "few"},
        {"friction": -0.1},
        {"torque_scaling": "some"},
        {"torque_scaling": np.inf},
        {"torque_scaling": np.float32(-1)},
        {"friction_bounds": (1.0, 0.5)},
        {"friction_outside": "wrap"},
    ],
)
def test_impossible_noise_is_refused(values):
    with pytest.raises(InvalidConfig, match="perturbation"):
        Perturbation(**values)
