"""A table, an object and a parallel-jaw hand in MuJoCo: compiled once per object and hand, placed anew for each trial.

The hand hangs on a carriage of three stiff slide joints along its own grasp axes, so that its orientation is exact and
its velocity is known to the contacts (a mocap body has none: it would not drag an object along). The jaws share one
travel through a joint equality and each pushes with at most the gripper's force. Quaternions are wxyz; no camera here.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled module has no stubs: its names are found at run time only)
from __future__ import annotations

import logging
from typing import Any, NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float

from .. import transforms
from ..errors import InvalidConfig, SimulationDiverged
from ..gripper import UNIT_BOX_VERTICES, GripperModel
from ..mesh import TriMesh
from ..success import EXECUTION_NOISE
from ..values import rigid
from .decompose import Pieces

GRAVITY = np.array([0.0, 0.0, -9.81])
"""m/s², world frame."""
TIMESTEP = 0.002
"""s."""
MASS_LIMITS = EXECUTION_NOISE.mass_bounds
"""kg: the mass of the mesh at its density is clipped to this range, its inertia scaled with it."""
TABLE_TORSION_RADIUS = 1e-4
"""m: the table is hard, a contact with it resists spinning by its friction points alone."""

OBJECT, HAND, TABLE = 1, 2, 4
"""Collision bits."""

_log = logging.getLogger(__name__)
# Friction is this much stiffer than the normal direction, so that a held object creeps less.
_IMPRATIO = 10.0
# The stiffest contact that is stable at the time step: jaws sink 0.03 mm into a hard object at 20 N.
_SOLREF = [2 * TIMESTEP, 1.0]
_SOLIMP = [0.99, 0.999, 0.001, 0.5, 2.0]
# The arm, kg, and the natural frequency of its critically damped servo, rad/s.
_CARRIAGE_MASS = 20.0
_CARRIAGE_RATE = 100.0
# kg; a jaw's drive accelerates it by this much at full force, m/s², which sets the inertia reflected on its travel.
_FINGER_MASS = 0.1
_JAW_ACCELERATION = 10.0
# The drive gives its full force once the jaw is slower than a third of its closing speed.
_CLOSING_GAIN = 1.5
# m/s: sets the damping of a jaw that is told to stand still.
_BRAKE_SPEED = 0.02

Vector = Float[np.ndarray, "3"]


class World:
    """The simulation of one object and one hand. Mutable: ``place`` makes it forget everything that happened before."""

    def __init__(
        self,
        mesh: TriMesh,
        pieces: Pieces,
        gripper: GripperModel,
        model: mujoco.MjModel | None = None,
    ) -> None:
        """Compile the model.

        Args:
            mesh: the object, for its mass, centre of mass and inertia.
            pieces: its convex parts, obj frame; see ``decompose.convex_pieces``.
            gripper: whose boxes and force are used.
            model: with more in it (see ``clutter``); None compiles one.
        """
        self.mesh, self.gripper = mesh, gripper
        self.model = _compile(mesh, pieces, gripper) if model is None else model
        self.data = mujoco.MjData(self.model)
        ids = self.model.geom_bodyid
        body = {name: self.model.body(name).id for name in ("object", "hand", "left", "right")}
        self._object_body, self._hand_body = body["object"], body["hand"]
        self._is_object = ids == body["object"]
        self._is_jaw = np.stack([ids == body["left"], ids == body["right"]])
        self._is_hand = self._is_jaw.any(0) | (ids == body["hand"])
        self._is_table = ids == 0
        self._corners_obj = box_corners(mesh)
        self._object_qpos = int(self.model.joint("object").qposadr[0])
        self._travel_qpos = [int(self.model.joint(n).qposadr[0]) for n in ("left", "right")]
        self._seed = 0
        self._n_steps = 0

    def place(
        self,
        T_world_obj: transforms.Transform,
        T_world_grasp: transforms.Transform,
        friction: float,
        seed: int = 0,
        timestep: float = TIMESTEP,
    ) -> None:
        """Reset everything: the object at rest at its pose, the hand open with its carriage's origin at the grasp.

        Args:
            T_world_obj: pose of the object.
            T_world_grasp: pose of the grasp frame where all carriage positions are zero.
            friction: Coulomb coefficient of every contact, > 0.
            seed: named by ``SimulationDiverged``.
            timestep: s.

        Raises:
            InvalidConfig: friction out of range, or a pose that is not rigid.
        """
        if not (0 < friction < 10):
            raise InvalidConfig(f"friction {friction}: expected a coefficient between 0 and 10")
        T_world_obj = rigid(T_world_obj, "T_world_obj", ndim=2)
        T_world_grasp = rigid(T_world_grasp, "T_world_grasp", ndim=2)
        model, data = self.model, self.data
        self._seed, self._n_steps = seed, 0
        model.opt.timestep = timestep
        model.opt.gravity[:] = GRAVITY
        torsion = friction * np.where(
            self._is_hand, soft_finger_radius(self.gripper), TABLE_TORSION_RADIUS
        )
        model.geom_friction[:, 0] = (
            friction  # of two touching geoms MuJoCo takes the larger: give both the same
        )
        model.geom_friction[:, 1] = torsion
        model.body_pos[self._hand_body] = T_world_grasp[:3, 3]
        model.body_quat[self._hand_body] = transforms.to_wxyz(T_world_grasp[:3, :3])
        mujoco.mj_resetData(model, data)
        a = self._object_qpos
        data.qpos[a : a + 3] = T_world_obj[:3, 3]
        data.qpos[a + 3 : a + 7] = transforms.to_wxyz(T_world_obj[:3, :3])
        mujoco.mj_forward(model, data)

    def put_hand(self, position_grasp: Vector, width: float) -> None:
        """Jump the hand to a carriage position (grasp axes, m) with its jaws at ``width``, at rest. No dynamics."""
        data = self.data
        data.qpos[:3] = data.act[:3] = position_grasp
        data.qpos[self._travel_qpos] = (self.gripper.max_width - width) / 2
        data.qvel[:3] = data.qvel[3:5] = 0.0
        self.drive(np.zeros(3), 0.0)
        mujoco.mj_forward(self.model, data)

    def drive(self, velocity_grasp: Vector, closing_speed: float) -> None:
        """Command the carriage (grasp axes, m/s) and each jaw (m/s, positive closes), until the next command."""
        self.data.ctrl[:3] = velocity_grasp
        self.data.ctrl[3:5] = closing_speed
        speed = max(abs(closing_speed), _BRAKE_SPEED)
        gain = _CLOSING_GAIN * self.gripper.max_force / speed
        self.model.actuator_gainprm[3:5, 0] = gain
        self.model.actuator_biasprm[3:5, 2] = -gain

    def set_gravity(self, gravity: Vector) -> None:
        """Turn gravity (world, m/s²) until the next ``place``; the hand is weightless."""
        self.model.opt.gravity[:] = gravity

    def step(self, n_steps: int) -> None:
        """Advance the physics.

        Raises:
            SimulationDiverged: the state is not finite or a body flew 10 m away; carries the seed and the step.
        """
        previous = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(
            _log.debug
        )  # or else it prints, and writes a log file where it stands
        try:
            mujoco.mj_step(self.model, self.data, nstep=n_steps)
        finally:
            mujoco.set_mju_user_warning(previous)
        self._n_steps += n_steps
        if not np.abs(self.data.qpos).max() < 10.0:  # also true for NaN
            raise SimulationDiverged(
                f"{self.mesh.name}: the simulation diverged by step {self._n_steps} (seed {self._seed}): expected "
                "finite positions within 10 m; check the mesh with antipodal doctor, or use a smaller time step",
                self._seed,
                self._n_steps,
            )

    @property
    def time(self) -> float:
        """Simulated time since ``place``, s."""
        return float(self.data.time)

    @property
    def T_world_obj(self) -> transforms.Transform:
        """Pose of the object."""
        return self._pose(self._object_body)

    @property
    def T_world_grasp(self) -> transforms.Transform:
        """Pose of the grasp frame of the hand."""
        return self._pose(self._hand_body)

    @property
    def corners(self) -> Float[np.ndarray, "8 3"]:
        """Of the object's bounding box, in the world, m."""
        return transforms.apply(self.T_world_obj, self._corners_obj)

    @property
    def object_center(self) -> Vector:
        """Centre of mass of the object in the world, m."""
        return np.array(self.data.xipos[self._object_body])

    @property
    def jaw_width(self) -> float:
        """Opening as ``GripperModel.boxes`` counts it: the faces' distance less twice the jaw clearance, m."""
        return float(self.gripper.max_width - self.data.qpos[self._travel_qpos].sum())

    @property
    def jaw_speed(self) -> float:
        """Rate at which the jaws approach each other, m/s."""
        return float(self.data.qvel[3:5].sum())

    def jaw_forces(self) -> Float[np.ndarray, "2"]:
        """Normal force between the object and the −x and the +x jaw, N."""
        return np.array([self._normal_force(self._is_jaw[i], self._is_object) for i in (0, 1)])

    def hand_forces(self) -> Float[np.ndarray, "2"]:
        """Sums of the normal forces on the hand from the table and from the object, N."""
        return np.array(
            [self._normal_force(self._is_hand, b) for b in (self._is_table, self._is_object)]
        )

    def table_force(self) -> float:
        """Normal force between table and object, N."""
        return self._normal_force(self._is_object, self._is_table)

    def _normal_force(self, side_a: np.ndarray, side_b: np.ndarray) -> float:
        geom = self.data.contact.geom
        touching = (side_a[geom[:, 0]] & side_b[geom[:, 1]]) | (
            side_a[geom[:, 1]] & side_b[geom[:, 0]]
        )
        address = self.data.contact.efc_address[touching]
        return float(
            self.data.efc_force[address[address >= 0]].sum()
        )  # elliptic cone: first row is the normal

    def _pose(self, body: int) -> transforms.Transform:
        return transforms.from_rt(self.data.xmat[body].reshape(3, 3), self.data.xpos[body])


