"""Read the part of a URDF that says what a hand looks like: links with their geometry, joints with their limits.

Lengths in m, as URDF has them. Geometry is a set of points and a radius around them: enough for bounding boxes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from . import transforms
from .errors import AntipodalError, InvalidConfig, UnknownAsset
from .mesh import load_mesh

CIRCLE = 64
"""Points on each end of a cylinder."""


class Geometry(NamedTuple):
    """A shape in its link's frame: everything within ``radius`` of the hull of ``points``."""

    points: Float[np.ndarray, "n 3"]
    radius: float


@dataclass(frozen=True, eq=False)
class Joint:
    """One joint."""

    name: str
    kind: str
    """URDF's type: fixed, prismatic, revolute …"""
    parent: str
    child: str
    T_parent_child: Float[np.ndarray, "4 4"]
    """At position 0."""
    axis: Float[np.ndarray, "3"]
    """Unit, in the child's frame."""
    limits: tuple[float, float] | None
    """Of a prismatic joint, m."""
    effort: float
    """N; 0 where it is not said."""
    mimic: tuple[str, float, float] | None
    """(joint, multiplier, offset): its position is multiplier · that joint's + offset."""


@dataclass(frozen=True, eq=False)
class Robot:
    """What a URDF says."""

    name: str
    links: dict[str, tuple[Geometry, ...]]
    joints: dict[str, Joint] = field(default_factory=dict)

    def below(self, link: str) -> set[str]:
        """The link and all that hangs from it by joints of any kind."""
        found, waiting = {link}, [link]
        while waiting:
            here = waiting.pop()
            new = {j.child for j in self.joints.values() if j.parent == here} - found
            found |= new
            waiting += new
        return found

    def rigid_with(self, link: str) -> dict[str, Float[np.ndarray, "4 4"]]:
        """Poses T_link_other of every link that fixed joints hold to this one, itself among them."""
        poses = {link: np.eye(4)}
        waiting = [link]
        while waiting:
            here = waiting.pop()
            for joint in self.joints.values():
                if joint.kind != "fixed":
                    continue
                if joint.parent == here and joint.child not in poses:
                    poses[joint.child] = poses[here] @ joint.T_parent_child
                    waiting.append(joint.child)
                elif joint.child == here and joint.parent not in poses:
                    poses[joint.parent] = poses[here] @ transforms.inverse(joint.T_parent_child)
                    waiting.append(joint.parent)
        return poses


def read_urdf(path: str | Path) -> Robot:
    """Read a URDF; collision geometry where a link has some, else visual.

    Raises:
        UnknownAsset: no such file, or a mesh that it names is not there.
        InvalidConfig: not a URDF; says what is wrong with it.
        InvalidMesh: one of its meshes cannot be used.
    """
    path = Path(path)
    if not path.is_file():
        raise UnknownAsset(f"no file {path}: check the path")
    text = path.read_bytes()
    if path.suffix == ".xacro" or b"${" in text or b"<xacro:" in text:
        raise InvalidConfig(
            f"{path.name} is a xacro: expand it first: xacro {path.name} > hand.urdf"
        )
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise InvalidConfig(f"{path.name} is not readable as XML: {error}") from error
    if root.tag != "robot":
        raise InvalidConfig(f"{path.name} has the root <{root.tag}>: expected a URDF's <robot>")
    try:
        links = {_name(e): tuple(_geometries(e, path)) for e in root.findall("link")}
        joints = {_name(e): _joint(e) for e in root.findall("joint")}
    except ValueError as error:
        if isinstance(error, AntipodalError):
            raise
        raise InvalidConfig(f"{path.name}: {error}: expected numbers as URDF has them") from error
    for joint in joints.values():
        for link in (joint.parent, joint.child):
            if link not in links:
                raise InvalidConfig(f"{path.name}: joint {joint.name} names no link '{link}'")
    return Robot(root.get("name") or path.stem, links, joints)


def _joint(element: ET.Element) -> Joint:
    name = _name(element)
    limit, mimic = element.find("limit"), element.find("mimic")
    limits = None
    if limit is not None and (limit.get("lower") or limit.get("upper")):
        limits = (float(limit.get("lower", 0)), float(limit.get("upper", 0)))
    axis = _numbers(element.find("axis"), "xyz", "1 0 0", 3)
    length = float(np.linalg.norm(axis))
    if length == 0:
        raise InvalidConfig(f"joint {name}: its axis is 0 0 0: expected a direction")
    follows = None
    if mimic is not None:
        multiplier, offset = float(mimic.get("multiplier", 1)), float(mimic.get("offset", 0))
        follows = (mimic.get("joint", ""), multiplier, offset)
    return Joint(
        name,
        element.get("type", ""),
        _link_of(element, "parent"),
        _link_of(element, "child"),
        _origin(element),
        axis / length,
        limits,
        0.0 if limit is None else float(limit.get("effort", 0)),
        follows,
    )


