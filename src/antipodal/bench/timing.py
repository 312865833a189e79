"""How long a plan takes: measured apart, one process at work and nothing beside it, once per image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..gripper import GripperModel
from ..stable_pose import resting_poses
from .attempt import attempt
from .objects import load_object
from .planner import Observation, Planner
from .scenes import draw_trial, photograph
from .trials import UNDIGESTED, At, ObjectJob

PLAN_TIMES = pa.schema(
    [
        ("planner", pa.string()),
        ("object", pa.string()),
        ("plan_time", pa.float64()),
    ]
)
"""A row of plan_times.parquet; s."""


def time_object(
    job: ObjectJob, gripper: GripperModel, planners: Mapping[str, Planner], at: At
) -> list[dict[str, Any]]:
    """Time every planner on trial 0 of one object, in its unsettled pose.

    A plan on trial 1 goes before and does not count: it loads what a planner loads lazily. It is another image, because
    what a planner remembers of an image, such as the table's plane, must not make the timed plan too cheap. Plans that
    fail or run out of time are left out.
    """
    at("load", "", -1)
    if job.broken:
        return []
    try:
        mesh = load_object(job.directory, job.item.file, job.item.name)
        poses = resting_poses(mesh)
        trials = [draw_trial(mesh, poses, job.config.seed, k, job.config.cameras) for k in (1, 0)]
        seen = [
            Observation(*photograph(trial), gripper, mesh, trial.scene.T_world_obj)
            for trial in trials
        ]
    except UNDIGESTED:
        return []
    rows = []
    for name, planner in planners.items():
        if any((name, trial.k) in job.failures for trial in trials):
            continue
        tried = []
        for trial, observation in zip(trials, seen, strict=True):
            at("plan", name, trial.k)
            tried.append(attempt(planner, observation, trial.rng("plan"), job.config.time_limit))
        if not any(plan.reason.startswith(("raised", "took longer")) for plan in tried):
            seconds = tried[-1].plan_time
            rows.append({"planner": name, "object": job.item.name, "plan_time": seconds})
    return rows
