"""From gates and sources to masks: m = g + (1 - g) r, m_Delta = r, on random subsets of sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fingerprint.vpd.components import Components, Masks


def step_generator(device: torch.device, *key: int) -> torch.Generator:
    """A generator that depends on the key alone: a resumed run needs no state of it."""
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state)


def masks_from(
    components: Components,
    gates: Float[Tensor, "*b c"],
    sources: Float[Tensor, "*s cl"],
    *,
    chosen: Bool[Tensor, "*b l"] | None = None,
    mask_delta: bool = True,
) -> Masks:
    """The masks of gates g and sources r in [0, 1]; what is causally important cannot be taken away.

    Args:
        sources: C components, then one Delta for each of L sites; Delta has causal importance 0.
        chosen: sites that are masked at each position; elsewhere the site runs with the whole of M, which
            is the mask 1 throughout, since Delta is what the components leave over.
        mask_delta: False: Delta is always on.
    """
    n = components.n_components
    m = gates + (1 - gates) * sources[..., :n]
    m_delta = sources[..., n:] if mask_delta else torch.ones_like(sources[..., n:])
    if chosen is not None:
        m = torch.where(chosen[..., components.owner], m, 1.0)
        m_delta = torch.where(chosen, m_delta, 1.0)
    return Masks(m, m_delta)


def draw_sources(
    components: Components, shape: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "*s cl"]:
    """Sources r ~ U(0, 1), independent over positions, components and Deltas."""
    n_channels = components.n_components + len(components.sites)
    return torch.rand(*shape, n_channels, generator=generator, device=generator.device)


def draw_subset(shape: Sequence[int], n_sites: int, generator: torch.Generator) -> Bool[Tensor, "*b l"]:
    """At every position k sites, k uniform on 1..L, each set of k as likely as any other."""
    device = generator.device
    k = torch.randint(1, n_sites + 1, (*shape, 1), generator=generator, device=device)
    rank = torch.rand(*shape, n_sites, generator=generator, device=device).argsort(-1).argsort(-1)
    return rank < k
