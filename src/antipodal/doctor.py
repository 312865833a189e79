"""What is wrong with this depth image, camera, mesh or gripper, in words.

Nothing raises here: an input that cannot be used is a finding of severity "error", and what a planner or the built-in
network would stumble over is a "warning". The training range is the paper's camera (reference §2.1).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from .camera import CameraIntrinsics, DepthImage
from .camera_files import Camera, camera_names, load_camera, load_depth
from .errors import AntipodalError
from .gripper import GripperModel, gripper_names, load_gripper
from .mesh import MESH_SUFFIXES, TriMesh, load_mesh
from .policy.table import DEFAULT_TABLE, TablePlane, fit_table, objects_on

Severity = Literal["ok", "warning", "error"]

TRAINED_DISTANCE = (0.45, 0.95)
"""Camera to table along the optical axis in the built-in model's training images, m (the paper's: 0.65–0.75)."""
TRAINED_TILT = (0.0, np.deg2rad(25.0))
"""Optical axis to table normal in them, rad (the paper's: 9–18°)."""
DEPTH_SUFFIXES = (".npy", ".png", ".tif", ".tiff")
CAMERA_SUFFIXES = (".intr", ".json", ".toml")
DEPTH_SEED = 0
"""Random state of the plane fit: the same image gets the same findings."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    severity: Severity
    message: str


def examine(
    name: str | Path,
    camera: Camera | CameraIntrinsics | str | Path | None = None,
    gripper: GripperModel | str | Path = "yumi",
    depth_unit: float | None = None,
    mesh_unit: float = 1.0,
) -> list[Finding]:
    """Examine whatever ``name`` is, by its suffix: a depth image, a mesh, a gripper or a camera.

    Args:
        name: a file, or the name of a built-in gripper or camera.
        camera: of a depth image.
        gripper: that a mesh must fit.
        depth_unit: metres per count of a depth image.
        mesh_unit: metres per unit of a mesh.
    """
    path, text = Path(name), str(name)
    if path.suffix.lower() in MESH_SUFFIXES:
        return examine_mesh(path, gripper, mesh_unit)
    if path.suffix.lower() in DEPTH_SUFFIXES:
        if camera is None:
            return [Finding("error", f"{path.name}: a depth image needs its camera: give --camera")]
        return examine_depth(path, camera, depth_unit)
    if text in gripper_names() or path.is_dir() or path.name == "gripper.toml" or _is_gripper(path):
        return examine_gripper(name)
    if text in camera_names() or Path(text.partition("#")[0]).suffix in CAMERA_SUFFIXES:
        return examine_camera(name)
    known = (*MESH_SUFFIXES, *DEPTH_SUFFIXES, *CAMERA_SUFFIXES)
    return [
        Finding(
            "error",
            f"{text} is no built-in gripper ({', '.join(gripper_names())}) or camera ({', '.join(camera_names())}) and "
            f"ends in none of {', '.join(known)}",
        )
    ]


def examine_depth(
    depth: str | Path | np.ndarray,
    camera: Camera | CameraIntrinsics | str | Path,
    unit: float | None = None,
) -> list[Finding]:
    """Examine a depth image: unit, range, holes, camera, table.

    Args:
        depth: a file, or an array in counts of ``unit`` m.
        camera: its camera, as a value, a preset name or a file.
        unit: metres per count.
    """
    try:
        image = _read(depth, camera, unit)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    return [_range(image), _holes(image), *_intrinsics(image.intrinsics), *_table(image)]


def examine_camera(camera: str | Path) -> list[Finding]:
    """Examine a camera by preset name or file: readable, plausible, with a pose."""
    try:
        found = load_camera(camera)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = _intrinsics(found.intrinsics)
    if found.T_world_camera is None:
        findings.append(
            Finding("ok", "no T_world_camera: the table's normal will be fitted to each image")
        )
        return findings
    downward = -float(found.T_world_camera[2, 2])
    if downward < 0.1:
        findings.append(
            Finding(
                "error",
                f"T_world_camera says that the camera looks {np.rad2deg(np.arcsin(-downward)):.0f}° above the horizon: "
                "expected downwards; is it the inverse (world in camera)?",
            )
        )
    else:
        findings.append(_tilt(float(np.arccos(min(downward, 1.0)))))
    return findings


def examine_gripper(gripper: str | Path) -> list[Finding]:
    """Examine a gripper by name or file: readable, with plausible lengths and forces."""
    try:
        hand = load_gripper(gripper)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = [
        Finding(
            "ok",
            f"{hand.name}: stroke {_mm(hand.min_width)}–{_mm(hand.max_width)}, fingers {_mm(hand.jaw_thickness)} "
            f"thick and {_mm(hand.jaw_width)} wide, tips {_mm(hand.tip_overhang)} beyond the grasp's centre, "
            f"{hand.max_force:g} N",
        )
    ]
    longest = max(hand.max_width, hand.finger_depth, hand.jaw_width, hand.jaw_thickness)
    if longest > 0.3:
        findings.append(
            Finding(
                "warning",
                f"a finger or the stroke measures {longest:g} m: expected metres; millimetres?",
            )
        )
    if hand.max_width < 0.02:
        findings.append(
            Finding(
                "warning",
                f"the stroke of {_mm(hand.max_width)} is narrower than most objects' thinnest side",
            )
        )
    if hand.max_width - hand.min_width < 0.01:
        findings.append(
            Finding("warning", "the jaws move less than 10 mm: objects must fit almost exactly")
        )
    if not hand.palm_boxes:
        findings.append(
            Finding("warning", "no palm_boxes: collisions of the palm with tall objects go unseen")
        )
    return findings


def examine_mesh(
    path: str | Path, gripper: GripperModel | str | Path | None = None, unit: float = 1.0
) -> list[Finding]:
    """Examine a mesh: readable, its unit, closed, outward, and of a size that the gripper can hold.

    Args:
        path: the file.
        gripper: the hand that is to hold it, or None to leave that question.
        unit: metres per unit of the file.
    """
    try:
        hand = gripper if isinstance(gripper, GripperModel | None) else load_gripper(gripper)
        mesh = load_mesh(path, unit)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = [
        Finding(
            "ok",
            f"{mesh.name}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, "
            f"{' × '.join(_mm(s) for s in mesh.extents)}",
        ),
        _size(mesh),
        _closed(mesh),
    ]
    flat = float((mesh.face_areas <= 0).mean())
    if flat > 0:
        findings.append(
            Finding("warning", f"{flat:.1%} of the faces have no area: repair drops them")
        )
    if hand is not None:
        findings.append(_fits(mesh, hand))
    return findings


def _read(
    depth: str | Path | np.ndarray,
    camera: Camera | CameraIntrinsics | str | Path,
    unit: float | None,
) -> DepthImage:
    if not isinstance(depth, np.ndarray):
        return load_depth(depth, camera, unit)
    if isinstance(camera, str | Path):
        camera = load_camera(camera)
    if isinstance(camera, CameraIntrinsics):
        camera = Camera("", camera)
    metres = depth if unit is None else depth * unit
    return DepthImage(metres, camera.intrinsics, camera.T_world_camera)


def _range(image: DepthImage) -> Finding:
    near, median, far = np.percentile(image.depth[image.valid], [1, 50, 99])
    words = f"depth {near:.3f}–{far:.3f} m, median {median:.3f} m"
    if median < 0.1:
        return Finding(
            "error", f"{words}: expected metres, some tenths at least; is the unit right?"
        )
    if median > 3.0:
        return Finding("warning", f"{words}: far for grasping; is the unit right?")
    return Finding("ok", words)


def _holes(image: DepthImage) -> Finding:
    share = 1.0 - float(image.valid.mean())
    words = f"{share:.1%} of the pixels are missing (0)"
    if share > 0.9:
        return Finding("error", f"{words}: expected depth on most of the image")
    return Finding("warning" if share > 0.4 else "ok", words)


def _intrinsics(intrinsics: CameraIntrinsics) -> list[Finding]:
    i = intrinsics
    findings = [Finding("ok", f"camera {i.width}×{i.height} px, f = ({i.fx:.1f}, {i.fy:.1f}) px")]
    off = max(abs(i.cx - (i.width - 1) / 2) / i.width, abs(i.cy - (i.height - 1) / 2) / i.height)
    if off > 0.25:
        findings.append(
            Finding(
                "warning",
                f"principal point ({i.cx:.0f}, {i.cy:.0f}) is far from the middle of {i.width}×{i.height} px: was the "
                "image resized or cropped without its camera?",
            )
        )
    if abs(i.fx / i.fy - 1) > 0.1:
        findings.append(
            Finding("warning", f"fx / fy = {i.fx / i.fy:.2f}: expected nearly square pixels")
        )
    return findings


def _tilt(tilt: float) -> Finding:
    low, high = np.rad2deg(TRAINED_TILT)
    words = f"the camera looks {np.rad2deg(tilt):.1f}° off the table's normal"
    if not TRAINED_TILT[0] <= tilt <= TRAINED_TILT[1]:
        return Finding(
            "warning", f"{words}: the built-in model was trained on {low:.0f}–{high:.0f}°"
        )
    return Finding("ok", words)


def _table(image: DepthImage) -> list[Finding]:
    """The plane, as the planner will find it: with the pose if that is known."""
    normal = image.table_normal_camera()
    if normal is not None and -normal[2] < 0.1:
        return [
            Finding("error", "T_world_camera: the camera does not look down: is it the inverse?")
        ]
    table = fit_table(image, None, np.random.default_rng(DEPTH_SEED))
    if table is None:
        return [
            Finding(
                "warning",
                f"no table: no plane{'' if normal is None else ' across world z'} holds "
                f"{DEFAULT_TABLE.min_share:.0%} of the pixels; heights above it cannot be checked",
            )
        ]
    findings = [_tilt(table.tilt), _distance(table)]
    if normal is not None:
        findings += _disagreement(image, table)
    area = int(objects_on(image, table).sum())
    if area == 0:
        findings.append(Finding("warning", "nothing stands on the table: no pixels rise above it"))
    else:
        findings.append(Finding("ok", f"objects on the table cover {area} px"))
    return findings


def _distance(table: TablePlane) -> Finding:
    distance = table.offset / -float(table.normal_camera[2])
    words = f"table at {distance:.3f} m along the optical axis"
    low, high = TRAINED_DISTANCE
    # 1 cm: the training range has no sharp end
    if not low - 0.01 <= distance <= high + 0.01:
        return Finding("warning", f"{words}: the built-in model was trained at {low}–{high} m")
    return Finding("ok", words)


def _disagreement(image: DepthImage, table: TablePlane) -> list[Finding]:
    """Compare the given pose with the plane that the image alone shows, if that one holds clearly more pixels."""
    alone = DepthImage(image.depth, image.intrinsics)
    seen = fit_table(alone, None, np.random.default_rng(DEPTH_SEED))
    if seen is None:
        return []
    cosine = float(np.clip(seen.normal_camera @ table.normal_camera, -1.0, 1.0))
    angle = np.rad2deg(np.arccos(cosine))
    points = image.points_camera()[image.valid]
    votes = [int((np.abs(p.height(points)) < DEFAULT_TABLE.tolerance).sum()) for p in (seen, table)]
    # 3° and half as many again: a box's side may win by chance, a wrong calibration wins by much
    if angle < 3.0 or votes[0] < 1.5 * votes[1]:
        return []
    return [
        Finding(
            "warning",
            f"the plane in the image is {angle:.1f}° off T_world_camera's horizontal: does the calibration belong to "
            "this view?",
        )
    ]


def _size(mesh: TriMesh) -> Finding:
    largest, smallest = float(mesh.extents.max()), float(mesh.extents.min())
    if largest > 1.0:
        return Finding("warning", f"largest side {largest:g} m: large for an object; millimetres?")
    if largest < 0.005:
        return Finding("warning", f"largest side {largest * 1e3:g} mm: small; is the unit right?")
    if smallest <= 0:
        return Finding("error", "the mesh is flat: expected a body with volume")
    return Finding("ok", "size is that of an object in metres")


def _closed(mesh: TriMesh) -> Finding:
    if not mesh.is_watertight:
        return Finding(
            "warning",
            "not watertight: repair it, or its mass is taken about the bounding box' centre",
        )
    if mesh.volume < 0:
        return Finding("warning", "the faces are inside out: repair turns them")
    return Finding("ok", f"watertight, {mesh.volume * 1e6:.1f} cm³")


def _fits(mesh: TriMesh, gripper: GripperModel) -> Finding:
    """Compare the stroke with the width of the hull, and with the thickness of single parts."""
    side, stroke = hull_width(mesh), gripper.max_width
    words = f"smallest side {_mm(side)}, stroke {_mm(stroke)}"
    if side < stroke:
        return Finding("ok", f"fits between the jaws of {gripper.name}: {words}")
    thin = float(np.percentile(wall_thickness(mesh), 5))
    if thin < stroke:
        return Finding(
            "warning",
            f"no side of this mesh fits between the jaws of {gripper.name}: {words}; parts of it are {_mm(thin)} thin",
        )
    return Finding(
        "error", f"no side of this mesh fits between the jaws of {gripper.name}: {words}"
    )


def hull_width(mesh: TriMesh) -> float:
    """Least distance of two parallel planes with the mesh between them, one along a face of its convex hull, m."""
    from scipy.spatial import ConvexHull, QhullError  # loaded with the first mesh

    try:
        hull = ConvexHull(mesh.vertices)
    except QhullError:  # flat: its own thickness is none
        return 0.0
    # equations: outward normal n and offset d with n·x + d ≤ 0
    inward = -(hull.points[hull.vertices] @ hull.equations[:, :3].T + hull.equations[:, 3])
    return float(inward.max(0).min())


def wall_thickness(mesh: TriMesh, n_rays: int = 2000) -> np.ndarray:
    """Way straight through the material from the middle of up to ``n_rays`` faces (largest first), m."""
    largest = np.argsort(-mesh.face_areas)[:n_rays]
    inward = -mesh.face_normals[largest]
    # 1e-6 m: start behind the face itself
    start = mesh.triangles[largest].mean(1) + 1e-6 * inward
    hits = mesh.raycaster.first_hit(start, inward)
    return np.where(hits.found, hits.distance, np.inf)


def _is_gripper(path: Path) -> bool:
    """A TOML file that speaks of jaws."""
    return path.suffix == ".toml" and path.is_file() and b"max_width" in path.read_bytes()


def _mm(length: float) -> str:
    return f"{length * 1e3:.0f} mm"
