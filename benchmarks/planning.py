"""How long a plan takes: each policy with each network, from a 640×480 depth image of a procedural object.

Everything is included: repair, table, objects, obstacles, candidates, crops, network, ranking. float32 and bfloat16 see
the same images with the same seeds, turn by turn; "worse" is the largest loss of quality, in float32, of what bfloat16
chose. CPU is that of all threads, which other work on the machine lengthens less than the time.

    python benchmarks/planning.py [--plans 200] [--network FILE.onnx …] [--policy NAME …] [--rival FILE.onnx …]
                                  [--seed 0] [--memory N]

``--rival`` takes networks of Berkeley's that ``antipodal import-berkeley`` has written, with the policies they were
released with, in float32, on the same images.
``--memory N`` plans N times with the first policy and network instead, and prints the resident set. Linux.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from antipodal.bench.scenes import CAMERAS, draw_trial, photograph
from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig
from antipodal.gripper import load_gripper
from antipodal.objects import make_objects
from antipodal.policy import POLICIES, make_policy
from antipodal.policy.base import Plan, Policy, QualityFn
from antipodal.policy.dense import FAST_DENSE
from antipodal.policy.weighed import told_of
from antipodal.quality import NetworkQuality, load_quality
from antipodal.rivals import load_rival
from antipodal.stable_pose import resting_poses

N_OBJECTS = 40
FAST = "dense fast"
"""The dense policy as :data:`~antipodal.policy.dense.FAST_DENSE` sets it."""
GRIPPER = load_gripper("yumi")
FIRST_PLAN = """
import sys, time
start = time.perf_counter()
import numpy as np
from antipodal import load_gripper, load_quality, make_policy
from antipodal.camera import CameraIntrinsics, DepthImage
loaded = time.perf_counter()
depth = np.load(sys.argv[1])
image = DepthImage(depth["depth"], CameraIntrinsics(*depth["camera"]), depth["T_world_camera"])
policy = make_policy("cem", load_quality(sys.argv[2], "auto"), load_gripper("yumi"))
policy(image, None, np.random.default_rng(0))
print(loaded - start, time.perf_counter() - loaded)
"""
"""Seconds to import, and from there to the first plan, the network's loading included."""


