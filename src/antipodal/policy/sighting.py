"""Where an object is now, though a hand may hide part of it: what is seen, against what was seen of it whole.

The centroid of what is left in sight says where the object is only together with which part that is. So the points that
were seen last are laid over the picture, those that are hidden there are left out, and the rest is shifted onto the
centroid of what is seen, until nothing changes: a fixed point, reached by halves however much is hidden from one side.
Frames: camera, and the fixed frame of :mod:`antipodal.policy.closed_loop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..camera import DepthImage
from .constraints import SEEN_TOLERANCE, seen_free
from .request import Asked, as_request
from .view import NOTHING_THERE, View, look
from .warm_start import fixed_frame, window_px

BORDER_PX = 4
"""Width of the rim around an object that must be in sight for it to be whole."""
BEHIND = 0.015
"""What is nearer than the object by more than this hides it, m."""
MIN_POINTS = 30
"""Fewer pixels of an object are no measurement."""
WAY = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Places on the way from where an object should be back to where it was seen."""
N_ROUNDS = 8
"""Of the fixed point: what is left of an error is 2⁻⁸ of it where half of the object is hidden."""


class Sighting(NamedTuple):
    """The object in one frame."""

    view: View
    """Of a window of the image."""
    T_fixed_camera: transforms.Transform
    points: Float[np.ndarray, "P 3"]
    """One for each of its pixels, fixed frame, m."""
    pixel_area: float
    """Of one of those pixels on the object, mean, m²: a camera that comes nearer sees more of them."""
    open_border: float
    """Share of the rim around it that has depth: what hides part of it also covers part of its rim."""
    alone: bool
    """Whether nothing else stands in the window."""


class Match(NamedTuple):
    """Points seen before, laid over a sighting."""

    shift: Float[np.ndarray, "3"]
    """From where they were laid to where they fit, fixed frame, m."""
    in_sight: float
    """Share of them that nothing hides."""
    filled: float
    """Area seen for that of those: 1 = it is the same object."""


def sight(
    image: DepthImage,
    asked: Asked,
    rng: np.random.Generator,
    center: Float[np.ndarray, "3"],
    radius: float,
    expected: Float[np.ndarray, "P 3"] | None = None,
    way: Float[np.ndarray, "3"] | None = None,
    alone: bool = True,
) -> Sighting | str:
    """Look for an object in a window around a place; or say why none is seen there.

    Args:
        image: the whole frame.
        asked: only its mask counts.
        rng: of the plane fit.
        center: middle of the window, fixed frame.
        radius: of the window, m.
        expected: where its points should be, fixed frame; None = the object nearest to ``center``.
        way: how far it should have come since it was seen, fixed frame, m: it may have stopped anywhere on it.
        alone: whether it was the only object then. What covers no point of the way is another object, unless there
            was, and is, but one.
    """
    T_fixed_camera = fixed_frame(image)
    T_camera_fixed = transforms.inverse(T_fixed_camera)
    center_camera = transforms.apply(T_camera_fixed, center[None])
    window = window_px(image, center_camera[0], radius)
    if window is None:
        return "it left the image"
    u0, v0, width, height = window
    here = (slice(v0, v0 + height), slice(u0, u0 + width))
    if not image.valid[here].any():
        return "there is no depth around it"
    mask = as_request(asked).mask
    if mask is not None and not mask[here].any():
        return "the mask is empty around it"
    # a box: an object that a hand covers touches the border of what is seen, and is one all the same
    box = None if expected is None else (0, 0, width, height)
    request = replace(
        as_request(asked),
        mask=None if mask is None else mask[here],
        box_px=box,
        target_px=None,
        n_grasps=None,
    )
    view = look(image.crop(*window), request, rng)
    points = center_camera if expected is None else transforms.apply(T_camera_fixed, expected)
    back = np.zeros(3) if way is None else T_camera_fixed[:3, :3] @ way
    shares = WAY if back.any() else WAY[:1]
    k = view.image.intrinsics
    places = [k.project(points - share * back) for share in shares]
    among = np.inf if expected is None else float(alone)
    found, single = object_at(view, places, among)
    if found is None and view.refusal not in (None, NOTHING_THERE):
        return view.refusal
    if found is None:  # the box is the loop's own: nobody asked for it
        return "nothing stands on the table where it should be"
    seen = transforms.apply(T_fixed_camera, view.image.points_camera()[found])
    area = float(np.mean(view.image.depth[found].astype(float) ** 2)) / (k.fx * k.fy)
    border = open_border(view.image, found)
    return Sighting(view, T_fixed_camera, seen, area, border, single)


