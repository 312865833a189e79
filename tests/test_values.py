"""The idiom of the value types: checked on the way in, locked, indexed over the leading axis."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.errors import AntipodalError, InvalidConfig, InvalidMesh
from antipodal.grasp import PlanarGrasp
from antipodal.policy.cem import CEMConfig
from antipodal.values import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_SHARE,
    SHARE,
    array,
    config_from_dict,
    expect,
    rigid,
)


def grasps(n: int) -> PlanarGrasp:
    return PlanarGrasp(
        np.arange(2.0 * n).reshape(n, 2), np.linspace(-1, 1, n), np.full(n, 0.7), np.full(n, 0.05)
    )


def test_an_array_is_a_locked_copy() -> None:
    source = np.ones((4, 3))
    locked = array(source, (None, 3), "points")
    source[0, 0] = 7.0
    assert locked[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        locked[0, 0] = 2.0


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
def test_leading_axes_are_free_and_trailing_ones_are_not(shape: tuple[int, ...]) -> None:
    assert array(np.zeros(shape), (3,), "points").shape == shape
    with pytest.raises(InvalidConfig, match=r"points has shape .*: expected \(…, 4\)"):
        array(np.zeros(shape), (4,), "points")


def test_nan_and_infinity_are_counted_in_the_message() -> None:
    with pytest.raises(InvalidMesh, match="vertices has 2 non-finite entries"):
        array([[0.0, np.nan, np.inf]], (3,), "vertices", error=InvalidMesh)


@pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0]], "words", [None, object()]])
def test_what_is_no_array_of_numbers_is_our_error_and_not_numpys(bad: object) -> None:
    with pytest.raises(AntipodalError, match="size"):
        array(bad, (3,), "size")


def test_fractions_are_not_silently_cut_to_indices() -> None:
    assert array([[0.0, 1.0, 2.0]], (3,), "faces", np.int64).dtype == np.int64
    with pytest.raises(InvalidConfig, match="faces has fractions"):
        array([[0.0, 1.5, 2.0]], (3,), "faces", np.int64)


def test_rigid_accepts_rounded_calibrations_and_refuses_scale_shear_and_mirrors() -> None:
    T = transforms.rot_x(0.3)
    assert rigid(np.round(T, 4), "pose").shape == (4, 4)
    mirror = np.diag([1.0, 1.0, -1.0, 1.0])
    sheared = T + np.eye(4, k=1) * 0.01
    for bad in (1.01 * T, mirror, sheared, T.T @ transforms.translation([1, 0, 0]).T):
        with pytest.raises(InvalidConfig, match="pose is not a rigid transform"):
            rigid(bad, "pose")
    with pytest.raises(InvalidConfig, match=r"a last row is not 0 0 0 1.*transposed"):
        rigid(transforms.translation([1, 0, 0]).T, "pose")
    with pytest.raises(InvalidConfig, match="expected one transform"):
        rigid(np.stack([T, T]), "pose", ndim=2)


def test_indexing_by_integer_slice_and_mask_keeps_every_field_in_step() -> None:
    g = grasps(5)
    assert len(g) == 5
    assert g[2].batch_shape == ()
    assert np.array_equal(g[1:3].center_px, g.center_px[1:3])
    mask = g.angle > 0
    assert np.array_equal(g[mask].angle, g.angle[mask])
    assert [float(one.angle) for one in g] == g.angle.tolist()
    assert len(g[[]]) == 0


def test_a_single_value_has_no_length_and_says_so() -> None:
    one = grasps(3)[0]
    with pytest.raises(TypeError, match="leading axis"):
        len(one)
    with pytest.raises(TypeError, match="leading axis"):
        one[0]


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        grasps(2).angle = np.zeros(2)  # type: ignore[misc]


def test_a_config_refuses_unknown_and_missing_keys_and_lists_the_known() -> None:
    good = {"fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, "width": 2, "height": 2}
    assert config_from_dict(CameraIntrinsics, good, "here").width == 2
    with pytest.raises(InvalidConfig, match=r"here: unknown key focal: expected some of fx, fy"):
        config_from_dict(CameraIntrinsics, good | {"focal": 3}, "here")
    with pytest.raises(InvalidConfig, match="here: missing key height"):
        config_from_dict(CameraIntrinsics, {k: v for k, v in good.items() if k != "height"}, "here")


@dataclasses.dataclass
class Setting:
    x: object


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (POSITIVE, [1e-9, np.float32(2), np.int64(1)], [0, -1, np.nan]),
        (NOT_NEGATIVE, [0, 1.5], [-1e-9, np.nan]),
        (AT_LEAST_ONE, [1, 7], [0.5, 0]),
        (SHARE, [0, 0.5, 1], [-0.1, 1.1, np.nan]),
        (POSITIVE_SHARE, [1e-3, 1.0], [0, 1.1]),
    ],
)
def test_a_setting_obeys_its_rule(rule: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        expect(Setting(value), "test", rule, "x")
    for value in [*bad, None, "2", True, [1.0], np.inf, -np.inf]:
        with pytest.raises(InvalidConfig, match=f"test x .*: expected {re.escape(rule)}"):
            expect(Setting(value), "test", rule, "x")


def test_a_policy_names_the_setting_that_is_wrong() -> None:
    with pytest.raises(InvalidConfig, match=r"CEM enough 1\.5: expected a share in \(0, 1\]"):
        CEMConfig(enough=1.5)
    with pytest.raises(InvalidConfig, match="CEM n_seeds many: expected a positive number"):
        CEMConfig(n_seeds="many")
