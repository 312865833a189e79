"""Stable poses against solids whose probabilities are known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from antipodal import transforms
from antipodal.errors import InvalidConfig, InvalidMesh
from antipodal.mesh import TriMesh
from antipodal.stable_pose import StablePose, resting_poses, stable_poses
from conftest import box, cylinder, sphere, to_trimesh_value


def tetrahedron(size: float = 0.03) -> TriMesh:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * size
    return TriMesh(corners, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))


def rectangle_share(a: float, b: float, distance: float) -> float:
    """Solid angle of a centred rectangle a × b seen from ``distance``, over 4π."""
    d2 = 2 * distance
    return float(np.arctan2(a * b, d2 * np.sqrt(d2**2 + a**2 + b**2)) / np.pi)


@pytest.mark.parametrize(
    ("mesh", "n"),
    [
        (tetrahedron(), 4),
        (box(), 6),
        (to_trimesh_value(trimesh.creation.icosahedron()).scaled(0.03), 20),
    ],
    ids=["tetrahedron", "cube", "icosahedron"],
)
def test_a_regular_solid_rests_on_each_face_alike(mesh: TriMesh, n: int) -> None:
    poses = stable_poses(mesh)
    assert len(poses) == n
    assert np.allclose([p.probability for p in poses], 1 / n, rtol=1e-9)


def test_a_box_rests_with_the_solid_angles_of_its_faces() -> None:
    x, y, z = 0.04, 0.06, 0.1
    poses = stable_poses(box(x, y, z))
    shares = [rectangle_share(y, z, x / 2), rectangle_share(x, z, y / 2)]
    shares += [rectangle_share(x, y, z / 2)]
    assert np.isclose(2 * sum(shares), 1.0)  # the formula covers the sphere
    assert np.allclose([p.probability for p in poses], np.repeat(shares, 2), rtol=1e-9)
    heights = [transforms.apply(p.T_world_obj, box(x, y, z).vertices)[:, 2].max() for p in poses]
    assert np.allclose(heights, np.repeat([x, y, z], 2))


def test_the_poses_do_not_depend_on_how_the_mesh_lies_in_its_file(rng: np.random.Generator) -> None:
    mesh = box(0.04, 0.06, 0.1)
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], [1.0, -2.0, 3.0])
    ours, moved = stable_poses(mesh), stable_poses(mesh.transformed(T))
    assert np.allclose([p.probability for p in ours], [p.probability for p in moved], rtol=1e-6)


def random_hull(rng: np.random.Generator) -> TriMesh:
    hull = trimesh.convex.convex_hull(rng.normal(size=(14, 3)) * [0.03, 0.02, 0.02])
    return TriMesh(hull.vertices, hull.faces)


def test_unstable_faces_hand_their_probability_on_so_that_all_sum_to_one(
    rng: np.random.Generator,
) -> None:
    for _ in range(10):
        mesh = random_hull(rng)
        poses = stable_poses(mesh, min_probability=0.0)
        assert np.isclose(sum(p.probability for p in poses), 1.0, rtol=1e-9)
        assert len(poses) < len(mesh.faces)  # some face toppled
        shares = [p.probability for p in poses]
        assert shares == sorted(shares, reverse=True)
        assert all(p.probability > 0.05 for p in stable_poses(mesh, min_probability=0.05))


def test_trimesh_finds_the_same_on_hulls_of_plain_triangles(rng: np.random.Generator) -> None:
    for _ in range(10):
        mesh = random_hull(rng)
        theirs = trimesh.poses.compute_stable_poses(
            trimesh.Trimesh(mesh.vertices, mesh.faces, process=False),
            center_mass=mesh.center_of_mass,
        )[1]
        ours = [p.probability for p in stable_poses(mesh, 0.0)]
        np.testing.assert_allclose(ours, np.sort(theirs)[::-1], atol=1e-9)


def test_slivers_of_the_hull_lose_no_pose(rng: np.random.Generator) -> None:
    """Points a nanometre off an edge: trimesh's prior of such a face is NaN, and so is the face it topples to."""
    block = box(0.04, 0.06, 0.1)
    along = rng.uniform(-0.049, 0.049, 40)
    off = 1e-9 * rng.random((40, 2))
    edge = np.column_stack([0.02 + off[:, 0], 0.03 + off[:, 1], along])
    dented = TriMesh(np.vstack([block.vertices, edge]), block.faces)
    ours = [p.probability for p in stable_poses(dented)]
    assert np.allclose(ours, [p.probability for p in stable_poses(block)], atol=1e-6)


