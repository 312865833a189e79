"""Parallel-jaw grippers: numbers, frames and collision geometry. A user adds one by copying a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from . import transforms
from .errors import InvalidConfig, UnknownAsset
from .grasp import Grasp
from .mesh import TriMesh
from .values import array, config_from_dict, is_number, rigid

POSITIVE = (
    "max_width",
    "max_force",
    "jaw_thickness",
    "jaw_width",
    "finger_depth",
    "contact_radius",
)
"""Fields of a gripper that must exceed 0."""
NOT_NEGATIVE = ("min_width", "tip_overhang", "jaw_clearance")
"""Fields of a gripper that may be 0."""
TOLD = ("max_width", "tip_overhang", "jaw_width", "jaw_thickness", "finger_depth")
"""Fields that a network may be told of, in this order."""

SAME = 1e-9
"""Nearer than this two numbers of a hand are one, m or N: a rotation is written as a quaternion, and rounded."""


class Boxes(NamedTuple):
    """Axis-aligned boxes in the grasp frame."""

    centers: Float[np.ndarray, "*batch B 3"]
    """m."""
    sizes: Float[np.ndarray, "*batch B 3"]
    """Full side lengths, m."""


@dataclass(frozen=True, eq=False)
class GripperModel:
    """A hand with two parallel jaws that move symmetrically along the grasp frame's x.

    Its collision geometry is boxes in the grasp frame: two fingers derived from the numbers, and the palm's as given.
    """

    name: str
    max_width: float
    """Stroke: largest distance between the jaws, m."""
    max_force: float
    """Force limit of one jaw, N."""
    jaw_thickness: float
    """Finger along x, m: what must fit beside the object."""
    jaw_width: float
    """Finger along y, m."""
    finger_depth: float
    """Free finger length from palm to tip, m."""
    tip_overhang: float
    """How far the tips reach beyond the grasp centre along z, m."""
    contact_radius: float
    """Radius of the soft-finger contact patch, m."""
    palm_boxes: tuple[dict[str, Any], ...]
    """Boxes {center, size} in the grasp frame, m."""
    min_width: float = 0.0
    """Smallest distance between the jaws, m."""
    jaw_clearance: float = 0.0
    """How far each jaw's face stands outside half the width in the collision model, m."""
    T_gripper_grasp: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """Pose of the grasp frame in the hand's own base frame."""

    JAWS: ClassVar[tuple[int, int]] = (0, 1)
    """Rows of :meth:`boxes` that are the −x and the +x finger; the rest is palm."""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise InvalidConfig(f"gripper name {self.name!r}: expected a word")
        for name in POSITIVE + NOT_NEGATIVE:
            value, positive = getattr(self, name), name in POSITIVE
            most, unit = (1e4, "N") if name == "max_force" else (1.0, "m; millimetres?")
            if not (is_number(value) and 0 <= value <= most and (value > 0 or not positive)):
                raise InvalidConfig(
                    f"gripper {self.name}: {name} = {value!r}: expected a "
                    f"{'positive number' if positive else 'number ≥ 0'} in SI units, at most {most:g} {unit}"
                )
            object.__setattr__(self, name, float(value))
        if not self.min_width < self.max_width:
            raise InvalidConfig(
                f"gripper {self.name}: widths {self.min_width}–{self.max_width} m: expected min < max"
            )
        if not 0 <= self.tip_overhang <= self.finger_depth:
            raise InvalidConfig(
                f"gripper {self.name}: tip_overhang {self.tip_overhang}: "
                f"expected between 0 and finger_depth {self.finger_depth}"
            )
        for box in self.palm_boxes:
            if not isinstance(box, dict) or set(box) != {"center", "size"}:
                got = sorted(box) if isinstance(box, dict) else box
                raise InvalidConfig(
                    f"gripper {self.name}: palm box has {got}: expected center and size"
                )
            where = f"gripper {self.name}: palm box"
            center = array(box["center"], (3,), f"{where} center")
            size = array(box["size"], (3,), f"{where} size")
            if not (center.ndim == size.ndim == 1 and (size > 0).all() and (size <= 1).all()):
                raise InvalidConfig(
                    f"{where} center {box['center']}, size {box['size']}: "
                    "expected positive lengths up to 1 m, three numbers each; millimetres?"
                )
        T = rigid(self.T_gripper_grasp, f"gripper {self.name}: T_gripper_grasp", ndim=2)
        if (distance := math.hypot(*T[:3, 3])) > 1.0:
            raise InvalidConfig(
                f"gripper {self.name}: T_gripper_grasp has the base {distance:g} m from the grasp's centre: "
                "expected at most 1 m; millimetres?"
            )
        object.__setattr__(self, "T_gripper_grasp", T)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON takes them."""
        return asdict(self) | {"T_gripper_grasp": self.T_gripper_grasp.tolist()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> GripperModel:
        """Inverse of :meth:`to_json`; unknown and missing keys are errors, which name ``where``."""
        gripper = config_from_dict(cls, values, where)
        return replace(gripper, palm_boxes=tuple(gripper.palm_boxes))

    @property
    def told(self) -> Float[np.ndarray, "5"]:
        """The numbers of ``TOLD``, m: what a network is told of the hand."""
        return np.array([getattr(self, name) for name in TOLD])

    def boxes(self, width: Any) -> Boxes:
        """Boxes of both fingers and the palm at jaw distances ``width`` (…), in the grasp frame."""
        x = np.asarray(width, float) / 2 + self.jaw_clearance + self.jaw_thickness / 2
        closed, sizes = self._closed_boxes
        centers = np.empty((*x.shape, *closed.shape))
        centers[:] = closed
        for jaw, side in zip(self.JAWS, (-1.0, 1.0), strict=True):
            centers[..., jaw, 0] = side * x
        return Boxes(centers, np.broadcast_to(sizes, centers.shape))

    @cached_property
    def _closed_boxes(self) -> Boxes:
        """The same with both fingers' centres in the middle: what does not depend on the opening."""
        finger = [0.0, 0.0, self.tip_overhang - self.finger_depth / 2]
        finger_size = [self.jaw_thickness, self.jaw_width, self.finger_depth]
        centers = [finger, finger, *(b["center"] for b in self.palm_boxes)]
        sizes = [finger_size, finger_size, *(b["size"] for b in self.palm_boxes)]
        return Boxes(np.array(centers, float), np.array(sizes, float))

    def collision_mesh_at(self, grasp: Grasp) -> TriMesh:
        """Mesh of the hand at one grasp, opened to its width, in the grasp's parent frame."""
        centers, sizes = self.boxes(float(grasp.width))
        vertices = centers[:, None] + sizes[:, None] * (UNIT_BOX_VERTICES - 0.5)
        faces = UNIT_BOX_FACES + 8 * np.arange(len(centers))[:, None, None]
        vertices = transforms.apply(grasp.pose, vertices.reshape(-1, 3))
        return TriMesh(vertices, faces.reshape(-1, 3), self.name)

    def T_parent_gripper(self, grasp: Grasp) -> Float[np.ndarray, "*batch 4 4"]:
        """Pose of the hand's base in the grasps' parent frame: what a robot is told."""
        return grasp.pose @ transforms.inverse(self.T_gripper_grasp)


