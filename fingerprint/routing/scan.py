"""The first-order scan: one forward and one backward at the team's model, then every author almost for free.

With K_m = sum over t of G_m(t) z_m(t)^T at the team's model, an author's log-ratio against the team is to
first order Lambda_n ~ s sum_m <D_{n,m}, K_m>; the mean error of that, per scored token, is measured once on
background diffs and taken off (routing.md section 2). It only shortlists: a number shown as nats is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import TokenizedPassage, length_buckets, pad_batch
from fingerprint.routing.contributions import backpropagate_scored, tapped


@dataclass(frozen=True, eq=False)
class StackedDifferences:
    """D of many authors over the same routes, laid out once so that a scan reads them in one pass.

    Attributes:
        authors: names, in the order of every result. D: per site [r, n_authors, d_out], fp32.
    """

    authors: tuple[str, ...]
    D: dict[str, Tensor]

    @classmethod
    def of(cls, differences: Mapping[str, RouteWeights]) -> StackedDifferences:
        """Stack D by author."""
        sites = next(iter(differences.values()), {})
        stacked = {site: torch.stack([d[site].float() for d in differences.values()]) for site in sites}
        return cls(tuple(differences), {site: d.permute(2, 0, 1).contiguous() for site, d in stacked.items()})


@dataclass(frozen=True, eq=False)
class Scan:
    """K of texts.

    Attributes:
        K: per site [r, d_out, n_texts], fp32. n_scored: scored tokens of each text. scale: LoRA scale s.
    """

    K: dict[str, Tensor]
    n_scored: Int[np.ndarray, " n"]
    scale: float

    def by_route(self, differences: StackedDifferences) -> Float[np.ndarray, "n k m r"]:
        """First-order contributions of every D by route, nats; they sum to ``totals``."""
        parts = [torch.bmm(differences.D[site], k.to(differences.D[site])) for site, k in self.K.items()]
        return (self.scale * torch.stack(parts)).permute(3, 2, 0, 1).cpu().numpy()

    def by_site(self, differences: StackedDifferences) -> Float[np.ndarray, "n k m"]:
        """The same, summed over each site's routes."""
        return self.by_route(differences).sum(axis=3, dtype=np.float64)

    def totals(self, differences: StackedDifferences) -> Float[np.ndarray, "n k"]:
        """First-order Lambda_n of every text under every D, nats, bias included."""
        return self.by_site(differences).sum(axis=2)


def scan(
    routed: RoutedModel,
    team_weights: RouteWeights,
    rows: Sequence[TokenizedPassage],
    owner: Int[np.ndarray, " rows"] | None = None,
    batch_tokens: int = 2048,
) -> Scan:
    """Read K of texts at the team's model, rows of all of them batched by length.

    Args:
        owner: text of each row, 0 ... n - 1; None: all rows are one text. K takes d_out r floats a site and
            text: give a few dozen texts at once.
    """
    owner = np.zeros(len(rows), dtype=int) if owner is None else owner
    n_texts = int(owner.max(initial=0)) + 1
    zero = {site: b.shape for site, b in team_weights.items()}
    K = {s: torch.zeros(n_texts, r, d_out, device=routed.device) for s, (d_out, r) in zero.items()}
    here = torch.zeros(0, dtype=torch.long)

    def accumulate(site: str, z: Float[Tensor, "b t r"], gradient: Float[Tensor, "b t d_out"]) -> None:
        z, gradient = z.float(), gradient.float()
        if n_texts == 1:
            K[site][0].addmm_(z.flatten(0, 1).T, gradient.flatten(0, 1))
        else:
            K[site].index_add_(0, here, torch.bmm(z.transpose(1, 2), gradient))

    with routed.at(team_weights, team_weights, 0.0), tapped(routed.modules, accumulate):
        for indices in length_buckets(rows, batch_tokens):
            here = torch.from_numpy(owner[indices]).to(routed.device)
            backpropagate_scored(routed, pad_batch(rows, indices).to(routed.device))
    scored = np.bincount(owner, weights=[row.n_scored for row in rows], minlength=n_texts)
    return Scan({site: k.permute(1, 2, 0) for site, k in K.items()}, scored.astype(int), routed.scale)


def scan_scores(
    found: Scan, differences: StackedDifferences, bias_per_token: Float[np.ndarray, " k"] | None = None
) -> Float[np.ndarray, "n k"]:
    """First-order Lambda per scored token of every text under every D, bias removed.

    Args:
        bias_per_token: what ``measure_bias`` found; None: zero.
    """
    scores = found.totals(differences) / np.maximum(found.n_scored, 1)[:, None]
    return scores if bias_per_token is None else scores - bias_per_token


def measure_bias(
    background: Scan, differences: StackedDifferences, exact: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " k"]:
    """What the scan adds to every D's Lambda per scored token, over background diffs of the whole team.

    Mostly the curvature along D itself, one constant a D (performance.md section 2).

    Args:
        exact: Lambda_n of every background text under every D, nats.
    """
    error = (background.totals(differences) - exact).sum(axis=0)
    return error / max(int(background.n_scored.sum()), 1)
