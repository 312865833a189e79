"""What the shipped network learns from beside the YuMi's data: other hands, objects of life size to theirs.

    python runs/hands.py OBJECTS YUMI -o OUT [--per-object DATAPOINTS]

YUMI is the data set of all OBJECTS with the YuMi. Every object keeps its number in OBJECTS, so that held-out objects
stay held out. Blocks of eight objects take turns: a third goes to the Franka hand, a third to the Robotiq, a third to
twelve hands drawn around them. Objects grow with the hand, by its stroke over the YuMi's to a power drawn between 0
and 1. Resumable; OUT holds a data set for each hand, and OUT/joined all of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.join import join
from antipodal.dataset.model import BUILTIN
from antipodal.dataset.run import load_meshes
from antipodal.dataset.shard import OBJECTS_PER_SHARD, Unreadable
from antipodal.dataset.store import Dataset
from antipodal.gripper import GripperModel, load_gripper
from antipodal.mesh import TriMesh
from antipodal.objects import load_object_set

SEED = 2
N_DRAWN = 12
NAMED = ("franka_hand", "robotiq_2f85")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("objects", type=Path)
    parser.add_argument("yumi", type=Path)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--per-object", type=int, default=230)
    arguments = parser.parse_args()
    meshes = load_meshes(load_object_set(arguments.objects))
    made = [Dataset.open(arguments.yumi)]
    for k, hand in enumerate(hands()):
        data = generate(
            share(meshes, k, hand),
            hand,
            arguments.o / hand.name,
            BUILTIN,
            SEED,
            arguments.per_object * len(meshes),
            Execution(workers=2),
        )
        print(f"{hand.name}: {len(data)} datapoints", flush=True)
        made.append(data)
    print(f"joined: {len(join(made, arguments.o / 'joined'))} datapoints")


def hands() -> list[GripperModel]:
    """The named ones, then the drawn ones."""
    rng = np.random.default_rng(SEED)
    return [load_gripper(name) for name in NAMED] + [draw_hand(rng, k) for k in range(N_DRAWN)]


def draw_hand(rng: np.random.Generator, number: int) -> GripperModel:
    """A hand of plausible numbers: a stroke of 35 to 140 mm, and fingers that go with it."""
    stroke = 0.035 * 4 ** rng.random()
    jaw_width = float(np.clip(stroke * rng.uniform(0.2, 0.5), 0.008, 0.04))
    thickness = float(np.clip(stroke * rng.uniform(0.1, 0.28), 0.005, 0.025))
    length = stroke * rng.uniform(0.5, 0.9)
    overhang = length * rng.uniform(0.15, 0.45)
    height = rng.uniform(0.06, 0.15)
    palm = {
        "center": [0.0, 0.0, overhang - length - height / 2],
        "size": [stroke + 2 * thickness + rng.uniform(0, 0.08), rng.uniform(0.04, 0.08), height],
    }
    return GripperModel(
        name=f"drawn_{number:02d}",
        max_width=stroke,
        max_force=50.0,
        jaw_thickness=thickness,
        jaw_width=jaw_width,
        finger_depth=length,
        tip_overhang=overhang,
        contact_radius=float(np.clip(0.45 * jaw_width, 0.004, 0.012)),
        palm_boxes=(palm,),
        jaw_clearance=rng.uniform(0, 0.0008),
    )


def share(
    meshes: list[TriMesh | Unreadable], index: int, hand: GripperModel
) -> list[TriMesh | Unreadable]:
    """The objects of one hand, scaled for it; the others' places stay empty."""
    factor = hand.max_width / load_gripper("yumi").max_width
    power = np.random.default_rng([SEED, len(meshes)]).random(len(meshes))
    return [
        mesh.scaled(factor ** power[k])
        if isinstance(mesh, TriMesh) and turn(k // OBJECTS_PER_SHARD) == index
        else Unreadable(f"object {k}", "another hand's")
        for k, mesh in enumerate(meshes)
    ]


def turn(block: int) -> int:
    """Number of the hand that a block of objects goes to."""
    n = len(NAMED)
    return block % (n + 1) if block % (n + 1) < n else n + block // (n + 1) % N_DRAWN


if __name__ == "__main__":
    main()
