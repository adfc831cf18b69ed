"""The deterministic labeller: a component is named by the tokens that it fires on and that come next.

No model, no network, the same words every time. It cannot see what takes more than a token to see; whether
its words hold is measured (scoring.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import poisson

from fingerprint.harvest.store import Component, TokenFigure
from fingerprint.labels.label import UNCLEAR, Label, visible_token

LEAST_PMI = 0.7
"""Nats: a token on which a component fires less than twice as often as by chance tells nothing."""
LEAST_RECALL = 0.05
"""Share of a component's firings that a token must take to be named."""
MOST_CHANCE = 1e-6
"""Of so many firings on a token by chance (Poisson): a component has a vocabulary to be lucky with."""
MOST_TOKENS = 4
"""Tokens named on each side."""


def label_tokens(component: Component) -> Label:
    """Name a component by PMI, leading tokens first; "unclear" where no token tells."""
    inputs, outputs = _telling(component.inputs), _telling(component.outputs)
    parts = [
        f"{side} {', '.join(visible_token(figure.text) for figure in figures)}"
        for side, figures in (("on", inputs), ("before", outputs))
        if figures
    ]
    return Label(component.number, "; ".join(parts) or UNCLEAR, "tokens", _weights(inputs), _weights(outputs))


def _telling(figures: Sequence[TokenFigure]) -> list[TokenFigure]:
    kept = [figure for figure in figures if figure.pmi >= LEAST_PMI and figure.recall >= LEAST_RECALL]
    return [figure for figure in kept if _chance(figure) <= MOST_CHANCE][:MOST_TOKENS]


def _chance(figure: TokenFigure) -> float:
    """Probability of as many firings on the token if the component did not know it."""
    expected = figure.count / math.exp(figure.pmi)
    return float(poisson.sf(figure.count - 1, expected))


def _weights(figures: Sequence[TokenFigure]) -> tuple[tuple[int, str, float], ...]:
    return tuple((figure.token, figure.text, figure.pmi) for figure in figures)
