"""Replay a recorded trial as an animated GIF or an MP4."""

from __future__ import annotations

import io
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ..camera import CameraIntrinsics
from ..dataset.store import read_table
from ..errors import InvalidConfig
from ..files import publishing, write_bytes
from ..gripper import GripperModel
from ..render.shade import look_from
from .frames import FPS, Recorded, execute_again, picture, recorded
from .runner import open_run

SUFFIXES = (".gif", ".mp4")
"""What a replay's name may end in."""
SIZE = (400, 380)
"""Width and height of a frame, px."""
FOLLOW = 0.7
"""Share of the hand's way that the camera goes along."""


def replay(
    trials: str | Path,
    trial: int,
    output: str | Path,
    objects: Path | None = None,
    fps: float = FPS,
) -> dict[str, Any]:
    """Execute row ``trial`` of a run again and write what happened.

    Args:
        trials: folder of the run, or its trials.parquet.
        trial: row of the table.
        output: a .gif or .mp4 file.
        objects: folder of the meshes, if it has moved.
        fps: frames per second, 1 to 50; the film runs in real time. Those of a GIF last whole hundredths of a second:
            35 are 33.3.

    Returns:
        ``planner``, ``object``, ``outcome``, ``recorded_outcome``, ``same``, ``n_frames``.

    Raises:
        InvalidConfig: no such row, a row without a grasp, or an unknown suffix.
        UnknownAsset: the run or the mesh is not there.
    """
    output = Path(output)
    if output.suffix.lower() not in SUFFIXES:
        raise InvalidConfig(f"replay {output}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not 1 <= fps <= 50:
        raise InvalidConfig(f"fps {fps}: expected 1 to 50")
    if output.suffix.lower() == ".gif":
        fps = 100 / round(100 / fps)  # before anything is filmed: a GIF counts in 10 ms
    folder, run = open_run(trials)
    table = read_table(folder / "trials.parquet")
    if not 0 <= trial < table.num_rows:
        raise InvalidConfig(f"trial {trial}: expected 0 to {table.num_rows - 1}")
    row = table.slice(trial, 1).to_pylist()[0]
    gripper = GripperModel.from_json(run["gripper"], "config.json: gripper")
    record = recorded(row, run, gripper, objects)
    frames, outcome = film(record, fps)
    output.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[output.suffix.lower()](frames, output, fps)
    return {
        "planner": row["planner"],
        "object": row["object"],
        "trial": trial,
        "outcome": outcome,
        "recorded_outcome": row["outcome"],
        "same": outcome == row["outcome"],
        "n_frames": len(frames),
        "file": str(output),
    }


def show(path: str | Path) -> bool:
    """Open a film with what the system shows such files with, a browser say; False where there is nothing to ask.

    The frames come from our own ray tracer: nothing here needs OpenGL.
    """
    return webbrowser.open(Path(path).resolve().as_uri())


def film(record: Recorded, fps: float = FPS) -> tuple[list[UInt8[np.ndarray, "H W 3"]], str]:
    """Execute a recorded trial and shade it; also returns how it ended."""
    result, snapshots = execute_again(record, fps)
    mesh, start = record.trial.scene.mesh, record.grasp_world.center
    width, height = SIZE
    distance = 0.55 + 0.5 * float(mesh.extents.max())
    intrinsics = CameraIntrinsics(480, 480, (width - 1) / 2, (height - 1) / 2, width, height)
    frames = []
    for snapshot in snapshots:
        # the camera follows the hand most of the way, so that it stays large and its motion is seen
        target = start + FOLLOW * (snapshot.T_world_grasp[:3, 3] - start) + [0.0, 0.0, 0.03]
        T_world_camera = look_from(np.deg2rad(-68), np.deg2rad(16), distance, target)
        frames.append(picture(result, snapshot, mesh, record.gripper, T_world_camera, intrinsics))
    return frames, result.outcome.name


def _write_gif(frames: list[np.ndarray], path: Path, fps: float) -> None:
    from PIL import Image  # matplotlib brings it

    # one palette for the whole film: colours must not flicker
    palette = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 6)])).quantize(255)
    pictures = [
        Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames
    ]
    out = io.BytesIO()
    pictures[0].save(
        out,
        format="gif",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
    )
    write_bytes(out.getvalue(), path)


def _write_mp4(frames: list[np.ndarray], path: Path, fps: float) -> None:
    import cv2

    code = cv2.VideoWriter.fourcc(*"mp4v")
    with publishing(path) as unfinished:
        film = cv2.VideoWriter(str(unfinished), code, fps, SIZE)
        if not film.isOpened():
            raise InvalidConfig(f"{path}: this OpenCV cannot write MP4: expected a .gif")
        for frame in frames:
            film.write(frame[..., ::-1])  # RGB → BGR
        film.release()


WRITERS = {".gif": _write_gif, ".mp4": _write_mp4}
