"""Local learning coefficients from draws, with what makes them credible, whole or refined.

lambda-hat = n beta (mean of L over the draws - L(w*)) (Lau et al. 2025, arXiv 2308.12108). Refined: only some
weights move (wrLLC), or the loss is of another distribution (drLLC) (Wang et al. 2025, arXiv 2410.02984). A
value compares only with values at the same n beta and gamma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from fingerprint.development.sampling import LOSS
from fingerprint.development.trace import Trace

MOST_R_HAT = 1.1
"""Split R-hat above which chains have not come to one law (Vehtari et al. 2021 ask for 1.01 at length)."""
MOST_DRIFT = 3.0
"""Standard errors by which the second half's trend may differ from none."""
_BATCHES = 10
"""Consecutive batches of each chain whose means give the second standard error."""


@dataclass(frozen=True)
class LocalLearningCoefficient:
    """One estimate.

    Attributes:
        value: lambda-hat. by_chain: of each chain. se: the larger of the two standard errors below.
            se_chains: of the chains' means (nan for one chain). se_batches: of batch means within chains.
            r_hat: split R-hat. ess: effective draws. drift: slope of the second half, in lambda over that
            half's length; drift_se its standard error.
        share_diverged: chains left out. n_params: d. loss: L(w*), nats. gradient_norm: of L at w*.
        flags: reasons for doubt, in words; a refused value stands, flagged, and is never clipped.
        is_refused: lambda-hat above d / 2, the most that any point has: the chain left the basin.
    """

    value: float
    by_chain: tuple[float, ...]
    se: float
    se_chains: float
    se_batches: float
    r_hat: float
    ess: float
    drift: float
    drift_se: float
    share_diverged: float
    n_params: int
    loss: float
    gradient_norm: float
    n_beta: float
    gamma: float
    is_refused: bool
    flags: tuple[str, ...] = field(default=())


def learning_coefficient(trace: Trace, name: str = LOSS) -> LocalLearningCoefficient:
    """lambda-hat of one loss of a trace.

    Args:
        name: "loss" for the loss that was sampled; another mean loss that was observed gives the drLLC of its
            distribution under the same law.
    """
    values = trace.n_beta * (trace.of(name) - float(trace.at_star[name]))
    value = float(values.mean())
    se_chains, se_batches = chain_error(values), batch_error(values)
    drift, drift_se = late_drift(values)
    found = LocalLearningCoefficient(
        value=value,
        by_chain=tuple(float(mean) for mean in values.mean(1)),
        se=float(np.nanmax([se_chains, se_batches])),
        se_chains=se_chains,
        se_batches=se_batches,
        r_hat=split_r_hat(values),
        ess=effective_draws(values),
        drift=drift,
        drift_se=drift_se,
        share_diverged=len(trace.diverged) / (trace.n_chains + len(trace.diverged)),
        n_params=trace.n_params,
        loss=float(trace.at_star[name]),
        gradient_norm=trace.gradient_norm,
        n_beta=trace.n_beta,
        gamma=trace.gamma,
        is_refused=not value <= trace.n_params / 2,
    )
    return _flagged(found)


def _flagged(found: LocalLearningCoefficient) -> LocalLearningCoefficient:
    tests = {
        "above d/2: not a basin": found.is_refused,
        "negative: w* is not near a minimum of this loss": found.value < 0,
        "chains disagree": found.r_hat > MOST_R_HAT,
        "still drifting": abs(found.drift) > MOST_DRIFT * found.drift_se,
        "chains diverged": found.share_diverged > 0,
    }
    return replace(found, flags=tuple(name for name, is_true in tests.items() if is_true))


def chain_error(values: Float[np.ndarray, "chain draw"]) -> float:
    """Standard error of the mean from the chains' own means; nan for a single chain."""
    n_chains = len(values)
    return float(values.mean(1).std(ddof=1) / n_chains**0.5) if n_chains > 1 else math.nan


def batch_error(values: Float[np.ndarray, "chain draw"]) -> float:
    """Standard error of the mean from means of consecutive batches, which absorb the autocorrelation."""
    size = max(1, values.shape[1] // _BATCHES)
    n_whole = values.shape[1] // size
    means = values[:, : n_whole * size].reshape(-1, size).mean(1)
    return float(means.std(ddof=1) / len(means) ** 0.5) if len(means) > 1 else math.nan


def split_r_hat(values: Float[np.ndarray, "chain draw"]) -> float:
    """Split R-hat (Gelman et al. 2013, section 11.4): every chain cut in halves; nan below four draws."""
    half = values.shape[1] // 2
    if half < 2:
        return math.nan
    parts = np.concatenate([values[:, :half], values[:, half : 2 * half]])
    within = parts.var(1, ddof=1).mean()
    between = half * parts.mean(1).var(ddof=1)
    if within == 0:
        return 1.0 if between == 0 else math.inf
    return float((((half - 1) * within + between) / half / within) ** 0.5)


def effective_draws(values: Float[np.ndarray, "chain draw"]) -> float:
    """Effective sample size by Geyer's initial monotone sequence over the chains (Vehtari et al. 2021)."""
    n_chains, n = values.shape
    within = values.var(1, ddof=1).mean() if n > 1 else 0.0
    if within == 0:
        return float(n_chains * n)
    centred = values - values.mean(1, keepdims=True)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    autocovariance = np.fft.irfft(spectrum, size)[:, :n].mean(0) / n
    between = values.mean(1).var(ddof=1) if n_chains > 1 else 0.0
    pooled = within * (n - 1) / n + between
    rho = 1 - (within - autocovariance) / pooled
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(1)
    negative = np.flatnonzero(pairs < 0)
    kept = np.minimum.accumulate(pairs[: negative[0] if len(negative) else len(pairs)])
    time = max(-1 + 2 * kept.sum(), 1 / math.log10(max(n_chains * n, 11)))
    return float(n_chains * n / time)


def late_drift(values: Float[np.ndarray, "chain draw"]) -> tuple[float, float]:
    """Change over the second half by a straight line, and its standard error from batch means."""
    late = values[:, values.shape[1] // 2 :].mean(0)
    size = max(1, len(late) // _BATCHES)
    means = late[: len(late) // size * size].reshape(-1, size).mean(1)
    if len(means) < 3:
        return math.nan, math.nan
    x = np.linspace(-0.5, 0.5, len(means))
    slope = float(x @ means / (x @ x))
    rest = means - means.mean() - slope * x
    return slope, float((rest @ rest / (len(means) - 2) / (x @ x)) ** 0.5)
