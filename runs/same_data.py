"""GQ-CNN 2.0 and the compact network on the same datapoints, scored on the same objects that none of them has seen.

    python runs/same_data.py [-o OUT] [-n DATAPOINTS] [--only NETWORK[:PASSES] …] [--split SPLIT]

Objects and model are those of runs/builtin.sh. The images are cut twice: with the built-in network's crop (40 px of
0.1 m) and with the paper's (32 px of 0.128 m, which are its 96 px at its own camera; in metres, so that the focal
lengths and heights that vary here are not held against it). All else is equal, datapoint by datapoint. Each network
sees the same DATAPOINTS of the training objects, once or PASSES times, with its own preset's noise and optimiser, and
each is trained on its own label and on the other's. They are judged on other objects, of another seed. For each truth a
network's log-odds are scaled and shifted by two numbers fitted there, since it may have learned another. With --split
image_wise or pose_wise they are judged on what the split holds out of the training objects, a tenth of the datapoints
or stable poses; the shipped network has seen those and is left out. Resumable; GQ-CNN 2.0 takes most of the time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Literal, NamedTuple

import grippers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from antipodal import transforms
from antipodal.crop import CropConfig
from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.images import Views, view_crops
from antipodal.dataset.model import BUILTIN
from antipodal.dataset.run import load_meshes
from antipodal.dataset.store import (
    SIDE_TABLES,
    SPLIT_KEYS,
    Dataset,
    SplitName,
    TargetName,
    write_table,
)
from antipodal.files import file_hash, write_json
from antipodal.grasp import PlanarGrasp
from antipodal.gripper import load_gripper
from antipodal.nn.calibrate import fit_calibration
from antipodal.nn.config import PRESETS, TrainConfig
from antipodal.nn.export import export_run
from antipodal.nn.scores import classification
from antipodal.nn.stream import GraspRows, GraspStream
from antipodal.nn.train import ORDERED_BATCH, train
from antipodal.objects import ObjectSet, load_object_set, make_object_set
from antipodal.quality import load_quality

N_OBJECTS, SEED = 1750, 1
MADE = 1.25
"""Datapoints made for one that is trained on: some are held out, and some objects fall short."""
TRAIN_FRACTION = 0.9
PAPER_CROP = CropConfig(32, window_px=None, window_m=0.128)


class Entry(NamedTuple):
    """One network of the table."""

    crop: str
    preset: str = ""
    """Of training; none: the shipped network."""
    target: TargetName = "robust"
    precision: Literal["float32", "bfloat16"] = "bfloat16"


NETWORKS = {
    "builtin": Entry("metric"),
    "gqcnn20": Entry("paper", "paper"),
    "compact": Entry("metric", "compact", "success"),
    "compact_robust": Entry("metric", "compact"),
    "gqcnn20_success": Entry("paper", "paper", "success"),
    "gqcnn20_float32": Entry("paper", "paper", precision="float32"),
}
TableName = Literal["poses", "grasps"]
TRUTHS: tuple[TargetName, ...] = ("robust", "success")
SCORES = ("accuracy", "balanced_accuracy", "average_precision", "auc", "ece")
N_RESAMPLES = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", type=Path, default=Path("out/same_data"))
    parser.add_argument("-n", type=int, default=500_000)
    usual = [name for name, entry in NETWORKS.items() if entry.precision == "bfloat16"]
    parser.add_argument("--only", nargs="*", default=usual)
    parser.add_argument("--split", choices=SPLIT_KEYS, default="object_wise")
    arguments = parser.parse_args()
    asked: dict[str, int] = {}
    for given in arguments.only:
        name, _, passes = given.partition(":")
        if name not in NETWORKS or name in asked or not (passes or "1").isdecimal():
            parser.error(
                f"{given}: expected each once, NAME or NAME:PASSES of {', '.join(NETWORKS)}"
            )
        asked[name] = int(passes or 1)
    split: SplitName = arguments.split
    if split != "object_wise":
        asked.pop("builtin", None)
        if not asked:
            parser.error(
                f"--split {split}: builtin has seen what it holds out; expected another network in --only"
            )
    data = make_data(arguments.o, N_OBJECTS, round(MADE * arguments.n), SEED)
    files = {
        name: make_network(arguments.o / split, name, data, arguments.n, passes, split)
        for name, passes in asked.items()
    }
    if split == "object_wise":  # what no network has seen, in any of its stages
        data = make_data(
            arguments.o / "judged", grippers.N_OBJECTS, grippers.N_DATAPOINTS, grippers.OBJECT_SEED
        )
        rows = np.arange(len(data["metric"]))
    else:
        rows = data["metric"].split(split, TrainConfig().seed, TRAIN_FRACTION)[1]
    answers = {name: score(file, data[NETWORKS[name].crop], rows) for name, file in files.items()}
    table = {truth: compare(answers, data["metric"], rows, truth) for truth in TRUTHS}
    found = {"n_train": arguments.n, "networks": arguments.only, "scores": table}
    write_json(found, arguments.o / split / "same_data.json")
    print(json.dumps(table, indent=1))


def make_data(out: Path, n_objects: int, n: int, seed: int) -> dict[str, Dataset]:
    """Generate, or open, the data set with the built-in network's crop, and the same with the paper's."""
    folder = out / "objects"
    if not (folder / "objects.json").is_file():
        make_object_set(folder, n_objects, seed)
    meshes, hand = load_meshes(load_object_set(folder)), load_gripper("yumi")
    metric = generate(meshes, hand, out / f"metric_{n}", BUILTIN, seed, n, Execution(workers=2))
    return {"metric": metric, "paper": recrop(metric, out / f"paper_{n}", PAPER_CROP)}


def recrop(data: Dataset, path: Path, crop: CropConfig) -> Dataset:
    """The same datapoints with another crop of the same, noiseless images, traced again."""
    (path / "shards").mkdir(parents=True, exist_ok=True)
    meshes = load_object_set(path.parent / "objects")
    rest = transforms_by_id(data, "poses", "pose_id", "T_world_obj")
    T_obj_grasp = transforms_by_id(data, "grasps", "grasp_id", "T_obj_grasp")
    shards = []
    for shard in data.manifest["shards"]:
        file = path / shard["file"]
        if not file.is_file():
            table = pq.read_table(data.path / shard["file"])
            crops = shard_crops(table, meshes, rest, T_obj_grasp, crop)
            kind = pa.list_(pa.float16(), crop.size**2)
            column = pa.FixedSizeListArray.from_arrays(pa.array(crops.ravel()), crop.size**2)
            write_table(table.set_column(0, pa.field("crop", kind), column), file)
        shards.append({**shard, "sha256": file_hash(file)})
    for name in SIDE_TABLES:
        write_table(data.table(name), path / f"{name}.parquet")
    config = {**data.config, "crop": dataclasses.asdict(crop), "window_strokes": None}
    manifest = {**data.manifest, "config": config, "shards": shards, "tables": []}
    write_json(manifest, path / "dataset.json")
    return Dataset.open(path)


def shard_crops(
    table: pa.Table, meshes: ObjectSet, rest: dict, T_obj_grasp: dict, crop: CropConfig
) -> np.ndarray:
    """Crops of a shard's rows, relative to their grasps' depths, float16; NaN = missing."""
    got = {
        name: np.stack(table[name].to_numpy(zero_copy_only=False))
        for name in ("center_px", "T_world_camera", "intrinsics")
    }
    got |= {
        name: table[name].to_numpy()
        for name in ("depth", "angle", "width", "object_id", "pose_id", "image_id", "grasp_id")
    }
    crops = np.empty((len(table), crop.size, crop.size), np.float16)
    images, inverse = np.unique(got["image_id"], return_inverse=True)
    for i in range(len(images)):
        rows = np.flatnonzero(inverse == i)
        first = rows[0]
        planar = PlanarGrasp(*(got[n][rows] for n in ("center_px", "angle", "depth", "width")))
        T_world_camera = got["T_world_camera"][first].reshape(4, 4).astype(float)
        k = got["intrinsics"][first].astype(float)
        T_camera_obj = transforms.inverse(T_world_camera) @ rest[got["pose_id"][first]]
        centers = np.stack([T_obj_grasp[g][:3, 3] for g in got["grasp_id"][rows]])
        x, y, depth = transforms.apply(T_camera_obj, centers).T
        seen_px = np.stack([x, y], -1) / depth[:, None] * k[:2] + k[2:]
        if (off := np.abs(seen_px - planar.center_px).max()) > 0.01:
            raise ValueError(
                f"a grasp is {off:.1f} px from where its camera sees it: a data set of before T_world_camera was in "
                "the world of poses.parquet? Use a new folder"
            )
        size = BUILTIN.camera.width, BUILTIN.camera.height
        views = Views(T_world_camera[None], T_camera_obj[None], k[None], *size)
        seen = view_crops(meshes[int(got["object_id"][first])], views, 0, planar, crop)
        relative = seen - planar.depth[:, None, None].astype(np.float32)
        relative[seen == 0] = np.nan
        crops[rows] = relative
    return crops


def transforms_by_id(
    data: Dataset, table: TableName, key: str, name: str
) -> dict[int, transforms.Transform]:
    """Transforms of a side table."""
    found = data.table(table)
    stacked = np.stack(found[name].to_numpy(zero_copy_only=False)).reshape(-1, 4, 4)
    return dict(zip(found[key].to_pylist(), stacked, strict=True))


def make_network(
    out: Path, name: str, data: dict[str, Dataset], n: int, n_epochs: int, split: SplitName
) -> str:
    """Train and export one network; return its file."""
    entry = NETWORKS[name]
    if not entry.preset:
        return name
    config = dataclasses.replace(
        PRESETS[entry.preset],
        split=split,
        train_fraction=TRAIN_FRACTION,
        n_train=n,
        n_epochs=n_epochs,
        precision=entry.precision,
        target=entry.target,
    )
    run = out / f"{name}_{n}_{n_epochs}"
    file = run.with_suffix(".onnx")
    result = train(data[entry.crop].path, run, config)
    if rate := result["datapoints_per_second"]:
        waited = result["waited_for_data_share"]
        print(f"{name}: {rate:.0f} datapoints/s, {waited:.1%} of the time waiting", flush=True)
    if not file.is_file():
        export_run(run, file)
    return str(file)


def score(file: str, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Quality of each of some datapoints."""
    network = load_quality(file)
    stream = GraspStream(GraspRows(dataset, rows, np.zeros(len(dataset)), 2.0**30), ORDERED_BATCH)
    return np.concatenate([network.score(b.crop[:, 0].numpy(), b.depth[:, 0].numpy()) for b in stream])  # fmt: skip


