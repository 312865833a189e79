"""Contacts: where the jaws touch, and what their cones and wrenches are."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal import transforms
from antipodal.contact import Contact, ContactModel, find_contacts, tangent_near
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp
from antipodal.mesh import TriMesh
from conftest import box, cylinder, sphere


def grasp(center=(0.0, 0.0, 0.0), x=(1.0, 0.0, 0.0), z=(0.0, 0.0, -1.0), width=0.06) -> Grasp:
    return Grasp.from_axes(np.atleast_2d(center), np.atleast_2d(x), np.atleast_2d(z), width)


def random_contacts(rng: np.random.Generator, *batch: int) -> Contact:
    normals = rng.normal(size=(*batch, 3))
    return Contact(
        rng.normal(size=(*batch, 3)), normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    )


def test_cone_edges_push_with_unit_normal_force_and_lie_on_the_cone(rng):
    contacts = random_contacts(rng, 5, 2)
    friction = rng.uniform(0, 1, (5, 1))
    cone = contacts.friction_cone(friction, 7)
    assert cone.shape == (5, 2, 7, 3)
    normal = np.einsum("njec,njc->nje", cone, contacts.inward_normal)
    np.testing.assert_allclose(normal, 1, atol=1e-14)
    tangential = cone - contacts.inward_normal[:, :, None]
    np.testing.assert_allclose(
        np.linalg.norm(tangential, axis=-1),
        np.broadcast_to(friction[..., None], (5, 2, 7)),
        atol=1e-14,
    )
    step = np.einsum("njec,njec->nje", tangential, np.roll(tangential, 1, 2))
    expected = friction[..., None] ** 2 * np.cos(2 * np.pi / 7)
    np.testing.assert_allclose(step, np.broadcast_to(expected, step.shape), atol=1e-14)
    first = contacts.inward_normal + friction[..., None] * contacts.tangent
    np.testing.assert_allclose(cone[:, :, 0], first, atol=1e-15)


def test_wrenches_are_forces_moments_and_torsions_over_the_torque_scale(rng):
    contacts = random_contacts(rng, 4, 2)
    com = rng.normal(size=(4, 3))
    friction, scale = rng.uniform(0.1, 1, 4), rng.uniform(0.001, 0.1, 4)
    wrenches = contacts.wrenches(com, ContactModel(friction, 8, 0.01, scale))
    assert wrenches.shape == (4, 2, 10, 6)
    for i in range(4):
        for j in range(2):
            for f, w in zip(
                contacts[i].friction_cone(friction[i], 8)[j], wrenches[i, j], strict=False
            ):
                torque = np.cross(contacts.point[i, j] - com[i], f) / scale[i]
                np.testing.assert_allclose(w, [*f, *torque], rtol=1e-12, atol=1e-12)
            torsion = np.pi * 0.01**2 * friction[i] / scale[i] * contacts.inward_normal[i, j]
            np.testing.assert_allclose(wrenches[i, j, 8], [0, 0, 0, *torsion], rtol=1e-12)
            np.testing.assert_allclose(wrenches[i, j, 9], [0, 0, 0, *-torsion], rtol=1e-12)


def test_a_hard_finger_has_no_torsion(rng):
    hard = random_contacts(rng, 2).wrenches(np.zeros(3), ContactModel(contact_radius=0.0))
    assert hard.shape == (2, 8, 6)


def test_tangents_are_perpendicular_to_every_normal_also_along_the_wanted_direction(rng):
    normals = np.vstack([np.eye(3), -np.eye(3), random_contacts(rng, 50).inward_normal])
    for direction in np.eye(3):
        tangent = tangent_near(normals, direction)
        np.testing.assert_allclose((tangent * normals).sum(-1), 0, atol=1e-14)
        np.testing.assert_allclose(np.linalg.norm(tangent, axis=-1), 1, atol=1e-14)


def test_normals_that_are_not_unit_are_refused():
    with pytest.raises(InvalidConfig, match="unit"):
        Contact(np.zeros(3), [0.0, 0.0, 2.0])


@pytest.mark.parametrize(
    "values",
    [{"n_edges": 2}, {"friction": -0.1}, {"contact_radius": -1.0}, {"torque_scale": 0.0}],
)
def test_impossible_contact_models_are_refused(values):
    with pytest.raises(InvalidConfig, match=next(iter(values))):
        ContactModel(**values)


def test_a_box_is_touched_on_its_two_sides_with_normals_into_it():
    found = find_contacts(box(0.04, 0.05, 0.06), grasp(center=(0.003, 0.01, -0.02)))
    assert found.found.tolist() == [True]
    np.testing.assert_allclose(
        found.contacts.point[0], [[-0.02, 0.01, -0.02], [0.02, 0.01, -0.02]], atol=1e-12
    )
    np.testing.assert_allclose(found.contacts.inward_normal[0], [[1, 0, 0], [-1, 0, 0]], atol=1e-12)


def test_contacts_on_a_fine_sphere_have_radial_normals(rng):
    axes = transforms.random_rotations(50, rng)
    grasps = Grasp(transforms.from_rt(axes, np.zeros(3)), 0.05)
    contacts, found = find_contacts(sphere(0.02, 5), grasps)
    assert found.all()
    radial = -contacts.point / np.linalg.norm(contacts.point, axis=-1, keepdims=True)
    # an icosphere with 5 subdivisions has edges of 1/27 rad: normals within half of that
    assert np.arccos((radial * contacts.inward_normal).sum(-1).clip(-1, 1)).max() < 0.03
    np.testing.assert_allclose(np.linalg.norm(contacts.point, axis=-1), 0.02, rtol=1e-3)


def test_a_pose_of_four_digits_beside_the_object_finds_nothing_either(rng):
    pose = transforms.from_rt(transforms.random_rotations(20, rng).round(4), np.array([0, 0.2, 0]))
    assert not find_contacts(box(), Grasp(pose, 0.05)).found.any()


def test_a_grasp_beside_the_object_finds_nothing():
    assert not find_contacts(box(), grasp(center=(0, 0.03, 0))).found.any()


def test_jaws_that_start_inside_the_object_find_nothing():
    assert not find_contacts(box(0.08, 0.04, 0.04), grasp(width=0.05)).found.any()
    # one jaw only inside
    assert not find_contacts(box(), grasp(center=(0.03, 0, 0), width=0.05)).found.any()


def two_walls(thickness: float, apart: float) -> TriMesh:
    """Their middles are so far apart along x, m."""
    wall = box(thickness, 0.04, 0.04)
    shift = np.array([apart / 2, 0.0, 0.0])
    return TriMesh(
        np.vstack([wall.vertices - shift, wall.vertices + shift]),
        np.vstack([wall.faces, wall.faces + len(wall.vertices)]),
    )


def test_jaws_between_two_plates_do_not_reach_through_each_other():
    plates = two_walls(0.002, 0.08)
    assert not find_contacts(plates, grasp(width=0.05)).found.any()
    assert find_contacts(plates, grasp(width=0.09)).found.all()


def test_a_jaw_that_starts_in_one_of_two_walls_finds_nothing():
    walls = two_walls(0.01, 0.04)
    # walls from ±15 to ±25 mm; the left jaw starts in the middle of its wall, the right one outside of its own
    assert not find_contacts(walls, grasp(center=(0.005, 0, 0), width=0.05)).found.any()


def test_contacts_move_with_mesh_and_grasp(rng):
    mesh = cylinder()
    grasps = Grasp(
        transforms.from_rt(transforms.random_rotations(40, rng), rng.normal(0, 0.005, (40, 3))),
        0.09,
    )
    here = find_contacts(mesh, grasps)
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], [0.1, -0.2, 0.05])
    there = find_contacts(mesh.transformed(T), grasps.in_frame(T))
    assert here.found.any()
    np.testing.assert_array_equal(here.found, there.found)
    f = here.found
    moved = transforms.apply(T, here.contacts.point[f])
    # Embree may take the neighbouring face where a ray meets an edge: the point agrees all the same
    np.testing.assert_allclose(there.contacts.point[f], moved, atol=1e-9)
    for name in ("inward_normal", "tangent"):
        turned = transforms.rotate(T, getattr(here.contacts[f], name))
        same = np.abs(turned - getattr(there.contacts[f], name)).max((-1, -2)) < 1e-9
        assert same.mean() > 0.9


def test_swapping_the_jaws_swaps_the_contacts():
    mesh, forth = cylinder(), grasp(center=(0.001, 0.002, 0.01))
    back = Grasp(forth.pose @ transforms.rot_z(np.pi), forth.width)
    a, b = find_contacts(mesh, forth), find_contacts(mesh, back)
    np.testing.assert_allclose(a.contacts.point, b.contacts.point[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(
        a.contacts.inward_normal, b.contacts.inward_normal[:, ::-1], atol=1e-12
    )


def test_no_grasps_give_no_contacts():
    none = Grasp(np.empty((0, 4, 4)), 0.05)
    contacts, found = find_contacts(box(), none)
    assert found.shape == (0,)
    assert contacts.point.shape == (0, 2, 3)
