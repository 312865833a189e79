"""Fit P(hold) to simulated lifts: agreement.parquet of training objects ─▶ src/antipodal/assets/models/hold.json.

    antipodal objects make -n 350 --seed 5 -o out/hold/objects
    antipodal bench agreement --objects out/hold/objects -o out/hold/lifts -n 6400 --max-objects 160 \
        --seed 1 --near-misses
    python runs/hold_model.py out/hold/lifts/agreement.parquet

Only lifts whose hand came in free count. Prints the scores of a cross-validation by object, beside robust ε alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from antipodal.success import FEATURES, polynomial

ASSET = (
    Path(__file__).resolve().parents[1] / "src" / "antipodal" / "assets" / "models" / "hold.json"
)


def main() -> None:
    """Fit, report and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "lifts", type=Path, help="agreement.parquet of `antipodal bench agreement --near-misses`"
    )
    parser.add_argument("-o", "--output", type=Path, default=ASSET)
    arguments = parser.parse_args()
    rows = pq.read_table(arguments.lifts).to_pydict()
    outcome = np.array(rows["outcome"])
    held = ~np.char.startswith(outcome, "COLLIDED") & (outcome != "UNSTABLE")
    features = np.array(rows["hold_features"])[held]
    success = np.array(rows["success"])[held]
    objects = np.array(rows["object"])[held]
    mean, scale = features.mean(0), features.std(0)
    terms = polynomial((features - mean) / scale)
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=5000)
    folds = GroupKFold(5)
    p = cross_val_predict(model, terms, success, groups=objects, cv=folds, method="predict_proba")[
        :, 1
    ]
    auc, brier = roc_auc_score(success, p), brier_score_loss(success, p)
    auc_epsilon = roc_auc_score(success, features[:, 0])
    bins = np.digitize(p, np.arange(0.1, 1, 0.1))
    gaps = [
        (abs(p[bins == b].mean() - success[bins == b].mean()), (bins == b).mean())
        for b in np.unique(bins)
    ]
    ece = sum(gap * share for gap, share in gaps)
    model.fit(terms, success)
    facts = {
        "n_lifts": len(success),
        "n_objects": len(np.unique(objects)),
        "success_rate": round(float(success.mean()), 4),
        "auc": round(float(auc), 4),
        "auc_robust_epsilon": round(float(auc_epsilon), 4),
        "brier": round(float(brier), 4),
        "ece": round(float(ece), 4),
    }
    values = {
        "features": list(FEATURES),
        "mean": mean.round(6).tolist(),
        "scale": scale.round(6).tolist(),
        "coefficients": model.coef_[0].round(5).tolist(),
        "cross_validation_by_object": facts,
    }
    arguments.output.write_text(json.dumps(values, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
