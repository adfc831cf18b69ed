"""The rate shift of an adapter as it is kept and shown: the latents, and the controls they stand beside."""

from __future__ import annotations

from typing import Literal

from fingerprint.sae.config import RateShiftConfig
from fingerprint.storage import FrozenModel

MISSING_NULLS = (
    "NOT CONTROLLED: no null adapters were read, so nothing says how many latents any adapter of this "
    "size would change. Train null adapters and measure again."
)


class LatentShift(FrozenModel):
    """One latent in both states, on the same tokens.

    Attributes:
        latent: its number. n_clusters: clusters it fires in, in either state.
        start_events, end_events: firings. start_rate, end_rate: firings a scored token.
        log_ratio: ln((end_events + 1/2) / (start_events + 1/2)) (Jeffreys); low, high: its interval by
            bootstrap of whole clusters.
        p_value: two-sided, by flipping signs of whole clusters. q_value: adjusted over the tested latents.
        start_mean, end_mean: activation given firing, in units of the scaled input; None without a firing.
        is_changed: q_value within the rate of false discoveries.
        null_low, null_high: range of the null adapters' log-ratios; None where there are fewer than two.
    """

    latent: int
    n_clusters: int
    start_events: int
    end_events: int
    start_rate: float
    end_rate: float
    log_ratio: float
    low: float
    high: float
    p_value: float
    q_value: float
    start_mean: float | None
    end_mean: float | None
    is_changed: bool
    null_low: float | None = None
    null_high: float | None = None

    @property
    def is_beyond_nulls(self) -> bool:
        """Changed, and outside what the null adapters do to this latent."""
        if self.null_low is None or self.null_high is None:
            return False
        return self.is_changed and not self.null_low <= self.log_ratio <= self.null_high


class ShiftSummary(FrozenModel):
    """One comparison of two states in a line.

    Attributes:
        n_tested: latents above the floors. n_changed: of these, changed.
        n_beyond: changed and outside the band of the (other) null adapters; None with fewer than two of them.
        median, high: of the tested latents' |log-ratios|, the median and the 99th percentile.
        divergence: Jensen-Shannon divergence of the two states' firings over latents, bits, 0 to 1.
    """

    n_tested: int
    n_changed: int
    n_beyond: int | None
    median: float
    high: float
    divergence: float


class RateShift(FrozenModel):
    """How far an adapted state shifts the firing rates of a base's dictionary.

    Attributes:
        base, revision, layer, dictionary: what was read, and the autoencoder's digest.
        n_latents, n_tokens, n_clusters: size of the dictionary and of the text (scored tokens).
        config: the dials. shift: start state against adapted state. control: start against itself, read
            twice; it is empty, or there is no report. nulls: start against every null adapter.
        latents: every tested latent, most significant first.
    """

    format: Literal[1] = 1
    base: str
    revision: str
    layer: int
    dictionary: str
    n_latents: int
    n_tokens: int
    n_clusters: int
    config: RateShiftConfig
    shift: ShiftSummary
    control: ShiftSummary
    nulls: tuple[ShiftSummary, ...]
    latents: tuple[LatentShift, ...]

    @property
    def is_controlled(self) -> bool:
        """Whether null adapters stand beside the adapter."""
        return bool(self.nulls)

    @property
    def statement(self) -> str:
        """The figures in a sentence, never without their controls."""
        shift = self.shift
        own = (
            f"{shift.n_changed} of {shift.n_tested} tested latents change their firing rate "
            f"(median |ln ratio| {shift.median:.3f}, divergence {shift.divergence:.4f} bit) on "
            f"{self.n_tokens:,} tokens in {self.n_clusters} clusters; the base against itself: "
            f"{self.control.n_changed}."
        )
        if not self.nulls:
            return f"{own} {MISSING_NULLS}"
        changed = [null.n_changed for null in self.nulls]
        medians = [null.median for null in self.nulls]
        if len(self.nulls) == 1:
            return f"{own} One null adapter: {changed[0]} changed, median {medians[0]:.3f}. {self._beyond}"
        return (
            f"{own} {len(self.nulls)} null adapters: {min(changed)} to {max(changed)} changed, median "
            f"{min(medians):.3f} to {max(medians):.3f}. {self._beyond}"
        )

    @property
    def _beyond(self) -> str:
        """What lies outside the band of the nulls, beside how often that happens to a null."""
        if self.shift.n_beyond is None:
            return "It spans no band."
        own = f"{self.shift.n_beyond} changed latents lie outside what the nulls do to them"
        others = [null.n_beyond for null in self.nulls if null.n_beyond is not None]
        if not others:
            return f"{own}; two nulls are too few to say how many of a third's would: a band, not a p-value."
        return f"{own}, {min(others)} to {max(others)} of a null's outside the others: a band, not a p-value."
