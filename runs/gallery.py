"""Plan every depth image of a folder tree with the built-in model, and draw what came of it: a gallery.

    python runs/gallery.py FOLDER -o out/gallery [--policy cem] [--gripper yumi]

An image's camera is the X.camera.json beside X.npy, as save_depth writes it, or the camera.json of its folder; files
named *color* or *segmask* are no depth images. Of several cameras in one file an image is taken by the one whose whole
name is in its own, as suction_test-image is by suction, else by the one that ends in its number, as pj_input-0 is by
pj_camera_0. Written are a picture of each image at the image's path, sheets of eight, and gallery.json with counts and
times.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from antipodal.camera_files import members
from antipodal.camera_formats import read_values
from antipodal.draw import save_plan
from antipodal.errors import AntipodalError, InvalidConfig
from antipodal.planning import plan_image, read_inputs

SUFFIXES = (".npy", ".png", ".tiff")
COLUMNS, ROWS, SIDE = 2, 4, 1200
WHITE = (255, 255, 255)


def depth_images(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each depth image that has a camera, and the camera's file."""
    for path in sorted(root.rglob("*")):
        if path.suffix in SUFFIXES and not any(word in path.name for word in ("color", "segmask")):
            cameras = path.with_suffix(".camera.json"), path.parent / "camera.json"
            if camera := next((c for c in cameras if c.is_file()), None):
                yield path, camera


def member(image: Path, camera: Path) -> str:
    """The camera of an image, as ``load_camera`` takes it, where the file may hold several.

    Raises:
        InvalidConfig: the image's name does not say which of them.
    """
    names = members(read_values(camera).get("intrinsics"))
    if not names:
        return str(camera)
    whole = [n for n in names if re.search(rf"(?<![^\W_]){re.escape(n)}(?![^\W_])", image.stem)]
    fits = whole or [n for n in names if number(n) and number(n) == number(image.stem)]
    if len(fits) != 1:
        raise InvalidConfig(
            f"{image.name} is of {' or '.join(fits) or 'none'} of the cameras {', '.join(names)} in {camera}: expected "
            "an image's name that holds one camera's whole name, or ends in the number of one alone"
        )
    return f"{camera}#{fits[0]}"


def number(name: str) -> str:
    """The digits that a name ends in."""
    return name[len(name.rstrip("0123456789")) :]


def save_sheets(pictures: list[Path], output: Path) -> None:
    """Put the pictures, which lie under ``output``, on sheets, eight on each."""
    per_sheet = COLUMNS * ROWS
    for k in range(0, len(pictures), per_sheet):
        read = (cv2.imread(str(p)) for p in pictures[k : k + per_sheet])
        cells = [
            cv2.resize(np.asarray(c), (SIDE, SIDE * 7 // 20), interpolation=cv2.INTER_AREA)
            for c in read
        ]
        for i, path in enumerate(pictures[k : k + per_sheet]):
            cells[i] = cv2.copyMakeBorder(cells[i], 28, 0, 0, 0, cv2.BORDER_CONSTANT, None, WHITE)
            name = path.relative_to(output).with_suffix("").as_posix()
            cv2.putText(cells[i], name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255), 1)
        blank = np.full_like(cells[0], 255)
        cells += [blank] * (-len(cells) % COLUMNS)
        rows = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
        cv2.imwrite(str(output / f"sheet-{k // per_sheet}.png"), np.vstack(rows))


def main() -> None:
    """Plan, draw, list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/gallery"))
    parser.add_argument("--policy", default="cem")
    parser.add_argument("--gripper", default="yumi")
    asked = parser.parse_args()
    if not (images := list(depth_images(asked.folder))):
        raise SystemExit(
            f"{asked.folder} holds no depth image with a camera: expected {', '.join(SUFFIXES)} files, and beside "
            "X.npy its X.camera.json or a camera.json of the folder"
        )
    asked.output.mkdir(parents=True, exist_ok=True)
    rows, pictures = [], []
    for path, file in images:
        # a folder's or a file's name alone may come again
        name = path.relative_to(asked.folder).as_posix()
        try:
            camera = member(path, file)
            inputs = read_inputs(path, camera, None, asked.gripper, "builtin", asked.policy, None)
            result = plan_image(inputs, seed=0)
        except AntipodalError as error:
            rows.append({"image": name, "error": str(error)})
            print(f"{name}: {error}")
            continue
        pictures.append(asked.output / f"{name}.png")
        save_plan(pictures[-1], inputs.image, result.plan, inputs.gripper)
        best = float(result.plan.quality[0]) if len(result.plan.grasps) else None
        said = result.plan.reason if best is None else f"q = {best:.2f}"
        print(f"{name}: {said}; {result.json['plan_time'] * 1e3:.0f} ms", flush=True)
        keys = ("counts", "reason", "commonest_rejection", "plan_time")
        rows.append({"image": name, "quality": best, **{k: result.json[k] for k in keys}})
    save_sheets(pictures, asked.output)
    (asked.output / "gallery.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
