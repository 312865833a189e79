"""What is wrong with this depth image, camera, mesh or gripper, in words, and what to change.

Nothing raises here: an input that cannot be used is a finding of severity "error", and what a planner or the built-in
network would stumble over is a "warning". The training range is the built-in model's.
"""

from __future__ import annotations

from pathlib import Path

from ..camera import CameraIntrinsics
from ..camera_files import Camera, camera_names
from ..camera_formats import CAMERA_SUFFIXES
from ..gripper import GripperModel, gripper_names
from ..mesh import MESH_SUFFIXES
from .camera import examine_camera as examine_camera
from .finding import Finding as Finding
from .gripper import examine_gripper as examine_gripper
from .image import examine_depth as examine_depth
from .mesh import examine_mesh as examine_mesh

DEPTH_SUFFIXES = (".npy", ".png", ".tif", ".tiff")


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
        gripper: that a mesh, or what stands on the table, must fit.
        depth_unit: metres per count of a depth image.
        mesh_unit: metres per unit of a mesh.
    """
    path, text = Path(name), str(name)
    if path.suffix.lower() in MESH_SUFFIXES:
        return examine_mesh(path, gripper, mesh_unit)
    if path.suffix.lower() in DEPTH_SUFFIXES:
        if camera is None:
            return [Finding("error", f"{path.name}: a depth image needs its camera: give --camera")]
        return examine_depth(path, camera, depth_unit, gripper)
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


def _is_gripper(path: Path) -> bool:
    """A TOML file that speaks of jaws."""
    return path.suffix == ".toml" and path.is_file() and b"max_width" in path.read_bytes()
