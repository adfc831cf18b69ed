"""What `explain AUTHOR` says: every read with its control, and where they agree. No torch, JSON both ways."""

from __future__ import annotations

from typing import Literal

from fingerprint.storage import FrozenModel

Verdict = Literal["agree", "disagree", "not shown", "not tested"]
SAME_WEIGHTS = frozenset({frozenset(("routes", "spectrum"))})
"""Pairs read off the very same numbers: that they agree says nothing."""


class Place(FrozenModel):
    """A place with the author's value, beside the range of the null adapters (None without any)."""

    place: str
    own: float
    low: float | None
    high: float | None

    @property
    def is_beyond(self) -> bool:
        """Outside what the null adapters do."""
        return self.low is not None and self.high is not None and not self.low <= self.own <= self.high


class PartSummary(FrozenModel):
    """One read on one axis.

    Attributes:
        read, axis, unit: as in ``part.Part``. n_places; n_nulls: null adapters read at the same places.
        n_above, expected_above: places where the author lies above every null, and how many that would be for
            one more null. top: the places farthest beyond the nulls.
    """

    read: str
    axis: str
    unit: str
    n_places: int
    n_nulls: int
    n_above: int | None
    expected_above: float | None
    top: tuple[Place, ...]

    @property
    def is_controlled(self) -> bool:
        """Whether null adapters stand beside it."""
        return self.n_nulls > 0


class Missing(FrozenModel):
    """A read that is not there, why, and the command that makes it."""

    read: str
    reason: str
    command: str = ""


class Agreement(FrozenModel):
    """Two reads at the same places.

    Attributes:
        first, second, axis, n_places: what is compared. is_same_source: both are read off the same numbers.
        correlation: of the author's values as they are, Spearman's over matrices and Pearson's over tokens;
            any adapter's correlate. beyond: of what each shows beyond the null adapters. expected: its mean
            over permutations.
        p_value: two-sided permutation p; q_value: adjusted over all pairs (Benjamini-Hochberg).
        null_low, null_high: range of ``beyond`` over ``n_nulls`` null adapters, each beyond the others.
        verdict: "agree" or "disagree" at q <= .05, "not shown" above, "not tested" without nulls.
        shared: places high in both.
    """

    first: str
    second: str
    axis: str
    n_places: int
    correlation: float
    is_same_source: bool = False
    beyond: float | None = None
    expected: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    n_nulls: int = 0
    verdict: Verdict = "not tested"
    shared: tuple[str, ...] = ()

    @property
    def is_author_s(self) -> bool:
        """Agreement that no null adapter shows: the permutations reject it, and it lies above the nulls'."""
        if self.verdict != "agree" or self.is_same_source or self.null_high is None or self.beyond is None:
            return False
        return self.beyond > self.null_high

    @property
    def statement(self) -> str:
        """The figures in a sentence."""
        pair = f"{self.first} and {self.second}, {self.axis}"
        if self.beyond is None or self.p_value is None:
            return f"{pair}: not tested; as they are they correlate by {self.correlation:.2f}."
        band = (
            "fewer than two null adapters in both"
            if self.null_low is None or self.null_high is None
            else f"null adapters {self.null_low:.2f} to {self.null_high:.2f}"
        )
        return (
            f"{pair}: beyond the nulls {self.beyond:+.2f} (permuted {self.expected:+.2f}, p = "
            f"{self.p_value:.3g}; {band}): {self.verdict}."
        )


class AuthorReads(FrozenModel):
    """Everything read of one author.

    Attributes:
        author: key. n_tokens, n_commits: text that tokens were read on; no adapter was trained on it.
        parts: every read on every axis. missing: reads that are not there. statements: what each read's own
            report says, by read. agreements: pairs of reads.
    """

    format: Literal[1] = 1
    author: str
    n_tokens: int
    n_commits: int
    parts: tuple[PartSummary, ...]
    missing: tuple[Missing, ...]
    statements: dict[str, str]
    agreements: tuple[Agreement, ...]

    @property
    def statement(self) -> str:
        """The answer in a sentence."""
        tested = [a for a in self.agreements if a.verdict != "not tested" and not a.is_same_source]
        if not tested:
            return "No two reads could be compared: see what is missing."
        agreeing = [a for a in tested if a.verdict == "agree"]
        own = [a for a in agreeing if a.is_author_s]
        against = [a for a in tested if a.verdict == "disagree"]
        return (
            f"{len(agreeing)} of {len(tested)} pairs of reads agree on what is {self.author}'s beyond null "
            f"adapters, {len(against)} disagree; {len(own)} agree more than the reads of any null adapter do."
        )
