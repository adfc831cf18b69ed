"""Route contributions: the log-ratio of two models, resolved by (site, route) and source position.

Between a start and an end state of the same routed model the weights move on a straight line,
W(tau) = W + s (start + tau dB) A with dB = end - start. The contribution of route i of site m at source
position t is

    c_{m,i}(t) = integral over tau in [0, 1] of  s (dB_m[:, i] . G_m(t; tau)) z_{m,i}(t; tau)

with z = A h and G the gradient of the *sum* of scored log-probabilities with respect to the site's
output, all three taken at tau (routing.md section 2). Over all source positions, context and position 0
included, the contributions sum to Lambda = log p_end - log p_start; the difference is the reported gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fingerprint.lm.pair import ADAPTER, RoutedModel, RouteWeights
from fingerprint.lm.tokens import (
    Batch,
    TokenizedPassage,
    causal_model,
    length_buckets,
    pad_batch,
    target_log_probs,
)
from fingerprint.passage import Passage
from fingerprint.routing.token_class import TOKEN_CLASSES, classify_tokens

N_CLASSES = len(TOKEN_CLASSES)
CONTEXT, POSITION0 = N_CLASSES, N_CLASSES + 1
N_BUCKETS = N_CLASSES + 2
MOST_POINTS = 32


@dataclass(frozen=True)
class Contributions:
    """What every route adds to the log-ratio of every passage, in nats.

    Attributes:
        sites: site names, in the order of the arrays' site axis.
        table: [n_passages, n_sites, n_buckets, r]; buckets are the token classes of source tokens inside
            the marked spans, then context, then position 0.
        magnitude: [n_passages, n_buckets] sum of |c| over sites, routes and source positions.
        n_scored: [n_passages] scored target tokens.
        log_ratio: [n_passages] Lambda, exact, from the two end states.
        start_log_prob: [n_passages] log p_start of the scored tokens.
        token_log_ratios: per row of the tokenised passages, per target token [n_tokens]; zero where not
            scored.
        n_points: [n_passages] Gauss-Legendre nodes used.
    """

    sites: tuple[str, ...]
    table: np.ndarray
    magnitude: np.ndarray
    n_scored: np.ndarray
    log_ratio: np.ndarray
    start_log_prob: np.ndarray
    token_log_ratios: tuple[np.ndarray, ...]
    n_points: np.ndarray

    @property
    def by_route(self) -> np.ndarray:
        """[n_passages, n_sites, r] over scored-source tokens."""
        return self.table[:, :, :N_CLASSES].sum(axis=2)

    @property
    def by_class(self) -> np.ndarray:
        """[n_passages, n_sites, n_classes] over scored-source tokens."""
        return self.table[:, :, :N_CLASSES].sum(axis=3)

    @property
    def context(self) -> np.ndarray:
        """[n_passages] total on source tokens outside the marked spans, position 0 apart."""
        return self.table[:, :, CONTEXT].sum(axis=(1, 2))

    @property
    def position0(self) -> np.ndarray:
        """[n_passages] total on the fixed first token."""
        return self.table[:, :, POSITION0].sum(axis=(1, 2))

    @property
    def gap(self) -> np.ndarray:
        """[n_passages] sum of all contributions minus Lambda."""
        return self.table.sum(axis=(1, 2, 3)) - self.log_ratio

    def bound(self, share: float = 0.02, nats: float = 0.002) -> np.ndarray:
        """[n_passages] the stated bound: max(share of the sum of |c|, nats per scored token)."""
        return np.maximum(share * self.magnitude.sum(axis=1), nats * self.n_scored)


def measure_contributions(
    routed: RoutedModel,
    start: RouteWeights,
    end: RouteWeights,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    *,
    n_points: int = 3,
    batch_tokens: int = 2048,
) -> Contributions:
    """Integrate the contributions of every passage on the path start -> end.

    Args:
        start, end: route weights B per site, [d_out, r]; for base -> team, zeros and the team's B.
        rows: ``tokenize_passages`` of the passages. Windows of one passage add up; a marked token that
            another window scores counts as context.
        n_points: Gauss-Legendre nodes on [0, 1].
        batch_tokens: padded tokens per batch; changes speed and memory, not the result.
    """
    n_sites, rank = len(routed.sites), routed.routes.rank
    table = np.zeros((len(passages), n_sites, N_BUCKETS, rank))
    magnitude = np.zeros((len(passages), N_BUCKETS))
    ratios: list[np.ndarray] = [np.zeros(0)] * len(rows)
    at_start = np.zeros(len(rows))
    with routed.at(start, end, 0.0):
        for indices in length_buckets(rows, batch_tokens):
            batch = pad_batch(rows, indices).to(routed.device)
            base_log_probs, batch_ratios = _log_ratios(routed, start, end, batch)
            at_start[indices] = base_log_probs.sum(axis=1)
            values = _integrate(routed, start, end, batch, n_points)
            for b, index in enumerate(indices):
                row, n_tokens = rows[index], len(rows[index])
                ratios[index] = batch_ratios[b, :n_tokens]
                buckets = source_buckets(passages[row.passage_index], row)
                pooled, size = _pool(values[:, b, :n_tokens], buckets)
                table[row.passage_index] += pooled
                magnitude[row.passage_index] += size
    owners = np.array([row.passage_index for row in rows], dtype=int)
    n_scored = _sum_by(owners, [float(row.scored.sum()) for row in rows], len(passages))
    log_ratio = _sum_by(owners, [float(ratio.sum()) for ratio in ratios], len(passages))
    return Contributions(
        tuple(routed.sites),
        table,
        magnitude,
        n_scored.astype(int),
        log_ratio,
        _sum_by(owners, at_start, len(passages)),
        tuple(ratios),
        np.full(len(passages), n_points),
    )


def integrate_to_bound(
    routed: RoutedModel,
    start: RouteWeights,
    end: RouteWeights,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    *,
    n_points: int = 8,
    batch_tokens: int = 2048,
    share: float = 0.02,
    nats: float = 0.002,
    most_points: int = MOST_POINTS,
) -> Contributions:
    """As measure_contributions, doubling the nodes of the passages whose gap is over its bound.

    Stops at most_points; a passage still over the bound then shows it in ``gap``.
    """
    found = measure_contributions(
        routed, start, end, passages, rows, n_points=n_points, batch_tokens=batch_tokens
    )
    while n_points * 2 <= most_points:
        over = np.flatnonzero(np.abs(found.gap) > found.bound(share, nats))
        if not len(over):
            break
        n_points *= 2
        kept = [row for row in rows if row.passage_index in set(over.tolist())]
        finer = measure_contributions(
            routed, start, end, passages, kept, n_points=n_points, batch_tokens=batch_tokens
        )
        for name in ("table", "magnitude", "n_points"):
            getattr(found, name)[over] = getattr(finer, name)[over]
    return found


def _sum_by(owners: np.ndarray, values: Sequence[float] | np.ndarray, n_owners: int) -> np.ndarray:
    return np.bincount(owners, weights=np.asarray(values, dtype=float), minlength=n_owners)


def _pool(values: Tensor, buckets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum [n_sites, T, r] by bucket: ([n_sites, n_buckets, r], sum of |c| [n_buckets])."""
    member = torch.nn.functional.one_hot(torch.as_tensor(buckets, dtype=torch.long), N_BUCKETS)
    member = member.to(values)
    pooled = torch.einsum("mtr,tk->mkr", values, member)
    return pooled.double().cpu().numpy(), (values.abs().sum(dim=(0, 2)) @ member).double().cpu().numpy()


