"""A diff in, a DriftReport out: one function for the command line and the API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.contribution import FilePatch, FileStatus
from connectors.diff import parse_diff
from connectors.filters import clean_patches
from fingerprint.passage import Passage
from fingerprint.report import DiffFacts, DriftReport, Verdict
from service.flows.passages import passages_of_patches
from service.settings import Settings

if TYPE_CHECKING:
    from service.flows.profile import LoadedProfile


@dataclass(frozen=True)
class DiffReading:
    """What a diff offers to score, found without a model.

    Attributes:
        passages: what will be scored. n_lines: added lines in them. dropped: added lines left out, by
            reason. reason: why nothing can be scored, or "". notes: sentences for the reader.
    """

    passages: tuple[Passage, ...]
    n_lines: int
    dropped: dict[str, int]
    reason: str = ""
    notes: tuple[str, ...] = ()


def read_diff(text: str) -> DiffReading:
    """Read a unified diff.

    Raises:
        ConnectorError: it is no diff.
    """
    return read_patches(parse_diff(text))


def read_patches(patches: tuple[FilePatch, ...]) -> DiffReading:
    """Read a diff that has been parsed."""
    kept, ledger = clean_patches(patches)
    passages = passages_of_patches(kept)
    dropped = {reason.value: tally.lines for reason, tally in ledger.dropped.items() if tally.lines}
    n_lines = sum(passage.marked.count("\n") for passage in passages)
    reason = "" if passages else _why_nothing(patches, dropped)
    return DiffReading(passages, n_lines, dropped, reason, tuple(ledger.notes))


def _why_nothing(patches: tuple[FilePatch, ...], dropped: dict[str, int]) -> str:
    """The reason a person needs when a diff holds nothing to score."""
    if not patches:
        return "the diff is empty"
    if dropped:
        left_out = ", ".join(f"{count} ({reason})" for reason, count in sorted(dropped.items()))
        return f"every added line was left out: {left_out}"
    if any(hunk.added for patch in patches for hunk in patch.hunks):
        return "the added lines are blank, or in no language that is read"
    if any(hunk.deleted for patch in patches for hunk in patch.hunks):
        return "the diff only deletes lines; there is no added text to score"
    if all(patch.status is FileStatus.RENAMED for patch in patches):
        return "the diff only renames files; there is no added text to score"
    if any(patch.is_binary for patch in patches):
        return "the diff only changes binary files"
    return "the diff adds no lines"


def not_scored(reason: str, reading: DiffReading | None = None) -> DriftReport:
    """The answer for a diff that cannot be scored."""
    if reading is None:
        return DriftReport(verdict=Verdict.NOT_SCORED, reason=reason)
    return DriftReport(
        verdict=Verdict.NOT_SCORED, reason=reason, n_lines=reading.n_lines, dropped=reading.dropped,
        warnings=reading.notes,
    )  # fmt: skip


@dataclass(frozen=True)
class Reviewer:
    """A loaded profile, ready for one diff after another."""

    profile: LoadedProfile

    def without_explaining(self) -> Reviewer:
        """The same for many diffs: explaining hunks is most of a review's time."""
        drift = self.profile.config.drift.model_copy(update={"explained_hunks": 0})
        config = self.profile.config.model_copy(update={"drift": drift})
        return Reviewer(replace(self.profile, config=config))

    def review(self, text: str) -> DriftReport:
        """Score a diff.

        Raises:
            ConnectorError: it is no diff.
        """
        return self.review_reading(read_diff(text))

    def review_reading(self, reading: DiffReading) -> DriftReport:
        """Score a diff that has been read."""
        if reading.reason:
            return not_scored(reading.reason, reading)
        from fingerprint.drift.score import score_passages

        profile = self.profile
        report = score_passages(
            reading.passages, routed=profile.routed, team_weights=profile.team.state,
            signature=profile.signature, config=profile.config.drift, team_lines=profile.team_lines,
            null_weights=None if profile.null_team is None else profile.null_team.state,
            facts=DiffFacts(dropped=reading.dropped), scorer=profile.scorer,
        )  # fmt: skip
        return report.model_copy(update={"warnings": (*report.warnings, *reading.notes)})


def load_reviewer(repository: Path, settings: Settings) -> Reviewer:
    """Load a repository's current profile and its base.

    Raises:
        NotProfiledError: there is no profile.
        ArtifactError, FingerprintError: it cannot be used.
    """
    from service.flows.profile import load_profile

    return Reviewer(load_profile(repository, settings))


def review_patches(repository: Path, patches: tuple[FilePatch, ...], settings: Settings) -> DriftReport:
    """Score a diff against a repository's profile; a model is loaded only when there is text to score."""
    from service.flows.profile import NotProfiledError

    reading = read_patches(patches)
    if reading.reason:
        return not_scored(reading.reason, reading)
    try:
        reviewer = load_reviewer(repository, settings)
    except NotProfiledError as error:
        return not_scored(str(error), reading)
    return reviewer.review_reading(reading)
