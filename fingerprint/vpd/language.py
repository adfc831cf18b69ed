"""Decompose what a language model has: the MLP of one layer, or the edit that a state of it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.passage import Passage
from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.targets import edit_target, first_sites_of_blocks, passage_data, weights_target
from fingerprint.vpd.train import Decomposition, VpdProgress, decompose

Corpora = Sequence[tuple[float, Sequence[Passage]]]
"""(share of the rows, passages). For an author's edit: own .5, other authors .25, generic text .25."""
GATE_BLOCKS = 4
"""A transformer of gates reads the input of every fourth block; an MLP reads every site's."""


def decompose_mlp(
    base: Base,
    layer: int,
    corpora: Corpora,
    held_out: Sequence[Passage],
    config: VpdConfig,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[VpdProgress], None] | None = None,
) -> Decomposition:
    """The MLP matrices of one layer, counted from 0.

    Raises:
        VpdError: the layer has no known MLP site, or a corpus no marked token.
        CheckpointError: the checkpoint is of another run.
    """
    sites = [site for site in base.sites if f".layers.{layer}.mlp." in site]
    return decompose_weights(base, sites, corpora, held_out, config, checkpoint=checkpoint, progress=progress)


def decompose_weights(
    base: Base,
    sites: Sequence[str],
    corpora: Corpora,
    held_out: Sequence[Passage],
    config: VpdConfig,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[VpdProgress], None] | None = None,
) -> Decomposition:
    """Some matrices of a base, of one layer or several, all masked jointly.

    Layers decomposed one by one and put together afterwards were never masked together: an attribution over
    them would leave the distribution that they were trained on.

    Raises:
        VpdError: unknown sites, or a corpus without a marked token.
        CheckpointError: the checkpoint is of another run.
    """
    target = weights_target(base, sites, taps=_taps(sites, config))
    data = passage_data(
        base, corpora, held_out, rows=config.rows, max_tokens=config.row_tokens, seed=config.seed
    )
    return decompose(target, data, config, checkpoint=checkpoint, progress=progress)


def choose_sites(base: Base, layers: Sequence[int], matrices: Sequence[str]) -> tuple[str, ...]:
    """Sites by layer, counted from 0, and by the last part of their name ("q_proj"); empty: all.

    Raises:
        VpdError: none is left.
    """
    blocks = [f".{layer}." for layer in layers]
    found = tuple(
        site
        for site in base.sites
        if (not blocks or any(block in site for block in blocks))
        and (not matrices or site.rpartition(".")[2] in matrices)
    )
    if not found:
        known = sorted({site.rpartition(".")[2] for site in base.sites})
        raise VpdError(
            f"No matrix of {base.name} is in layers {list(layers)} and called {list(matrices)}: "
            f"its matrices are {', '.join(known)}."
        )
    return found


def _taps(sites: Sequence[str], config: VpdConfig) -> tuple[str, ...]:
    """Sites whose inputs the gates read."""
    return first_sites_of_blocks(sites, GATE_BLOCKS) if config.gates == "transformer" else tuple(sites)


def decompose_edit(
    routed: RoutedModel,
    weights: RouteWeights,
    corpora: Corpora,
    held_out: Sequence[Passage],
    config: VpdConfig,
    *,
    sites: Sequence[str] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[VpdProgress], None] | None = None,
) -> Decomposition:
    """The edit s B A of a state, the base always on (LoRA-VPD).

    Args:
        weights: B of every site: a team's, or an author's B + D.
        sites: those decomposed; None: all.

    Raises:
        VpdError: unknown sites, or a corpus without a marked token.
        CheckpointError: the checkpoint is of another run.
    """
    names = tuple(sites or routed.sites)
    target = edit_target(routed, weights, sites=names, taps=_taps(names, config))
    data = passage_data(
        routed.base, corpora, held_out, rows=config.rows, max_tokens=config.row_tokens, seed=config.seed
    )
    return decompose(target, data, config, checkpoint=checkpoint, progress=progress)