def compare(
    answers: dict[str, np.ndarray], dataset: Dataset, rows: np.ndarray, truth: TargetName
) -> dict:
    """Scores with 95 % intervals over draws of objects; differences from GQ-CNN 2.0 over the same draws."""
    label = dataset.targets(truth)[rows]
    objects = dataset.read(["object_id"])["object_id"][rows]
    ids, inverse = np.unique(objects, return_inverse=True)
    members = [np.flatnonzero(inverse == k) for k in range(len(ids))]
    rng = np.random.default_rng(0)
    answers = {name: brought(quality, label) for name, quality in answers.items()}
    draws = {name: [] for name in answers}
    for _ in range(N_RESAMPLES):
        drawn = np.concatenate([members[k] for k in rng.integers(0, len(ids), len(ids))])
        for name, quality in answers.items():
            scores = classification(quality[drawn], label[drawn])
            draws[name].append([scores[s] for s in SCORES])
    found: dict = {
        "n": len(label),
        "n_objects": len(ids),
        "always_no": float((label <= 0.5).mean()),
    }
    for name, quality in answers.items():
        scores = classification(quality, label)
        found[name] = {s: [scores[s], *_interval(draws[name], k)] for k, s in enumerate(SCORES)}
        if "gqcnn20" in answers:
            gain = np.subtract(draws[name], draws["gqcnn20"])
            found[name]["gain"] = {s: _interval(gain, k) for k, s in enumerate(SCORES)}
    return found


def brought(quality: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Platt's scale and offset, fitted to the label itself: order stays, ½ comes to where it divides best."""
    q = np.clip(quality, 1e-7, 1 - 1e-7)
    log_odds = np.log(q / (1 - q))
    return fit_calibration(log_odds, label)(log_odds)


def _interval(draws: object, column: int) -> list[float]:
    return np.quantile(np.asarray(draws)[:, column], [0.025, 0.975]).round(4).tolist()


if __name__ == "__main__":
    main()
