"""Read and write cameras and depth images: the formats that users have.

Cameras: preset names, Berkeley ``.intr``, JSON, TOML, and what ROS, RealSense and OpenCV write (``camera_formats``).
Depth: ``.npy``, 16-bit PNG and TIFF, float TIFF.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float

from .camera import CameraIntrinsics, DepthImage
from .camera_formats import in_our_words, not_zero, read_values
from .camera_pose import pose_of
from .errors import AntipodalError, InvalidConfig, InvalidImage, UnknownAsset
from .png import SIGNATURE, check_png
from .tiff import BIG_SIGNATURES, SIGNATURES, check_tiff
from .values import as_mask, is_number, rigid

MIN_UNIT = 1e-6
"""Smallest believable count of a 16-bit depth image [m]."""
MAX_DISTANCE = 20.0
"""Farthest that a camera may be from the world's origin: a pose in millimetres is farther, m."""
LOSSY = re.compile(rb"\xff\xd8\xff|RIFF....WEBP", re.DOTALL)
"""How a JPEG and a WebP begin."""
SAME_PIXEL = 0.01
"""What a file says twice may differ by so much, px."""


@dataclass(frozen=True, eq=False)
class Camera:
    """What a camera file says. A preset says the intrinsics alone."""

    name: str
    intrinsics: CameraIntrinsics
    T_world_camera: Float[np.ndarray, "4 4"] | None = None
    depth_unit: float | None = None
    """Metres per count of a 16-bit image (0.001 or 0.0001), or None where the file does not say."""

    def __post_init__(self) -> None:
        if self.T_world_camera is None:
            return
        where = f"camera {self.name}: T_world_camera"
        T = rigid(self.T_world_camera, where, ndim=2)
        if (distance := math.hypot(*T[:3, 3])) > MAX_DISTANCE:
            raise InvalidConfig(
                f"{where} is {distance:.4g} m from the world's origin: "
                f"expected at most {MAX_DISTANCE:g} m; millimetres?"
            )
        object.__setattr__(self, "T_world_camera", T)


def camera_names() -> list[str]:
    """Names of the built-in cameras."""
    return sorted(
        p.name.removesuffix(".toml") for p in _assets().iterdir() if p.name.endswith(".toml")
    )


def load_camera(name_or_path: str | Path, image_shape: tuple[int, int] | None = None) -> Camera:
    """Load a camera by preset name or from a ``.intr``, ``.json``, ``.toml``, ``.yaml`` or ``.xml`` file.

    A file holds fx, fy, cx, cy, width, height, either at the top or under ``intrinsics``, or a 3×3 matrix ``K``;
    optionally ``T_world_camera`` (4×4) and ``depth_unit`` (m per count). A file of several cameras takes
    ``path#name``. Berkeley's ``_fx`` … and ``T_camera_to_world`` {rotation, translation_m} are understood, and so are a
    ROS camera_info (``path#rectified`` takes its projection matrix), RealSense and Open3D intrinsics, and OpenCV's
    calibration files (a stereo one as ``path#M1``).

    Args:
        name_or_path: which camera.
        image_shape: (height, width) to assume where the file gives no size.

    Raises:
        UnknownAsset: no such preset or file.
        InvalidConfig: the file says too little or contradicts itself.
    """
    text = str(name_or_path)
    if text in camera_names():
        return _parse(
            tomllib.loads((_assets() / f"{text}.toml").read_text()), text, None, image_shape
        )
    stem, _, member = text.partition("#")
    path = Path(stem)
    if not path.is_file():
        raise UnknownAsset.named("camera", text, camera_names())
    try:
        values, chosen = in_our_words(read_values(path), path.name, member or None)
        return _parse(values, path.name, chosen, image_shape)
    except AntipodalError:
        raise
    except (TypeError, ValueError, LookupError) as error:
        raise InvalidConfig(
            f"camera {path.name} holds a value of another form than expected ({error}): compare it with a preset's "
            "file, or with what the calibration wrote"
        ) from error


def load_depth(
    path: str | Path, camera: Camera | CameraIntrinsics | str | Path, unit: float | None = None
) -> DepthImage:
    """Load a depth image: ``.npy``, or 16-bit or float PNG/TIFF.

    Args:
        path: the image file.
        camera: its camera, as a value, a preset name or a file.
        unit: metres per count. Float images default to 1; 16-bit ones need it, here or in the camera file.

    Raises:
        UnknownAsset: no such file.
        InvalidImage: not a depth image, or its unit is unknown or wrong.
    """
    path = Path(path)
    if unit is not None and not MIN_UNIT <= unit <= 1.0:
        raise InvalidConfig(
            f"depth unit {unit}: expected metres per count in [{MIN_UNIT:g}, 1], e.g. 0.001 for mm"
        )
    counts = _read_array(path)
    if counts.ndim == 3 and counts.shape[-1] == 1:
        counts = counts[..., 0]
    if counts.ndim != 2:
        raise InvalidImage(
            f"{path.name} has shape {counts.shape}: expected one channel (height, width); "
            "give the depth image, not colour"
        )
    if isinstance(camera, str | Path):
        camera = load_camera(camera, (counts.shape[0], counts.shape[1]))
    if isinstance(camera, CameraIntrinsics):
        camera = Camera("", camera)
    if counts.dtype.kind in "iu":
        if counts.dtype.itemsize == 1:
            raise InvalidImage(
                f"{path.name} has 8 bits per pixel: expected a 16-bit or float depth image"
            )
        unit = unit or camera.depth_unit
        if unit is None:
            raise InvalidImage(
                f"{path.name} holds {counts.dtype} counts of unknown unit: give --depth-unit 0.001 for millimetres "
                "or 0.0001 for tenths, or depth_unit in the camera file"
            )
    elif counts.dtype.kind != "f":
        raise InvalidImage(
            f"{path.name} has dtype {counts.dtype}: expected float metres or 16-bit counts"
        )
    # the finiteness check is DepthImage's: here infinities may pass through the product
    return DepthImage(
        counts.astype(np.float64) * (unit or 1.0), camera.intrinsics, camera.T_world_camera
    )


