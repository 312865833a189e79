"""A data set: crops in a grid, filtered by label, object and metric; the chosen one in space with the hand.

The grid stands upright at the left of the scene, and a click on a crop chooses it.
"""

from __future__ import annotations

from threading import RLock

import numpy as np
import viser
from jaxtyping import Float

from .. import transforms
from ..crop import CropConfig
from ..dataset.store import Dataset
from ..draw_dataset import draw_crop_grid
from ..gripper import GripperModel
from ..values import config_from_dict
from .colors import BAD, GOOD, MIDDLE
from .filters import LABELS, METRICS, Facts, Filter, read_filter_facts, select
from .nodes import draw_hand, draw_table, look_from
from .relief import COLUMNS, CropPoints, camera_of, crop_relief

GRID = (4, 6)
"""Lines and columns of crops on a page."""
GRID_SIZE = (0.48, 0.32)
"""Width and height of the grid in the scene, m."""
GRID_CENTER = np.array([-0.36, 0.1, 0.18])
LABEL_COLORS = (GOOD, MIDDLE, BAD)
"""Of :data:`filters.LABELS`."""
ANY = "all"
ORDERS = ("stored", "high first", "low first")


class DatasetView:
    """Draws one data set; its controls hold what is wanted and chosen."""

    def __init__(self, server: viser.ViserServer, dataset: Dataset) -> None:
        self._server, self._dataset = server, dataset
        self._facts: Facts = read_filter_facts(dataset)
        self._crop = config_from_dict(CropConfig, dataset.config["crop"], "dataset.json: crop")
        self._gripper = gripper_of(dataset)
        self._lock = RLock()
        self.rows = np.empty(0, int)
        """Numbers of all datapoints that are wanted."""
        self.chosen: int | None = None
        """Number of the datapoint that is shown in space."""
        gui = server.gui
        gui.set_panel_label(dataset.path.name)
        names = sorted(self._facts.object_names.values())
        gui.add_markdown(
            f"**{dataset.path.name}**: {len(dataset)} datapoints of {len(names)} objects"
        )
        self.label = gui.add_dropdown("label", (ANY, *LABELS))
        self.object = gui.add_dropdown("object", (ANY, *names))
        self.metric = gui.add_dropdown("metric", METRICS)
        self.between = gui.add_multi_slider("range", 0.0, 1.0, 0.01, (0.0, 1.0))
        self.order = gui.add_dropdown("order by it", ORDERS)
        self.page = gui.add_slider("page", 0, 1, 1, 0)
        self.said = gui.add_markdown("")
        self.about = gui.add_markdown("")
        self.hand = gui.add_checkbox("gripper", True)
        for control in (self.label, self.object, self.between, self.order):
            control.on_update(lambda _: self._filter())
        self.metric.on_update(lambda _: self._new_metric())
        self.page.on_update(lambda _: self._draw_page())
        self.hand.on_update(lambda _: self._draw_chosen())
        draw_table(server)
        look_from(server, np.array([-0.17, -0.95, 0.42]), np.array([-0.17, 0.0, 0.13]))
        self._new_metric()

    @property
    def on_page(self) -> np.ndarray:
        """Numbers of the datapoints on the page."""
        n = GRID[0] * GRID[1]
        return self.rows[int(self.page.value) * n :][:n]

    def choose(self, row: int) -> None:
        """Show a datapoint in space, as a click on its crop does."""
        with self._lock:
            self.chosen = row
            self._draw_page()
            self._draw_chosen()

    def _new_metric(self) -> None:
        """Let the range span the metric's values."""
        with self._lock, self._server.atomic():
            values = self._facts.numbers[self.metric.value]
            values = values[np.isfinite(values)]
            low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
            step = max((high - low) / 200, 1e-6)
            self.between.min, self.between.max, self.between.step = low, high + step, step
            self.between.value = (low, high + step)
            self._filter()

    def _filter(self) -> None:
        with self._lock, self._server.atomic():
            ids = {name: i for i, name in self._facts.object_names.items()}
            low, high = self.between.value
            whole = low <= self.between.min and high >= self.between.max
            wanted = Filter(
                None if self.label.value == ANY else self.label.value,
                None if self.object.value == ANY else ids[self.object.value],
                self.metric.value,
                -np.inf if whole else low,
                np.inf if whole else high,
                self.order.value,
            )
            self.rows = select(self._facts, wanted)
            n_pages = -(-len(self.rows) // (GRID[0] * GRID[1]))
            self.page.max = max(n_pages - 1, 1)
            self.page.value = 0
            share = len(self.rows) / max(len(self._facts.label), 1)
            self.said.content = f"{len(self.rows)} datapoints ({share:.1%}), {n_pages} pages"
            self.chosen = int(self.rows[0]) if len(self.rows) else None
            self._draw_page()
            self._draw_chosen()

    def _draw_page(self) -> None:
        """Draw the crops of the page; a click on one chooses it."""
        with self._lock:
            rows = self.on_page
            if len(rows) == 0:
                self._server.scene.remove_by_name("/crops")
                return
            colors = [LABEL_COLORS[k] for k in self._facts.label[rows]]
            here = np.flatnonzero(rows == self.chosen)
            marked = int(here[0]) if len(here) else None
            wall = self._server.scene.add_image(
                "/crops",
                draw_crop_grid(self._dataset, rows, colors, GRID, marked),
                *GRID_SIZE,
                wxyz=transforms.to_wxyz(GRID_AXES),
                position=GRID_CENTER,
            )

        @wall.on_click
        def _(event: viser.SceneNodePointerEvent[viser.ImageHandle]) -> None:
            place = cell_at(np.array(event.ray_origin), np.array(event.ray_direction))
            if place is not None and place < len(self.on_page):
                self.choose(int(self.on_page[place]))

    def _draw_chosen(self) -> None:
        """Draw the chosen crop as a surface, and say its numbers."""
        with self._lock, self._server.atomic():
            for name in ("/surface", "/hand"):
                self._server.scene.remove_by_name(name)
            if self.chosen is None:
                self.about.content = "nothing is wanted like this"
                return
            taken = self._dataset.take(COLUMNS, np.array([self.chosen]))
            relief = centred(crop_relief({k: v[0] for k, v in taken.items()}, self._crop))
            self._server.scene.add_point_cloud(
                "/surface",
                relief.points.astype(np.float32),
                height_colors(relief.points[:, 2]),
                point_size=0.9 * spacing(self._crop, taken),
                precision="float32",
                point_shading="flat",
            )
            if self.hand.value and self._gripper is not None:
                width = float(relief.grasp.width)
                draw_hand(self._server, "/hand", self._gripper, relief.grasp.pose, width, 0.7)
            self.about.content = self._say(self.chosen)

    def _say(self, row: int) -> str:
        facts = self._facts
        numbers = {name: float(values[row]) for name, values in facts.numbers.items()}
        name = facts.object_names[int(facts.object_id[row])]
        return (
            f"**datapoint {row}**: {name}, {LABELS[facts.label[row]]}  \n"
            f"robust ε = {numbers['robust_epsilon']:.4f}, ε = {numbers['epsilon']:.4f}  \n"
            f"depth {1e3 * numbers['depth']:.0f} mm, angle {np.degrees(numbers['angle']):.0f}°, "
            f"opening {1e3 * numbers['width']:.0f} mm"
        )


GRID_AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""R_world_grid: the picture's x to the right, its y down, seen from −y of the world."""


def cell_at(origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]) -> int | None:
    """Place on the page, line by line, where a ray meets the grid; None beside it."""
    o, d = GRID_AXES.T @ (origin - GRID_CENTER), GRID_AXES.T @ direction
    if d[2] == 0:
        return None
    x, y = (o - d * o[2] / d[2])[:2] / GRID_SIZE + 0.5
    if not (0 <= x < 1 and 0 <= y < 1):
        return None
    return int(y * GRID[0]) * GRID[1] + int(x * GRID[1])


