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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint.lm.pair import ADAPTER, ModelPair, RoutedModel, subtract_weights
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
GAP_SHARE, GAP_NATS = 0.02, 0.002
"""Completeness: the gap is at most max(2 % of the sum of |c|, .002 nats per scored token)."""


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

    def bound(self, share: float = GAP_SHARE, nats: float = GAP_NATS) -> np.ndarray:
        """[n_passages] the stated bound: max(share of the sum of |c|, nats per scored token)."""
        return np.maximum(share * self.magnitude.sum(axis=1), nats * self.n_scored)


def measure_contributions(
    pair: ModelPair,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    *,
    n_points: int = 3,
    batch_tokens: int = 2048,
) -> Contributions:
    """Integrate the contributions of every passage on the path pair.start -> pair.end.

    Args:
        pair: base -> team (start all zero), or team -> author.
        rows: ``tokenize_passages`` of the passages. Windows of one passage add up; a marked token that
            another window scores counts as context.
        n_points: Gauss-Legendre nodes on [0, 1].
        batch_tokens: padded tokens per batch; changes speed and memory, not the result.
    """
    owners = np.array([row.passage_index for row in rows], dtype=int)
    n_scored = _sum_by(owners, [float(row.n_scored) for row in rows], len(passages))
    at_start, ratios = _log_ratios(pair, rows, batch_tokens)
    table, magnitude = _integrate_rows(pair, passages, rows, n_points, batch_tokens)
    return Contributions(
        tuple(pair.routed.sites),
        table,
        magnitude,
        n_scored.astype(int),
        _sum_by(owners, [float(ratio.sum()) for ratio in ratios], len(passages)),
        _sum_by(owners, at_start, len(passages)),
        tuple(ratios),
        np.full(len(passages), n_points),
    )


def integrate_to_bound(
    pair: ModelPair,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    *,
    n_points: int = 8,
    batch_tokens: int = 2048,
    bound: tuple[float, float] = (GAP_SHARE, GAP_NATS),
) -> Contributions:
    """As measure_contributions, with as many nodes as each passage's bound needs, up to MOST_POINTS.

    Args:
        bound: (share of the sum of |c|, nats per scored token).
    """
    found = measure_contributions(pair, passages, rows, n_points=n_points, batch_tokens=batch_tokens)
    return refine_to_bound(
        found, pair, passages, rows, n_points=2 * n_points, batch_tokens=batch_tokens, bound=bound
    )


def refine_to_bound(
    found: Contributions,
    pair: ModelPair,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    *,
    only: Sequence[int] | None = None,
    n_points: int = 8,
    batch_tokens: int = 2048,
    bound: tuple[float, float] = (GAP_SHARE, GAP_NATS),
) -> Contributions:
    """Integrate again, with twice the nodes each time, the passages whose gap is over its bound.

    Args:
        found: measured from the same passages and rows.
        only: passages that matter; None: all.
        n_points: nodes of the first round. A passage still over its bound at MOST_POINTS shows it in ``gap``.
    """
    wanted = np.isin(np.arange(len(passages)), np.arange(len(passages)) if only is None else only)
    while n_points <= MOST_POINTS:
        over = np.flatnonzero(wanted & (np.abs(found.gap) > found.bound(*bound)))
        if not len(over):
            break
        chosen = set(over.tolist())
        kept = [row for row in rows if row.passage_index in chosen]
        finer = _integrate_rows(pair, passages, kept, n_points, batch_tokens)
        table, magnitude, points = found.table.copy(), found.magnitude.copy(), found.n_points.copy()
        table[over], magnitude[over], points[over] = finer[0][over], finer[1][over], n_points
        found = replace(found, table=table, magnitude=magnitude, n_points=points)
        n_points *= 2
    return found


