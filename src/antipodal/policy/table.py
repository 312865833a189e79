"""The table in a depth image, and what stands on it.

With the camera's pose known the normal is world z and only the height is fitted (the world's z = 0 need not be the
table); otherwise the plane is found by RANSAC [Fischler81] and refined by least squares; where another lies well above
it, that one is the table and this the floor. Frame: camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from ..camera import DepthImage
from ..values import POSITIVE, array, expect
from .base import OPTICAL_AXIS
from .rays import Window, along


@dataclass(frozen=True)
class TableConfig:
    """How a plane becomes the table, and what becomes an object on it."""

    tolerance: float = 0.006
    """A pixel belongs to the plane if it is nearer than this, m; a few times the sensor's noise."""
    min_share: float = 0.15
    """Share of valid pixels outside the mask that the plane must hold, in (0, 1]; ``CHANCE`` more without a pose."""
    max_tilt: float = np.deg2rad(75.0)
    """Largest angle between the fitted normal and the optical axis, rad."""
    n_hypotheses: int = 300
    """RANSAC draws."""
    n_points: int = 1000
    """Pixels that vote on each draw: a share is known to 1.6 %, and the best few are counted on all pixels."""
    min_height: float = 0.005
    """What rises above the table by more than this is an object, m."""
    min_area: float = 1e-4
    """Smallest object, m² of surface facing the camera."""
    noise_area: float = 4e-4
    """What is smaller than this, …"""
    noise_pixels: int = 225
    """… or than so many pixels, must stand out from the table's noise, …"""
    noise_rise: float = 1.5
    """… its mean height above ``min_height`` by so many standard deviations of the table's own heights."""

    def __post_init__(self) -> None:
        expect(
            self,
            "table",
            POSITIVE,
            "tolerance",
            "min_share",
            "n_hypotheses",
            "n_points",
            "min_height",
        )


FEW = 0.3
"""Where the best of the draws has fewer of the votes, four times as many are drawn."""
CHANCE = 0.02
"""Without a pose the plane must hold so much more than ``min_share``: the best of a thousand planes through anything
does; through one full bin several hold 15 to 16 %, and which is found is chance."""
DEFAULT_TABLE = TableConfig()
"""Tolerances for a depth camera at 0.5–1 m."""


@dataclass(frozen=True, eq=False)
class TablePlane:
    """The plane {p : normal_camera · p + offset = 0}."""

    normal_camera: Float[np.ndarray, "3"]
    """Unit, towards the camera."""
    offset: float
    """Height of the camera above the table, m."""

    def __post_init__(self) -> None:
        normal = array(self.normal_camera, (3,), "table normal")
        object.__setattr__(self, "normal_camera", array(normal / np.linalg.norm(normal), (3,), ""))

    def height(self, points_camera: ArrayLike) -> Float[np.ndarray, "*batch"]:
        """Height of points (…, 3) above the table, m; negative below it."""
        return np.asarray(points_camera, float) @ self.normal_camera + self.offset

    @property
    def tilt(self) -> float:
        """Angle between the normal and the optical axis, rad; 0 for a camera that looks straight down."""
        return float(np.arccos(np.clip(-self.normal_camera[2], -1.0, 1.0)))


def fit_table(
    image: DepthImage,
    mask: Bool[np.ndarray, "H W"] | None,
    rng: np.random.Generator,
    config: TableConfig = DEFAULT_TABLE,
) -> TablePlane | None:
    """Find the table: the plane that holds the most valid pixels outside the mask, or that stands above such a floor.

    Args:
        image: the depth image; its ``T_world_camera``, if known, gives the normal.
        mask: pixels that are not the table (the object), or None.
        rng: random state of the RANSAC draws.
        config: tolerances.

    Returns:
        The plane, or None where no plane holds enough pixels.
    """
    grid, usable = _sample(image, mask)
    if np.count_nonzero(usable) < 50:
        return None
    normal, least = image.table_normal_camera(), config.min_share
    if normal is not None:
        distance = along(image, normal, grid, float)[usable]
        plane = TablePlane(normal, -_commonest(distance, config.tolerance))
        height = distance + plane.offset
    else:
        points = _points(image, grid, usable)
        plane = _largest(points, rng, config, OPTICAL_AXIS, config.max_tilt)
        if plane is None:
            return None
        least += CHANCE
        plane = _uppermost(image, points, plane, rng, replace(config, min_share=least))
        plane = _refine(points, plane, config.tolerance)
        height = plane.height(points)
    inside = np.abs(height) < config.tolerance
    if inside.mean() < least or plane.offset <= 0 or plane.tilt > config.max_tilt:
        return None
    return plane


