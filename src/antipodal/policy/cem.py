"""The cross-entropy method over grasps: Algorithm 2 [Mahler17, supplement §II-B].

    U ← n antipodal seeds
    m times:  elites ← best γ of U;  fit a Gaussian mixture to them;  U ← c draws of it that satisfy the constraints
    return the best grasp ever seen

As printed the drawn set never joins U; here each round's set is the draws and the elites before them, so that the best
never gets worse (reference 10.23). A grasp becomes the 5-vector (jaw 1, jaw 2 in pixels, depth), standardised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ..camera import CameraIntrinsics, DepthImage
from ..errors import InvalidConfig
from ..grasp import PlanarGrasp
from ..gripper import GripperModel
from ..values import NOT_NEGATIVE, POSITIVE, POSITIVE_SHARE, expect
from .base import Plan, Policy, QualityFn
from .constraints import DEFAULT_CONSTRAINTS, Checked, ConstraintConfig, check_grasps
from .finish import finished_plan, gather, is_enough, join
from .image_sampler import PAPER_SAMPLER, SamplerConfig, sample_grasps
from .mixture import fit_mixture
from .rank import scorer
from .repair import DEFAULT_REPAIR, RepairConfig
from .request import Asked
from .table import DEFAULT_TABLE, TableConfig
from .view import View, doubted, look


@dataclass(frozen=True)
class CEMConfig:
    """Parameters of Algorithm 2; the defaults are the paper's (reference §8.3)."""

    n_seeds: int = 100
    """Antipodal seeds, n."""
    n_iterations: int = 3
    """Rounds, m."""
    n_resamples: int = 50
    """Draws kept in each round, c."""
    n_components: int | None = 3
    """Gaussians in the mixture, k; None = ``component_fraction`` of the elites."""
    component_fraction: float = 0.4
    """Gaussians per elite where ``n_components`` is None."""
    elite_fraction: float = 0.25
    """Share of the set that the mixture is fitted to, γ in (0, 1]."""
    regularisation: float = 0.01
    """Added to the covariances' diagonal in standardised features."""
    n_batches: int = 8
    """Most batches of 2c draws that are tried for c that satisfy the constraints."""
    oversampling: int = 6
    """Candidates sampled per seed, of which the constraints leave some."""
    enough: float = 1.0
    """Rounds end once so many grasps as are asked for have this quality."""

    def __post_init__(self) -> None:
        expect(
            self,
            "CEM",
            POSITIVE,
            "n_seeds",
            "n_resamples",
            "regularisation",
            "n_batches",
            "oversampling",
        )
        expect(self, "CEM", NOT_NEGATIVE, "n_iterations")
        expect(self, "CEM", POSITIVE_SHARE, "enough", "elite_fraction")
        if self.n_components is not None and self.n_components < 1:
            raise InvalidConfig(
                f"CEM n_components {self.n_components}: expected at least 1, or None"
            )


PAPER_CEM = CEMConfig()
"""Algorithm 2 as printed."""
CALIBRATED_CEM = CEMConfig(enough=0.895)
"""For a quality that is a probability and never over 0.95: no round is spent on the last hundredths."""


RELEASE_CEM = CEMConfig(n_seeds=250, n_components=None)
"""As released for 2.0 (reference §8.2, HEAD)."""

SEED_SAMPLER = SamplerConfig(friction=(0.8,), height_step=None)
"""Algorithm 1 without its friction schedule, with one random depth per pair (reference §8.3)."""
WIDE_SEEDS = SamplerConfig(friction=(1.0,), height_step=None, depth_range=(0.0, 0.03))
"""Every pair that a rubber jaw could hold, from the surface to as deep as the fingers are long."""


def cem_policy(
    quality: QualityFn,
    gripper: GripperModel,
    config: CEMConfig = PAPER_CEM,
    sampler: SamplerConfig = SEED_SAMPLER,
    constraints: ConstraintConfig = DEFAULT_CONSTRAINTS,
    table: TableConfig = DEFAULT_TABLE,
    mend: RepairConfig = DEFAULT_REPAIR,
) -> Policy:
    """Build the cross-entropy policy; its plan holds every grasp that was scored, best first."""

    def policy(image: DepthImage, asked: Asked, rng: np.random.Generator) -> Plan:
        view = doubted(look(image, asked, rng, table, mend), table, constraints.max_unseen)
        hand = view.request.opened(gripper)
        tried: Tried = []
        seeds, counts = _seeds(view, hand, rng, config, sampler, constraints, tried)
        if len(seeds) == 0:
            return finished_plan(view, seeds, np.empty(0), counts, gather(tried))
        score = scorer(view, quality)
        seen, q = seeds, score(seeds)
        current = np.arange(len(seen))
        for _ in range(config.n_iterations):
            if is_enough(seen, q, view, config.enough):
                break
            elites = current[np.argsort(-q[current], kind="stable")]
            elites = elites[: n_elites(len(current), config)]
            drawn = _resample(view, seen[elites], hand, rng, config, constraints, tried)
            current = np.concatenate([elites, np.arange(len(seen), len(seen) + len(drawn))])
            if len(drawn):
                q = np.concatenate([q, score(drawn)])
                seen = join([seen, drawn])
        return finished_plan(view, seen, q, counts | _tally(tried, counts), gather(tried))

    return policy