def load_mask(path: str | Path, shape: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """Load an object mask: any lossless image or .npy, non-zero on the object, floats 0 and 1.

    Raises:
        InvalidImage: of another shape than the depth image, of other values, lossy, empty, or of every pixel.
    """
    path = Path(path)
    name = f"mask {path.name}"
    pixels = _read_array(path)
    with path.open("rb") as file:
        if LOSSY.match(file.read(12)):
            raise InvalidImage(f"{name} is a JPEG or WebP, which blur edges: save it as PNG")
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise InvalidImage(f"{name} has shape {pixels.shape}: expected an image (height, width)")
    if pixels.shape[:2] != shape:
        raise InvalidImage(
            f"{name} is {pixels.shape[1]}×{pixels.shape[0]} px: "
            f"expected {shape[1]}×{shape[0]}, the size of the depth image"
        )
    mask = as_mask(pixels, name)
    if mask.ndim == 3:
        alpha = pixels[..., 3:]
        opaque, mask = mask[..., 3:], np.asarray(mask[..., :3].any(-1))
        if (alpha != alpha[:1, :1]).any() and (opaque != mask[..., None]).any():
            raise InvalidImage(
                f"{name} is partly transparent, and its colours say otherwise: expected one channel"
            )
    if not mask.any():
        raise InvalidImage(f"{name} is empty: expected non-zero pixels on the object")
    if mask.all():
        raise InvalidImage(f"{name} covers every pixel: expected 0 off the object")
    return mask


def save_depth(image: DepthImage, path: str | Path) -> None:
    """Write ``.npy`` (float32 m) or 16-bit ``.png``/``.tiff`` (0.1 mm); the camera goes beside it.

    The camera file is ``<stem>.camera.json``, which :func:`load_camera` reads.

    Raises:
        InvalidImage: another suffix, or a depth beyond 6.5535 m for 16 bits.
    """
    path, camera = Path(path), camera_json(image)
    if path.suffix == ".npy":
        np.save(path, image.depth)
    elif path.suffix in {".png", ".tif", ".tiff"}:
        import cv2

        counts = np.round(np.asarray(image.depth, np.float64) * 1e4)
        if counts.max() > 65535:
            raise InvalidImage(
                f"depth {image.depth.max():g} m does not fit 16 bits at 0.1 mm: save as .npy"
            )
        if not cv2.imwrite(str(path), counts.astype(np.uint16)):
            raise OSError(f"cannot write {path}: does its folder exist?")
        camera["depth_unit"] = 1e-4
    else:
        raise InvalidImage(f"cannot write depth as '{path.suffix}': expected .npy, .png or .tiff")
    path.with_suffix(".camera.json").write_text(json.dumps(camera, indent=1))


def camera_json(seen: Camera | DepthImage) -> dict[str, Any]:
    """The camera, or that of an image, as JSON: what :func:`load_camera` and the service read."""
    values: dict[str, Any] = {"intrinsics": seen.intrinsics.to_json()}
    if seen.T_world_camera is not None:
        values["T_world_camera"] = seen.T_world_camera.tolist()
    if isinstance(seen, Camera) and seen.depth_unit is not None:
        values["depth_unit"] = seen.depth_unit
    return values


def _assets() -> Any:
    return resources.files("antipodal") / "assets" / "cameras"


def _read_array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UnknownAsset(
            f"{path} is a folder: expected the image's file"
            if path.is_dir()
            else f"no file {path}: check the path"
        )
    if path.suffix.lower() == ".npy":
        try:
            with path.open("rb") as file:
                values = np.load(file, allow_pickle=False)
                more = file.read(1) if isinstance(values, np.ndarray) else b""
        except (ValueError, EOFError, OSError, MemoryError, BadZipFile) as error:
            said = "" if "pickle" in str(error) else f" ({error})"  # numpy: "load it unsafely"
            raise InvalidImage(
                f"{path.name} is not a readable .npy array{said}: expected numbers, as numpy.save writes them"
            ) from error
        if more or not isinstance(values, np.ndarray):
            raise InvalidImage(
                f"{path.name} holds several arrays: expected one, as numpy.save writes"
            )
        return values
    import cv2  # heavy: loaded with the first image file

    if (content := path.read_bytes()).startswith(SIGNATURE):
        check_png(content, path.name)
    elif content[:4] in SIGNATURES | BIG_SIGNATURES:
        check_tiff(content, path.name)
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InvalidImage(
            f"{path.name} is not a readable image: expected the contents of an .npy, .png or .tiff file"
        )
    return image


def _parse(
    values: dict[str, Any], name: str, member: str | None, image_shape: tuple[int, int] | None
) -> Camera:
    inner = values.get("intrinsics", values)
    if matrices := members(inner):
        if member not in matrices:
            raise InvalidConfig(
                f"camera {name} holds several: choose one as {name}#{', #'.join(matrices)}"
            )
        inner, member = {"K": matrices[member]}, None
    if member is not None:
        raise InvalidConfig(f"camera {name} holds one camera: drop '#{member}'")
    if _is_matrix(inner):
        inner = {"K": inner}
    if isinstance(inner, dict) and not_zero(values.get("D")):  # it may stand beside the rest
        inner = inner | {"D": values["D"]}
    intrinsics = _intrinsics(inner, name, image_shape)
    held = [values, inner] if isinstance(inner, dict) else [values]
    for v in held:
        _check_same(v, intrinsics, name)
    return Camera(name, intrinsics, pose_of(held, name), _unit(values, name))


def members(intrinsics: object) -> dict[str, Any]:
    """The cameras of a file whose ``intrinsics`` are several matrices, by name; none where it holds one camera."""
    if not isinstance(intrinsics, dict) or {"fx", "_fx", "K"} & set(intrinsics):
        return {}
    return {name: value for name, value in intrinsics.items() if _is_matrix(value)}


def _check_same(values: dict[str, Any], intrinsics: CameraIntrinsics, name: str) -> None:
    """Refuse fx, fy, cx, cy or a K beside the intrinsics that say something else."""
    found = {k.lstrip("_"): v for k, v in values.items()}
    K = found.get("K")
    for said in (found, _of_matrix(K) if _is_matrix(K) else {}):
        for key in ("fx", "fy", "cx", "cy"):
            taken, other = getattr(intrinsics, key), said.get(key)
            if is_number(other) and abs(other - taken) > SAME_PIXEL:
                raise InvalidConfig(
                    f"camera {name} says {key} twice, {taken:g} and {other:g} px: expected one; which is the image's?"
                )


def _is_matrix(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(row, list) and len(row) == 3 for row in value)
    )


