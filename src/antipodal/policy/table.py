"""The table in a depth image, and what stands on it.

With the camera's pose known the normal is world z and only the height is fitted (the world's z = 0 need not be the
table); otherwise the plane is found by RANSAC [Fischler81] and refined by least squares. Frame: camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from ..camera import DepthImage
from ..values import POSITIVE, array, expect
from .rays import Window, along


@dataclass(frozen=True)
class TableConfig:
    """How a plane becomes the table, and what becomes an object on it."""

    tolerance: float = 0.006
    """A pixel belongs to the plane if it is nearer than this, m; a few times the sensor's noise."""
    min_share: float = 0.15
    """Share of the valid pixels (outside the mask) that the plane must hold, in (0, 1]."""
    max_tilt: float = np.deg2rad(75.0)
    """Largest angle between the fitted normal and the optical axis, rad."""
    n_hypotheses: int = 300
    """RANSAC draws."""
    n_points: int = 1000
    """Pixels that vote on each draw: a share is known to 1.6 %, and the plane is refitted to all."""
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
    """Find the table: the plane that holds the most valid pixels outside the mask.

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
    normal = image.table_normal_camera()
    if normal is not None:
        distance = along(image, normal, grid, float)[usable]
        plane = TablePlane(normal, -_commonest(distance, config.tolerance))
        height = distance + plane.offset
    else:
        points = _points(image, grid, usable)
        voters = points[rng.integers(len(points), size=min(config.n_points, len(points)))]
        hypothesis = _ransac(voters, rng, config)
        if hypothesis is None:
            return None
        plane = _refine(points, hypothesis, config.tolerance)
        height = plane.height(points)
    inside = np.abs(height) < config.tolerance
    if inside.mean() < config.min_share or plane.offset <= 0 or plane.tilt > config.max_tilt:
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


def _ransac(
    voters: Float[np.ndarray, "n 3"], rng: np.random.Generator, config: TableConfig
) -> TablePlane | None:
    """Take the plane through three voters that most of them agree with; among those not too steep."""
    plane, share = _drawn(voters, rng, config, config.n_hypotheses)
    if share < FEW:  # three pixels of it are rarely drawn together
        other, larger = _drawn(voters, rng, config, 4 * config.n_hypotheses)
        plane = other if larger > share else plane
    return plane


def _drawn(
    voters: Float[np.ndarray, "n 3"], rng: np.random.Generator, config: TableConfig, n: int
) -> tuple[TablePlane | None, float]:
    """Do so with n draws; and the share that agrees."""
    corners = voters[rng.integers(len(voters), size=(n, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=-1)
    keep = length > 1e-9
    normals, anchor = normals[keep] / length[keep, None], corners[keep, 0]
    normals = np.where(normals[:, 2:] > 0, -normals, normals)
    keep = -normals[:, 2] >= np.cos(config.max_tilt)
    normals, anchor = normals[keep], anchor[keep]
    if len(normals) == 0:
        return None, 0.0
    offsets = -np.einsum("ij,ij->i", normals, anchor)
    votes = (np.abs(voters @ normals.T + offsets) < config.tolerance).sum(0)
    best = int(votes.argmax())
    return TablePlane(normals[best], float(offsets[best])), float(votes[best] / len(voters))


def _refine(points: Float[np.ndarray, "n 3"], plane: TablePlane, tolerance: float) -> TablePlane:
    """Refit by total least squares to the plane's own pixels, three times."""
    for _ in range(3):
        inliers = points[np.abs(plane.height(points)) < tolerance]
        if len(inliers) < 3:
            break
        center = inliers.mean(0)
        spread = np.einsum("ni,nj->ij", inliers - center, inliers - center)
        normal = np.linalg.eigh(spread)[1][:, 0]
        normal = -normal if normal[2] > 0 else normal
        plane = TablePlane(normal, -float(normal @ center))
    return plane
