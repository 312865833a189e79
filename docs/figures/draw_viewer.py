"""Draw the screenshots of docs/viewer.md: ``python docs/figures/draw_viewer.py [FOLDER]``.

Procedural objects alone; made in a temporary folder. Needs the ``view`` and ``bench`` extras, playwright and Chromium.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from antipodal.bench.config import BenchConfig
from antipodal.bench.runner import BenchRun, run_bench
from antipodal.camera_files import save_depth
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PAPER
from antipodal.gripper import load_gripper
from antipodal.mesh import save_mesh
from antipodal.objects import make_object
from antipodal.render.depth import render_depth
from antipodal.render.noise import observe
from antipodal.render.scene import CameraDistribution, sample_scene
from antipodal.robust import Perturbation
from antipodal.sim.trial import TrialConfig
from antipodal.stable_pose import stable_poses
from antipodal.viewer.app import ViewOptions, prepare
from antipodal.viewer.server import open_server, url_of

SIZE = {"width": 1000, "height": 580}
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
FLAGS += ["--enable-unsafe-swiftshader"]


@contextmanager
def browser() -> Iterator[Page]:
    """Yield a page of a headless Chromium with a software renderer."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = chromium.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.set_default_timeout(300_000)  # ms: the software renderer on a busy machine
        yield page
        chromium.close()


def shoot(page: Page, path: Path, options: ViewOptions, picture: Path, then: Any) -> None:
    """Open a path in the viewer, do something with the view, and save what the browser shows."""
    _, show = prepare(path, options)
    with open_server(8190) as server:
        view = show(server)
        then(view)
        page.goto(url_of(server))
        page.wait_for_selector("canvas[data-engine]")
        page.add_style_tag(content=".mantine-Notifications-root {display: none !important}")
        time.sleep(10)
        picture.write_bytes(page.screenshot())
        page.goto("about:blank")


FAMILIES = ("mug", "hammer", "bottle", "bracket", "vase", "blob", "gear", "tee")


def solids(folder: Path) -> Path:
    """Write eight procedural objects."""
    folder.mkdir()
    for i, family in enumerate(FAMILIES):
        save_mesh(make_object(family, np.random.default_rng(i)), folder / f"{family}.ply")
    return folder


def on_mesh(view: Any) -> None:
    """The most robust grasp from above, closed."""
    view.which.value = "free from above"
    view.closed.value = True


def on_depth(view: Any) -> None:
    """Show what landed a finger on something."""
    reasons = [r for r in view.reason.options if r.startswith("finger")]
    view.reason.value = reasons[0] if reasons else "all"


def on_dataset(view: Any) -> None:
    """The most robust positives."""
    view.label.value, view.order.value = "positive", "high first"
    time.sleep(1)
    view.choose(int(view.on_page[1]))


def on_trials(view: Any) -> None:
    """A lift, near its end."""
    view.outcome.value = "SUCCESS"
    time.sleep(1)
    view.play()
    view.moment.value = round(0.55 * len(view.snapshots))
    view._show_moment()


def main(folder: Path) -> None:
    """Make the inputs and draw the four pictures."""
    work = Path(tempfile.mkdtemp())
    meshes = solids(work / "meshes")
    rng = np.random.default_rng(3)
    mug = make_object("mug", np.random.default_rng(0))
    camera = CameraDistribution(width=640, height=480, recenter=False)
    scene = sample_scene(mug, stable_poses(mug)[0], rng, camera)
    save_depth(observe(render_depth(scene), rng), work / "depth.png")
    loaded = [
        dataclasses.replace(make_object(family, np.random.default_rng(i)), name=family)
        for i, family in enumerate(FAMILIES)
    ]
    few = dataclasses.replace(
        PAPER, n_grasps=16, n_jittered=6, images_per_pose=2, perturbation=Perturbation(n_samples=8)
    )
    generate(loaded, load_gripper("yumi"), work / "pilot", few, seed=1)
    config = BenchConfig(1, trial=TrialConfig(settle_window=0.1, shake_cycles=0, gravity_time=0.0))
    some = work / "some"
    some.mkdir()
    for name in ("bottle", "hammer"):
        shutil.copy(meshes / f"{name}.ply", some)
    run_bench(BenchRun(("builtin-cem", "random"), some, work / "bench", config=config, n_timed=0))
    with browser() as page:
        shoot(page, meshes / "mug.ply", ViewOptions(n=60), folder / "view_mesh.png", on_mesh)
        with_camera = ViewOptions(camera=str(work / "depth.camera.json"), policy="antipodal")
        shoot(page, work / "depth.png", with_camera, folder / "view_depth.png", on_depth)
        shoot(page, work / "pilot", ViewOptions(), folder / "view_dataset.png", on_dataset)
        shoot(page, work / "bench", ViewOptions(), folder / "view_trials.png", on_trials)
    shutil.rmtree(work)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
