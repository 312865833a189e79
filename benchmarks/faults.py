"""kill -9 at random moments, then the same command: is the finished data set the one of an undisturbed run?

The whole process group dies, at a moment drawn uniformly over the time that an undisturbed run takes, so that start-up,
shards and the end are all hit. The same command follows in the same folder; what it finishes is compared file by file
and removed, and the next run starts anew.

    python benchmarks/faults.py [KILLS]
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

N_OBJECTS = 26
N_DATAPOINTS = 600
WORKERS = (1, 2, 4)


def main(n_kills: int = 20) -> None:
    """Print a line per number of workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [*verb("objects", "make"), "-n", str(N_OBJECTS), "-o", folder / "objects"],
            check=True,
            capture_output=True,
        )
        start = time.perf_counter()
        run(folder, "whole", 2).wait()
        seconds = time.perf_counter() - start
        want = hashes(folder / "whole")
        print(
            f"{N_OBJECTS} objects, {len(want)} files, undisturbed with 2 workers: {seconds:.0f} s"
        )
        for workers in WORKERS:
            campaign(folder, workers, n_kills, seconds, want)


def campaign(
    folder: Path, workers: int, n_kills: int, seconds: float, want: dict[str, str]
) -> None:
    """Kill ``n_kills`` times, finish, and compare each finished data set."""
    rng = np.random.default_rng(workers)
    states: Counter[str] = Counter()
    kills = finished = equal = 0
    while kills < n_kills or (folder / "set").exists():
        child = run(folder, "set", workers)
        try:
            child.wait(rng.uniform(0, seconds) if kills < n_kills else None)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            kills += 1
            states[state(folder / "set")] += 1
            continue
        finished += 1
        equal += child.returncode == 0 and hashes(folder / "set") == want
        shutil.rmtree(folder / "set")
    where = ", ".join(f"{n} with {what}" for what, n in sorted(states.items()))
    print(
        f"{workers} workers: {kills} kills ({where}); {equal} of {finished} finished data sets identical",
        flush=True,
    )
    if equal != finished:
        sys.exit(1)


def verb(*words: str) -> list[str]:
    """The command line of a verb."""
    return [sys.executable, "-c", "from antipodal.cli import main; main()", *words]


def run(folder: Path, name: str, workers: int) -> subprocess.Popen[bytes]:
    """Start generating, in a process group of its own."""
    command = [*verb("generate", str(folder / "objects")), "-o", str(folder / name)]
    command += [
        "--preset",
        "builtin",
        "--n-datapoints",
        str(N_DATAPOINTS),
        "--workers",
        str(workers),
    ]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def state(path: Path) -> str:
    """What a killed run has left."""
    if (path / "dataset.json").exists():
        return "all finished"
    n = len(list((path / "shards").glob("*.parquet"))) if path.exists() else 0
    half = " and half a file" if list(path.rglob("*.tmp")) else ""
    return f"{n} of {-(-N_OBJECTS // 8)} shards{half}"


def hashes(path: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
