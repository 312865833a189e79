"""How well a network scores grasps of hands that it was not trained for, datapoint by datapoint.

    python runs/grippers.py [-o OUT] [--model MODEL] [-n DATAPOINTS]

The same new procedural objects for each built-in hand: as large as they are made, and scaled by the hand's stroke, so
that hand and object together are a larger YuMi. Cameras, execution errors, friction and masses stay what they are. The
truth is P(success) > ½. Shares of positives differ, so that each accuracy is also given at the YuMi's share; intervals
and differences draw objects. For the YuMi there are images from up to 1.2 m beside those from up to 1.05 m that
networks are trained on, and accuracy by focal length, height and tilt. Resumable; two cores, some minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.model import BUILTIN, GenerativeModel
from antipodal.dataset.run import load_meshes
from antipodal.dataset.shard import Unreadable
from antipodal.dataset.store import Dataset
from antipodal.files import write_json
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.nn.data import grasp_table, table_batches
from antipodal.objects import load_object_set, make_object_set
from antipodal.quality import load_quality
from antipodal.scores import area_under_roc, average_precision, expected_calibration_error

HANDS = ("yumi", "franka_hand", "robotiq_2f85")
N_OBJECTS, OBJECT_SEED, DATA_SEED = 120, 20, 20
"""Seeds that no training data have."""
N_DATAPOINTS = 60_000
N_RESAMPLES = 200
FAR = dataclasses.replace(
    BUILTIN, camera=dataclasses.replace(BUILTIN.camera, radius=(BUILTIN.camera.radius[0], 1.2))
)
"""The same scenes, cameras farther away among them."""
BINS = {
    "focal length, px": np.linspace(380, 700, 6),
    "height over the table, m": np.array([0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.05, 1.2]),
    "angle to the table's normal, °": np.linspace(0, 28, 5),
}


class Scored(NamedTuple):
    """A network's answers for one hand."""

    quality: np.ndarray
    probability: np.ndarray
    """P(success)."""
    object_id: np.ndarray


def main() -> None:
    arguments = command_line(__doc__, N_DATAPOINTS)
    sets = {
        (hand, sizes): make_data(arguments.o, hand, sizes, arguments.n)
        for hand in HANDS
        for sizes in ("made", "strokes")
        if hand != HANDS[0] or sizes == "made"
    }
    answers = {key: score(arguments.model, data, key[0]) for key, data in sets.items()}
    rows = describe(answers)
    far = make_data(arguments.o, HANDS[0], "made", arguments.n, FAR)
    cameras = by_camera(score(arguments.model, far, HANDS[0]), far)
    found = {"model": arguments.model, "rows": rows, "cameras": cameras}
    write_json(found, arguments.o / "grippers.json")
    print(json.dumps(found, indent=1))


def command_line(description: str | None, n: int) -> argparse.Namespace:
    """Read ``-o``, the folder of the data sets, ``--model``, and ``-n``, datapoints of each hand."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", type=Path, default=Path("out/grippers"))
    parser.add_argument("--model", default="builtin")
    parser.add_argument("-n", type=int, default=n)
    return parser.parse_args()


def make_data(
    out: Path, hand: str, sizes: str, n: int, model: GenerativeModel = BUILTIN
) -> Dataset:
    """The data set of one hand: objects as made, or scaled by its stroke over the YuMi's."""
    folder = out / "objects"
    if not (folder / "objects.json").is_file():
        make_object_set(folder, N_OBJECTS, OBJECT_SEED)
    gripper = load_gripper(hand)
    factor = 1.0 if sizes == "made" else gripper.max_width / load_gripper(HANDS[0]).max_width
    meshes: list[TriMesh | Unreadable] = [
        mesh.scaled(factor) if isinstance(mesh, TriMesh) else mesh
        for mesh in load_meshes(load_object_set(folder))
    ]
    path = out / f"{hand}_{sizes}{'_far' if model is FAR else ''}"
    return generate(meshes, gripper, path, model, DATA_SEED, n, Execution(workers=2))


