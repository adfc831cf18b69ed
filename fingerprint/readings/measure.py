"""Every read of an author's state, and of null adapters', on one text: by matrix, token, latent, component.

All states are read on the same tokens, so that what differs is the state. Each function gives parts whose
nulls are read by the very same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.adapters.spectrum import singular_values
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.integrate import attribute_nodes
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question
from fingerprint.lm.load import Base
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights
from fingerprint.lm.tokens import Batch, TokenizedPassage, length_buckets, pad_batch, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.readings.part import Axis, Part
from fingerprint.routing.contributions import integrate_batches
from fingerprint.sae.artifact import Sae
from fingerprint.sae.residual import block_name, read_residual
from fingerprint.vpd.alive_set import SharedDictionary
from fingerprint.vpd.components import Components, observed
from fingerprint.vpd.gates import leaky_lower
from fingerprint.vpd.targets import TokenTarget
from fingerprint.vpd.train import Decomposition

States = Mapping[str, RouteWeights]
"""The author's state first, then null adapters' states, by name."""
BATCH_TOKENS = 1_024
"""Padded tokens of a pass; changes speed and memory, not the result."""


@dataclass(frozen=True, eq=False)
class Text:
    """Held-out code as scored tokens in one order, shared by every read.

    Attributes:
        rows: token windows. places: the text of each scored token with its number, "config@217". n_commits.
    """

    rows: list[TokenizedPassage]
    places: tuple[str, ...]
    n_commits: int

    @classmethod
    def of(cls, base: Base, passages: Sequence[Passage], window_tokens: int = 512) -> Text:
        """Tokenise code that no adapter was trained on.

        Raises:
            FingerprintError: nothing in it is marked.
        """
        rows = tokenize_passages(base, passages, window_tokens)
        if not rows:
            raise FingerprintError("The passages have no marked token to read: give held-out code.")
        ids = np.concatenate([row.ids[row.scored] for row in rows]).tolist()
        places = tuple(f"{base.token_text(token)}@{i}" for i, token in enumerate(ids))
        return cls(rows, places, len({passage.group or passage.path for passage in passages}))

    @property
    def n_tokens(self) -> int:
        """Scored tokens."""
        return len(self.places)

    def batches(self, device: torch.device) -> Iterator[tuple[Batch, Int[np.ndarray, " k"]]]:
        """Batches, and where the tokens of ``batch.scored`` stand among ``places``."""
        for indices in length_buckets(self.rows, BATCH_TOKENS):
            yield pad_batch(self.rows, indices).to(device), self.positions(indices)

    def positions(self, indices: Sequence[int]) -> Int[np.ndarray, " k"]:
        """Places of the scored tokens of some rows, row by row."""
        sizes = np.array([row.n_scored for row in self.rows])
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return np.concatenate([first[i] + np.arange(sizes[i]) for i in indices])


def read_routes(routed: RoutedModel, start: RouteWeights, states: States, text: Text) -> list[Part]:
    """Contributions start -> state, |sum over a matrix's routes|: by matrix and by source token, nats.

    A matrix's sum does not depend on the directions chosen, a route's share does (routing.md section 2).
    """
    by_matrix, by_token = [], []
    for state in states.values():
        matrices, tokens = np.zeros(len(routed.sites)), np.zeros(text.n_tokens)
        pair = ModelPair(routed, start, state)
        for indices, values in integrate_batches(pair, text.rows, 2, BATCH_TOKENS):
            scored = pad_batch(text.rows, indices).scored.to(routed.device)
            sizes = values.sum(-1).abs()[:, scored].double().cpu().numpy()  # [m, k]
            matrices += sizes.sum(axis=1)
            tokens[text.positions(indices)] = sizes.sum(axis=0)
        by_matrix.append(matrices / text.n_tokens)
        by_token.append(tokens)
    return [
        _part("routes", "matrices", "nats a token", tuple(routed.sites), states, by_matrix),
        _part("routes", "tokens", "nats", text.places, states, by_token),
    ]


def read_spectrum(routed: RoutedModel, differences: States) -> Part:
    """Largest singular value of s D A by matrix, D the difference to the reference."""
    found = [singular_values(d, routed.routes.A, routed.scale) for d in differences.values()]
    values = [np.array([float(one[site][0]) for site in routed.sites]) for one in found]
    return _part("spectrum", "matrices", "largest singular value", tuple(routed.sites), differences, values)


@torch.inference_mode()
def read_latents(sae: Sae, routed: RoutedModel, states: States, text: Text) -> list[Part]:
    """Firings of the base's dictionary against the base.

    By token the summed |activation - the base's|; by latent ln((n + 1/2) / (n_base + 1/2)) of its firings
    (Jeffreys).

    Raises:
        SaeError: the dictionary belongs to another base.
    """
    sae.check(routed.base)
    block, n_latents = block_name(routed.base, sae.layer), sae.autoencoder.n_latents
    every = [routed.zero_weights(), *states.values()]
    tokens, counts = np.zeros((len(every), text.n_tokens)), np.zeros((len(every), n_latents))
    for batch, places in text.batches(routed.device):
        first: Tensor | None = None
        for i, state in enumerate(every):
            with routed.at(state, state, 0.0):
                x = read_residual(routed.model, block, batch)[batch.scored].float()
            code = sae.autoencoder.encode(x)
            dense = torch.zeros(len(x), n_latents, device=x.device).scatter(1, code.latents, code.values)
            first = dense if first is None else first
            tokens[i, places] = (dense - first).abs().sum(1).double().cpu().numpy()
            counts[i] += (dense > 0).sum(0).double().cpu().numpy()
    ratios = np.log((counts[1:] + 0.5) / (counts[:1] + 0.5))
    names = tuple(f"latent {i}" for i in range(n_latents))
    return [
        _part("latents", "tokens", "activation", text.places, states, list(tokens[1:])),
        _part("latents", "latents", "ln ratio of firings", names, states, list(ratios), is_signed=True),
    ]


@torch.no_grad()
def read_alive_sets(dictionary: SharedDictionary, states: States, text: Text) -> list[Part]:
    """Gates of the base's components against the base: |change| by matrix and token, change by component."""
    routed, components = dictionary.routed, dictionary.found.components
    every = [routed.zero_weights(), *states.values()]
    tokens = np.zeros((len(every), text.n_tokens))
    moved, change = (np.zeros((len(every), components.n_components)) for _ in range(2))
    for batch, places in text.batches(routed.device):
        first: Tensor | None = None
        for i, state in enumerate(every):
            with routed.at(state, state, 0.0):
                gates = dictionary.gates(batch)[batch.scored].double()
            first = gates if first is None else first
            tokens[i, places] = (gates - first).abs().sum(1).cpu().numpy()
            moved[i] += (gates - first).abs().sum(0).cpu().numpy() / text.n_tokens
            change[i] += (gates - first).sum(0).cpu().numpy() / text.n_tokens
    names = tuple(f"{site}:{c}" for site, n in _counts(components) for c in range(n))
    matrices = [_by_site(components, row) for row in moved[1:]]
    sites = tuple(components.sites)
    return [
        _part("alive sets", "matrices", "|change of gates| a token", sites, states, matrices),
        _part("alive sets", "tokens", "|change of gates|", text.places, states, list(tokens[1:])),
        _part(
            "alive sets",
            "components",
            "change of the mean gate",
            names,
            states,
            list(change[1:]),
            is_signed=True,
        ),
    ]


