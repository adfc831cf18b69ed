"""Evidence against "nothing has changed", one score after another, readable at any time. Torch-free.

A *bet* e_t is a factor known once item t is seen, with E[e_t | past] <= 1 while nothing has changed. Wealth
is the product of bets; the chance that it ever reaches 1/a is at most a (Ville). Scores are larger for more
drift, one a commit, and time runs along the arrays.

Two null hypotheses, two kinds of bets:

- ``online_p_values`` and the bets on them: stream and reference exchangeable; exact and marginal. Every item
  joins the reference once judged, which after a change dilutes the evidence.
- ``conditional_bets``: stream i.i.d. like a reference that stays fixed; holds given the reference, except for
  a share delta of references. Not diluted, but it pays for the reference's own error, which cost more than
  dilution at every size tried. Median items to ``restart_alarms`` after a shift of one standard deviation
  (Gaussian scores, 200 unchanged items, 100 streams), power bets against conditional ones: 12.5 and 42.5
  with 74 reference commits, 12 and 30 with 200, 10 and 21 with 1,000.

P-values against one fixed reference must not be multiplied: they share its error, and wealth then crosses 1/a
far too often. A test shows it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

import numpy as np
from jaxtyping import Float

from fingerprint import FingerprintError

KAPPAS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
"""Powers of the calibrators p -> kappa p^(kappa - 1): for extreme scores to a slight shift; 1 is no bet."""
LEANS = (-1.0, 0.0, 1.0)
"""Slopes of the simple jumper's bets (Vovk et al. 2021)."""
JUMP = 0.01
"""Share of wealth spread evenly over the bets before each item (the simple jumper's own value), so that a
change late in the stream is not met by bets that lost everything before it."""
MAX_LEAN = 0.5
"""Largest slope of the conditional bets (the value of the paper's released code)."""


def online_p_values(
    reference: Float[np.ndarray, " n"], stream: Float[np.ndarray, " t"], seed: int = 0
) -> Float[np.ndarray, " t"]:
    """Smoothed conformal p-values, each against the reference and the stream before it.

    p_t = (#{past > s_t} + u (1 + #{past = s_t})) / (1 + #past) with u uniform, drawn from the seed. They are
    independent and uniform on (0, 1] when reference and stream are exchangeable (Vovk et al. 2003).
    """
    past = sorted(reference.tolist())
    tie_breaks = 1 - np.random.default_rng(seed).random(len(stream))
    found = np.empty(len(stream))
    for t, score in enumerate(stream.tolist()):
        n_above = len(past) - bisect_right(past, score)
        n_equal = len(past) - n_above - bisect_left(past, score)
        found[t] = (n_above + tie_breaks[t] * (1 + n_equal)) / (len(past) + 1)
        insort(past, score)
    return found


def power_bets(p_values: Float[np.ndarray, " t"], jump: float = JUMP) -> Float[np.ndarray, " t"]:
    """Bets on small p-values: a mixture of the calibrators kappa p^(kappa - 1) over KAPPAS.

    Args:
        jump: share of wealth spread evenly before each item (fixed share, Herbster and Warmuth 1998); 0 is
            the plain mixture, right where evidence counts from the first item on.

    Also valid for p-values that are too large: every calibrator decreases.
    """
    kappas = np.array(KAPPAS)
    return _mixture(kappas * p_values[:, None] ** (kappas - 1), jump)


def jumper_bets(p_values: Float[np.ndarray, " t"], jump: float = JUMP) -> Float[np.ndarray, " t"]:
    """The simple jumper (Vovk et al. 2021): a mixture of 1 + lean (p - 1/2), on changes in either direction.

    Needs p-values that are exactly uniform: it bets on large ones too.
    """
    return _mixture(1 + np.array(LEANS) * (p_values[:, None] - 0.5), jump)


def _mixture(bets: Float[np.ndarray, "t k"], jump: float) -> Float[np.ndarray, " t"]:
    """The bet of a portfolio that starts even over k bettors and shares out a part before each item."""
    k = bets.shape[1]
    wealth, found = np.full(k, 1 / k), np.empty(len(bets))
    for t, factors in enumerate(bets):
        wealth = ((1 - jump) * wealth + jump / k) * factors
        found[t] = wealth.sum()
        wealth /= found[t]
    return found


def conditional_bets(
    reference: Float[np.ndarray, " n"],
    stream: Float[np.ndarray, " t"],
    delta: float = 0.05,
    *,
    on_both_sides: bool = False,
) -> Float[np.ndarray, " t"]:
    """Bets of the conditional conformal test martingale (Shaer et al. 2026, arXiv 2602.13848).

    e_t = 1 + (lean_t (F(s_t) - 1/2) - |lean_t| eps) / (1/2 + eps), with F the reference's distribution
    function, eps = sqrt(log(2 / delta) / (2 n)) its DKW band, lean_t from online Newton steps on past bets.
    Given a reference within its band (all but a share delta), E[e_t | reference, past] <= 1 for an i.i.d.
    stream from the same distribution.

    Args:
        delta: share of references for which nothing is promised. With alarms at wealth 1/a, the chance of a
            false one, over references too, is at most a + delta.
        on_both_sides: bet on smaller scores too, instead of on larger ones alone.

    Differs from the paper in one thing: F counts ties half. Then E[F(s)] = 1/2 for every distribution, also
    one with ties, for which the paper's own F fails (a constant score has F = 1 always).
    """
    _expect_reference(reference)
    eps = np.sqrt(np.log(2 / delta) / (2 * len(reference)))
    ordered = np.sort(reference)
    below = [np.searchsorted(ordered, stream, side=side) for side in ("left", "right")]
    edges = ((below[0] + below[1]) / (2 * len(reference)) - 0.5) / (0.5 + eps)
    cost, least = eps / (0.5 + eps), -MAX_LEAN if on_both_sides else 0.0
    lean, curvature, found = 0.0, 1.0, np.empty(len(stream))
    for t, edge in enumerate(edges):
        found[t] = 1 + lean * edge - abs(lean) * cost
        # at lean 0 the slope of -|lean| cost is whichever keeps the gradient nearest to zero
        slope = edge - np.sign(lean) * cost if lean else np.sign(edge) * max(abs(edge) - cost, 0.0)
        gradient = slope / found[t]
        curvature += gradient**2
        lean = float(np.clip(lean + 2 / (2 - np.log(3)) * gradient / curvature, least, MAX_LEAN))
    return found


def log_wealth(bets: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Natural logarithm of the wealth after each item, from 1 at the start."""
    return np.cumsum(np.log(bets))


def sequential_evidence(
    reference: Float[np.ndarray, " n"], scores: Float[np.ndarray, " t"], seed: int = 0
) -> Float[np.ndarray, " t"]:
    """Anytime-valid p-value after each pull request of one author, against the team's commits.

    Args:
        reference: calibration scores, one a commit. scores: of the author's pull requests, oldest first.

    1 / (largest wealth so far) of the plain power mixture (Vovk and Wang 2021): one may look after every pull
    request and stop at will, and still P(ever <= a) <= a if the pull requests are exchangeable with the
    reference.
    """
    _expect_reference(reference)
    wealth = log_wealth(power_bets(online_p_values(reference, scores, seed), jump=0.0))
    return np.exp(-np.maximum.accumulate(np.maximum(wealth, 0.0)))


def _expect_reference(reference: np.ndarray) -> None:
    if not len(reference):
        raise FingerprintError("expected reference scores to compare with, got none: calibrate first")
