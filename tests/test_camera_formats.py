"""Cameras as ROS, librealsense, Open3D and OpenCV write them: the same numbers; what is no pinhole is refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.camera_files import load_camera
from antipodal.doctor import examine
from antipodal.errors import InvalidConfig

REAL = CameraIntrinsics(615.25, 615.5, 319.75, 240.125, 640, 480)

CALIBRATED = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [615.25, 0, 319.75, 0, 615.5, 240.125, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [{d}]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [600.5, 0, 318.25, 0, 0, 601.5, 239.5, 0, 0, 0, 1, 0]
"""
MESSAGE = """\
header:
  stamp: {{sec: 1700000000, nanosec: 12}}
  frame_id: camera_color_optical_frame
height: 480
width: 640
distortion_model: {model}
{k}d: [0.0, 0.0, 0.0, 0.0, 0.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [615.25, 0.0, 319.75, 0.0, 0.0, 615.5, 240.125, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: {binning}
binning_y: 0
roi: {{x_offset: {offset}, y_offset: 0, height: {rows}, width: {columns}, do_rectify: false}}
---
header: {{frame_id: the next message}}
"""
KEY = "k: [615.25, 0.0, 319.75, 0.0, 615.5, 240.125, 0.0, 0.0, 1.0]\n"
ECHOED = {"model": "plumb_bob", "k": KEY, "binning": 0, "offset": 0, "rows": 0, "columns": 0}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_ros_calibration_and_an_echoed_message_say_the_same(tmp_path: Path) -> None:
    message = MESSAGE.format(**ECHOED)
    files = [
        write(tmp_path / "calibration.yaml", CALIBRATED.format(d="0, 0, 0, 0, 0")),
        write(tmp_path / "ros2.yaml", message),
        write(tmp_path / "ros1.yml", message.replace("k:", "K:").replace("d:", "D:")),
    ]
    for file in files:
        assert load_camera(file).intrinsics == REAL, file.name
        assert load_camera(file).depth_unit is None


def test_a_distorted_camera_is_had_rectified_from_its_projection_matrix(tmp_path: Path) -> None:
    file = write(tmp_path / "info.yaml", CALIBRATED.format(d="0.1, -0.2, 0.001, 0, 0"))
    with pytest.raises(InvalidConfig, match=r"has distortion .*take info\.yaml#rectified"):
        load_camera(file)
    rectified = load_camera(f"{file}#rectified").intrinsics
    assert rectified == CameraIntrinsics(600.5, 601.5, 318.25, 239.5, 640, 480)
    with pytest.raises(InvalidConfig, match="no projection matrix"):
        load_camera(f"{write(tmp_path / 'plain.json', json.dumps(REAL.to_json()))}#rectified")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "equidistant"}, "lens model equidistant: expected a pinhole"),
        ({"binning": 2}, "a cut or binned image"),
        ({"offset": 16}, "a cut or binned image"),
        ({"columns": 320}, "a cut or binned image"),
        ({"rows": 240, "columns": 640}, "a cut or binned image"),
        ({"rows": 240}, "a cut or binned image"),
        ({"k": ""}, "lacks fx, fy, cx, cy"),
        ({"k": "k: [615.25, 0.0, 319.75]\n"}, "lacks fx"),
    ],
)
def test_a_ros_camera_that_is_no_whole_pinhole_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "info.yaml", MESSAGE.format(**ECHOED | changes))
    with pytest.raises(InvalidConfig, match=message):
        load_camera(file)
    if "cut or binned" in message:
        with pytest.raises(InvalidConfig, match=message):
            load_camera(f"{file}#rectified")


def test_a_region_that_is_the_whole_image_cuts_nothing(tmp_path: Path) -> None:
    whole = MESSAGE.format(**ECHOED | {"rows": 480, "columns": 640, "binning": 1})
    file = write(tmp_path / "info.yaml", whole)
    assert load_camera(file).intrinsics == load_camera(f"{file}#rectified").intrinsics == REAL


