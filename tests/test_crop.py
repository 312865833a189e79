"""The one alignment, against a slow float64 reference, closed forms and what the original cropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.camera_files import load_camera, load_depth
from antipodal.crop import CropConfig, crop_grasps
from antipodal.errors import InvalidConfig
from antipodal.grasp import PlanarGrasp

CAMERA = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480)
V, U = np.mgrid[:480, :640].astype(float)


def grasps_at(center_px: object, angle: object, depth: float = 0.7) -> PlanarGrasp:
    center = np.asarray(center_px, float).reshape(-1, 2)
    n = len(center)
    return PlanarGrasp(center, np.broadcast_to(angle, (n,)), np.full(n, depth), np.full(n, 0.05))


def random_grasps(n: int, rng: np.random.Generator, margin: float = 80) -> PlanarGrasp:
    center = rng.uniform([margin, margin], [639 - margin, 479 - margin], (n, 2))
    return grasps_at(center, rng.uniform(-np.pi / 2, np.pi / 2, n))


def bumpy(rng: np.random.Generator) -> np.ndarray:
    return 0.7 + 0.05 * np.sin(U / 7) * np.cos(V / 5) + rng.normal(scale=0.01, size=U.shape)


def slow_crop(image: DepthImage, grasp: PlanarGrasp, window: float, size: int = 32) -> np.ndarray:
    """Pixel by pixel in float64: k × k bilinear samples, averaged over their valid part."""
    k = int(np.ceil(window / size - 1e-9))
    depth = np.array(image.depth, np.float64)
    out = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            total = weight = 0.0
            for i in range(k):
                for j in range(k):
                    x = ((column + (j + 0.5) / k) / size - 0.5) * window
                    y = ((row + (i + 0.5) / k) / size - 0.5) * window
                    u = grasp.center_px[0] + np.cos(grasp.angle) * x - np.sin(grasp.angle) * y
                    v = grasp.center_px[1] + np.sin(grasp.angle) * x + np.cos(grasp.angle) * y
                    u0, v0 = int(np.floor(u)), int(np.floor(v))
                    for du in (0, 1):
                        for dv in (0, 1):
                            share = abs(1 - du - (u - u0)) * abs(1 - dv - (v - v0))
                            inside = 0 <= u0 + du < 640 and 0 <= v0 + dv < 480
                            if inside and depth[v0 + dv, u0 + du] > 0:
                                total += share * depth[v0 + dv, u0 + du]
                                weight += share
            out[row, column] = total / weight if weight > 0.25 * k * k else 0.0
    return out


@pytest.mark.parametrize("window", [96.0, 32.0, 71.3])
def test_each_pixel_is_the_mean_of_bilinear_samples(
    window: float, rng: np.random.Generator
) -> None:
    image = DepthImage(bumpy(rng), CAMERA)
    grasps = random_grasps(2, rng)
    crops = crop_grasps(image, grasps, CropConfig(window_px=window))
    for crop, grasp in zip(crops, grasps, strict=True):
        # float32 sample positions of the fast one: 6e-5 px × 0.05 m per px of this noise
        assert np.abs(crop - slow_crop(image, grasp, window)).max() < 5e-6


def test_missing_depth_and_the_border_are_left_out_of_the_mean(rng: np.random.Generator) -> None:
    depth = bumpy(rng)
    depth[rng.random(depth.shape) < 0.4] = 0
    depth[100:160, 100:180] = 0
    image = DepthImage(depth, CAMERA)
    grasps = grasps_at([[20.3, 460.1], [130.2, 151.9], [630.0, 5.0]], [0.4, -1.1, 1.3])
    crops = crop_grasps(image, grasps)
    for crop, grasp in zip(crops, grasps, strict=True):
        expected = slow_crop(image, grasp, 96.0)
        # at exactly a quarter of valid footprint rounding decides: not more than a pixel in a crop
        assert ((crop == 0) != (expected == 0)).sum() <= 1
        both = (crop > 0) & (expected > 0)
        assert both.sum() > 300
        assert np.abs(crop - expected)[both].max() < 2e-6


@settings(max_examples=25, deadline=None)
@given(
    st.floats(100, 540),
    st.floats(100, 380),
    st.floats(-1.57, 1.57),
    st.floats(-5e-4, 5e-4),
    st.floats(-5e-4, 5e-4),
)
def test_a_tilted_plane_is_cropped_to_the_plane_turned_by_the_angle(
    u: float, v: float, angle: float, slope_u: float, slope_v: float
) -> None:
    image = DepthImage(0.7 + slope_u * (U - u) + slope_v * (V - v), CAMERA)
    crop = crop_grasps(image, grasps_at([u, v], angle))[0]
    row, column = np.mgrid[:32, :32] - 15.5  # the grasp is the crop's centre, at index 15.5
    along = 3 * (slope_u * np.cos(angle) + slope_v * np.sin(angle))  # per crop pixel: 96 / 32
    across = 3 * (-slope_u * np.sin(angle) + slope_v * np.cos(angle))
    assert np.abs(crop - (0.7 + along * column + across * row)).max() < 1e-6


def test_a_bar_across_the_jaws_stands_upright_in_the_crop_and_one_along_them_lies() -> None:
    angle = 0.6
    along = (U - 300) * np.cos(angle) + (V - 200) * np.sin(angle)  # px along the closing axis
    across = -(U - 300) * np.sin(angle) + (V - 200) * np.cos(angle)
    upright = DepthImage(np.where(np.abs(along) < 12, 0.66, 0.7), CAMERA)
    lying = DepthImage(np.where(np.abs(across) < 12, 0.66, 0.7), CAMERA)
    grasp = grasps_at([300, 200], angle)
    columns = crop_grasps(upright, grasp)[0]
    assert np.abs(columns - columns.mean(0)).max() < 0.02  # every row is the same but for stairs
    bar = columns.mean(0) < 0.68
    assert np.array_equal(np.flatnonzero(bar), np.arange(12, 20))  # 24 px = 8 crop px, centred
    rows = crop_grasps(lying, grasp)[0].mean(1) < 0.68
    assert np.array_equal(np.flatnonzero(rows), np.arange(12, 20))


def test_the_plus_x_jaw_is_on_the_crops_right() -> None:
    angle = 0.6
    along = (U - 300) * np.cos(angle) + (V - 200) * np.sin(angle)
    image = DepthImage(np.where(along > 0, 0.6, 0.7), CAMERA)
    crop = crop_grasps(image, grasps_at([300, 200], angle))[0]
    assert np.allclose(crop[:, 20:], 0.6)
    assert np.allclose(crop[:, :12], 0.7)


def test_swapping_the_jaws_flips_both_axes(rng: np.random.Generator) -> None:
    """PlanarGrasp folds the half turn; the image turned by half a turn about its centre shows it."""
    image = DepthImage(bumpy(rng), CAMERA)
    turned = DepthImage(image.depth[::-1, ::-1], CAMERA)
    grasps = random_grasps(8, rng)
    opposite = grasps_at([639, 479] - grasps.center_px, grasps.angle)
    assert np.allclose(
        crop_grasps(turned, opposite), crop_grasps(image, grasps)[:, ::-1, ::-1], atol=2e-6
    )


def test_a_window_that_falls_on_whole_pixels_is_copied_exactly(rng: np.random.Generator) -> None:
    image = DepthImage(bumpy(rng), CAMERA)
    window = image.depth[100:132, 200:232]
    grasp = grasps_at([215.5, 115.5], 0.0)
    assert np.array_equal(crop_grasps(image, grasp, CropConfig(window_px=32))[0], window)
    means = image.depth[100:196, 200:296].astype(float).reshape(32, 3, 32, 3).mean((1, 3))
    assert np.allclose(crop_grasps(image, grasps_at([247.5, 147.5], 0.0))[0], means, atol=1e-7)


def test_a_window_in_metres_is_the_papers_window_at_the_papers_camera(
    rng: np.random.Generator,
) -> None:
    image = DepthImage(bumpy(rng), CAMERA)
    metres = CropConfig(window_px=None, window_m=0.128)
    grasps = random_grasps(6, rng)
    assert np.abs(crop_grasps(image, grasps, metres) - crop_grasps(image, grasps)).max() < 1e-6


def test_a_window_in_metres_shows_the_same_at_any_distance() -> None:
    metres = CropConfig(window_px=None, window_m=0.128)
    crops = []
    for z in (0.5, 0.9):
        x = CAMERA.deproject(np.stack([U, V], -1), z)
        bar = np.abs(x[..., 0]) < 0.016
        image = DepthImage(np.where(bar, z - 0.01, z), CAMERA)
        crops.append(crop_grasps(image, grasps_at([319.5, 239.5], 0.0, z), metres)[0] - z)
    assert (np.abs(crops[0][:, 12:20] + 0.01) < 1e-6).all()  # 3.2 cm of 12.8 are 8 of 32
    assert np.abs(crops[0] - crops[1]).max() < 0.006  # the bar's rim alone


@pytest.mark.parametrize("fy", [520.0, 394.0, 700.0])
def test_a_crop_is_the_same_where_pixels_are_not_square(fy: float) -> None:
    """The same scene on another grid of rays: the angle is the camera frame's, not the image's."""
    size = CropConfig(window_px=None, window_m=0.128)
    crops = []
    for camera in (CAMERA, CameraIntrinsics(525.0, fy, 319.5, 239.5, 640, 480)):
        x, y = camera.deproject(np.stack([U, V], -1), 1.0)[..., :2].transpose(2, 0, 1)
        depth = 0.7 + 0.03 * np.sin(25 * x + 8 * y) * np.cos(20 * y)
        point = np.array([[0.03, -0.02, 0.7], [-0.04, 0.05, 0.7]])
        grasps = grasps_at(camera.project(point), [0.6, -1.2])
        crops.append(crop_grasps(DepthImage(depth, camera), grasps, size))
    assert np.abs(crops[1] - crops[0]).max() < 2e-4
    turned = np.abs(crops[0][0] - crops[0][1]).max()
    assert turned > 0.01  # what a wrong angle would look like


def test_a_crop_does_not_depend_on_the_other_grasps_of_the_batch(rng: np.random.Generator) -> None:
    image = DepthImage(bumpy(rng), CAMERA)
    n = 6
    grasps = PlanarGrasp(
        rng.uniform(150, 300, (n, 2)),
        rng.uniform(-1, 1, n),
        np.linspace(0.2, 1.0, n),
        np.full(n, 0.05),
    )
    for config in (CropConfig(), CropConfig(window_px=None, window_m=0.128)):
        together = crop_grasps(image, grasps, config)
        alone = np.concatenate([crop_grasps(image, grasps[[i]], config) for i in range(n)])
        assert np.array_equal(together, alone)


def test_outside_the_image_everything_is_missing() -> None:
    image = DepthImage(np.full((480, 640), 0.7), CAMERA)
    crops = crop_grasps(image, grasps_at([[-200, 100], [0, 239.5], [900, 900]], 0.0))
    assert (crops[[0, 2]] == 0).all()
    assert np.allclose(crops[1][:, 16:], 0.7)
    assert (crops[1][:, :15] == 0).all()


def test_a_pixel_half_outside_the_image_is_its_half_inside() -> None:
    image = DepthImage(np.full((480, 640), 0.7), CAMERA)
    crops = crop_grasps(
        image, grasps_at([[0, 239.5], [20.3, 460.1], [630.0, 5.0]], [0.0, 0.4, 1.3])
    )
    assert np.abs(crops[crops > 0] - 0.7).max() < 1e-6
    assert 0.2 < (crops == 0).mean() < 0.8


def test_no_grasps_give_no_crops_and_the_size_is_the_configs() -> None:
    image = DepthImage(np.full((480, 640), 0.7), CAMERA)
    assert crop_grasps(image, grasps_at(np.empty((0, 2)), 0.0)).shape == (0, 32, 32)
    crops = crop_grasps(image, grasps_at([300, 200], 0.0), CropConfig(size=96))
    assert crops.shape == (1, 96, 96)
    assert crops.dtype == np.float32


@pytest.mark.parametrize(
    "fields",
    [{"window_m": 0.1}, {"window_px": None}, {"window_px": -1.0}, {"size": 2}],
)
def test_a_window_is_given_once_and_positive(fields: dict[str, float | None]) -> None:
    with pytest.raises(InvalidConfig, match="expected"):
        CropConfig(**fields)  # type: ignore[arg-type]


def in_their_direction(
    image: DepthImage, center: np.ndarray, angle: np.ndarray, along_crop: float, along_image: float
) -> np.ndarray:
    """Our crops, moved by pixels along the crop's and the image's axes, for angles of a whole turn."""
    c, s = np.cos(angle) * along_crop, np.sin(angle) * along_crop
    grasps = grasps_at(center + np.stack([c - s, s + c], -1) + along_image, angle)
    crops = crop_grasps(image, grasps)
    swapped = np.round((angle - grasps.angle) / np.pi).astype(int) % 2 == 1
    crops[swapped] = crops[swapped][:, ::-1, ::-1]
    return crops


def errors(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    both = (ours > 0) & (theirs > 0)
    return np.abs(ours - theirs)[both]


def real_images(shared: Path) -> list[DepthImage]:
    folder = shared / "data/depth/gqcnn_primesense_single"
    return [load_depth(folder / f"depth_{i}.npy", folder / "camera.json") for i in range(5)]


def test_crops_agree_with_the_originals_at_generation(shared: Path) -> None:
    """Theirs puts the grasp at index 48 of 96, half a source pixel off the middle; else they agree.

    What remains is their nearest-neighbour rotation, at the objects' edges.
    """
    record = np.load(shared / "parity/policy/datagen_transform_2018.npz")
    centred, shifted = [], []
    for i, image in enumerate(real_images(shared)):
        center, angle = record[f"im{i}_center_xy"].astype(float), record[f"im{i}_angle"]
        theirs = record[f"im{i}_tensors_2018"][..., 0]
        centred.append(errors(in_their_direction(image, center, angle, 0, 0), theirs))
        shifted.append(errors(in_their_direction(image, center, angle, -0.5, 0), theirs))
    before, after = np.concatenate(centred), np.concatenate(shifted)
    assert before.mean() < 0.4e-3  # measured 0.34 mm, maximum 11.5 mm
    assert before.max() < 13e-3
    assert after.mean() < 0.13e-3  # measured 0.113 mm: the half pixel explains two thirds
    assert np.median(after) < 0.05e-3


def test_crops_agree_with_the_originals_at_planning(shared: Path) -> None:
    """Theirs shrinks the whole image first, without half-pixel centres, and rotates by nearest neighbour.

    Shrinking puts image index p at 3p + 1, the crop puts the grasp at index 16 and not 15.5: together 1 px along the
    image's axes and −1.5 px along the crop's. The rest is interpolation at depth edges of 4 cm.
    """
    record = np.load(shared / "parity/policy/transforms20.npz")
    images = real_images(shared)
    centred, shifted = [], []
    for k in range(20):
        image, theirs = images[int(record["image_index"][k])], record["tensors"][[k], ..., 0]
        where = record["center_xy"][[k]], record["angle"][[k]]
        centred.append(errors(in_their_direction(image, *where, 0, 0), theirs))
        shifted.append(errors(in_their_direction(image, *where, -1.5, 1), theirs))
    before, after = np.concatenate(centred), np.concatenate(shifted)
    assert before.mean() < 1.8e-3  # measured 1.64 mm, median 0.69 mm, maximum 40 mm
    assert np.median(before) < 0.8e-3
    assert before.max() < 45e-3
    assert after.mean() < 0.9e-3  # measured 0.80 mm, median 0.35 mm
    assert np.median(after) < 0.4e-3


def test_the_published_camera_gives_the_papers_window(shared: Path) -> None:
    camera = load_camera(shared / "data/depth/gqcnn_primesense_single/camera.json").intrinsics
    assert np.isclose(96 / camera.fx * 0.7, 0.128)
