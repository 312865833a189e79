"""Cameras and depth images from the files that users have; what a wrong file is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.camera_files import (
    Camera,
    camera_names,
    load_camera,
    load_depth,
    load_mask,
    save_depth,
)
from antipodal.errors import InvalidConfig, InvalidImage, UnknownAsset

SMALL = CameraIntrinsics(50.0, 51.0, 3.5, 2.5, 8, 6)
FIELDS = SMALL.to_json()


def ramp() -> np.ndarray:
    """0.5 m to 0.547 m in whole millimetres."""
    return 0.5 + np.arange(48).reshape(6, 8) * 1e-3


def write_json(path: Path, values: object) -> Path:
    path.write_text(json.dumps(values))
    return path


# --- cameras ----------------------------------------------------------------------------------


def test_the_presets_of_the_manual_are_there_and_the_primesense_is_the_papers() -> None:
    names = {"primesense", "realsense_d405", "realsense_d415", "realsense_d435", "azure_kinect"}
    assert names | {"phoxi"} <= set(camera_names())
    assert load_camera("primesense").intrinsics == CameraIntrinsics(
        525, 525, 319.5, 239.5, 640, 480
    )
    assert load_camera("phoxi").intrinsics.fx == 552.5  # reference §5.2


@pytest.mark.parametrize("name", camera_names())
def test_every_preset_loads_and_looks_forward(name: str) -> None:
    camera = load_camera(name)
    K = camera.intrinsics
    assert camera.name == name
    assert abs(K.cx - (K.width - 1) / 2) < 0.1 * K.width
    assert abs(K.cy - (K.height - 1) / 2) < 0.1 * K.height
    field_of_view = 2 * np.degrees(np.arctan(K.width / 2 / K.fx))
    assert 40 < field_of_view < 100


def test_an_unknown_camera_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        UnknownAsset, match=r"unknown camera 'kinect9': expected one of .*primesense"
    ):
        load_camera("kinect9")


def test_json_toml_and_berkeleys_intr_say_the_same(tmp_path: Path) -> None:
    berkeley = {f"_{k}": v for k, v in FIELDS.items()} | {"_skew": 0.0, "_K": 0, "_frame": "camera"}
    toml = "\n".join(f"{k} = {v}" for k, v in FIELDS.items())
    (tmp_path / "camera.toml").write_text(toml + "\ndepth_unit = 0.001\n")
    files = [
        write_json(tmp_path / "camera.json", FIELDS),
        write_json(tmp_path / "nested.json", {"intrinsics": FIELDS}),
        write_json(tmp_path / "camera.intr", berkeley),
        tmp_path / "camera.toml",
    ]
    for file in files:
        assert load_camera(file).intrinsics == SMALL
    assert load_camera(files[0]).depth_unit is None
    assert load_camera(files[3]).depth_unit == 0.001


def test_a_camera_matrix_takes_its_size_from_the_image(tmp_path: Path) -> None:
    K = SMALL.K.tolist()
    for values in (
        {"K": K},
        {"intrinsics": K},
        {"intrinsics": {"K": K}},
        {"K": K, "width": 8, "height": 6},
    ):
        file = write_json(tmp_path / "K.json", values)
        assert load_camera(file, (6, 8)).intrinsics == SMALL
    with pytest.raises(InvalidConfig, match="lacks width, height"):
        load_camera(write_json(tmp_path / "K.json", {"K": K}))


def test_one_of_several_cameras_is_named_after_a_hash(tmp_path: Path) -> None:
    right = np.diag([2.0, 2.0, 1.0]) @ SMALL.K
    two = {"intrinsics": {"left": SMALL.K.tolist(), "right": right.tolist()}}
    file = write_json(tmp_path / "two.json", two)
    assert load_camera(f"{file}#right", (6, 8)).intrinsics.fx == 100.0
    for wrong in (str(file), f"{file}#middle"):
        with pytest.raises(InvalidConfig, match=r"choose one as two\.json#left, #right"):
            load_camera(wrong, (6, 8))
    with pytest.raises(InvalidConfig, match="holds one camera: drop '#left'"):
        load_camera(f"{write_json(tmp_path / 'one.json', FIELDS)}#left")


def test_poses_are_ours_or_autolabs_and_must_be_rigid(tmp_path: Path) -> None:
    T = transforms.look_at([0.2, 0.1, 0.7], [0, 0, 0])
    ours = write_json(tmp_path / "ours.json", FIELDS | {"T_world_camera": T.tolist()})
    theirs = {"rotation": T[:3, :3].tolist(), "translation_m": T[:3, 3].tolist()}
    autolab = write_json(tmp_path / "autolab.json", FIELDS | {"T_camera_to_world": theirs})
    for file in (ours, autolab):
        camera = load_camera(file)
        assert camera.T_world_camera is not None
        assert np.allclose(camera.T_world_camera, T, atol=1e-15)
    T_mm = np.array(T)
    T_mm[:3, 3] *= 1000
    far = write_json(tmp_path / "far.json", FIELDS | {"T_world_camera": T_mm.tolist()})
    with pytest.raises(
        InvalidConfig, match=r"far\.json: T_world_camera is .* m from .* millimetres"
    ):
        load_camera(far)
    bad = write_json(tmp_path / "bad.json", FIELDS | {"T_world_camera": (2 * T).tolist()})
    with pytest.raises(InvalidConfig, match=r"bad\.json: T_world_camera is not a rigid transform"):
        load_camera(bad)
    half = write_json(tmp_path / "half.json", FIELDS | {"T_camera_to_world": {"rotation": 1}})
    with pytest.raises(InvalidConfig, match="expected rotation and translation_m"):
        load_camera(half)


@pytest.mark.parametrize(
    ("units", "metres"),
    [
        ("uint16 PNG, 1e-4 m, 0 = invalid", 1e-4),
        ("uint16, 0.001 m per count", 1e-3),
        ("uint16 millimetres", 1e-3),
        ("float32 metres, 0 = invalid", None),
        ("", None),
    ],
)
def test_units_in_prose_are_read(units: str, metres: float | None, tmp_path: Path) -> None:
    file = write_json(tmp_path / "camera.json", FIELDS | {"units": units})
    assert load_camera(file).depth_unit == metres


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "not readable as .json"),
        ("[1, 2]", "expected an object with fx, fy, cx, cy, width, height, got a list"),
        ("{}", "lacks fx, fy, cx, cy, width, height"),
        (json.dumps({**FIELDS, "fx": "wide"}), "camera fx is 'wide'"),
        (json.dumps({**FIELDS, "fx": -1}), "expected pixels in [1, 1000000]"),
        (json.dumps({**FIELDS, "width": 0}), "camera width is 0"),
        (json.dumps({**FIELDS, "skew": 0.2}), "has skew 0.2: expected 0; rectify"),
        (json.dumps({**FIELDS, "depth_unit": 1000}), "depth_unit 1000: expected metres per count"),
        (json.dumps({**FIELDS, "depth_unit": "mm"}), "depth_unit 'mm': expected metres per count"),
        (json.dumps({"intrinsics": 7}), "expected fx, fy, cx, cy, width, height or a 3×3 K"),
    ],
)
def test_a_wrong_camera_file_is_told_what_is_wrong(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "camera.json").write_text(content)
    with pytest.raises(InvalidConfig, match=re.escape(message)):
        load_camera(tmp_path / "camera.json")


# --- depth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_16_bit_images_take_their_unit_from_the_caller_or_the_camera(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"depth{suffix}"
    cv2.imwrite(str(path), np.round(ramp() * 1e3).astype(np.uint16))
    for image in (
        load_depth(path, SMALL, unit=0.001),
        load_depth(path, Camera("", SMALL, depth_unit=0.001)),
        load_depth(path, write_json(tmp_path / "c.json", FIELDS | {"depth_unit": 0.001})),
    ):
        assert np.array_equal(image.depth, ramp().astype(np.float32))
    # what the caller says wins over the camera file
    tenths = load_depth(path, Camera("", SMALL, depth_unit=0.001), unit=0.0001)
    assert np.allclose(tenths.depth, ramp() / 10)


def test_counts_of_unknown_unit_are_never_guessed(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((6, 8), 700, np.uint16))
    with pytest.raises(InvalidImage, match=r"unknown unit: give --depth-unit 0\.001"):
        load_depth(tmp_path / "depth.png", SMALL)
    for unit in (0.0, -0.001, 1000.0):
        with pytest.raises(InvalidConfig, match="expected metres per count"):
            load_depth(tmp_path / "depth.png", SMALL, unit=unit)


def test_float_images_are_metres_unless_said_otherwise(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", ramp())
    np.save(tmp_path / "mm.npy", ramp() * 1000)
    np.save(tmp_path / "thick.npy", ramp()[..., None])
    cv2.imwrite(str(tmp_path / "m.tiff"), ramp().astype(np.float32))
    for name, unit in (("m.npy", None), ("thick.npy", None), ("mm.npy", 0.001), ("m.tiff", None)):
        image = load_depth(tmp_path / name, SMALL, unit)
        assert np.allclose(image.depth, ramp(), atol=1e-7)
    with pytest.raises(InvalidImage, match=r"if these are millimetres, say so with --depth-unit"):
        load_depth(tmp_path / "mm.npy", SMALL)
    # a camera file's depth_unit speaks of counts, not of floats
    assert np.allclose(load_depth(tmp_path / "m.npy", Camera("", SMALL, None, 1e-4)).depth, ramp())


def test_files_that_hold_no_depth_image_are_refused_in_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.where(np.eye(6, 8) > 0, np.nan, 0.7))
    np.save(tmp_path / "zero.npy", np.zeros((6, 8)))
    np.save(tmp_path / "turned.npy", np.full((8, 6), 0.7))
    np.save(tmp_path / "colour.npy", np.full((6, 8, 3), 0.7))
    np.save(tmp_path / "complex.npy", np.full((6, 8), 0.7j))
    np.save(tmp_path / "bool.npy", np.ones((6, 8), bool))
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(tmp_path / "two.npy", np.full((6, 8), 0.7))
    with (tmp_path / "two.npy").open("ab") as file:
        np.save(file, np.full((6, 8), 0.8))
    pages = [np.full((6, 8), mm, np.uint16) for mm in (700, 800, 900)]
    cv2.imwritemulti(str(tmp_path / "pages.tiff"), pages)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.png").write_text("no image")
    cv2.imwrite(str(tmp_path / "rgb.png"), np.full((6, 8, 3), 80, np.uint8))
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((6, 8), 80, np.uint8))
    messages = {
        "nan.npy": "6 NaN or infinite pixels: expected 0",
        "zero.npy": "depth is 0 everywhere",
        "turned.npy": "depth is 6×8 px but the camera says 8×6",
        "colour.npy": "expected one channel (height, width); give the depth image, not colour",
        "complex.npy": "expected float metres or 16-bit counts",
        "bool.npy": "expected float metres or 16-bit counts",
        "several.npy": "holds several arrays",
        "two.npy": "holds several arrays",
        "pages.tiff": "is a TIFF of several pages: expected one",
        "pickle.npy": "not a readable .npy array",
        "text.npy": "not a readable .npy array",
        "text.png": "not a readable image: expected the contents of an .npy, .png or .tiff",
        "rgb.png": "expected one channel",
        "grey.png": "has 8 bits per pixel: expected a 16-bit or float depth image",
    }
    for name, message in messages.items():
        with pytest.raises(InvalidImage, match=re.escape(message)) as caught:
            load_depth(tmp_path / name, SMALL)
        assert "\n" not in str(caught.value)
    with pytest.raises(UnknownAsset, match="is a folder: expected the image"):
        load_depth(tmp_path, "primesense")
    with pytest.raises(UnknownAsset, match=r"no file .*gone\.npy: check the path"):
        load_depth(tmp_path / "gone.npy", SMALL)


def test_the_quickstart_lists_each_preset_with_its_images_size() -> None:
    page = (Path(__file__).parents[1] / "docs" / "quickstart.md").read_text()
    for name in camera_names():
        camera = load_camera(name).intrinsics
        assert f"`{name}` {camera.width}×{camera.height}" in page


def test_a_mask_must_fit_the_image_and_cover_something(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    cv2.imwrite(str(tmp_path / "empty.png"), mask)
    mask[2:4, 3:5] = 255
    cv2.imwrite(str(tmp_path / "grey.png"), mask)
    cv2.imwrite(str(tmp_path / "colour.png"), np.stack([0 * mask, mask, 0 * mask], -1))
    opaque = np.full_like(mask, 255)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.stack([mask, mask, mask, opaque], -1))
    np.save(tmp_path / "mask.npy", mask > 0)
    np.save(tmp_path / "nan.npy", np.where(mask, 1.0, np.nan))
    np.save(tmp_path / "nothing.npy", np.zeros((6, 8, 0), np.uint8))
    with pytest.raises(InvalidImage, match=r"shape \(6, 8, 0\)"):
        load_mask(tmp_path / "nothing.npy", (6, 8))
    for name in ("grey.png", "colour.png", "alpha.png", "mask.npy", "nan.npy"):
        assert np.array_equal(load_mask(tmp_path / name, (6, 8)), mask > 0)
    with pytest.raises(InvalidImage, match=r"mask empty\.png is empty: expected non-zero pixels"):
        load_mask(tmp_path / "empty.png", (6, 8))
    with pytest.raises(InvalidImage, match="is 8×6 px: expected 640×480, the size of the depth"):
        load_mask(tmp_path / "grey.png", (480, 640))
    np.save(tmp_path / "line.npy", np.ones(8))
    with pytest.raises(InvalidImage, match="expected an image"):
        load_mask(tmp_path / "line.npy", (6, 8))
    np.save(tmp_path / "words.npy", np.full((6, 8), "a"))
    with pytest.raises(InvalidImage, match=r"words\.npy has dtype <U1: expected numbers"):
        load_mask(tmp_path / "words.npy", (6, 8))


OBJECT = np.zeros((6, 8), np.uint8)
OBJECT[2:4, 3:5] = 255


@pytest.mark.parametrize(
    ("pixels", "words"),
    {
        "probability": (np.where(OBJECT, 0.9997, 3e-4), r"floats such as 0\.0003: .* threshold it"),
        "logit": (np.where(OBJECT, 8.0, -8.0), "44 negative values"),
        "background of -1": (np.where(OBJECT, 1, -1), "44 negative values"),
        "object in alpha": (np.dstack([0 * OBJECT + 255] * 3 + [OBJECT]), "partly transparent"),
        "object in alpha alone": (np.dstack([0 * OBJECT] * 3 + [OBJECT]), "partly transparent"),
        "white background": (np.dstack([255 - OBJECT] * 2 + [0 * OBJECT + 255]), "every pixel"),
    }.values(),
    ids=lambda x: x[:12] if isinstance(x, str) else "",
)
def test_a_mask_that_does_not_say_which_pixels_are_the_objects_is_refused(
    pixels: np.ndarray, words: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "mask.npy", pixels)
    with pytest.raises(InvalidImage, match=rf"mask mask\.npy .*{words}"):
        load_mask(tmp_path / "mask.npy", (6, 8))
    if pixels.dtype == np.uint8:
        cv2.imwrite(str(tmp_path / "mask.png"), pixels)
        with pytest.raises(InvalidImage, match=words):
            load_mask(tmp_path / "mask.png", (6, 8))


def test_an_object_cut_out_of_its_picture_is_a_mask(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "cut.png"), np.dstack([OBJECT // 2] * 3 + [OBJECT]))
    assert np.array_equal(load_mask(tmp_path / "cut.png", (6, 8)), OBJECT > 0)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_lossy_mask_is_refused_whatever_it_is_called(suffix: str, tmp_path: Path) -> None:
    content = cv2.imencode(suffix, OBJECT)[1].tobytes()
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(InvalidImage, match="a JPEG or WebP"):
        load_mask(tmp_path / "mask.png", (6, 8))


@pytest.mark.parametrize(("suffix", "error"), [(".npy", 0), (".png", 0.5e-4), (".tiff", 0.5e-4)])
def test_what_is_saved_is_loaded_again_with_its_camera(
    suffix: str, error: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    T = transforms.look_at([0.2, 0.1, 0.7], [0, 0, 0])
    depth = rng.uniform(0.4, 1.0, (6, 8)) * (rng.random((6, 8)) < 0.8)
    image = DepthImage(depth, SMALL, T)
    save_depth(image, tmp_path / f"depth{suffix}")
    back = load_depth(tmp_path / f"depth{suffix}", tmp_path / "depth.camera.json")
    assert np.abs(back.depth - image.depth).max() <= error + 1e-7
    assert np.array_equal(back.valid, image.valid)
    assert back.intrinsics == SMALL
    assert back.T_world_camera is not None
    assert np.allclose(back.T_world_camera, T, atol=1e-15)


def test_what_cannot_be_saved_is_said(tmp_path: Path) -> None:
    far = DepthImage(np.full((6, 8), 7.0), SMALL)
    with pytest.raises(InvalidImage, match=r"does not fit 16 bits at 0\.1 mm: save as \.npy"):
        save_depth(far, tmp_path / "far.png")
    with pytest.raises(InvalidImage, match=r"cannot write depth as '\.jpg'"):
        save_depth(far, tmp_path / "far.jpg")


# --- real files -------------------------------------------------------------------------------

REAL = {
    "gqcnn_primesense_single": ("depth_0.npy", ""),
    "gqcnn_primesense_clutter": ("depth_0.npy", ""),
    "gqcnn_phoxi_clutter_dexnet4": ("depth_0.npy", ""),
    "gqcnn_phoxi_clutter_fcgqcnn": ("depth_0.npy", ""),
    "gqcnn_raw_multiple_objects": ("depth_0.npy", ""),
    "nvlabs_6dof_graspnet": ("mustard.png", ""),
    "uois_realsense": ("000001.png", ""),
    "arc_robot_vision": ("pj_input-0.png", "#pj_camera_0"),
}


@pytest.mark.parametrize("folder", REAL)
def test_real_images_load_with_their_own_camera_file(folder: str, shared: Path) -> None:
    name, member = REAL[folder]
    where = shared / "data/depth" / folder
    image = load_depth(where / name, f"{where / 'camera.json'}{member}")
    assert 0.3 < np.median(image.depth[image.valid]) < 1.5
    if image.T_world_camera is not None:
        # a table or bin under the camera, the optical axis down
        assert image.T_world_camera[2, 2] < -0.9
        assert 0.5 < image.T_world_camera[2, 3] < 1.0


def test_the_folder_of_real_images_holds_no_camera_that_is_not_tested(shared: Path) -> None:
    assert {p.parent.name for p in (shared / "data/depth").glob("*/camera.json")} == set(REAL)


def test_the_original_table_is_seen_at_its_published_distance(shared: Path) -> None:
    """Reference §2.1: the table of the single-object images is a plane 0.731 m along the axis, tilted by 12.7°."""
    where = shared / "data/depth/gqcnn_primesense_single"
    image = load_depth(where / "depth_0.npy", where / "camera.json")
    mask = load_mask(where / "segmask_0.png", image.intrinsics.shape)
    normal = image.table_normal_camera()
    assert normal is not None
    assert np.isclose(np.degrees(np.arccos(-normal[2])), 12.7, atol=0.1)
    heights = image.points_camera()[~mask] @ normal
    assert np.isclose(np.median(heights) / normal[2], 0.731, atol=0.01)


def test_a_png_whose_chunk_claims_more_than_the_file_is_refused_at_once(tmp_path):
    path = tmp_path / "depth.png"
    depth = np.full((4, 5), 700, np.uint16)
    assert cv2.imwrite(str(path), depth)
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    path.write_bytes(content[:at] + (0x7FFFFFF0).to_bytes(4, "big") + content[at + 4 :])
    with pytest.raises(InvalidImage, match="ends too early"):
        load_mask(path, (4, 5))
    flipped = bytearray(content)
    flipped[at + 9] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(InvalidImage, match="checksum"):
        load_mask(path, (4, 5))