def soft_finger_radius(gripper: GripperModel) -> float:
    """Torsional over tangential friction, m: a patch of radius r under even pressure twists at ⅔ μ r F.

    The analytic metrics use Dex-Net's π r² μ instead, which is no length (reference §3.3) and cannot be simulated.
    """
    return 2.0 / 3.0 * gripper.contact_radius


class MassProperties(NamedTuple):
    """What a free body needs."""

    mass: float
    """kg, within :data:`MASS_LIMITS`."""
    center_of_mass: Vector
    """obj frame, m."""
    inertia: Float[np.ndarray, "3 3"]
    """About the centre of mass, axes of the obj frame, kg·m²."""


def mass_properties(mesh: TriMesh, pieces: Pieces) -> MassProperties:
    """Mass at the mesh's density, clipped, with the inertia scaled by the same factor; of the pieces if it is open."""
    if mesh.is_watertight and mesh.volume > 0:
        mass, center, inertia = mesh.mass, mesh.center_of_mass, mesh.inertia
    else:
        masses = np.array([piece.volume * mesh.density for piece in pieces])
        centers = np.array([piece.center_of_mass for piece in pieces])
        mass = float(masses.sum())
        center = masses @ centers / mass
        K = transforms.skew(centers - center)  # parallel axes: m [r]×ᵀ [r]×
        inertia = sum(p.inertia * (mesh.density / p.density) for p in pieces)
        inertia = inertia + np.einsum("n,nji,njk->ik", masses, K, K)
    clipped = float(np.clip(mass, *MASS_LIMITS))
    return MassProperties(clipped, center, inertia * (clipped / mass))