def share_on(
    image: DepthImage,
    mask: Bool[np.ndarray, "H W"] | None,
    plane: TablePlane,
    config: TableConfig = DEFAULT_TABLE,
) -> float:
    """Share of the valid pixels outside the mask that a plane holds; 0 where there is no such pixel."""
    grid, usable = _sample(image, mask)
    height = along(image, plane.normal_camera, grid, float)[usable] + plane.offset
    return float(np.mean(np.abs(height) < config.tolerance)) if len(height) else 0.0


N_FITTED = 20_000
"""The plane is fitted to a grid of at least so many pixels: at 5 mm of noise its height is known to 0.04 mm."""
FEW_FITTED = 2000
"""Where the grid hits fewer usable pixels than this, all are taken."""


def _sample(
    image: DepthImage, mask: Bool[np.ndarray, "H W"] | None
) -> tuple[Window, Bool[np.ndarray, "h w"]]:
    """Choose a grid of pixels, evenly over the image, and those of them outside the mask that have depth."""
    height, width = image.depth.shape
    step = max(int(np.sqrt(height * width / N_FITTED)), 1)
    for every in (step, 1):
        grid = np.s_[::every, ::every]
        usable = image.valid[grid] if mask is None else image.valid[grid] & ~mask[grid]
        if np.count_nonzero(usable) >= FEW_FITTED:
            break
    return grid, usable


def _points(
    image: DepthImage, grid: Window, usable: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "n 3"]:
    """Points of a grid's usable pixels in the camera frame, m."""
    v, u = np.nonzero(usable)
    px = np.stack([u, v], -1) * grid[0].step
    return image.intrinsics.deproject(px, image.depth[grid][usable])


def raised(
    image: DepthImage, table: TablePlane, config: TableConfig = DEFAULT_TABLE
) -> Bool[np.ndarray, "H W"]:
    """Segment everything that rises above the table and is of some area, the scene's walls and arms too."""
    height = _height(image, table)
    return _large(image, height, _above(image, height, config), config)


def objects_on(
    image: DepthImage,
    table: TablePlane,
    config: TableConfig = DEFAULT_TABLE,
) -> Bool[np.ndarray, "H W"]:
    """Segment what stands on the table: connected, of some area, and wholly in view.

    A component that touches the border of what is seen (the robot's arm, a wall, the rim of a bin) is no object,
    unless nothing else is there. Where walls surround the table on all sides it is a bin's floor, and what stands
    within the floor's outline is taken, though the pile may touch a wall.
    """
    height, outside = _height(image, table), _unseen_outside(image)
    above = _above(image, height, config)
    floor = walled_floor(image, height, outside, config)
    if floor is not None:
        return _large(image, height, above & floor, config)
    return _large(image, height, above, config, outside)


