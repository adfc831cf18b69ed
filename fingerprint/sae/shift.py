"""The rate shift of an adapted state, beside the base read twice and beside null adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from fingerprint import FingerprintError
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights
from fingerprint.lm.tokens import TokenizedPassage, length_buckets, pad_batch, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.sae.artifact import Sae
from fingerprint.sae.compare import PairedFirings, compare_firings, summarise
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import LatentShift, RateShift, ShiftSummary
from fingerprint.sae.residual import block_name, read_residual

LEAST_IN_BAND = 2
"""Null adapters a band needs: nearly everything lies outside a single one."""


class UnstableReadingError(FingerprintError):
    """The same state, read twice, fired differently: no shift can be told from noise."""


@dataclass(frozen=True, eq=False)
class _Firings:
    """What one state fires: by cluster and latent, and summed activations by latent."""

    counts: Int[np.ndarray, "c m"]
    total: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class _Reader:
    """One dictionary on one text; counts only scored tokens, each of them once."""

    routed: RoutedModel
    sae: Sae
    rows: list[TokenizedPassage]
    clusters: Int[np.ndarray, " rows"]
    batch_tokens: int

    @property
    def n_clusters(self) -> int:
        """Clusters with text."""
        return int(self.clusters.max()) + 1

    @property
    def n_tokens(self) -> int:
        """Scored tokens."""
        return sum(row.n_scored for row in self.rows)

    @torch.inference_mode()
    def read(self, state: RouteWeights) -> _Firings:
        """Firings in one state, the same batches every time."""
        block, n_latents = block_name(self.routed.base, self.sae.layer), self.sae.autoencoder.n_latents
        counts, total = np.zeros((self.n_clusters, n_latents), np.int64), np.zeros(n_latents)
        with self.routed.at(state, state, 0.0):
            for indices in length_buckets(self.rows, self.batch_tokens):
                batch = pad_batch(self.rows, indices).to(self.routed.device)
                x = read_residual(self.routed.model, block, batch)[batch.scored].float()
                code = self.sae.autoencoder.encode(x)
                owners = np.repeat(self.clusters[indices], [self.rows[i].n_scored for i in indices])
                values, latents = code.values.cpu().numpy(), code.latents.cpu().numpy()
                fires = values > 0
                np.add.at(counts, (np.broadcast_to(owners[:, None], fires.shape)[fires], latents[fires]), 1)
                np.add.at(total, latents[fires], values[fires].astype(np.float64))
        return _Firings(counts, total)

    def pair(self, start: _Firings, end: _Firings) -> PairedFirings:
        """Two states on this text."""
        return PairedFirings(start.counts, end.counts, start.total, end.total, self.n_tokens)


def measure_rate_shift(
    pair: ModelPair,
    sae: Sae,
    passages: Sequence[Passage],
    *,
    nulls: Sequence[RouteWeights] = (),
    config: RateShiftConfig | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> RateShift:
    """Compare firing rates of pair.start (the base, usually) and pair.end on the passages' scored tokens.

    Args:
        passages: held-out code, read by neither adapter; only tokens in marked spans are counted.
        nulls: states of null adapters (shuffled authors, another repository) trained from the same start at
            the same budget. Without any, the report says that it is not controlled.
        progress: called with the states read and their number.

    Raises:
        SaeError: the dictionary belongs to another base. FingerprintError: nothing is marked.
        UnstableReadingError: the base against itself is not empty.
    """
    (found,) = measure_rate_shifts([pair], sae, passages, nulls=nulls, config=config, progress=progress)
    return found


def measure_rate_shifts(
    pairs: Sequence[ModelPair],
    sae: Sae,
    passages: Sequence[Passage],
    *,
    nulls: Sequence[RouteWeights] = (),
    config: RateShiftConfig | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[RateShift]:
    """The same for several adapters of one start and budget, which share its two readings and the nulls'.

    Args:
        pairs: of one model and one start.

    Raises:
        What ``measure_rate_shift`` raises.
    """
    config, first = config or RateShiftConfig(), pairs[0]
    assert all(pair.routed is first.routed and pair.start is first.start for pair in pairs)
    sae.check(first.routed.base)
    reader = _make_reader(first.routed, sae, passages, config)
    states = [first.start, first.start, *(pair.end for pair in pairs), *nulls]
    read: list[_Firings] = []
    for state in states:
        read.append(reader.read(state))
        progress(len(read), len(states))
    start, again, *adapted = read
    _check_stable(start, again)
    of_nulls = [reader.pair(start, null) for null in adapted[len(pairs) :]]
    control, _ = _compare(reader.pair(start, again), [], config)
    beside = tuple(_leave_one_out(of_nulls, config))
    return [
        _report(reader, reader.pair(start, end), of_nulls, control, beside, config)
        for end in adapted[: len(pairs)]
    ]


def _check_stable(start: _Firings, again: _Firings) -> None:
    if not np.array_equal(start.counts, again.counts):
        raise UnstableReadingError(
            f"Read twice, the start state fired differently in {(start.counts != again.counts).sum():,} "
            "counts that must be equal: switch nondeterministic kernels off and measure again."
        )


def _report(
    reader: _Reader,
    paired: PairedFirings,
    nulls: Sequence[PairedFirings],
    control: ShiftSummary,
    beside: tuple[ShiftSummary, ...],
    config: RateShiftConfig,
) -> RateShift:
    """One adapter's report."""
    shift, latents = _compare(paired, nulls, config)
    base, sae = reader.routed.base, reader.sae
    return RateShift(
        base=base.name,
        revision=base.revision,
        layer=sae.layer,
        dictionary=sae.digest,
        n_latents=sae.autoencoder.n_latents,
        n_tokens=reader.n_tokens,
        n_clusters=reader.n_clusters,
        config=config,
        shift=shift,
        control=control,
        nulls=beside,
        latents=latents,
    )


def _make_reader(
    routed: RoutedModel, sae: Sae, passages: Sequence[Passage], config: RateShiftConfig
) -> _Reader:
    rows = tokenize_passages(routed.base, passages, config.window_tokens)
    if not rows:
        raise FingerprintError("The passages have no marked token to count firings on: give held-out code.")
    owners = [_cluster(passages[row.passage_index], config) for row in rows]
    return _Reader(routed, sae, rows, np.unique(owners, return_inverse=True)[1], config.batch_tokens)


def _cluster(passage: Passage, config: RateShiftConfig) -> str:
    """What a passage is resampled with."""
    return passage.path if config.cluster_by == "path" else passage.group or passage.path


def _compare(
    firings: PairedFirings, nulls: Sequence[PairedFirings], config: RateShiftConfig
) -> tuple[ShiftSummary, tuple[LatentShift, ...]]:
    """One comparison, its latents beside the band of the nulls; a single null spans none."""
    latents = compare_firings(firings, config)
    if len(nulls) < LEAST_IN_BAND:
        return summarise(firings, latents), latents
    ratios = np.stack([null.log_ratios for null in nulls])
    low, high = ratios.min(0), ratios.max(0)
    beside = tuple(
        shift.model_copy(
            update={"null_low": float(low[shift.latent]), "null_high": float(high[shift.latent])}
        )
        for shift in latents
    )
    return summarise(firings, beside, sum(shift.is_beyond_nulls for shift in beside)), beside


def _leave_one_out(nulls: Sequence[PairedFirings], config: RateShiftConfig) -> list[ShiftSummary]:
    """Each null adapter, beside the band of the others."""
    return [_compare(null, [*nulls[:i], *nulls[i + 1 :]], config)[0] for i, null in enumerate(nulls)]
