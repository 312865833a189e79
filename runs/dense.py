"""Make the dense network: label views of procedural objects, train, write. See runs/dense.sh."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from antipodal.dataset.dense import load_views, make_views
from antipodal.files import file_hash, write_json
from antipodal.gripper import load_gripper
from antipodal.nn.dense import DenseNetwork
from antipodal.nn.train_dense import DenseTraining, train_dense, write_dense
from antipodal.policy.weighed import DEFAULT_WEIGHED, told_of
from antipodal.quality import load_quality
from antipodal.retarget import SHIPPED

GRIPPER = load_gripper("yumi")


def teacher() -> str:
    """What the labels depend on beside the hand: the shipped weights, and how its plans are weighed."""
    return f"{file_hash(SHIPPED.with_suffix('.onnx'))} {DEFAULT_WEIGHED}"


def main() -> None:
    """Label a share of the views, or train on all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["label", "train"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=DenseTraining.n_epochs)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("K", "N"))
    given = parser.parse_args()
    if given.step == "label":
        network = told_of(load_quality("builtin", "auto"), GRIPPER)
        share = (given.share[0], given.share[1])
        make_views(
            given.out / "views",
            given.views,
            given.seed,
            GRIPPER,
            network,
            teacher(),
            lambda k, n: print(f"shard {k} of {n}", flush=True),
            share,
        )
        return
    torch.set_num_threads(2)
    config = DenseTraining(n_epochs=given.epochs)
    result = train_dense(
        load_views(given.out / "views"),
        given.out / "run",
        config,
        lambda scores: print(json.dumps(scores), flush=True),
    )
    network = DenseNetwork()
    state = torch.load(given.out / "run" / "last.pt", weights_only=True)
    network.load_state_dict(state["network"])
    facts = {**result, "views": given.views, "seed": given.seed, "teacher": "builtin"}
    facts["max_difference"] = write_dense(network, given.out / "dense.onnx", GRIPPER, facts)
    write_json(facts, given.out / "result.json")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