def walled_floor(
    image: DepthImage,
    height: Float[np.ndarray, "H W"],
    outside: Bool[np.ndarray, "H W"],
    config: TableConfig = DEFAULT_TABLE,
) -> Bool[np.ndarray, "H W"] | None:
    """Outline of a bin's floor: the convex hull of the table's largest patches, or None for an open table.

    The table is a floor if almost none of its pixels meet the border of what is seen, and nearly everything around its
    hull rises above it.
    """
    import cv2

    flat = (image.valid & (np.abs(height) < config.min_height)).view(np.uint8)
    flat = cv2.morphologyEx(flat, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    n_open = np.count_nonzero(np.asarray(flat).view(bool) & outside)
    if not flat.any() or n_open > MAX_OPEN_RIM * np.count_nonzero(outside):
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    area = np.array(stats[:, cv2.CC_STAT_AREA])
    area[0] = 0
    # patches much smaller than the largest are stray spots on the walls, or tops of objects
    patch = (area >= area.max() / 20)[labels]
    contour = cv2.convexHull(cv2.findNonZero(patch.astype(np.uint8)))
    hull = cv2.fillConvexPoly(np.zeros(patch.shape, np.uint8), contour, 1)
    distance = float(image.depth[patch].mean(dtype=float))
    width = max(round(WALL / distance * image.intrinsics.fx), 1)
    ring = cv2.dilate(hull, np.ones((2 * width + 1, 2 * width + 1), np.uint8)) - hull
    around = image.valid & (ring > 0)
    if around.sum() == 0 or (height[around] > config.min_height).mean() < MIN_WALLED:
        return None
    return hull > 0


MAX_OPEN_RIM = 0.02
"""A table meets the border of what is seen along more than this share of it; a bin's floor does not."""
MIN_WALLED = 0.8
"""Share of what is seen around a floor that must rise above it."""
WALL = 0.02
"""How far around the floor walls are looked for, m."""


def _height(image: DepthImage, table: TablePlane) -> Float[np.ndarray, "H W"]:
    """Height of every pixel's point above the table, float32 m; that of the camera where depth is missing."""
    distance = along(image, table.normal_camera)
    return np.add(distance, np.float32(table.offset), out=distance)


def _above(
    image: DepthImage, height: Float[np.ndarray, "H W"], config: TableConfig
) -> Bool[np.ndarray, "H W"]:
    """Pixels above the table, without specks and threads."""
    import cv2  # heavy: loaded with the first image

    above = image.valid & (height > config.min_height)
    opened = cv2.morphologyEx(above.view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened).view(bool)


def _large(
    image: DepthImage,
    height: Float[np.ndarray, "H W"],
    above: Bool[np.ndarray, "H W"],
    config: TableConfig,
    outside: Bool[np.ndarray, "H W"] | None = None,
) -> Bool[np.ndarray, "H W"]:
    """Keep the connected components that are objects; if any is, only those that do not reach ``outside``."""
    import cv2

    n, labels = cv2.connectedComponents(above.view(np.uint8), connectivity=4)
    pixels = np.flatnonzero(above)
    label = np.asarray(labels).ravel()[pixels].astype(np.int64)
    depth = image.depth.ravel()[pixels].astype(float)
    pixel_area = depth**2 / (image.intrinsics.fx * image.intrinsics.fy)
    area = np.bincount(label, pixel_area, n)
    count = np.bincount(label, minlength=n)
    mean = np.bincount(label, height.ravel()[pixels], n) / np.maximum(count, 1)
    some = height[::4, ::4]
    flat = some[image.valid[::4, ::4] & (np.abs(some) < config.tolerance)]
    noise = float(np.sqrt(np.mean(flat.astype(float) ** 2))) if len(flat) else 0.0
    outstanding = mean >= config.min_height + config.noise_rise * noise
    wide = (area >= config.noise_area) & (count >= config.noise_pixels)
    large = (area >= config.min_area) & (outstanding | wide)
    if outside is not None:
        whole = large.copy()
        whole[label[outside.ravel()[pixels]]] = False
        large = whole if whole.any() else large
    found = np.zeros(above.shape, bool)
    found.ravel()[pixels] = large[label]
    return found


def _unseen_outside(image: DepthImage) -> Bool[np.ndarray, "H W"]:
    """The image's outermost pixels, the missing ones that are connected to them, and two pixels more."""
    import cv2

    outside = (~image.valid).view(np.uint8)
    outside[[0, -1]] = outside[:, [0, -1]] = 1
    cv2.floodFill(outside, None, (0, 0), 2, flags=4)
    return cv2.dilate((outside == 2).view(np.uint8), np.ones((5, 5), np.uint8)).view(bool)


def _commonest(values: Float[np.ndarray, "n"], tolerance: float) -> float:
    """Mode of a sample: the densest window of ± tolerance, refined to the mean within it."""
    low = values.min()
    step = tolerance / 3
    counts = np.bincount(((values - low) / step).astype(np.int64).clip(max=200_000))
    # a triangle, not a box: on exact data a box has a plateau, whose first bin may lie off by its half
    density = np.convolve(counts, [1.0, 2.0, 3.0, 2.0, 1.0], "same")
    mode = low + (float(density.argmax()) + 0.5) * step
    for _ in range(3):
        near = values[np.abs(values - mode) < tolerance]
        if len(near) == 0:
            break
        mode = float(near.mean())
    return mode


def _uppermost(
    image: DepthImage,
    points: Float[np.ndarray, "n 3"],
    plane: TablePlane,
    rng: np.random.Generator,
    config: TableConfig,
) -> TablePlane:
    """Climb from a floor to the table on it: robots grasp from the plane that is nearest to the camera.

    A plane of ``min_share`` that is nearly parallel, and higher by more than an object is, is a table; unless the lower
    one is walled on all sides: then it is a deep bin's floor.
    """
    while True:
        height = plane.height(points)
        above = points[(height > MIN_STOREY) & (height < plane.offset)]  # and below the camera
        if len(above) < max(config.min_share * len(points), 3):
            return plane
        upper = _largest(above, rng, config, -plane.normal_camera, MAX_SKEW)
        if upper is None or _share(points, upper, config) < config.min_share:
            return plane
        if walled_floor(image, _height(image, plane), _unseen_outside(image), config) is not None:
            return plane
        plane = upper


MIN_STOREY = 0.3
"""A plane so far above another is no lid of a box that stands on it, m: no hand holds what is taller."""
MAX_SKEW = float(np.deg2rad(5.0))
"""A floor and a table on it are parallel to this, rad; three noisy pixels of a table show it to 1 or 2°."""
RIVAL = 0.5
"""What has so many of the best draw's votes may hold more pixels: a draw through noise may miss half of its plane."""
N_RIVALS = 3
"""Most planes that are counted on all the pixels."""


def _largest(
    points: Float[np.ndarray, "n 3"],
    rng: np.random.Generator,
    config: TableConfig,
    axis: Float[np.ndarray, "3"],
    max_angle: float,
) -> TablePlane | None:
    """Find the plane that holds the most points, of those whose normal is within an angle of minus an axis."""
    voters = points[rng.integers(len(points), size=min(config.n_points, len(points)))]
    few, share = _drawn(voters, rng, config, config.n_hypotheses, axis, max_angle)
    if share < FEW:  # three pixels of it are rarely drawn together
        more, larger = _drawn(voters, rng, config, 4 * config.n_hypotheses, axis, max_angle)
        few = more if larger > share else few
    few = [_refine(voters, plane, config.tolerance) for plane in few]
    return max(few, key=lambda plane: _share(points, plane, config), default=None)


def _drawn(
    voters: Float[np.ndarray, "n 3"],
    rng: np.random.Generator,
    config: TableConfig,
    n: int,
    axis: Float[np.ndarray, "3"],
    max_angle: float,
) -> tuple[list[TablePlane], float]:
    """Draw planes through three voters; return the few unlike ones that most agree with, and the share of the first."""
    corners = voters[rng.integers(len(voters), size=(n, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=-1)
    keep = length > 1e-9
    normals, anchor = normals[keep] / length[keep, None], corners[keep, 0]
    normals = np.where(normals[:, 2:] > 0, -normals, normals)
    keep = normals @ axis <= -np.cos(max_angle)
    normals, anchor = normals[keep], anchor[keep]
    if len(normals) == 0:
        return [], 0.0
    offsets = -np.einsum("ij,ij->i", normals, anchor)
    agrees = np.abs(voters @ normals.T + offsets) < config.tolerance
    votes = agrees.sum(0)
    best = [int(votes.argmax())]
    most, free = int(votes[best[0]]), ~agrees[:, best[0]]
    while len(best) < N_RIVALS and np.count_nonzero(free) >= RIVAL * most:
        others = agrees[free].sum(0)
        rival = int(others.argmax())
        if others[rival] < RIVAL * most:
            break
        best.append(rival)
        free &= ~agrees[:, rival]
    return [TablePlane(normals[i], float(offsets[i])) for i in best], most / len(voters)


def _share(points: Float[np.ndarray, "n 3"], plane: TablePlane, config: TableConfig) -> float:
    return float(np.mean(np.abs(plane.height(points)) < config.tolerance))


def _refine(points: Float[np.ndarray, "n 3"], plane: TablePlane, tolerance: float) -> TablePlane:
    """Refit by total least squares to the plane's own pixels, until they stay the same."""
    normal, offset, before = plane.normal_camera, plane.offset, None
    for _ in range(MAX_REFITS):
        near = np.abs(points @ normal + offset) < tolerance
        if np.count_nonzero(near) < 3 or (before is not None and np.array_equal(near, before)):
            break
        inliers, before = np.compress(near, points, axis=0), near
        center = np.ones(len(inliers)) @ inliers / len(inliers)  # a mean along rows is slower
        spread = (inliers - center).T @ (inliers - center)
        normal = np.linalg.eigh(spread)[1][:, 0]
        normal = -normal if normal[2] > 0 else normal
        offset = -float(normal @ center)
    return TablePlane(normal, offset)


MAX_REFITS = 20
"""Of a plane; noise of 2 mm needs 5 or so."""
