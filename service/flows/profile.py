"""The main flow: a repository's Contributions become a team signature that diffs are scored against.

contributions -> corpus -> four slices by time -> B of the team -> D of each author -> null adapters ->
signatures -> profile. Every arrow ends in an artifact, so that a second run looks up what the first one made.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus
from fingerprint.provenance import digest_of
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import ArtifactStore, read_json
from service.flows.bench import Bench, ForeignSlices, Progress
from service.flows.plan import Plan, prepare
from service.flows.signatures import load_team_signature, save_signature
from service.flows.team import TeamChoice
from service.flows.training import Trained, beside, train_all
from service.reports.profile_summary import ProfileSummary
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.drift.nonconformity import Nonconformity
    from fingerprint.drift.team_lines import TeamLines
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.signature import TeamSignature

FORMAT = 1
_SIGNATURE_LAYOUT = 2
"""Grows with what a team signature holds, so that one of before is made again from the stored adapters."""


class NotProfiledError(ServiceError):
    """A repository has no profile yet."""


def profile(
    repository: Path, settings: Settings, config: ProfileConfig, *, choice: TeamChoice | None = None,
    report: Progress = lambda _: None,
) -> ProfileSummary:  # fmt: skip
    """Make (or find) the profile of an ingested repository and let it be the current one.

    Raises:
        NotIngestedError, TooLittleHistoryError, InsufficientCodeError: what to do is in the message.
    """
    made = make_profile(repository, settings, config, choice=choice, report=report)
    ArtifactStore(settings.home).record(repository).point("profile", made.digest)
    return made.summary


@dataclass(frozen=True)
class MadeProfile:
    """A profile by its digest, and its signatures. ``commit``: the newest one learned from."""

    digest: str
    signature: str
    authors: dict[str, str]
    summary: ProfileSummary
    commit: str


def make_profile(
    repository: Path, settings: Settings, config: ProfileConfig, *, choice: TeamChoice | None = None,
    report: Progress = lambda _: None, consenting: frozenset[str] | None = None,
) -> MadeProfile:  # fmt: skip
    """Make (or find) a profile without letting it be the repository's current one; errors as above.

    Args:
        consenting: authors who may have a signature of their own; None: everybody with enough code.
    """
    bench, plan = prepare(repository, settings, config, choice, report, consenting)
    from service.flows.readings import make_author_signatures, measure_losses
    from service.flows.summary import summarise

    trained = train_all(bench, plan.slices, ForeignSlices(plan.foreign.train, plan.foreign.dev))
    signature_digest = _make_team_signature(bench, plan, trained)
    losses = measure_losses(bench, plan.slices, trained)
    authors = make_author_signatures(bench, plan.slices, trained)
    signature = load_team_signature(bench.store.require("team-signature", signature_digest))
    summary = summarise(
        repository, plan, trained, losses, signature=signature, digest=signature_digest, config=config
    )
    digest = _keep(bench, plan, trained, signature_digest, authors, summary)
    passages = plan.enrolled.corpus.passages
    newest = max(passages, key=lambda passage: passage.written_at).group if passages else ""
    return MadeProfile(digest, signature_digest, authors, summary, newest)


def _make_team_signature(bench: Bench, plan: Plan, trained: Trained) -> str:
    """Measure dev, calibration and held-out; returns the artifact's digest."""
    from fingerprint.drift.reference import build_team_signature, measured_code
    from fingerprint.routing.team import TeamSlices
    from service.flows.readings import TeamReader, fill_readings

    slices, drift = plan.slices, bench.config.drift
    null_digest = trained.digests.get("null team", "")
    digest = bench.digest(
        "team signature", slices=slices.digest, team=trained.team.digest, null=null_digest,
        config=drift.digest, foreign=Corpus(plan.foreign.power).digest, layout=_SIGNATURE_LAYOUT,
    )  # fmt: skip

    reader = TeamReader(bench, trained.team)

    def write(directory: Path) -> None:
        n_tokens = sum(len(passage.marked) for passage in measured_code(slices.measured, drift)) / 4
        reader.count = bench.counter("team signature", n_tokens)
        signature = build_team_signature(
            TeamSlices(slices.train, slices.dev, slices.calibration, slices.held_out), routed=bench.routed,
            team_weights=trained.team.state, config=drift, provenance=bench.provenance(slices.digest),
            authors=sorted(trained.authors), foreign=plan.foreign.power,
            null_weights=None if trained.null_team is None else trained.null_team.state, read=reader.read,
        )  # fmt: skip
        save_signature(signature, directory)

    is_there = bench.store.find("team-signature", digest) is not None
    foreign = ForeignSlices(plan.foreign.train, plan.foreign.dev)
    filling = (
        nullcontext() if is_there else beside(bench, "authors' signatures", fill_readings, slices, foreign)
    )
    with filling:
        bench.make("team-signature", digest, "team signature", write)
    reader.drop()
    return digest


