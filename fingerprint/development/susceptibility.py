"""How components answer to a shift of the data: covariances under a local posterior.

The measure is that of Baker et al. 2025 (arXiv 2504.18274):
chi[C, j] = -cov(phi_C, loss_j - L) over draws of w, where phi_C is an observable of component C, loss_j the
mean loss on data set j and L the loss of the training text. It is linear in the loss, so a data set's chi is
the mean of its tokens'. Below zero: the component's freedom goes with that text (expression); above: against
it (suppression). Draws of a chain are correlated, so every error comes from whole blocks of draws.
Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from fingerprint import FingerprintError
from fingerprint.evaluation.significance import benjamini_hochberg

BLOCKS = 10
"""Blocks of draws of all chains together that errors are read from; ten give nine degrees of freedom."""
LEAST_Z = 2.0
"""Standard errors that either response of an opposite responder must lie from zero."""


class SusceptibilityError(FingerprintError):
    """Draws that no covariance can be read from."""


@dataclass(frozen=True, eq=False)
class Draws:
    """What the sampler observed.

    Attributes:
        phi: observables of the components, by chain and draw. loss: of the training text, nats a token.
        components: their names.
    """

    phi: Float[np.ndarray, "c t k"]
    loss: Float[np.ndarray, "c t"]
    components: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse draws that are not finite: a chain that diverged is no posterior."""
        if not (np.isfinite(self.phi).all() and np.isfinite(self.loss).all()):
            raise SusceptibilityError(
                "a draw is not finite: the chain diverged. Take a smaller step or a stronger localisation."
            )

    @property
    def spread(self) -> Float[np.ndarray, " k"]:
        """Posterior standard deviation of each observable."""
        return self.phi.reshape(-1, self.phi.shape[-1]).std(0, ddof=1)


@dataclass(frozen=True, eq=False)
class Response:
    """chi with its standard error, components by data sets (or by tokens)."""

    chi: Float[np.ndarray, "k j"]
    error: Float[np.ndarray, "k j"]
    n_blocks: int

    @property
    def z(self) -> Float[np.ndarray, "k j"]:
        """Chi in standard errors; 0 where nothing moved."""
        return np.divide(self.chi, self.error, out=np.zeros_like(self.chi), where=self.error > 0)

    @property
    def p_values(self) -> Float[np.ndarray, "k j"]:
        """Two-sided, Student's t with one degree of freedom less than blocks."""
        return 2 * student.sf(np.abs(self.z), self.n_blocks - 1)


def measure_response(draws: Draws, losses: Float[np.ndarray, "c t j"], *, n_blocks: int = BLOCKS) -> Response:
    """chi[C, j] = -cov(phi_C, loss_j - L), with a jackknife over blocks of draws.

    Args:
        losses: mean loss of each data set, or the loss of each token, at the same draws.

    Raises:
        SusceptibilityError: fewer than two draws a block, or losses that are not finite or of other draws.
    """
    n_chains, n_draws, _ = draws.phi.shape
    if losses.shape[:2] != (n_chains, n_draws) or not np.isfinite(losses).all():
        raise SusceptibilityError(
            f"expected finite losses at {n_chains} x {n_draws} draws, got an array of {losses.shape}."
        )
    block = block_of(n_chains, n_draws, n_blocks)
    phi = draws.phi.reshape(n_chains * n_draws, -1).astype(np.float64)
    gap = (losses - draws.loss[:, :, None]).reshape(n_chains * n_draws, -1).astype(np.float64)
    phi, gap = phi - phi.mean(0), gap - gap.mean(0)  # numerically, before sums of products are differenced
    chi = -_covariance(phi, gap)
    total, number = chi * 0, int(block.max()) + 1
    square = chi * 0
    for b in range(number):
        kept = block != b
        left_out = -_covariance(phi[kept], gap[kept]) - chi
        total, square = total + left_out, square + left_out**2
    variance = (number - 1) / number * (square - total**2 / number)
    return Response(chi, np.sqrt(np.maximum(variance, 0)), number)


def block_of(n_chains: int, n_draws: int, n_blocks: int = BLOCKS) -> np.ndarray:
    """Block number of every draw, [chains x draws]: consecutive draws of one chain, as even as can be.

    Raises:
        SusceptibilityError: fewer than two draws a block.
    """
    per_chain = max(1, n_blocks // n_chains)
    if n_draws < 2 * per_chain or per_chain * n_chains < 2:
        raise SusceptibilityError(
            f"{n_chains} chains of {n_draws} draws do not fill {n_blocks} blocks of two draws: draw more."
        )
    within = np.arange(n_draws) * per_chain // n_draws
    return (np.arange(n_chains)[:, None] * per_chain + within).ravel()


def _covariance(
    first: Float[np.ndarray, "n k"], second: Float[np.ndarray, "n j"]
) -> Float[np.ndarray, "k j"]:
    return (first - first.mean(0)).T @ second / (len(first) - 1)


@dataclass(frozen=True)
class Opposite:
    """A component and whether it answers to two data sets in opposite directions.

    Attributes:
        first, second: chi. first_z, second_z: in standard errors. p_value: of opposite signs, adjusted: for
            all components. is_opposite: found by Benjamini and Hochberg, and both at least two standard
            errors off.
    """

    component: str
    first: float
    second: float
    first_z: float
    second_z: float
    p_value: float
    adjusted: float
    is_opposite: bool


def opposite_responders(
    response: Response, components: Sequence[str], first: int, second: int, q: float = 0.05
) -> list[Opposite]:
    """Components that answer to columns ``first`` and ``second`` with opposite signs, the surest first.

    The p-value is that of an intersection-union test: of either pattern of signs the larger one-sided p, of
    the two patterns the smaller, doubled. A component that answers to one data set alone is never found.
    """
    z = response.z[:, [first, second]]
    rising, falling = student.sf(z, response.n_blocks - 1), student.cdf(z, response.n_blocks - 1)
    one = np.maximum(rising[:, 0], falling[:, 1])
    other = np.maximum(falling[:, 0], rising[:, 1])
    p_values = np.minimum(1.0, 2 * np.minimum(one, other))
    found = benjamini_hochberg({i: float(p) for i, p in enumerate(p_values)}, q)
    both_far = np.abs(z).min(1) >= LEAST_Z
    rows = [
        Opposite(
            name, float(response.chi[i, first]), float(response.chi[i, second]),
            float(z[i, 0]), float(z[i, 1]),
            found[i].p_value, found[i].adjusted, bool(found[i].is_found and both_far[i]),
        )
        for i, name in enumerate(components)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.p_value)
