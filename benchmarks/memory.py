"""Time and peak memory of ``antipodal generate`` against the number of datapoints: both should be what they say.

Each size is a run of its own. Peaks are the kernel's (VmHWM) of the caller, which holds the meshes and writes, and of
the largest worker; last comes an object of a million faces. Linux.

    python benchmarks/memory.py [N_DATAPOINTS ...]    (writes out/cost.png too)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_OBJECTS = 64
WORKERS = 2
SIZES = (10_000, 100_000, 1_000_000)


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Print the table."""
    print(f"{N_OBJECTS} objects, preset paper, {WORKERS} workers")
    print(
        f"{'datapoints':>12}{'s':>8}{'per s':>8}{'MB on disk':>12}{'caller MB':>11}{'worker MB':>11}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        antipodal("objects", "make", "-n", str(N_OBJECTS), "-o", str(folder / "objects"))
        rows = [report(folder / "objects", folder / str(size), size) for size in sizes]
        draw(rows, Path("out/cost.png"))
        print(f"one object of {dense_prism(folder / 'prism')} faces:")
        report(folder / "prism", folder / "prism_set", 1000)


def report(objects: Path, output: Path, n_datapoints: int) -> tuple[float, float, float, float]:
    """Generate once and print a line; return datapoints, seconds, MB on disk, MB of the largest worker."""
    start = time.perf_counter()
    made, peaks = measured(objects, output, n_datapoints)
    seconds = time.perf_counter() - start
    size = sum(p.stat().st_size for p in output.rglob("*") if p.is_file()) / 1e6
    n = made["n_datapoints"]
    print(
        f"{n:>12}{seconds:>8.1f}{n / seconds:>8.0f}{size:>12.1f}{peaks[0]:>11.0f}{max(peaks[1:]):>11.0f}",
        flush=True,
    )
    return n, seconds, size, max(peaks[1:])


def draw(rows: list[tuple[float, float, float, float]], path: Path) -> None:
    """Cost against size, on two logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n, *costs = np.array(rows).T
    _, axis = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for cost, label in zip(costs, ("time, s", "disk, MB", "largest worker, MB"), strict=True):
        axis.loglog(n, cost, "o-", label=label)
    axis.loglog(n, costs[1][-1] * n / n[-1], "k:", label="proportional")
    axis.set_xlabel("datapoints of 64 objects")
    axis.legend()
    path.parent.mkdir(exist_ok=True)
    plt.savefig(path, dpi=90)


def measured(objects: Path, output: Path, n_datapoints: int) -> tuple[dict, list[float]]:
    """Generate; return the summary and the peak memory of the caller and of each worker, MB."""
    command = ["generate", str(objects), "-o", str(output), "--n-datapoints", str(n_datapoints)]
    child = antipodal(*command, "--workers", str(WORKERS), "--json", wait=False)
    peaks: dict[int, float] = {}
    while child.poll() is None:
        for pid in [child.pid, *children(child.pid)]:
            peaks[pid] = max(peaks.get(pid, 0.0), peak_memory(pid))
        time.sleep(0.05)
    out, _ = child.communicate()
    assert child.returncode == 0
    return json.loads(out), list(peaks.values())


def antipodal(*words: str, wait: bool = True) -> subprocess.Popen[bytes]:
    """Run a verb."""
    command = [sys.executable, "-c", "from antipodal.cli import main; main()", *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if wait:
        child.communicate()
        assert child.returncode == 0
    return child


def children(pid: int) -> list[int]:
    """Processes that a process has started (Linux)."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, file.read_text().split())
        except OSError:  # the thread has ended
            pass
    return found


def peak_memory(pid: int) -> float:
    """Largest resident set so far, MB; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def dense_prism(folder: Path) -> int:
    """Write one rippled object of a million faces; return how many."""
    import trimesh

    prism = trimesh.creation.cylinder(radius=0.015, height=0.05, sections=4)
    for _ in range(8):
        prism = prism.subdivide()
    ripples = 1 + 0.02 * np.sin(400 * prism.vertices[:, [1, 2, 0]])
    folder.mkdir()
    trimesh.Trimesh(prism.vertices * ripples, prism.faces, process=False).export(
        folder / "prism.ply"
    )
    return len(prism.faces)


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