def realsense(**changes: object) -> dict[str, object]:
    return {
        "width": 640,
        "height": 480,
        "ppx": 319.75,
        "ppy": 240.125,
        "fx": 615.25,
        "fy": 615.5,
        "model": "distortion.brown_conrady",
        "coeffs": [0.0, 0.0, 0.0, 0.0, 0.0],
    } | changes


def test_realsense_intrinsics_are_read_alone_or_among_streams_with_the_depth_scale(
    tmp_path: Path,
) -> None:
    alone = write(tmp_path / "alone.json", json.dumps(realsense()))
    assert load_camera(alone).intrinsics == REAL
    streams = {"depth": realsense(), "color": realsense(fx=900.0), "depth_scale": 0.001}
    both = write(tmp_path / "both.json", json.dumps(streams))
    assert load_camera(f"{both}#depth").intrinsics == REAL
    assert load_camera(f"{both}#color").intrinsics.fx == 900.0
    assert load_camera(f"{both}#depth").depth_unit == 0.001
    with pytest.raises(InvalidConfig, match=r"choose one as both\.json#depth, #color"):
        load_camera(both)
    one = {"depth_intrinsics": realsense(), "serial": "f00"}
    assert load_camera(write(tmp_path / "one.json", json.dumps(one))).intrinsics == REAL
    bent = write(tmp_path / "bent.json", json.dumps(realsense(coeffs=[0.1, 0, 0, 0, 0])))
    with pytest.raises(InvalidConfig, match="expected none; rectify the images first"):
        load_camera(bent)


def test_a_realsense_preset_is_told_apart_from_intrinsics(tmp_path: Path) -> None:
    preset = {"device": {"name": "D435"}, "parameters": {"param-depthunits": "1000"}}
    with pytest.raises(InvalidConfig, match="advanced-mode settings: expected its intrinsics"):
        load_camera(write(tmp_path / "preset.json", json.dumps(preset)))


def test_open3d_writes_columns_after_each_other_and_counts_per_metre(tmp_path: Path) -> None:
    K = [615.25, 0.0, 0.0, 0.0, 615.5, 0.0, 319.75, 240.125, 1.0]
    values = {"width": 640, "height": 480, "intrinsic_matrix": K, "depth_scale": 4000.0}
    camera = load_camera(write(tmp_path / "intrinsic.json", json.dumps(values)))
    assert camera.intrinsics == REAL
    assert camera.depth_unit == 1 / 4000


