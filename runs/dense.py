"""Make the dense network: label views of procedural objects, train, calibrate, write. See runs/dense.sh."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from antipodal.dataset.dense import SHARD, load_views, make_views
from antipodal.errors import InvalidConfig
from antipodal.files import file_hash, write_json
from antipodal.gripper import load_gripper
from antipodal.nn.dense import DenseNetwork
from antipodal.nn.train_dense import DenseTraining, calibrate_dense, train_dense, write_dense
from antipodal.policy.weighed import DEFAULT_WEIGHED, told_of
from antipodal.quality import load_quality
from antipodal.retarget import SHIPPED

GRIPPER = load_gripper("yumi")
N_TRUE_VIEWS = 400
"""Of other objects than those of training: their labels are P(success) on the object itself."""


def teacher() -> str:
    """What the labels depend on beside the hand: the shipped weights, and how its plans are weighed."""
    return f"{file_hash(SHIPPED.with_suffix('.onnx'))} {DEFAULT_WEIGHED}"


def main() -> None:
    """Label a share of the views, or train on all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["label", "train"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=DenseTraining.n_epochs)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("K", "N"))
    given = parser.parse_args()
    if given.step == "label":
        network = told_of(load_quality("builtin", "auto"), GRIPPER)
        share = (given.share[0], given.share[1])
        for folder, n_views, seed, quality, by in (
            ("truth", N_TRUE_VIEWS, given.seed + 1, None, "P(success)"),
            ("views", given.views, given.seed, network, teacher()),
        ):

            def report(k: int, n: int, folder: str = folder) -> None:
                print(f"{folder}: shard {k} of {n}", flush=True)

            make_views(given.out / folder, n_views, seed, GRIPPER, quality, by, report, share)
        return
    torch.set_num_threads(2)
    config = DenseTraining(n_epochs=given.epochs)
    try:
        views = load_views(given.out / "views")
        half = N_TRUE_VIEWS // SHARD // 2
        parts = [load_views(given.out / "truth", k) for k in (slice(half), slice(half, None))]
    except InvalidConfig as error:
        parser.exit(2, f"{error}\n")
    told = json.loads((given.out / "views" / "config.json").read_text())
    result = train_dense(
        views,
        given.out / "run",
        config,
        lambda scores: print(json.dumps(scores), flush=True),
    )
    network = DenseNetwork()
    state = torch.load(given.out / "run" / "last.pt", weights_only=True)
    network.load_state_dict(state["network"])
    network, worth = calibrate_dense(network, *parts)
    facts = {
        **result,
        **worth,
        "views": told["n_views"],
        "seed": told["seed"],
        "teacher": "builtin",
    }
    facts["max_difference"] = write_dense(network, given.out / "dense.onnx", GRIPPER, facts)
    write_json(facts, given.out / "result.json")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
