"""The service under load on loopback: errors, memory, latency, and its throughput as a share of the bare policy's.

Slices of the bare policy (as many processes as the service has workers, the same image and seeds) and of the service
take turns, so that whatever else the machine does falls on both. A slice ends when what it began is done, and its rate
is what it did over the time that it took, so that no plan is cut off. The callers run on the same machine.

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
from antipodal.policy.request import Request
from antipodal.render.noise import observe
from antipodal.service.client import PlanClient

K = 10
SLICE = 10.0
"""Of the service, s; the bare policy's is half as long, and lies on both sides."""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--bare", action="store_true", help="internal: plan on demand")
    options = parser.parse_args()
    if options.bare:
        bare()
        return
    n_slices = max(2, round(60 * options.minutes / SLICE))
    measured = measure(n_slices, options.callers, options.workers)
    report(measured, options.callers, options.workers)


class Measured(NamedTuple):
    """What was seen slice by slice."""

    service: list[float]
    """Plans per second."""
    bare: list[float]
    """The same; one slice more, so that each slice of the service lies between two."""
    times: list[float]
    """Of every answer, s."""
    plan_times: list[float]
    errors: list[str]
    memory: list[float]
    """Warm, and after every slice, MB."""
    code: int


def measure(n_slices: int, n_callers: int, n_workers: int) -> Measured:
    """Load the service, in turns with the bare policy."""
    children = [start_bare() for _ in range(n_workers)]
    service, url, log = start_service(n_workers, n_callers)
    image = scene()
    rates: tuple[list[float], list[float]] = ([], [])
    times: list[float] = []
    errors: list[str] = []
    try:
        for child in children:
            child.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
        with PlanClient(url) as client:
            client.wait_until_ready(300)
        load(url, image, n_callers, 3.0)  # warm
        memory = [rss(service.pid)]
        rates[1].append(rate_of(children, SLICE / 2))
        for _ in range(n_slices):
            took, wrong, seconds = load(url, image, n_callers, SLICE)
            rates[0].append(len(took) / seconds)
            times += took
            errors += wrong
            memory.append(rss(service.pid))
            rates[1].append(rate_of(children, SLICE / 2))
    finally:
        service.send_signal(signal.SIGTERM)
        for child in children:
            child.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
    return Measured(*rates, times, plan_times(log), errors, memory, service.wait(120))


def report(measured: Measured, n_callers: int, n_workers: int) -> None:
    """Print it."""
    service, bare, memory = np.array(measured.service), np.array(measured.bare), measured.memory
    minutes = len(service) * SLICE / 60
    print(
        f"{n_callers} callers, {n_workers} workers, {minutes:.1f} min, {len(measured.times)} plans"
    )
    print(f"errors               {len(measured.errors)} {sorted(set(measured.errors))[:3]}")
    for name, rates in (("service", service), ("bare policy", bare)):
        low, middle, high = np.percentile(rates, [10, 50, 90])
        print(
            f"{name:<20} {middle:.2f} plans/s, median; {low:.2f} to {high:.2f} of 80 % of the slices"
        )
    shares = np.log(2 * service / (bare[1:] + bare[:-1]))
    drawn = np.random.default_rng(0).choice(shares, (10_000, len(shares))).mean(1)
    share, low, high = np.exp([shares.mean(), *np.percentile(drawn, [2.5, 97.5])])
    print(
        f"service / bare       {share:.1%} [{low:.1%}, {high:.1%}], geometric mean of {len(shares)} pairs"
    )
    for name, values in (("answer", measured.times), ("planning alone", measured.plan_times)):
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:<20} p50 {p50:.2f} s, p99 {p99:.2f} s, worst {max(values):.2f} s")
    later = memory[len(memory) // 2 :]
    per_minute = np.polyfit(np.arange(len(later)) * SLICE / 60, later, 1)[0]
    print(
        f"memory               {memory[0]:.0f} MB warm, {min(memory):.0f} to {max(memory):.0f}, "
        f"{memory[-1]:.0f} at the end, {per_minute:+.2f} MB/min of load in the second half"
    )
    print(f"exit code            {measured.code}")


def scene() -> DepthImage:
    """The image that everybody plans on: 600 × 600 px."""
    rng = np.random.default_rng(3)
    mesh = make_object("screwdriver", rng)
    return observe(
        antipodal.render_depth(antipodal.sample_scene(mesh, antipodal.stable_poses(mesh)[0], rng)), rng
    )  # fmt: skip


def bare() -> None:
    """Plan for as long as each line of stdin says; print plans per second."""
    import cv2

    cv2.setNumThreads(1)  # as in the service
    image = scene()
    hand = antipodal.load_gripper("yumi")
    policy = antipodal.make_policy("cem", antipodal.load_quality("builtin"), hand)
    policy(image, None, np.random.default_rng(0))
    print("ready", flush=True)
    for line in sys.stdin:
        start, seconds, n = time.monotonic(), float(line), 0
        while time.monotonic() < start + seconds:
            policy(image, Request(n_grasps=K), np.random.default_rng(n))
            n += 1
        print(n / (time.monotonic() - start), flush=True)


def start_bare() -> subprocess.Popen[str]:
    """Start a process of this script that plans on demand."""
    return subprocess.Popen(
        [sys.executable, __file__, "--bare"],
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
    return sum(float(child.stdout.readline()) for child in children)  # pyright: ignore[reportOptionalMemberAccess]


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
) -> tuple[list[float], list[str], float]:
    """Call from so many threads for ``seconds``; return the answers' times, the errors, and when the last came."""
    times: list[float] = []
    errors: list[str] = []
    lock, begin = threading.Lock(), time.monotonic()

    def call(seed: int) -> None:
        with PlanClient(url, timeout=120) as client:
            while (start := time.monotonic()) < begin + seconds:
                said = None
                try:
                    if len(client.plan(image, k=K, seed=seed).grasps) != K:
                        said = "an incomplete plan"
                except AntipodalError as error:
                    said = str(error)
                with lock:
                    times.append(time.monotonic() - start)
                    if said is not None:
                        errors.append(said)
                seed += n_callers

    with ThreadPoolExecutor(n_callers) as pool:
        list(pool.map(call, range(n_callers)))
    return times, errors, time.monotonic() - begin


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
