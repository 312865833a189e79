"""GQ-CNN 2.0 and the compact network on the same datapoints, scored on the same objects that none of them has seen.

    python runs/same_data.py [-o OUT] [-n DATAPOINTS] [--only NETWORK …]

Objects and model are those of runs/builtin.sh. The data set is made twice from one seed: with the built-in network's
crop (40 px of 0.1 m) and with the paper's (32 px of 0.128 m, which are its 96 px at its own camera; in metres, so that
the focal lengths and heights that vary here are not held against it). All else is equal, datapoint by datapoint. Each
network sees the same DATAPOINTS of the training objects once, with its own preset's noise and optimiser, and each is
trained on its own label and on the other's. Resumable at the last finished network; GQ-CNN 2.0 takes most of the time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from antipodal.crop import CropConfig
from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.model import BUILTIN
from antipodal.dataset.run import load_meshes
from antipodal.dataset.store import Dataset, TargetName
from antipodal.files import write_json
from antipodal.gripper import load_gripper
from antipodal.nn.config import PRESETS, TrainConfig
from antipodal.nn.export import export_run
from antipodal.nn.scores import classification
from antipodal.nn.stream import GraspRows, GraspStream
from antipodal.nn.train import ORDERED_BATCH, train
from antipodal.objects import load_object_set, make_object_set
from antipodal.quality import load_quality

N_OBJECTS, SEED, N_MADE = 1750, 1, 500_000
CROPS = {
    "metric": BUILTIN,
    "paper": dataclasses.replace(
        BUILTIN, crop=CropConfig(32, window_px=None, window_m=0.128), window_strokes=None
    ),
}
"""The generative model by the name of its crop."""


class Entry(NamedTuple):
    """One network of the table."""

    crop: str
    preset: str = ""
    """Of training; none: the shipped network."""
    target: TargetName = "robust"


NETWORKS = {
    "builtin": Entry("metric"),
    "gqcnn20": Entry("paper", "paper"),
    "compact": Entry("metric", "compact", "success"),
    "compact_robust": Entry("metric", "compact"),
    "gqcnn20_success": Entry("paper", "paper", "success"),
}
TRUTHS: tuple[TargetName, ...] = ("robust", "success")
SCORES = ("accuracy", "balanced_accuracy", "average_precision", "auc", "ece")
N_RESAMPLES = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", type=Path, default=Path("out/same_data"))
    parser.add_argument("-n", type=int, default=400_000)
    parser.add_argument("--only", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    arguments = parser.parse_args()
    data = {crop: make_data(arguments.o, crop) for crop in CROPS}
    files = {name: make_network(arguments.o, name, data, arguments.n) for name in arguments.only}
    check_twins(data)
    held_out = data["metric"].split("object_wise", TrainConfig.seed, 0.9)[1]
    answers = {
        name: score(file, data[NETWORKS[name].crop], held_out) for name, file in files.items()
    }
    table = {truth: compare(answers, data["metric"], held_out, truth) for truth in TRUTHS}
    write_json({"n_train": arguments.n, "scores": table}, arguments.o / "same_data.json")
    print(json.dumps(table, indent=1))


def make_data(out: Path, crop: str) -> Dataset:
    """Generate, or open, the data set with one of the crops."""
    folder = out / "objects"
    if not (folder / "objects.json").is_file():
        make_object_set(folder, N_OBJECTS, SEED)
    meshes, hand = load_meshes(load_object_set(folder)), load_gripper("yumi")
    return generate(
        meshes, hand, out / f"data_{crop}", CROPS[crop], SEED, N_MADE, Execution(workers=2)
    )


def check_twins(data: dict[str, Dataset]) -> None:
    """The data sets differ in their crops alone."""
    first, second = (
        d.read(["grasp_id", "image_id", "depth", "hold_probability"]) for d in data.values()
    )
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name])


def make_network(out: Path, name: str, data: dict[str, Dataset], n: int) -> str:
    """Train and export one network; return its file."""
    entry = NETWORKS[name]
    if not entry.preset:
        return name
    config = dataclasses.replace(
        PRESETS[entry.preset],
        split="object_wise",
        train_fraction=0.9,
        n_train=n,
        n_epochs=1,
        precision="bfloat16",
        target=entry.target,
    )
    run, file = out / f"{name}_{n}", out / f"{name}_{n}.onnx"
    result = train(data[entry.crop].path, run, config)
    rate, waited = result["datapoints_per_second"], result["waited_for_data_share"]
    print(f"{name}: {rate:.0f} datapoints/s, {waited:.1%} of the time waiting for them", flush=True)
    if not file.is_file():
        export_run(run, file)
    return str(file)


def score(file: str, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Quality of each row."""
    network = load_quality(file)
    stream = GraspStream(GraspRows(dataset, rows, np.zeros(len(dataset)), 2.0**30), ORDERED_BATCH)
    return np.concatenate([network.score(b.crop[:, 0].numpy(), b.depth[:, 0].numpy()) for b in stream])  # fmt: skip


def compare(
    answers: dict[str, np.ndarray], dataset: Dataset, rows: np.ndarray, truth: TargetName
) -> dict:
    """Scores with 95 % intervals over draws of objects; differences from GQ-CNN 2.0 over the same draws."""
    label = dataset.targets(truth)[rows]
    ids, inverse = np.unique(dataset.read(["object_id"])["object_id"][rows], return_inverse=True)
    members = [np.flatnonzero(inverse == k) for k in range(len(ids))]
    rng = np.random.default_rng(0)
    draws = {name: [] for name in answers}
    for _ in range(N_RESAMPLES):
        drawn = np.concatenate([members[k] for k in rng.integers(0, len(ids), len(ids))])
        for name, quality in answers.items():
            scores = classification(quality[drawn], label[drawn])
            draws[name].append([scores[s] for s in SCORES])
    found: dict = {"n": len(rows), "n_objects": len(ids), "always_no": float((label <= 0.5).mean())}
    for name, quality in answers.items():
        scores = classification(quality, label)
        found[name] = {s: [scores[s], *_interval(draws[name], k)] for k, s in enumerate(SCORES)}
        if "gqcnn20" in answers:
            gain = np.subtract(draws[name], draws["gqcnn20"])
            found[name]["gain"] = {s: _interval(gain, k) for k, s in enumerate(SCORES)}
    return found


def _interval(draws: object, column: int) -> list[float]:
    return np.quantile(np.asarray(draws)[:, column], [0.025, 0.975]).round(4).tolist()


if __name__ == "__main__":
    main()
