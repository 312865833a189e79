"""How long a plan takes: measured apart, one process at work and nothing beside it, after a plan to warm up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..errors import AntipodalError
from ..gripper import GripperModel
from .attempt import attempt
from .objects import load_object
from .planner import Observation, Planner
from .scenes import CAMERAS, draw_trial, photograph, resting_poses
from .trials import At, ObjectJob

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
    """Time every planner on trial 0 of one object, in its unsettled pose; the second of two plans counts.

    The first plan loads what a planner loads lazily. Plans that fail or run out of time are left out.
    """
    at("load", "", -1)
    if job.broken:
        return []
    try:
        mesh = load_object(job.directory, job.item.file, job.item.name)
        poses = resting_poses(mesh)
    except (AntipodalError, ValueError):
        return []
    trial = draw_trial(mesh, poses, job.config.seed, 0, CAMERAS[job.config.camera])
    image, mask = photograph(trial)
    observation = Observation(image, mask, gripper, mesh, trial.scene.T_world_obj)
    rows = []
    for name, planner in planners.items():
        if (name, 0) in job.failures:
            continue
        at("plan", name, 0)
        tried = attempt(planner, observation, trial.rng("plan"), job.config.time_limit)
        if not tried.reason.startswith(("raised", "took longer")):
            at("plan", name, 0)
            tried = attempt(planner, observation, trial.rng("plan"), job.config.time_limit)
            rows.append({"planner": name, "object": job.item.name, "plan_time": tried.plan_time})
    return rows