def score(model: str, dataset: Dataset, hand: str) -> Scored:
    """Score every datapoint as the planner would."""
    network = load_quality(model).for_gripper(load_gripper(hand))
    columns = dataset.read(["crop", "depth", "object_id"])
    probability = dataset.targets("success")
    table = grasp_table(columns["crop"], columns["depth"], probability, dataset.hands())
    parts = [
        network.score(batch.crop[:, 0].numpy(), batch.depth[:, 0].numpy())
        for batch in table_batches(table)
    ]
    return Scored(np.concatenate(parts), probability, columns["object_id"])


def describe(answers: dict[tuple[str, str], Scored]) -> list[dict]:
    """Every row of the table, with intervals, and differences from the first over the same draws of objects."""
    share = float((next(iter(answers.values())).probability > 0.5).mean())
    point = {key: numbers(a, share) for key, a in answers.items()}
    draws = {key: resampled(a, share) for key, a in answers.items()}
    base = next(iter(answers))
    rows = []
    for key, a in answers.items():
        row = {"hand": key[0], "sizes": key[1], "n": len(a.quality), **point[key]}
        row["interval"] = interval(draws[key])
        row["minus_first"] = interval(draws[key] - draws[base])
        rows.append(row)
    return rows


def by_camera(a: Scored, dataset: Dataset) -> list[dict]:
    """Accuracy in bins of what the camera was, with intervals over draws of objects."""
    columns = dataset.read(["intrinsics", "T_world_camera"])
    T_world_camera = columns["T_world_camera"].reshape(-1, 4, 4).astype(float)
    tilt = np.rad2deg(np.arccos(np.clip(-T_world_camera[:, 2, 2], -1, 1)))
    facts = columns["intrinsics"][:, 0], T_world_camera[:, 2, 3], tilt
    rows = []
    for (name, edges), value in zip(BINS.items(), facts, strict=True):
        for low, high in pairwise(edges):
            some = Scored(*(c[(value >= low) & (value < high)] for c in a))
            rows.append(
                {
                    name: [float(low), float(high)],
                    "n": len(some.quality),
                    "accuracy": numbers(some, 0.5)["accuracy"],
                    "interval": interval(resampled(some, 0.5))["accuracy"],
                }
            )
    return rows


SCORES = (
    "positive_share",
    "accuracy",
    "accuracy_at_share",
    "balanced_accuracy",
    "average_precision",
    "ap_at_share",
    "auc",
    "ece",
)


def numbers(a: Scored, share: float) -> dict[str, float]:
    """The scores named in ``SCORES``; ``…_at_share`` weigh positives and negatives to the given share."""
    q, truth = a.quality, a.probability > 0.5
    recall, specificity = (q[truth] >= 0.5).mean(), (q[~truth] < 0.5).mean()
    positive = truth.mean()
    values = (
        positive,
        positive * recall + (1 - positive) * specificity,
        share * recall + (1 - share) * specificity,
        (recall + specificity) / 2,
        average_precision(q, truth),
        weighted_ap(q, truth, share),
        area_under_roc(q, truth),
        expected_calibration_error(q, a.probability),
    )
    return dict(zip(SCORES, map(float, values), strict=True))


def weighted_ap(q: np.ndarray, truth: np.ndarray, share: float) -> float:
    """Average precision had the positives this share; equal qualities in the order that they come."""
    s = truth[np.argsort(-q, kind="stable")]
    hits = np.cumsum(s) / s.sum() * share
    misses = np.cumsum(~s) / (~s).sum() * (1 - share)
    return float((hits / (hits + misses))[s].mean())


def resampled(a: Scored, share: float) -> np.ndarray:
    """(draws, scores): the same draws of objects for every hand; an object that gave nothing adds nothing."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(a.object_id == k) for k in range(N_OBJECTS)]
    found = []
    for _ in range(N_RESAMPLES):
        drawn = np.concatenate([rows[k] for k in rng.integers(0, N_OBJECTS, N_OBJECTS)])
        found.append(list(numbers(Scored(*(c[drawn] for c in a)), share).values()))
    return np.array(found)


def interval(draws: np.ndarray) -> dict[str, list[float]]:
    """95 % of the draws of each score."""
    return {
        name: np.quantile(column, [0.025, 0.975]).round(4).tolist()
        for name, column in zip(SCORES, draws.T, strict=True)
    }


if __name__ == "__main__":
    main()
