"""Datapoints per second from meshes to Parquet, against the plain way to make a crop, and where the time goes.

The plain way is what a reader would write first: ray-trace the whole image, then cut every grasp's crop from it. Both
see the same views and give the same crops.

    python benchmarks/generation.py [N_OBJECTS]    (default 200, two workers; a few minutes)
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from antipodal.camera import CameraIntrinsics
from antipodal.crop import crop_grasps
from antipodal.dataset.events import Done, Event
from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.images import choose, project, sample_views, view_crops
from antipodal.dataset.model import PRESETS, GenerativeModel
from antipodal.dataset.shard import ShardJob, make_shard
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh, rescale
from antipodal.objects.families import make_objects
from antipodal.render.depth import render_depth
from antipodal.render.scene import Scene
from antipodal.sampling import sample_antipodal
from antipodal.stable_pose import stable_poses

WORKERS = 2
PER_OBJECT = {"paper": 4467, "builtin": 660}
"""Datapoints asked of each object: those of the paper, and of the built-in model's data set."""
STAGES = {
    "stable poses": "stable_poses",
    "antipodal sampling": "sample_antipodal",
    "labels (robust ε)": "robust",
    "collision": "approach_is_free",
    "rays": "trace_window",
    "crops": "crop_depth",
    "Parquet": "write_table",
}
GRIPPER = load_gripper("yumi")


def main() -> None:
    """Print rates, the ratio and the profile."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    objects = make_objects(n, 0)
    make_shard(ShardJob(0, 0, tuple(objects[:1]), GRIPPER, PRESETS["builtin"], 0, 50))  # compiles
    for preset, each in PER_OBJECT.items():
        end_to_end(objects, preset, each)
        profile(objects[: min(n, 40)], PRESETS[preset], each)
    against_plain(objects[:12], PRESETS["paper"])


def end_to_end(objects: list[TriMesh], preset: str, each: int) -> None:
    """Generate with all workers, files included."""
    rates: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Done):
            rates.append(event.datapoints_per_second)

    with tempfile.TemporaryDirectory() as folder:
        model, total = PRESETS[preset], each * len(objects)
        made = generate(
            objects, GRIPPER, Path(folder) / "set", model, 0, total, Execution(WORKERS), watch
        )
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    print(
        f"{preset}: {len(made)} datapoints of {len(objects)} objects, {rates[0]:.0f}/s with {WORKERS} workers, "
        f"{size / len(made):.0f} bytes each"
    )


def profile(objects: list[TriMesh], model: GenerativeModel, each: int) -> None:
    """Print each stage's share of one process."""
    profiler = cProfile.Profile()
    profiler.enable()
    n = 0
    for first in range(0, len(objects), 8):
        some = tuple(objects[first : first + 8])
        n += make_shard(ShardJob(first // 8, first, some, GRIPPER, model, 0, each)).n_datapoints
    profiler.disable()
    stats = pstats.Stats(profiler)
    total: float = stats.total_tt  # pyright: ignore[reportAttributeAccessIssue]
    spent = {
        stage: max(row[3] for key, row in stats.stats.items() if key[2] == name)  # pyright: ignore[reportAttributeAccessIssue]
        for stage, name in STAGES.items()
    }
    spent["everything else"] = total - sum(spent.values())
    print(f"  one process, profiled: {n} datapoints in {total:.1f} s")
    for stage, seconds in spent.items():
        print(f"  {stage:20s} {seconds / total:5.1%}")


def against_plain(objects: list[TriMesh], model: GenerativeModel) -> None:
    """Time both ways to the same crops."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    seconds, n, worst = {"plain": 0.0, "ours": 0.0}, 0, 0.0
    for raw in objects:
        mesh = rescale(raw, 0.04)
        grasps, poses = sample_antipodal(mesh, GRIPPER, 12, rng), stable_poses(mesh)
        if not (len(grasps) and poses):
            continue
        views = sample_views(poses[0], 20, model, rng)
        planar = project(grasps, choose(len(grasps), 20, len(grasps), rng), views)
        for i in range(20):
            start = time.perf_counter()
            ours = view_crops(mesh, views, i, planar[i], model.crop)
            middle = time.perf_counter()
            fx, fy, cx, cy = views.k[i].tolist()
            camera = CameraIntrinsics(fx, fy, cx, cy, views.width, views.height)
            T_world_obj = views.T_world_camera[i] @ views.T_camera_obj[i]
            image = render_depth(Scene(mesh, T_world_obj, views.T_world_camera[i], camera))
            plain = crop_grasps(image, planar[i], model.crop)
            seconds["ours"] += middle - start
            seconds["plain"] += time.perf_counter() - middle
            worst = max(worst, float(np.abs(ours - plain).max()))
            n += len(ours)
    rate = {name: n / s for name, s in seconds.items()}
    print(
        f"crops alone, one core: {rate['ours']:.0f}/s, plain {rate['plain']:.0f}/s: "
        f"{rate['ours'] / rate['plain']:.1f} times; largest difference {1000 * worst:.4f} mm"
    )


if __name__ == "__main__":
    main()