def _integrate_rows(
    pair: ModelPair,
    passages: Sequence[Passage],
    rows: Sequence[TokenizedPassage],
    n_points: int,
    batch_tokens: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(table [n_passages, n_sites, n_buckets, r], magnitude [n_passages, n_buckets])."""
    routed = pair.routed
    table = np.zeros((len(passages), len(routed.sites), N_BUCKETS, routed.routes.rank))
    magnitude = np.zeros((len(passages), N_BUCKETS))
    for indices, values in integrate_batches(pair, rows, n_points, batch_tokens):
        for b, index in enumerate(indices):
            row = rows[index]
            buckets = source_buckets(passages[row.passage_index], row)
            pooled, size = _pool(values[:, b, : len(row)], buckets)
            table[row.passage_index] += pooled
            magnitude[row.passage_index] += size
    return table, magnitude


def integrate_batches(
    pair: ModelPair, rows: Sequence[TokenizedPassage], n_points: int, batch_tokens: int
) -> Iterator[tuple[list[int], Float[Tensor, "m b t r"]]]:
    """Contributions of every site, route and source position, batch by batch: (row numbers, values in nats).

    Values are laid out as ``pad_batch`` lays the rows out; at padding they are zero.
    """
    with pair.at(0.0):
        for indices in length_buckets(rows, batch_tokens):
            yield indices, _integrate(pair, pad_batch(rows, indices).to(pair.routed.device), n_points)


def _sum_by(owners: np.ndarray, values: Sequence[float] | np.ndarray, n_owners: int) -> np.ndarray:
    return np.bincount(owners, weights=np.asarray(values, dtype=float), minlength=n_owners)


def _pool(values: Float[Tensor, "m t r"], buckets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
"""Called in the backward pass with (site, what was kept of its inputs [B, T, n], G [B, T, d_out])."""


def tapped(modules: Mapping[str, nn.Module], tap: Tap) -> AbstractContextManager[None]:
    """Within, every backward pass calls ``tap`` once per site, with z; the hooks go however the block ends.

    Args:
        modules: the peft layer of each site (``RoutedModel.modules``).
    """
    downs = {site: m.get_parameter(f"lora_A.{ADAPTER}.weight").detach() for site, m in modules.items()}
    return _tapped(modules, lambda site, h: h @ downs[site].to(h).T, tap)


def tapped_inputs(modules: Mapping[str, nn.Module], tap: Tap) -> AbstractContextManager[None]:
    """As ``tapped``, with the site's whole input h [B, T, d_in] in place of z."""
    return _tapped(modules, lambda _site, h: h, tap)


@contextmanager
def _tapped(
    modules: Mapping[str, nn.Module], keep: Callable[[str, Tensor], Tensor], tap: Tap
) -> Iterator[None]:
    """``keep``: what of a site's input waits for the backward pass."""

    def hook_for(site: str) -> Callable[..., None]:
        def on_forward(_module: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            kept = keep(site, inputs[0].detach())
            output.register_hook(lambda gradient: tap(site, kept, gradient))

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
    pair: ModelPair, rows: Sequence[TokenizedPassage], batch_tokens: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Per row: log p_start of its scored tokens, [n_rows], and log p_end - log p_start of every token."""
    at_start = np.zeros(len(rows))
    ratios: list[np.ndarray] = []
    for i, (row, (first, second)) in enumerate(zip(rows, pair.log_probs(rows, batch_tokens), strict=True)):
        at_start[i] = first.sum(dtype=np.float64)
        ratio = np.zeros(len(row))
        ratio[row.scored] = second.astype(np.float64) - first
        ratios.append(ratio)
    return at_start, ratios


def _integrate(pair: ModelPair, batch: Batch, n_points: int) -> Float[Tensor, "m b t r"]:
    """Contributions of one batch, [n_sites, B, T, r]."""
    routed = pair.routed
    position = {site: m for m, site in enumerate(routed.sites)}
    moved = {
        site: difference.to(routed.device) * routed.scale
        for site, difference in subtract_weights(pair.end, pair.start).items()
    }
    values = torch.zeros((len(position), *batch.ids.shape, routed.routes.rank), device=routed.device)
    for tau, weight in gauss_legendre(n_points):

        def accumulate(site: str, z: Tensor, gradient: Tensor, weight: float = weight) -> None:
            values[position[site]] += weight * ((gradient @ moved[site].to(gradient)) * z).float()

        routed.set_between(pair.start, pair.end, tau)
        with tapped(routed.modules, accumulate):
            backpropagate_scored(routed, batch)
    return values


def source_buckets(passage: Passage, row: TokenizedPassage) -> np.ndarray:
    """Bucket of every source position of a row, [n_tokens]: token class, context or position 0."""
    buckets = np.where(row.scored, classify_tokens(passage.text, row.offsets), CONTEXT)
    buckets[0] = POSITION0
    return buckets