def opencv_file(path: Path, distortion: list[float], stereo: bool = False) -> Path:
    """Written by OpenCV itself."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    names = (("M1", "D1"), ("M2", "D2")) if stereo else (("camera_matrix", "dist_coeffs"),)
    for i, (matrix, lens) in enumerate(names):
        storage.write(matrix, REAL.K + np.diag([float(i), 0, 0]))
        storage.write(lens, np.array([distortion]))
    storage.release()
    return path


@pytest.mark.parametrize("suffix", [".yml", ".yaml", ".xml", ".json"])
def test_what_opencv_writes_is_read_bit_by_bit(suffix: str, tmp_path: Path) -> None:
    assert load_camera(opencv_file(tmp_path / f"one{suffix}", [0.0] * 5)).intrinsics == REAL
    two = opencv_file(tmp_path / f"two{suffix}", [0.0] * 5, stereo=True)
    assert load_camera(f"{two}#M1").intrinsics == REAL
    assert load_camera(f"{two}#M2").intrinsics.fx == REAL.fx + 1
    with pytest.raises(InvalidConfig, match="choose one as"):
        load_camera(two)
    with pytest.raises(InvalidConfig, match="rectify the images first"):
        load_camera(opencv_file(tmp_path / f"bent{suffix}", [0.1, 0, 0, 0, 0]))


def test_a_matrix_without_a_size_takes_the_images(tmp_path: Path) -> None:
    storage = cv2.FileStorage(str(tmp_path / "K.yml"), cv2.FILE_STORAGE_WRITE)
    storage.write("cameraMatrix", REAL.K)
    storage.release()
    assert load_camera(tmp_path / "K.yml", (480, 640)).intrinsics == REAL


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "{a: [1", "not readable as .yaml"),
        ("a.yaml", "", "got a NoneType"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []", "not readable as .yaml"),
        ("a.yaml", "fx: 5\nintrinsics: {fx: 5, fx: 6}", "fx stands twice: expected each key once"),
        ("a.json", '{"fx": 5, "a": [{"fx": 5, "fx": 5}]}', "fx stands twice"),
        ("a.xml", "<opencv_storage><a>1</a><a>2</a></opencv_storage>", "a stands twice"),
        ("a.xml", "<opencv_storage>", "not readable as .xml"),
        ("a.xml", "<launch></launch>", "expected OpenCV's <opencv_storage>"),
        ("a.yaml", "K: {rows: 3, cols: 3, data: [1, 2]}", "matrix of 3×3 has 2 numbers"),
        ("a.yaml", "K: {rows: 3, cols: 3, data: 5}", "holds a value of another form"),
        ("a.yaml", "K: {rows: three, cols: 3, data: [1]}", "holds a value of another form"),
        ("a.json", '{"depth_scale": null}', "holds a value of another form"),
        ("a.json", '{"depth_scale": "1 mm"}', "holds a value of another form"),
        (
            "a.json",
            '{"width": 4, "height": 3, "intrinsic_matrix": [1, 2]}',
            "holds a value of another form",
        ),
        (
            "a.json",
            '{"K": [1, 0, 2, 0, 1, 1, 0, 0, 1], "binning_x": "0"}',
            "holds a value of another form",
        ),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig, match=message) as caught:
        load_camera(write(tmp_path / name, text))
    assert "\n" not in str(caught.value)


def test_the_doctor_knows_these_files_for_cameras(tmp_path: Path) -> None:
    file = write(tmp_path / "calibration.yaml", CALIBRATED.format(d="0, 0, 0, 0, 0"))
    found = examine(file)
    assert "camera 640×480 px" in found[0].message
    assert all(finding.severity == "ok" for finding in found)


@pytest.mark.parametrize(
    "values",
    [
        {**REAL.to_json(), "D": [0.3, -0.2, 0, 0, 0]},
        {"intrinsics": REAL.to_json(), "distortion": [0.3, -0.2, 0, 0, 0]},
        {"intrinsics": {**REAL.to_json(), "coeffs": [0.3, -0.2, 0, 0, 0]}},
        {"intrinsics": [[600, 0, 320], [0, 600, 240], [0, 0, 1]], "dist_coeffs": [0.1]},
    ],
)
def test_lens_distortion_is_refused_wherever_it_stands(values: dict, tmp_path: Path) -> None:
    file = write(tmp_path / "camera.json", json.dumps(values))
    with pytest.raises(InvalidConfig, match="distortion"):
        load_camera(file, (480, 640))
    for key in ("D", "distortion", "dist_coeffs"):
        values.pop(key, None)
    if isinstance(values.get("intrinsics"), dict):
        values["intrinsics"].pop("coeffs", None)
    file.write_text(json.dumps(values))
    assert load_camera(file, (480, 640)).intrinsics.fx > 599


@pytest.mark.parametrize(
    "lens",
    [
        {"k1": 0.1},
        {"D": [], "k1": 0.1},
        {"D": [0.0, 0.0], "K1": 0.1},
        {"p2": -0.01},
        {"_k2": [-0.01]},
        {"dist_coefs": [0.1, 0, 0, 0, 0]},
        {"distortion_coeffs": [-0.3, 0.1, 0, 0]},
        {"distCoef": [-0.3, 0.1, 0, 0, 0]},
        {"RadialDistortion": [-0.3, 0.1]},
        {"tangential": [0, 0.001]},
        {"distortion": {"k1": -0.3}},
        {"disto": [0.1, 0, 0, 0, 0]},
        {"kc": [0.1, 0, 0, 0, 0]},
        {"dist_params": [0.1, 0]},
        {"distorsion": [0.1, 0]},
        {"coefs": [0.1, 0]},
        {"brown_conrady": [0.1, 0]},
        {"k_1": 0.1},
        {"D1": [0.1, 0, 0, 0]},
    ],
)
def test_a_lens_is_refused_under_whatever_name_it_has(tmp_path: Path, lens: dict) -> None:
    file = write(tmp_path / "lens.json", json.dumps(REAL.to_json() | lens))
    with pytest.raises(InvalidConfig, match="lens distortion"):
        load_camera(file)
    inside = {"intrinsics": REAL.to_json() | {"D": [0.0]}}
    with pytest.raises(InvalidConfig, match="lens distortion"):
        load_camera(write(tmp_path / "beside.json", json.dumps(inside | lens)))


@pytest.mark.parametrize(
    "none",
    [
        {"k1": 0.0, "k2": 0},
        {"distortion_coeffs": [0, 0, 0, 0], "distortion_model": "radtan"},
        {"distortion_type": "plumb_bob", "undistorted": True},
        {"RadialDistortion": [0.0, 0.0], "TangentialDistortion": [0, 0]},
        {"distortion": {"k1": 0.0}},
        {"distortion": "none"},
        {"D": [[0.0, 0.0, 0.0, 0.0]], "P": np.eye(3, 4).tolist()},
        {
            "P1": np.eye(3, 4).tolist(),
            "K1": np.eye(3).tolist(),
            "P2": np.eye(3, 4).ravel().tolist(),
        },
        {"K": REAL.K.tolist()},
        {"model": "distortion.inverse_brown_conrady", "coeffs": [0, 0, 0, 0, 0]},
        {"camera_model": "PINHOLE", "distortion_model": "rational_polynomial", "D": [0] * 8},
        {"camera_model": "OmniVision OV9782", "projection": np.eye(3, 4).tolist()},
    ],
)
def test_zeros_and_names_of_models_are_no_distortion(tmp_path: Path, none: dict) -> None:
    file = write(tmp_path / "none.json", json.dumps(REAL.to_json() | none))
    assert load_camera(file).intrinsics == REAL


@pytest.mark.parametrize(
    "lens",
    [
        {"model": "distortion.kannala_brandt4", "coeffs": [0.0, 0.0, 0.0, 0.0, 0.0]},
        {"model": "distortion.ftheta"},
        {"distortion_model": "EQUIDISTANT_FISHEYE"},
        {"camera_model": "OPENCV_FISHEYE"},
        {"camera_model": "omni"},
    ],
)
def test_a_fisheye_is_no_pinhole_where_its_coefficients_are_0(tmp_path: Path, lens: dict) -> None:
    for values in (REAL.to_json() | lens, {"intrinsics": REAL.to_json() | lens}):
        file = write(tmp_path / "lens.json", json.dumps(values))
        with pytest.raises(InvalidConfig, match=r"has the lens model .*: expected a pinhole"):
            load_camera(file)


def test_a_matrix_of_rows_is_read_as_rows_under_open3ds_name_too(tmp_path: Path) -> None:
    size = {"width": 640, "height": 480}
    rows, columns = REAL.K.tolist(), REAL.K.T.ravel().tolist()
    for matrix in (rows, columns):
        file = write(tmp_path / "k.json", json.dumps({"intrinsic_matrix": matrix} | size))
        assert load_camera(file).intrinsics == REAL
        both = {"intrinsic_matrix": matrix, "K": rows} | size
        file = write(tmp_path / "both.json", json.dumps(both))
        assert load_camera(file).intrinsics == REAL


@pytest.mark.parametrize("key", ["T_camera_world", "T_world_cam", "T_base_camera", "T_cam_base"])
def test_a_pose_under_another_name_is_not_ignored(tmp_path: Path, key: str) -> None:
    values = REAL.to_json() | {key: np.eye(4).tolist()}
    for posed in (values, {"intrinsics": values}):
        file = write(tmp_path / "posed.json", json.dumps(posed))
        with pytest.raises(InvalidConfig, match=f"holds {key}: expected .* as T_world_camera"):
            load_camera(file)


POSE = (transforms.translation([0.1, 0.2, 0.7]) @ transforms.rot_x(np.pi)).tolist()


@pytest.mark.parametrize(
    "key",
    [
        "extrinsics",
        "extrinsic",
        "pose",
        "camera_pose",
        "camera_pose_world",
        "T_cam2base",
        "cam2base",
        "world_T_camera",
        "base_T_camera",
        "T_WC",
        "T_gripper_camera",
        "T_ee_camera",
        "hand_eye",
        "X",
    ],
)
def test_a_transform_that_may_be_the_pose_is_refused_by_its_name_and_the_identity_passes(
    tmp_path: Path, key: str
) -> None:
    for value in (POSE, np.ravel(POSE).tolist(), POSE[:3]):
        for values in (
            REAL.to_json() | {key: value},
            {"intrinsics": REAL.to_json() | {key: value}},
            {"intrinsics": REAL.to_json(), key: value},
        ):
            file = write(tmp_path / "posed.json", json.dumps(values))
            with pytest.raises(InvalidConfig, match=f"holds {key}: expected .* as T_world_camera"):
                load_camera(file)
    for nothing in (np.eye(4).tolist(), np.eye(4).ravel().tolist(), None, "world", {"a": 1}):
        file = write(tmp_path / "posed.json", json.dumps(REAL.to_json() | {key: nothing}))
        assert load_camera(file).T_world_camera is None


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"K": [[800, 0, 400], [0, 800, 300], [0, 0, 1]]}, "says fx twice, 615.25 and 800 px"),
        ({"camera_matrix": [615.25, 0, 320.5, 0, 615.5, 240.125, 0, 0, 1]}, "says cx twice"),
        ({"K": [[615.25, 1, 319.75], [0, 615.5, 240.125], [0, 0, 1]]}, "transposed, or skewed"),
        ({"intrinsics": REAL.to_json() | {"fy": 800.0}}, "says fy twice, 800 and 615.5 px"),
        ({"T_world_camera": np.eye(4).tolist()}, "two poses that differ"),
        ({"T_camera_to_world": np.eye(4).tolist()}, "two poses that differ"),
        (
            {"T_camera_to_world": {"rotation": np.eye(3).tolist(), "translation_m": [0, 0, 1]}},
            "two poses that differ",
        ),
    ],
)
def test_a_file_that_says_two_things_is_refused_and_the_same_twice_is_not(
    beside: dict, message: str, tmp_path: Path
) -> None:
    top = {k: v for k, v in REAL.to_json().items() if "T_" not in next(iter(beside))}
    inner = {} if top else {"intrinsics": REAL.to_json() | {"T_world_camera": POSE}}
    with pytest.raises(InvalidConfig, match=message):
        load_camera(write(tmp_path / "two.json", json.dumps(top | inner | beside)))
    rounded = np.round(POSE, 3)
    same = {
        "K": [[615.254, 0, 319.75], [0, 615.5, 240.125], [0, 0, 1]],
        "intrinsics": REAL.to_json() | {"T_world_camera": POSE},
        "T_world_camera": np.asarray(POSE).tolist(),
        "T_camera_to_world": {
            "rotation": rounded[:3, :3].tolist(),
            "translation_m": rounded[:3, 3].tolist(),
        },
    }
    camera = load_camera(write(tmp_path / "same.json", json.dumps(same)))
    assert camera.intrinsics == REAL
    np.testing.assert_array_equal(np.asarray(camera.T_world_camera), POSE)


def test_a_pose_under_intrinsics_is_read_like_one_at_the_top(tmp_path: Path) -> None:
    inside = {"intrinsics": REAL.to_json() | {"T_world_camera": POSE}}
    found = load_camera(write(tmp_path / "inside.json", json.dumps(inside))).T_world_camera
    np.testing.assert_allclose(np.asarray(found), POSE, atol=1e-12)
