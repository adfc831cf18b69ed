"""Decompose what a language model has: the MLP of one layer, or the edit that a state of it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.passage import Passage
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
    target = weights_target(base, sites)
    data = passage_data(
        base, corpora, held_out, rows=config.rows, max_tokens=config.row_tokens, seed=config.seed
    )
    return decompose(target, data, config, checkpoint=checkpoint, progress=progress)


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
    taps = first_sites_of_blocks(names, GATE_BLOCKS) if config.gates == "transformer" else names
    target = edit_target(routed, weights, sites=names, taps=taps)
    data = passage_data(
        routed.base, corpora, held_out, rows=config.rows, max_tokens=config.row_tokens, seed=config.seed
    )
    return decompose(target, data, config, checkpoint=checkpoint, progress=progress)
