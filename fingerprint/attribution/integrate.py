"""Integrated gradients on the gates (Sundararajan et al. 2017), the derivative taken at the scaled mask.

    a_{t,c} = g_{t,c} * (1/n) sum_k df/dm |_{m = alpha_k g},   alpha_k = (k - 1/2) / n .

Differentiating f(alpha g) with respect to g instead would multiply every term by alpha and lose a third to a
half of the sum. All sites move together, Delta stays on. Sum and f(g) - f(0) differ by the completeness gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question


@dataclass(frozen=True, eq=False)
class NodeAttribution:
    """What every node adds to f at every token, in f's own units.

    Attributes:
        values, gates, inner: attribution, gate and inner activity V_c . x.
        full: f with everything on: the model itself. gated: f at the gates. off: f with every node off, the
            embeddings' and all undecomposed parts' contribution. n_steps: midpoints used.
    """

    values: Float[Tensor, "t c"]
    gates: Float[Tensor, "t c"]
    inner: Float[Tensor, "t c"]
    full: float
    gated: float
    off: float
    n_steps: int

    @property
    def gap(self) -> float:
        """Sum of all attributions minus what they explain, f(gates) - f(off)."""
        return float(self.values.double().sum()) - (self.gated - self.off)

    @property
    def masking_error(self) -> float:
        """What the gates leave out of the model: f(all on) - f(gates)."""
        return self.full - self.gated

    @property
    def totals(self) -> Float[Tensor, " c"]:
        """Every node over all tokens."""
        return self.values.sum(0)


def attribute_nodes(space: NodeSpace, question: Question, config: AttributionConfig) -> NodeAttribution:
    """Integrate, with twice the midpoints each time until the completeness gap is within its bound."""
    gates, inner = space.read(question)
    ends = torch.stack([torch.ones_like(gates), gates, torch.zeros_like(gates)])
    with space.at_state():
        with torch.no_grad():
            full, gated, off = question.value(space.logits(question, ends)).tolist()
        n_steps = config.n_steps
        while True:
            values = _integrate(space, question, gates, n_steps, config.rows)
            found = NodeAttribution(values, gates, inner, full, gated, off, n_steps)
            allowed = max(config.gap_floor, config.gap_share * abs(gated - off))
            if abs(found.gap) <= allowed or 2 * n_steps > config.most_steps:
                return found
            n_steps *= 2


def _integrate(
    space: NodeSpace, question: Question, gates: Float[Tensor, "t c"], n_steps: int, rows: int
) -> Float[Tensor, "t c"]:
    """Midpoints side by side in one batch: rows do not see each other."""
    total = torch.zeros_like(gates)
    alphas = (torch.arange(n_steps, device=gates.device) + 0.5) / n_steps
    for part in alphas.split(rows):
        masks = (part[:, None, None] * gates).requires_grad_(True)
        with torch.enable_grad():
            f = question.value(space.logits(question, masks)).sum()
            total += torch.autograd.grad(f, [masks])[0].sum(0)
    return gates * total / n_steps
