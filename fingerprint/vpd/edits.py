"""What a LoRA-VPD found of an adapter's edit, beside its plain singular terms (9.1b)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.lm.load import Base
from fingerprint.vpd.components import Components, Masks, observed
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.report import EditReport, EditSite, EditSummary, FrontPoint, SingularBaseline
from fingerprint.vpd.store import digest_decomposition
from fingerprint.vpd.targets import Target, TokenTarget
from fingerprint.vpd.train import Decomposition

LEAST_RECOVERED = 0.9
"""The gates' KL may be a tenth of what there is to recover: the sparsest run that keeps to it is taken."""


def report_edit(
    base: Base,
    adapter: str,
    found: Decomposition,
    target: TokenTarget,
    held_out: Sequence[Any],
    *,
    front: Sequence[FrontPoint] = (),
    nulls: Mapping[str, Decomposition] | None = None,
    again: Decomposition | None = None,
) -> EditReport:
    """Everything about one adapter's edits.

    Args:
        target: what was decomposed (``edit_target``). held_out: the batches that its metrics were read on.
        nulls: null adapters' edits by name, decomposed with the same dials. again: the same adapter's under
            another seed.
    """
    energy = {name: float(site.matrix.double().square().sum()) for name, site in target.sites.items()}
    whole = sum(energy.values()) or 1.0
    sites = [
        EditSite(
            matrix=name, n_components=site.n_components, n_alive=site.n_alive, l0=_three(site.l0),
            density=max(site.density, default=0.0), energy=energy[name] / whole, unfaithful=site.unfaithful,
        )
        for name, site in found.metrics.sites.items()
    ]  # fmt: skip
    return EditReport(
        base=base.name,
        revision=base.revision,
        dictionary=digest_decomposition(found),
        verdict=str(found.verdict),
        n_positions=found.metrics.n_positions,
        summary=summarise_edit(adapter, found),
        sites=tuple(sites),
        singular=cut_to_singular_terms(found, target, held_out),
        front=tuple(front),
        nulls=tuple(summarise_edit(name, null) for name, null in (nulls or {}).items()),
        agreement=None if again is None else mean_best_cosine(found, again),
    )


def summarise_edit(adapter: str, found: Decomposition) -> EditSummary:
    """A decomposed edit in a line; shares are 0 where the edit does nothing at all."""
    metrics = found.metrics
    effect = metrics.distance["zero"]
    share = lambda value: value if effect else 0.0  # noqa: E731 - NaN without an effect
    return EditSummary(
        adapter=adapter,
        is_valid=found.verdict.is_valid,
        effect=effect,
        n_components=found.components.n_components,
        n_alive=metrics.n_alive,
        l0=sum(site.l0[0] for site in metrics.sites.values()),
        recovered=share(metrics.recovered()),
        attacked={n: share(metrics.recovered_under_attack(n)) for n in metrics.attack},
        delta_off=share(metrics.recovered("delta off")),
    )


def choose_on_front(
    decompose_at: Callable[[VpdConfig], Decomposition], config: VpdConfig, coefficients: Sequence[float]
) -> tuple[Decomposition, tuple[FrontPoint, ...]]:
    """Decompose at several sparsity coefficients and take the sparsest run that still recovers the edit.

    Without any such run the one that recovers most is taken: its report says how much that is.
    """
    tried: list[tuple[FrontPoint, Decomposition]] = []
    for coefficient in coefficients:
        ratio = coefficient / config.importance_coefficient if config.importance_coefficient else 1.0
        found = decompose_at(
            config.model_copy(
                update={
                    "importance_coefficient": coefficient,
                    "frequency_coefficient": config.frequency_coefficient * ratio,
                }
            )
        )
        own = summarise_edit("", found)
        point = FrontPoint(
            coefficient=coefficient, l0=own.l0, n_alive=own.n_alive, recovered=own.recovered,
            is_valid=own.is_valid,
        )  # fmt: skip
        tried.append((point, found))
    good = [pair for pair in tried if pair[0].is_valid and pair[0].recovered >= LEAST_RECOVERED]
    if good:
        return min(good, key=lambda pair: pair[0].l0)[1], tuple(point for point, _ in tried)
    best = max(tried, key=lambda pair: (pair[0].is_valid, pair[0].recovered))
    return best[1], tuple(point for point, _ in tried)


