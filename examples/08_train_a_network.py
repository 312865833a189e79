"""From objects to a trained network in seconds: objects, data set, training, ONNX file, and its scores.

The same steps at a useful size are `runs/builtin.sh`; what comes out of this toy is no good to anybody.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from antipodal import load_gripper, load_quality
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PRESETS as MODELS
from antipodal.nn.config import PRESETS
from antipodal.nn.export import export_run
from antipodal.nn.train import train
from antipodal.objects import make_objects

if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    meshes = make_objects(6, seed=0, families=("carton", "handle", "screwdriver"))
    dataset = generate(meshes, load_gripper("yumi"), "data", MODELS["builtin"], 0, 1200)
    labels = dataset.labels()
    print(f"{len(labels)} datapoints of {len(meshes)} objects, {labels.mean():.0%} positive")

    config = dataclasses.replace(PRESETS["compact"], n_epochs=2, precision="float32")
    result = train("data", "run", config, accelerator="cpu")
    print(f"trained on {result['n_train']}, validated on {result['n_validation']} of other objects")

    exported = export_run("run", "model.onnx")
    print(f"{exported['parameters']} parameters, ONNX − torch = {exported['max_difference']:.0e}")

    # to a policy the file is like the built-in model: antipodal plan … --model model.onnx
    q = load_quality("model.onnx").score(np.full((1, 40, 40), 0.7, np.float32), np.array([0.69]))
    print(f"q above an empty table: {q[0]:.2f}")
