"""Every dial of attribution and ablation, with its value and reason. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class AttributionConfig(Dials):
    """How a prompt's target is attributed to nodes, and how the attribution is tested."""

    n_steps: Count = 16
    """Midpoints of the path from every node off to every node at its gate."""
    most_steps: Count = 256
    """Midpoints are doubled up to this number while the completeness gap is too large."""
    gap_share: Positive = 0.02
    """Completeness gap allowed, as a share of |f(gates) - f(off)|; reported whether it holds or not."""
    gap_floor: Positive = 1e-4
    """Below this many logits the gap is rounding."""
    least_attribution: Positive = 1e-3
    """A node is shown if it has more than this, in logits, at any token."""
    most_nodes: Count = 60
    """Nodes shown of a graph, largest first; what the others add up to is reported."""
    edges_per_node: Count = 4
    """Strongest sources shown of each node, and of the output."""
    most_edge_targets: Count = 30
    """Nodes whose sources are looked for: one backward pass each."""
    ablated: tuple[int, ...] = (1, 5, 20)
    """Numbers of nodes ablated together; at most half of those that are on."""
    n_draws: Count = 8
    """Random sets beside each ablated set, of equal count, and as many of equal energy."""
    curve_points: Count = 8
    """Points of the insertion and deletion curves, from no node to all."""
    agreement_nodes: Count = 40
    """Nodes ablated one by one: half the most attributed, half drawn from the others."""
    circuit: Count = 20
    """Nodes kept in the test of adversarial completeness."""
    attack_steps: Annotated[int, Field(ge=0)] = 20
    """Sign steps of the adversary on the nodes that are not kept."""
    attack_step: Positive = 0.1
    """Size of one."""
    accepted: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A circuit is complete if under attack the target keeps this share of its probability."""
    scales: tuple[float, ...] = tuple(round(0.1 * i, 1) for i in range(16))
    """LoRA scales of the dose response, as shares of the adapter's own."""
    n_permutations: Count = 24
    """Orders drawn for the Shapley values of layers; all are taken where there are no more."""
    n_bootstrap: Count = 1_000
    """Draws of prompts behind every pooled interval."""
    rows: Count = 32
    """Ablations run in one batch; changes speed and memory, not the result."""
    seed: int = 0
    """Random sets, orders, attacks, draws."""
