"""Where a partly hidden object is: the fixed point of what should be seen, against the centroid of what is."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.policy.sighting import Sighting, match, object_at, open_border, sight
from antipodal.policy.view import look
from antipodal.render.depth import render
from antipodal.render.scene import Scene
from conftest import box
from policy_scenes import INTRINSICS, camera

BOX = box(0.03, 0.08, 0.04)


def frame_of(x: float, y: float = 0.0) -> DepthImage:
    """The box standing at (x, y)."""
    T_world_obj = transforms.translation([x, y, 0.02])
    return render(Scene(BOX, T_world_obj, camera(), INTRINSICS)).image


def covered(image: DepthImage, left_of: int | None = None, above: int | None = None) -> DepthImage:
    """Without the depth on one side of a column or row."""
    depth = np.array(image.depth)
    depth[:, :left_of] = depth[:, :left_of] * (left_of is None)
    depth[:above] = depth[:above] * (above is None)
    return image.with_depth(depth)


def seen_at(image: DepthImage, expected: np.ndarray | None = None) -> Sighting:
    found = sight(image, None, np.random.default_rng(0), np.array([0.0, 0.0, 0.03]), 0.12, expected)
    assert isinstance(found, Sighting)
    return found


def test_an_object_in_full_view_is_shifted_by_the_way_it_went() -> None:
    before, after = seen_at(frame_of(0.0)), seen_at(frame_of(0.012, -0.007))
    found = match(before.points, before.pixel_area, after)
    assert found is not None and found.in_sight > 0.99
    assert found.filled == pytest.approx(1.0, abs=0.03)
    assert np.abs(found.shift - [0.012, -0.007, 0.0]).max() < 5e-4


@pytest.mark.parametrize("where", [{"left_of": 320}, {"above": 236}])
def test_a_half_hidden_object_is_found_where_its_centroid_is_not(where: dict[str, int]) -> None:
    """The camera's axis meets the table in the origin: about half of the box lies on either side of it."""
    whole = seen_at(frame_of(0.0))
    partly = seen_at(covered(frame_of(0.004, 0.003), **where), whole.points)
    found = match(whole.points, whole.pixel_area, partly)
    assert found is not None and 0.3 < found.in_sight < 0.8
    assert partly.open_border < whole.open_border - 0.2
    assert np.abs(found.shift - [0.004, 0.003, 0.0])[:2].max() < 1e-3
    naive = partly.points.mean(0) - whole.points.mean(0)
    assert np.abs(naive - [0.004, 0.003, 0.0])[:2].max() > 0.005


def test_too_little_in_sight_is_no_measurement() -> None:
    whole = seen_at(frame_of(0.0))
    assert match(whole.points[:20], whole.pixel_area, whole) is None


def test_a_gap_in_front_of_an_object_parts_it_only_where_nothing_is_expected() -> None:
    image = frame_of(0.0)
    depth = np.array(image.depth)
    depth[228:246] = 0.0  # a finger across the box
    rng = np.random.default_rng(0)
    view = look(image.with_depth(depth), None, rng)
    whole = object_at(look(image, None, rng), [np.array([[319.5, 230.0]])], among=np.inf)[0]
    assert whole is not None
    v, u = np.nonzero(whole)
    joined = object_at(view, [np.stack([u, v], -1).astype(float)], among=0)[0]
    part = object_at(view, [np.array([[319.5, 220.0]])], among=np.inf)[0]
    assert joined is not None and part is not None
    assert joined[:228].any() and joined[246:].any()
    assert part[:228].any() and not part[246:].any()


def test_the_border_of_a_square_in_an_image_with_a_half_of_holes_is_half_open() -> None:
    depth = np.full((60, 60), 0.7, np.float32)
    depth[:, 30:] = 0.0
    image = DepthImage(depth, INTRINSICS.crop(0, 0, 60, 60))
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    assert open_border(image, mask) == pytest.approx(0.5)
    assert open_border(image, np.ones((60, 60), bool)) == 1.0
