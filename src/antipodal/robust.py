"""Robust metrics: the mean over what is not known exactly, by Monte Carlo [Mahler17 §IV-A1; reference §2.2, §4.4].

E_Q = E[ε(u', x')] over the pose of the object, the pose and opening of the gripper, the centre of mass, the friction
and the weight of torques. Each sample moves the grasp relative to the object, closes the jaws anew and evaluates the
metric; where a jaw misses there is nothing to evaluate, and the sample counts as 0, ε's worst (``missed``). Every
number below is a standard deviation: the original mixes standard deviations and variances (reference 10.14), and the
defaults are what its numbers amount to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from . import transforms
from .contact import PAPER_CONTACT_MODEL, Contact, ContactModel, find_contacts
from .errors import InvalidConfig
from .grasp import Grasp
from .gripper import GripperModel
from .mesh import TriMesh
from .metrics import Metric, ferrari_canny
from .values import AT_LEAST_ONE, NOT_NEGATIVE, expect


@dataclass(frozen=True)
class Perturbation:
    """Standard deviations of independent Gaussians, and how many samples are drawn. Defaults: the paper's profile.

    The means are the grasp itself, the mesh's centre of mass, and the friction and torque scale of the contact model.
    """

    n_samples: int = 25
    """Monte-Carlo samples per grasp, ≥ 2."""
    gripper_translation: float = 0.001
    """Of the grasp frame along each of its axes, m."""
    gripper_rotation: float = 0.001
    """Of the grasp frame about each of its axes (rotation vector), rad."""
    approach: float = 1e-4
    """About the closing axis, on top, rad. Moves nothing but the edges of the friction pyramids."""
    width: float = 1e-4
    """Of the opening, m."""
    object_translation: float = 0.005
    """Of the object along each axis, m."""
    object_rotation: float = 0.01
    """Of the object about axes through its centre of mass (rotation vector), rad."""
    object_scale: float = 0.0
    """Of the object's size about 1, from its centre of mass."""
    center_of_mass: float = 0.01
    """Of the centre of mass along each axis, m."""
    friction: float = 0.1**0.5
    """Of μ: the paper's "0.1" is a variance (reference 10.8)."""
    friction_bounds: tuple[float, float] = (0.0, 1.0)
    """Least and largest μ. Equal where it is known."""
    friction_outside: Literal["resample", "clip"] = "resample"
    """What happens to a μ outside the bounds. Clipping puts 5.7 % of all samples at μ = 0."""
    torque_scaling: float = 10.0**0.5
    """Of the inverse of ``ContactModel.torque_scale``, 1/m."""
    n_object_poses: int | None = None
    """Draw only so many object poses per grasp and use them in turn; None draws one per sample. The release has 10."""

    def __post_init__(self) -> None:
        others = ("n_object_poses", "friction_bounds", "friction_outside")
        expect(self, "perturbation", NOT_NEGATIVE, *(n for n in vars(self) if n not in others))
        if self.n_samples < 2:
            raise InvalidConfig(f"perturbation n_samples {self.n_samples}: expected at least 2")
        if self.n_object_poses is not None:
            expect(self, "perturbation", AT_LEAST_ONE, "n_object_poses")
        low, high = self.friction_bounds
        if not 0 <= low <= high or self.friction_outside not in ("resample", "clip"):
            raise InvalidConfig(
                f"perturbation friction_bounds {self.friction_bounds}, friction_outside '{self.friction_outside}': "
                "expected 0 ≤ least ≤ largest, and resample or clip"
            )


PAPER_PERTURBATION = Perturbation()


class Robust(NamedTuple):
    """A Monte-Carlo mean."""

    mean: Float[np.ndarray, "N"]
    standard_error: Float[np.ndarray, "N"]
    """s/√n of the samples. With reused object poses (``n_object_poses``) it is too small."""


