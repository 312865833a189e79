"""Fit P(hold) to simulated lifts of training objects ─▶ src/antipodal/assets/models/hold.json.

    antipodal objects make -n 350 --seed 5 -o out/hold/objects
    antipodal bench agreement --objects out/hold/objects -o out/hold/lifts -n 6400 --max-objects 160 \
        --seed 1 --near-misses
    python runs/hold_model.py out/hold/objects out/hold/lifts

Only lifts whose hand came in free count. Prints the scores of a cross-validation by object, beside robust ε alone;
with --check those of the fitted model on other lifts, say with another hand, of objects that it was not fitted to.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from antipodal import transforms
from antipodal.bench.agreement import weighing
from antipodal.bench.objects import load_object
from antipodal.dataset.epsilon import fast_ferrari_canny
from antipodal.files import write_json
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.scores import expected_calibration_error
from antipodal.success import FEATURES, HoldModel, hold_features, polynomial

ASSET = (
    Path(__file__).resolve().parents[1] / "src" / "antipodal" / "assets" / "models" / "hold.json"
)
Row = dict[str, Any]


class Lifts(NamedTuple):
    """Lifts whose hand came in free."""

    features: np.ndarray
    success: np.ndarray
    objects: np.ndarray


def main() -> None:
    """Fit, report and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("objects", type=Path)
    parser.add_argument(
        "lifts", type=Path, help="output of `antipodal bench agreement --near-misses`"
    )
    parser.add_argument("-o", "--output", type=Path, default=ASSET)
    parser.add_argument("--check", type=Path, help="other lifts of the same object set")
    arguments = parser.parse_args()
    lifts = read_lifts(arguments.objects, arguments.lifts)
    mean, scale = lifts.features.mean(0), lifts.features.std(0)
    terms = polynomial((lifts.features - mean) / scale)
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=5000)
    folds = GroupKFold(5)
    p = np.asarray(
        cross_val_predict(
            model, terms, lifts.success, groups=lifts.objects, cv=folds, method="predict_proba"
        )
    )[:, 1]
    model.fit(terms, lifts.success)
    values = {
        "features": list(FEATURES),
        "mean": mean.round(6).tolist(),
        "scale": scale.round(6).tolist(),
        "coefficients": model.coef_[0].round(5).tolist(),
        "cross_validation_by_object": scores(lifts, p),
    }
    write_json(values, arguments.output)
    print(json.dumps(values["cross_validation_by_object"], indent=1))
    if arguments.check is not None:
        others = read_lifts(arguments.objects, arguments.check)
        fitted = HoldModel(*(np.array(values[name]) for name in HoldModel._fields))
        new = ~np.isin(others.objects, lifts.objects)
        others = Lifts(*(column[new] for column in others))
        print(json.dumps(scores(others, fitted(others.features)), indent=1))


def read_lifts(objects: Path, lifts: Path) -> Lifts:
    """Describe the grasps of a run, scene by scene."""
    gripper = json.loads((lifts / "config.json").read_text())["gripper"]
    rows = pq.read_table(lifts / "agreement.parquet").to_pylist()
    rows = [r for r in rows if not r["outcome"].startswith(("COLLIDED", "UNSTABLE"))]
    jobs = [
        (objects, gripper, list(some)) for _, some in groupby(rows, lambda r: (r["object"], r["k"]))
    ]
    with Pool() as pool:
        features = pool.starmap(scene_features, jobs, chunksize=16)
    column = {name: np.array([r[name] for r in rows]) for name in ("success", "object")}
    return Lifts(np.concatenate(features), column["success"], column["object"])


def scene_features(objects: Path, gripper: str, rows: list[Row]) -> np.ndarray:
    """What P(hold) depends on, of the grasps of one scene."""
    hand, first = load_gripper(gripper), rows[0]
    mesh = weighing(load_object(objects, first["file"], first["object"]), first["mass"])
    T_world_obj, T_world_grasp = (
        np.reshape([r[name] for r in rows], (-1, 4, 4)) for name in ("T_world_obj", "T_world_grasp")
    )
    grasps_obj = Grasp(
        transforms.inverse(T_world_obj) @ T_world_grasp, np.full(len(rows), hand.max_width)
    )
    epsilon = np.array([r["robust_epsilon"] for r in rows])
    rng = np.random.default_rng(first["execution_seed"])
    return hold_features(mesh, grasps_obj, hand, epsilon, rng, metric=fast_ferrari_canny)


def scores(lifts: Lifts, p: np.ndarray) -> dict[str, float]:
    """How well p foretells the lifts."""
    facts = {
        "success_rate": lifts.success.mean(),
        "auc": roc_auc_score(lifts.success, p),
        "auc_robust_epsilon": roc_auc_score(lifts.success, lifts.features[:, 0]),
        "brier": brier_score_loss(lifts.success, p),
        "ece": expected_calibration_error(p, lifts.success),
    }
    counts = {"n_lifts": len(p), "n_objects": len(np.unique(lifts.objects))}
    return counts | {name: round(float(value), 4) for name, value in facts.items()}


if __name__ == "__main__":
    main()
