"""Open loop against closed loop: objects that move at 2 to 10 cm/s, and a camera calibrated 20 mm and 5° wrong.

Convex procedural objects, so that the simulated shape is exact, with a smallest side of 25 mm. A scene counts if the
planner finds a grasp of some quality in its first picture through the true calibration. All controllers meet the same
scenes: objects, poses, friction, paths and calibration errors.

    python benchmarks/closed_loop.py [N_SCENES] [SEED] [ROWS.jsonl]    (default: 40 scenes, seed 7; ten minutes)

With a file, each trial is appended to it, and what it already holds of that seed is not run again.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from antipodal import transforms
from antipodal.bench.scores import wilson
from antipodal.bench.tracking import ACROSS, HOME, Loop, LoopController, draw_scene, run_scene
from antipodal.camera import DepthImage
from antipodal.gripper import load_gripper
from antipodal.mesh import rescale
from antipodal.objects.families import make_one
from antipodal.policy.closed_loop import ClosedLoopPolicy
from antipodal.policy.hand_in_view import without_hand
from antipodal.policy.heuristics import GeometricQuality, geometric_policy
from antipodal.render.noise import SensorNoise
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.tracking import TrackingConfig, photograph
from antipodal.sim.world import World

FAMILIES = ("carton", "convex_hull", "superquadric")
SMALLEST_SIDE = 0.025
"""m."""
SHIFT, TURN = 0.02, float(np.deg2rad(5.0))
"""Of the calibration error, m and rad."""
CASES: dict[str, tuple[float, float, float, Loop, bool, bool]] = {
    "standing, open loop": (0.0, 0.0, 0.0, Loop.OPEN, False, False),
    "standing, closed loop": (0.0, 0.0, 0.0, Loop.CLOSED, False, False),
    "2 cm/s, open loop": (0.02, 0.0, 0.0, Loop.OPEN, False, False),
    "2 cm/s, closed loop": (0.02, 0.0, 0.0, Loop.CLOSED, False, False),
    "5 cm/s, open loop": (0.05, 0.0, 0.0, Loop.OPEN, False, False),
    "5 cm/s, closed loop": (0.05, 0.0, 0.0, Loop.CLOSED, False, False),
    "10 cm/s, open loop": (0.1, 0.0, 0.0, Loop.OPEN, False, False),
    "10 cm/s, open loop aimed ahead": (0.1, 0.0, 0.0, Loop.AHEAD, False, False),
    "10 cm/s, closed loop": (0.1, 0.0, 0.0, Loop.CLOSED, False, False),
    "20 mm and 5° off, open loop": (0.0, SHIFT, TURN, Loop.OPEN, True, False),
    "20 mm and 5° off, open loop, one look at the hand": (0.0, SHIFT, TURN, Loop.OPEN, True, True),
    "20 mm and 5° off, closed loop that sees its hand": (0.0, SHIFT, TURN, Loop.CLOSED, True, True),
}
"""Speed; shift and turn of the calibration; when it looks; whether it finds its hand, and believes what it finds."""
MIN_QUALITY = 0.5
"""Below it a robot would not try: a large object that lies flat, of which the hand can only pinch a corner."""
CONFIG = TrackingConfig(noise=SensorNoise(edge_dropout=0.0, flying_rate=0.0))
"""The benchmark's sensor without its flying pixels: at 45° they hang in the air behind objects, and block fingers."""
GRIPPER = replace(load_gripper("robotiq_2f85"), max_width=0.07)
"""Opened to 70 mm. Its fingers are long: from the side its object stays in sight between them."""
QUALITY = GeometricQuality(GRIPPER)
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
        rows = [row for row in rows if row.get("seed") == seed]
    index = n_used = 0
    while n_used < n_scenes:
        done = {(r["index"], r["case"]) for r in rows}
        new = [{"seed": seed, **row} for row in run_object(index, seed, done)]
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
    draw = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    if not counts(mesh, world, draw):
        return [{"index": index, "case": ""}]
    return [
        {"index": index, **run(mesh, world, draw, case)}
        for case in CASES
        if (index, case) not in done
    ]


def counts(mesh: Any, world: World, draw: int) -> bool:
    """Whether a grasp is found in the first picture."""
    scene = draw_scene(mesh, world, 0.0, (0.0, 0.0), draw)
    if scene is None:
        return False
    rng = np.random.default_rng([draw, 2])
    image = photograph(
        mesh,
        GRIPPER,
        scene.T_world_obj,
        HOME,
        GRIPPER.max_width,
        scene.camera,
        rng,
        CONFIG.noise,
    )
    T_camera_grasp = transforms.inverse(scene.camera.T_world_camera) @ HOME
    image = without_hand(image, GRIPPER, T_camera_grasp, GRIPPER.max_width)
    plan = PLANNER(DepthImage(image.depth, image.intrinsics), ACROSS, rng)
    return len(plan.grasps) > 0 and plan.quality[0] >= MIN_QUALITY


def run(mesh: Any, world: World, draw: int, case: str) -> dict[str, Any]:
    """One trial of the scene that ``draw`` is the seed of."""
    speed, shift, turn, loop, locates, calibrates = CASES[case]
    scene = draw_scene(mesh, world, speed, (shift, turn), draw)
    assert scene is not None  # it has been drawn before
    tracker = ClosedLoopPolicy(QUALITY, GRIPPER, planner=PLANNER)
    rng = np.random.default_rng([draw, 3])
    controller = LoopController(loop, PLANNER, tracker, GRIPPER, rng, locates, calibrates)
    start = time.perf_counter()
    result = run_scene(scene, world, controller, CONFIG)
    return {
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
