"""Direct effects between nodes: what one node's output does to another's inner activity, nothing in between.

    E_{s -> t} = g_s a_s <d a_t / d y_s, U_s>,   a_t = V_t . x_t,

the gradient stopped at what every other site's matrix gives, so that only the residual stream, norms,
attention and activations lie between (and, for edits and routes, the base's own matrices, which are no
nodes). Everything is on, Delta too. A node reaches another position only as keys and values do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.attribution.integrate import NodeAttribution
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question
from fingerprint.vpd.components import on_sites

OUTPUT = -1
"""As a target: f itself."""


@dataclass(frozen=True, eq=False)
class _Cut:
    """A pass whose sites' outputs are leaves: by site the leaf [1, t, o] and the input [1, t, i]."""

    leaves: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)


def direct_effects(
    space: NodeSpace,
    question: Question,
    attribution: NodeAttribution,
    targets: Sequence[tuple[int, int]],
) -> Float[Tensor, "n t c"]:
    """Effects of every node at every token on some targets.

    Args:
        targets: (node, token) whose inner activity is asked for; node OUTPUT: f.

    Returns:
        E [n_targets, t, c]; zero where no direct path leads, so also at and after the target itself.
    """
    own = attribution.gates * attribution.inner
    with space.at_state(), _cut_sites(space) as cut:
        f = question.value(question.logits(space.target.model))[0]
        leaves = list(cut.leaves.values())
        found = [
            _pull_back(
                space, leaves, torch.autograd.grad(scalar, leaves, retain_graph=True, allow_unused=True)
            )
            for scalar in (_scalar(space, cut, f, node, token) for node, token in targets)
        ]
    if not found:
        return own.new_zeros(0, *own.shape)
    return torch.stack(found) * own


@contextmanager
def _cut_sites(space: NodeSpace) -> Iterator[_Cut]:
    """Within, what each site's matrix gives is a leaf of the graph."""
    cut = _Cut()

    def replace(name: str, x: Tensor, y: Tensor) -> Tensor:
        site = space.components.sites[name]
        part = site.apply_matrix(x, y).detach()
        leaf = part.clone().requires_grad_(True)
        cut.leaves[name], cut.inputs[name] = leaf, x
        return (y if site.edit is not None else (y - part).detach()) + leaf

    with torch.enable_grad(), on_sites(space.components.sites, replace):
        yield cut


def _scalar(space: NodeSpace, cut: _Cut, f: Float[Tensor, ""], node: int, token: int) -> Float[Tensor, ""]:
    """The target's inner activity; a constant with a graph when nothing precedes it."""
    if node == OUTPUT:
        return f
    site, c = space.names[node]
    index = list(space.components.sites).index(site)
    inner = cut.inputs[site][0, token] @ space.components.V[index][:, c]
    return inner if inner.requires_grad else inner + 0 * next(iter(cut.leaves.values())).sum()


def _pull_back(
    space: NodeSpace, leaves: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> Float[Tensor, "t c"]:
    """<gradient at a site's output, U_c> for every node of every site; no gradient, no path."""
    n_tokens = leaves[0].shape[1]
    parts = [
        U.new_zeros(n_tokens, len(U)) if gradient is None else gradient[0] @ U.T
        for gradient, U in zip(gradients, space.components.U, strict=True)
    ]
    return torch.cat(parts, -1)
