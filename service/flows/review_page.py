"""A reviewed diff with what its page shows beside the answer: the diff's own text and the team's scores."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from connectors import ConnectorError
from connectors.contribution import FilePatch
from connectors.diff import parse_diff
from fingerprint.config import ProfileConfig
from fingerprint.report import DriftReport
from service.artifacts import ArtifactError, ArtifactStore, read_json
from service.flows.review import load_reviewer, not_scored, read_patches
from service.flows.signatures import load_team_signature
from service.reports.pages.review import Review, ScoreBand
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.config import DriftConfig
    from fingerprint.signature import TeamSignature


def review_for_page(
    repository: Path, patches: tuple[FilePatch, ...], settings: Settings, *, subject: str, command: str
) -> Review:
    """Score a diff and keep what its page needs.

    Args:
        subject: what the diff is, in words. command: what makes the page again.
    """
    from service.flows.profile import NotProfiledError

    reading = read_patches(patches)
    report, bands = not_scored(reading.reason, reading), ()
    if not reading.reason:
        try:
            reviewer = load_reviewer(repository, settings)
            report = reviewer.review_reading(reading)
            bands = score_bands(report, reviewer.profile.signature, reviewer.profile.config.drift)
        except NotProfiledError as error:
            report = not_scored(str(error), reading)
    return Review(
        report, patches, repository.resolve().name, subject, command, bands,
        datetime.now(UTC).replace(microsecond=0),
    )  # fmt: skip


def reviewed(
    report: DriftReport, diff: str, store: ArtifactStore, profile: str, *, repository: str, base: str,
    head: str, number: int = 0,
) -> Review:  # fmt: skip
    """A diff that a worker has scored, as its page shows it.

    Args:
        profile: digest of the profile that it was scored with, "" for none. number: of the pull request, 0
            where there is none.
    """
    try:
        patches = parse_diff(diff) if diff.strip() else ()
    except ConnectorError:  # then it was not scored either, and the report says why
        patches = ()
    ends = f"{base[:12]}...{head[:12]}"
    command = f"git diff {base}...{head} | routeprint score --diff - --format html --out review.html"
    return Review(
        report, patches, repository, f"#{number} ({ends})" if number else ends, command,
        _bands_of_profile(report, store, profile), datetime.now(UTC).replace(microsecond=0),
    )  # fmt: skip


def _bands_of_profile(report: DriftReport, store: ArtifactStore, profile: str) -> tuple[ScoreBand, ...]:
    """The team's own scores; none where the profile is not at hand: the verdict does not need them."""
    if not profile or report.evidence is None:
        return ()
    try:
        facts = read_json(store.require("profile", profile) / "profile.json")
        signature = load_team_signature(store.require("team-signature", facts["signature"]))
    except ArtifactError:
        return ()
    return score_bands(report, signature, ProfileConfig.model_validate(facts["config"]).drift)


def score_bands(report: DriftReport, signature: TeamSignature, config: DriftConfig) -> tuple[ScoreBand, ...]:
    """The calibration scores of the cell that the verdict used: of the whole score, and of each part."""
    from fingerprint.drift.calibrate import cells_of, threshold_at

    if report.evidence is None:
        return ()
    values = {"score": report.evidence.score} | {part.name: part.score for part in report.evidence.parts}
    bands = []
    for name, value in values.items():
        scores = cells_of(signature.readings, "" if name == "score" else name).get(report.evidence.cell)
        if scores is None:
            continue
        alarm = threshold_at(scores, config.alarm_level, config.recency_half_life)
        bands.append(ScoreBand(name, value, tuple(scores.tolist()), alarm if alarm < float("inf") else None))
    return tuple(bands)
