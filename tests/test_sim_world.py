"""The engine must earn trust before anything is measured with it: closed forms of force, slip, spin and mass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.errors import InvalidConfig, InvalidMesh, SimulationDiverged
from antipodal.gripper import GripperModel, gripper_names, load_gripper
from antipodal.mesh import TriMesh
from antipodal.sim.decompose import DecomposeConfig, convex_pieces, is_convex
from antipodal.sim.world import GRAVITY, MASS_LIMITS, World, mass_properties, soft_finger_radius
from conftest import box, cylinder, sphere, to_trimesh_value

G = 9.81
AIR = transforms.translation([0.0, 0.0, 0.5])


def world_of(mesh: TriMesh, gripper: GripperModel) -> World:
    return World(mesh, convex_pieces(mesh), gripper)


def hold_in_air(world: World, friction: float, timestep: float = 0.002) -> None:
    """Close the jaws along world x on the weightless object's frame origin, approach along −z; then let gravity act."""
    T_world_grasp = transforms.from_rt(np.diag([1.0, -1.0, -1.0]), AIR[:3, 3])
    world.place(AIR, T_world_grasp, friction, timestep=timestep)
    world.set_gravity(np.zeros(3))
    world.put_hand(np.zeros(3), world.gripper.max_width)
    world.drive(np.zeros(3), 0.05)
    world.step(round(1.2 / timestep))
    world.set_gravity(GRAVITY)


def l_shape() -> TriMesh:
    """Two boxes merged to an L, 60 × 20 × 60 mm with legs of 20 mm."""
    a = trimesh.creation.box(
        (0.06, 0.02, 0.02), trimesh.transformations.translation_matrix([0, 0, -0.02])
    )
    b = trimesh.creation.box(
        (0.02, 0.02, 0.06), trimesh.transformations.translation_matrix([-0.02, 0, 0])
    )
    return to_trimesh_value(trimesh.boolean.union([a, b]), "l_shape")


def lever() -> TriMesh:
    """A ball of radius 15 mm with a thin bar along +y beside it: held at the ball, its weight twists it about x."""
    bar = trimesh.creation.box(
        (0.008, 0.10, 0.008), trimesh.transformations.translation_matrix([0, 0.066, 0])
    )
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.015)
    return to_trimesh_value(trimesh.util.concatenate([ball, bar]), "lever")


@pytest.mark.parametrize("name", gripper_names())
def test_each_jaw_of_each_gripper_presses_with_its_force_limit(name: str) -> None:
    gripper = load_gripper(name)
    world = world_of(box(), gripper)
    hold_in_air(world, 0.5)
    world.step(100)
    assert world.jaw_forces() == pytest.approx([gripper.max_force] * 2, rel=0.02)
    assert world.hand_forces() == pytest.approx([0.0, 2 * gripper.max_force], rel=0.02)
    assert not any(w.number for w in world.data.warning)


@pytest.mark.parametrize("share", [0.6, 0.95, 1.05, 1.5])
@pytest.mark.parametrize("friction", [0.3, 0.8])
def test_a_held_box_slips_exactly_when_its_weight_exceeds_both_friction_forces(
    share: float, friction: float
) -> None:
    mesh = box(0.04, 0.04, 0.03)
    mesh = replace(mesh, density=0.1 / mesh.volume)  # 100 g
    limit = 0.1 * G / (2 * friction)  # m g = 2 μ F
    world = world_of(mesh, replace(load_gripper("yumi"), max_force=share * limit))
    hold_in_air(world, friction)
    world.step(50)
    fall = AIR[2, 3] - world.object_center[2]
    expected = max(0.0, 1 - share) * G * 0.1**2 / 2  # what friction leaves of gravity, for 0.1 s
    assert fall == pytest.approx(
        expected, rel=0.3, abs=1e-4
    )  # the engine's sliding contacts chatter


@pytest.mark.parametrize("share", [0.95, 1.05])
def test_an_off_centre_hold_rotates_exactly_when_the_lever_torque_exceeds_the_soft_finger_limit(
    share: float,
) -> None:
    mesh, yumi, friction = lever(), load_gripper("yumi"), 0.5
    m, arm = mesh.mass * np.clip(1, *(np.array(MASS_LIMITS) / mesh.mass)), mesh.center_of_mass[1]
    # one finger carries half of both loads: (f / μF)² + (τ / μ_t F)² = 1 on the elliptic limit surface
    radius = soft_finger_radius(yumi)
    limit = m * G / (2 * friction) * np.hypot(1.0, arm / radius)
    pieces = tuple(convex_pieces(part)[0] for part in split(mesh))
    world = World(mesh, pieces, replace(yumi, max_force=share * limit))
    hold_in_air(world, friction)
    world.step(150)
    tilt = np.degrees(np.arccos(np.clip(world.T_world_obj[1, 1], -1, 1)))
    if share > 1:
        assert tilt < 0.2
    else:
        assert tilt > 5.0


