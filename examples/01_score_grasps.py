"""Sample grasps on a mesh, score them analytically, and keep those that the gripper can reach from above.

Run: python examples/01_score_grasps.py
"""

from __future__ import annotations

import numpy as np
import trimesh

from antipodal.alignment import MAX_APPROACH_TABLE_ANGLE, align_with_table
from antipodal.collision import approach_is_free
from antipodal.contact import find_contacts
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.metrics import ferrari_canny
from antipodal.robust import robust_epsilon
from antipodal.sampling import sample_antipodal
from antipodal.stable_pose import stable_poses

SUCCESS_THRESHOLD = 0.002  # the paper's δ: a grasp is good if it is free and its robust ε is above


def main() -> None:
    rng = np.random.default_rng(0)
    gripper = load_gripper("yumi")
    shape = trimesh.creation.box((0.03, 0.045, 0.12))
    mesh = TriMesh(shape.vertices, shape.faces, "box")

    grasps_obj = sample_antipodal(mesh, gripper, 300, rng)
    contacts, _ = find_contacts(mesh, grasps_obj)
    epsilon = ferrari_canny(contacts, mesh.center_of_mass)
    robust = robust_epsilon(mesh, grasps_obj, gripper, rng)

    pose = stable_poses(mesh)[0]  # the likeliest way to lie
    aligned, tilt = align_with_table(grasps_obj, pose)
    level = np.flatnonzero(tilt < MAX_APPROACH_TABLE_ANGLE)
    grasps_world = aligned[level].in_frame(pose.T_world_obj)
    free = approach_is_free(mesh, pose.T_world_obj, grasps_world, gripper)
    good = free & (robust.mean[level] > SUCCESS_THRESHOLD)

    print(f"{len(grasps_obj)} antipodal grasps on the {mesh.name}; lying, {len(level)} close level")
    print(f"with the table, {free.sum()} of them are free and {good.sum()} good\n")
    print("height [mm]  tilt [deg]      ε   robust ε           free  good")
    for i in np.argsort(-robust.mean[level])[:10]:
        k = level[i]
        print(
            f"{1e3 * grasps_world.center[i, 2]:11.1f}  {np.rad2deg(tilt[k]):10.1f}  {epsilon[k]:.3f}  "
            f"{robust.mean[k]:.4f} ± {robust.standard_error[k]:.4f}  {free[i]!s:>5}  {good[i]!s:>5}"
        )


if __name__ == "__main__":
    main()