UNIT_BOX_VERTICES = np.array(
    [[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)]
)
"""Corners of the unit cube [0, 1]³."""
UNIT_BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip
"""Its twelve triangles, counter-clockwise seen from outside."""


def gripper_names() -> list[str]:
    """Names of the built-in grippers."""
    return sorted(p.name for p in _assets().iterdir() if (p / "gripper.toml").is_file())


def check_name(gripper: GripperModel) -> str | None:
    """One line on a hand that has a built-in one's name and other numbers; None if its name means it alone."""
    if gripper.name not in gripper_names() or is_same(gripper, load_gripper(gripper.name)):
        return None
    return (
        f"gripper {gripper.name}: a built-in gripper has this name and other numbers: expected a name of its own; "
        "change 'name' in its file"
    )


def is_same(one: GripperModel, other: GripperModel) -> bool:
    """Whether two hands have the same numbers, whatever they are called."""
    a, b = _numbers(one), _numbers(other)
    return a.shape == b.shape and np.allclose(a, b, rtol=0.0, atol=SAME)


def load_gripper(name_or_path: str | Path) -> GripperModel:
    """Load a gripper by built-in name, or from a TOML file or a folder with ``gripper.toml``.

    Raises:
        UnknownAsset: neither a name nor a file; lists the names.
        InvalidConfig: a field is unknown, missing or out of range.
    """
    text = str(name_or_path)
    if text in gripper_names():
        content = (_assets() / text / "gripper.toml").read_text()
    else:
        path = Path(text)
        path = path / "gripper.toml" if path.is_dir() else path
        if not path.is_file():
            raise UnknownAsset.named("gripper", text, gripper_names())
        content = path.read_bytes()
    try:
        values = tomllib.loads(content if isinstance(content, str) else content.decode())
    except ValueError as error:
        raise InvalidConfig(f"gripper {text}: not readable as TOML: {error}") from error
    pose = values.pop("T_gripper_grasp", None)
    if pose is not None:
        values["T_gripper_grasp"] = _pose(pose, f"gripper {text}: T_gripper_grasp")
    boxes = values.get("palm_boxes", [])
    if not isinstance(boxes, list):
        raise InvalidConfig(f"gripper {text}: palm_boxes: expected tables [[palm_boxes]]")
    values["palm_boxes"] = tuple(boxes)
    return config_from_dict(GripperModel, values, f"gripper {text}")


def _numbers(gripper: GripperModel) -> Float[np.ndarray, "n"]:
    numbers = [getattr(gripper, name) for name in POSITIVE + NOT_NEGATIVE]
    palm = [x for box in gripper.palm_boxes for x in (*box["center"], *box["size"])]
    return np.array([*numbers, *palm, *gripper.T_gripper_grasp.ravel()])


def _pose(values: Any, where: str) -> Float[np.ndarray, "4 4"]:
    if not isinstance(values, dict) or set(values) != {"translation", "wxyz"}:
        got = sorted(values) if isinstance(values, dict) else values
        raise InvalidConfig(f"{where} has {got}: expected translation and wxyz")
    quaternion = array(values["wxyz"], (4,), f"{where}.wxyz")
    if quaternion.ndim != 1 or not np.linalg.norm(quaternion) > 0:
        raise InvalidConfig(f"{where}.wxyz is {values['wxyz']}: expected four numbers, not all 0")
    translation = array(values["translation"], (3,), f"{where}.translation")
    return transforms.from_rt(transforms.from_wxyz(quaternion), translation)


def _assets() -> Any:
    return resources.files("antipodal") / "assets" / "grippers"
