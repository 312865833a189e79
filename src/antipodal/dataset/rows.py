"""One object's share of the data set: its poses, grasps, labels and crops, from (seed, object_id) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from .. import transforms
from ..alignment import align_with_table
from ..collision import approach_is_free, lowest_corner
from ..contact import ContactModel, find_contacts
from ..errors import InvalidMesh
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh, rescale
from ..metrics import force_closure
from ..robust import robust
from ..sampling import sample_antipodal
from ..stable_pose import StablePose, resting_poses
from ..success import success_chances
from .epsilon import fast_ferrari_canny
from .images import MAX_IMAGES, PosedGrasps, image_rows
from .model import MAX_POSES, GenerativeModel
from .schema import GRASPS, POSES, shard_schema, to_table

MAX_GRASPS = 1 << 16
"""Ids: grasp_id = object_id · MAX_GRASPS + grasp."""
MAX_OBJECTS = (1 << 31) // MAX_GRASPS
"""That 32-bit ids leave room for."""

JITTER_SHARES = (0.5, 0.25, 0.25)
"""Near misses, at most: free and antipodal, free but not antipodal, in collision."""

JITTER_CLEARANCE = (0.0, 0.006)
"""Least height above the table, m, drawn evenly for each near miss: one that would end lower is raised to it. The
planner's, 3 mm, is the middle; with one height for all a third of a large hand's datapoints would share one P(free)."""


class ObjectRows(NamedTuple):
    """Tables of one object; ``reason`` says why there are no datapoints."""

    datapoints: pa.Table
    grasps: pa.Table
    poses: pa.Table
    reason: str = ""


@dataclass(frozen=True, eq=False)
class LabelledGrasps:
    """Grasps with what the object alone decides about them."""

    grasps_obj: Grasp
    robust_epsilon: Float[np.ndarray, "N"]
    grasp_id: Int[np.ndarray, "N"]
    table: pa.Table

    def joined(self, other: LabelledGrasps) -> LabelledGrasps:
        """Both, one after the other; the table stays this one's."""
        grasps = Grasp(
            np.concatenate([self.grasps_obj.pose, other.grasps_obj.pose]),
            np.concatenate([self.grasps_obj.width, other.grasps_obj.width]),
        )
        epsilon = np.concatenate([self.robust_epsilon, other.robust_epsilon])
        ids = np.concatenate([self.grasp_id, other.grasp_id])
        return LabelledGrasps(grasps, epsilon, ids, self.table)


def object_rows(
    mesh: TriMesh,
    object_id: int,
    gripper: GripperModel,
    model: GenerativeModel,
    seed: int,
    budget: int | None,
) -> ObjectRows:
    """Run the generative model on one object.

    Args:
        mesh: in m, real size.
        object_id: its row in objects.parquet.
        gripper: the hand.
        model: the distributions.
        seed: of the data set.
        budget: about how many datapoints; None takes every aligned grasp in ``images_per_pose`` images.
    """
    if mesh.volume <= 0:
        raise InvalidMesh(
            f"{mesh.name}: volume {mesh.volume:g} m³, its faces point inward: "
            "use 'antipodal objects import', which repairs meshes"
        )
    rng = np.random.default_rng([seed, object_id])
    if model.rescale_to is not None:
        mesh = rescale(mesh, model.rescale_to)
    poses = choose_poses(resting_poses(mesh, model.min_pose_probability), model.max_poses, rng)
    sampled = sample_antipodal(mesh, gripper, model.n_grasps, rng, model.sampling)
    labelled = label_grasps(mesh, sampled, gripper, model, rng, object_id, 0)
    tables, posed = [labelled.table], []
    n_ids = len(sampled)
    for index, pose in enumerate(poses):
        pose_id = object_id * MAX_POSES + index
        candidates = labelled
        if model.n_jittered and len(flat := flat_grasps(sampled, pose, model)):
            near = near_misses(mesh, flat, pose, gripper, model, rng)
            extra = label_grasps(mesh, near, gripper, model, rng, object_id, n_ids, pose_id)
            n_ids += len(near)
            tables.append(extra.table)
            candidates = labelled.joined(extra)
        posed.append(pose_grasps(mesh, candidates, pose, pose_id, gripper, model, rng))
    posed = [p for p in posed if len(p.grasps_obj)]
    schema = shard_schema(model.crop.size)
    poses_table = _poses_table(object_id, poses)
    grasps_table = pa.concat_tables(tables)
    if not posed:
        what = "no grasp is parallel to the table"
        if not len(sampled):
            what = "no antipodal grasp fits the gripper"
        return ObjectRows(schema.empty_table(), grasps_table, poses_table, what)
    total = sum(len(p.grasps_obj) for p in posed)
    n_images, share = _plan_images(total, model.images_per_pose, budget)
    tables = [image_rows(mesh, object_id, p, n_images, share, model, rng) for p in posed]
    return ObjectRows(pa.concat_tables(tables), grasps_table, poses_table)


def choose_poses(poses: list[StablePose], n: int, rng: np.random.Generator) -> list[StablePose]:
    """Draw n poses by their probability, without replacement; all of them if there are no more."""
    if len(poses) <= n:
        return poses
    p = np.array([pose.probability for pose in poses])
    chosen = rng.choice(len(poses), n, replace=False, p=p / p.sum())
    return [poses[i] for i in np.sort(chosen)]


