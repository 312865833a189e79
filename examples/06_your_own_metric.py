"""Rank grasps by a metric of your own, and make it robust: the mean over the paper's noise, as for ε.

The metric here is the angle left between the line of the contacts and the edge of the friction cones.
"""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import ArrayLike

from antipodal import (
    Contact,
    ContactModel,
    Perturbation,
    TriMesh,
    load_gripper,
    sample_antipodal,
)
from antipodal.metrics import closing_cosines, ferrari_canny
from antipodal.robust import robust


def margin(contacts: Contact, center_of_mass: ArrayLike, model: ContactModel) -> np.ndarray:
    """Half angle of the cone minus the angle that the closing line takes of it, rad; below 0 a jaw slips."""
    angle = np.arccos(np.clip(closing_cosines(contacts), -1.0, 1.0)).max(-1)
    return np.arctan(model.friction) - angle


def main() -> None:
    rng = np.random.default_rng(0)
    shape = trimesh.creation.capsule(height=0.06, radius=0.018)
    mesh = TriMesh(shape.vertices, shape.faces, "capsule")
    grasps_obj = sample_antipodal(mesh, load_gripper("yumi"), 60, rng)

    # any callable (contacts, center_of_mass, model) → one value per grasp takes ε's place
    noise = Perturbation(n_samples=50)
    # a sample in which a jaw misses counts as 0, ε's worst; this metric's worst is a jaw square to its surface
    margins = robust(margin, mesh, grasps_obj, np.random.default_rng(1), noise, missed=-np.pi / 2)
    epsilons = robust(ferrari_canny, mesh, grasps_obj, np.random.default_rng(1), noise)

    print(f"{len(grasps_obj)} grasps on the {mesh.name}")
    print("margin [deg]      robust ε")
    for i in np.argsort(-margins.mean)[[0, len(margins.mean) // 2, -1]]:
        print(
            f"{np.rad2deg(margins.mean[i]):+5.1f} ± {np.rad2deg(margins.standard_error[i]):.1f}       "
            f"{epsilons.mean[i]:.4f} ± {epsilons.standard_error[i]:.4f}"
        )
    first, second = (np.argsort(np.argsort(r.mean)) for r in (margins, epsilons))
    n = len(first)
    spearman = 1 - 6 * float(((first - second) ** 2).sum()) / (n * (n * n - 1))
    print(f"rank correlation of the two: {spearman:+.2f}")


if __name__ == "__main__":
    main()
