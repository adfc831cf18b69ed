"""The causal check of an attribution: take nodes away, put them back, and let an adversary at the rest.

Everything here sees a model as ``Effect``: f under settings of the nodes. Changes are f with everything on
minus f without. Random sets beside a cited one are drawn from nodes that are on: of equal count, and of
like energy, as for routes of diffs (``evaluation.faithfulness``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr
from torch import Tensor

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.integrate import NodeAttribution
from fingerprint.attribution.nodes import NodeSpace
from fingerprint.attribution.question import Question
from fingerprint.attribution.report import Ablation, Agreement, Circuit, Curves, SetAblation
from fingerprint.evaluation.faithfulness import like_energy_peers, most_cited
from fingerprint.vpd.adversary import attack

LEAST_MOVED = 0.05
"""Nodes whose joint effect is at most this share of the sum of their |claims| cancel: no area to speak of."""
Effect = Callable[[Bool[np.ndarray, "k n"]], Float[np.ndarray, " k"]]
"""f under k settings, each saying which nodes are off."""


@dataclass(frozen=True, eq=False)
class Claims:
    """What an attribution claims, node by node.

    Attributes:
        totals: attribution over all tokens. energy: size of the usual output. is_on: whether the gate opens
            at any token; only these are ablated or drawn at random.
    """

    totals: Float[np.ndarray, " n"]
    energy: Float[np.ndarray, " n"]
    is_on: Bool[np.ndarray, " n"]

    @classmethod
    def of(cls, space: NodeSpace, found: NodeAttribution) -> Claims:
        """The claims of a graph."""
        energy = space.usual_output(found.inner, found.gates)
        totals, is_on = found.totals.double().cpu().numpy(), (found.gates.max(0).values > 0).cpu().numpy()
        return cls(totals, energy.double().cpu().numpy(), is_on)

    @property
    def n_on(self) -> int:
        """Nodes that are on."""
        return int(self.is_on.sum())

    def most(self, n: int) -> Bool[np.ndarray, " n"]:
        """The n most attributed nodes that are on, by absolute value."""
        return most_cited(self.totals[None], self.is_on[None], n)[0]


def ablate_graph(
    space: NodeSpace, question: Question, found: NodeAttribution, config: AttributionConfig
) -> tuple[Ablation, dict[int, float]]:
    """Every check of one graph, and the change by each node that was ablated alone."""
    claims = Claims.of(space, found)
    rng = np.random.default_rng(config.seed)

    def effect(off: Bool[np.ndarray, "k n"]) -> Float[np.ndarray, " k"]:
        masks = torch.from_numpy(~off).to(found.gates)
        return space.outcomes(question, masks, config.rows)[0].double().cpu().numpy()

    sizes = sorted({min(n, claims.n_on // 2) for n in config.ablated} - {0})
    sets = [ablate_set(effect, claims, n, config.n_draws, rng) for n in sizes]
    curves = trace_curves(effect, claims, config.curve_points, rng)
    agreement, alone = compare_alone(effect, claims, config.agreement_nodes, rng)
    circuit = examine_circuit(space, question, claims, config, rng)
    return Ablation(sets=tuple(sets), curves=curves, agreement=agreement, circuit=circuit), alone


def ablate_set(
    effect: Effect,
    claims: Claims,
    n_nodes: int,
    n_draws: int,
    rng: np.random.Generator,
) -> SetAblation:
    """Ablate the n most attributed nodes together, and random sets beside them."""
    on, energy = claims.is_on[None], claims.energy[None]
    chosen = claims.most(n_nodes)[None]
    alike = [like_energy_peers(chosen, energy, on, rng) for _ in range(n_draws)]
    others = np.flatnonzero(claims.is_on & ~chosen[0])
    drawn = [_only(rng.choice(others, n_nodes, replace=False), on.size)[None] for _ in range(n_draws)]
    values = effect(np.concatenate([np.zeros_like(chosen), chosen, *drawn, *alike]))
    changes = values[0] - values[1:]
    return SetAblation(
        n_nodes=n_nodes,
        change=float(changes[0]),
        claimed=float(claims.totals[chosen[0]].sum()),
        by_count=tuple(changes[1 : 1 + n_draws].tolist()),
        by_energy=tuple(changes[1 + n_draws :].tolist()),
    )


def trace_curves(
    effect: Effect,
    claims: Claims,
    n_points: int,
    rng: np.random.Generator,
) -> Curves:
    """Delete and insert nodes in order of their claimed share of what all of them do, and in a random order.

    Where the nodes together lower f, those that lower it most go first. Nodes that are on nowhere stay on
    throughout: they change nothing at their gates.
    """
    totals, nodes = claims.totals, np.flatnonzero(claims.is_on)
    full, off = effect(np.stack([np.zeros_like(claims.is_on), claims.is_on]))
    sizes = totals * (1.0 if full >= off else -1.0)
    counts = np.unique(np.linspace(0, len(nodes), n_points).round().astype(int))
    ranked, shuffled = nodes[np.argsort(-sizes[nodes], kind="stable")], rng.permutation(nodes)
    rows = [_only(order[:n], len(totals)) for order in (ranked, shuffled) for n in counts]
    rows += [_only(order[n:], len(totals)) for order in (ranked, shuffled) for n in counts]
    values = effect(np.stack(rows)).reshape(4, len(counts))
    least = LEAST_MOVED * float(np.abs(totals[nodes]).sum())
    areas = [_area(counts, row, full=full, off=off, least=least) for row in values]
    return Curves(
        counts=tuple(counts.tolist()),
        deletion=tuple(values[0].tolist()),
        insertion=tuple(values[2].tolist()),
        deletion_area=areas[0],
        random_deletion_area=areas[1],
        insertion_area=areas[2],
        random_insertion_area=areas[3],
    )


def _area(
    counts: Int[np.ndarray, " p"], values: Float[np.ndarray, " p"], *, full: float, off: float, least: float
) -> float:
    """Area under (f - f(off)) / (f(on) - f(off)) over the share of nodes; NaN where they cancel."""
    if abs(full - off) <= least or counts[-1] == 0:
        return float("nan")
    return float(np.trapezoid((values - off) / (full - off), counts / counts[-1]))


def compare_alone(
    effect: Effect,
    claims: Claims,
    n_nodes: int,
    rng: np.random.Generator,
) -> tuple[Agreement, dict[int, float]]:
    """Ablate single nodes: the most attributed, and as many of the others; agreement, and change by node."""
    totals, is_on = claims.totals, claims.is_on
    ranked = np.flatnonzero(is_on)[np.argsort(-np.abs(totals[is_on]), kind="stable")]
    first, rest = ranked[: n_nodes // 2], ranked[n_nodes // 2 :]
    nodes = np.concatenate([first, rng.choice(rest, min(len(rest), n_nodes - len(first)), replace=False)])
    rows = [np.zeros(len(totals), bool), *(_only(np.array([node]), len(totals)) for node in nodes)]
    values = effect(np.stack(rows))
    return rank_agreement(totals[nodes], values[0] - values[1:]), dict(
        zip(nodes.tolist(), (values[0] - values[1:]).tolist(), strict=True)
    )


def rank_agreement(claimed: Float[np.ndarray, " n"], changes: Float[np.ndarray, " n"]) -> Agreement:
    """Ranks, signs and calibration of claims against changes; NaN where either does not vary."""
    varies = len(claimed) > 2 and np.ptp(claimed) > 0 and np.ptp(changes) > 0
    moved = (changes != 0) & (claimed != 0)
    square = float(claimed @ claimed)
    return Agreement(
        n_nodes=len(claimed),
        spearman=float(spearmanr(claimed, changes)[0]) if varies else float("nan"),  # pyright: ignore[reportArgumentType]
        sign=float((np.sign(claimed) == np.sign(changes))[moved].mean()) if moved.any() else float("nan"),
        slope=float(claimed @ changes) / square if square else float("nan"),
    )


def examine_circuit(
    space: NodeSpace,
    question: Question,
    claims: Claims,
    config: AttributionConfig,
    rng: np.random.Generator,
) -> Circuit:
    """Keep the most attributed nodes on; chance and an adversary have the others (Bushnaq et al. 2026)."""
    n_nodes, n = min(config.circuit, claims.n_on), len(claims.totals)
    kept = claims.most(n_nodes)
    other = _only(rng.choice(np.flatnonzero(claims.is_on), n_nodes, replace=False), n)
    device = space.components.U[0].device
    chance = np.maximum(kept, rng.random((config.n_draws, n)))
    rows = np.concatenate([np.ones((1, n)), kept[None], chance])
    masks = torch.from_numpy(rows).float().to(device)
    probabilities = space.outcomes(question, masks, config.rows)[1].tolist()
    adversarial = _attacked(space, question, kept, config)
    return Circuit(
        n_nodes=n_nodes,
        full=probabilities[0],
        alone=probabilities[1],
        random=float(np.mean(probabilities[2:])),
        adversarial=adversarial,
        is_complete=adversarial >= config.accepted * probabilities[0],
        random_set=_attacked(space, question, other, config),
    )


def _attacked(
    space: NodeSpace, question: Question, kept: Bool[np.ndarray, " n"], config: AttributionConfig
) -> float:
    """Least probability of the target at the attack's two ends: all at one half, and the last step."""
    safe = torch.from_numpy(kept).to(space.components.U[0].device)

    def masks(sources: Float[Tensor, " n"]) -> Float[Tensor, "1 n"]:
        return torch.where(safe, 1.0, sources)[None]

    def uphill(sources: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        leaf = sources.clone().requires_grad_(True)
        with torch.enable_grad():
            loss = -space.logits(question, masks(leaf)).log_softmax(-1)[0, question.target]
            return torch.autograd.grad(loss, [leaf])[0]

    start = torch.full((len(kept),), 0.5, device=safe.device)
    with space.at_state():
        end = attack(uphill, start, config.attack_steps, config.attack_step)
    both = torch.cat([masks(start), masks(end)])
    return float(space.outcomes(question, both, config.rows)[1].min())


def _only(chosen: Sequence[int] | Int[np.ndarray, " k"], n: int) -> Bool[np.ndarray, " n"]:
    """True at the chosen numbers."""
    found = np.zeros(n, dtype=bool)
    found[chosen] = True
    return found