@pytest.mark.parametrize("share", [0.95, 1.05])
@pytest.mark.parametrize("friction", [0.3, 0.8])
def test_a_box_between_flat_jaws_turns_exactly_beyond_what_its_four_corners_a_side_hold(
    share: float, friction: float
) -> None:
    yumi, mesh = load_gripper("yumi"), box(0.03, 0.02, 0.016)  # its sides lie within the jaws
    world = world_of(mesh, yumi)
    hold_in_air(world, friction)
    world.set_gravity(np.zeros(3))
    # of f ρ + τ with (f / μ)² + (τ / μ_t)² = N² the largest is μ N √(ρ² + r²); N = F / 4 at each of eight corners
    lever_arm = np.hypot(0.02, 0.016) / 2
    limit = 2 * friction * yumi.max_force * np.hypot(lever_arm, soft_finger_radius(yumi))
    world.data.xfrc_applied[world.model.body("object").id, 3] = share * limit
    world.step(10)
    turned = np.degrees(np.arccos(np.clip(world.T_world_obj[1, 1], -1, 1)))
    if share < 1:
        assert turned < 0.2
    else:
        assert turned > 5.0


def split(mesh: TriMesh) -> list[TriMesh]:
    return [to_trimesh_value(part) for part in trimesh.Trimesh(mesh.vertices, mesh.faces).split()]


@pytest.mark.parametrize("thickness", [0.0005, 0.001, 0.003])
def test_jaws_do_not_penetrate_a_thin_wall(thickness: float) -> None:
    yumi = load_gripper("yumi")
    world = world_of(box(thickness, 0.03, 0.03), yumi)
    hold_in_air(world, 0.5)
    world.step(250)
    gap = world.jaw_width + 2 * yumi.jaw_clearance
    assert 0.0 <= thickness - gap < 0.3 * thickness + 1e-4
    assert abs(world.T_world_obj[:3, 3] - AIR[:3, 3]).max() < 5e-4


def test_jaws_close_on_each_other_where_nothing_is_between_them() -> None:
    yumi = load_gripper("yumi")
    world = world_of(box(), yumi)
    world.place(transforms.translation([0.3, 0, 0.02]), AIR, 0.5)
    world.put_hand(np.zeros(3), yumi.max_width)
    world.drive(np.zeros(3), 0.05)
    world.step(600)
    assert world.jaw_width + 2 * yumi.jaw_clearance == pytest.approx(0.0, abs=2e-4)
    assert (world.jaw_forces() == 0).all()


def test_a_resting_object_presses_with_its_weight_and_does_not_creep() -> None:
    world = world_of(box(), load_gripper("yumi"))
    T = transforms.translation([0.01, 0.02, 0.02]) @ transforms.rot_z(0.3)
    world.place(T, AIR, 0.5)
    world.step(500)
    assert world.table_force() == pytest.approx(0.032 * G, rel=1e-3)
    assert world.T_world_obj == pytest.approx(T, abs=1e-4)


def test_an_object_slides_down_when_gravity_leans_beyond_the_friction_angle() -> None:
    world = world_of(box(0.06, 0.06, 0.02), load_gripper("yumi"))
    for share, slides in ((0.9, False), (1.1, True)):
        world.place(transforms.translation([0, 0, 0.01]), AIR, 0.4)
        angle = np.arctan(0.4) * share
        world.set_gravity(G * np.array([np.sin(angle), 0.0, -np.cos(angle)]))
        world.step(250)
        assert (world.T_world_obj[0, 3] > 5e-3) == slides


def test_the_hand_goes_where_it_is_driven_and_carries_no_sag() -> None:
    world = world_of(box(), load_gripper("yumi"))
    T_world_grasp = AIR @ transforms.rot_x(2.0) @ transforms.rot_z(0.7)
    world.place(transforms.translation([0, 0, 0.02]), T_world_grasp, 0.5)
    world.put_hand(np.array([0.0, 0.0, -0.1]), 0.05)
    assert world.T_world_grasp == pytest.approx(
        T_world_grasp @ transforms.translation([0, 0, -0.1]), abs=1e-12
    )
    world.drive(np.array([0.0, 0.0, 0.2]), 0.0)
    world.step(250)
    world.drive(np.zeros(3), 0.0)
    world.step(100)
    assert world.T_world_grasp == pytest.approx(T_world_grasp, abs=1e-5)


