"""The grasp that moves with its object: one grasp tracked from frame to frame, a few dozen candidates each.

    predict   the grasp moves on with the object's estimated velocity
    measure   what is seen of the object, laid over what it looked like, corrects place and velocity (an α-β filter)
    refine    candidates around the moved grasp are checked and scored; the mean of the best pulls it, low-passed
    check     where the pulled grasp may not be executed itself, the answer says that it is blocked
    switch    another grasp takes over only if it is clearly better, or this one blocked, several frames in a row
    commit    what is partly hidden, or what the hand is about to grasp, is only carried along
    re-plan   from scratch where the object is lost

Frames: everything that is kept between frames is in the *fixed* frame, which is the world where the images carry
``T_world_camera`` (a camera that moves, on a hand), else the camera. Objects move along the table: the velocity has no
component along the approach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .. import transforms
from ..camera import DepthImage
from ..errors import InvalidConfig
from ..grasp import Grasp, PlanarGrasp
from ..gripper import GripperModel
from ..values import is_number
from . import make_policy
from .base import Policy, QualityFn
from .constraints import DEFAULT_CONSTRAINTS, ConstraintConfig, check_grasps
from .finish import join
from .image_sampler import SamplerConfig, sample_grasps
from .rank import scorer
from .reasons import REJECTIONS
from .request import Asked, Request, as_request, check_mask, in_polygon
from .sighting import Match, Sighting, match, seen_past, sight
from .track import DEFAULT_CLOSED_LOOP, ClosedLoopConfig, Phase, Track, Tracked
from .warm_start import (
    apart,
    blended,
    candidates_around,
    elite_mean,
    fixed_frame,
    planar,
    shifted,
)
from .weighed import told_of

MAX_COVERED = 0.1
"""The object is whole if no more of its rim lost its depth since it was planned for."""
SAME = (0.5, 2.0)
"""Area that is seen of the same object for that which is expected: outside of this it is another."""
MAX_PAST = 0.5
"""The object is gone if the camera sees past more of its points than this."""
MAX_PAUSE = 10.0
"""No stream's frames are farther apart, s: at 20 Hz those of one in milliseconds would be by 50."""
CHALLENGERS = SamplerConfig(friction=(0.8,), height_step=None, max_edges=600)
"""Algorithm 1, thinned out: a few good candidates in a millisecond or two."""


class Rescored(NamedTuple):
    """The free candidates of one frame, fixed frame."""

    around: Grasp
    q_around: Float[np.ndarray, "N"]
    elsewhere: Grasp
    q_elsewhere: Float[np.ndarray, "M"]
    counts: dict[str, int]
    rejected: Int[np.ndarray, "K"]
    """What each candidate drawn around it failed first (:class:`~.constraints.Checked`); −1 = free."""


