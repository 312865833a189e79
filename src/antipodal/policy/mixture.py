"""A Gaussian mixture fitted by expectation–maximisation: the distribution that the cross-entropy method refits.

p(x) = Σ_k w_k N(x; m_k, C_k)
E:  r_nk = w_k N(x_n; m_k, C_k) / p(x_n)
M:  w_k = Σ_n r_nk / N,  m_k = Σ_n r_nk x_n / Σ_n r_nk,  C_k = Σ_n r_nk (x_n − m_k)(x_n − m_k)ᵀ / Σ_n r_nk + ρ I
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Mixture(NamedTuple):
    """K Gaussians in D dimensions."""

    weights: Float[np.ndarray, "K"]
    means: Float[np.ndarray, "K D"]
    covariances: Float[np.ndarray, "K D D"]

    def log_density(self, x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N"]:
        """log p(x) of each point."""
        return np.logaddexp.reduce(_joint(self, x), axis=-1)

    def sample(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n D"]:
        """Draw n points."""
        k = rng.choice(len(self.weights), n, p=self.weights)
        root = np.linalg.cholesky(self.covariances)
        noise = rng.normal(size=(n, self.means.shape[1], 1))
        return self.means[k] + (root[k] @ noise)[..., 0]


def fit_mixture(
    x: Float[np.ndarray, "N D"],
    n_components: int,
    rng: np.random.Generator,
    regularisation: float = 0.01,
    n_iterations: int = 100,
    tolerance: float = 1e-4,
) -> Mixture:
    """Fit K = min(``n_components``, N) Gaussians.

    Starts from k-means, seeded by k-means++ [Arthur07].

    Args:
        x: N ≥ 1 points.
        n_components: K wanted.
        rng: random state of the seeding.
        regularisation: ρ, added to each covariance's diagonal.
        n_iterations: most rounds of EM.
        tolerance: stop when the mean log-likelihood grows by less.
    """
    responsibility = _k_means(x, min(n_components, len(x)), rng)
    mixture = _maximise(x, responsibility, regularisation)
    previous = -np.inf
    for _ in range(n_iterations):
        joint = _joint(mixture, x)
        total = np.logaddexp.reduce(joint, axis=-1)
        if total.mean() - previous < tolerance:
            break
        previous = total.mean()
        mixture = _maximise(x, np.exp(joint - total[:, None]), regularisation)
    return mixture


def _joint(mixture: Mixture, x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N K"]:
    """log w_k + log N(x_n; m_k, C_k)."""
    root = np.linalg.cholesky(mixture.covariances)
    white = np.linalg.solve(root, np.swapaxes(x[None] - mixture.means[:, None], 1, 2))
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(-1)
    constant = x.shape[1] / 2 * np.log(2 * np.pi)
    log_gauss = -0.5 * (white**2).sum(1) - log_det[:, None] - constant
    return (np.log(mixture.weights)[:, None] + log_gauss).T


def _maximise(
    x: Float[np.ndarray, "N D"], responsibility: Float[np.ndarray, "N K"], regularisation: float
) -> Mixture:
    n_k = responsibility.sum(0) + 1e-10  # an empty component keeps a finite mean
    means = responsibility.T @ x / n_k[:, None]
    centred = x[None] - means[:, None]
    covariances = np.einsum("nk,kni,knj->kij", responsibility, centred, centred)
    covariances = covariances / n_k[:, None, None] + regularisation * np.eye(x.shape[1])
    return Mixture(n_k / n_k.sum(), means, covariances)


def _k_means(
    x: Float[np.ndarray, "N D"], k: int, rng: np.random.Generator
) -> Float[np.ndarray, "N K"]:
    """One-hot assignment after greedy k-means++ seeding (the best of some draws) and at most 20 Lloyd rounds."""
    centers = x[rng.integers(len(x))][None]
    n_draws = 2 + int(np.log(k))
    distance = ((x - centers[0]) ** 2).sum(-1)
    while len(centers) < k:
        total = distance.sum()
        share = distance / total if total > 0 else np.full(len(x), 1 / len(x))
        drawn = x[rng.choice(len(x), n_draws, p=share)]
        shrunk = np.minimum(distance, ((x - drawn[:, None]) ** 2).sum(-1))
        best = shrunk.sum(-1).argmin()
        centers, distance = np.concatenate([centers, drawn[best][None]]), shrunk[best]
    assignment = np.full(len(x), -1)
    for _ in range(20):
        nearest = ((x[:, None] - centers) ** 2).sum(-1).argmin(1)
        if (nearest == assignment).all():
            break
        assignment = nearest
        one_hot = np.eye(k)[assignment]
        filled = one_hot.sum(0) > 0
        centers[filled] = (one_hot.T @ x)[filled] / one_hot.sum(0)[filled, None]
    return np.eye(k)[assignment]