class PerturbedContacts(NamedTuple):
    """What one draw of the noise makes of N grasps: everything a metric needs, batch shape (N, S)."""

    contacts: Contact
    """(N, S, 2), obj frame of the unmoved object."""
    found: np.ndarray
    """(N, S) bool: both jaws touch."""
    center_of_mass: Float[np.ndarray, "N S 3"]
    """m."""
    model: ContactModel
    """With friction and torque_scale (N, S)."""


def robust_epsilon(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    rng: np.random.Generator,
    perturbation: Perturbation = PAPER_PERTURBATION,
    model: ContactModel = PAPER_CONTACT_MODEL,
    metric: Metric = ferrari_canny,
) -> Robust:
    """Robust ε-quality E_Q of N grasps; the data set's label is E_Q > 0.002 [Mahler17 §IV-A1, §IV-B2].

    ``model.contact_radius`` is replaced by the gripper's. ``metric`` may be the data set's fast ε, which is the same to
    1e-9.
    """
    model = replace(model, contact_radius=gripper.contact_radius)
    return robust(metric, mesh, grasps_obj, rng, perturbation, model)


def robust(
    metric: Metric,
    mesh: TriMesh,
    grasps_obj: Grasp,
    rng: np.random.Generator,
    perturbation: Perturbation = PAPER_PERTURBATION,
    model: ContactModel = PAPER_CONTACT_MODEL,
    missed: float = 0.0,
) -> Robust:
    """Mean of any metric over the perturbed states of N grasps; with ``force_closure`` it is the probability P_FC.

    Args:
        metric: (M contacts in the obj frame, M centres of mass, model with M frictions and torque scales) → (M,)
            finite numbers, of the M of all N · S samples in which both jaws touch.
        mesh: in m.
        grasps_obj: N grasps.
        rng: of the noise.
        perturbation: the noise.
        model: means of friction and torque scale.
        missed: value of a sample in which a jaw misses, which ``metric`` is not asked of. 0 is ε's worst; of a metric
            where less is better, or whose worst is negative, give its worst.

    Raises:
        InvalidConfig: other than M finite numbers from ``metric``, or ``missed`` is not finite.
    """
    if not np.isfinite(missed):
        raise InvalidConfig(f"missed {missed}: expected a finite number, the metric's worst value")
    contacts, found, com, sampled = perturb(mesh, grasps_obj, rng, perturbation, model)
    values = np.full(found.shape, float(missed))
    at_found = replace(
        sampled,
        friction=np.asarray(sampled.friction)[found],
        torque_scale=np.asarray(sampled.torque_scale)[found],
    )
    values[found] = _expect_one_each(
        metric(contacts[found], com[found], at_found), int(found.sum()), metric
    )
    error = values.std(-1, ddof=1) / np.sqrt(perturbation.n_samples)
    return Robust(values.mean(-1), error)


def perturb(
    mesh: TriMesh,
    grasps_obj: Grasp,
    rng: np.random.Generator,
    perturbation: Perturbation = PAPER_PERTURBATION,
    model: ContactModel = PAPER_CONTACT_MODEL,
) -> PerturbedContacts:
    """Draw S states of each of N grasps and close the jaws in each.

    The object may be scaled about its centre of mass: that is a grasp scaled inversely.
    """
    n, s = len(grasps_obj), perturbation.n_samples
    com = mesh.center_of_mass
    scale = 1 + perturbation.object_scale * rng.normal(size=(n, s))
    widths = grasps_obj.width[:, None] + perturbation.width * rng.normal(size=(n, s))
    poses = _moved_poses(rng, grasps_obj, com, perturbation)
    poses[..., :3, 3] = com + (poses[..., :3, 3] - com) / scale[..., None]
    touched, found = find_contacts(
        mesh, Grasp(poses.reshape(-1, 4, 4), np.maximum(widths / scale, 0).ravel())
    )
    point, normal, tangent = (
        a.reshape(n, s, 2, 3) for a in (touched.point, touched.inward_normal, touched.tangent)
    )
    contacts = Contact(com + (point - com) * scale[..., None, None], normal, tangent)
    moved_com = com + perturbation.center_of_mass * rng.normal(size=(n, s, 3))
    scaling = 1 / np.asarray(model.torque_scale, float)[..., None]
    scaling = scaling + perturbation.torque_scaling * rng.normal(size=(n, s))
    friction = np.asarray(model.friction, float)[..., None]
    sampled = replace(
        model,
        friction=_frictions(rng, friction, (n, s), perturbation),
        torque_scale=1 / np.maximum(scaling, 1e-6),
    )
    return PerturbedContacts(contacts, found.reshape(n, s), moved_com, sampled)