def to_features(
    grasps: PlanarGrasp, intrinsics: CameraIntrinsics, first_axis: float | None = None
) -> Float[np.ndarray, "N 5"]:
    """Encode grasps as (u1, v1, u2, v2, depth): jaw ends in pixels, depth in m (reference §1.4).

    Args:
        grasps: N of them.
        intrinsics: of the image.
        first_axis: an angle, rad; jaws are ordered so that each closing axis points along it rather than against. Two
            almost equal grasps at +89° and −89° would otherwise have their jaws swapped and be averaged to nothing.
    """
    ends = grasps.endpoints_px(intrinsics)
    if first_axis is not None:
        axis = np.array([np.cos(first_axis), np.sin(first_axis)])
        swap = (ends[:, 1] - ends[:, 0]) @ axis < 0
        ends = np.where(swap[:, None, None], ends[:, ::-1], ends)
    return np.concatenate([ends.reshape(-1, 4), grasps.depth[:, None]], -1)


def from_features(
    features: Float[np.ndarray, "N 5"], intrinsics: CameraIntrinsics, width: float
) -> PlanarGrasp:
    """Decode features: centre and angle of the two ends, and the gripper's width whatever their distance."""
    first, second = features[:, :2], features[:, 2:4]
    line = (second - first) / [intrinsics.fx, intrinsics.fy]
    return PlanarGrasp(
        (first + second) / 2,
        np.arctan2(line[:, 1], line[:, 0]),
        features[:, 4],
        np.full(len(features), width),
    )


def standardise(
    features: Float[np.ndarray, "N D"],
) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "D"], Float[np.ndarray, "D"]]:
    """Return (x − mean) / std with mean and std (population; 1e-6 where it is 0)."""
    mean, std = features.mean(0), features.std(0)
    std = np.where(std > 0, std, 1e-6)
    return (features - mean) / std, mean, std


def n_elites(n: int, config: CEMConfig) -> int:
    """⌈γ n⌉, at least 1."""
    return max(int(np.ceil(config.elite_fraction * n - 1e-9)), 1)


def n_gaussians(n_elite: int, config: CEMConfig) -> int:
    """Components of the mixture for so many elites."""
    if config.n_components is not None:
        return config.n_components
    return max(int(np.ceil(config.component_fraction * n_elite - 1e-9)), 1)


Tried = list[tuple[PlanarGrasp, Checked]]
"""Everything that was checked, in turn."""


def _tally(tried: Tried, counts: Mapping[str, int]) -> dict[str, int]:
    """Count what was checked, the draws of every round among it."""
    n_tried = sum(len(grasps) for grasps, _ in tried)
    total = Counter[str]()
    for _, checked in tried:
        total.update(checked.counts)
    free = sum(int(checked.keep.sum()) for _, checked in tried)
    return {"drawn": n_tried - counts["sampled"], **total, "free": free}


def _seeds(
    view: View,
    gripper: GripperModel,
    rng: np.random.Generator,
    config: CEMConfig,
    sampler: SamplerConfig,
    constraints: ConstraintConfig,
    tried: Tried,
) -> tuple[PlanarGrasp, dict[str, int]]:
    """Sample seeds that satisfy the constraints; where random depths give few, add Algorithm 1's whole ladder."""
    sampler = replace(sampler, n_grasps=config.oversampling * config.n_seeds)
    sample = sample_grasps(view, gripper, rng, sampler)
    seeds, counts = sample.grasps[:0], sample.counts
    # in random order: what comes after enough is not looked at
    for begin in range(0, len(sample.grasps), 2 * config.n_seeds):
        part = sample.grasps[begin : begin + 2 * config.n_seeds]
        seeds = join([seeds, _keep(view, part, gripper, constraints, tried)])
        if len(seeds) >= config.n_seeds:
            break
    if len(seeds) < config.n_seeds // 4:
        friction = (
            *sampler.friction,
            *(m for m in PAPER_SAMPLER.friction if m > sampler.friction[-1]),
        )
        ladder = replace(sampler, friction=friction, height_step=PAPER_SAMPLER.height_step)
        more = sample_grasps(view, gripper, rng, ladder)
        seeds = join([seeds, _keep(view, more.grasps, gripper, constraints, tried)])
        # the same edges and pairs were looked at twice
        counts = more.counts | {"heights": counts.get("heights", 0) + more.counts.get("heights", 0)}
    seeds = seeds[: config.n_seeds]
    counts |= {"sampled": sum(len(grasps) for grasps, _ in tried)}
    return seeds, counts | _tally(tried, counts) | {"seeds": len(seeds)}


def _keep(
    view: View,
    grasps: PlanarGrasp,
    gripper: GripperModel,
    constraints: ConstraintConfig,
    tried: Tried,
) -> PlanarGrasp:
    """Check grasps, write them down, and return those that may be executed."""
    checked = check_grasps(view, grasps, gripper, constraints)
    tried.append((grasps, checked))
    return grasps[checked.keep]


def _resample(
    view: View,
    elites: PlanarGrasp,
    gripper: GripperModel,
    rng: np.random.Generator,
    config: CEMConfig,
    constraints: ConstraintConfig,
    tried: Tried,
) -> PlanarGrasp:
    """Fit the mixture to the elites (best first) and draw until enough draws satisfy the constraints."""
    raw = to_features(elites, view.image.intrinsics, float(elites.angle[0]))
    x, mean, std = standardise(raw)
    mixture = fit_mixture(x, n_gaussians(len(x), config), rng, config.regularisation)
    kept = elites[:0]
    for _ in range(config.n_batches):
        draws = mixture.sample(2 * config.n_resamples, rng) * std + mean
        grasps = from_features(draws[draws[:, 4] > 0], view.image.intrinsics, gripper.max_width)
        kept = join([kept, _keep(view, grasps, gripper, constraints, tried)])
        if len(kept) >= config.n_resamples:
            break
    return kept[: config.n_resamples]
