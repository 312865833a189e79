"""What is in a data set, in numbers: objects, poses, grasps, images, and why grasps fail. Read shard by shard."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .schema import SUCCESS_THRESHOLD
from .store import Dataset

FACTS = ("collision_free", "robust_epsilon", "object_id", "image_id", "grasp_id")


def summary(dataset: Dataset) -> dict[str, Any]:
    """Say in numbers what is in a data set.

    ``datapoints_by_outcome`` divides the rows; ``placements`` are pairs of a grasp and a stable pose, of which those
    whose closing axis is too steep are left out. An imported data set has no table of grasps: what it does not say is
    left out.

    Raises:
        InvalidConfig: several hands' data sets, joined.
    """
    dataset.expect_one_hand("what is in it")
    objects = dataset.table("objects").to_pylist()
    refused = [{"name": o["name"], "reason": o["reason"]} for o in objects if o["reason"]]
    counts, outcomes = _datapoints(dataset)
    n = max(len(dataset), 1)
    return {
        "n_datapoints": len(dataset),
        "n_objects": counts["object_id"],
        "n_objects_refused": len(refused),
        "n_poses": dataset.table("poses").num_rows,
        "n_images": counts["image_id"],
        "n_grasps": counts["grasp_id"],
        "positive_share": outcomes["positive"] / n,
        "collision_free_share": 1 - outcomes["in collision"] / n if len(dataset) else 0.0,
        "objects_with_positives": counts["positive_object_id"],
        "success_threshold": SUCCESS_THRESHOLD,
        "datapoints_by_outcome": outcomes,
        "placements": _placements(dataset),
        "families": dict(Counter(family(o["name"]) for o in objects if not o["reason"])),
        "refused_by_reason": dict(Counter(r["reason"] for r in refused).most_common()),
        "refused": refused,
    }


def family(name: str) -> str:
    """What an object's name begins with: ``bottle`` of ``bottle_0002``, where the family's name stands."""
    return name.rstrip("0123456789").rstrip("_- ") or name


def _datapoints(dataset: Dataset) -> tuple[dict[str, int], dict[str, int]]:
    """Distinct ids and outcomes over all rows; memory is that of one shard, and of the ids."""
    grasps = dataset.table("grasps").select(["grasp_id", "found"])
    grasp_ids, found = (grasps[c].to_numpy() for c in ("grasp_id", "found"))
    order = np.argsort(grasp_ids)
    ids: dict[str, list[np.ndarray]] = {}
    outcomes: Counter[str] = Counter()
    for rows in dataset.iterate(FACTS):
        free, robust = rows["collision_free"], rows["robust_epsilon"] > SUCCESS_THRESHOLD
        for name in ("object_id", "image_id", "grasp_id"):
            ids.setdefault(name, []).append(np.unique(rows[name]))
        ids.setdefault("positive_object_id", []).append(np.unique(rows["object_id"][free & robust]))
        loose = np.zeros(len(free), bool)
        if len(grasps):
            at = order[np.searchsorted(grasp_ids, rows["grasp_id"], sorter=order)]
            loose = free & ~robust & ~found[at]
        outcomes["positive"] += int((free & robust).sum())
        outcomes["in collision"] += int((~free).sum())
        outcomes["free, a jaw meets nothing"] += int(loose.sum())
        outcomes["free, not robust"] += int((free & ~robust & ~loose).sum())
    return {name: len(np.unique(np.concatenate(parts))) for name, parts in ids.items()}, outcomes


def _placements(dataset: Dataset) -> dict[str, int]:
    """Pairs of grasp and stable pose: how many the rule on the closing axis' tilt leaves out."""
    limit = dataset.config.get("max_approach_table_angle")
    grasps, poses = dataset.table("grasps"), dataset.table("poses")
    if limit is None or not len(grasps):
        return {}
    axes = _rows(grasps, "T_obj_grasp").reshape(-1, 4, 4)[:, :3, 0]
    up = _rows(poses, "T_world_obj").reshape(-1, 4, 4)[:, 2, :3]
    owner, own_pose = grasps["object_id"].to_numpy(), grasps["pose_id"].to_numpy()
    pose_owner, pose_id = poses["object_id"].to_numpy(), poses["pose_id"].to_numpy()
    total = kept = 0
    for object_id in np.unique(owner):
        mine, its = owner == object_id, pose_owner == object_id
        pairs = (own_pose[mine][:, None] < 0) | (own_pose[mine][:, None] == pose_id[its])
        flat = np.abs(axes[mine] @ up[its].T) < np.sin(limit)
        total += int(pairs.sum())
        kept += int((pairs & flat).sum())
    return {"all": total, "closing axis too steep": total - kept, "kept": kept}


def _rows(table: Any, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)