def main() -> None:
    """Print the table."""
    options = arguments()
    cv2.setNumThreads(1)
    images = pictures(min(options.plans, N_OBJECTS), options.seed)
    print(f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, ")
    print(f"{options.plans} plans of {len(images)} images, seed {options.seed}")
    if options.memory:
        memory(images, options.policy[0], options.network[0], options.memory)
        return
    print(
        f"{'policy':<11}{'network':<14}{'computes in':<12}{'median ms':>10}{'p99':>8}{'CPU':>8}"
        f"{'scored':>8}{'per s':>8}{'worse':>8}"
    )
    for network in options.network:
        qualities = precisions(network)
        for name in options.policy:
            report(name, qualities, images, options.plans)
    for file in options.rival:
        report_rival(file, images, options.plans)
    print("import {:.2f} s, first plan {:.2f} s".format(*first_plan(images[0], options.network[0])))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plans", type=int, default=200)
    parser.add_argument("--network", nargs="+", default=["builtin"])
    names = [*POLICIES, FAST]
    parser.add_argument("--policy", nargs="+", default=names, choices=names)
    parser.add_argument("--rival", nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=0)
    return parser.parse_args()


def pictures(n: int, seed: int) -> list[DepthImage]:
    """Noisy images of procedural objects on a table, the camera's pose known."""
    images = []
    for mesh in make_objects(n, seed):
        trial = draw_trial(mesh, resting_poses(mesh), seed, 0, CAMERAS["dexnet"])
        images.append(photograph(trial).image)
    return images


def precisions(network: str) -> list[NetworkQuality]:
    """The network in float32, and in bfloat16 where this CPU does."""
    qualities = [load_quality(network)]
    try:
        qualities.append(load_quality(network, "bfloat16"))
    except InvalidConfig as error:
        print(error)
    return qualities


def report(
    name: str, qualities: list[NetworkQuality], images: list[DepthImage], n_plans: int
) -> None:
    """Print one line for each precision."""
    policies = [named(name, quality) for quality in qualities]
    times, plans = zip(*(turns(policies, images, k) for k in range(-1, n_plans)), strict=True)
    seconds = np.array(times[1:])  # the first loads what is loaded lazily
    for k, quality in enumerate(qualities):
        wall, cpu = seconds[:, k].T * 1e3
        n_scored = np.median([turn[k].counts.get("scored", 0) for turn in plans[1:]])
        pairs = zip(plans[1:], range(n_plans), strict=True)
        loss = max(
            lost(turn[0], turn[k], told_of(qualities[0], GRIPPER), images[i % len(images)])
            for turn, i in pairs
        )
        print(
            f"{name:<11}{quality.name:<14}{quality.precision:<12}{np.median(wall):>10.1f}"
            f"{np.quantile(wall, 0.99):>8.1f}{np.median(cpu):>8.1f}{n_scored:>8.0f}"
            f"{n_scored / np.median(wall) * 1e3:>8.0f}{loss:>8.3f}",
            flush=True,
        )


def report_rival(file: str, images: list[DepthImage], n_plans: int) -> None:
    """Print the line of somebody else's network and policy."""
    policies = [load_rival(file, GRIPPER)]
    times, _ = zip(*(turns(policies, images, k) for k in range(-1, n_plans)), strict=True)
    wall, cpu = np.array(times[1:])[:, 0].T * 1e3
    print(
        f"{'rival':<11}{Path(file).stem:<20}{'float32':<6}{np.median(wall):>10.1f}{np.quantile(wall, 0.99):>8.1f}"
        f"{np.median(cpu):>8.1f}",
        flush=True,
    )


def named(name: str, quality: NetworkQuality) -> Policy:
    """The planner of a row."""
    options = {"config": FAST_DENSE} if name == FAST else {}
    return make_policy(name.split()[0], quality, GRIPPER, **options)


def fresh(image: DepthImage) -> DepthImage:
    """The same image, not seen before."""
    return image.with_depth(image.depth)


def turns(
    policies: list[Policy], images: list[DepthImage], k: int
) -> tuple[list[tuple[float, float]], list[Plan]]:
    """One plan of each: seconds of time and CPU, and the plans."""
    times, plans = [], []
    for policy in policies:
        # an image of its own: what a planner remembers of one must not make the next plan cheap
        image = fresh(images[k % len(images)])
        start, cpu = time.perf_counter(), time.process_time()
        plans.append(policy(image, None, np.random.default_rng(max(k, 0))))
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    return times, plans


def lost(plan: Plan, other: Plan, quality: QualityFn, image: DepthImage) -> float:
    """Quality of the plan's best grasp less that of the other's, both told by one network."""
    if len(plan.grasps) == 0 or len(other.grasps) == 0:
        return float(len(plan.grasps) > 0)
    return float(plan.quality[0] - quality(image, other.grasps[:1])[0])


def first_plan(image: DepthImage, network: str) -> tuple[float, float]:
    """Import, and from there to the first plan, in a fresh process; the quickest of three, s."""
    file = Path("out/first_plan.npz")
    file.parent.mkdir(exist_ok=True)
    camera = list(image.intrinsics.to_json().values())
    assert image.T_world_camera is not None
    np.savez(file, depth=image.depth, camera=camera, T_world_camera=image.T_world_camera)
    command = [sys.executable, "-c", FIRST_PLAN, str(file), network]
    told = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(3)]
    imported, planned = np.array([[float(x) for x in line.split()] for line in told]).T
    return float(imported.min()), float(planned.min())


def memory(images: list[DepthImage], name: str, network: str, n_plans: int) -> None:
    """Print the resident set as plans go by."""
    policy = named(name, load_quality(network, "auto"))
    print(f"{name}, {network}\n{'plans':>8}{'MB':>8}")
    for k in range(n_plans + 1):
        if k % max(n_plans // 10, 1) == 0:
            print(f"{k:>8}{resident():>8.1f}", flush=True)
        policy(fresh(images[k % len(images)]), None, np.random.default_rng(k))


def resident() -> float:
    """Resident set of this process, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
