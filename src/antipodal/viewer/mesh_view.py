"""A mesh: stable poses, antipodal grasps coloured by robust ε, friction cones, the gripper at the chosen one."""

from __future__ import annotations

from threading import RLock

import numpy as np
import viser

from ..contact import PAPER_CONTACT_MODEL
from ..dataset.schema import SUCCESS_THRESHOLD
from .colors import GOOD_MULTIPLE, epsilon_colors, legend
from .mesh_grasps import MeshGrasps, Placed, place
from .nodes import draw_cones, draw_grasps, draw_hand, draw_mesh, draw_table, look_from

ALL, ABOVE, POSITIVE = "all", "free from above", "free from above and robust"
SEE_THROUGH = 0.35
"""Opacity of an object in which something is to be seen."""


class MeshView:
    """Draws one mesh; its controls hold what is chosen."""

    def __init__(self, server: viser.ViserServer, found: MeshGrasps) -> None:
        self._server, self._found = server, found
        self._lock = RLock()
        self.shown = np.empty(0, int)
        """Rows of the grasps on the screen, the most robust first."""
        self._placed: Placed = place(found, found.poses[0])
        gui = server.gui
        gui.set_panel_label(found.mesh.name)
        gui.add_markdown(_about(found))
        poses = [f"{i + 1}: {pose.probability:.0%}" for i, pose in enumerate(found.poses)]
        self.pose = gui.add_dropdown("stable pose", poses)
        self.which = gui.add_dropdown("grasps", (ALL, ABOVE, POSITIVE))
        self.grasp = gui.add_slider("grasp", 0, max(len(found.epsilon) - 1, 1), 1, 0)
        low, high = "ε = 0", f"{GOOD_MULTIPLE * SUCCESS_THRESHOLD:g}"
        gui.add_html(legend(low, f"δ = {SUCCESS_THRESHOLD:g}", high))
        self.said = gui.add_markdown("")
        self.cones = gui.add_checkbox("friction cones", True)
        mu = float(PAPER_CONTACT_MODEL.friction)
        self.friction = gui.add_slider("friction μ", 0.1, 1.0, 0.05, mu)
        self.hand = gui.add_checkbox("gripper", True)
        self.closed = gui.add_checkbox("jaws closed", False)
        self.solid = gui.add_checkbox("solid object", False)
        for control in (self.pose, self.which):
            control.on_update(lambda _: self._draw_pose())
        for control in (self.grasp, self.cones, self.friction, self.hand, self.closed):
            control.on_update(lambda _: self._draw_chosen())
        self.solid.on_update(lambda _: self._draw_object())
        draw_table(server)
        size = float(np.linalg.norm(found.mesh.extents)) + 0.05
        look_from(server, size * np.array([0.9, -1.3, 1.1]), np.array([0.0, 0.0, 0.25 * size]))
        self._draw_pose()

    @property
    def chosen(self) -> int | None:
        """Row of the chosen grasp, or None where none is shown."""
        if len(self.shown) == 0:
            return None
        return int(self.shown[min(int(self.grasp.value), len(self.shown) - 1)])

    @property
    def _pose_index(self) -> int:
        return int(self.pose.value.split(":")[0]) - 1

    def choose(self, place_in_shown: int) -> None:
        """Choose one of the grasps on the screen, as a click on it does."""
        self.grasp.value = place_in_shown
        self._draw_chosen()

    def _draw_pose(self) -> None:
        """Stand the object in the chosen pose and draw the grasps that are wanted."""
        with self._lock, self._server.atomic():
            self._placed = place(self._found, self._found.poses[self._pose_index])
            wanted = np.ones(len(self._found.epsilon), bool)
            if self.which.value != ALL:
                wanted &= self._placed.from_above
            if self.which.value == POSITIVE:
                wanted &= self._found.epsilon > SUCCESS_THRESHOLD
            self.shown = np.flatnonzero(wanted)
            self.grasp.max = max(len(self.shown) - 1, 1)
            self.grasp.value = 0
            self._draw_object()
            draw_grasps(
                self._server,
                "/grasps",
                self._placed.grasps_world[self.shown],
                self._found.gap[self.shown],
                epsilon_colors(self._found.epsilon[self.shown], SUCCESS_THRESHOLD),
                self.choose,
            )
            self._draw_chosen()

    def _draw_object(self) -> None:
        pose = self._found.poses[self._pose_index]
        opacity = None if self.solid.value else SEE_THROUGH
        draw_mesh(self._server, "/object", self._found.mesh, pose.T_world_obj, opacity)

    def _draw_chosen(self) -> None:
        """Draw cones and hand at the chosen grasp, and say its numbers."""
        with self._lock, self._server.atomic():
            for name in ("/cones", "/hand"):
                self._server.scene.remove_by_name(name)
            row = self.chosen
            if row is None:
                self.said.content = f"no grasp is {self.which.value} in this pose"
                return
            self.said.content = self._say(row)
            found, T = self._found, self._found.poses[self._pose_index].T_world_obj
            if self.cones.value:
                friction = float(self.friction.value)
                draw_cones(self._server, "/cones", found.contacts[row], T, friction)
            if self.hand.value:
                width = float(found.gap[row]) if self.closed.value else found.gripper.max_width
                pose = self._placed.grasps_world.pose[row]
                draw_hand(self._server, "/hand", found.gripper, pose, width, 0.8)

    def _say(self, row: int) -> str:
        found, placed = self._found, self._placed
        robust = found.epsilon[row] > SUCCESS_THRESHOLD
        way = "free" if placed.free[row] else "blocked"
        meets = [
            what
            for what, hits in (("object", placed.hits_object), ("table", placed.hits_table))
            if hits[row]
        ]
        if meets:
            way += f" (straight in, the open hand meets the {' and the '.join(meets)})"
        return (
            f"**grasp {np.flatnonzero(self.shown == row)[0] + 1} of {len(self.shown)}**: robust ε = "
            f"{found.epsilon[row]:.4f} ± {found.epsilon_error[row]:.4f}, {'robust' if robust else 'not robust'}  \n"
            f"jaws {1e3 * found.gap[row]:.1f} mm apart at the contacts, approach "
            f"{np.degrees(placed.tilt[row]):.0f}° off the vertical  \n"
            f"way in: {way}"
        )


def _about(found: MeshGrasps) -> str:
    mesh = found.mesh
    sides = " × ".join(f"{1e3 * side:.0f}" for side in mesh.extents)
    volume = f"{1e6 * mesh.volume:.1f} cm³" if mesh.is_watertight else "not closed"
    return (
        f"**{mesh.name}**: {sides} mm, {volume}, {len(mesh.faces)} faces  \n"
        f"{len(found.epsilon)} antipodal grasps for {found.gripper.name}. Click one, or move the slider."
    )
