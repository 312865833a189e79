"""What other people's camera files say, in our words: ROS camera_info, RealSense and Open3D JSON, OpenCV's FileStorage.

The result has the keys that ``camera_files`` reads: ``K`` or fx … cy, ``width``, ``height``, ``D``, ``depth_unit``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import InvalidConfig
from .values import doubled

CAMERA_SUFFIXES = (".intr", ".json", ".toml", ".yaml", ".yml", ".xml")
"""What a camera file may be called."""
RECTIFIED = "rectified"
"""``camera_info.yaml#rectified``: the camera of the rectified images, from the projection matrix."""

ALIASES: dict[str, tuple[str, ...]] = {
    "K": ("k", "camera_matrix", "cameraMatrix", "Camera_Matrix", "intrinsic_matrix", "mtx"),
    "D": (
        "d",
        "distortion_coefficients",
        "Distortion_Coefficients",
        "distCoeffs",
        "dist_coeffs",
        "dist_coefs",
        "distortion",
        "coeffs",
        "coefs",
        "dist",
        "kc",
    ),
    "P": ("p", "projection_matrix"),
    "width": ("image_width", "image_Width", "imageWidth"),
    "height": ("image_height", "image_Height", "imageHeight"),
    "size": ("image_size", "imageSize"),
    "cx": ("ppx",),
    "cy": ("ppy",),
}
"""Our key, and what others call it: ROS 1 and 2, OpenCV's samples, librealsense, Open3D."""
LENS = re.compile(r"_?(k_?[1-6]|p_?[12])", re.IGNORECASE)
"""Distortion, each coefficient under its own name; a matrix of that name is a stereo calibration's."""
DISTORTION = re.compile(
    r"(?!.*(model|type))((.*(?<!un))?dist[-_ ]?(o|coef|param)|radial|tangential|(inverse_)?brown_conrady)",
    re.IGNORECASE,
)
"""Keys that start so are distortion, whoever wrote them."""
STEREO = {"M1": "D1", "M2": "D2"}
"""OpenCV's stereo calibration: camera matrices with their distortions."""
MODEL = ("distortion_model", "model", "camera_model", "camera_type", "projection")
"""Keys under which a lens model is named."""
NOT_PINHOLE = re.compile(r"equidistant|fish[-_ ]?eye|kannala|theta|omni(?!vision)", re.IGNORECASE)
"""What the names of other models hold; OmniVision makes sensors."""