def test_every_pose_rests_on_the_table_with_the_centre_of_mass_over_its_support(
    rng: np.random.Generator,
) -> None:
    for mesh in [random_hull(rng), random_hull(rng), cylinder(), tetrahedron()]:
        for pose in stable_poses(mesh):
            points = transforms.apply(pose.T_world_obj, mesh.vertices)
            com = transforms.apply(pose.T_world_obj, mesh.center_of_mass[None])[0]
            assert abs(points[:, 2].min()) < 1e-12
            assert np.abs(com[:2]).max() < 1e-12
            support = points[points[:, 2] < 1e-5, :2]
            assert len(support) >= 3
            # the origin lies within the support polygon: all its edges' offsets are negative
            assert ConvexHull(support).equations[:, 2].max() < 1e-9


def test_a_cylinder_lies_on_its_side_or_stands_on_its_ends() -> None:
    r, h = 0.02, 0.08
    poses = stable_poses(cylinder(r, h, 64), min_probability=0.0)
    heights = [
        transforms.apply(p.T_world_obj, cylinder(r, h, 64).vertices)[:, 2].max() for p in poses
    ]
    standing = sum(p.probability for p, z in zip(poses, heights, strict=True) if z > 0.06)
    # two discs of half-angle atan(r / (h/2)) seen from the middle: 1 − cos
    assert np.isclose(standing, 1 - np.cos(np.arctan(2 * r / h)), rtol=5e-3)


@pytest.mark.parametrize("n_sides", [48, 96, 256])
def test_a_pin_lies_on_its_side_however_fine_its_facets(n_sides: int) -> None:
    r, h = 0.02, 0.12
    poses = resting_poses(cylinder(r, h, n_sides))
    lying = sum(p.probability for p in poses if abs(p.T_world_obj[2, 2]) < 0.5)
    assert lying == pytest.approx(np.cos(np.arctan(2 * r / h)), rel=5e-3)
    assert sum(p.probability for p in poses) == pytest.approx(1, abs=1e-6)


def test_rare_poses_are_left_out_where_the_others_are_half_of_all() -> None:
    tall = box(0.02, 0.02, 0.4)  # stands on an end in 0.3 % of the drops
    poses = resting_poses(tall)
    assert len(poses) == 4 and len(stable_poses(tall, 0.0)) == 6
    assert all(abs(p.T_world_obj[2, 2]) < 1e-6 for p in poses)


def test_a_ball_of_many_facets_has_no_pose_above_one_per_cent() -> None:
    assert stable_poses(sphere(0.02, 3)) == []
    assert len(resting_poses(sphere(0.02, 3))) == len(stable_poses(sphere(0.02, 3), 0.0)) > 1000
    assert len(stable_poses(sphere(0.02, 1), min_probability=0.0)) == 80


def test_what_is_flat_or_has_its_centre_outside_is_refused_and_does_not_hang() -> None:
    square = TriMesh(
        np.array([[0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0.05, 0.05, 0]]),
        np.array([[0, 1, 2], [1, 3, 2]]),
    )
    corner = TriMesh(
        np.array([[0, 0, 0], [0.05, 0, 0], [0, 0.05, 0], [0, 0, 0.05]]),
        np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2]]),
    )
    for mesh in (square, corner):  # the middle of the open corner's box lies outside its hull
        with pytest.raises(InvalidMesh, match="expected a solid body"):
            stable_poses(mesh)


def test_a_pose_must_be_rigid() -> None:
    with pytest.raises(InvalidConfig, match="T_world_obj is not a rigid transform"):
        StablePose(2 * np.eye(4), 0.5)


def test_the_original_finds_the_same_poses_on_its_example_meshes(shared: Path) -> None:
    for name in ("box", "clown", "spray"):
        record = np.load(shared / f"parity/mesh/{name}.npz")
        mesh = TriMesh(record["vertices"], record["triangles"], name)
        theirs = np.sort(record["stp_p"])[::-1]
        ours = np.array([p.probability for p in stable_poses(mesh, 0.0)])
        assert len(ours) == len(theirs)
        assert np.abs(ours - theirs).max() < 1e-6
