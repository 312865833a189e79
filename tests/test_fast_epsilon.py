"""The compiled ε against the hull's, on recorded, procedural and adversarial contacts, to 1e-9 everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal import transforms
from antipodal.contact import Contact, ContactModel, tangent_near
from antipodal.dataset.epsilon import epsilon_inside, fast_ferrari_canny, origin_is_inside
from antipodal.gripper import load_gripper
from antipodal.metrics import epsilon, ferrari_canny, force_closure, wrench_space
from antipodal.objects.families import make_object
from antipodal.robust import perturb, robust
from antipodal.sampling import sample_antipodal
from conftest import box, cylinder
from test_parity_metrics import recorded  # noqa: F401  a fixture

EXACT = 1e-9
YUMI = load_gripper("yumi")
FAMILIES = ("bottle", "bracket", "blob", "gear", "convex_hull", "handle")


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def pairs(rng: np.random.Generator, n: int, tilt: float, opposite: bool, apart: float = 0.03) -> Contact:  # fmt: skip
    """Random contacts whose normals lean by up to ``tilt`` from the line between them; or exactly opposite normals."""
    line = unit(rng.normal(size=(n, 3)))
    lean = rng.uniform(0, tilt, (2, n, 1))
    aside = unit(np.cross(line, rng.normal(size=(2, n, 3))))
    normals = np.cos(lean) * np.array([1, -1])[:, None, None] * line + np.sin(lean) * aside
    if opposite:
        normals[1] = -normals[0]
    point = 0.03 * rng.normal(size=(n, 3))
    normals = normals.transpose(1, 0, 2)
    tangent = tangent_near(normals, rng.normal(size=(n, 2, 3)))
    return Contact(np.stack([point, point + apart * line], 1), normals, tangent)


def around(rng: np.random.Generator, contacts: Contact) -> np.ndarray:
    """Centres of mass within some centimetres."""
    return contacts.point.mean(1) + 0.01 * rng.normal(size=(len(contacts), 3))


def test_recorded_rows_have_the_hulls_epsilon(recorded):  # noqa: F811
    exact, fast = recorded.evaluate(ferrari_canny), recorded.evaluate(fast_ferrari_canny)
    np.testing.assert_allclose(fast, exact, rtol=0, atol=EXACT)
    np.testing.assert_array_equal((fast > 0)[recorded.decided], (exact > 0)[recorded.decided])


def test_perturbed_grasps_of_procedural_objects_have_the_hulls_epsilon(rng):
    model = ContactModel(contact_radius=YUMI.contact_radius)
    n_positive = 0
    for family in FAMILIES:
        mesh = make_object(family, rng)
        grasps = sample_antipodal(mesh, YUMI, 40, rng)
        contacts, found, com, sampled = perturb(mesh, grasps, rng, model=model)
        exact = ferrari_canny(contacts, com, sampled)[found]
        fast = fast_ferrari_canny(contacts, com, sampled)[found]
        np.testing.assert_allclose(fast, exact, rtol=0, atol=EXACT)
        n_positive += (exact > 0).sum()
    assert n_positive > 2000


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("n_edges", [3, 4, 5, 8, 16])
def test_any_pyramid_has_the_hulls_epsilon(rng, n_edges, opposite):
    contacts = pairs(rng, 120, 0.5, opposite)
    com = around(rng, contacts)
    model = ContactModel(rng.uniform(0.1, 1.2, 120), n_edges, 0.01, rng.uniform(3e-4, 3e-3, 120))
    exact = ferrari_canny(contacts, com, model)
    assert (exact > 0).sum() > 20
    np.testing.assert_allclose(fast_ferrari_canny(contacts, com, model), exact, rtol=0, atol=EXACT)


def test_no_direction_is_below_epsilon_and_most_searches_come_down_to_it(rng):
    """ε is the least h(n)/‖n‖; a random search over n may end on another facet, but never below the nearest."""
    contacts = pairs(rng, 20, 0.2, False)
    W = wrench_space(contacts, around(rng, contacts))
    values = epsilon_inside(W, 8)
    n = unit(rng.normal(size=(20, 5000, 6)))
    bounds = (n @ W.swapaxes(-1, -2)).max(-1)
    rows = np.arange(20)[:, None]
    for step in np.geomspace(1, 1e-4, 160):
        best = n[rows, np.argsort(bounds, 1)[:, :20]]
        moved = np.repeat(best, 25, 1)
        n = np.concatenate([best, unit(moved + step * rng.normal(size=moved.shape))], 1)
        bounds = (n @ W.swapaxes(-1, -2)).max(-1)
        assert (bounds >= values[:, None] - 1e-12).all()
    assert np.median(bounds.min(1) / values) < 1.02


def test_lines_between_pyramid_and_cone_have_the_hulls_epsilon(rng):
    """The force closure test knows the cone, the hull the pyramid: torsion may or may not help."""
    for opposite in (False, True):
        contacts = pairs(rng, 20000, 0.6, opposite)
        model = ContactModel(friction=0.5, n_edges=8)
        contacts = contacts[force_closure(contacts, model=model)]
        blunt = ContactModel(friction=0.5 * np.cos(np.pi / 8), n_edges=64)
        contacts = contacts[~force_closure(contacts, model=blunt)][:400]
        yes, no = origin_is_inside(contacts, model)
        com = around(rng, contacts)
        exact = ferrari_canny(contacts, com, model)
        np.testing.assert_array_equal(exact[yes] > 0, True)
        assert yes.sum() > 50 and no.sum() > 20 and (yes | no).mean() > 0.99
        assert (exact[no] < 1e-12).all()
        fast = fast_ferrari_canny(contacts, com, model)
        np.testing.assert_allclose(fast, exact, rtol=0, atol=EXACT)
        assert (fast[no] == 0).all()


@pytest.mark.parametrize("share", [1 - 1e-3, 1 - 1e-6, 1 - 1e-9, 1.0, 1 + 1e-9, 1 + 1e-6, 1 + 1e-3])
def test_a_line_near_a_side_of_its_pyramid_has_the_hulls_epsilon(rng, share):
    """The first contact's normal leans over the middle of a side, by the side's slope times ``share``."""
    friction, n_edges = 0.5, 8
    lean = np.arctan(share * friction * np.cos(np.pi / n_edges))
    straight = pairs(rng, 60, 0.0, True)
    first, tangent = straight.inward_normal[:, 0], straight.tangent[:, 0]
    middle = np.cos(np.pi / n_edges) * tangent + np.sin(np.pi / n_edges) * np.cross(first, tangent)
    leaning = np.cos(lean) * first - np.sin(lean) * middle
    for second in (-first, -leaning):
        normals = np.stack([leaning, second], 1)
        # the same turn moves the tangent, so that the line stays above the middle of a side
        along = np.cos(lean) * middle + np.sin(lean) * first
        across = np.cross(leaning, along)
        t = np.cos(np.pi / n_edges) * along - np.sin(np.pi / n_edges) * across
        contacts = Contact(straight.point, normals, np.stack([t, tangent_near(second, t)], 1))
        com = around(rng, contacts)
        model = ContactModel(friction, n_edges)
        exact = ferrari_canny(contacts, com, model)
        fast = fast_ferrari_canny(contacts, com, model)
        np.testing.assert_allclose(fast, exact, rtol=0, atol=EXACT)


def test_flat_hulls_have_none(rng):
    contacts = pairs(rng, 30, 0.2, False)
    com = around(rng, contacts)
    assert (fast_ferrari_canny(contacts, com, ContactModel(contact_radius=0.0)) == 0).all()
    straight = pairs(rng, 30, 0.0, False)
    assert (fast_ferrari_canny(straight, com, ContactModel(friction=0.0)) == 0).all()
    together = Contact(straight.point[:, [0, 0]], straight.inward_normal, straight.tangent)
    assert (fast_ferrari_canny(together, com) == 0).all()


@pytest.mark.parametrize(
    ("friction", "radius", "torque_scale", "apart"),
    [(1e-7, 0.01, 1e-3, 0.03), (3e-6, 0.01, 1e-3, 0.03), (0.01, 0.01, 1e-3, 0.03), (0.5, 1e-8, 1e-3, 0.03),
     (0.5, 2e-6, 1e-3, 0.03), (0.5, 0.1, 1e-3, 0.03), (0.5, 0.01, 1e-6, 0.03), (0.5, 0.01, 1.0, 0.03),
     (0.5, 0.01, 1e-3, 1e-7), (0.5, 0.01, 1e-3, 3e-6), (3.0, 0.01, 1e-3, 0.03)],
)  # fmt: skip
def test_extreme_contacts_have_the_hulls_epsilon(rng, friction, radius, torque_scale, apart):
    contacts = pairs(rng, 80, 0.8 * np.arctan(friction), False, apart)
    com = around(rng, contacts)
    model = ContactModel(friction, 8, radius, torque_scale)
    assert force_closure(contacts, model=model).all()
    exact = ferrari_canny(contacts, com, model)
    np.testing.assert_allclose(fast_ferrari_canny(contacts, com, model), exact, rtol=0, atol=EXACT)


def test_perfectly_symmetric_grasps_have_the_hulls_epsilon():
    """Exactly opposite contacts along the axes, the centre of mass between them: many facets at one distance."""
    for axis in np.eye(3):
        tangent = tangent_near(np.stack([axis, -axis]), np.roll(axis, 1))
        contacts = Contact(np.stack([-0.02 * axis, 0.02 * axis]), np.stack([axis, -axis]), tangent)
        for com in (np.zeros(3), 0.01 * axis, 0.01 * np.roll(axis, 1)):
            exact = ferrari_canny(contacts, com)
            assert exact > 0
            assert abs(fast_ferrari_canny(contacts, com) - exact) < EXACT


def test_it_is_invariant_under_rigid_motion_and_swapped_jaws(rng):
    contacts = pairs(rng, 50, 0.3, False)
    com = around(rng, contacts)
    T = transforms.from_rt(transforms.exp_so3(rng.normal(size=3)), [0.3, -0.2, 0.5])
    R = T[:3, :3]
    moved = Contact(
        transforms.apply(T, contacts.point), contacts.inward_normal @ R.T, contacts.tangent @ R.T
    )
    values = fast_ferrari_canny(contacts, com)
    assert (values > 0).sum() > 20
    np.testing.assert_allclose(
        fast_ferrari_canny(moved, transforms.apply(T, com)), values, rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(
        fast_ferrari_canny(contacts[:, ::-1], com), values, rtol=0, atol=1e-12
    )


def test_the_same_bits_alone_and_in_any_batch(rng):
    contacts = pairs(rng, 30, 0.4, False)
    com = around(rng, contacts)
    model = ContactModel(friction=rng.uniform(0.3, 0.9, 30))
    together = fast_ferrari_canny(contacts, com, model)
    friction = np.asarray(model.friction)
    alone = [
        fast_ferrari_canny(contacts[i], com[i], replace(model, friction=friction[i]))
        for i in range(30)
    ]
    assert (together > 0).sum() > 10
    np.testing.assert_array_equal(together, alone)
    shape = (5, 6, 2, 3)
    shaped = Contact(
        *(a.reshape(shape) for a in (contacts.point, contacts.inward_normal, contacts.tangent))
    )
    table = fast_ferrari_canny(
        shaped, com.reshape(5, 6, 3), replace(model, friction=friction.reshape(5, 6))
    )
    np.testing.assert_array_equal(table.ravel(), together)
    assert fast_ferrari_canny(contacts[:0], com[:0]).shape == (0,)


@pytest.mark.parametrize("mesh", [box(0.03, 0.04, 0.05), cylinder(0.02, 0.06)])
def test_robust_takes_it_as_any_metric(rng, mesh):
    grasps = sample_antipodal(mesh, YUMI, 12, rng)
    exact, fast = (
        robust(metric, mesh, grasps, np.random.default_rng(5))
        for metric in (ferrari_canny, fast_ferrari_canny)
    )
    assert (exact.mean > 0.002).any()
    np.testing.assert_allclose(fast.mean, exact.mean, rtol=0, atol=EXACT)
    np.testing.assert_allclose(fast.standard_error, exact.standard_error, rtol=0, atol=EXACT)


def test_the_compiled_part_alone_equals_the_hull(rng):
    contacts = pairs(rng, 100, 0.2, False)
    W = wrench_space(contacts, around(rng, contacts))
    np.testing.assert_allclose(epsilon_inside(W, 8), epsilon(W), rtol=0, atol=EXACT)