def read_values(path: Path) -> dict[str, Any]:
    """Read TOML, YAML, OpenCV's XML or JSON, by the suffix.

    Raises:
        InvalidConfig: not readable, or no table of keys and values.
    """
    expected = "expected an object with fx, fy, cx, cy, width, height"
    try:
        text = path.read_text(encoding="utf-8")
        values = READERS.get(path.suffix.lower(), _read_json)(text)
    except (ValueError, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidConfig(
            f"camera {path}: not readable as {path.suffix or 'JSON'}: {said}"
        ) from error
    if not isinstance(values, dict):
        raise InvalidConfig(f"camera {path}: {expected}, got a {type(values).__name__}")
    return values


def in_our_words(
    values: Mapping[str, Any], name: str, member: str | None
) -> tuple[dict[str, Any], str | None]:
    """Translate one file's values; a member that chooses among its cameras is used up.

    Args:
        values: as the file has them.
        name: what messages call the file.
        member: what stands after ``#``, or None.

    Raises:
        InvalidConfig: the file holds settings instead of intrinsics, several cameras, or an image that is cut.
    """
    if any(key.startswith(("param-", "controls-", "aux-param")) for key in _all_keys(values)):
        raise InvalidConfig(
            f"camera {name} holds a RealSense's advanced-mode settings: expected its intrinsics: width, height, fx, "
            "fy, ppx, ppy, coeffs, as pyrealsense2's get_intrinsics() gives them"
        )
    translated, member = _chosen(_translated(values), name, member)
    if "intrinsics" in translated and isinstance(translated["intrinsics"], dict):
        inner, member = _chosen(_translated(translated["intrinsics"]), name, member)
        translated["intrinsics"] = inner
    if member in STEREO and isinstance(translated.get(str(member)), list):
        K, D = translated[str(member)], translated.get(STEREO[str(member)])
        translated |= {"K": K, "D": D}
        member = None
    elif "M1" in translated and "K" not in translated:
        raise InvalidConfig(f"camera {name} holds several: choose one as {name}#M1, #M2")
    _check_whole(translated, name)
    if member == RECTIFIED:
        translated, member = _rectified(translated, name), None
    else:
        _check_raw(translated, name)
    if "depth_scale" in translated and "depth_unit" not in translated:
        scale = float(translated["depth_scale"])
        # librealsense: metres per count; Open3D: counts per metre
        translated["depth_unit"] = scale if scale <= 1 else 1 / scale
    return translated, member


def not_zero(value: Any) -> bool:
    """Whether any number of a value, a list or a table differs from 0; None and "none" are zero."""
    values = list(value.values()) if isinstance(value, dict) else value
    return (
        any(map(not_zero, values))
        if isinstance(values, list)
        else values not in (None, "", "none", 0)
    )


def _chosen(
    values: dict[str, Any], name: str, member: str | None
) -> tuple[dict[str, Any], str | None]:
    """Take one of several cameras that stand beside each other, each with its own keys."""
    if {"fx", "_fx", "K", "intrinsics"} & set(values):
        return values, member
    cameras = {k: v for k, v in values.items() if isinstance(v, dict) and _is_camera(v)}
    if not cameras:
        return values, member
    if len(cameras) == 1 and member is None:
        member = next(iter(cameras))
    if member not in cameras:
        raise InvalidConfig(
            f"camera {name} holds several: choose one as {name}#{', #'.join(cameras)}"
        )
    rest = {k: v for k, v in values.items() if k not in cameras}
    return rest | _translated(cameras[member]), None


def _is_camera(values: dict[str, Any]) -> bool:
    return bool({"fx", "_fx", "K", *ALIASES["K"]} & set(values))


def _translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Our keys, matrices as rows; what is already ours stays."""
    found = {key: _matrix(value) for key, value in values.items()}
    numbers = found.get("intrinsic_matrix")
    # Open3D writes columns after each other; a list of rows is another's
    rows = isinstance(numbers, list) and all(isinstance(row, list) for row in numbers)
    column_major = numbers is not None and not rows and "K" not in found
    for ours, theirs in ALIASES.items():
        if ours not in found:
            key = next((k for k in theirs if k in found), None)
            if key is not None:
                found[ours] = found.pop(key)
    bent = {k: v for k, v in found.items() if _is_distortion(str(k), v) and not_zero(v)}
    if bent:
        found["D"] = bent.get("D", bent)
    if isinstance(found.get("size"), list) and len(found["size"]) == 2:
        found.setdefault("width", found["size"][0])
        found.setdefault("height", found["size"][1])
    for key, columns in (("K", 3), ("P", 4)):
        flat = found.get(key)
        if isinstance(flat, list) and len(flat) == 3 * columns:
            found[key] = [flat[i * columns : (i + 1) * columns] for i in range(3)]
    if column_major and isinstance(found.get("K"), list):
        found["K"] = [list(row) for row in zip(*found["K"], strict=True)]
    return found


def _is_distortion(key: str, value: Any) -> bool:
    if LENS.fullmatch(key):
        return not (isinstance(value, list) and len(value) > 1)
    return key in ("D", *STEREO.values()) or DISTORTION.match(key) is not None


def _matrix(value: Any) -> Any:
    """{rows, cols, data} as ROS and OpenCV write it becomes rows, or one row where it is a vector."""
    if not (isinstance(value, dict) and {"rows", "cols", "data"} <= set(value)):
        return value
    rows, columns, data = int(value["rows"]), int(value["cols"]), list(value["data"])
    if len(data) != rows * columns:
        raise InvalidConfig(f"a camera file's matrix of {rows}×{columns} has {len(data)} numbers")
    if 1 in (rows, columns):
        return data
    return [data[i * columns : (i + 1) * columns] for i in range(rows)]


def _rectified(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The rectified images' camera: the left three columns of the projection matrix, no distortion."""
    P = values.get("P")
    if not (isinstance(P, list) and len(P) == 3 and P[0][0] > 0):
        raise InvalidConfig(
            f"camera {name} has no projection matrix: expected P of a ROS camera_info; drop '#{RECTIFIED}'"
        )
    raw = ("D", "distortion_model", "fx", "fy", "cx", "cy")
    kept = {k: v for k, v in values.items() if k not in raw}
    return kept | {"K": [row[:3] for row in P]}


def _check_raw(values: dict[str, Any], name: str) -> None:
    """Refuse a lens that is not a pinhole, saying how the rectified camera is had."""
    hint = f"; or, for rectified images, take {name}#{RECTIFIED}" if "P" in values else ""
    inner = values.get("intrinsics")
    for held in (values, inner if isinstance(inner, dict) else {}):
        for model in map(held.get, MODEL):
            if isinstance(model, str) and NOT_PINHOLE.search(model):
                raise InvalidConfig(
                    f"camera {name} has the lens model {model}: expected a pinhole; rectify the images first{hint}"
                )
    if hint and not_zero(values.get("D")):
        raise InvalidConfig(
            f"camera {name} has distortion {values['D']}: expected none; rectify the images first{hint}"
        )


def _check_whole(values: dict[str, Any], name: str) -> None:
    """Refuse a cut or binned image: K and P are of the whole one. A region that is all of it cuts nothing."""
    given = values.get("roi")
    roi = given if isinstance(given, dict) else {}
    cut = roi.get("x_offset") or roi.get("y_offset")
    cut = cut or any(roi.get(k) not in (None, 0, values.get(k)) for k in ("width", "height"))
    if cut or max(values.get("binning_x") or 0, values.get("binning_y") or 0) > 1:
        raise InvalidConfig(
            f"camera {name} is of a cut or binned image: expected roi and binning 0: "
            "give the camera of the whole image"
        )


def _all_keys(values: Mapping[str, Any]) -> list[str]:
    inner = [v for v in values.values() if isinstance(v, dict)]
    return [*map(str, values), *(str(k) for v in inner for k in v)]


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """One table; a key that stands twice is refused, since only one of its values would count."""
    pairs = list(pairs)
    if (key := doubled(key for key, _ in pairs)) is not None:
        raise ValueError(f"{key} stands twice: expected each key once")
    return dict(pairs)


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _read_yaml(text: str) -> Any:
    """Read the first document of a YAML, OpenCV's dialect too: a %YAML:1.0 line, and !!opencv-matrix."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe, knows OpenCV's matrices, and takes each key once."""

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            _once((str(key.value), None) for key, _ in node.value)
            return node

    def matrix(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", matrix)
    text = re.sub(r"\A\s*%YAML:1\.0[^\n]*\n", "", text)
    try:
        return next(iter(yaml.load_all(text, Loader)), None)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _read_xml(text: str) -> Any:
    """Read OpenCV's XML: a flat list of numbers, words and matrices."""
    import xml.etree.ElementTree as ET

    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    if root.tag != "opencv_storage":
        raise ValueError(f"its root is <{root.tag}>: expected OpenCV's <opencv_storage>")
    return _once((element.tag, _xml_value(element)) for element in root)


def _xml_value(element: Any) -> Any:
    if len(element):
        inner = {child.tag: _xml_value(child) for child in element}
        if "data" in inner and not isinstance(inner["data"], list):
            inner["data"] = [inner["data"]]
        return inner
    words = (element.text or "").split()
    numbers = [_number(word) for word in words]
    if not words or any(number is None for number in numbers):
        return (element.text or "").strip()
    return numbers[0] if len(numbers) == 1 else numbers


def _number(word: str) -> float | int | None:
    try:
        return int(word)
    except ValueError:
        try:
            return float(word)
        except ValueError:
            return None


READERS = {
    ".toml": tomllib.loads,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".xml": _read_xml,
}
"""By suffix; everything else is JSON."""
