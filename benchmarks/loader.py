"""How fast datapoints come from the disk, in how much memory, and how long a network would wait for them.

python benchmarks/loader.py DATASET [--memory GIB] [--threads N] [--datapoints N] [--demand N]

Reads one epoch of the training split as training does, or its first N datapoints: alone, then for a network that takes
``demand`` datapoints a second. One line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from antipodal.dataset.store import Dataset
from antipodal.nn.data import normalisation
from antipodal.nn.stream import GIBIBYTE, GraspRows, GraspStream


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--memory", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--datapoints", type=int, default=200_000)
    parser.add_argument("--demand", type=float, default=1000.0)
    parser.add_argument("--split", default="object_wise")
    arguments = parser.parse_args()
    dataset = Dataset.open(arguments.dataset)
    rows, _ = dataset.split(arguments.split, 24098)
    success = dataset.labels()
    before = peak()
    source = GraspRows(dataset, rows, success, arguments.memory * GIBIBYTE, arguments.threads)
    facts = {
        "datapoints": len(rows),
        "crops_mib": round(source.n_bytes / 2**20),
        "memory_mib": round(arguments.memory * 1024),
        "threads": arguments.threads,
        "kept": source.fits,
    }
    stream = GraspStream(source, 128, seed=0)
    report("alone", facts, run(stream, arguments.datapoints, 0.0), before)
    n = min(arguments.datapoints, int(20 * arguments.demand))
    report(f"at {arguments.demand:g}/s", facts, run(stream, n, arguments.demand), before)
    begin, cpu = time.perf_counter(), time.process_time()
    if source.fits or len(rows) <= arguments.datapoints:
        normalisation(GraspStream(source, 1024))
        seconds = time.perf_counter() - begin
        report(
            "normalisation", facts, Run(len(rows), seconds, time.process_time() - cpu, 0.0), before
        )


class Run:
    """One measurement."""

    def __init__(self, n: int, seconds: float, cpu: float, waited: float) -> None:
        self.n, self.seconds, self.cpu, self.waited = n, seconds, cpu, waited


def run(stream: GraspStream, n: int, demand: float) -> Run:
    """Take n datapoints, as fast as they come or at a rate."""
    begin, cpu, waited = time.perf_counter(), time.process_time(), stream.seconds_waited
    taken = 0
    for batch in stream:
        taken += len(batch.depth)
        if demand:
            time.sleep(len(batch.depth) / demand)
        if taken >= n:
            break
    return Run(
        taken,
        time.perf_counter() - begin,
        time.process_time() - cpu,
        stream.seconds_waited - waited,
    )


def report(name: str, facts: dict[str, object], r: Run, before: float) -> None:
    values = {
        **facts,
        "run": name,
        "taken": r.n,
        "per_second": round(r.n / r.seconds),
        "per_cpu_second": round(r.n / r.cpu),
        "waited_share": round(r.waited / r.seconds, 4),
        "peak_rss_mib": round(peak()),
        "peak_rss_before_mib": round(before),
    }
    print(json.dumps(values))


def peak() -> float:
    """Largest resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
