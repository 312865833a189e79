"""How far the labels agree with themselves, hand by hand: no network can agree with them better.

    python runs/label_noise.py [-o OUT] [--model MODEL] [-n DATAPOINTS]

P(free) is a share of 16 displaced approaches, and P(hold) knows six displaced closings: a label is a draw. Datapoints
of the data sets of runs/grippers.py are labelled again, eight times, with other errors. "again" is how often one such
draw says the same of P(success) > ½ as the label, "mean" how often the mean of the eight does: about what a network
could reach that knew everything. Then the network, against the label and against that mean, and against the mean where
it is decided. 95 % over draws of objects. Five minutes on two cores beside the data.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from grippers import HANDS, N_DATAPOINTS, command_line, make_data, score
from same_data import transforms_by_id

from antipodal.alignment import align_with_table
from antipodal.dataset.epsilon import fast_ferrari_canny
from antipodal.dataset.run import load_meshes
from antipodal.dataset.store import Dataset
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.objects import load_object_set
from antipodal.stable_pose import StablePose
from antipodal.success import EXECUTION_NOISE, success_chances

N_DRAWS = 8
DECIDED = 0.25
"""A label is decided if the mean of its draws is farther than this from ½."""
N_RESAMPLES = 1000


def main() -> None:
    given = command_line(__doc__, 4000)
    for hand in HANDS:
        data = make_data(given.o, hand, "made", N_DATAPOINTS)
        answers = score(given.model, data, hand)
        rows = np.sort(np.random.default_rng(0).choice(len(data), given.n, replace=False))
        draws = again(data, given.o, hand, rows)
        label, quality, mean = answers.probability[rows], answers.quality[rows], draws.mean(0)
        decided = np.abs(mean - 0.5) > DECIDED
        pairs = {
            "again": (draws[0], label, None),
            "mean": (mean, label, None),
            "network": (quality, label, None),
            "network, mean": (quality, mean, None),
            "network, decided": (quality, mean, decided),
        }
        objects = answers.object_id[rows]
        told = {name: agreement(a, b, use, objects) for name, (a, b, use) in pairs.items()}
        print(
            json.dumps({"hand": hand, "decided_share": float(decided.mean()), **told}), flush=True
        )


def again(data: Dataset, out: Path, hand: str, rows: np.ndarray) -> np.ndarray:
    """P(success) of some datapoints' grasps, drawn again: (draws, rows)."""
    meshes, gripper = load_meshes(load_object_set(out / "objects")), load_gripper(hand)
    columns = data.read(["object_id", "pose_id", "grasp_id", "robust_epsilon"])
    object_id, pose_id, grasp_id, epsilon = (column[rows] for column in columns.values())
    T_obj_grasp = transforms_by_id(data, "grasps", "grasp_id", "T_obj_grasp")
    T_world_obj = transforms_by_id(data, "poses", "pose_id", "T_world_obj")
    width = dict(
        zip(*(data.table("grasps")[n].to_pylist() for n in ("grasp_id", "width")), strict=True)
    )
    found = np.empty((N_DRAWS, len(rows)))
    for key in np.unique(np.stack([object_id, pose_id]), axis=1).T:
        some = np.flatnonzero((object_id == key[0]) & (pose_id == key[1]))
        mesh, T, ids = meshes[key[0]], T_world_obj[key[1]], grasp_id[some].tolist()
        assert isinstance(mesh, TriMesh)  # it gave datapoints
        grasps = Grasp(np.stack([T_obj_grasp[i] for i in ids]), np.array([width[i] for i in ids]))
        grasps_world = align_with_table(grasps, StablePose(T, 1.0)).grasps_obj.in_frame(T)
        rng = np.random.default_rng([7, *key])
        for draw in found:
            draw[some] = success_chances(
                mesh,
                T,
                grasps_world,
                gripper,
                epsilon[some],
                rng,
                EXECUTION_NOISE,
                fast_ferrari_canny,
                everywhere=False,
            ).success
    return found


def agreement(
    a: np.ndarray, b: np.ndarray, where: np.ndarray | None, objects: np.ndarray
) -> list[float]:
    """How often two probabilities say the same, and its interval."""
    use = np.ones(len(a), bool) if where is None else where
    ids, of = np.unique(objects[use], return_inverse=True)
    same = ((a > 0.5) == (b > 0.5))[use].astype(float)
    total, count = np.bincount(of, same), np.bincount(of)
    drawn = np.random.default_rng(0).integers(0, len(ids), (N_RESAMPLES, len(ids)))
    shares = total[drawn].sum(1) / count[drawn].sum(1)
    return [float(same.mean()), *np.quantile(shares, [0.025, 0.975]).round(4).tolist()]


if __name__ == "__main__":
    main()
