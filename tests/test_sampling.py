"""The antipodal sampler: what every grasp that it returns must satisfy, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal.contact import ContactModel, find_contacts
from antipodal.errors import InvalidConfig, InvalidMesh
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.metrics import force_closure
from antipodal.sampling import (
    SamplingConfig,
    grasp_distance,
    grasp_with_free_approach,
    sample_antipodal,
    sample_surface,
)
from conftest import box, cylinder, sphere

YUMI = load_gripper("yumi")


@pytest.mark.parametrize("mesh", [box(0.03, 0.04, 0.1), sphere(), cylinder()], ids=lambda m: m.name)
def test_every_grasp_touches_closes_force_and_fits_the_gripper(mesh, rng):
    config = SamplingConfig(min_contact_distance=0.0025)
    grasps = sample_antipodal(mesh, YUMI, 60, rng, config)
    assert len(grasps) == 60
    contacts, found = find_contacts(mesh, grasps)
    assert found.all()
    assert force_closure(contacts, model=ContactModel(friction=0.6)).all()
    gap = np.linalg.norm(contacts.point[:, 1] - contacts.point[:, 0], axis=-1)
    assert (gap >= 0.0025).all()
    assert (gap <= YUMI.max_width).all()
    np.testing.assert_array_equal(grasps.width, YUMI.max_width)
    # convex objects: the jaws' midpoint is that of the contacts
    np.testing.assert_allclose(contacts.point.mean(1), grasps.center, atol=1e-8)


def test_no_two_grasps_are_nearer_than_the_coverage_distance(rng):
    grasps = sample_antipodal(sphere(), YUMI, 100, rng)
    assert len(grasps) == 100
    for i, g in enumerate(grasps):
        others = grasps[np.arange(len(grasps)) != i]
        d = grasp_distance(g.center, g.closing_axis, others.center, others.closing_axis)
        assert d.min() >= 0.0025


def test_directions_fill_the_cone_of_friction_and_no_more(rng):
    # on a slab the closing axis' angle from the normal is that of the draw: at most atan μ
    config = SamplingConfig(friction=0.3, min_grasp_distance=0.0)
    grasps = sample_antipodal(box(0.2, 0.2, 0.02), YUMI, 400, rng, config)
    tangent = np.linalg.norm(grasps.closing_axis[:, :2], axis=-1) / np.abs(
        grasps.closing_axis[:, 2]
    )
    assert tangent.max() <= 0.3
    # uniform in the radius: a quarter of the draws in each quarter, not a sixteenth in the first
    share = np.histogram(tangent, 4, (0, 0.3))[0] / len(grasps)
    np.testing.assert_allclose(share, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / len(grasps)))


def test_directions_lean_to_every_side_alike(rng):
    config = SamplingConfig(friction=0.3, min_grasp_distance=0.0)
    grasps = sample_antipodal(box(0.2, 0.2, 0.02), YUMI, 400, rng, config)
    lean = grasps.closing_axis[:, :2] / grasps.closing_axis[:, 2:]
    assert np.abs(lean.mean(0)).max() < 4 * lean.std() / 20
    quarter = (np.arctan2(*lean.T) // (np.pi / 2) + 2).astype(int)
    assert np.bincount(quarter, minlength=4).min() > 60


def test_directions_out_of_a_convex_object_meet_nothing(rng):
    out, into = (SamplingConfig(flip_fraction=share) for share in (1.0, 0.0))
    assert len(sample_antipodal(box(), YUMI, 10, rng, out)) == 0
    assert len(sample_antipodal(box(), YUMI, 10, rng, into)) == 10


def test_both_contacts_close_force_at_the_friction_that_was_asked_for(rng):
    # walls that lean towards each other by 0.2 each: a line in one's cone is out of the other's at 0.15, in both at 0.6
    mesh = frustum(slope=0.2)
    for friction in (0.15, 0.6):
        grasps = sample_antipodal(mesh, YUMI, 200, rng, SamplingConfig(friction=friction))
        contacts, found = find_contacts(mesh, grasps)
        assert found.all()
        assert force_closure(contacts, model=ContactModel(friction=friction)).all()
        assert (np.abs(grasps.closing_axis[:, 0]) > 0.9).any() == (friction > 0.2)


def frustum(slope: float) -> TriMesh:
    """A bar of 60 mm along y, 30 mm high, whose sides lean inwards by ``slope`` on the way up."""
    bar = box(0.024, 0.06, 0.03)
    vertices = np.array(bar.vertices)
    vertices[:, 0] *= 1 - slope * vertices[:, 2] / 0.012
    return TriMesh(vertices, bar.faces, "frustum")


def test_surface_points_are_uniform_by_area(rng):
    mesh = box(0.01, 0.02, 0.03)
    points, normals = sample_surface(mesh, 20000, rng)
    on_face = np.argmax(np.abs(normals), -1)
    half = np.array([0.005, 0.01, 0.015])
    outward = (points * normals).sum(-1)
    np.testing.assert_allclose(outward, half[on_face], atol=1e-12)
    areas = np.array([6.0, 3.0, 2.0]) / 11
    np.testing.assert_allclose(np.bincount(on_face) / len(points), areas, atol=0.015)
    along = points[on_face == 0] / half
    np.testing.assert_allclose(along[:, 1:].mean(0), 0, atol=0.03)
    np.testing.assert_allclose(along[:, 1:].var(0), 1 / 3, atol=0.02)


def test_the_same_seed_gives_the_same_grasps():
    a, b = (sample_antipodal(cylinder(), YUMI, 30, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a.pose, b.pose)
    other = sample_antipodal(cylinder(), YUMI, 30, np.random.default_rng(6))
    assert not np.array_equal(a.pose, other.pose)


def test_an_object_wider_than_the_gripper_gives_no_grasps(rng):
    assert len(sample_antipodal(box(0.06, 0.07, 0.08), YUMI, 10, rng)) == 0
    assert len(sample_antipodal(box(), YUMI, 0, rng)) == 0


def test_objects_thinner_than_the_jaws_close_to_are_left_out(rng):
    gripper = load_gripper("yumi")
    object.__setattr__(gripper, "min_width", 0.025)
    assert len(sample_antipodal(box(0.02, 0.1, 0.1), gripper, 10, rng)) == 0
    assert len(sample_antipodal(box(0.03, 0.1, 0.1), gripper, 10, rng)) == 10


def test_grasp_distance_adds_the_centres_and_the_axes():
    x, y = np.eye(3)[:2]
    centers, axes = (
        np.array([[0, 0, 0], [0.01, 0, 0], [0, 0, 0.0]]),
        np.array([-x, y, (x + y) / 2**0.5]),
    )
    np.testing.assert_allclose(
        grasp_distance(np.zeros(3), x, centers, axes), [0, 0.06, 0.025], atol=1e-9
    )


def test_the_free_approach_is_horizontal_in_the_object_frame_unless_the_closing_axis_is_upright(
    rng,
):
    axes = rng.normal(size=(20, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    grasps = grasp_with_free_approach(np.zeros((20, 3)), axes, 0.05)
    np.testing.assert_allclose(grasps.approach_axis[:, 2], 0, atol=1e-15)
    np.testing.assert_allclose(grasps.closing_axis, axes, atol=1e-15)
    upright = grasp_with_free_approach(np.zeros(3), np.array([0, 0, 1.0]), 0.05)
    np.testing.assert_allclose(upright.approach_axis, [1, 0, 0], atol=1e-15)


@pytest.mark.parametrize(
    "values",
    [
        {"friction": 0.0},
        {"n_surface_points": 0},
        {"flip_fraction": 1.5},
        {"min_grasp_distance": -1.0},
    ],
)
def test_impossible_numbers_are_refused(values):
    with pytest.raises(InvalidConfig, match="sampling"):
        SamplingConfig(**values)


def test_a_surface_without_area_is_refused(rng):
    corners = np.array([[0.0, 0.0, 0.0], [0.05, 0.0, 0.0], [0.1, 0.0, 0.0]])
    with pytest.raises(InvalidMesh, match="line has no area"):
        sample_surface(TriMesh(corners, np.array([[0, 1, 2]]), "line"), 10, rng)