def new_spec() -> mujoco.MjSpec:
    """Return an empty world with the engine's options."""
    spec = mujoco.MjSpec()
    option = spec.option
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = _IMPRATIO
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.timestep = TIMESTEP
    option.jacobian = (
        mujoco.mjtJacobian.mjJAC_DENSE
    )  # 11 dof; 4.0.0's sparse Newton factor is wrong (fixed in 4.0.1)
    option.disableflags |= (
        mujoco.mjtDisableBit.mjDSBL_AUTORESET
    )  # a lost state is an error, never a silent restart
    return spec


def box_corners(mesh: TriMesh) -> Float[np.ndarray, "8 3"]:
    """Of the bounding box, obj frame."""
    return mesh.bounds[0] + mesh.extents * UNIT_BOX_VERTICES


def _compile(mesh: TriMesh, pieces: Pieces, gripper: GripperModel) -> mujoco.MjModel:
    spec = new_spec()
    add_hand(spec, gripper)  # first: the carriage is dofs 0–2, the jaws 3–4
    add_object(spec, mesh, pieces, "object")
    spec.worldbody.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 1], **contact_of(TABLE)
    )
    return spec.compile()


def add_hand(spec: mujoco.MjSpec, gripper: GripperModel) -> None:
    """Add the carriage with its servos, and on it the palm and two coupled jaws."""
    boxes = gripper.boxes(gripper.max_width)
    hand = spec.worldbody.add_body(name="hand", gravcomp=1.0)
    _set_inertia(
        hand, MassProperties(_CARRIAGE_MASS, np.zeros(3), _CARRIAGE_MASS * 1e-2 * np.eye(3))
    )
    for name, row in zip("xyz", np.eye(3), strict=True):
        hand.add_joint(name=f"carriage_{name}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=row)
    travel = [0.0, (gripper.max_width - gripper.min_width) / 2 + gripper.jaw_clearance]
    for name, sign, row in (("left", 1.0, 0), ("right", -1.0, 1)):
        finger = hand.add_body(name=name, gravcomp=1.0)
        inertia = _FINGER_MASS * 1e-4 * np.eye(3)
        _set_inertia(finger, MassProperties(_FINGER_MASS, boxes.centers[row], inertia))
        finger.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[sign, 0, 0],
            range=travel,
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            solref_limit=_SOLREF,
            solimp_limit=_SOLIMP,
            armature=gripper.max_force / _JAW_ACCELERATION,
        )
        _add_box(finger, boxes.centers[row], boxes.sizes[row])
    for center, size in zip(boxes.centers[2:], boxes.sizes[2:], strict=True):
        _add_box(hand, center, size)
    coupling = spec.add_equality(
        name="jaws", type=mujoco.mjtEq.mjEQ_JOINT, name1="left", name2="right", solref=_SOLREF, solimp=_SOLIMP
    )  # fmt: skip
    coupling.objtype = mujoco.mjtObj.mjOBJ_JOINT
    coupling.data[:5] = [0, 1, 0, 0, 0]
    mass = _CARRIAGE_MASS + 2 * _FINGER_MASS
    for axis in "xyz":
        servo = _actuator(spec, f"carriage_{axis}")
        servo.set_to_intvelocity(kp=mass * _CARRIAGE_RATE**2, kv=2 * mass * _CARRIAGE_RATE)
    for name in ("left", "right"):
        drive = _actuator(spec, name)
        drive.set_to_velocity(kv=1.0)
        drive.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        drive.forcerange = [-gripper.max_force, gripper.max_force]