@pytest.mark.parametrize("density", [10.0, 1500.0, 20000.0])
def test_mass_is_clipped_and_inertia_scales_with_it(density: float) -> None:
    x, y, z = 0.03, 0.04, 0.06
    mesh = replace(box(x, y, z), density=density)
    world = world_of(mesh, load_gripper("yumi"))
    m = np.clip(density * x * y * z, *MASS_LIMITS)
    expected = m / 12 * np.array([y**2 + z**2, x**2 + z**2, x**2 + y**2])
    body = world.model.body("object")
    assert body.mass[0] == pytest.approx(m)
    assert np.sort(body.inertia) == pytest.approx(np.sort(expected), rel=1e-9)


def test_the_pieces_of_an_open_mesh_have_the_mass_properties_of_the_solid() -> None:
    whole = box(0.06, 0.04, 0.02).transformed(transforms.translation([0.1, 0.2, 0.3]))
    halves = [
        box(0.03, 0.04, 0.02).transformed(transforms.translation([0.1 + s * 0.015, 0.2, 0.3]))
        for s in (-1, 1)
    ]
    opened = TriMesh(whole.vertices, whole.faces[1:])
    got, want = mass_properties(opened, tuple(halves)), mass_properties(whole, (whole,))
    assert got.mass == pytest.approx(want.mass)
    assert got.center_of_mass == pytest.approx(want.center_of_mass)
    assert got.inertia == pytest.approx(want.inertia, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("value", [np.nan, 1e9], ids=["not a number", "runaway"])
def test_a_lost_state_is_an_error_that_names_seed_and_step(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    world = world_of(box(), load_gripper("yumi"))
    world.place(transforms.translation([0, 0, 0.02]), AIR, 0.5, seed=42)
    world.step(7)
    world.data.qvel[6] = value
    with pytest.raises(SimulationDiverged, match=r"step 9 \(seed 42\)") as caught:
        world.step(2)
    assert (caught.value.seed, caught.value.step) == (42, 9)
    assert not list(tmp_path.iterdir())  # the engine's own log file
    assert capfd.readouterr() == ("", "")
    world.place(transforms.translation([0, 0, 0.02]), AIR, 0.5)
    world.step(50)
    assert world.object_center[2] == pytest.approx(0.02, abs=1e-4)  # and it can be used again


def test_friction_out_of_range_is_refused() -> None:
    world = world_of(box(), load_gripper("yumi"))
    with pytest.raises(InvalidConfig, match="friction 0"):
        world.place(AIR, AIR, 0.0)
    with pytest.raises(InvalidConfig, match="T_world_obj"):
        world.place(2 * AIR, AIR, 0.5)


@pytest.mark.parametrize("mesh", [box(), cylinder(), sphere()])
def test_a_convex_mesh_is_one_piece_and_keeps_its_volume(mesh: TriMesh) -> None:
    (piece,) = convex_pieces(mesh)
    assert is_convex(mesh)
    assert piece.is_watertight
    assert piece.volume == pytest.approx(mesh.volume, rel=1e-9)


def test_convex_pieces_fill_a_concave_solid_and_are_convex_themselves() -> None:
    mesh = l_shape()
    pieces = convex_pieces(mesh)
    assert not is_convex(mesh)
    assert len(pieces) >= 2
    assert all(is_convex(piece) for piece in pieces)
    assert sum(p.volume for p in pieces) == pytest.approx(mesh.volume, rel=0.03)
    corner = np.array([0.02, 0.0, 0.02])  # of the hull, but outside the L
    contains = [trimesh.Trimesh(p.vertices, p.faces).contains([corner])[0] for p in pieces]
    assert not any(contains)


def test_pieces_of_an_open_mesh_keep_its_outer_size() -> None:
    whole = box(0.06, 0.04, 0.02)
    opened = TriMesh(whole.vertices, whole.faces[1:], "open")  # CoACD remeshes it, and inflates it
    rough = DecomposeConfig(threshold=0.3, preprocess_resolution=20, search_iterations=5)
    bounds = np.concatenate([p.vertices for p in convex_pieces(opened, rough)])
    assert [bounds.min(0), bounds.max(0)] == pytest.approx(whole.bounds, abs=1e-5)


def test_pieces_are_the_same_out_of_the_cache(tmp_path: Path) -> None:
    mesh, cache = l_shape(), tmp_path / "pieces"
    fresh, kept = (convex_pieces(mesh, cache=cache) for _ in range(2))
    assert len(list(cache.iterdir())) == 1
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(fresh, kept, strict=True))
    convex_pieces(mesh, DecomposeConfig(threshold=0.3), cache=cache)
    assert len(list(cache.iterdir())) == 2


def test_a_flat_mesh_is_refused_in_words() -> None:
    flat = TriMesh(
        [[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]], [[0, 1, 2], [0, 2, 3]], "sheet"
    )
    with pytest.raises(InvalidMesh, match=r"sheet is thinner than 0\.01 mm"):
        convex_pieces(flat)
