"""What counts as a node: components of the base, rank-1 edits of an adapter, or its routes.

All three are rank-1 terms under masks (vpd/components.py). A route (m, i) of a state is the term
s dB_m[:, i] a_i^T of the edit that the state makes, with nothing left over: masks at tau are the model at
tau on the path of ``routing.contributions``, so that one integral serves decomposed and undecomposed models
alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.attribution.question import Question
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights, subtract_weights
from fingerprint.lm.tokens import full_batch
from fingerprint.vpd.alive_set import SharedDictionary
from fingerprint.vpd.components import Components, Edit, Masks, Site, observed
from fingerprint.vpd.gates import GatingNetwork, leaky_lower
from fingerprint.vpd.targets import TokenTarget, base_linear
from fingerprint.vpd.train import Decomposition

Kind = Literal["components", "edits", "routes"]


@dataclass(frozen=True, eq=False)
class NodeSpace:
    """A model whose nodes can be scaled one by one.

    Attributes:
        kind: what the nodes are. routed, state: the model, and the state it runs in beneath the nodes.
        target: the model under hooks. components: the nodes. network: their gates; None: all are 1.
        dictionary: digest of the components, or of the state whose routes they are.
    """

    kind: Kind
    routed: RoutedModel
    state: RouteWeights
    target: TokenTarget
    components: Components
    network: GatingNetwork | None
    dictionary: str

    @classmethod
    def of_components(cls, dictionary: SharedDictionary, state: RouteWeights) -> NodeSpace:
        """The base's components, in any state; what an adapter adds stays on whatever is masked."""
        found = dictionary.found
        return cls(
            "components", dictionary.routed, state, dictionary.target, found.components, found.gates,
            dictionary.digest,
        )  # fmt: skip

    @classmethod
    def of_edits(
        cls, routed: RoutedModel, target: TokenTarget, found: Decomposition, digest: str
    ) -> NodeSpace:
        """The rank-1 edits of a LoRA-VPD (``vpd.language.decompose_edit``); none of them is the base."""
        return cls("edits", routed, routed.zero_weights(), target, found.components, found.gates, digest)

    @classmethod
    def of_routes(cls, pair: ModelPair, digest: str) -> NodeSpace:
        """The routes in which pair.end differs from pair.start; none of them is pair.start."""
        routed = pair.routed
        sites, V, U = {}, {}, {}
        for site, difference in subtract_weights(pair.end, pair.start).items():
            up = difference.to(routed.device) * routed.scale
            down = routed.directions[site].detach()
            sites[site] = Site(base_linear(routed, site), Edit(up, down))
            V[site], U[site] = down.T.clone(), up.T.clone()
        components = Components(sites, V, U).requires_grad_(False)
        target = TokenTarget(routed.model, sites, ())
        return cls("routes", routed, pair.start, target, components, None, digest)

    @property
    def n_nodes(self) -> int:
        """Nodes of all sites."""
        return self.components.n_components

    @property
    def names(self) -> list[tuple[str, int]]:
        """(site, number within it) of every node."""
        pairs = zip(self.components.sites, self.components.counts, strict=True)
        return [(site, c) for site, n in pairs for c in range(n)]

    @contextmanager
    def at_state(self) -> Iterator[None]:
        """The model in this space's state; the previous one comes back on exit."""
        with self.routed.at(self.state, self.state, 0.0):
            yield

    @torch.no_grad()
    def read(self, question: Question) -> tuple[Float[Tensor, "t c"], Float[Tensor, "t c"]]:
        """(gates, inner activities V_c . x) at every token of the prompt, everything on."""
        with self.at_state(), observed(self.target.sites) as inputs:
            self.target.run(full_batch(question.ids))
        pairs = zip(self.components.sites, self.components.V, strict=True)
        inner = torch.cat([inputs[name][0] @ V for name, V in pairs], -1)
        if self.network is None:
            return torch.ones_like(inner), inner
        return leaky_lower(self.network(inputs))[0], inner

    def logits(self, question: Question, masks: Float[Tensor, "n *t c"]) -> Float[Tensor, "n v"]:
        """Next-token logits under n settings of the nodes, each for all tokens or token by token; Delta on.

        Gradients reach the masks. Call it within ``at_state``.
        """
        rows = masks if masks.ndim == 3 else masks[:, None]
        delta = masks.new_ones(len(self.components.sites))
        with self.components.masked(Masks(rows, delta)):
            return question.logits(self.target.model, len(masks))

    @torch.no_grad()
    def outcomes(
        self, question: Question, masks: Float[Tensor, "n c"], rows: int
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """(f, probability of the target) under n settings of the nodes, ``rows`` of them at a time."""
        with self.at_state():
            logits = torch.cat([self.logits(question, part) for part in masks.split(rows)])
        return question.value(logits), logits.softmax(-1)[:, question.target]

    def usual_output(self, inner: Float[Tensor, "t c"], gates: Float[Tensor, "t c"]) -> Float[Tensor, " c"]:
        """Energy of every node on a prompt: root mean square over tokens of g |a| |U_c|."""
        norms = torch.cat([U.norm(dim=1) for U in self.components.U])
        return (gates * inner).square().mean(0).sqrt() * norms
