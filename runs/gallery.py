"""Plan every depth image of a folder tree with the built-in model, and draw what came of it: a gallery.

    python runs/gallery.py FOLDER -o out/gallery [--policy cem] [--gripper yumi]

A folder of images holds a camera.json beside them; files named *color* or *segmask* are no depth images. Several
cameras in one file are taken by the image's name: pj_input-0 by the camera whose name ends in 0, test-* by the one that
shares a word with it. Written are one picture for each image, sheets of eight, and gallery.json with counts and times.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from antipodal.draw import save_plan
from antipodal.errors import AntipodalError
from antipodal.planning import plan_image, read_inputs

SUFFIXES = (".npy", ".png", ".tiff")
COLUMNS, ROWS, SIDE = 2, 4, 1200


def depth_images(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each depth image with its camera."""
    for camera in sorted(root.rglob("camera.json")):
        held = json.loads(camera.read_text()).get("intrinsics", {})
        names = [name for name, value in held.items() if isinstance(value, list)]
        for path in sorted(camera.parent.iterdir()):
            other = any(word in path.name for word in ("color", "segmask"))
            if path.suffix in SUFFIXES and not other:
                chosen = [n for n in names if path.stem[-1] == n[-1] or n in path.stem]
                yield path, f"{camera}#{chosen[-1]}" if chosen else str(camera)


def save_sheets(pictures: list[Path], output: Path) -> None:
    """Put the pictures on sheets, eight on each."""
    per_sheet = COLUMNS * ROWS
    for k in range(0, len(pictures), per_sheet):
        read = (cv2.imread(str(p)) for p in pictures[k : k + per_sheet])
        cells = [
            cv2.resize(np.asarray(c), (SIDE, SIDE * 7 // 20), interpolation=cv2.INTER_AREA)
            for c in read
        ]
        for cell, path in zip(cells, pictures[k : k + per_sheet], strict=True):
            cv2.putText(cell, path.stem, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255), 1)
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
    asked.output.mkdir(parents=True, exist_ok=True)
    rows, pictures = [], []
    for path, camera in depth_images(asked.folder):
        name = f"{path.parent.name}-{path.stem}"
        try:
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
