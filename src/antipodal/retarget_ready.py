"""What a finished cell needs to run: its hand and camera beside its model, and the commands that take all three.

plan.sh       antipodal plan with the cell's model, hand and camera, which flags override:  ./plan.sh depth.png
serve.sh      antipodal serve with its model and hand:                ./serve.sh --port 8000
request.json  for the service, beside the image:  curl -F depth=@d.png -F 'request=<request.json' URL
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .camera_files import camera_json, camera_names, load_camera
from .files import write_bytes, write_json
from .gripper import gripper_names, load_gripper
from .gripper_files import save_gripper

SCRIPT = """\
#!/bin/sh
# Made by 'antipodal retarget'. {what}
here=$(dirname "$(readlink -f "$0")")
exec antipodal {verb} --model "$here/model.onnx"{rest} "$@"
"""


def write_ready(folder: Path, gripper: str, camera: str | None) -> None:
    """Write the scripts and the request into a cell's folder; what is no preset is copied there.

    Args:
        folder: holds model.onnx.
        gripper: name or file.
        camera: preset or file; None leaves it to the caller.
    """
    request: dict[str, Any] = {"gripper": load_gripper(gripper).name}
    known_hand = gripper in gripper_names()
    hand = f" --gripper {gripper}" if known_hand else ' --gripper "$here/gripper.toml"'
    if not known_hand:
        save_gripper(load_gripper(gripper), folder / "gripper.toml")
    seen_by = ""
    if camera in camera_names():
        seen_by, request["camera"] = f" --camera {camera}", camera
    elif camera is not None:
        request["camera"] = camera_json(load_camera(camera))
        write_json(request["camera"], folder / "camera.json")
        seen_by = ' --camera "$here/camera.json"'
    write_json(request, folder / "request.json")
    what = "Plans on a depth image: ./plan.sh depth.png" + ("" if camera else " --camera …")
    _write_script(folder / "plan.sh", "plan", what, hand + seen_by)
    what = "Serves this cell; callers send request.json beside the depth image."
    _write_script(folder / "serve.sh", "serve", what, hand)


def _write_script(path: Path, verb: str, what: str, rest: str) -> None:
    write_bytes(SCRIPT.format(what=what, verb=verb, rest=rest).encode(), path)
    path.chmod(0o755)