def _of_matrix(K: Any) -> dict[str, float]:
    return {"fx": K[0][0], "fy": K[1][1], "cx": K[0][2], "cy": K[1][2]}


def _intrinsics(values: Any, name: str, image_shape: tuple[int, int] | None) -> CameraIntrinsics:
    if not isinstance(values, dict):
        raise InvalidConfig(f"camera {name}: expected fx, fy, cx, cy, width, height or a 3×3 K")
    found = {k.lstrip("_"): v for k, v in values.items()}
    K = found.get("K")
    if isinstance(K, list) and _is_matrix(K):
        if [K[0][1], K[1][0], *K[2]] != [0, 0, 0, 0, 1]:
            raise InvalidConfig(
                f"camera {name}: K is {K}: expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; is it transposed, or skewed?"
            )
        found = _of_matrix(K) | found
    if image_shape is not None:
        found.setdefault("height", image_shape[0])
        found.setdefault("width", image_shape[1])
    if found.get("skew") not in (None, 0):
        raise InvalidConfig(
            f"camera {name} has skew {found['skew']}: expected 0; rectify the images first"
        )
    if not_zero(found.get("D")):
        raise InvalidConfig(
            f"camera {name} has lens distortion {found['D']}: expected none; rectify the images first"
        )
    names = ("fx", "fy", "cx", "cy", "width", "height")
    missing = [n for n in names if n not in found]
    if missing:
        raise InvalidConfig(
            f"camera {name} lacks {', '.join(missing)}: expected {', '.join(names)}"
        )
    try:
        return CameraIntrinsics.from_json({n: found[n] for n in names})
    except InvalidConfig as error:
        raise InvalidConfig(f"camera {name}: {error}") from error


def _unit(values: dict[str, Any], name: str) -> float | None:
    unit = values.get("depth_unit")
    if unit is None:
        text = str(values.get("units", ""))  # prose, as in "uint16 PNG, 1e-4 m, 0 = invalid"
        if "uint16" not in text:
            return None
        number = re.search(r"(\d+(?:\.\d+)?e-?\d+|0?\.\d+)\s*m\b", text)
        if number:
            unit = float(number[1])
        elif "millimet" in text:
            unit = 1e-3
        else:
            return None
    if not (is_number(unit) and MIN_UNIT <= unit <= 1.0):
        raise InvalidConfig(
            f"camera {name}: depth_unit {unit!r}: expected metres per count in [{MIN_UNIT:g}, 1]"
        )
    return float(unit)
