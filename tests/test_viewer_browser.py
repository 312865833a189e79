"""The viewer in a real browser: it loads, shows the object, answers clicks, and the console stays without errors.

Needs Chromium and playwright; without them the tests are skipped, saying so.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("viser")
pytest.importorskip("playwright")

import cv2
import viser
from playwright.sync_api import sync_playwright

from antipodal import transforms
from antipodal.bench.config import BenchConfig
from antipodal.bench.runner import BenchRun, run_bench
from antipodal.camera_files import save_depth
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PAPER
from antipodal.gripper import load_gripper
from antipodal.mesh import save_mesh
from antipodal.render.depth import render
from antipodal.robust import Perturbation
from antipodal.sim.trial import TrialConfig
from antipodal.viewer.app import ViewOptions, prepare
from antipodal.viewer.dataset_view import GRID, GRID_AXES, GRID_CENTER, GRID_SIZE
from antipodal.viewer.server import HOST, open_server, url_of
from conftest import box
from policy_scenes import standing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
FLAGS += ["--enable-unsafe-swiftshader"]
PATIENCE = 300.0
"""s: a software renderer on a busy machine; nothing is asserted about time."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that renders in software."""
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@dataclasses.dataclass
class Shown:
    """A view, and the page that shows it."""

    server: Any
    view: Any
    page: Any
    errors: list[str]

    def until(self, what: Callable[[], object]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, "it did not happen"
            self.page.wait_for_timeout(100)

    def click_at(self, point_world: np.ndarray) -> None:
        """Click where a point of the scene is seen, by the camera that the browser reports."""
        (client,) = self.server.get_clients().values()
        camera = client.camera
        R = transforms.from_wxyz(camera.wxyz)
        x, y, z = R.T @ (point_world - camera.position)
        place = self.page.locator("canvas[data-engine]").bounding_box()
        focal = place["height"] / 2 / np.tan(camera.fov / 2)
        u = place["x"] + place["width"] / 2 + focal * x / z
        v = place["y"] + place["height"] / 2 + focal * y / z
        self.page.mouse.click(u, v)

    def picture(self) -> np.ndarray:
        """What the canvas shows, sRGB."""
        png = self.page.locator("canvas[data-engine]").screenshot()
        image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return image[..., ::-1]


@contextmanager
def shown(browser: Any, path: Path, options: ViewOptions) -> Iterator[Shown]:
    """Open a path in the viewer and in the browser; afterwards the console must have no error."""
    _, show = prepare(path, options)
    with open_server(8200) as server:
        view = show(server)
        page = browser.new_page(viewport={"width": 820, "height": 460})
        page.set_default_timeout(1000 * PATIENCE)
        errors: list[str] = []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url_of(server))
        page.add_style_tag(content=".mantine-Notifications-root {display: none !important}")
        page.wait_for_selector("canvas[data-engine]")
        it = Shown(server, view, page, errors)
        it.until(lambda: len(server.get_clients()) == 1)
        it.until(lambda: it.picture().std() > 3)  # not a blank canvas
        try:
            yield it
            assert errors == []
        finally:
            page.close()


def bluish(picture: np.ndarray) -> np.ndarray:
    """Where pixels have the object's colour."""
    rgb = picture.astype(int)
    return (rgb[..., 2] > rgb[..., 0] + 40) & (rgb[..., 2] > rgb[..., 1] + 10)


