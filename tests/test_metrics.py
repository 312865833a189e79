"""Metrics against closed forms, invariances and a second road to each number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

from antipodal import metrics, transforms
from antipodal.contact import Contact, ContactModel, find_contacts
from antipodal.grasp import Grasp
from conftest import box, cylinder

SEEDS = st.integers(0, 2**32 - 1)


def pair(tilt=(0.0, 0.0), half=0.02) -> Contact:
    """Two contacts on the x axis; each normal is turned about z by its tilt in rad."""
    a, b = tilt
    normals = [[np.cos(a), np.sin(a), 0.0], [-np.cos(b), np.sin(b), 0.0]]
    return Contact([[-half, 0, 0], [half, 0, 0]], normals, [[0, 0, 1.0], [0, 0, 1.0]])


def random_pairs(rng: np.random.Generator, n: int, spread: float = 0.5) -> Contact:
    """Pairs a few cm apart whose normals scatter about the line between them."""
    points = rng.normal(0, 0.02, (n, 2, 3))
    line = points[:, 1] - points[:, 0]
    line /= np.linalg.norm(line, axis=-1, keepdims=True)
    normals = np.stack([line, -line], 1) + spread * rng.normal(size=(n, 2, 3))
    return Contact(points, normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def moved(contacts: Contact, T: np.ndarray) -> Contact:
    return Contact(
        transforms.apply(T, contacts.point),
        transforms.rotate(T, contacts.inward_normal),
        transforms.rotate(T, contacts.tangent),
    )


# --- ε of known bodies ------------------------------------------------------------------------------------------------


def test_epsilon_of_the_cross_polytope_and_of_the_cube():
    cross = np.vstack([np.eye(6), -np.eye(6)]) * 3.0
    cube = np.array(np.meshgrid(*[[-0.5, 0.5]] * 6)).reshape(6, -1).T
    np.testing.assert_allclose(metrics.epsilon(cross), 3 / np.sqrt(6), rtol=1e-12)
    np.testing.assert_allclose(metrics.epsilon(cube), 0.5, rtol=1e-12)
    shifted = cube + np.eye(6)[2] * 0.3
    np.testing.assert_allclose(metrics.epsilon(shifted), 0.2, rtol=1e-12)


def test_epsilon_is_zero_outside_and_for_flat_bodies(rng):
    cube = np.array(np.meshgrid(*[[-0.5, 0.5]] * 6)).reshape(6, -1).T
    flat = rng.normal(size=(20, 6))
    flat[:, 4] = 0.0
    assert metrics.epsilon(cube + 0.6) == 0
    assert metrics.epsilon(flat) == 0


# columns: ε at COM on the axis, 2 cm off, 4 cm off, one normal tilted 20°, μ = 0.3, μ = 0.8 (reference §4.2)
TABLE = [
    (1.0, 0.005, 4e-5, 4e-5, 4e-5, 4e-5, 2e-5, 6e-5),
    (1.0, 0.01, 1.6e-4, 1.6e-4, 1.6e-4, 1.6e-4, 9e-5, 2.5e-4),
    (1000**0.5, 0.005, 0.00124, 0.00105, 0.00077, 0.00124, 0.00075, 0.00199),
    (1000**0.5, 0.01, 0.00497, 0.00418, 0.00307, 0.00495, 0.00298, 0.00795),
    (40.0, 0.005, 0.00157, 0.00122, 0.00083, 0.00157, 0.00094, 0.00251),
    (40.0, 0.01, 0.00628, 0.00488, 0.00331, 0.00626, 0.00377, 0.01005),
    (1000.0, 0.005, 0.0391, 0.00195, 0.00098, 0.0370, 0.0235, 0.0625),
    (1000.0, 0.01, 0.147, 0.0077, 0.0039, 0.0896, 0.0889, 0.231),
]


@pytest.mark.parametrize("row", TABLE)
def test_epsilon_of_an_ideal_pair_is_that_of_the_table(row):
    scaling, radius, *expected = row
    model = ContactModel(0.5, 8, radius, 1 / scaling)
    computed = [
        metrics.ferrari_canny(pair(), np.zeros(3), model),
        metrics.ferrari_canny(pair(), np.array([0, 0, 0.02]), model),
        metrics.ferrari_canny(pair(), np.array([0, 0, 0.04]), model),
        metrics.ferrari_canny(pair((0, np.deg2rad(20))), np.zeros(3), model),
        metrics.ferrari_canny(pair(), np.zeros(3), replace(model, friction=0.3)),
        metrics.ferrari_canny(pair(), np.zeros(3), replace(model, friction=0.8)),
    ]
    # the table prints the first two rows to 1e-5, the rest to three digits
    np.testing.assert_allclose(computed, expected, rtol=0.02, atol=5e-6)


def test_epsilon_of_a_weak_torsion_is_the_torsion_itself():
    # small r: the shortest way out of the hull is a pure torque about the line, π r² μ / torque scale
    for mu in (0.3, 0.5, 0.8):
        eps = metrics.ferrari_canny(pair(), np.zeros(3), ContactModel(mu, 8, 0.002, 0.001))
        np.testing.assert_allclose(eps, np.pi * 0.002**2 * mu / 0.001, rtol=1e-3)


# --- a second road ----------------------------------------------------------------------------------------------------


def test_epsilon_by_hull_equals_the_least_distance_of_its_facets(rng):
    contacts = random_pairs(rng, 8, 0.2)
    W = metrics.wrench_space(contacts, rng.normal(0, 0.01, (8, 3)), ContactModel(0.6))
    eps = metrics.epsilon(W)
    assert (eps > 1e-4).any()
    for w, e in zip(W, eps, strict=True):
        if e > 0:
            facets = w[ConvexHull(w).simplices]
            # the original's way: a quadratic programme per facet (reference §4.1, step 3)
            np.testing.assert_allclose(metrics.origin_distance(facets).min(), e, atol=1e-9)


def test_epsilon_is_the_least_support_over_all_directions(rng):
    # no hull at all: ε = min over unit u of max_k u·w_k. From u, the facet that a ray along it leaves through is a
    # linear programme; its normal is the next u, and the support never rises
    W = metrics.wrench_space(pair((0.1, -0.2)), np.array([0, 0.004, 0.01]), ContactModel(0.5))
    eps = float(metrics.epsilon(W))
    u = rng.normal(size=(20000, 6))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    support = (u @ W.T).max(1)
    assert support.min() >= eps
    found = np.inf
    for start in u[np.argsort(support)[:30]]:
        for _ in range(10):
            facet = linprog(-start, A_ub=W, b_ub=np.ones(len(W)), bounds=(None, None)).x
            start = facet / np.linalg.norm(facet)
        found = min(found, float((W @ start).max()))
    np.testing.assert_allclose(found, eps, rtol=1e-6)


def test_origin_distance_is_that_of_a_simplex_and_zero_inside():
    simplex = np.eye(6)
    np.testing.assert_allclose(metrics.origin_distance(simplex), 1 / np.sqrt(6), rtol=1e-12)
    np.testing.assert_allclose(
        metrics.origin_distance(np.vstack([simplex, -simplex])), 0, atol=1e-12
    )


# --- invariances ------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_every_metric_is_invariant_under_rigid_motion(seed):
    rng = np.random.default_rng(seed)
    contacts, com = random_pairs(rng, 3, 0.2), rng.normal(0, 0.01, (3, 3))
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], rng.normal(size=3))
    model = ContactModel(0.6)
    for name, metric in metrics.METRICS.items():
        if name in (
            "wrench_resistance",
            "partial_closure",
        ):  # gravity does not turn with the object
            continue
        here = metric(contacts, com, model)
        there = metric(moved(contacts, T), transforms.apply(T, com), model)
        np.testing.assert_allclose(there, here, rtol=1e-7, atol=1e-9, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_every_metric_is_invariant_under_swapping_the_jaws(seed):
    rng = np.random.default_rng(seed)
    contacts, com = random_pairs(rng, 3, 0.2), rng.normal(0, 0.01, (3, 3))
    for name, metric in metrics.METRICS.items():
        here = metric(contacts, com, ContactModel(0.6))
        there = metric(contacts[:, ::-1], com, ContactModel(0.6))
        np.testing.assert_allclose(there, here, rtol=1e-7, atol=1e-9, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(0.2, 5.0))
def test_epsilon_does_not_change_when_all_lengths_scale(seed, s):
    # torsion is area × μ over a length: the radius goes with √s (see Contact.wrenches)
    rng = np.random.default_rng(seed)
    contacts, com = random_pairs(rng, 2, 0.2), rng.normal(0, 0.01, (2, 3))
    larger = Contact(contacts.point * s, contacts.inward_normal, contacts.tangent)
    here = metrics.ferrari_canny(contacts, com, ContactModel(0.6, 8, 0.01, 0.001))
    there = metrics.ferrari_canny(
        larger, com * s, ContactModel(0.6, 8, 0.01 * np.sqrt(s), 0.001 * s)
    )
    np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-9)


def test_epsilon_of_a_grasp_moves_with_mesh_and_grasp(rng):
    mesh = box(0.04, 0.05, 0.06)
    grasps = Grasp(transforms.rot_z(rng.uniform(-0.3, 0.3, 10)), 0.06)
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], [0.1, -0.2, 0.05])
    here = metrics.ferrari_canny(find_contacts(mesh, grasps).contacts, mesh.center_of_mass)
    there = find_contacts(mesh.transformed(T), grasps.in_frame(T)).contacts
    com = transforms.apply(T, mesh.center_of_mass[None])[0]
    assert (here > 0).any()
    np.testing.assert_allclose(metrics.ferrari_canny(there, com), here, rtol=1e-6, atol=1e-9)


# --- what the numbers mean --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.2, 0.5, 1.0])
def test_two_contacts_close_force_exactly_within_the_friction_angle(mu):
    model = ContactModel(mu)
    for tilt in np.arctan(mu) + np.array([-1e-9, 1e-9]):
        inside = tilt < np.arctan(mu)
        assert metrics.force_closure(pair((tilt, 0.0)), model=model) == inside
        assert metrics.force_closure(pair((0.0, -tilt)), model=model) == inside


def test_contacts_that_pull_or_coincide_close_nothing():
    outward = Contact(pair().point, -pair().inward_normal)
    same = Contact(np.zeros((2, 3)), pair().inward_normal)
    for contacts in (outward, same):
        for name in ("force_closure", "force_closure_qp", "ferrari_canny", "ferrari_canny_linf"):
            assert metrics.METRICS[name](contacts, np.zeros(3), ContactModel()) == 0, name
    for name in ("grasp_isotropy", "min_singular", "wrench_volume"):
        assert metrics.METRICS[name](outward, np.zeros(3), ContactModel()) == 0, name


@pytest.mark.parametrize(("slope", "closes"), [(0.45, True), (0.49, False)])
def test_the_programme_of_force_closure_sees_hard_fingers_pyramids_and_not_their_cones(
    slope, closes
):
    # both normals lean towards +y over the middle of a side of their pyramids, whose slope is 0.5 cos(π/8) = 0.462
    a, half = np.arctan(slope), np.pi / 8
    c, s = np.cos(a), np.sin(a)
    inward = np.array([[s, -c, 0.0], [-s, -c, 0.0]])  # the line's side
    tangents = np.cos(half) * inward + np.sin(half) * np.array([0.0, 0.0, 1.0])
    contacts = Contact([[-0.02, 0, 0], [0.02, 0, 0]], [[c, s, 0.0], [-c, s, 0.0]], tangents)
    model = ContactModel(0.5)
    assert metrics.force_closure(contacts, model=model)  # the cones' is 0.5
    assert metrics.force_closure_qp(contacts, np.zeros(3), model) == closes


def test_epsilon_is_positive_exactly_where_soft_fingers_close_force(rng):
    contacts, com = random_pairs(rng, 150, 0.4), rng.normal(0, 0.01, (150, 3))
    model = ContactModel(0.6)
    eps = metrics.ferrari_canny(contacts, com, model)
    in_cones = metrics.force_closure(contacts, model=model)
    # the pyramid's inscribed cone has μ cos(π/8): between the two cones the edges decide
    in_pyramids = metrics.force_closure(
        contacts, model=replace(model, friction=0.6 * np.cos(np.pi / 8))
    )
    assert in_pyramids.sum() > 20
    assert (~in_cones).sum() > 20
    assert (eps[in_pyramids] > 0).all()
    assert (eps[~in_cones] == 0).all()
    # where hard fingers balance, torsion makes it a ball (not the reverse: torsion balances a little more)
    hard = metrics.wrench_space(contacts, com, replace(model, contact_radius=0.0))
    distance = metrics.origin_distance(hard)
    assert (eps[in_cones & (distance < 1e-9)] > 0).all()


def test_epsilon_grows_with_friction(rng):
    contacts, com = random_pairs(rng, 10, 0.1), rng.normal(0, 0.01, (10, 3))
    steps = [metrics.ferrari_canny(contacts, com, ContactModel(mu)) for mu in np.linspace(0, 1, 6)]
    assert (np.diff(steps, axis=0) >= -1e-9).all()
    assert (steps[0] == 0).all()
    assert (steps[-1] > 0).all()


def test_hard_fingers_have_no_ball(rng):
    model = ContactModel(0.6, contact_radius=0.0)
    assert (metrics.ferrari_canny(random_pairs(rng, 5, 0.1), np.zeros(3), model) == 0).all()


def test_jaws_bounded_each_resist_at_least_what_jaws_bounded_together_do(rng):
    contacts, com = random_pairs(rng, 4, 0.1), rng.normal(0, 0.005, (4, 3))
    together = metrics.ferrari_canny(contacts, com)
    each = metrics.ferrari_canny_linf(contacts, com)
    assert (each >= together - 1e-12).all()
    # both at full force: the doubled L1 body contains the sum
    assert (each <= 2 * together + 1e-12).all()


def test_jaws_bounded_each_resist_the_weak_torque_about_the_line_between_them_with_both():
    # Torsion alone, ± τ = π r² μ / torque scale at either jaw, has a torque about that line: a jaw reaches as far as
    # h(u) = max(h_edges(u), τ |u_τ|), both the larger of the two (L1) or their sum (L∞), and where τ is small no edge
    # reaches further than τ |u_τ| = ε towards the nearest facet: once ε against ε + ε.
    together = metrics.ferrari_canny(pair(), np.zeros(3))
    assert metrics.ferrari_canny_linf(pair(), np.zeros(3)) == pytest.approx(2 * together)
    assert together > 0


def test_weight_is_carried_by_friction_on_both_jaws():
    # 0.981 N along z, edges along ± z: the normal forces add up to weight / μ
    for mu in (0.3, 0.5):
        value = metrics.wrench_resistance(pair(), np.zeros(3), ContactModel(mu))
        np.testing.assert_allclose(value, mu / 0.981 - 1 / 40, rtol=1e-9)
    heavy = np.array([0, 0, -21.0, 0, 0, 0])
    assert metrics.wrench_resistance(pair(), np.zeros(3), ContactModel(0.5), heavy) == 0
    assert metrics.wrench_resistance(pair(), np.zeros(3), ContactModel(0.5), 19 / 21 * heavy) > 0


@pytest.mark.parametrize("side", [1.0, -1.0], ids=["undercut", "overhang"])
def test_faces_that_lean_under_the_object_carry_its_weight_with_less_force(side):
    # inward normals lean up (+) or down (−): the jaws' edges reach z = sin + μ cos of a unit normal force, times cos
    lean, mu = np.deg2rad(20.0), 0.5
    c, s = np.cos(lean), side * np.sin(lean)
    normals, tangents = [[c, 0, s], [-c, 0, s]], [[-s, 0, c], [s, 0, c]]
    contacts = Contact([[-0.02, 0, 0], [0.02, 0, 0]], normals, tangents)
    value = metrics.wrench_resistance(contacts, np.zeros(3), ContactModel(mu))
    np.testing.assert_allclose(value, c * (s + mu * c) / 0.981 - 1 / 40, rtol=1e-9)


def test_the_weight_is_carried_partially_where_friction_at_full_force_exceeds_it():
    # along z only friction: 0.981 N ≤ μ · 2 · 20 N, so μ ≥ 0.0245
    assert not metrics.partial_closure(pair(), np.zeros(3), ContactModel(0.02))
    assert metrics.partial_closure(pair(), np.zeros(3), ContactModel(0.03))


def test_a_torque_about_the_closing_axis_is_carried_by_torsion_alone():
    radius, mu, torque = 0.01, 0.5, 1e-4
    wrench = np.array([0, 0, 0, torque, 0, 0])
    value = metrics.wrench_resistance(
        pair(), np.zeros(3), ContactModel(mu, 8, radius), wrench, max_force=1e6
    )
    np.testing.assert_allclose(value, np.pi * radius**2 * mu / torque, rtol=1e-5)


def test_singular_values_agree_with_determinant_and_scale(rng):
    contacts, com = random_pairs(rng, 6, 0.2), rng.normal(0, 0.01, (6, 3))
    W = metrics.wrench_space(contacts, com)
    determinant = np.linalg.det(np.swapaxes(W, -1, -2) @ W)
    np.testing.assert_allclose(metrics.wrench_volume(contacts, com), determinant**0.25, rtol=1e-6)
    isotropy = metrics.grasp_isotropy(contacts, com)
    np.testing.assert_allclose(isotropy, 1 / np.linalg.cond(W), rtol=1e-9)
    smallest = np.sqrt(np.linalg.eigvalsh(np.swapaxes(W, -1, -2) @ W)[:, 0])
    np.testing.assert_allclose(metrics.min_singular(contacts, com), smallest, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_metrics_batch_over_any_leading_axes(name, rng):
    metric = metrics.METRICS[name]
    contacts, com = random_pairs(rng, 6, 0.2), rng.normal(0, 0.01, (6, 3))
    friction = rng.uniform(0.3, 0.8, 6)
    flat = metric(contacts, com, ContactModel(friction))
    assert flat.shape == (6,)
    grid = Contact(
        *(getattr(contacts, n).reshape(2, 3, 2, 3) for n in ("point", "inward_normal", "tangent"))
    )
    nested = metric(grid, com.reshape(2, 3, 3), ContactModel(friction.reshape(2, 3)))
    np.testing.assert_array_equal(nested, flat.reshape(2, 3))
    single = metric(contacts[2], com[2], ContactModel(float(friction[2])))
    assert np.shape(single) == ()
    np.testing.assert_allclose(single, flat[2], rtol=1e-12)
    assert metric(contacts[:0], com[:0], ContactModel()).shape == (0,)


def test_a_cylinder_held_across_its_axis_beats_one_held_along_a_chord():
    mesh = cylinder()
    grasps = Grasp.from_axes([[0, 0, 0], [0, 0.007, 0]], [1.0, 0, 0], [0, 0, -1.0], 0.05)
    eps = metrics.ferrari_canny(find_contacts(mesh, grasps).contacts, mesh.center_of_mass)
    assert eps[0] > eps[1] > 0