def _geometries(link: ET.Element, urdf: Path) -> Iterator[Geometry]:
    elements = link.findall("collision") or link.findall("visual")
    for element in elements:
        shape = element.find("geometry/*")
        if shape is None:
            raise InvalidConfig(f"link {_name(link)} has an empty geometry")
        if shape.tag not in SHAPES:
            raise InvalidConfig(
                f"link {_name(link)} has a <{shape.tag}>: expected one of {', '.join(SHAPES)}"
            )
        points, radius = SHAPES[shape.tag](shape, urdf)
        yield Geometry(transforms.apply(_origin(element), points), radius)


def _box(shape: ET.Element, urdf: Path) -> Geometry:
    half = _numbers(shape, "size", "", 3) / 2
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return Geometry(signs * half, 0.0)


def _cylinder(shape: ET.Element, urdf: Path) -> Geometry:
    radius = _numbers(shape, "radius", "", 1)[0]
    half = _numbers(shape, "length", "", 1)[0] / 2
    angle = 2 * np.pi * np.arange(CIRCLE) / CIRCLE
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(CIRCLE, half)], -1)
    return Geometry(np.concatenate([ring, ring * [1, 1, -1]]), 0.0)


def _sphere(shape: ET.Element, urdf: Path) -> Geometry:
    return Geometry(np.zeros((1, 3)), float(_numbers(shape, "radius", "", 1)[0]))


def _mesh(shape: ET.Element, urdf: Path) -> Geometry:
    scale = _numbers(shape, "scale", "1 1 1", 3)
    # read at the scale that makes it metres, so that a mesh in millimetres is not taken for a house
    largest = float(np.abs(scale).max())
    say_unit = 'Write scale="0.001 0.001 0.001", say, into its <mesh> in the URDF'
    mesh = load_mesh(_find(shape.get("filename", ""), urdf), largest, say_unit)
    return Geometry(mesh.vertices * (scale / largest), 0.0)


SHAPES = {"box": _box, "cylinder": _cylinder, "sphere": _sphere, "mesh": _mesh}


def _find(name: str, urdf: Path) -> Path:
    """Find a mesh: beside the URDF, or where its package:// leads from one of the folders above.

    A folder of another name is the package only if its package.xml says so.
    """
    rest, folders = name.split("://", 1)[-1], urdf.resolve().parents
    places = [folder / rest for folder in folders]
    if name.startswith("package://"):
        package, _, tail = rest.partition("/")
        places += [folder / tail for folder in folders if _package_name(folder) == package]
    for place in places:
        if place.is_file():
            return place
    raise UnknownAsset(
        f"{urdf.name}: no mesh '{name}' beside it or in a folder above: put the package there, or change the path"
    )


def _package_name(folder: Path) -> str | None:
    """What the package.xml of a ROS package calls it; None: there is none that can be read."""
    try:
        return (ET.parse(folder / "package.xml").getroot().findtext("name") or "").strip()
    except (OSError, ET.ParseError):
        return None


def _origin(element: ET.Element) -> Float[np.ndarray, "4 4"]:
    """URDF's xyz and roll, pitch, yaw about fixed axes: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    origin = element.find("origin")
    xyz = _numbers(origin, "xyz", "0 0 0", 3)
    roll, pitch, yaw = _numbers(origin, "rpy", "0 0 0", 3)
    R = transforms.rot_z(yaw) @ transforms.rot_y(pitch) @ transforms.rot_x(roll)
    return transforms.translation(xyz) @ R


def _numbers(element: ET.Element | None, key: str, default: str, n: int) -> Float[np.ndarray, "n"]:
    text = default if element is None else element.get(key, default)
    values = np.array([float(word) for word in text.split()])
    if values.shape != (n,) or not np.isfinite(values).all():
        tag = "element" if element is None else element.tag
        raise InvalidConfig(f"<{tag}> has {key}='{text}': expected {n} numbers")
    return values


def _name(element: ET.Element) -> str:
    name = element.get("name")
    if not name:
        raise InvalidConfig(f"a <{element.tag}> has no name")
    return name


def _link_of(element: ET.Element, tag: str) -> str:
    found = element.find(tag)
    if found is None or not found.get("link"):
        raise InvalidConfig(f"joint {_name(element)} has no {tag} link")
    return str(found.get("link"))
