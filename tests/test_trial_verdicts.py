"""What a trial concludes from forces: a world in which nothing moves and a script says what presses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from antipodal.gripper import load_gripper
from antipodal.sim.trial import (
    MIN_GRIP_FRACTION,
    QUICK_LIFT,
    Outcome,
    Stage,
    TrialConfig,
    approach,
    is_held,
    keep,
    lift_and_keep,
    transports,
)

YUMI = load_gripper("yumi")
GRIP = (9.0, 9.0)


class Scripted:
    """Forces in N: of the (left, right) jaw at a time in s, of the hand with (table, object), of object and table."""

    gripper = YUMI

    def __init__(
        self,
        jaws: Callable[[float], tuple[float, float]] = lambda t: GRIP,
        hand: tuple[float, float] = (0.0, 0.0),
        table: float = 0.0,
    ) -> None:
        self._jaws, self._hand, self._table = jaws, hand, table
        self.time = 0.0
        self.gravities: list[list[float]] = []

    def step(self, n: int) -> None:
        self.time += n * TrialConfig().timestep

    def drive(self, velocity_grasp: np.ndarray, jaw_speed: float) -> None:
        pass

    def set_gravity(self, gravity: np.ndarray) -> None:
        self.gravities.append(gravity.tolist())

    def jaw_forces(self) -> np.ndarray:
        return np.array(self._jaws(self.time))

    def hand_forces(self) -> tuple[float, float]:
        return self._hand

    def table_force(self) -> float:
        return self._table


def verdict(world: Any, config: TrialConfig = QUICK_LIFT) -> tuple[Outcome, Stage]:
    return lift_and_keep(world, np.eye(3), config)


@pytest.mark.parametrize(
    ("hand", "outcome"),
    [
        ((0.5, 0.4), None),
        ((0.5, 0.6), Outcome.COLLIDED_OBJECT),
        ((1.1, 0.0), Outcome.COLLIDED_TABLE),
    ],
)
def test_more_than_a_newton_on_the_hand_is_a_collision(
    hand: tuple[float, float], outcome: Outcome | None
) -> None:
    world: Any = Scripted(hand=hand)
    assert approach(world, TrialConfig()) is outcome


def test_what_one_jaw_alone_presses_is_not_held() -> None:
    least = MIN_GRIP_FRACTION * YUMI.max_force
    for right, held in ((1.01 * least, True), (0.99 * least, False), (0.0, False)):
        world: Any = Scripted(lambda t, right=right: (9.0, right))
        assert is_held(world) is held


@pytest.mark.parametrize(
    ("gap", "kept"),
    [(None, True), ((0.4, 0.6), True), ((0.4, 0.9), False), ((0.9, 2.0), False)],
    ids=["never", "lost for 0.2 s", "lost for 0.5 s", "lost at the end"],
)
def test_an_object_is_kept_that_is_held_at_the_end_and_never_lost_for_long(
    gap: tuple[float, float] | None, kept: bool
) -> None:
    world: Any = Scripted(lambda t: (0.0, 0.0) if gap and gap[0] <= t < gap[1] else GRIP)
    still: Iterator[np.ndarray] = iter([np.zeros(3)] * 100)  # 1 s
    assert keep(world, np.eye(3), still, TrialConfig()) is kept


def test_an_object_that_still_touches_the_table_is_not_lifted() -> None:
    assert verdict(Scripted()) == (Outcome.SUCCESS, Stage.LIFT)
    assert verdict(Scripted(table=0.01)) == (Outcome.SLIPPED_LIFT, Stage.LIFT)


@pytest.mark.parametrize(
    ("closed", "outcome"),
    [(GRIP, Outcome.SLIPPED_LIFT), ((9.0, 0.0), Outcome.MISSED), ((0.0, 0.0), Outcome.MISSED)],
)
def test_what_one_jaw_touched_was_missed_and_what_both_held_slipped(
    closed: tuple[float, float], outcome: Outcome
) -> None:
    world = Scripted(lambda t: closed if t == 0 else (0.0, 0.0))  # gone as soon as it is lifted
    assert verdict(world)[0] is outcome


def test_the_shake_is_along_x_and_y_and_gravity_points_every_way() -> None:
    config = TrialConfig()
    each = [(stage, gravity, np.array(list(way))) for stage, gravity, way in transports(config)]
    assert [stage for stage, *_ in each] == [Stage.LIFT, Stage.CARRY] + [Stage.SHAKE] * 8
    gravities, ways = [gravity for _, gravity, _ in each], [way for *_, way in each]
    np.testing.assert_allclose(gravities[:4], [[0, 0, -9.81]] * 4)
    turned = np.array(gravities[4:]) / 9.81
    np.testing.assert_allclose(np.sort(turned @ [1.0, 2.0, 3.0]), [-3, -2, -1, 1, 2, 3])
    np.testing.assert_allclose(np.abs(turned).sum(1), 1)
    block = 0.01  # s: each velocity lasts for as long
    np.testing.assert_allclose(ways[0].sum(0) * block, [0, 0, config.lift_distance], atol=1e-6)
    np.testing.assert_allclose(ways[1].sum(0) * block, [config.carry_distance, 0, 0], atol=1e-6)
    for axis, way in zip(np.eye(3)[:2], ways[2:4], strict=True):
        place = np.cumsum(way, 0) * block
        assert np.abs(place @ axis).max() == pytest.approx(2 * config.shake_amplitude, rel=0.1)
        np.testing.assert_allclose(place - np.outer(place @ axis, axis), 0, atol=1e-9)
        assert np.count_nonzero(np.diff(np.sign(way @ axis))) >= 2 * config.shake_cycles - 1


def test_the_world_is_given_each_stages_gravity() -> None:
    world, config = Scripted(), TrialConfig()
    assert verdict(world, config) == (Outcome.SUCCESS, Stage.SHAKE)
    assert world.gravities == [gravity.tolist() for _, gravity, _ in transports(config)]
