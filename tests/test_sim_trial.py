"""One lift: each outcome where it must be, the physics' bound on both sides, and the same trajectory twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp
from antipodal.gripper import GripperModel, gripper_names, load_gripper
from antipodal.mesh import TriMesh
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.tracking import TrackingConfig
from antipodal.sim.trial import (
    QUICK_LIFT,
    Outcome,
    Stage,
    TrialConfig,
    TrialResult,
    execute,
    run_trial,
    settle,
    trial_bodies,
)
from antipodal.sim.world import World
from antipodal.success import execution_error
from conftest import box, cylinder, sphere, to_trimesh_value

YUMI = load_gripper("yumi")
DOWN = np.diag([1.0, -1.0, -1.0])
EXACT = TrialConfig(position_sigma=0.0, rotation_sigma=0.0)


def from_above(
    x: float = 0.0, y: float = 0.0, z: float = 0.025, tilt: np.ndarray | None = None
) -> Grasp:
    """Jaws closing along world x around (x, y, z), approach −z; ``tilt`` (3,) rad rotates it about its centre."""
    R = DOWN if tilt is None else transforms.exp_so3(tilt) @ DOWN
    return Grasp(transforms.from_rt(R, [x, y, z]), 0.05)


def resting(mesh: TriMesh) -> np.ndarray:
    return transforms.translation([0.0, 0.0, -mesh.bounds[0, 2]])


def lift(
    mesh: TriMesh, grasp: Grasp, gripper: GripperModel = YUMI, config: TrialConfig = QUICK_LIFT
) -> TrialResult:
    return run_trial(mesh, resting(mesh), grasp, gripper, 0.5, 7, config=config)


@pytest.mark.parametrize(
    "config", [QUICK_LIFT, EXACT, TrialConfig()], ids=["quick", "exact", "benchmark"]
)
@pytest.mark.parametrize(
    ("mesh", "height"),
    [(box(), 0.025), (cylinder(), 0.065), (sphere(), 0.026)],
    ids=["box", "cylinder", "sphere"],
)
def test_a_centred_solid_is_lifted_and_kept(
    mesh: TriMesh, height: float, config: TrialConfig
) -> None:
    result = lift(mesh, from_above(z=height), config=config)
    assert result.success
    assert result.stage is (Stage.LIFT if config is QUICK_LIFT else Stage.SHAKE)
    assert result.lift_height == pytest.approx(config.lift_distance, abs=5e-3)
    assert result.jaw_width_final == pytest.approx(0.04 - 2 * YUMI.jaw_clearance, abs=5e-4)
    moved = result.T_world_obj_final[:3, 3] - resting(mesh)[:3, 3]
    assert moved[:2] == pytest.approx([config.carry_distance, 0.0], abs=8e-3)


@pytest.mark.parametrize("name", gripper_names())
def test_every_gripper_lifts_a_box(name: str) -> None:
    gripper = load_gripper(name)
    assert lift(box(), Grasp(from_above(z=0.025).pose, gripper.max_width), gripper, EXACT).success


@pytest.mark.parametrize("axis", [0, 1], ids=["about the closing axis", "across it"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_tilted_approach_lifts_as_well(axis: int, sign: int) -> None:
    tilt = sign * np.radians(12.7) * np.eye(3)[axis]  # Dex-Net's camera leans by as much
    result = lift(box(0.035, 0.03, 0.04), from_above(z=0.027, tilt=tilt))
    assert result.success
    assert result.lift_height == pytest.approx(0.2, abs=0.01)


def test_jaws_beside_the_object_miss_it() -> None:
    result = lift(box(), from_above(y=0.3))
    assert (result.outcome, result.stage) == (Outcome.MISSED, Stage.CLOSE)
    assert result.lift_height == pytest.approx(0.0, abs=1e-4)
    assert result.jaw_width_final + 2 * YUMI.jaw_clearance == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    ("grasp", "outcome"),
    [
        (from_above(x=0.015), Outcome.COLLIDED_OBJECT),
        (from_above(x=-0.015), Outcome.COLLIDED_OBJECT),
        (from_above(z=0.015), Outcome.COLLIDED_OBJECT),
        (from_above(y=0.3, z=0.010), Outcome.COLLIDED_TABLE),
    ],
    ids=[
        "a finger over the object",
        "the other finger",
        "the palm on the object",
        "finger tips in the table",
    ],
)
def test_a_hand_that_meets_something_on_its_way_has_collided_with_it(
    grasp: Grasp, outcome: Outcome
) -> None:
    result = lift(box(), grasp)
    assert (result.outcome, result.stage) == (outcome, Stage.APPROACH)


def test_a_hand_that_starts_inside_a_tall_object_has_met_it() -> None:
    result = lift(box(0.03, 0.03, 0.3), from_above(z=0.1))
    assert (result.outcome, result.stage) == (Outcome.COLLIDED_OBJECT, Stage.APPROACH)


@pytest.mark.parametrize(
    ("gap", "outcome"), [(-0.001, Outcome.COLLIDED_TABLE), (0.001, Outcome.SUCCESS)]
)
def test_the_finger_tips_may_come_as_near_to_the_table_as_they_like_but_not_touch(
    gap: float, outcome: Outcome
) -> None:
    assert lift(box(z=0.02), from_above(z=YUMI.tip_overhang + gap)).outcome is outcome


def test_a_bar_longer_than_the_lift_hangs_down_to_the_table() -> None:
    mesh = replace(box(0.02, 0.7, 0.02), density=800.0)
    result = lift(mesh, from_above(y=0.3, z=0.02))
    assert (result.outcome, result.stage) == (Outcome.SLIPPED_LIFT, Stage.LIFT)


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.9, Outcome.SLIPPED_LIFT), (1.1, Outcome.SUCCESS)]
)
def test_a_slow_lift_succeeds_exactly_above_the_friction_bound(
    share: float, outcome: Outcome
) -> None:
    mesh = replace(box(), density=0.25 / box().volume)
    weak = replace(YUMI, max_force=share * 0.25 * 9.81 / (2 * 0.5))  # m g = 2 μ F
    slow = replace(QUICK_LIFT, transport_speed=0.05)  # acceleration 2π v² / d < 0.01 g
    assert lift(mesh, from_above(), weak, slow).outcome is outcome


def test_shaking_loses_what_a_quick_lift_holds() -> None:
    mesh = replace(box(), density=0.25 / box().volume)
    weak = replace(YUMI, max_force=1.25 * 0.25 * 9.81 / (2 * 0.5))
    assert lift(mesh, from_above(), weak, QUICK_LIFT).success
    hard = replace(EXACT, shake_amplitude=0.05, shake_frequency=3.0)  # up to 1.8 g
    result = lift(mesh, from_above(), weak, hard)
    assert (result.outcome, result.stage) == (Outcome.SLIPPED_SHAKE, Stage.SHAKE)


def test_a_box_on_its_edge_is_unstable() -> None:
    mesh = box()
    T_world_obj = transforms.translation([0, 0, 0.0283]) @ transforms.rot_y(np.pi / 4 + 0.05)
    result = run_trial(mesh, T_world_obj, from_above(), YUMI, 0.5, 7, config=QUICK_LIFT)
    assert (result.outcome, result.stage) == (Outcome.UNSTABLE, Stage.SETTLE)


def test_settling_follows_an_object_wherever_it_topples_to() -> None:
    mesh = box()
    T_world_obj = transforms.translation([0, 0, 0.0283]) @ transforms.rot_y(np.pi / 4 + 0.05)
    T_settled = settle(World(mesh, convex_pieces(mesh), YUMI), T_world_obj, 0.5)
    assert T_settled is not None
    assert T_settled[2, 3] == pytest.approx(0.02, abs=5e-4)
    assert np.abs(T_settled[2, :3]).max() == pytest.approx(1.0, abs=1e-4)  # it lies on a face


def test_settling_lets_the_object_down_onto_the_table() -> None:
    mesh = box()
    dropped = transforms.translation([0.03, 0.01, 0.024]) @ transforms.rot_z(0.4)
    T_world_obj = settle(World(mesh, convex_pieces(mesh), YUMI), dropped, 0.5)
    assert T_world_obj is not None
    assert T_world_obj == pytest.approx(transforms.translation([0, 0, -0.004]) @ dropped, abs=5e-4)


def test_the_same_seed_gives_the_same_trajectory_bit_by_bit_whatever_ran_before() -> None:
    mesh, grasp = cylinder(), from_above(z=0.065)
    world = World(mesh, convex_pieces(mesh), YUMI)
    first = execute(world, resting(mesh), grasp, 0.5, 11)
    other = execute(world, resting(mesh), from_above(x=0.002, z=0.06), 0.3, 12)
    again = execute(world, resting(mesh), grasp, 0.5, 11)
    fresh = run_trial(mesh, resting(mesh), grasp, YUMI, 0.5, 11)
    for result in (again, fresh):
        assert result.to_json() == first.to_json()
    assert other.to_json() != first.to_json()


@pytest.mark.parametrize(
    ("mesh", "grasp"),
    [
        (box(), from_above()),
        (sphere(), from_above(z=0.024)),
        (cylinder(), from_above(z=0.068, tilt=np.array([0.1, 0.0, 0.0]))),
        (box(), from_above(x=0.015)),
        (box(), from_above(y=0.3)),
        (box(0.001, 0.04, 0.04), from_above()),
    ],
    ids=["box", "sphere", "cylinder", "collision", "miss", "thin wall"],
)
def test_halving_and_doubling_the_time_step_changes_no_clear_outcome(
    mesh: TriMesh, grasp: Grasp
) -> None:
    results = [
        lift(mesh, grasp, config=replace(QUICK_LIFT, timestep=dt)) for dt in (0.001, 0.002, 0.004)
    ]
    assert len({r.outcome for r in results}) == 1
    assert np.ptp([r.lift_height for r in results]) < 2e-3


def test_an_object_off_centre_between_the_jaws_is_centred_and_lifted() -> None:
    result = lift(box(0.03, 0.03, 0.04), from_above(x=0.008))
    assert result.success
    assert result.T_world_obj_final[0, 3] == pytest.approx(0.008, abs=1e-3)  # the jaws are coupled


def test_execution_error_has_the_stated_spread_and_is_none_at_zero() -> None:
    rng = np.random.default_rng(1)
    T = from_above().pose
    none, stated = ((c.position_sigma, c.rotation_sigma) for c in (EXACT, TrialConfig()))
    assert execution_error(T, *none, rng) == pytest.approx(T, abs=1e-15)
    errors = np.array(
        [transforms.inverse(T) @ execution_error(T, *stated, rng) for _ in range(2000)]
    )
    assert errors[:, :3, 3].std(0) == pytest.approx([0.002] * 3, rel=0.06)
    R = errors[:, :3, :3]
    angles = np.stack([R[:, 2, 1], R[:, 0, 2], R[:, 1, 0]], -1)
    assert angles.std(0) == pytest.approx(np.radians([0.5] * 3), rel=0.06)


def test_the_bodies_at_the_end_touch_where_the_jaws_hold_the_object() -> None:
    mesh = box()
    result = lift(mesh, from_above())
    bodies = [
        (b.role, b.mesh.transformed(b.T_world_body).bounds)
        for b in trial_bodies(result, mesh, YUMI)
    ]
    assert [role for role, _ in bodies] == ["object", "jaw", "jaw", "palm"]
    (_, solid), (_, right), (_, left), (_, palm) = (
        bodies  # the hand looks down: its −x jaw is at world −x all the same
    )
    assert solid.mean(0) == pytest.approx([0, 0, 0.22], abs=1e-3)
    assert [right[1, 0], left[0, 0]] == pytest.approx([-0.02, 0.02], abs=2e-4)
    assert right[0, 2] == pytest.approx(0.225 - YUMI.tip_overhang, abs=1e-3)
    assert palm[0, 2] == pytest.approx(0.225 - YUMI.tip_overhang + YUMI.finger_depth, abs=1e-3)


def test_misuse_is_refused_in_words() -> None:
    mesh = box()
    with pytest.raises(InvalidConfig, match=r"grasp width 0\.08 m: expected 0 to 0\.05"):
        lift(mesh, Grasp(from_above().pose, 0.08))
    with pytest.raises(InvalidConfig, match=r"grasp width 0\.009 m: expected 0\.01 to 0\.05"):
        lift(mesh, Grasp(from_above().pose, 0.009), replace(YUMI, min_width=0.01))
    with pytest.raises(InvalidConfig, match="expected a single one"):
        lift(mesh, Grasp(from_above().pose[None], 0.05))
    with pytest.raises(InvalidConfig, match="closing_speed 0"):
        TrialConfig(closing_speed=0.0)
    with pytest.raises(InvalidConfig, match=r"timestep 0\.1"):
        TrialConfig(timestep=0.1)
    with pytest.raises(InvalidConfig, match="lift_distance high: expected a number"):
        TrialConfig(lift_distance="high")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="hover high: expected a positive number"):
        TrackingConfig(hover="high")  # type: ignore[arg-type]


def bottle() -> tuple[TriMesh, tuple[TriMesh, ...]]:
    """A body 40 mm wide with a neck of 30 mm above a shoulder of 45°, and its convex pieces."""
    body = trimesh.creation.box((0.04, 0.04, 0.03), transforms.translation([0, 0, 0.015]))
    corners = np.array(
        [[s * x, y, z] for s in (-1, 1) for y in (-0.02, 0.02) for x, z in ((0.02, 0.03), (0.015, 0.035))]
    )  # fmt: skip
    shoulder = trimesh.convex.convex_hull(corners)
    neck = trimesh.creation.box((0.03, 0.04, 0.012), transforms.translation([0, 0, 0.041]))
    parts = [body, shoulder, neck]
    pieces = tuple(to_trimesh_value(part) for part in parts)
    return to_trimesh_value(trimesh.boolean.union(parts), "bottle"), pieces


@pytest.mark.parametrize("friction", [0.3, 0.5, 0.8])
def test_jaws_that_jam_on_a_shoulder_close_the_rest_of_the_way_as_they_lift(
    friction: float,
) -> None:
    mesh, pieces = bottle()
    tips = 0.03 + 0.3 * 0.005  # on the shoulder: they press the bottle against the table
    grasp = from_above(z=tips + YUMI.tip_overhang)
    result = execute(World(mesh, pieces, YUMI), np.eye(4), grasp, friction, 0, QUICK_LIFT)
    assert result.outcome is Outcome.SUCCESS
    assert result.jaw_width_final == pytest.approx(0.03 - 2 * YUMI.jaw_clearance, abs=5e-4)


def test_nothing_is_ever_lifted_off_an_empty_table(rng: np.random.Generator) -> None:
    mesh = box()
    world = World(mesh, convex_pieces(mesh), YUMI)
    aside = transforms.translation([0.0, 0.6, 0.02])
    expected = {Outcome.MISSED, Outcome.COLLIDED_TABLE}
    outcomes = set()
    for seed in range(20):
        x, y = rng.uniform(-0.1, 0.1, 2)
        spin = transforms.from_rt(transforms.exp_so3([0.0, 0.0, rng.uniform(0, np.pi)]), [0, 0, 0])
        grasp = from_above(x, y, rng.uniform(0.005, 0.04)).in_frame(spin)
        outcomes.add(
            execute(
                world, aside, grasp, 0.5, seed, replace(QUICK_LIFT, position_sigma=0.002)
            ).outcome
        )
    assert outcomes == expected


def test_doubling_the_time_step_changes_at_most_one_outcome_of_twenty(
    rng: np.random.Generator,
) -> None:
    mesh, pieces = bottle()
    world = World(mesh, pieces, YUMI)
    n = 20
    grasps = [
        from_above(rng.uniform(-0.006, 0.006), rng.uniform(-0.03, 0.03), rng.uniform(0.02, 0.05))
        for _ in range(n)
    ]
    frictions = rng.uniform(0.1, 0.6, n)
    usual, doubled = (
        [
            execute(world, np.eye(4), grasp, mu, i, replace(QUICK_LIFT, timestep=dt)).outcome
            for i, (grasp, mu) in enumerate(zip(grasps, frictions, strict=True))
        ]
        for dt in (0.002, 0.004)
    )
    assert 0.2 < usual.count(Outcome.SUCCESS) / n < 0.9  # grasps that decide
    assert sum(a is not b for a, b in zip(usual, doubled, strict=True)) <= 1
