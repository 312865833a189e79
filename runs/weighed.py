"""How much each judge of antipodal.policy.weighed counts: planned grasps of training objects, labelled.

    antipodal objects make -n 300 --seed 91 -o out/weighed/objects
    python runs/weighed.py out/weighed/objects -o out/weighed/run

Every scene is planned as it will be; of its best unlike grasps and of some others the label P(success) is computed on
the true mesh. Printed: the label of the grasp that would be chosen, for powers α of the geometry and weights c of the
torque. What the chosen one's q is worth is another question: runs/chance.py. Two processes; resumable.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from antipodal.bench.config import BenchConfig
from antipodal.bench.objects import BenchObject, list_objects, load_object
from antipodal.bench.oracle import label_epsilon
from antipodal.bench.scenes import draw_trial, photograph, settled
from antipodal.dataset.epsilon import fast_ferrari_canny
from antipodal.errors import AntipodalError
from antipodal.files import claim, write_json
from antipodal.gripper import load_gripper
from antipodal.policy import make_policy
from antipodal.policy.finish import unlike
from antipodal.policy.heuristics import geometric_chance
from antipodal.policy.request import Request
from antipodal.policy.view import look
from antipodal.policy.weighed import FLOOR, weight_torque
from antipodal.quality import load_quality
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.world import MASS_LIMITS, World
from antipodal.stable_pose import resting_poses
from antipodal.success import EXECUTION_NOISE, success_chances

N_SCENES, N_LABELLED = 3, 24
CANDIDATES = Request(n_grasps=200, min_distance=0.003, min_angle=0.15)
GRASPABLE = 0.9
"""A scene counts if the label of some candidate is as high as this."""
POWERS, TORQUES = (0.0, 0.1, 0.2, 0.3, 0.4), (0.0, 1.0, 2.0, 4.0, 8.0)


def main() -> None:
    """Plan and label; print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("objects", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--gripper", default="yumi")
    parser.add_argument("--camera", default="dexnet")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    items = list_objects(options.objects)
    told = {
        "gripper": load_gripper(options.gripper).to_json(),
        "camera": options.camera,
        "seed": options.seed,
        "objects": [[item.name, item.sha256] for item in items],
    }
    claim(options.output / "config.json", told, "run")
    work = partial(one_object, options)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for n, _ in enumerate(pool.imap_unordered(work, items), 1):
            print(f"\r{n} of {len(items)} objects", end="", flush=True)
    parts = sorted((options.output / "parts").glob("*.json"))
    report([row for part in parts for row in json.loads(part.read_text())])


def one_object(options: argparse.Namespace, item: BenchObject) -> None:
    """Do the scenes of one object."""
    part = options.output / "parts" / f"{item.sha256[:16]}.json"
    if part.is_file():
        return
    cv2.setNumThreads(1)
    rows = []
    try:
        mesh = load_object(options.objects, item.file, item.name)
        world = World(
            mesh,
            convex_pieces(mesh, cache=options.output / "pieces"),
            load_gripper(options.gripper),
        )
        poses = resting_poses(mesh)
        for k in range(N_SCENES):
            rows += one_scene(options, item.name, world, mesh, poses, k)
    except (AntipodalError, ValueError, RuntimeError) as error:
        print(f"\n{item.name}: {error}", flush=True)
    write_json(rows, part)


def one_scene(
    options: argparse.Namespace, name: str, world: World, mesh: Any, poses: Any, k: int
) -> list[dict[str, Any]]:
    """Plan a scene; label some of what was scored."""
    gripper, bench = load_gripper(options.gripper), BenchConfig(camera=options.camera)
    trial = settled(draw_trial(mesh, poses, options.seed, k, bench.cameras), world, bench.trial)
    if trial is None:
        return []
    image, mask = photograph(trial)
    network = load_quality("builtin")
    plan = make_policy("cem", network, gripper)(image, mask, trial.rng("plan"))
    if len(plan.grasps) == 0:
        return []
    order = unlike(plan.grasps.to_grasp(image.intrinsics, plan.approach_axis), CANDIDATES)
    rng = np.random.default_rng([*trial.entropy, 99])
    half, rest = order[: N_LABELLED // 2], order[N_LABELLED // 2 :]
    chosen = np.concatenate([half, rng.permutation(rest)[: N_LABELLED // 2]])
    grasps = plan.grasps[chosen]
    view = look(image, mask, np.random.default_rng(0))
    geometry, closing = geometric_chance(view, gripper)(grasps)
    quality = network.for_gripper(gripper)(image, grasps)
    assert image.T_world_camera is not None
    grasps_world = grasps.to_grasp(image.intrinsics, plan.approach_axis).in_frame(
        image.T_world_camera
    )
    T_world_obj = trial.scene.T_world_obj
    epsilon = label_epsilon(mesh, T_world_obj, grasps_world, gripper, rng)
    mass = float(np.clip(mesh.mass, *MASS_LIMITS))
    noise = replace(EXECUTION_NOISE, mass_bounds=(mass, mass), n_free=64, n_hold=24)
    label = success_chances(
        mesh, T_world_obj, grasps_world, gripper, epsilon, rng, noise, fast_ferrari_canny
    ).success
    torque = weight_torque(closing)
    return [
        {
            "scene": f"{name} {k}",
            "object": name,
            "q": float(quality[i]),
            "geometry": float(geometry[i]),
            "torque": float(torque[i]),
            "label": float(label[i]),
        }
        for i in range(len(chosen))
    ]


def report(rows: list[dict[str, Any]]) -> None:
    """Print the grid of choices."""
    q, geometry, torque, label = (
        np.array([row[name] for row in rows]) for name in ("q", "geometry", "torque", "label")
    )
    scene = np.unique([row["scene"] for row in rows], return_inverse=True)[1]
    best = np.full(scene.max() + 1, -np.inf)
    np.maximum.at(best, scene, label)
    counts = best >= GRASPABLE
    print(f"\n{len(rows)} grasps, {len(best)} scenes, {counts.sum()} with a label ≥ {GRASPABLE}")
    log_q, log_g = (np.log(np.maximum(x, FLOOR)) for x in (q, geometry))

    def chosen(log_w: np.ndarray) -> np.ndarray:
        order = np.lexsort([-log_w, scene])
        return order[np.r_[True, np.diff(scene[order]) > 0]]

    print("mean label of the grasp that is chosen; rows α, columns c =", *TORQUES)
    for power in POWERS:
        means = [label[chosen(log_q + power * log_g - c * torque)][counts].mean() for c in TORQUES]
        print(f"{power:5.1f}", *(f"{mean:7.4f}" for mean in means))
    print(f"network alone {label[chosen(log_q)][counts].mean():.4f}", end=", ")
    print(
        f"geometry alone {label[chosen(log_g)][counts].mean():.4f}, best {best[counts].mean():.4f}"
    )


if __name__ == "__main__":
    main()