def label_grasps(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    model: GenerativeModel,
    rng: np.random.Generator,
    object_id: int,
    first_id: int,
    pose_id: int = -1,
) -> LabelledGrasps:
    """Contacts and metrics of grasps: everything that does not depend on table and camera."""
    found = find_contacts(mesh, grasps_obj)
    contact_model = ContactModel(contact_radius=gripper.contact_radius)
    closed = found.found & force_closure(found.contacts, model=contact_model)
    epsilon = np.zeros(len(grasps_obj))
    epsilon[closed] = fast_ferrari_canny(found.contacts[closed], mesh.center_of_mass, contact_model)
    mean, error = robust(
        fast_ferrari_canny, mesh, grasps_obj, rng, model.perturbation, contact_model
    )
    n = len(grasps_obj)
    ids = object_id * MAX_GRASPS + first_id + np.arange(n)
    nowhere = np.where(found.found[:, None, None], 0.0, np.nan)
    table = to_table(
        GRASPS,
        grasp_id=ids,
        object_id=np.full(n, object_id),
        pose_id=np.full(n, pose_id),
        kind=["antipodal" if pose_id < 0 else "jittered"] * n,
        T_obj_grasp=grasps_obj.pose.reshape(n, 16),
        width=grasps_obj.width,
        contact_points=(found.contacts.point + nowhere).reshape(n, 6),
        contact_inward_normals=(found.contacts.inward_normal + nowhere).reshape(n, 6),
        found=found.found,
        force_closure=closed,
        epsilon=epsilon,
        robust_epsilon=mean,
        robust_epsilon_error=error,
    )
    return LabelledGrasps(grasps_obj, mean, ids, table)


def pose_grasps(
    mesh: TriMesh,
    labelled: LabelledGrasps,
    pose: StablePose,
    pose_id: int,
    gripper: GripperModel,
    model: GenerativeModel,
    rng: np.random.Generator,
) -> PosedGrasps:
    """Turn grasps to the table, keep those nearly parallel to it, and check their approach (reference §3.4, §3.5)."""
    aligned = align_with_table(labelled.grasps_obj, pose)
    keep = aligned.tilt < model.max_approach_table_angle
    grasps, epsilon = aligned.grasps_obj[keep], labelled.robust_epsilon[keep]
    T = pose.T_world_obj
    grasps_world = grasps.in_frame(T)
    free = approach_is_free(mesh, T, grasps_world, gripper, model.collision)
    share, hold = np.full(len(grasps), np.nan), np.full(len(grasps), np.nan)
    if model.execution is not None and len(grasps):
        share, hold = success_chances(
            mesh,
            T,
            grasps_world,
            gripper,
            epsilon,
            rng,
            model.execution,
            fast_ferrari_canny,
            everywhere=False,
        )
    return PosedGrasps(pose_id, pose, grasps, epsilon, free, share, hold, labelled.grasp_id[keep])


def flat_grasps(grasps_obj: Grasp, pose: StablePose, model: GenerativeModel) -> Grasp:
    """Those that close nearly parallel to the table, turned to approach it along its normal."""
    aligned = align_with_table(grasps_obj, pose)
    return aligned.grasps_obj[aligned.tilt < model.max_approach_table_angle]


def near_misses(
    mesh: TriMesh,
    flat_obj: Grasp,
    pose: StablePose,
    gripper: GripperModel,
    model: GenerativeModel,
    rng: np.random.Generator,
) -> Grasp:
    """Grasps such as a planner proposes around good ones: moved, turned about world z, higher or lower.

    Hands that would end below a height drawn from ``JITTER_CLEARANCE`` are raised to it. Six times as many are
    proposed as wanted, most of them plain failures; ``JITTER_SHARES`` says how many of each kind are taken where there
    are as many.
    """
    n = model.n_jittered
    picked = flat_obj.in_frame(pose.T_world_obj)[rng.integers(len(flat_obj), size=6 * n)]
    offset = np.column_stack([rng.normal(0, 0.006, (6 * n, 2)), rng.uniform(-0.008, 0.03, 6 * n)])
    center = transforms.translation(picked.center)
    turn = center @ transforms.rot_z(rng.normal(0, 0.25, 6 * n)) @ transforms.inverse(center)
    moved = picked.in_frame(transforms.translation(offset) @ turn)
    lowest = lowest_corner(gripper.boxes(moved.width), moved.pose)
    up = np.maximum(rng.uniform(*JITTER_CLEARANCE, 6 * n) - lowest, 0.0)
    moved = moved.in_frame(transforms.translation(up[:, None] * [0.0, 0.0, 1.0]))
    near = moved.in_frame(transforms.inverse(pose.T_world_obj))
    free = approach_is_free(mesh, pose.T_world_obj, moved, gripper, model.collision)
    found = find_contacts(mesh, near)
    held = found.found & force_closure(found.contacts)
    kinds = (free & held, free & ~held, ~free)
    taken = [
        np.flatnonzero(kind)[: round(share * n)]
        for kind, share in zip(kinds, JITTER_SHARES, strict=True)
    ]
    return near[np.sort(np.concatenate(taken))]


def _plan_images(total: int, images_per_pose: int, budget: int | None) -> tuple[int, float]:
    """Images per pose and the share of grasps per image, so that total · images · share ≈ budget."""
    if budget is None:
        return images_per_pose, 1.0
    n_images = int(np.clip(round(budget / total), 1, MAX_IMAGES))
    return n_images, min(1.0, budget / (total * n_images))


def _poses_table(object_id: int, poses: list[StablePose]) -> pa.Table:
    n = len(poses)
    return to_table(
        POSES,
        pose_id=object_id * MAX_POSES + np.arange(n),
        object_id=np.full(n, object_id),
        probability=np.array([p.probability for p in poses]),
        T_world_obj=np.array([p.T_world_obj for p in poses]).reshape(n, 16),
    )