def gripper_of(dataset: Dataset) -> GripperModel | None:
    """The hand of the data set; None where it is not known."""
    values = dataset.manifest.get("gripper") or {}
    return (
        GripperModel.from_json(values, "dataset.json: gripper") if "palm_boxes" in values else None
    )


def centred(relief: CropPoints) -> CropPoints:
    """Move the grasp above the world's origin; without a known camera, stand the view on its head: near is up."""
    T = np.eye(4)
    if not relief.in_world:
        T[:3, :3] = np.diag([1.0, -1.0, -1.0])
        T[2, 3] = relief.points[:, 2].max(initial=0.0)
    center = transforms.apply(T, relief.grasp.center[None])[0]
    T = transforms.translation(np.array([-center[0], -center[1], 0.0])) @ T
    return CropPoints(transforms.apply(T, relief.points), relief.grasp.in_frame(T), relief.in_world)


def height_colors(height: Float[np.ndarray, "n"]) -> np.ndarray:
    """Grey at the table, blue with height; full at three centimetres."""
    share = np.clip(height / 0.03, 0.0, 1.0)[:, None]
    return ((1 - share) * [200, 200, 200] + share * [40, 100, 190]).astype(np.uint8)


def spacing(config: CropConfig, datapoint: dict[str, np.ndarray]) -> float:
    """Distance of neighbouring crop pixels at the grasp's depth, m."""
    camera, depth = camera_of(datapoint["intrinsics"][0]), datapoint["depth"].astype(float)
    focal = np.array([camera.fx, camera.fy])
    return float(config.windows(focal, depth).sides[0] / config.size * depth[0] / focal.mean())