def add_object(spec: mujoco.MjSpec, mesh: TriMesh, pieces: Pieces, name: str) -> None:
    """Add a free body of the pieces, with the inertia of the mesh."""
    body = spec.worldbody.add_body(name=name)
    body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_FREE)
    _set_inertia(body, mass_properties(mesh, pieces))
    for i, piece in enumerate(pieces):
        asset = spec.add_mesh(name=f"{name}_piece_{i}", uservert=piece.vertices.ravel())
        asset.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=asset.name, mass=0.0, **contact_of(OBJECT)
        )


def _actuator(spec: mujoco.MjSpec, joint: str) -> Any:
    return spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)


def _add_box(body: Any, center: np.ndarray, size: np.ndarray) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, pos=center, size=size / 2, mass=0.0, **contact_of(HAND)
    )


def contact_of(bit: int) -> dict[str, Any]:
    """Contact parameters of a geom that touches what carries another bit."""
    others = (OBJECT | HAND | TABLE) & ~bit
    return {
        "contype": bit,
        "conaffinity": others,
        "condim": 4,
        "solref": _SOLREF,
        "solimp": _SOLIMP,
    }


def _set_inertia(body: Any, properties: MassProperties) -> None:
    J = properties.inertia
    body.explicitinertial = True
    body.mass = properties.mass
    body.ipos = properties.center_of_mass
    body.fullinertia = [J[0, 0], J[1, 1], J[2, 2], J[0, 1], J[0, 2], J[1, 2]]
