"""From contributions to readings: phi of a text, and an author's routing signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from fingerprint.config import DriftConfig
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights, add_weights
from fingerprint.lm.sites import layer_of
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage
from fingerprint.provenance import Provenance
from fingerprint.routing.contributions import Contributions, measure_contributions
from fingerprint.routing.token_class import TOKEN_CLASSES
from fingerprint.signature import RoutingSignature

SITE_KINDS = ("attend", "carry", "mlp")
"""What a site decides: where attention looks (q, k), what it carries (v, o), what the MLP computes."""
DEPTHS = ("early", "middle", "late")
_KIND_OF = {"q_proj": "attend", "k_proj": "attend", "v_proj": "carry", "o_proj": "carry", "out_proj": "carry"}


@dataclass(frozen=True)
class PhiLayout:
    """How sites and token classes are pooled: site kind x depth third x token class, 36 numbers.

    Few enough for a covariance from a few dozen commits, and the same names for every base.
    """

    sites: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every dimension, such as "mlp/late/operator"."""
        return tuple(f"{k}/{d}/{c}" for k in SITE_KINDS for d in DEPTHS for c in TOKEN_CLASSES)

    @cached_property
    def pool_of_site(self) -> np.ndarray:
        """Pool index (kind x depth) of every site, [n_sites]."""
        layers = [layer_of(site) for site in self.sites]
        n_layers = max(layers) + 1
        kinds = [SITE_KINDS.index(_KIND_OF.get(site.rpartition(".")[2], "mlp")) for site in self.sites]
        return np.array([k * 3 + 3 * layer // n_layers for k, layer in zip(kinds, layers, strict=True)])

    def pool(self, contributions: Contributions) -> np.ndarray:
        """Sums in nats over scored-source tokens, [n_passages, n_dimensions]; phi is the mean."""
        by_class = contributions.by_class
        member = np.eye(len(SITE_KINDS) * len(DEPTHS))[self.pool_of_site]
        return np.einsum("pmc,mk->pkc", by_class, member).reshape(len(by_class), len(self.names))


@dataclass(frozen=True)
class Measures:
    """What scoring needs of each text (passage or commit): sums over its scored tokens.

    Attributes:
        groups, languages: labels, one per text.
        n_scored: [n] scored tokens. log_ratio: [n] Lambda in nats. phi: [n, n_dimensions] sums in nats.
        magnitude: [n, n_buckets] sums of |c|. gap: [n] completeness gap in nats.
        counts: [n, n_ngrams] character n-grams of the added text (drift/lexical.py), or None when not read.
    """

    groups: tuple[str, ...]
    languages: tuple[str, ...]
    n_scored: np.ndarray
    log_ratio: np.ndarray
    phi: np.ndarray
    magnitude: np.ndarray
    gap: np.ndarray
    counts: csr_matrix | None = None

    def __len__(self) -> int:
        return len(self.groups)

    def take(self, indices: Sequence[int] | np.ndarray) -> Measures:
        """The chosen texts."""
        at = np.asarray(indices, dtype=int)
        return Measures(
            tuple(self.groups[i] for i in at),
            tuple(self.languages[i] for i in at),
            self.n_scored[at],
            self.log_ratio[at],
            self.phi[at],
            self.magnitude[at],
            self.gap[at],
            None if self.counts is None else csr_matrix(self.counts[at]),
        )

    def by_group(self) -> Measures:
        """One text per group, in order of first appearance; its language is that of most scored tokens."""
        names = tuple(dict.fromkeys(self.groups))
        owner = np.array([names.index(group) for group in self.groups], dtype=int)
        member = (owner[None, :] == np.arange(len(names))[:, None]).astype(float)
        languages = tuple(self._main_language(owner == i) for i in range(len(names)))
        return Measures(
            names,
            languages,
            member @ self.n_scored,
            member @ self.log_ratio,
            member @ self.phi,
            member @ self.magnitude,
            member @ self.gap,
            None if self.counts is None else csr_matrix(csr_matrix(member, dtype=np.float32) @ self.counts),
        )

    def total(self) -> Measures:
        """All texts as one."""
        merged = Measures(
            ("",) * len(self),
            self.languages,
            self.n_scored,
            self.log_ratio,
            self.phi,
            self.magnitude,
            self.gap,
            self.counts,
        )
        return merged.by_group()

    def _main_language(self, chosen: np.ndarray) -> str:
        tokens: dict[str, float] = {}
        for i in np.flatnonzero(chosen):
            tokens[self.languages[i]] = tokens.get(self.languages[i], 0.0) + float(self.n_scored[i])
        return max(tokens, key=lambda language: tokens[language])


def summarise(contributions: Contributions, passages: Sequence[Passage]) -> Measures:
    """Measures of every passage from its contributions."""
    return Measures(
        tuple(passage.group for passage in passages),
        tuple(passage.language for passage in passages),
        contributions.n_scored.astype(float),
        contributions.log_ratio,
        PhiLayout(contributions.sites).pool(contributions),
        contributions.magnitude,
        contributions.gap,
    )


Progress = Callable[[int], None]
"""Called with the number of scored tokens just measured."""


def measure_passages(
    pair: ModelPair,
    passages: Sequence[Passage],
    config: DriftConfig,
    *,
    progress: Progress | None = None,
    at_once: int = 256,
) -> Measures:
    """Measures of every passage on the path of the pair, with config.integration_points nodes.

    Args:
        at_once: passages per chunk, which bounds memory on long histories.
    """
    parts: list[Measures] = []
    for first in range(0, max(len(passages), 1), at_once):
        chunk = passages[first : first + at_once]
        rows = tokenize_passages(pair.routed.base, chunk, config.passage_tokens)
        found = measure_contributions(
            pair,
            chunk,
            rows,
            n_points=config.integration_points,
            batch_tokens=config.batch_tokens,
        )
        parts.append(summarise(found, chunk))
        if progress is not None:
            progress(int(found.n_scored.sum()))
    return _concatenate(parts)


def with_log_ratio(
    measures: Measures, pair: ModelPair, passages: Sequence[Passage], config: DriftConfig
) -> Measures:
    """The same passages' measures with Lambda of another pair: two forward passes, no contributions."""
    rows = tokenize_passages(pair.routed.base, passages, config.passage_tokens)
    ratios = np.zeros(len(passages))
    for row, (start, end) in zip(rows, pair.log_probs(rows, config.batch_tokens), strict=True):
        ratios[row.passage_index] += float(end.sum(dtype=np.float64) - start.sum(dtype=np.float64))
    return replace(measures, log_ratio=ratios)


def _concatenate(parts: Sequence[Measures]) -> Measures:
    """Parts without counts as one."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("n_scored", "log_ratio", "phi", "magnitude", "gap")
    }
    return Measures(
        tuple(group for part in parts for group in part.groups),
        tuple(language for part in parts for language in part.languages),
        **joined,
    )


def extract_signature(
    author: str,
    *,
    routed: RoutedModel,
    reference: RouteWeights,
    difference: RouteWeights,
    passages: Sequence[Passage],
    null_differences: Sequence[RouteWeights],
    config: DriftConfig,
    provenance: Provenance,
    facts: Mapping[str, Any] | None = None,
) -> RoutingSignature:
    """Read an author's routing signature, with the same readings of null adapters beside it.

    Args:
        reference: the state that D starts from (adapters/population.py).
        difference: D, the author's state minus the reference's.
        passages: the author's held-out code.
        null_differences: D of adapters trained on shuffled authors, at equal tokens.

    Readings:
        difference_by_route [n_sites, r]: norm of s D[:, i]; with canonical routes (E[z^2] = 1) the size
            of the route's typical output, in the units of the site's output.
        difference_to_reference [n_sites, r]: the same over the norm of the reference's [:, i].
        use_against_base [n_sites, r]: norm of the author's own over the base's own use of direction a_i,
            W a_i / |a_i|^2; use_cosine [n_sites, r]: the cosine of the two.
        phi_mean, phi_spread [n_dimensions]: mean and standard deviation over held-out commits of the
            contributions reference -> author per scored token, nats. log_ratio_per_token [1]: Lambda_n.
    """

    def read(change: RouteWeights) -> dict[str, np.ndarray]:
        return _read_weights(routed, reference, change) | _read_text(
            routed, reference, change, passages, config
        )

    nulls = [read(change) for change in null_differences]
    readings = read(difference)
    null = {name: np.stack([one[name] for one in nulls]) for name in readings} if nulls else {}
    layout = {"phi_names": list(PhiLayout(tuple(routed.sites)).names), "sites": list(routed.sites)}
    return RoutingSignature(author, readings, null, layout | dict(facts or {}), provenance)


def _read_weights(
    routed: RoutedModel, reference: RouteWeights, difference: RouteWeights
) -> dict[str, np.ndarray]:
    """Readings of the weights alone, each [n_sites, r]."""
    state = add_weights(reference, difference)
    columns: dict[str, list[Tensor]] = {
        "difference_by_route": [],
        "difference_to_reference": [],
        "use_against_base": [],
        "use_cosine": [],
    }
    for site in routed.sites:
        moved, before, whole = (routed.scale * w[site].float().cpu() for w in (difference, reference, state))
        own = _base_use(routed, site)
        columns["difference_by_route"].append(moved.norm(dim=0))
        columns["difference_to_reference"].append(moved.norm(dim=0) / before.norm(dim=0).clamp(min=1e-12))
        columns["use_against_base"].append(whole.norm(dim=0) / own.norm(dim=0).clamp(min=1e-12))
        columns["use_cosine"].append(torch.nn.functional.cosine_similarity(whole, own, dim=0))
    return {name: torch.stack(found).numpy() for name, found in columns.items()}


def _base_use(routed: RoutedModel, site: str) -> Float[Tensor, "o r"]:
    """The base's own output per unit of each route's activity, W a_i / |a_i|^2, [d_out, r]."""
    directions = routed.routes.A[site].float()
    weight = routed.modules[site].get_parameter("base_layer.weight").detach().float().cpu()
    return weight @ directions.T / directions.square().sum(dim=1).clamp(min=1e-12)


def _read_text(
    routed: RoutedModel,
    reference: RouteWeights,
    difference: RouteWeights,
    passages: Sequence[Passage],
    config: DriftConfig,
) -> dict[str, np.ndarray]:
    """Readings of held-out code, pooled by commit."""
    pair = ModelPair(routed, reference, add_weights(reference, difference))
    found = measure_passages(pair, passages, config).by_group()
    kept = found.take(np.flatnonzero(found.n_scored > 0))
    n_dimensions = len(PhiLayout(tuple(routed.sites)).names)
    if not len(kept):
        blank = np.full(n_dimensions, np.nan)
        return {"phi_mean": blank, "phi_spread": blank, "log_ratio_per_token": np.full(1, np.nan)}
    phi = kept.phi / kept.n_scored[:, None]
    share = kept.log_ratio.sum() / kept.n_scored.sum()
    return {
        "phi_mean": phi.mean(axis=0),
        "phi_spread": phi.std(axis=0),
        "log_ratio_per_token": np.array([share]),
    }