def cut_to_singular_terms(found: Decomposition, target: Target, held_out: Sequence[Any]) -> SingularBaseline:
    """The edit's singular terms, as many as it has alive, and as many per token as are open."""
    terms, metrics = singular_components(found.components), found.metrics
    first = torch.cat(
        [
            torch.arange(n, device=target.device) < metrics.sites[name].n_alive
            for name, n in zip(terms.sites, terms.counts, strict=True)
        ]
    ).float()
    n_open = min(round(sum(site.l0[0] for site in metrics.sites.values())), terms.n_components)
    usual = _usual_output(terms, target, held_out)
    largest = torch.zeros_like(first)
    largest[usual.topk(n_open).indices] = 1.0

    def by_token(sizes: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        return torch.zeros_like(sizes).scatter_(-1, sizes.topk(n_open, -1).indices, 1.0)

    zero = metrics.distance["zero"]
    shares = [
        1 - _mean_distance(terms, target, held_out, masks_of) / zero if zero else 0.0
        for masks_of in (lambda _: first, lambda _: largest, by_token)
    ]
    return SingularBaseline(
        n_alive=int(first.sum()), recovered=shares[0], n_open=n_open, always=shares[1], by_token=shares[2]
    )


def singular_components(components: Components) -> Components:
    """Every site's matrix as its singular terms, strongest first; Delta is rounding."""
    V: dict[str, Tensor] = {}
    U: dict[str, Tensor] = {}
    for index, (name, site) in enumerate(components.sites.items()):
        left, strengths, right = site.singular_terms()
        like = components.U[index]
        V[name] = right.T.to(like)
        U[name] = (strengths[:, None] * left.T).to(like)
    return Components(components.sites, V, U).requires_grad_(False)


@torch.no_grad()
def _term_sizes(components: Components, inputs: Mapping[str, Tensor]) -> Float[Tensor, "*b c"]:
    """|V_c . x| |U_c| of every term at every position."""
    return torch.cat(
        [
            (inputs[name] @ V).abs() * U.norm(dim=1)
            for name, V, U in zip(components.sites, components.V, components.U, strict=True)
        ],
        -1,
    )


@torch.no_grad()
def _usual_output(components: Components, target: Target, batches: Sequence[Any]) -> Float[Tensor, " c"]:
    """Mean square of each term's output over the counted positions."""
    total = torch.zeros(components.n_components, device=target.device)
    for batch in batches:
        with observed(target.sites) as inputs:
            target.run(batch)
        total += _term_sizes(components, inputs)[target.counted(batch)].square().sum(0)
    return total


@torch.no_grad()
def _mean_distance(
    components: Components,
    target: Target,
    batches: Sequence[Any],
    masks_of: Callable[[Float[Tensor, "*b c"]], Float[Tensor, "*b c"] | Float[Tensor, " c"]],
) -> float:
    """Mean distance to the clean outputs under masks made from the terms' sizes; Delta off."""
    total, n = 0.0, 0
    for batch in batches:
        with observed(target.sites) as inputs:
            clean = target.run(batch)
        masks = masks_of(_term_sizes(components, inputs))
        with components.masked(Masks(masks, masks.new_zeros(len(components.sites)))):
            total += float(target.distance(clean, target.run(batch)).sum())
        n += len(clean)
    return total / n


def mean_best_cosine(first: Decomposition, second: Decomposition) -> float:
    """Mean over the first's alive components of the best |cosine| to the second's alive ones, by site.

    Of the products U_c V_c^T, whose cosine is that of U times that of V; 0 where the second has none alive.
    """
    best: list[float] = []
    for name in first.components.sites:
        if name not in second.components.sites:
            continue
        (V, U), (V2, U2) = (_alive_unit(found, name) for found in (first, second))
        if not len(U2):
            best += [0.0] * len(U)
            continue
        best += ((U @ U2.T) * (V @ V2.T)).abs().max(1).values.tolist() if len(U) else []
    return float(np.mean(best)) if best else 0.0


def _alive_unit(found: Decomposition, name: str) -> tuple[Float[Tensor, "k i"], Float[Tensor, "k o"]]:
    """Unit rows V and U of a site's alive components."""
    site, index = found.metrics.sites[name], list(found.components.sites).index(name)
    alive = list(site.order[: site.n_alive])
    V, U = found.components.V[index].detach().T[alive], found.components.U[index].detach()[alive]
    return torch.nn.functional.normalize(V, dim=1), torch.nn.functional.normalize(U, dim=1)


def _three(l0: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = l0
    return first, second, third
