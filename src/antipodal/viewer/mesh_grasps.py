"""What the viewer shows of a mesh: stable poses, antipodal grasps, contacts, robust ε, and what is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..alignment import MAX_APPROACH_TABLE_ANGLE, align_with_table
from ..collision import approach_collisions
from ..contact import Contact, find_contacts
from ..errors import InvalidConfig
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..robust import robust_epsilon
from ..sampling import sample_antipodal
from ..stable_pose import StablePose, stable_poses


@dataclass(frozen=True, eq=False)
class MeshGrasps:
    """A mesh and N of its antipodal grasps, the most robust first."""

    mesh: TriMesh
    gripper: GripperModel
    poses: tuple[StablePose, ...]
    """At least one."""
    grasps_obj: Grasp
    contacts: Contact
    """(N, 2), obj frame."""
    epsilon: Float[np.ndarray, "N"]
    """Robust ε."""
    epsilon_error: Float[np.ndarray, "N"]
    """Its standard error."""

    @property
    def gap(self) -> Float[np.ndarray, "N"]:
        """Distance of the two contacts of each grasp, m."""
        return np.linalg.norm(self.contacts.point[:, 1] - self.contacts.point[:, 0], axis=-1)


class Placed(NamedTuple):
    """The grasps with the object in one of its poses, each turned about its closing axis towards the table."""

    grasps_world: Grasp
    tilt: Float[np.ndarray, "N"]
    """Approach to the vertical, rad."""
    free: Bool[np.ndarray, "N"]
    hits_object: Bool[np.ndarray, "N"]
    hits_table: Bool[np.ndarray, "N"]

    @property
    def from_above(self) -> Bool[np.ndarray, "N"]:
        """Free, and steep enough for the data set."""
        return self.free & (self.tilt <= MAX_APPROACH_TABLE_ANGLE)


def examine_grasps(
    mesh: TriMesh, gripper: GripperModel, n: int, rng: np.random.Generator
) -> MeshGrasps:
    """Find up to ``n`` antipodal grasps and their robust ε.

    Raises:
        InvalidMesh: the mesh is flat or inside out, so that it can rest nowhere.
        InvalidConfig: ``n`` is less than 1.
    """
    if n < 1:
        raise InvalidConfig(f"n = {n}: expected at least 1 grasp")
    poses = tuple(stable_poses(mesh)) or (as_it_is(mesh),)
    grasps = sample_antipodal(mesh, gripper, n, rng)
    contacts, found = find_contacts(mesh, grasps)
    robust = robust_epsilon(mesh, grasps, gripper, rng)
    order = np.flatnonzero(found)
    order = order[np.argsort(-robust.mean[order], kind="stable")]
    return MeshGrasps(
        mesh,
        gripper,
        poses,
        grasps[order],
        contacts[order],
        robust.mean[order],
        robust.standard_error[order],
    )


def place(found: MeshGrasps, pose: StablePose) -> Placed:
    """Stand the object in a pose, turn the grasps to the table and send the open hand to each."""
    aligned = align_with_table(found.grasps_obj, pose)
    grasps_world = aligned.grasps_obj.in_frame(pose.T_world_obj)
    hit = approach_collisions(found.mesh, pose.T_world_obj, grasps_world, found.gripper)
    return Placed(grasps_world, aligned.tilt, hit.free, hit.hits_object, hit.hits_table)


def as_it_is(mesh: TriMesh) -> StablePose:
    """Stand a ball, which has no pose of its own, as in its file, on the table, above the origin."""
    foot = -np.array([*mesh.center_of_mass[:2], mesh.bounds[0, 2]])
    return StablePose(transforms.translation(foot), 1.0)
