"""The service under load on loopback: errors, memory, latency, and its throughput as a share of the bare policy's.

Slices of the bare policy (as many processes as the service has workers; then as many threads in one process) and of the
service take turns, so that whatever else the machine does falls on all of them. The callers run on the same machine.

    python benchmarks/service.py [--minutes 5] [--callers 8] [--workers N]    (default half a minute under load)
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import antipodal
from antipodal.camera import DepthImage
from antipodal.errors import AntipodalError
from antipodal.objects import make_object
from antipodal.policy.base import Policy
from antipodal.policy.request import Request
from antipodal.render.noise import observe
from antipodal.service.client import PlanClient

K = 10
N_SLICES = 10
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--bare", type=int, default=0, help="internal: so many threads that plan")
    options = parser.parse_args()
    if options.bare:
        bare(options.bare)
        return
    measured = measure(options.minutes, options.callers, options.workers)
    report(measured, options.minutes, options.callers, options.workers)


class Measured(NamedTuple):
    """What was seen slice by slice."""

    rates: dict[str, list[float]]
    """Plans per second: of the bare policy one slice more, so that each slice of the service lies between two."""
    times: list[float]
    """Of every answer, s."""
    plan_times: list[float]
    errors: list[str]
    memory: list[float]
    """Warm, and after every slice, MB."""
    code: int


def measure(minutes: float, n_callers: int, n_workers: int) -> Measured:
    """Load the service, in turns with the bare policy."""
    seconds = 60 * minutes / N_SLICES
    processes, threads = [start_bare(1) for _ in range(n_workers)], start_bare(n_workers)
    service, url, log = start_service(n_workers, n_callers)
    image = scene()
    rates: dict[str, list[float]] = {"processes": [], "threads": [], "service": []}
    times: list[float] = []
    errors: list[str] = []
    memory = []

    def run_bare() -> None:
        rates["processes"].append(rate_of(processes, seconds / 10))
        rates["threads"].append(rate_of([threads], seconds / 10))

    try:
        for child in [*processes, threads]:
            child.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
        with PlanClient(url) as client:
            client.wait_until_ready(300)
        load(url, image, n_callers, 3.0)  # warm
        memory.append(rss(service.pid))
        run_bare()
        for _ in range(N_SLICES):
            took, wrong = load(url, image, n_callers, seconds)
            rates["service"].append(len(took) / seconds)
            times += took
            errors += wrong
            memory.append(rss(service.pid))
            run_bare()
    finally:
        service.send_signal(signal.SIGTERM)
        for child in [*processes, threads]:
            child.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
    code = service.wait(120)
    return Measured(rates, times, plan_times(log), errors, memory, code)


def report(measured: Measured, minutes: float, n_callers: int, n_workers: int) -> None:
    """Print it."""
    rates, memory = measured.rates, measured.memory
    print(f"{n_callers} callers, {n_workers} workers, {minutes:g} min, {len(measured.times)} plans")
    print(f"errors               {len(measured.errors)} {sorted(set(measured.errors))[:3]}")
    for name, rate in rates.items():
        print(f"{name:<20} {' '.join(f'{r:5.2f}' for r in rate)} plans/s")
    for name in ("processes", "threads"):
        around = (np.array(rates[name][1:]) + rates[name][:-1]) / 2
        shares = np.array(rates["service"]) / around
        low, share, high = np.percentile(shares, [25, 50, 75])
        print(f"service / {name:<10} {share:.0%}, median; quartiles {low:.0%} and {high:.0%}")
    for name, values in (("answer", measured.times), ("planning alone", measured.plan_times)):
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:<20} p50 {p50:.2f} s, p99 {p99:.2f} s, worst {max(values):.2f} s")
    later = memory[N_SLICES // 2 :]
    per_minute = np.polyfit(np.arange(len(later)) * minutes / N_SLICES, later, 1)[0]
    print(
        f"memory               {' '.join(f'{m:.0f}' for m in memory)} MB, "
        f"{per_minute:+.2f} MB/min in the second half"
    )
    print(f"exit code            {measured.code}")


def scene() -> DepthImage:
    """The image that everybody plans on: 600 × 600 px."""
    rng = np.random.default_rng(3)
    mesh = make_object("screwdriver", rng)
    return observe(
        antipodal.render_depth(antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)), rng
    )  # fmt: skip


def bare(n_threads: int) -> None:
    """Plan for as long as each line of stdin says; print how often."""
    import cv2

    cv2.setNumThreads(1)  # as in the service
    image = scene()
    hand = antipodal.load_gripper("yumi")
    policy = antipodal.make_policy("cem", antipodal.load_quality("builtin"), hand)
    policy(image, None, np.random.default_rng(0))
    print("ready", flush=True)
    for line in sys.stdin:
        until = time.monotonic() + float(line)
        with ThreadPoolExecutor(n_threads) as pool:
            counts = list(
                pool.map(lambda i, t=until: repeat(policy, image, i, t), range(n_threads))
            )
        print(sum(counts), flush=True)


def repeat(policy: Policy, image: DepthImage, seed: int, until: float) -> float:
    """Plan until a time; return how often, the last one by its share."""
    n, rng = 0.0, np.random.default_rng(seed)
    while (start := time.monotonic()) < until:
        policy(image, Request(n_grasps=K), rng)
        n += min(1.0, (until - start) / (time.monotonic() - start))
    return n


def start_bare(n_threads: int) -> subprocess.Popen[str]:
    """Start a process of this script that plans on demand."""
    return subprocess.Popen(
        [sys.executable, __file__, "--bare", str(n_threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ONE_THREAD,
    )


def rate_of(children: list[subprocess.Popen[str]], seconds: float) -> float:
    """Let all of them plan at once; return plans per second together."""
    for child in children:
        child.stdin.write(f"{seconds}\n")  # pyright: ignore[reportOptionalMemberAccess]
        child.stdin.flush()  # pyright: ignore[reportOptionalMemberAccess]
    return sum(float(child.stdout.readline()) for child in children) / seconds  # pyright: ignore[reportOptionalMemberAccess]


def start_service(n_workers: int, n_callers: int) -> tuple[subprocess.Popen[bytes], str, Path]:
    """Start the service on a free port; return it, its address and its log."""
    log = Path(tempfile.mkstemp(prefix="service-", suffix=".log")[1])
    code = f"from antipodal.cli_serve import serve; serve(port=0, workers={n_workers}, queue={n_callers})"
    with log.open("wb") as stderr:
        service = subprocess.Popen(
            [sys.executable, "-c", code],
            stderr=stderr,
            env=os.environ | ONE_THREAD,
        )
    while not log.read_bytes().count(b"\n"):
        time.sleep(0.1)
    return service, json.loads(log.read_text().splitlines()[0])["url"], log


def load(
    url: str, image: DepthImage, n_callers: int, seconds: float
) -> tuple[list[float], list[str]]:
    """Call from so many threads; return the times of those that ended within ``seconds``, and the errors."""
    times: list[float] = []
    errors: list[str] = []
    lock, until = threading.Lock(), time.monotonic() + seconds

    def call(seed: int) -> None:
        with PlanClient(url, timeout=120) as client:
            while (start := time.monotonic()) < until:
                said = None
                try:
                    if len(client.plan(image, k=K, seed=seed).grasps) != K:
                        said = "an incomplete plan"
                except AntipodalError as error:
                    said = str(error)
                end = time.monotonic()
                with lock:
                    if said is not None:
                        errors.append(said)
                    elif end <= until:
                        times.append(end - start)
                seed += n_callers

    with ThreadPoolExecutor(n_callers) as pool:
        list(pool.map(call, range(n_callers)))
    return times, errors


def plan_times(log: Path) -> list[float]:
    """Planning times of the service's log, s."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [entry["plan_time"] for entry in lines if "plan_time" in entry]


def rss(pid: int) -> float:
    """Resident memory of a process and its children, MB."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    pids = {pid, *(int(child) for task in tasks for child in task.read_text().split())}
    total = 0
    for one in pids:
        lines = Path(f"/proc/{one}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total / 1024


if __name__ == "__main__":
    main()