def gauss_legendre(n_points: int) -> list[tuple[float, float]]:
    """(node, weight) pairs on [0, 1]; exact for polynomials of degree 2 n_points - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(n_points)
    return [(float((node + 1) / 2), float(weight / 2)) for node, weight in zip(nodes, weights, strict=True)]


Tap = Callable[[str, Tensor, Tensor], None]
"""Called in the backward pass with (site, z [B, T, r], G [B, T, d_out])."""


@contextmanager
def tapped(modules: Mapping[str, nn.Module], tap: Tap) -> Iterator[None]:
    """Within, every backward pass calls ``tap`` once per site; the hooks go however the block ends.

    Args:
        modules: the peft layer of each site (``RoutedModel.modules``).
    """

    def hook_for(site: str) -> Callable[..., None]:
        down = modules[site].get_parameter(f"lora_A.{ADAPTER}.weight").detach()

        def on_forward(_module: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            z = inputs[0].detach() @ down.to(inputs[0]).T
            output.register_hook(lambda gradient: tap(site, z, gradient))

        return on_forward

    handles = [module.register_forward_hook(hook_for(site)) for site, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def backpropagate_scored(routed: RoutedModel, batch: Batch) -> None:
    """One forward and one backward of the sum of scored log-probabilities, down to the embeddings.

    The embedded tokens are the only leaf asked for, so no parameter gradient is computed or stored.
    """
    leaves: list[Tensor] = []

    def cut(_module: object, _inputs: object, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_(True))
        return leaves[-1]

    handle = causal_model(routed.model).get_input_embeddings().register_forward_hook(cut)
    try:
        with torch.enable_grad():
            torch.autograd.grad(target_log_probs(routed.model, batch).sum(), leaves)
    finally:
        handle.remove()


def _log_ratios(
    routed: RoutedModel, start: RouteWeights, end: RouteWeights, batch: Batch
) -> tuple[np.ndarray, np.ndarray]:
    """Log p_start and log p_end - log p_start of scored targets, each [B, T]; zero elsewhere."""
    with torch.no_grad():
        routed.set_weights(end)
        at_end = target_log_probs(routed.model, batch).double().cpu().numpy()
        routed.set_weights(start)
        at_start = target_log_probs(routed.model, batch).double().cpu().numpy()
    return at_start, at_end - at_start


def _integrate(
    routed: RoutedModel, start: RouteWeights, end: RouteWeights, batch: Batch, n_points: int
) -> Tensor:
    """Contributions of one batch, [n_sites, B, T, r]."""
    position = {site: m for m, site in enumerate(routed.sites)}
    moved = {site: (end[site] - start[site]).to(routed.device) * routed.scale for site in routed.sites}
    values = torch.zeros((len(position), *batch.ids.shape, routed.routes.rank), device=routed.device)
    for tau, weight in gauss_legendre(n_points):

        def accumulate(site: str, z: Tensor, gradient: Tensor, weight: float = weight) -> None:
            values[position[site]] += weight * ((gradient @ moved[site].to(gradient)) * z).float()

        routed.set_between(start, end, tau)
        with tapped(routed.modules, accumulate):
            backpropagate_scored(routed, batch)
    return values


def source_buckets(passage: Passage, row: TokenizedPassage) -> np.ndarray:
    """Bucket of every source position of a row, [n_tokens]: token class, context or position 0."""
    buckets = np.where(row.scored, classify_tokens(passage.text, row.offsets), CONTEXT)
    buckets[0] = POSITION0
    return buckets
