"""Between two profiles: what the team has merged since calibrates the signature, and nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.passage import Corpus
from fingerprint.provenance import digest_of
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import ArtifactStore
from service.flows.bench import Progress
from service.flows.opened import OpenedProfile, open_profile_version
from service.flows.profile import find_profile
from service.flows.signatures import load_team_signature, save_signature
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.routing.extract import Measures
    from fingerprint.signature import TeamSignature


class NewHistoryError(ServiceError):
    """The history that a profile was made from is not the one that is stored now."""


@dataclass(frozen=True)
class Refreshed:
    """What a refresh took in.

    Attributes:
        profile, signature: digests; those of before when there was nothing to take in.
        n_commits: the team's commits since the last time. n_taken_in: those large enough to calibrate.
        n_calibration: commits behind a p-value now.
        alarm_level: the level of realised. realised: flagged share of what was judged before it calibrated,
            as ``fingerprint.drift.calibrate.realised_shares`` gives it.
    """

    profile: str
    signature: str
    n_commits: int
    n_taken_in: int
    n_calibration: int
    alarm_level: float
    realised: tuple[dict[str, Any], ...]


def refresh(repository: Path, settings: Settings, report: Progress = lambda _: None) -> Refreshed:
    """Let the commits read since the current profile was made or refreshed join its calibration.

    Each is judged first, against those before it. Adapters, means and scales stay as they are: when much has
    changed, profile again.

    Raises:
        NotProfiledError: there is no profile. NewHistoryError: the history was rewritten, or read anew.
        ArtifactError, FingerprintError: the profile cannot be used, or is of an earlier version.
    """
    digest, _ = find_profile(repository, settings)
    found = roll_profile(repository, settings, digest, report)
    ArtifactStore(settings.home).record(repository).point("profile", found.profile)
    return found


def roll_profile(
    repository: Path, settings: Settings, digest: str, report: Progress,
    forgotten: frozenset[str] = frozenset(),
) -> Refreshed:  # fmt: skip
    """The same for a profile by its digest, without letting the result be the current one.

    Args:
        forgotten: digests of the keys of people whose code is left out.
    """
    place = ArtifactStore(settings.home).require("profile", digest)
    opened = open_profile_version(repository, settings, digest, report, forgotten)
    since = _commits_since(opened)
    corpus = opened.plan.enrolled.corpus.where_groups(
        [group for group in opened.plan.enrolled.corpus.groups if group in since]
    )
    signature = load_team_signature(opened.bench.store.require("team-signature", opened.team_signature))
    waiting = len(signature.facts.get("stream", ())) - signature.facts.get("n_rolled", 0)
    if not corpus.passages and not waiting:
        return _refreshed(digest, opened.team_signature, signature, 0, 0, opened)
    rolled, made = _roll(opened, signature, corpus)
    kept = _keep(opened, made, rolled, place)
    n_taken_in = len(rolled.facts["stream"]) - signature.facts["n_rolled"]
    return _refreshed(kept, made, rolled, len(corpus.groups), n_taken_in, opened)


def _commits_since(opened: OpenedProfile) -> set[str]:
    read, ingested = tuple(opened.facts.get("read", ())), opened.plan.ingested
    if not read or ingested.parts[: len(read)] != read:
        raise NewHistoryError(
            "The history was read anew since this profile was made (rewritten, or read by another version): "
            "which commits are new cannot be told. Run `routeprint profile`."
        )
    return ingested.store.commits_after(len(read))


def _roll(opened: OpenedProfile, signature: TeamSignature, corpus: Corpus) -> tuple[TeamSignature, str]:
    """The signature rolled on, and its digest."""
    from fingerprint.drift.rolling import roll_signature

    bench, before = opened.bench, opened.team_signature
    digest = digest_of({"what": "rolled team signature", "before": before, "commits": corpus.digest})

    def write(directory: Path) -> None:
        commits, null = _measure(opened, signature, corpus)
        save_signature(roll_signature(signature, commits, null, bench.config.drift), directory)

    place = bench.make("team-signature", digest, "newer commits", write)
    return load_team_signature(place), digest


def _measure(
    opened: OpenedProfile, signature: TeamSignature, corpus: Corpus
) -> tuple[Measures, Measures | None]:
    """The commits under the team's adapter and under the null's, as the signature's own were measured."""
    from fingerprint.drift.nonconformity import Nonconformity
    from fingerprint.drift.reference import cap_commits
    from fingerprint.lm.pair import ModelPair
    from fingerprint.routing.extract import measure_passages, with_log_ratio

    bench, drift = opened.bench, opened.bench.config.drift
    texts = cap_commits(corpus, drift.commit_tokens)
    count = bench.counter("newer commits", sum(len(passage.marked) for passage in texts) / 4)
    zero = bench.routed.zero_weights()
    pair = ModelPair(bench.routed, zero, opened.adapter("team").state)
    found = measure_passages(pair, texts, drift, progress=count)
    null = None
    if "null team" in opened.digests:
        pair = ModelPair(bench.routed, zero, opened.adapter("null team").state)
        null = with_log_ratio(found, pair, texts, drift).by_group()
    return Nonconformity.of_team(signature).read(found, texts).by_group(), null


def _keep(opened: OpenedProfile, signature: str, rolled: TeamSignature, place: Path) -> str:
    """Store the profile with its new signature; returns its digest."""
    level = opened.bench.config.drift.alarm_level
    realised = next(share for share in rolled.facts["realised"] if share["level"] == level)
    summary = opened.facts["summary"] | {
        "signature": signature, "n_calibration": rolled.facts["n_calibration"]["all"],
        "realised_false_alarms": realised["share"], "n_held_out": realised["n"],
    }  # fmt: skip
    renewed = opened.facts | {
        "signature": signature, "summary": summary, "read": list(opened.plan.ingested.parts)
    }  # fmt: skip
    lines = (place / "team-lines.jsonl").read_bytes()

    def write(directory: Path) -> None:
        write_json(directory / "profile.json", renewed)
        (directory / "team-lines.jsonl").write_bytes(lines)

    digest = digest_of(renewed)
    opened.bench.make("profile", digest, "profile", write)
    return digest


def _refreshed(
    profile: str, digest: str, signature: TeamSignature, n_commits: int, n_taken_in: int,
    opened: OpenedProfile,
) -> Refreshed:  # fmt: skip
    facts, level = signature.facts, opened.bench.config.drift.alarm_level
    return Refreshed(
        profile, digest, n_commits, n_taken_in, facts["n_calibration"]["all"], level, tuple(facts["realised"])
    )
