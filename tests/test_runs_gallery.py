"""runs/gallery.py takes each image's own camera or says why not, keeps every picture, and says where nothing is."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.camera_files import save_depth
from antipodal.errors import InvalidImage

SCRIPT = Path(__file__).parents[1] / "runs" / "gallery.py"
NARROW, WIDE = [[[f, 0, 159.5], [0, f, 119.5], [0, 0, 1]] for f in (250.0, 260.0)]


def gallery(monkeypatch: pytest.MonkeyPatch, folder: Path, output: Path) -> list[dict]:
    """Run the script; return what gallery.json says."""
    command = [str(SCRIPT), str(folder), "-o", str(output), "--policy", "antipodal"]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return json.loads((output / "gallery.json").read_text())


def boxes(near: float) -> np.ndarray:
    """A table at 0.7 m that a box stands on."""
    depth = np.full((240, 320), 0.7, np.float32)
    depth[105:135, 152:168] = near
    return depth


def put(folder: Path, cameras: dict[str, list], *images: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "camera.json").write_text(json.dumps({"intrinsics": cameras}))
    for name in images:
        np.save(folder / name, boxes(0.66))
    return folder


@pytest.mark.parametrize(
    ("cameras", "image", "camera"),
    [
        (("left", "right"), "depth_left", "left"),
        (("left", "right"), "depth_right", "right"),
        (("left", "right"), "depth", None),
        (("left", "right"), "left_right", None),
        (("left", "right"), "leftover", None),
        (("cam1", "cam2"), "cam1_frame_2", "cam1"),
        (("cam1", "cam2"), "frame_2", "cam2"),
        (("cam1", "cam2"), "frame_12", None),
        (("cam1", "cam12"), "cam12_frame", "cam12"),
        (("left1", "right1"), "frame_1", None),
        (("wrist", "ceiling"), "bin_ceiling", "ceiling"),
    ],
)
def test_an_image_is_of_the_camera_that_its_name_says_or_of_none(
    cameras: tuple[str, str],
    image: str,
    camera: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = dict(zip(cameras, (NARROW, WIDE), strict=True))
    put(tmp_path / "in", held, f"{image}.npy")
    taken: list[str] = []

    def told(path: Path, camera: str, *rest: object) -> None:
        taken.append(str(camera))
        raise InvalidImage("seen")

    monkeypatch.setattr("antipodal.planning.read_inputs", told)
    (row,) = gallery(monkeypatch, tmp_path / "in", tmp_path / "out")
    if camera is None:
        assert not taken
        assert all(name in row["error"] for name in (*cameras, image))
    else:
        assert taken == [f"{tmp_path / 'in' / 'camera.json'}#{camera}"]


def test_images_of_one_name_in_folders_of_one_name_have_a_picture_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("mon", "tue"):
        put(tmp_path / "in" / day / "d435", {"K": NARROW}, "depth_0.npy")
    rows = gallery(monkeypatch, tmp_path / "in", tmp_path / "out")
    assert len({row["image"] for row in rows}) == len(rows) == 2
    pictures = [p for p in (tmp_path / "out").rglob("*.png") if not p.name.startswith("sheet")]
    assert len(pictures) == 2


def test_a_saved_image_is_planned_with_the_camera_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """depth.npy and depth.camera.json are what the quickstart leaves."""
    intrinsics = CameraIntrinsics(250, 250, 159.5, 119.5, 320, 240)
    (tmp_path / "in").mkdir()
    save_depth(DepthImage(boxes(0.66), intrinsics), tmp_path / "in" / "depth.npy")
    (row,) = gallery(monkeypatch, tmp_path / "in", tmp_path / "out")
    assert "error" not in row
    assert (tmp_path / "out" / "sheet-0.png").is_file()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_a_depth_image_is_refused_in_one_line(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        (tmp_path / "in").mkdir()
        np.save(tmp_path / "in" / "depth.npy", boxes(0.66))  # of no camera
    with pytest.raises(SystemExit, match=r"camera\.json") as refused:
        gallery(monkeypatch, tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
