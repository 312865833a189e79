"""The rows of the table by name: every planner of the protocol, and anybody's own.

The paper's rows ask of a grasp what the paper asks, that it lies in the image, on the object and above the table. Ours
also look whether fingers and palm are free (:mod:`antipodal.policy.constraints`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..errors import InvalidConfig, UnknownAsset
from ..gripper import GripperModel
from ..policy import make_policy
from ..policy.dense import FAST_DENSE
from ..policy.heuristics import (
    PAPER_CONSTRAINTS,
    centroid_policy,
    geometric_policy,
    random_policy,
)
from ..policy.rank import rank_policy
from ..quality import Precision, load_quality
from ..rivals import load_rival
from .learned import load_learned
from .outsider import outsider
from .planner import Planner, image_planner
from .planners_known import oracle_planner, registration_planner

Build = Callable[[GripperModel], Planner]


def make_planner(spec: str, gripper: GripperModel) -> Planner:
    """Build a planner from its name on the command line.

    Args:
        spec: a key of :data:`ROWS`; ``module:function`` (:func:`~.outsider.outsider`); NAME:FILE with a key of
            :data:`FILE_ROWS` and its file; or the path of an ONNX file of ours, planned with CEM.
        gripper: the hand.

    Raises:
        UnknownAsset: no such name, file, module or function.
        InvalidConfig: a module that cannot be imported, or a function that takes something else.
        IncompatibleCheckpoint: the file is not a network of ours.
    """
    if spec in ROWS:
        return ROWS[spec](gripper)
    if spec.endswith(".onnx") and ":" not in spec:
        return network_planner(spec, "cem", gripper)
    name, _, rest = spec.partition(":")
    if name in FILE_ROWS and rest:
        return FILE_ROWS[name](rest, gripper)
    if rest:
        return outsider(name, rest, gripper)
    raise UnknownAsset(
        f"unknown planner '{spec}': expected one of {', '.join(ROWS)}, "
        f"{', '.join(f'{n}:FILE' for n in FILE_ROWS)}, FILE.onnx, or module:function"
    )


def planner_file(spec: str) -> Path | None:
    """The file that a planner's name ends in; None where it is a name alone, or a function."""
    kind, colon, rest = spec.partition(":")
    if colon:
        return Path(rest) if kind in FILE_ROWS and rest else None
    return Path(spec) if spec.endswith(".onnx") else None


def planner_names(specs: Sequence[str]) -> dict[str, str]:
    """Name in the results → spec, in their order: a file goes by its name, wherever it is and however that is spelt.

    Files of one name go by as many of their folders as tell them apart.

    Raises:
        InvalidConfig: there is none, or one is given twice.
    """
    deepest = max((len(_parts(spec)) for spec in specs), default=0)
    for n in range(1, deepest + 1):
        names = {_name(spec, n): spec for spec in specs}
        if len(names) == len(specs):
            return names
    raise InvalidConfig(f"planners {', '.join(specs)}: expected at least one, each once")


def _name(spec: str, n_parts: int) -> str:
    if planner_file(spec) is None:
        return spec
    kind = f"{spec.partition(':')[0]}:" if ":" in spec else ""
    return f"{kind}{Path(*_parts(spec)[-n_parts:])}"


def _parts(spec: str) -> tuple[str, ...]:
    file = planner_file(spec)
    return (spec,) if file is None else Path(os.path.abspath(file)).parts


def learned_planner(path: str | Path, gripper: GripperModel) -> Planner:
    """Build ML-RF or ML-SVM around ``forest.npz`` or ``svm.npz``: the best of a fixed set, as in the paper.

    ``runs/baselines.sh`` makes the files.

    Raises:
        UnknownAsset: no such file.
        IncompatibleCheckpoint: not a baseline of ours.
    """
    return image_planner(rank_policy(load_learned(path), gripper, constraints=PAPER_CONSTRAINTS))


def network_planner(
    model: str | Path,
    policy: str,
    gripper: GripperModel,
    precision: Precision = "float32",
    **options: object,
) -> Planner:
    """Build a policy around a network.

    Raises:
        UnknownAsset: no such model.
        IncompatibleCheckpoint: not a network of this package.
    """
    return image_planner(make_policy(policy, load_quality(model, precision), gripper, **options))


ROWS: dict[str, Build] = {
    "oracle": oracle_planner,
    "random": lambda gripper: image_planner(random_policy(gripper)),
    "igq": lambda gripper: image_planner(centroid_policy(gripper)),
    "heuristic": lambda gripper: image_planner(geometric_policy(gripper)),
    "reg": registration_planner,
    "builtin-fixed": partial(network_planner, "builtin", "antipodal"),
    "builtin-cem": partial(network_planner, "builtin", "cem"),
    "builtin-dense": partial(network_planner, "builtin", "dense"),
    "builtin-dense-fast": partial(network_planner, "builtin", "dense", config=FAST_DENSE),
    "builtin-fixed-bfloat16": partial(
        network_planner, "builtin", "antipodal", precision="bfloat16"
    ),
    "builtin-cem-bfloat16": partial(network_planner, "builtin", "cem", precision="bfloat16"),
    "builtin-dense-bfloat16": partial(network_planner, "builtin", "dense", precision="bfloat16"),
}
"""Planners that need nothing but a name; random and igq are the paper's, heuristic the strongest that we can write."""

RANKS_ONLY: dict[str, str] = {
    "oracle": "q = 1 − 2^(−ε/δ) is the label's robust ε, squeezed into [0, 1)",
    "reg": "q = 1 − 2^(−ε/δ) is robust ε on the registered pose, squeezed into [0, 1)",
    "igq": "q = exp(−d / 100 px) is nearness to the mask's centroid",
    "random": "q = ½ throughout: chance knows nothing",
}
"""Rows whose q orders grasps, or not even that, and is no probability; what it is instead. Any other's is a probability
by contract (``Ranked.quality``): an outsider's is taken at its word."""

FILE_ROWS: dict[str, Callable[[str, GripperModel], Planner]] = {
    "rf": learned_planner,
    "svm": learned_planner,
    "gqcnn-fixed": lambda path, gripper: network_planner(
        path, "antipodal", gripper, constraints=PAPER_CONSTRAINTS
    ),
    "gqcnn-cem": lambda path, gripper: network_planner(
        path, "cem", gripper, constraints=PAPER_CONSTRAINTS
    ),
    "dense": lambda path, gripper: network_planner(path, "dense", gripper),
    "rival": lambda path, gripper: image_planner(load_rival(path, gripper)),
    "rival-clear": lambda path, gripper: image_planner(load_rival(path, gripper, clearance=True)),
}
"""Planners around a file: NAME:FILE."""
