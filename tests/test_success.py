"""P(success): the chance to come in free against its closed form, pads against what flat pads do, the fitted model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from antipodal import transforms
from antipodal.contact import ContactModel
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.metrics import ferrari_canny
from antipodal.pads import NEVER, close_pads
from antipodal.robust import PAPER_PERTURBATION, Perturbation, robust, robust_epsilon
from antipodal.success import (
    FEATURES,
    GRAVITY,
    TORQUE_FLOOR,
    ExecutionNoise,
    HoldModel,
    displaced,
    free_share,
    hold_features,
    hold_probability,
    polynomial,
    success_chances,
)
from conftest import box, cylinder, sphere

YUMI = load_gripper("yumi")
SIGMA = 0.002
STRAIGHT = ExecutionNoise(position_sigma=SIGMA, rotation_sigma=0.0, n_free=2000)
DOWN = np.diag([1.0, -1.0, -1.0])


def standing(mesh: TriMesh, x: float = 0.0) -> np.ndarray:
    return transforms.translation([x, 0.0, -mesh.bounds[0, 2]])


def above(z: float, yaw: float = 0.0, y: float = 0.0) -> Grasp:
    T = transforms.from_rt(transforms.rot_z(yaw)[:3, :3] @ DOWN, [0.0, y, z])
    return Grasp(T[None], np.array([YUMI.max_width]))


@pytest.mark.parametrize("height", [0.0, 0.001, 0.003])
def test_the_chance_to_clear_the_table_is_that_of_a_normal_error(
    height: float, rng: np.random.Generator
) -> None:
    mesh = box(0.01, 0.01, 0.03)
    far = standing(mesh, x=0.5)
    (share,) = free_share(mesh, far, above(YUMI.tip_overhang + height), YUMI, rng, STRAIGHT)
    expected = norm.cdf(height / SIGMA)
    assert share == pytest.approx(expected, abs=4 * np.sqrt(0.25 / STRAIGHT.n_free))


@pytest.mark.parametrize("width", [0.040, 0.046, 0.049])
def test_the_chance_to_come_in_beside_a_wide_box_is_that_of_both_gaps(
    width: float, rng: np.random.Generator
) -> None:
    mesh = box(width, 0.03, 0.04)
    (share,) = free_share(mesh, standing(mesh), above(0.03), YUMI, rng, STRAIGHT)
    gap = YUMI.max_width / 2 + YUMI.jaw_clearance - width / 2
    assert share == pytest.approx(2 * norm.cdf(gap / SIGMA) - 1, abs=0.05)


def test_displaced_grasps_have_the_errors_that_were_asked_for(rng: np.random.Generator) -> None:
    grasp = above(0.1, yaw=0.4)
    many = displaced(grasp, 20000, rng, ExecutionNoise(rotation_sigma=0.05))
    assert (many.center - grasp.center).std(0) == pytest.approx(0.002, rel=0.05)
    turn = np.swapaxes(grasp.pose[:, :3, :3], 1, 2) @ many.pose[:, :3, :3]
    angles = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert np.sqrt((angles**2).mean()) == pytest.approx(0.05 * np.sqrt(3), rel=0.05)


def test_parallel_faces_square_to_the_pads_need_no_friction() -> None:
    mesh = box(0.03, 0.05, 0.04)
    contacts = close_pads(mesh, above(0.0), YUMI)
    assert contacts.required_friction[0] == pytest.approx(0.0, abs=1e-9)
    assert contacts.separation[0] == pytest.approx(0.03, abs=1e-6)


@pytest.mark.parametrize("slope", [0.2, 0.35, 0.5])
def test_a_wedge_needs_the_tangent_of_its_slope(slope: float) -> None:
    # touched along the pads' lower edges, where the faces' normals count; less than 0.14 is flat to a soft pad
    mesh = wedge(bottom=0.03, slope=slope, height=0.05)
    contacts = close_pads(mesh, above(0.02), YUMI)
    assert contacts.required_friction[0] == pytest.approx(slope, rel=1e-6)


def test_a_sphere_held_off_its_middle_by_the_pads_middle_still_touches_at_its_equator() -> None:
    # the pad reaches 12 mm below the grasp's centre: the line contact of the point model would slip
    mesh = sphere(0.02, 4)
    contacts = close_pads(mesh, above(0.01), YUMI)
    assert contacts.separation[0] == pytest.approx(0.04, abs=3e-4)
    assert contacts.required_friction[0] < 0.05


def test_pads_that_meet_nothing_or_start_inside_never_hold() -> None:
    mesh = box(0.03, 0.03, 0.03)
    nothing = close_pads(mesh, above(0.2), YUMI)
    inside = close_pads(box(0.1, 0.1, 0.1), above(0.0), YUMI)
    for contacts in (nothing, inside):
        assert contacts.required_friction[0] == NEVER
        assert contacts.separation[0] == 0.0


@pytest.mark.parametrize("slope", [0.2, 0.5])
def test_faces_that_lean_together_drive_the_object_out_and_parallel_ones_do_not(
    slope: float,
) -> None:
    mesh = wedge(bottom=0.03, slope=slope, height=0.05)
    T = transforms.from_rt(np.diag([1.0, -1.0, -1.0]), [0, 0, 0])  # upside down
    turned = TriMesh(transforms.apply(T, mesh.vertices), mesh.faces, "turned")
    sheared = box(0.03, 0.05, 0.1)
    vertices = np.array(sheared.vertices)
    vertices[:, 0] += slope * vertices[:, 2]
    parallel = TriMesh(vertices, sheared.faces, "sheared")
    out, into, alike = (
        close_pads(m, above(z), YUMI).push[0, 1]
        for m, z in ((mesh, 0.02), (turned, -0.02), (parallel, 0.0))
    )
    assert out == pytest.approx(np.sin(np.arctan(slope)), rel=1e-6)
    assert into == pytest.approx(-out, rel=1e-6)
    assert alike == pytest.approx(0.0, abs=1e-6)


def test_the_lever_is_the_distance_of_the_line_of_force_from_the_centre_of_mass() -> None:
    # as high above the grasp's centre as below it the pads would reach: what is left is the offset across
    mesh = box(0.03, 0.12, 0.2)
    middle = YUMI.tip_overhang - YUMI.finger_depth / 2
    for offset in (0.0, 0.03):
        contacts = close_pads(mesh, above(middle, y=offset), YUMI)
        assert contacts.lever[0] == pytest.approx(offset, abs=1e-6)


def test_nothing_depends_on_which_jaw_is_which(rng: np.random.Generator) -> None:
    mesh = cylinder(0.015, 0.06)
    T = transforms.from_rt(transforms.exp_so3([0.2, 0.3, 0.0]), [0.004, 0.003, 0.0])
    grasps = above(0.0, yaw=0.2).in_frame(T)
    half = np.diag([-1.0, -1.0, 1.0, 1.0])
    a, b = (close_pads(mesh, Grasp(grasps.pose @ R, grasps.width), YUMI) for R in (np.eye(4), half))
    for name in ("required_friction", "lever", "separation"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), abs=1e-5)
    assert b.push == pytest.approx(a.push * [-1, 1], abs=1e-5)


def test_features_move_with_the_object(rng: np.random.Generator) -> None:
    mesh = cylinder(0.015, 0.06)
    T = transforms.from_rt(transforms.exp_so3([0.3, -0.5, 1.0]), [0.1, 0.2, -0.3])
    moved = TriMesh(transforms.apply(T, mesh.vertices), mesh.faces, "moved")
    grasps = above(0.0, yaw=0.2)
    a = close_pads(mesh, grasps, YUMI)
    b = close_pads(moved, grasps.in_frame(T), YUMI)
    assert b.required_friction == pytest.approx(a.required_friction, abs=1e-4)
    assert b.push == pytest.approx(a.push, abs=1e-4)
    assert b.lever == pytest.approx(a.lever, abs=1e-4)
    assert b.separation == pytest.approx(a.separation, abs=1e-6)


def test_each_feature_is_what_its_name_says() -> None:
    """By the pads and ε of the very same displaced closings."""
    mesh = replace(wedge(bottom=0.03, slope=0.3, height=0.03), density=4000.0)
    grasps = above(0.02, yaw=0.1, y=0.04)  # some closings miss the prism, which ends at 30 mm
    hand, noise = (
        replace(YUMI, contact_radius=0.006),
        ExecutionNoise(position_sigma=0.006, n_hold=9),
    )
    seed, again = np.random.default_rng(4), np.random.default_rng(4)
    got = hold_features(mesh, grasps, hand, np.array([0.003]), seed, noise)[0]
    moved = close_pads(mesh, displaced(grasps, 9, again, noise), hand)
    planned, touches = close_pads(mesh, grasps, hand), moved.separation > 0
    assert 0 < touches.sum() < 9
    model = ContactModel(noise.friction, contact_radius=hand.contact_radius)
    sampled = replace(
        PAPER_PERTURBATION, friction=noise.friction_sigma, friction_bounds=noise.friction_bounds
    )
    at_trial = robust(ferrari_canny, mesh, grasps, again, sampled, model).mean[0]
    torque = GRAVITY * np.clip(mesh.mass, *noise.mass_bounds) * planned.lever[0]
    want = {
        "log_epsilon": np.log10(0.003 + 1e-4),
        "log_epsilon_at_trial_friction": np.log10(at_trial + 1e-4),
        "log_required_friction": np.log(np.median(moved.required_friction).clip(0.02, NEVER)),
        "separation": planned.separation[0],
        "push_aside": np.abs(moved.push[touches, 0]).mean(),
        "push_out": moved.push[touches, 1].mean(),
        "log_torque": np.log(torque + TORQUE_FLOOR),
    }
    for name, value in want.items():
        assert got[FEATURES.index(name)] == pytest.approx(value, abs=1e-9), name


def test_no_grasps_have_no_features(rng: np.random.Generator) -> None:
    none = Grasp(np.zeros((0, 4, 4)), np.zeros(0))
    found = hold_features(box(0.03, 0.05, 0.04), none, YUMI, np.zeros(0), rng)
    assert found.shape == (0, len(FEATURES))


def test_the_share_that_holds_is_the_distribution_of_friction(rng: np.random.Generator) -> None:
    exact = ExecutionNoise(position_sigma=0.0, rotation_sigma=0.0)
    for slope in (0.35, 0.5, 0.65):
        mesh = wedge(bottom=0.03, slope=slope, height=0.05)
        features = hold_features(mesh, above(0.02), YUMI, np.zeros(1), rng, exact)
        share = features[0, FEATURES.index("holds_share")]
        low, high, x = norm.cdf([-2.0, 3.0, (slope - 0.5) / 0.1])
        assert share == pytest.approx((high - x) / (high - low), abs=1e-4)


def test_a_slope_that_only_the_papers_friction_holds_has_no_epsilon_at_a_trials(
    rng: np.random.Generator,
) -> None:
    # tan 42° = 0.9 lies between the largest μ of a trial, 0.8, and the paper's, 1
    mesh = wedge(bottom=0.04, slope=0.9, height=0.02)
    at_trial = FEATURES.index("log_epsilon_at_trial_friction")
    often = Perturbation(n_samples=500)
    assert robust_epsilon(mesh, above(0.01), YUMI, rng, often).mean[0] > 0
    steep = hold_features(mesh, above(0.01), YUMI, np.zeros(1), rng)[0, at_trial]
    flat = hold_features(box(0.02, 0.03, 0.03), above(0.0), YUMI, np.zeros(1), rng)[0, at_trial]
    assert steep == pytest.approx(-4.0)  # log10 of 0 + 1e-4
    assert flat > np.log10(0.001)


def test_a_model_of_one_feature_is_a_logistic_curve() -> None:
    n = len(polynomial(np.zeros((1, len(FEATURES))))[0])
    coefficients = np.zeros(n)
    coefficients[1] = 2.0
    model = HoldModel(np.zeros(len(FEATURES)), np.ones(len(FEATURES)), coefficients)
    x = np.zeros((3, len(FEATURES)))
    x[:, 0] = [-1, 0, 3]
    assert model(x) == pytest.approx(1 / (1 + np.exp([2.0, 0.0, -6.0])))


def test_the_shipped_model_prefers_a_robust_grasp_over_one_that_slips_or_misses(
    rng: np.random.Generator,
) -> None:
    mesh = box(0.03, 0.1, 0.04)
    robust, slipping = box(0.03, 0.03, 0.04), wedge(bottom=0.04, slope=0.9, height=0.05)
    (good,) = hold_probability(robust, above(0.0), YUMI, np.array([0.006]), rng)
    (slips,) = hold_probability(slipping, above(0.015), YUMI, np.zeros(1), rng)
    (misses,) = hold_probability(mesh, above(0.0, y=0.08), YUMI, np.zeros(1), rng)
    assert good > 0.9
    assert max(slips, misses) < 0.4


def test_success_needs_both_a_free_approach_and_a_hold(rng: np.random.Generator) -> None:
    mesh = box(0.046, 0.03, 0.04)
    T = standing(mesh)
    grasps = above(0.03)
    epsilon = np.array([0.004])
    p = success_chances(mesh, T, grasps, YUMI, epsilon, np.random.default_rng(1)).success
    again = np.random.default_rng(1)
    free = free_share(mesh, T, grasps, YUMI, again)
    in_obj = grasps.in_frame(transforms.inverse(T))
    hold = hold_probability(mesh, in_obj, YUMI, epsilon, again)
    assert p == pytest.approx(free * hold)
    assert 0 < p[0] < 1


def test_a_heavy_bar_held_off_its_centre_is_lost_more_often(rng: np.random.Generator) -> None:
    mesh = box(0.02, 0.16, 0.02)

    def hold(y: float, mass: float) -> float:
        known = ExecutionNoise(mass_bounds=(mass, mass))
        return hold_probability(mesh, above(0.005, y=y), YUMI, np.array([0.001]), rng, known)[0]

    assert hold(0.07, 0.3) < hold(0.07, 0.03) - 0.02
    assert hold(0.0, 0.3) > 0.8


def test_an_unknown_mass_stands_for_equal_shares_of_its_logarithm() -> None:
    masses = ExecutionNoise(mass_bounds=(0.01, 1.0)).masses()
    assert np.log10(masses) == pytest.approx([-1.8, -1.4, -1.0, -0.6, -0.2])
    assert ExecutionNoise(mass_bounds=(0.2, 0.2)).masses() == pytest.approx(0.2)


@pytest.mark.parametrize("density", [50.0, 2000.0, 50_000.0], ids=["light", "usual", "heavy"])
def test_an_unknown_mass_is_the_mean_over_known_ones(density: float) -> None:
    # its torque goes with the mass, whatever the mesh weighs by its own density
    mesh, epsilon = replace(box(0.02, 0.16, 0.02), density=density), np.array([0.001])

    def hold(execution: ExecutionNoise) -> float:
        rng = np.random.default_rng(1)
        return hold_probability(mesh, above(0.005, y=0.06), YUMI, epsilon, rng, execution)[0]

    unknown = ExecutionNoise()
    known = [hold(ExecutionNoise(mass_bounds=(m, m))) for m in unknown.masses()]
    assert np.ptp(known) > 0.003
    assert hold(unknown) == pytest.approx(np.mean(known), abs=1e-9)


def test_bounds_of_friction_that_are_equal_are_a_friction_that_is_known() -> None:
    mesh, epsilon = wedge(bottom=0.03, slope=0.48, height=0.05), np.array([0.001])

    def hold(known: ExecutionNoise) -> float:
        rng = np.random.default_rng(1)
        return hold_probability(mesh, above(0.02), YUMI, epsilon, rng, known)[0]

    for friction in (0.45, 0.5):  # slips, holds
        bounds = ExecutionNoise(friction=friction, friction_bounds=(friction, friction))
        sigma = ExecutionNoise(friction=friction, friction_sigma=0.0)
        assert np.isfinite(hold(bounds)) and hold(bounds) == pytest.approx(hold(sigma))


def test_impossible_executions_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="sigmas"):
        ExecutionNoise(position_sigma=-1.0)
    with pytest.raises(InvalidConfig, match="n_free"):
        ExecutionNoise(n_free=0)
    with pytest.raises(InvalidConfig, match="mass_bounds"):
        ExecutionNoise(mass_bounds=(0.3, 0.1))


def wedge(bottom: float, slope: float, height: float) -> TriMesh:
    """A prism along y, ``bottom`` wide at z = 0, whose sides lean inwards by ``slope`` on the way up."""
    height = min(height, 0.49 * bottom / slope)
    top = bottom - 2 * slope * height
    xz = np.array([[-bottom / 2, 0], [bottom / 2, 0], [top / 2, height], [-top / 2, height]])
    front = np.column_stack([xz[:, 0], np.full(4, -0.03), xz[:, 1]])
    back = np.column_stack([xz[:, 0], np.full(4, 0.03), xz[:, 1]])
    faces = [[0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6]]
    for i in range(4):
        j = (i + 1) % 4
        faces += [[i, i + 4, j + 4], [i, j + 4, j]]
    return TriMesh(np.concatenate([front, back]), np.array(faces), "wedge")


@pytest.mark.parametrize(
    "wrong", [{"position_sigma": np.nan}, {"friction_sigma": np.inf}, {"friction": 20.0}]
)
def test_an_execution_error_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidConfig, match="execution"):
        ExecutionNoise(**wrong)
