"""A depth image as a point cloud, with the plan's grasps coloured by quality and the candidates that were rejected.

Frame: camera. The scene's up is where the hand comes from.
"""

from __future__ import annotations

from collections import Counter
from threading import RLock
from typing import NamedTuple

import numpy as np
import viser
from jaxtyping import Float

from ..camera import DepthImage
from ..gripper import GripperModel
from ..planning import PlanInputs
from ..policy.base import Plan, Rejected, no_grasps
from ..policy.reasons import REJECTIONS
from ..policy.view import View, look
from .colors import OBJECT, REJECTED, legend, quality_colors
from .nodes import draw_grasps, draw_hand, look_from

MAX_POINTS = 200_000
"""Pixels beyond this are thinned out evenly."""
NONE, EVERY = "none", "all"


class SeenPlan(NamedTuple):
    """An image, what was planned in it and what was refused."""

    view: View
    gripper: GripperModel
    plan: Plan
    rejected: Rejected


def plan_and_look(inputs: PlanInputs, seed: int) -> SeenPlan:
    """Plan with a seed, and look at the image as the planner did."""
    plan = inputs.policy(inputs.image, inputs.asked, np.random.default_rng(seed))
    view = look(inputs.image, inputs.asked, np.random.default_rng(seed))
    rejected = plan.rejected or Rejected(no_grasps(), np.empty(0, int))
    return SeenPlan(view, inputs.gripper, plan, rejected)


REASONS = tuple(REJECTIONS)
"""Names of the rejections, by their number in a plan."""