def _expect_one_each(values: ArrayLike, n: int, metric: Metric) -> Float[np.ndarray, "M"]:
    name, got = getattr(metric, "__name__", repr(metric)), np.asarray(values)
    if got.shape != (n,):
        raise InvalidConfig(
            f"metric {name}: values of shape {got.shape} for {n} pairs of contacts: expected one each, ({n},); "
            "compute over the last axes, (…, 2, 3) of contact.point → (…)"
        )
    if bad := int((~np.isfinite(got)).sum()):
        raise InvalidConfig(
            f"metric {name}: {bad} of {n} values are NaN or infinite: expected finite numbers, or the mean is none; "
            "give such contacts the metric's worst value"
        )
    return got


def _moved_poses(
    rng: np.random.Generator,
    grasps_obj: Grasp,
    center_of_mass: Float[np.ndarray, "3"],
    perturbation: Perturbation,
) -> Float[np.ndarray, "N S 4 4"]:
    """Perturbed grasps as the moved object sees them: T_obj_grasp' = C M⁻¹ C⁻¹ T_obj_grasp E.

    The object moves by M about its centre of mass C, the gripper by E in the grasp frame. (Dex-Net turns the object
    about the obj origin; ours does not depend on where a mesh file puts it.)
    """
    n, s = len(grasps_obj), perturbation.n_samples
    gripper = _noise(rng, (n, s), perturbation.gripper_translation, perturbation.gripper_rotation)
    gripper = gripper @ transforms.rot_x(perturbation.approach * rng.normal(size=(n, s)))
    n_poses = perturbation.n_object_poses or s
    shape = (n, n_poses)
    moved = _noise(rng, shape, perturbation.object_translation, perturbation.object_rotation)
    T_obj_com = transforms.translation(center_of_mass)
    back = T_obj_com @ transforms.inverse(moved) @ transforms.inverse(T_obj_com)
    return back[:, np.arange(s) % n_poses] @ grasps_obj.pose[:, None] @ gripper


def _noise(
    rng: np.random.Generator, shape: tuple[int, int], translation: float, rotation: float
) -> transforms.Transform:
    """Small random rigid motions: independent Gaussian translation and rotation vector."""
    t = translation * rng.normal(size=(*shape, 3))
    return transforms.from_rt(transforms.exp_so3(rotation * rng.normal(size=(*shape, 3))), t)


def _frictions(
    rng: np.random.Generator, mean: np.ndarray, shape: tuple[int, int], perturbation: Perturbation
) -> Float[np.ndarray, "N S"]:
    """Gaussian μ, cut at the bounds. Resampling until inside is drawn by the inverse of its distribution function."""
    from scipy.special import ndtr, ndtri  # compiled

    low, high = perturbation.friction_bounds
    sigma = perturbation.friction
    uniform = rng.random(shape)
    if sigma == 0:
        return np.clip(np.broadcast_to(mean, shape), low, high)
    side = 1.0
    if perturbation.friction_outside == "resample":
        # of a mean below its bounds the upper tail counts, which is exact when seen as the lower one
        side = np.where(mean < low, -1.0, 1.0)
        ends = np.sort([side * (low - mean) / sigma, side * (high - mean) / sigma], axis=0)
        below, above = ndtr(ends)
        uniform = below + (above - below) * uniform
    z = side * ndtri(uniform)
    return np.clip(np.where(np.isfinite(z), mean + sigma * z, mean), low, high)
