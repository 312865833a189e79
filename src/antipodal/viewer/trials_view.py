"""The trials of a benchmark, filtered by planner, object and outcome; the chosen one is executed again and replayed."""

from __future__ import annotations

import time
from threading import RLock

import numpy as np
import viser

from .. import transforms
from ..bench.frames import FPS, Recorded, Snapshot, execute_again
from ..errors import AntipodalError
from .nodes import draw_hand, draw_mesh, draw_table, look_from, placement
from .replayed import BenchRecord

ANY = "all"


class TrialsView:
    """Draws one run; its controls hold what is chosen."""

    def __init__(self, server: viser.ViserServer, run: BenchRecord, fps: float = FPS) -> None:
        self._server, self._run, self._fps = server, run, fps
        self._lock = RLock()
        self._record: Recorded | None = None
        self._object: viser.MeshHandle | None = None
        self._hand: list[viser.MeshHandle] = []
        self.rows: list[int] = []
        """Rows of trials.parquet that are wanted."""
        self.snapshots: list[Snapshot] = []
        """Where everything was, of the trial that was replayed last."""
        gui = server.gui
        gui.set_panel_label(run.folder.name)
        gui.add_markdown(f"**{run.folder.name}**: {len(run.rows)} trials")
        self.planner = gui.add_dropdown("planner", (ANY, *run.values("planner")))
        self.object = gui.add_dropdown("object", (ANY, *run.values("object")))
        self.outcome = gui.add_dropdown("outcome", (ANY, *run.values("outcome")))
        self.trial = gui.add_slider("trial", 0, 1, 1, 0)
        self.said = gui.add_markdown("")
        self.replay = gui.add_button("Replay", hint="execute the grasp again")
        self.moment = gui.add_slider("moment", 0, 1, 1, 0, disabled=True)
        self.ended = gui.add_markdown("")
        for control in (self.planner, self.object, self.outcome):
            control.on_update(lambda _: self._filter())
        self.trial.on_update(lambda _: self._draw_trial())
        self.replay.on_click(lambda _: self.play())
        self.moment.on_update(lambda _: self._show_moment())
        draw_table(server)
        look_from(server, np.array([0.45, -0.75, 0.4]), np.array([0.05, 0.0, 0.1]))
        self._filter()

    @property
    def chosen(self) -> int | None:
        """Row of the chosen trial; None where none is wanted."""
        return self.rows[min(int(self.trial.value), len(self.rows) - 1)] if self.rows else None

    def play(self) -> None:
        """Execute the chosen trial again and show it in real time."""
        with self._lock:
            record = self._record
            if record is None:
                return
            self.ended.content = "executing …"
            result, self.snapshots = execute_again(record, self._fps)
            was, now = record.row["outcome"], result.outcome.name
            agrees = "as recorded" if was == now else f"recorded as {was}"
            self.ended.content = f"**{now}**, {agrees}; lifted {100 * result.lift_height:.0f} cm"
            self.moment.max = max(len(self.snapshots) - 1, 1)
            self.moment.disabled = False
        for i in range(len(self.snapshots)):
            if self._record is not record:
                return  # another one was chosen meanwhile
            self.moment.value = i
            self._show_moment()
            time.sleep(1 / self._fps)

    def _filter(self) -> None:
        with self._lock, self._server.atomic():
            wanted = [
                None if control.value == ANY else control.value
                for control in (self.planner, self.object, self.outcome)
            ]
            self.rows = self._run.matching(*wanted)
            self.trial.max = max(len(self.rows) - 1, 1)
            self.trial.value = 0
            self._draw_trial()

    def _draw_trial(self) -> None:
        """Stand the object where the planner saw it, and the hand where it wanted to go."""
        with self._lock, self._server.atomic():
            self.snapshots, self._record = [], None
            self.moment.value, self.moment.disabled, self.ended.content = 0, True, ""
            for name in ("/object", "/hand"):
                self._server.scene.remove_by_name(name)
            row = self.chosen
            if row is None:
                self.said.content = "no trial is wanted like this"
                return
            try:
                record = self._run.record(row)
            except AntipodalError as error:
                self.said.content = f"trial {row}: {error}"
                return
            grasp = record.grasp_world
            T_world_obj = record.trial.scene.T_world_obj
            mesh, width = record.trial.scene.mesh, float(grasp.width)
            self._object = draw_mesh(self._server, "/object", mesh, T_world_obj)
            self._hand = draw_hand(self._server, "/hand", record.gripper, grasp.pose, width)
            self._record = record
            self.said.content = self._say(row)

    def _show_moment(self) -> None:
        """Move object, hand and jaws to where they were."""
        with self._lock, self._server.atomic():
            if self._record is None or self._object is None or not self.snapshots:
                return
            moment = self.snapshots[min(int(self.moment.value), len(self.snapshots) - 1)]
            self._object.wxyz, self._object.position = placement(moment.T_world_obj)
            centers, _ = self._record.gripper.boxes(moment.jaw_width)
            for part, center in zip(self._hand, centers, strict=True):
                T = moment.T_world_grasp @ transforms.translation(center)
                part.wxyz, part.position = placement(T)

    def _say(self, row: int) -> str:
        r = self._run.rows[row]
        quality = "" if r["quality"] is None else f", q = {r['quality']:.2f}"
        epsilon = "" if r["epsilon"] is None else f", robust ε = {r['epsilon']:.4f}"
        return (
            f"**row {row}**: {r['planner']} on {r['object']}, trial {r['k']}  \n"
            f"recorded: {r['outcome']}{quality}{epsilon}  \n"
            f"friction {r['friction']:.2f}, execution error {1e3 * r['execution_error']:.0f} mm"
        )
