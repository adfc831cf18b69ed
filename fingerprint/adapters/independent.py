"""The ablation of shared routes: an ordinary LoRA of one corpus, whose A is trained along with its B.

Hu et al. 2021, arXiv:2106.09685. Text, order, schedule and stopping are those of ``train_adapter``, so that
two results differ by the frozen A and by what moves the weights: AdamW here, as is usual for LoRA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fingerprint.adapters.plan import Plan, Precision, Text, plan_training, wants_bf16
from fingerprint.adapters.train import fast_passes, mean_dev_loss, step_loss
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.routes import Routes, random_routes


@dataclass(frozen=True, eq=False)
class IndependentAdapter:
    """A LoRA with an A of its own; two of them share no coordinates.

    Attributes:
        routes: A, in the basis that training left. weights: B of every site.
        start_dev_loss, dev_loss: of the base and of the state kept, nats per scored token.
    """

    routes: Routes
    weights: RouteWeights
    start_dev_loss: float
    dev_loss: float

    def on(self, base: Base, scale: float = 1.0) -> RoutedModel:
        """The base with this adapter on it."""
        routed = RoutedModel(base, self.routes, scale=scale)
        routed.set_weights(self.weights)
        return routed


def train_independent(
    base: Base, train: Text, dev: Text, config: AdapterConfig, *, rank: int, budget_tokens: int,
    learning_rate: float, precision: Precision = "auto", progress: Callable[[int], None] = lambda _: None,
) -> IndependentAdapter:  # fmt: skip
    """Train A and B from a Gaussian A and B = 0; the best state on dev is kept, never the start.

    Args:
        train, dev, budget_tokens: as in ``train_adapter``. config: its ``learning_rate`` is Muon's and is not
            used. learning_rate: AdamW's, of A and B. precision: as there. progress: is
            given the real tokens of every step.

    Raises:
        FingerprintError: nothing to train or to stop on.
    """
    routed = RoutedModel(base, random_routes(base, rank, config.seed), scale=config.scale)
    dials = config.model_copy(update={"learning_rate": learning_rate})
    plan = plan_training(routed, train, dev, dials, budget_tokens)
    autocast = wants_bf16(routed, precision)
    with fast_passes(routed, autocast):
        start = mean_dev_loss(routed, plan.dev, autocast=autocast)
        best, loss = _optimise(routed, plan, autocast, progress)
    routes = Routes({site: state[0] for site, state in best.items()}, base.name, base.revision)
    return IndependentAdapter(routes, {site: state[1] for site, state in best.items()}, start, loss)


def _optimise(
    routed: RoutedModel, plan: Plan, autocast: bool, progress: Callable[[int], None]
) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], float]:
    """(A, B) by site at the best dev point, and its loss."""
    downs, ups = routed.directions, routed.parameters
    live = {site: (down.requires_grad_(True), ups[site]) for site, down in downs.items()}
    weights = [weight for pair in live.values() for weight in pair]
    optimiser = torch.optim.AdamW(weights, weight_decay=0.0, fused=True)
    best, least = {}, float("inf")
    for step in range(plan.n_steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate(step)
        loss = step_loss(routed, plan, step, autocast)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        progress(plan.tokens[step])
        if step + 1 in plan.dev_steps:
            found = mean_dev_loss(routed, plan.dev, autocast=autocast)
            if found < least:
                least = found
                best = {site: (a.detach().cpu().clone(), b.detach().cpu().clone())
                        for site, (a, b) in live.items()}  # fmt: skip
    return best, least