class DepthView:
    """Draws one image; its controls hold what is chosen."""

    def __init__(
        self, server: viser.ViserServer, seen: SeenPlan, name: str = "depth image"
    ) -> None:
        self._server, self._seen = server, seen
        self._lock = RLock()
        self.looked_at: tuple[str, int] | None = None
        """What the hand stands at: ``plan`` or ``rejected``, and which of them; None without a grasp."""
        axis, K = seen.plan.approach_axis, seen.view.image.intrinsics
        self._planned = seen.plan.grasps.to_grasp(K, axis)
        self._refused = seen.rejected.grasps.to_grasp(K, axis)
        self.shown_rejected = np.empty(0, int)
        """Rows of the refused candidates on the screen."""
        gui = server.gui
        gui.set_panel_label(name)
        gui.add_markdown(_about(seen))
        n = len(seen.plan.grasps)
        self.n_shown = gui.add_slider("planned, shown", 1, max(n, 2), 1, max(min(n, 20), 1))
        self.grasp = gui.add_slider("grasp", 0, max(n - 1, 1), 1, 0)
        gui.add_html(legend("q = 0", "0.5", "1"))
        self.said = gui.add_markdown("")
        reasons = Counter(REASONS[k] for k in seen.rejected.reason)
        options = [NONE, EVERY, *(f"{name} ({k})" for name, k in reasons.most_common())]
        self.reason = gui.add_dropdown("rejected", options)
        self.hand = gui.add_checkbox("gripper", True)
        self.n_shown.on_update(lambda _: self._draw_plan())
        self.grasp.on_update(lambda _: self._look_at("plan", int(self.grasp.value)))
        self.reason.on_update(lambda _: self._draw_rejected())
        self.hand.on_update(lambda _: self._draw_hand())
        server.scene.set_up_direction(-axis)
        draw_points(server, seen.view.image, seen.view.objects)
        self._look_from_the_side()
        self._draw_plan()
        self._look_at("plan", 0)

    def choose(self, rank: int) -> None:
        """Choose a planned grasp, as a click on it does."""
        self.grasp.value = rank
        self._look_at("plan", rank)

    def _draw_plan(self) -> None:
        with self._lock, self._server.atomic():
            n = min(int(self.n_shown.value), len(self._planned))
            colors = quality_colors(self._seen.plan.quality[:n])
            grasps = self._planned[:n]
            draw_grasps(self._server, "/plan", grasps, grasps.width, colors, self.choose)

    def _draw_rejected(self) -> None:
        with self._lock, self._server.atomic():
            wanted = self.reason.value.split(" (")[0]
            reasons = self._seen.rejected.reason
            keep = [i for i, k in enumerate(reasons) if wanted in (EVERY, REASONS[k])]
            self.shown_rejected = np.array(keep, int)
            colors = np.tile(np.array(REJECTED, np.uint8), (len(keep), 1))
            grasps, shown = self._refused[self.shown_rejected], self.shown_rejected

            def choose(i: int) -> None:
                self._look_at("rejected", int(shown[i]))

            draw_grasps(self._server, "/rejected", grasps, grasps.width, colors, choose)

    def _look_at(self, of: str, row: int) -> None:
        """Say a grasp's numbers and put the hand there."""
        with self._lock:
            if of == "plan" and len(self._planned) == 0:
                self.said.content = f"no grasp: {self._seen.plan.reason}"
                return
            if of == "plan":
                row = min(row, len(self._planned) - 1)  # a slider has two places at least
            self.looked_at = (of, row)
            grasps = self._seen.plan.grasps if of == "plan" else self._seen.rejected.grasps
            g = grasps[row]
            if of == "plan":
                quality = float(self._seen.plan.quality[row])
                head = f"**grasp {row + 1} of {len(grasps)}**: q = {quality:.3f}"
            else:
                reason = REASONS[self._seen.rejected.reason[row]]
                head = f"**rejected**, {reason.replace('_', ' ')}: such grasps {REJECTIONS[reason]}"
            self.said.content = (
                f"{head}  \nat pixel ({g.center_px[0]:.0f}, {g.center_px[1]:.0f}), angle "
                f"{np.degrees(g.angle):.0f}°, depth {1e3 * g.depth:.0f} mm, opening {1e3 * g.width:.0f} mm"
            )
            self._draw_hand()

    def _draw_hand(self) -> None:
        with self._lock, self._server.atomic():
            self._server.scene.remove_by_name("/hand")
            if self.looked_at is None or not self.hand.value:
                return
            of, row = self.looked_at
            grasp = (self._planned if of == "plan" else self._refused)[row]
            gripper = self._seen.gripper
            draw_hand(self._server, "/hand", gripper, grasp.pose, float(grasp.width), 0.6)

    def _look_from_the_side(self) -> None:
        """Look at the best grasp, or the middle of the image, from where the camera is and off to its side."""
        image = self._seen.view.image
        if len(self._planned):
            target = self._planned.center[0]
        else:
            target = np.median(image.points_camera()[image.valid], 0)
        up = -self._seen.plan.approach_axis
        side = np.cross(up, [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        look_from(self._server, target + 0.35 * up - 0.35 * side, target)


def draw_points(
    server: viser.ViserServer, image: DepthImage, objects: np.ndarray | None
) -> viser.PointCloudHandle:
    """Draw the pixels that have a depth: near is bright, objects are blue."""
    points = image.points_camera()[image.valid]
    near, far = np.percentile(points[:, 2], [1.0, 99.0])
    shade = np.clip((far - points[:, 2]) / max(far - near, 1e-6), 0.0, 1.0)
    colors = _grey(shade)
    if objects is not None and not objects.all():
        on_object = objects[image.valid]
        colors[on_object] = 0.5 * colors[on_object] + 0.5 * np.array(OBJECT)
    step = -(-len(points) // MAX_POINTS)
    spacing = float(np.median(points[:, 2])) / image.intrinsics.fx * np.sqrt(step)
    return server.scene.add_point_cloud(
        "/points",
        points[::step].astype(np.float32),
        colors[::step].astype(np.uint8),
        point_size=spacing,
        precision="float32",
        point_shading="flat",
    )


def _grey(shade: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    return np.repeat(110 + 130 * shade[:, None], 3, 1)


def _about(seen: SeenPlan) -> str:
    image, plan = seen.view.image, seen.plan
    table = "no table found" if seen.view.table is None else "table found"
    said = f"{len(plan.grasps)} grasps planned" if len(plan.grasps) else "no grasp"
    return (
        f"**{image.intrinsics.width}×{image.intrinsics.height} px**, {image.valid.mean():.0%} valid, {table}  \n"
        f"{said}, {len(seen.rejected.grasps)} candidates rejected. Click a grasp, or move the slider."
    )