class ClosedLoopPolicy:
    """Follow one grasp through a stream of depth images. Mutable: it remembers the last frame until ``reset``."""

    def __init__(
        self,
        quality: QualityFn,
        gripper: GripperModel,
        config: ClosedLoopConfig = DEFAULT_CLOSED_LOOP,
        planner: Policy | None = None,
        constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    ) -> None:
        """Build the tracker.

        Args:
            quality: scores the candidates; a network of ours is told of the hand.
            gripper: every grasp approaches with its whole stroke open.
            config: filters and thresholds.
            planner: finds the first grasp, and a new one when it is lost; default the cross-entropy method.
            constraints: what a candidate must satisfy in every frame.
        """
        self.gripper, self.config = gripper, config
        self._quality, self._constraints = told_of(quality, gripper), constraints
        self._planner: Policy = planner or make_policy(
            "cem", self._quality, gripper, constraints=constraints
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next frame is planned from scratch."""
        self._track: Track | None = None
        self._posed: bool | None = None
        self._time: float | None = None

    def __call__(
        self,
        image: DepthImage,
        asked: Asked,
        rng: np.random.Generator,
        time: float,
        committed: bool = False,
    ) -> Tracked:
        """Take the next frame.

        Args:
            image: with its ``T_world_camera`` where the camera moves; all frames with it, or none.
            asked: a request, a mask of this frame, or None. Box and target count only when a grasp is planned from
                scratch, because the object leaves them; where the grasp is not as the rest asks it is blocked.
            rng: random state.
            time: when the image was taken, s; rising, while something is followed by no more than ``MAX_PAUSE``.
            committed: the hand is on its way in: the grasp is carried along with its object, and neither refined nor
                changed, nor tested but for the workspace, because the camera may see the hand; there is none once the
                camera has seen past where the object should be.

        Raises:
            InvalidConfig: the time does not rise or is not in seconds, or frames with and without the camera's pose are
                mixed.
            InvalidImage: the mask has another shape than the image; else as the planner's.
        """
        request = as_request(asked)
        check_mask(request, image)
        before, track = self._time, self._track
        self._check_time(time)
        posed = image.T_world_camera is not None
        if self._posed not in (None, posed):
            raise InvalidConfig(
                f"closed loop: a frame {'with' if posed else 'without'} T_world_camera after one "
                f"{'without' if posed else 'with'} it: expected all with it or none, or reset()"
            )
        self._posed, self._time = posed, time
        if track is None:
            return self._plan(
                image, asked, rng, time, "first frame" if before is None else "lost before"
            )
        # what the frame before has seen is looked for, however long ago that was: some streams are slow
        blocked = track.time - track.free_at > self.config.max_blocked
        overdue = time - track.seen_at > self.config.max_coast
        if not committed and (blocked or (overdue and track.time > track.seen_at)):
            return self._plan(image, asked, rng, time, track.reason)
        expected = track.points + (time - track.time) * track.velocity
        center = track.grasp.center + (time - track.time) * track.velocity
        way = (time - track.seen_at) * track.velocity
        radius = self.config.window_radius
        seen = sight(image, asked, rng, center, radius, expected, way, track.alone)
        found = self._recognised(track, expected, seen, time)
        if isinstance(seen, str) or isinstance(found, str):
            why = str(found)
            if overdue and not committed:
                return self._plan(image, asked, rng, time, why)
            if track.gone or (overdue and seen_past(image, expected) > MAX_PAST):
                track = replace(track, gone=True, velocity=np.zeros(3))  # nobody knows where to
            return within(request, self._coast(track, time, why))
        whole = seen.open_border >= track.open_border - MAX_COVERED
        moved = self._carried(track, seen, found, whole, time)
        if committed or not whole:
            why = "committed" if committed else "partly hidden"
            return within(request, self._carry(moved, why))
        scored = self._score(seen, moved, rng)
        moved = self._challenged(moved, scored)
        if moved.n_challenged >= self.config.switch_frames:
            return self._switch(moved, scored)
        return self._refine(seen, moved, scored, time - track.time)

    def _check_time(self, time: float) -> None:
        """Refuse a time that does not rise, or that cannot be seconds."""
        before = self._time
        if not is_number(time) or (before is not None and time <= before):
            after = "" if before is None else f" after one at {before} s"
            raise InvalidConfig(
                f"closed loop: a frame at {time} s{after}: expected rising times in seconds, or reset()"
            )
        if self._track is not None and time - self._track.time > MAX_PAUSE:
            raise InvalidConfig(
                f"closed loop: a frame {time - self._track.time:.4g} s after the last: expected times in seconds, "
                f"frames at most {MAX_PAUSE:g} s apart, or reset() after a pause"
            )

    def _plan(
        self, image: DepthImage, asked: Asked, rng: np.random.Generator, time: float, why: str
    ) -> Tracked:
        """Find a grasp from scratch; the object counts as standing still."""
        self._track = None
        plan = self._planner(image, asked, rng)
        answer = Tracked(
            None, np.zeros(3), 0.0, Phase.LOST, why, plan.counts, warnings=plan.warnings
        )
        if len(plan.grasps) == 0:
            return replace(answer, reason=f"{why}; {plan.reason or 'the plan is empty'}")
        grasp_camera = plan.best.to_grasp(image.intrinsics, plan.approach_axis)
        grasp, q = grasp_camera.in_frame(fixed_frame(image)), float(plan.quality[0])
        answer = replace(answer, grasp=grasp, quality=q, phase=Phase.PLANNED)
        seen = sight(image, asked, rng, grasp.center, self.config.window_radius)
        if isinstance(seen, str):
            return replace(answer, reason=f"{why}; not followed: {seen}")
        still = answer.velocity
        self._track = Track(
            time, grasp, q, still, still, seen.points, seen.pixel_area,
            seen.open_border, seen.alone, time, time, plan.warnings,
        )  # fmt: skip
        return answer

    def _recognised(
        self, track: Track, expected: Float[np.ndarray, "P 3"], seen: Sighting | str, time: float
    ) -> Match | str:
        """Lay the object over what is seen; or say why that is not the object that was followed."""
        if isinstance(seen, str):
            return seen
        found = match(expected, track.pixel_area, seen)
        if found is None or found.in_sight < self.config.min_seen_fraction:
            return f"only {0.0 if found is None else found.in_sight:.0%} of the object is in sight"
        if not SAME[0] < found.filled < SAME[1]:
            return f"what is seen is {found.filled:.0%} of the object's size"
        jump = float(np.linalg.norm(found.shift))
        if jump > self.config.max_speed * (time - track.seen_at):
            return f"the object jumped by {jump * 1e3:.0f} mm"
        return found

    def _coast(self, track: Track, time: float, why: str) -> Tracked:
        """Move on with the last velocity; there is no grasp of what is gone."""
        shift = (time - track.time) * track.velocity
        moved = replace(
            track,
            time=time,
            grasp=shifted(track.grasp, shift),
            mean_velocity=self._mean_velocity(track, track.velocity, time),
            points=track.points + shift,
            reason=why,
            challenger=None,
            n_challenged=0,
            n_blocked=0,
        )
        answer = self._answer(moved, Phase.COASTED, why)
        if not track.gone:
            return answer
        why = f"committed, but where the object should be the camera sees past it: {why}"
        return replace(answer, grasp=None, quality=0.0, phase=Phase.LOST, reason=why)

    def _carried(
        self, track: Track, seen: Sighting, found: Match, whole: bool, time: float
    ) -> Track:
        """Carry the grasp along with the object: an α-β filter on its place, along the table."""
        config, dt = self.config, time - track.time
        down = seen.T_fixed_camera[:3, :3] @ seen.view.approach_axis
        innovation = found.shift - (found.shift @ down) * down
        predicted = dt * track.velocity
        trust = min(1.0, 2 * found.in_sight)
        gain = trust * config.position_gain
        shift = predicted + gain * innovation
        # what it is off by has come about since it was last seen, not since the last frame
        velocity = (
            track.velocity + trust * config.velocity_gain / (time - track.seen_at) * innovation
        )
        velocity = velocity - (velocity @ down) * down
        velocity = velocity * min(1.0, config.max_speed / max(np.linalg.norm(velocity), 1e-9))
        points = seen.points if whole else track.points + predicted + found.shift
        pixel_area = seen.pixel_area if whole else track.pixel_area
        return replace(
            track,
            time=time,
            grasp=shifted(track.grasp, shift),
            challenger=None if track.challenger is None else shifted(track.challenger, shift),
            velocity=velocity,
            mean_velocity=self._mean_velocity(track, velocity, time),
            points=points - (1.0 - gain) * innovation,  # where the filter has it
            pixel_area=pixel_area,
            alone=seen.alone,
            seen_at=time,
            gone=False,
        )

    def _mean_velocity(
        self, track: Track, velocity: Float[np.ndarray, "3"], time: float
    ) -> Float[np.ndarray, "3"]:
        weight = 1.0 - float(np.exp((track.time - time) / self.config.turning_time))
        return track.mean_velocity + weight * (velocity - track.mean_velocity)

    def _carry(self, track: Track, why: str) -> Tracked:
        """Leave the grasp where it is on its object."""
        carried = replace(track, free_at=track.time, challenger=None, n_challenged=0, n_blocked=0)
        return self._answer(carried, Phase.TRACKED, why)

    def _score(self, seen: Sighting, track: Track, rng: np.random.Generator) -> Rescored:
        """Draw, check and score candidates around the grasp, around its challenger, and anywhere, together."""
        config, view = self.config, seen.view
        hand = view.request.opened(self.gripper)
        near = self._around(seen, track.grasp, config.n_candidates, rng)
        sampler = replace(CHALLENGERS, n_grasps=max(config.n_challengers, 1))
        far = [sample_grasps(view, hand, rng, sampler).grasps[: config.n_challengers]]
        if track.challenger is not None:
            far.append(self._around(seen, track.challenger, config.n_challengers, rng))
        drawn = join([near, *far])
        checked = check_grasps(view, drawn, hand, self._constraints)
        free = drawn[checked.keep]
        q = scorer(view, self._quality)(free)
        spatial = free.to_grasp(view.image.intrinsics, view.approach_axis)
        spatial = spatial.in_frame(seen.T_fixed_camera)
        n = int(checked.keep[: len(near)].sum())
        counts = {"drawn": len(drawn), **checked.counts, "free": len(free)}
        rejected = checked.reason[: len(near)]
        return Rescored(spatial[:n], q[:n], spatial[n:], q[n:], counts, rejected)

    def _around(
        self, seen: Sighting, grasp: Grasp, n: int, rng: np.random.Generator
    ) -> PlanarGrasp:
        """Draw candidates around a grasp of the fixed frame, in the window's image."""
        config, view = self.config, seen.view
        sigma = (config.position_sigma, config.depth_sigma, config.angle_sigma)
        grasp_camera = grasp.in_frame(transforms.inverse(seen.T_fixed_camera))
        drawn = candidates_around(grasp_camera, view.approach_axis, sigma, n, rng)
        return planar(drawn, view)

    def _challenged(self, track: Track, scored: Rescored) -> Track:
        """Remember the best grasp elsewhere if it is clearly better, and for how many frames in a row."""
        best = float(scored.q_elsewhere.max(initial=0.0))
        here = float(scored.q_around.max(initial=0.0))
        if best <= here + self.config.switch_margin:
            return replace(track, challenger=None, n_challenged=0)
        challenger = scored.elsewhere[int(scored.q_elsewhere.argmax())]
        if self._alike(challenger, track.grasp):  # the refinement gets there by itself
            return replace(track, challenger=None, n_challenged=0)
        again = track.challenger is not None and self._alike(challenger, track.challenger)
        n = track.n_challenged + 1 if again else 1
        return replace(track, challenger=challenger, n_challenged=n)

    def _alike(self, a: Grasp, b: Grasp) -> bool:
        distance, angle = apart(a, b)
        return distance < self.config.switch_distance and angle < self.config.switch_angle

    def _switch(self, track: Track, scored: Rescored) -> Tracked:
        """Let the challenger take over."""
        assert track.challenger is not None
        gain = float(scored.q_elsewhere.max() - scored.q_around.max(initial=0.0))
        why = f"one {apart(track.challenger, track.grasp)[0] * 1e3:.0f} mm away is better by {gain:.2f}"
        q = float(scored.q_elsewhere.max())
        new = replace(track, grasp=track.challenger, quality=q, free_at=track.time)
        new = replace(new, challenger=None, n_challenged=0, n_blocked=0)
        return self._answer(new, Phase.SWITCHED, why, scored.counts)

    def _refine(self, seen: Sighting, track: Track, scored: Rescored, dt: float) -> Tracked:
        """Pull the carried grasp towards the mean of the best candidates around it, and say whether it is free."""
        if len(scored.q_around) == 0:
            why = f"no candidate around it may be executed: most {failed(scored.rejected)}"
            return self._answer(replace(track, reason=why), Phase.BLOCKED, why, scored.counts)
        weight = 1.0 - float(np.exp(-dt / self.config.smoothing_time))
        best, q = elite_mean(scored.around, scored.q_around, self.config.elite_fraction)
        grasp = blended(track.grasp, best, weight)
        quality = track.quality + weight * (q - track.quality)
        pulled = replace(track, grasp=grasp, quality=quality, free_at=track.time, reason="")
        why = self._rejected(seen, grasp)
        if not why:
            return self._answer(replace(pulled, n_blocked=0), Phase.TRACKED, "", scored.counts)
        pulled = replace(pulled, n_blocked=track.n_blocked + 1)
        if pulled.n_blocked < self.config.switch_frames:  # one noisy frame says little
            return self._answer(pulled, Phase.BLOCKED, why, scored.counts)
        k = int(scored.q_around.argmax())
        free, q = scored.around[k], float(scored.q_around[k])
        why = f"{why}; one {apart(free, grasp)[0] * 1e3:.0f} mm away may"
        pulled = replace(pulled, grasp=free, quality=q, n_blocked=0)
        return self._answer(pulled, Phase.SWITCHED, why, scored.counts)

    def _rejected(self, seen: Sighting, grasp: Grasp) -> str:
        """Say why a grasp of the fixed frame may not be executed in this frame; empty if it may."""
        view = seen.view
        drawn = self._around(seen, grasp, 1, np.random.default_rng(0))  # the first is itself
        checked = check_grasps(view, drawn, view.request.opened(self.gripper), self._constraints)
        if checked.keep.any():
            return ""
        return f"it may not be executed: such grasps {failed(checked.reason)}"

    def _answer(
        self, track: Track, phase: Phase, why: str, counts: Mapping[str, int] | None = None
    ) -> Tracked:
        """Remember the track, and say what it is."""
        self._track = track
        turning = float(np.linalg.norm(track.velocity - track.mean_velocity))
        return Tracked(
            track.grasp,
            track.velocity,
            0.0 if phase is Phase.BLOCKED else track.quality,
            phase,
            why,
            counts or {},
            turning,
            track.warnings,
        )


def within(request: Request, answer: Tracked) -> Tracked:
    """Answer a grasp that has left the workspace, in the world's x and y, as one that may not be executed."""
    corners, grasp = request.workspace, answer.grasp
    if corners is None or grasp is None or in_polygon(grasp.center[None, :2], corners)[0]:
        return answer
    why = f"it has left the workspace; {answer.reason}"
    return replace(answer, quality=0.0, phase=Phase.BLOCKED, reason=why)


def failed(reason: Int[np.ndarray, "N"]) -> str:
    """Say in words what most of N rejected candidates failed first."""
    if len(reason) == 0:
        return "are behind the camera"
    return list(REJECTIONS.values())[int(np.bincount(reason).argmax())]