def rows_of(mask: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the lines of a mask's pixels, counted from the top."""
    rows = np.nonzero(mask)[0]
    return float(rows.mean()), float(rows.std())


def test_a_mesh_is_shown_and_a_click_on_a_grasp_chooses_it(browser: Any, tmp_path: Path) -> None:
    save_mesh(box(0.03, 0.05, 0.04), tmp_path / "brick.ply")
    with shown(browser, tmp_path / "brick.ply", ViewOptions(n=12)) as it:
        view = it.view
        it.until(lambda: bluish(it.picture()).sum() > 500)
        assert it.server.get_host() == HOST
        it.page.get_by_text("12 antipodal grasps for yumi").wait_for()
        # without the hand in front; the last grasps are the least robust, the first is chosen
        it.page.get_by_label("gripper").click()
        it.until(lambda: view.hand.value is False)
        assert view.chosen == 0
        stems = view._placed.grasps_world
        ends = stems.center - 0.012 * stems.approach_axis
        for place in range(len(view.shown) - 1, 0, -1):
            it.click_at(ends[view.shown[place]])
            it.page.wait_for_timeout(700)
            if view.chosen != 0:
                break
        assert view.chosen != 0
        it.page.get_by_text(f"grasp {int(view.grasp.value) + 1} of 12").wait_for()


@pytest.mark.slow
def test_choosing_another_pose_stands_the_object_there(browser: Any, tmp_path: Path) -> None:
    save_mesh(box(0.02, 0.05, 0.12), tmp_path / "bar.ply")
    with shown(browser, tmp_path / "bar.ply", ViewOptions(n=3)) as it:
        it.page.get_by_label("gripper").click()
        it.page.get_by_label("friction cones").click()
        it.until(lambda: not (it.view.hand.value or it.view.cones.value))
        it.until(lambda: bluish(it.picture()).sum() > 500)
        (middle, height), options = rows_of(bluish(it.picture())), it.view.pose.options
        assert it.page.get_by_label("stable pose").input_value() == options[0]
        it.page.get_by_label("stable pose").click()
        it.page.get_by_role("option", name=options[-1]).click()
        it.until(lambda: it.view.pose.value == options[-1])
        it.until(lambda: rows_of(bluish(it.picture()))[1] > 1.2 * height)
        assert it.page.get_by_label("stable pose").input_value() == options[-1]
        assert rows_of(bluish(it.picture()))[0] < middle  # 12 cm high now, on the same table


@pytest.mark.slow
def test_a_depth_image_is_shown_with_its_plan_and_rejected_grasps(
    browser: Any, tmp_path: Path
) -> None:
    save_depth(render(standing(box(0.03, 0.08, 0.04))).image, tmp_path / "depth.png")
    options = ViewOptions(camera=str(tmp_path / "depth.camera.json"), policy="antipodal")
    with shown(browser, tmp_path / "depth.png", options) as it:
        view, plan = it.view, it.view._seen.plan
        it.page.get_by_text(f"{len(plan.grasps)} grasps planned").wait_for()
        assert view.looked_at == ("plan", 0)
        assert len(view.shown_rejected) == 0
        it.page.get_by_label("rejected").click()
        it.page.get_by_role("option", name="all", exact=True).click()
        it.until(lambda: len(view.shown_rejected) > 0)
        assert len(view.shown_rejected) == len(plan.rejected.grasps)
        # every rejected candidate is counted in the plan under its reason
        names = [o.split(" (")[0] for o in view.reason.options[2:]]
        counts = {o.split(" (")[0]: int(o.split("(")[1][:-1]) for o in view.reason.options[2:]}
        assert counts == {name: plan.counts[name] for name in names}


@pytest.mark.slow
def test_a_click_on_a_crop_shows_its_datapoint(browser: Any, tmp_path: Path) -> None:
    few = dataclasses.replace(
        PAPER,
        n_grasps=10,
        n_jittered=5,
        images_per_pose=1,
        rescale_to=None,
        perturbation=Perturbation(n_samples=4),
    )
    mesh = dataclasses.replace(box(0.03, 0.02, 0.05), name="brick")
    generate([mesh], load_gripper("yumi"), tmp_path / "set", few, seed=5)
    with shown(browser, tmp_path / "set", ViewOptions()) as it:
        view = it.view
        cell = 9
        line, column = divmod(cell, GRID[1])
        x, y = (column + 0.5) / GRID[1] - 0.5, (line + 0.5) / GRID[0] - 0.5
        it.click_at(GRID_CENTER + GRID_AXES @ [x * GRID_SIZE[0], y * GRID_SIZE[1], 0.0])
        it.until(lambda: view.chosen == int(view.rows[cell]))
        it.page.get_by_text(f"datapoint {int(view.rows[cell])}").wait_for()
        n = len(view.rows)
        it.page.get_by_label("label").click()
        it.page.get_by_role("option", name="in collision").click()
        it.until(lambda: view.label.value == "in collision")
        it.until(lambda: len(view.rows) < n)
        assert not view._dataset.read(["collision_free"])["collision_free"][view.rows].any()


@pytest.mark.slow
def test_a_trial_is_replayed_by_a_click_and_ends_as_recorded(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    save_mesh(box(0.03, 0.06, 0.035), tmp_path / "objects" / "brick.ply")
    quick = TrialConfig(settle_window=0.1, carry_distance=0.0, shake_cycles=0, gravity_time=0.0)
    config = BenchConfig(1, trial=quick)
    planners = ("bench_planners:narrow",)
    run = BenchRun(planners, tmp_path / "objects", tmp_path / "run", config=config, n_timed=0)
    run_bench(run)
    with shown(browser, tmp_path / "run", ViewOptions()) as it:
        view = it.view
        handle = it.server.scene.get_handle_by_name("/object")
        start = float(handle.position[2])
        it.until(lambda: bluish(it.picture()).sum() > 100)
        before, _ = rows_of(bluish(it.picture()))
        it.page.get_by_role("button", name="Replay").click()
        it.until(lambda: view.ended.content.startswith("**SUCCESS**"))
        it.page.get_by_text("as recorded").wait_for()
        it.until(lambda: handle.position[2] > start + 0.15)  # it was lifted by 20 cm
        it.until(lambda: rows_of(bluish(it.picture()))[0] < before - 20)
        shown_words = it.page.get_by_text("as recorded").inner_text()
        assert "SUCCESS" in shown_words and "differs" not in shown_words


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from antipodal import cli_view

    save_mesh(box(), tmp_path / "brick.ply")
    answers: list[bytes] = []

    def ask_and_interrupt(server: Any) -> None:
        import urllib.request

        with urllib.request.urlopen(url_of(server)) as page:
            answers.append(page.read())
        raise KeyboardInterrupt

    monkeypatch.setattr(viser.ViserServer, "sleep_forever", ask_and_interrupt)
    assert cli_view.view(tmp_path / "brick.ply", n=3, port=8300, open=False) == 0
    assert b"<html" in answers[0]
    out = capsys.readouterr().out
    assert out.startswith("mesh brick.ply: http://127.0.0.1:") and out.count("\n") == 1
