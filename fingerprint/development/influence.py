"""Who helps whom: the Bayesian influence function from losses along SGLD draws. Pure numpy.

Letting sample i count a little more tilts the tempered posterior by exp(-epsilon l_i(w)), so that to first
order d E[phi] / d epsilon = -Cov(l_i, phi): the Bayesian influence function (BIF) of i on phi (Lee et al.
2025, arXiv 2510.12071). Where phi is another sample's loss, a negative BIF means that i helps j. Covariances
are over all draws of all chains; the centring matrix I - 11'/K is idempotent, so it stands once.

Losses are shaped [chain, draw, sample], nats per scored token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from fingerprint import FingerprintError
from fingerprint.development.influence_config import InfluenceConfig

Draws = Float[np.ndarray, "chain draw n"]


class InfluenceError(FingerprintError):
    """Influence cannot be read from these draws; the message says why."""


def pooled_covariance(
    first: Float[np.ndarray, "chain draw n"], second: Float[np.ndarray, "chain draw m"]
) -> Float[np.ndarray, "n m"]:
    """Covariance over all draws of all chains, with K - 1 below."""
    x, y = _centred(first), _centred(second)
    return x.T @ y / max(1, len(x) - 1)


def bayesian_influence(losses: Draws) -> Float[np.ndarray, "n n"]:
    """BIF_ij = -Cov(l_i, l_j), nats squared: what one more of i does to the loss of j."""
    return -pooled_covariance(losses, losses)


def observable_influence(losses: Draws, phi: Float[np.ndarray, "chain draw m"]) -> Float[np.ndarray, "n m"]:
    """BIF(i, phi) = -Cov(l_i, phi): what one more of i does to a read-out, its unit times nats."""
    return -pooled_covariance(losses, phi)


def standardised(draws: Draws) -> Draws:
    """Draws with mean 0 and variance 1, sample by sample; what never moves stays 0.

    The BIF of standardised losses is minus their Pearson correlation R.
    """
    flat = _centred(draws)
    # a rounding error is no movement: a base paired with itself must read zero, not noise over noise
    spread = flat.std(axis=0, ddof=1) if len(flat) > 1 else np.zeros(flat.shape[1])
    moves = spread > 1e-12 * (1 + np.abs(draws.reshape(len(flat), -1)).max(axis=0))
    scaled = np.where(moves, flat / np.where(moves, spread, 1), 0)
    return scaled.reshape(draws.shape)


def correlation(losses: Draws) -> Float[np.ndarray, "n n"]:
    """Pearson R_ij of the losses; -R is the normalised BIF. 0 where a loss never moves."""
    scaled = standardised(losses)
    return pooled_covariance(scaled, scaled)


def group_influence(
    losses: Draws,
    sources: Int[np.ndarray, " a"],
    targets: Int[np.ndarray, " b"],
    units: Int[np.ndarray, " n"],
) -> float:
    """Mean BIF of one group's samples on another's, without terms within one unit.

    By the covariance of sums, minus what each unit (a task, a commit) adds with itself, over the number
    of terms left; not by a mean over noisy matrix entries. NaN when no term is left.

    Args:
        sources, targets: positions of samples. units: of every sample; terms of equal units are self terms.
    """
    flat = _centred(losses)
    total = float(flat[:, sources].sum(1) @ flat[:, targets].sum(1))
    n_terms = len(sources) * len(targets)
    for unit in np.intersect1d(units[sources], units[targets]):
        a, b = sources[units[sources] == unit], targets[units[targets] == unit]
        total -= float(flat[:, a].sum(1) @ flat[:, b].sum(1))
        n_terms -= len(a) * len(b)
    return -total / max(1, len(flat) - 1) / n_terms if n_terms else float("nan")


@dataclass(frozen=True)
class Estimate:
    """A figure over draws with its jackknife error.

    Attributes:
        value: over all draws. se: jackknife standard error. half_width: of the 95 % interval, by Student's t
            with n_parts - 1 degrees of freedom. n_parts: chains, or blocks of chains, left out in turn.
    """

    value: float
    se: float
    half_width: float
    n_parts: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return abs(self.value) > self.half_width


def jackknife(statistic: Callable[[Draws], float], draws: Draws, blocks_per_chain: int = 1) -> Estimate:
    """A statistic of the draws, its error by leaving out one chain (or one block of a chain) at a time.

    Chains are independent, so leaving out chains is honest; blocks are as honest as they are longer than the
    autocorrelation time, and needed where there are few chains: two leave one degree of freedom.

    Args:
        statistic: takes [chain, draw, n]. blocks_per_chain: consecutive parts that a chain is cut into.
    """
    parts = [block for chain in draws for block in np.array_split(chain, blocks_per_chain)]
    value = statistic(draws)
    if len(parts) < 2:
        return Estimate(value, float("nan"), float("nan"), len(parts))
    left_out = np.array(
        [statistic(np.concatenate(parts[:i] + parts[i + 1 :])[None]) for i in range(len(parts))]
    )
    n = len(parts)
    se = float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
    return Estimate(value, se, float(stats.t.ppf(0.975, n - 1)) * se, n)


@dataclass(frozen=True)
class Contrast:
    """Whether a sample is tied to its own partner more than to others.

    Attributes:
        matched: mean R of partners. shuffled: mean R over shuffled pairings. difference: matched minus
            shuffled, with its jackknife error. p_value: one-sided, by shuffling. n_pairs: partners.
    """

    matched: float
    shuffled: float
    difference: Estimate
    p_value: float
    n_pairs: int


def matched_contrast(
    losses: Draws,
    first: Int[np.ndarray, " p"],
    second: Int[np.ndarray, " p"],
    units: Int[np.ndarray, " n"],
    config: InfluenceConfig,
) -> Contrast:
    """Mean R of matched samples against shuffled pairings, in which nobody meets a partner of the own unit.

    Args:
        first, second: positions of partners. units: of every sample, as in ``group_influence``.
    """
    if len(np.unique(units[first])) < 3:
        raise InfluenceError(
            "A pair-matched contrast needs pairs of at least 3 tasks or commits, got "
            f"{len(np.unique(units[first]))}"
        )
    rng = np.random.default_rng(config.seed)
    shuffles = [_pairing_apart(units[first], units[second], rng) for _ in range(config.n_shuffles)]

    def difference(draws: Draws) -> float:
        R = _cross_correlation(draws, first, second)
        apart = units[first][:, None] != units[second][None, :]
        return float(np.diag(R).mean() - R[apart].mean())

    R = _cross_correlation(losses, first, second)
    rows = np.arange(len(first))
    null = np.array([R[rows, order].mean() for order in shuffles])
    matched = float(np.diag(R).mean())
    p_value = (1 + int((null >= matched).sum())) / (1 + len(null))
    return Contrast(
        matched,
        float(null.mean()),
        jackknife(difference, losses, config.blocks_per_chain),
        p_value,
        len(first),
    )


@dataclass(frozen=True)
class SelfEffect:
    """What leaving out one unit would do to its own loss, to first order.

    Attributes:
        by_unit: n_beta share_i Var(l_i), nats per scored token, of each unit. share_i is the unit's part of
        the
            training loss that was sampled. median: of them. limit: above which influence is refused.
    """

    by_unit: Float[np.ndarray, " n"]
    median: float
    limit: float

    @property
    def is_small(self) -> bool:
        """Whether a first-order reading means anything."""
        return self.median <= self.limit


def self_effect(losses: Draws, shares: Float[np.ndarray, " n"], n_beta: float, limit: float) -> SelfEffect:
    """Predicted leave-one-out effect of each unit on itself.

    Training loss n_beta L = n_beta sum_i share_i l_i: without i, E[l_i] rises by n_beta share_i Var(l_i).
    """
    by_unit = n_beta * shares * -np.diag(bayesian_influence(losses))
    return SelfEffect(by_unit, float(np.median(by_unit)), limit)


def require_small(effect: SelfEffect, what: str) -> None:
    """Refuse a reading whose first order means nothing.

    Raises:
        InfluenceError: the median is above the limit.
    """
    if not effect.is_small:
        raise InfluenceError(
            f"Influence is not read at {what}: the median effect of a unit on itself is "
            f"{effect.median:.2g} nats a token, above {effect.limit:g}. Effects so large are memorisation, "
            "where first-order influence does not rank as retraining does. Use an earlier checkpoint, more "
            "commits, or a smaller n_beta."
        )


def by_unit(
    losses: Float[np.ndarray, "chain draw w"], unit_of: Int[np.ndarray, " w"], n_tokens: Int[np.ndarray, " w"]
) -> Float[np.ndarray, "chain draw u"]:
    """Mean loss per scored token of each unit from its windows' means; units are numbered 0, 1, ...

    Args:
        unit_of: the unit of each window. n_tokens: scored tokens of each window.
    """
    weights = np.zeros((len(unit_of), int(unit_of.max()) + 1))
    weights[np.arange(len(unit_of)), unit_of] = n_tokens
    return losses @ (weights / weights.sum(0))


def _centred(draws: Float[np.ndarray, "chain draw n"]) -> Float[np.ndarray, "k n"]:
    flat = draws.reshape(-1, draws.shape[-1]).astype(np.float64)
    return flat - flat.mean(axis=0)


def _cross_correlation(
    draws: Draws, first: Int[np.ndarray, " p"], second: Int[np.ndarray, " p"]
) -> Float[np.ndarray, "p p"]:
    scaled = standardised(draws)
    return pooled_covariance(scaled[..., first], scaled[..., second])


def _pairing_apart(
    first: Int[np.ndarray, " p"], second: Int[np.ndarray, " p"], rng: np.random.Generator
) -> Int[np.ndarray, " p"]:
    """A random pairing; the few that meet their own unit are exchanged until none does."""
    order = rng.permutation(len(second))
    for _ in range(100):
        met = np.flatnonzero(first == second[order])
        if not len(met):
            break
        for i in met:
            j = int(rng.integers(len(order)))
            order[[i, j]] = order[[j, i]]
    return order
