"""Open loop against closed loop: objects that move at 10 cm/s, and a camera calibrated 20 mm and 5° wrong.

Convex procedural objects, so that the simulated shape is exact, with a smallest side of 25 mm. A scene counts if the
planner finds a grasp in its first picture through the true calibration. All controllers meet the same scenes.

    python benchmarks/closed_loop.py [N_SCENES] [SEED] [ROWS.jsonl]    (default 40 scenes, seed 7; half an hour)

With a file, each trial is appended to it, and what it already holds is not run again.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from antipodal import transforms
from antipodal.bench.scores import wilson
from antipodal.bench.tracking import HOME, Loop, LoopController, draw_scene, run_scene
from antipodal.camera import DepthImage
from antipodal.gripper import load_gripper
from antipodal.mesh import rescale
from antipodal.objects.families import make_one
from antipodal.policy.closed_loop import ClosedLoopPolicy
from antipodal.policy.hand_in_view import without_hand
from antipodal.policy.heuristics import geometric_policy, geometric_quality
from antipodal.render.noise import SensorNoise
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.tracking import TrackingConfig, photograph
from antipodal.sim.world import World

FAMILIES = ("carton", "convex_hull", "superquadric")
SMALLEST_SIDE = 0.025
"""m."""
SPEED, SHIFT, TURN = 0.1, 0.02, float(np.deg2rad(5.0))
"""Of the support, m/s; of the calibration error, m and rad."""
CASES: dict[str, tuple[float, float, float, Loop, bool, bool]] = {
    "moving, open loop": (SPEED, 0.0, 0.0, Loop.OPEN, False, False),
    "moving, closed loop": (SPEED, 0.0, 0.0, Loop.CLOSED, False, False),
    "miscalibrated, open loop": (0.0, SHIFT, TURN, Loop.OPEN, True, False),
    "miscalibrated, closed loop that sees its hand": (0.0, SHIFT, TURN, Loop.CLOSED, True, True),
    "static, open loop": (0.0, 0.0, 0.0, Loop.OPEN, False, False),
    "miscalibrated, open loop, one look at the hand": (0.0, SHIFT, TURN, Loop.OPEN, True, True),
    "moving, open loop aimed ahead": (SPEED, 0.0, 0.0, Loop.AHEAD, False, False),
    "static, closed loop": (0.0, 0.0, 0.0, Loop.CLOSED, False, False),
}
"""Speed; shift and turn of the calibration; when it looks; whether it finds its hand, and believes what it finds."""
CONFIG = TrackingConfig(noise=SensorNoise(edge_dropout=0.0, flying_rate=0.0))
"""The benchmark's sensor without its flying pixels: at 45° they hang in the air behind objects, and block fingers."""
GRIPPER = load_gripper("yumi")
QUALITY = geometric_quality(GRIPPER)
PLANNER = geometric_policy(GRIPPER)


def main() -> None:
    """Run the scenes and print the table."""
    cv2.setNumThreads(1)
    n_scenes = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    path = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    rows: list[dict[str, Any]] = []
    if path is not None and path.is_file():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    index = n_used = 0
    while n_used < n_scenes:
        done = {(r["index"], r["case"]) for r in rows}
        new = run_object(index, seed, done)
        rows += new
        n_used += any(r["index"] == index and r["case"] for r in rows)
        if path is not None:
            with path.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in new)
        index += 1
    print_table(rows)


def run_object(index: int, seed: int, done: set[tuple[int, str]]) -> list[dict[str, Any]]:
    """All cases of one object that are not done yet; one row without a case if the scene does not count."""
    if (index, "") in done or all((index, case) in done for case in CASES):
        return []
    mesh = rescale(make_one(index, seed, FAMILIES), SMALLEST_SIDE)
    world = World(mesh, convex_pieces(mesh), GRIPPER)
    if not counts(mesh, world, index):
        return [{"index": index, "case": ""}]
    return [run(mesh, world, index, case) for case in CASES if (index, case) not in done]


def counts(mesh: Any, world: World, index: int) -> bool:
    """Whether a grasp is found in the first picture."""
    scene = draw_scene(mesh, world, 0.0, (0.0, 0.0), index)
    if scene is None:
        return False
    rng = np.random.default_rng([index, 2])
    image = photograph(mesh, GRIPPER, scene.T_world_obj, HOME, scene.camera, rng, CONFIG.noise)
    T_camera_grasp = transforms.inverse(scene.camera.T_world_camera) @ HOME
    image = without_hand(image, GRIPPER, T_camera_grasp, GRIPPER.max_width)
    return len(PLANNER(DepthImage(image.depth, image.intrinsics), None, rng).grasps) > 0


def run(mesh: Any, world: World, index: int, case: str) -> dict[str, Any]:
    """One trial."""
    speed, shift, turn, loop, locates, calibrates = CASES[case]
    scene = draw_scene(mesh, world, speed, (shift, turn), index)
    assert scene is not None  # it has been drawn before
    tracker = ClosedLoopPolicy(QUALITY, GRIPPER, planner=PLANNER)
    rng = np.random.default_rng([index, 3])
    controller = LoopController(loop, PLANNER, tracker, GRIPPER, rng, locates, calibrates)
    start = time.perf_counter()
    result = run_scene(scene, world, controller, CONFIG)
    return {
        "index": index,
        "case": case,
        "object": mesh.name,
        "outcome": result.outcome.value,
        "success": result.success,
        "closed_at": result.time,
        "n_frames": len(controller.steps),
        "wall_time": time.perf_counter() - start,
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """One line per case: success with its interval, and what the failures were."""
    for case in CASES:
        mine = [r for r in rows if r["case"] == case]
        if not mine:
            continue
        n_success = sum(r["success"] for r in mine)
        low, high = wilson(n_success, len(mine))
        names = sorted({r["outcome"] for r in mine if not r["success"]})
        failures = ", ".join(f"{n} {sum(r['outcome'] == n for r in mine)}" for n in names)
        share = f"{n_success}/{len(mine)} = {n_success / len(mine):.0%} [{low:.0%}–{high:.0%}]"
        print(f"{case:50s} {share:24s} {failures}")


if __name__ == "__main__":
    main()