def _keep(
    bench: Bench,
    plan: Plan,
    trained: Trained,
    signature: str,
    authors: dict[str, str],
    summary: ProfileSummary,
) -> str:
    """Store the profile; returns its digest."""
    from fingerprint.drift.team_lines import TeamLines

    facts = {
        "format": FORMAT, "config": bench.config.model_dump(mode="json"), "choice": plan.choice.facts(),
        "signature": signature, "adapters": trained.digests, "author_signatures": authors,
        "null_source": plan.foreign.name, "summary": summary.model_dump(mode="json"),
        "read": list(plan.ingested.parts),
    }  # fmt: skip
    digest = digest_of(facts)

    def write(directory: Path) -> None:
        write_json(directory / "profile.json", facts)
        TeamLines.of(plan.slices.train).save(directory / "team-lines.jsonl")

    bench.make("profile", digest, "profile", write)
    return digest


# ------------------------------------------------------------------------------------------- loading


@dataclass(frozen=True)
class LoadedProfile:
    """A profile ready for scoring."""

    digest: str
    config: ProfileConfig
    routed: RoutedModel
    team: Adapter
    null_team: Adapter | None
    signature: TeamSignature
    team_lines: TeamLines

    @cached_property
    def scorer(self) -> Nonconformity:
        """Decoded once for many diffs: the n-grams of a large team's files take a while."""
        from fingerprint.drift.nonconformity import Nonconformity

        return Nonconformity.of_team(self.signature)


def find_profile(repository: Path, settings: Settings, version: str = "") -> tuple[str, Path]:
    """Digest and directory of a repository's current profile, or of the version with a digest.

    Raises:
        NotProfiledError: there is none.
    """
    store = ArtifactStore(settings.home)
    digest = version or store.record(repository).pointer("profile")
    if digest is None:
        raise NotProfiledError(
            f"no signature: {repository} has no profile yet; run `routeprint profile --repo {repository}`"
        )
    return digest, store.require("profile", digest)


def load_summary(repository: Path, settings: Settings) -> ProfileSummary:
    """What a repository's profile says of itself; no model is loaded."""
    _, place = find_profile(repository, settings)
    return ProfileSummary.model_validate(read_json(place / "profile.json")["summary"])


def load_profile(repository: Path, settings: Settings) -> LoadedProfile:
    """Load a repository's current profile with its base.

    Raises:
        NotProfiledError: there is none. ArtifactError, FingerprintError: it cannot be used.
    """
    digest, _ = find_profile(repository, settings)
    return load_profile_version(digest, settings)


def load_profile_version(digest: str, settings: Settings) -> LoadedProfile:
    """Load a profile by its digest, current or not, with its base; errors as above."""
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.drift.team_lines import TeamLines
    from service.flows.base import load_routed

    place = ArtifactStore(settings.home).require("profile", digest)
    facts = read_json(place / "profile.json")
    config = ProfileConfig.model_validate(facts["config"])
    store, adapters = ArtifactStore(settings.home), facts["adapters"]
    signature = load_team_signature(store.require("team-signature", facts["signature"]))
    routed = load_routed(settings, config.base, signature.provenance.revision, config.adapter.scale)
    routes = routed.routes
    team = Adapter.load(store.require("adapter", adapters["team"]), routes)
    null = adapters.get("null team")
    null_team = None if null is None else Adapter.load(store.require("adapter", null), routes)
    lines = TeamLines.load(place / "team-lines.jsonl")
    return LoadedProfile(digest, config, routed, team, null_team, signature, lines)


def load_author_adapter(repository: Path, settings: Settings, loaded: LoadedProfile, author: str) -> Adapter:
    """One enrolled author's adapter.

    Raises:
        NotProfiledError: the author was not trained.
    """
    from fingerprint.adapters.adapter import Adapter

    _, place = find_profile(repository, settings)
    digest = read_json(place / "profile.json")["adapters"].get(author)
    if digest is None:
        raise NotProfiledError(f"{author} has no adapter in this profile (too little code, or not enrolled)")
    return Adapter.load(ArtifactStore(settings.home).require("adapter", digest), loaded.routed.routes)
