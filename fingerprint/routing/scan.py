"""The first-order scan: one forward and one backward at the team's model, then every author almost for free.

With K_m = sum over t of G_m(t) z_m(t)^T at the team's model, an author's log-ratio against the team is to
first order Lambda_n ~ s sum_m <D_{n,m}, K_m>; the bias of that, per scored token, is measured once on
background diffs and taken off (routing.md section 2). It only shortlists: a number shown as nats is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import TokenizedPassage, length_buckets, pad_batch
from fingerprint.routing.contributions import backpropagate_scored, tapped


@dataclass(frozen=True)
class Scan:
    """K of one text.

    Attributes:
        K: per site [d_out, r], on the CPU in fp32.
        n_scored: scored tokens. scale: the LoRA scale s.
    """

    K: dict[str, Tensor]
    n_scored: int
    scale: float

    def by_route(self, difference: Mapping[str, Tensor]) -> np.ndarray:
        """First-order contributions of a difference D by route, [n_sites, r], nats; they sum to ``total``."""
        return torch.stack(
            [self.scale * (difference[site].to(k) * k).sum(dim=0) for site, k in self.K.items()]
        ).numpy()

    def total(self, difference: Mapping[str, Tensor]) -> float:
        """First-order Lambda_n of a difference D, nats, bias included."""
        return float(self.by_route(difference).sum(dtype=np.float64))


def scan(
    routed: RoutedModel,
    team_weights: RouteWeights,
    rows: Sequence[TokenizedPassage],
    batch_tokens: int = 2048,
) -> Scan:
    """Accumulate K over rows, at the team's model."""
    K = {site: torch.zeros(b.shape) for site, b in team_weights.items()}

    def accumulate(site: str, z: Tensor, gradient: Tensor) -> None:
        K[site] += torch.einsum("bto,btr->or", gradient.float(), z.float()).cpu()

    with routed.at(team_weights, team_weights, 0.0), tapped(routed.modules, accumulate):
        for indices in length_buckets(rows, batch_tokens):
            backpropagate_scored(routed, pad_batch(rows, indices).to(routed.device))
    return Scan(K, sum(row.n_scored for row in rows), routed.scale)


def scan_scores(
    found: Scan,
    differences: Mapping[str, Mapping[str, Tensor]],
    bias_per_token: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """First-order Lambda per scored token of every author, bias removed.

    Args:
        differences: D by author. bias_per_token: what ``measure_bias`` found; None: zero.
    """
    bias = bias_per_token or {}
    n_tokens = max(found.n_scored, 1)
    return {author: found.total(d) / n_tokens - bias.get(author, 0.0) for author, d in differences.items()}


def measure_bias(
    background: Sequence[Scan], differences: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, float]:
    """Mean first-order Lambda per scored token of every author over background diffs of the whole team."""
    n_tokens = max(sum(one.n_scored for one in background), 1)
    return {author: sum(one.total(d) for one in background) / n_tokens for author, d in differences.items()}
