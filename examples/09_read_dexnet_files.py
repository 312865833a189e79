"""Read and write the original's files: a camera, a tensor data set, there and back.

With files of your own: `antipodal dataset import dexnet_2_tensor_dataset -o data` does the same from the shell.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from antipodal import load_camera, load_gripper
from antipodal.dataset.dexnet2_export import export_tensors
from antipodal.dataset.dexnet2_import import import_tensors
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PRESETS
from antipodal.objects import make_objects

if __name__ == "__main__":
    # a camera as perception and autolab_core write it
    intr = {"_fx": 552.5, "_fy": 552.5, "_cx": 255.5, "_cy": 191.75, "_skew": 0.0}
    intr |= {"_height": 386, "_width": 516, "_frame": "phoxi"}
    Path("phoxi.intr").write_text(json.dumps(intr))
    camera = load_camera("phoxi.intr").intrinsics
    print(f"phoxi.intr: {camera.width}×{camera.height} px, fx = {camera.fx} px")

    # our data set → their tensors → our data set
    meshes = make_objects(3, seed=1, families=("carton", "screwdriver"))
    ours = generate(meshes, load_gripper("yumi"), "ours", PRESETS["builtin"], 0, 300)
    export_tensors(ours, "tensors")
    config = json.loads(Path("tensors/config.json").read_text())
    for name, field in config["fields"].items():
        print(f"  {name:<22} {field['dtype']:<8} {field.get('height', '')}")
    theirs = np.load("tensors/tensors/hand_poses_00000.npz")["arr_0"]
    print(
        f"hand_poses {theirs.shape}: column 2 is the depth, {theirs[0, 2]:.3f} m in the first row"
    )

    back = import_tensors("tensors", "back", gripper="yumi")
    same = (back.labels() == ours.labels()).all()
    depth = abs(back.read(["depth"])["depth"] - ours.read(["depth"])["depth"]).max()
    print(
        f"{len(back.labels())} datapoints there and back: labels {'the same' if same else 'differ'}"
    )
    print(f"largest difference in depth: {depth:g} m")
