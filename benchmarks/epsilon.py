"""Robust ε with 25 samples, per grasp: qhull for every hull against the listed facets of ``antipodal.dataset.epsilon``.

Both see the same objects, grasps and random numbers, in turn, on one core; the time is CPU time. The original's figures
were recorded once, with its own code on two cores of a like machine, and are not measured here.

    python benchmarks/epsilon.py
"""

from __future__ import annotations

import time

import numpy as np

from antipodal.contact import ContactModel
from antipodal.dataset.epsilon import fast_ferrari_canny
from antipodal.gripper import load_gripper
from antipodal.metrics import Metric, ferrari_canny
from antipodal.objects.families import make_objects
from antipodal.robust import PAPER_PERTURBATION, Robust, perturb, robust
from antipodal.sampling import sample_antipodal

N_OBJECTS = 20
N_GRASPS = 25
ORIGINAL_MS = (411, 822)
"""Robust ε of the original generator, 25 samples, medians, ms per grasp."""


def main() -> None:
    """Print the table."""
    gripper = load_gripper("yumi")
    model = ContactModel(contact_radius=gripper.contact_radius)
    metrics: dict[str, Metric] = {"qhull": ferrari_canny, "listed facets": fast_ferrari_canny}
    rng = np.random.default_rng(0)
    cases = [(m, sample_antipodal(m, gripper, N_GRASPS, rng)) for m in make_objects(N_OBJECTS, 0)]
    cases = [(mesh, grasps) for mesh, grasps in cases if len(grasps)]
    n = sum(len(grasps) for _, grasps in cases)

    start, wall = time.process_time(), time.perf_counter()
    robust(fast_ferrari_canny, *cases[0], np.random.default_rng(0), model=model)
    first = time.process_time() - start, time.perf_counter() - wall

    seconds = dict.fromkeys([*metrics, "contacts"], 0.0)
    results: dict[str, list[Robust]] = {name: [] for name in metrics}
    for index, (mesh, grasps) in enumerate(cases):
        for name, metric in metrics.items():
            start = time.process_time()
            value = robust(metric, mesh, grasps, np.random.default_rng(index), model=model)
            seconds[name] += time.process_time() - start
            results[name].append(value)
        start = time.process_time()
        perturb(mesh, grasps, np.random.default_rng(index), model=model)
        seconds["contacts"] += time.process_time() - start

    slow, fast = (np.concatenate([r.mean for r in results[name]]) for name in metrics)
    ms = {name: 1e3 * s / n for name, s in seconds.items()}
    print(f"{n} grasps on {len(cases)} objects, {PAPER_PERTURBATION.n_samples} samples each")
    print(f"{'':16}{'ms per grasp':>14}{'without rays':>14}{'ratio':>8}")
    for name in metrics:
        rest = ms[name] - ms["contacts"]
        print(f"{name:16}{ms[name]:14.3f}{rest:14.3f}{ms['qhull'] / ms[name]:8.1f}")
    print(f"{'original':16}{ORIGINAL_MS[0]:>9}–{ORIGINAL_MS[1]}", end="")
    print(
        f"   (recorded; {ORIGINAL_MS[0] / ms['listed facets']:.0f} times the listed facets' or more)"
    )
    print(f"largest difference of robust ε: {np.abs(fast - slow).max():.1e}")
    print(f"first call, compiling or loading: {first[0]:.2f} s CPU, {first[1]:.2f} s")


if __name__ == "__main__":
    main()