def match(points: Float[np.ndarray, "P 3"], pixel_area: float, sighting: Sighting) -> Match | None:
    """Shift points of the fixed frame onto what is seen of them; None where too little is in sight.

    Args:
        points: one for each pixel of an earlier sighting.
        pixel_area: of that sighting.
        sighting: today's.
    """
    T_camera_fixed = transforms.inverse(sighting.T_fixed_camera)
    seen = transforms.apply(T_camera_fixed, sighting.points).mean(0)
    start = shifted = transforms.apply(T_camera_fixed, points)
    in_sight = np.ones(len(points), bool)
    for _ in range(N_ROUNDS):
        nearer = shifted * (1.0 - BEHIND / shifted[:, 2:])  # along the pixels' rays
        in_sight = seen_free(sighting.view.image, nearer)
        if in_sight.sum() < MIN_POINTS:
            return None
        shifted = shifted + (seen - shifted[in_sight].mean(0))
    shift = sighting.T_fixed_camera[:3, :3] @ (shifted[0] - start[0])
    filled = len(sighting.points) * sighting.pixel_area / (int(in_sight.sum()) * pixel_area)
    return Match(shift, float(in_sight.mean()), filled)


def seen_past(image: DepthImage, points: Float[np.ndarray, "P 3"]) -> float:
    """Share of an object's points, fixed frame, behind which the camera sees something: there it is not.

    What is hidden, has no depth or lies outside the image may be there still.
    """
    points_camera = transforms.apply(transforms.inverse(fixed_frame(image)), points)
    ahead = points_camera[points_camera[:, 2] > 0.01]  # m
    farther = ahead * (1.0 + 2 * SEEN_TOLERANCE / ahead[:, 2:])
    return float(seen_free(image, farther).sum() / len(points))


def object_at(
    view: View, expected_px: Sequence[Float[np.ndarray, "P 2"]], among: float
) -> tuple[Bool[np.ndarray, "H W"] | None, bool]:
    """Pixels of the connected object that covers most of the expected ones, None if none does; and whether it is alone.

    Missing depth where the object is expected does not part it: a finger in front of it is in no picture of it.

    Args:
        view: the scene.
        expected_px: where its points should be, and where they may be instead: the first places that are covered.
        among: if none is, take the nearest to the first if it is one of no more than so many; 0 = never.
    """
    import cv2  # heavy: loaded with the first image

    seen = view.image.valid if view.objects is None else view.objects & view.image.valid
    if not seen.any():
        return None, True
    square = np.ones((5, 5), np.uint8)
    places = [_covered(px, seen.shape) for px in expected_px]
    # small holes and thin shadows cut objects in pieces: bridge gaps of four pixels
    joined = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, square)
    joined[places[0] & ~view.image.valid] = 1
    _, found = cv2.connectedComponents(joined, connectivity=8)
    labels = np.asarray(found, np.int64)
    n_large = int(np.count_nonzero(np.bincount(labels[seen]) >= MIN_POINTS))
    for there in places:
        votes = labels[there & seen]
        if len(votes):
            return seen & (labels == np.bincount(votes).argmax()), n_large <= 1
    if max(n_large, 1) > among:
        return None, n_large <= 1
    center = expected_px[0].mean(0)
    v, u = np.nonzero(seen)
    nearest = ((u - center[0]) ** 2 + (v - center[1]) ** 2).argmin()
    return seen & (labels == labels[v[nearest], u[nearest]]), n_large <= 1


def _covered(px: Float[np.ndarray, "P 2"], shape: tuple[int, ...]) -> Bool[np.ndarray, "H W"]:
    """Pixels on which points fall, gaps of four bridged."""
    import cv2

    height, width = shape
    inside = np.all((px > -0.5) & (px < np.array([width, height]) - 0.5), axis=-1)
    u, v = np.rint(px[inside]).astype(np.int64).T
    there = np.zeros(shape, np.uint8)
    there[v, u] = 1
    return cv2.morphologyEx(there, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0


def open_border(image: DepthImage, mask: Bool[np.ndarray, "H W"]) -> float:
    """Share of the rim around a mask that has depth; 1 where the mask fills the image."""
    import cv2

    square = np.ones((2 * BORDER_PX + 1, 2 * BORDER_PX + 1), np.uint8)
    rim = (cv2.dilate(mask.astype(np.uint8), square) > 0) & ~mask
    return float(image.valid[rim].mean()) if rim.any() else 1.0