@torch.no_grad()
def read_edits(runs: Mapping[str, tuple[TokenTarget, Decomposition]], text: Text) -> list[Part]:
    """What the gates of a LoRA-VPD let through, sum of g |V x| |U| over edits: by matrix and by token.

    Args:
        runs: the author's own first, then null adapters' decompositions made with the same dials.
    """
    by_matrix, by_token = [], []
    for target, found in runs.values():
        components = found.components
        norms = torch.cat([U.norm(dim=1) for U in components.U])
        tokens, summed = np.zeros(text.n_tokens), np.zeros(components.n_components)
        for batch, places in text.batches(target.device):
            with observed(target.sites) as inputs:
                target.run(batch)
            pairs = zip(components.sites, components.V, strict=True)
            inner = torch.cat([inputs[name] @ V for name, V in pairs], -1)
            sizes = (leaky_lower(found.gates(inputs)) * inner.abs() * norms)[batch.scored].double()
            tokens[places] = sizes.sum(1).cpu().numpy()
            summed += sizes.sum(0).cpu().numpy() / text.n_tokens
        by_token.append(tokens)
        by_matrix.append(_by_site(components, summed))
    sites = tuple(next(iter(runs.values()))[0].sites)
    return [
        _part("edits", "matrices", "output a token", sites, runs, by_matrix),
        _part("edits", "tokens", "output", text.places, runs, by_token),
    ]


def read_attribution(
    space_of: Callable[[RouteWeights], NodeSpace],
    states: States,
    questions: Sequence[Question],
    config: AttributionConfig,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Part:
    """Integrated gradients of fixed targets, |attribution| by matrix, mean over questions, logits."""
    values, sites, done = [], (), 0
    for state in states.values():
        space, total = space_of(state), 0.0
        for question in questions:
            totals = attribute_nodes(space, question, config).totals.abs().double().cpu().numpy()
            total = total + _by_site(space.components, totals) / len(questions)
            done += 1
            progress(done, len(states) * len(questions))
        sites = tuple(space.components.sites)
        values.append(np.asarray(total))
    return _part("attribution", "matrices", "logits", sites, states, values)


def _counts(components: Components) -> Iterator[tuple[str, int]]:
    return zip(components.sites, components.counts, strict=True)


def _by_site(components: Components, values: Float[np.ndarray, " c"]) -> Float[np.ndarray, " m"]:
    """Sums over the components of each matrix."""
    owner = components.owner.cpu().numpy()
    return np.bincount(owner, weights=values, minlength=len(components.counts))


def _part(
    read: str,
    axis: Axis,
    unit: str,
    places: tuple[str, ...],
    names: Mapping[str, object],
    values: Sequence[Float[np.ndarray, " p"]],
    *,
    is_signed: bool = False,
) -> Part:
    """The first state's values as the author's own, the others' as nulls."""
    _, *nulls = names
    null = np.stack(values[1:]) if nulls else np.zeros((0, len(places)))
    return Part(read, axis, unit, places, values[0], tuple(nulls), null, is_signed)
