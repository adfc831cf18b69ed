"""The main flow: a repository's Contributions become a team signature that diffs are scored against.

contributions -> corpus -> four slices by time -> B of the team -> D of each author -> null adapters ->
signatures -> profile. Every arrow ends in an artifact, so that a second run looks up what the first one made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import Provenance, digest_of
from service import ServiceError
from service.artifacts import ArtifactStore, read_json, write_json
from service.flows.foreign import ForeignCode, read_foreign
from service.flows.ingest import Ingested, load_ingested
from service.flows.signatures import load_team_signature, save_signature
from service.flows.team import Enrolled, TeamChoice, enrol
from service.flows.training import Bench, Progress, Slices, Stage, Trained, train_all
from service.reports.profile_summary import ProfileSummary
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.drift.team_lines import TeamLines
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.signature import TeamSignature

FORMAT = 1
_CHARACTERS_PER_TOKEN = 3.0
"""Fewer than a token has on average: for telling early that a history is too short."""


class NotProfiledError(ServiceError):
    """A repository has no profile yet."""


class TooLittleHistoryError(ServiceError):
    """A team has too few commits to calibrate on; the message says how many more are needed."""


def profile(
    repository: Path, settings: Settings, config: ProfileConfig, *, choice: TeamChoice | None = None,
    report: Progress = lambda _: None,
) -> ProfileSummary:  # fmt: skip
    """Make (or find) the profile of an ingested repository and let it be the current one.

    Raises:
        NotIngestedError, TooLittleHistoryError, InsufficientCodeError: what to do is in the message.
    """
    bench, plan = prepare(repository, settings, config, choice, report)
    null = plan.foreign
    trained = train_all(bench, plan.slices, null.train, null.dev)
    signature_digest = _make_team_signature(bench, plan, trained)
    from service.flows.readings import make_author_signatures, measure_losses
    from service.flows.summary import summarise

    losses = measure_losses(bench, plan.slices, trained)
    authors = make_author_signatures(bench, plan.slices, trained)
    signature = load_team_signature(bench.store.require("team-signature", signature_digest))
    summary = summarise(
        repository, plan, trained, losses, signature=signature, digest=signature_digest, config=config
    )
    _keep(bench, plan, trained, signature_digest, authors, summary)
    return summary


@dataclass(frozen=True)
class NullCode:
    """Foreign code parted for training, stopping and the power curve."""

    name: str
    train: Corpus | None
    dev: Corpus | None
    power: tuple[Passage, ...]


@dataclass(frozen=True)
class Plan:
    """What will be trained on.

    Attributes:
        ingested: the repository's history. enrolled: the team's part. slices: by time. foreign: the
            null's code. choice: who the team is.
    """

    ingested: Ingested
    enrolled: Enrolled
    slices: Slices
    foreign: NullCode
    choice: TeamChoice


def prepare(
    repository: Path, settings: Settings, config: ProfileConfig, choice: TeamChoice | None, report: Progress
) -> tuple[Bench, Plan]:
    """Read the team's code, cut it by time, load the base: all that precedes training."""
    from fingerprint.routing.team import slice_team
    from service.flows.base import load_routed

    choice = replace(choice or TeamChoice(), with_agents=config.with_agents)
    report(Stage("read contributions", 0, None))
    ingested = load_ingested(repository, settings)
    enrolled = enrol(ingested.store, ingested.authors, choice)
    slices = Slices.of(*slice_team(enrolled.corpus, config.drift))
    check_history(slices, config)
    foreign = _part_foreign(_foreign_for(slices, settings, config))
    report(Stage("load the base", 0, None))
    routed = load_routed(settings, config.base, config.revision, config.adapter.scale)
    store = ArtifactStore(settings.home)
    bench = Bench(routed, store, store.record(repository), config, report)
    return bench, Plan(ingested, enrolled, slices, foreign, choice)


def check_history(slices: Slices, config: ProfileConfig) -> None:
    """Say early, before anything is trained, that a team has too few commits.

    Raises:
        TooLittleHistoryError: with how many more are needed.
    """
    drift = config.drift
    least = int(drift.least_tokens * _CHARACTERS_PER_TOKEN)
    needed = {
        "dev": drift.least_dev,
        "calibration": min(drift.least_calibration, round(1 / drift.alarm_level) - 1),
    }
    for share, name in zip(drift.slices[1:3], needed, strict=True):
        have = _commits_of_size(getattr(slices, name), least if name == "calibration" else 30)
        if have < needed[name]:
            more = round((needed[name] - have) / share) + 1
            raise TooLittleHistoryError(
                f"too little history: {have} usable commits in the {name} slice, {needed[name]} are needed: "
                f"about {more} more commits of the team's own code; add paths or authors, or wait"
            )


def _commits_of_size(corpus: Corpus, least_characters: int) -> int:
    sizes: dict[str, int] = {}
    for passage in corpus:
        sizes[passage.group] = sizes.get(passage.group, 0) + sum(end - start for start, end in passage.spans)
    return sum(size >= least_characters for size in sizes.values())


def _foreign_for(slices: Slices, settings: Settings, config: ProfileConfig) -> ForeignCode | None:
    if config.n_null_sets == 0:
        return None
    sizes = [passage.marked.count("\n") for passage in slices.train.passages]
    n_tokens = max(20_000, int(config.adapter.team_tokens * 1.6))
    return read_foreign(settings.null_repo, sizes, n_tokens, config.adapter.seed)


def _part_foreign(foreign: ForeignCode | None) -> NullCode:
    """Train, dev and power shares of the foreign code, by file or commit."""
    if foreign is None:
        return NullCode("", None, None, ())
    train, dev, power = _split_by_size(foreign.corpus, _FOREIGN_SHARES)
    return NullCode(foreign.name, train, dev, power.passages)


_FOREIGN_SHARES = (0.72, 0.08, 0.2)
"""Foreign code for the null's training, its stopping, and the power curve."""


def _split_by_size(corpus: Corpus, shares: tuple[float, ...]) -> tuple[Corpus, ...]:
    """Whole groups dealt out so that every part has its share of text from the first groups on."""
    parts: list[list[str]] = [[] for _ in shares]
    sizes = [0.0 for _ in shares]
    characters: dict[str, int] = {}
    for passage in corpus:
        characters[passage.group] = characters.get(passage.group, 0) + len(passage.marked)
    for group, size in sorted(characters.items(), key=lambda item: -item[1]):
        neediest = min(range(len(shares)), key=lambda part: (sizes[part] + size) / shares[part])
        parts[neediest].append(group)
        sizes[neediest] += size
    return tuple(corpus.where_groups(part) for part in parts)


def _make_team_signature(bench: Bench, plan: Plan, trained: Trained) -> str:
    """Measure dev, calibration and held-out; returns the artifact's digest."""
    from fingerprint.drift.reference import build_team_signature
    from fingerprint.routing.team import TeamSlices

    slices, drift = plan.slices, bench.config.drift
    null_digest = trained.digests.get("null team", "")
    digest = bench.digest(
        "team signature", slices=slices.digest, team=trained.team.digest, null=null_digest,
        config=drift.digest, foreign=Corpus(plan.foreign.power).digest,
    )  # fmt: skip

    def write(directory: Path) -> None:
        measured = (slices.dev, slices.calibration, slices.held_out)
        n_tokens = sum(len(passage.marked) for corpus in measured for passage in corpus) / 4
        signature = build_team_signature(
            TeamSlices(slices.train, slices.dev, slices.calibration, slices.held_out), routed=bench.routed,
            team_weights=trained.team.state, config=drift, provenance=provenance(bench, slices.digest),
            authors=sorted(trained.authors), foreign=plan.foreign.power,
            null_weights=None if trained.null_team is None else trained.null_team.state,
            progress=bench.counter("team signature", n_tokens),
        )  # fmt: skip
        save_signature(signature, directory)

    bench.make("team-signature", digest, "team signature", write)
    return digest


def provenance(bench: Bench, corpus: str) -> Provenance:
    """Where a signature of this profile comes from."""
    base, routes = bench.routed.base, bench.routed.routes
    config = bench.config
    return Provenance(base.name, base.revision, routes.digest, corpus, config.digest, config.adapter.seed)


def _keep(
    bench: Bench,
    plan: Plan,
    trained: Trained,
    signature: str,
    authors: dict[str, str],
    summary: ProfileSummary,
) -> None:
    """Store the profile and point to it."""
    from fingerprint.drift.team_lines import TeamLines

    facts = {
        "format": FORMAT, "config": bench.config.model_dump(mode="json"), "choice": asdict(plan.choice),
        "signature": signature, "adapters": trained.digests, "author_signatures": authors,
        "null_source": plan.foreign.name, "summary": summary.model_dump(mode="json"),
    }  # fmt: skip
    digest = digest_of(facts)

    def write(directory: Path) -> None:
        write_json(directory / "profile.json", facts)
        TeamLines.of(plan.slices.train).save(directory / "team-lines.jsonl")

    bench.make("profile", digest, "profile", write)
    bench.record.point("profile", digest)


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


def find_profile(repository: Path, settings: Settings) -> tuple[str, Path]:
    """Digest and directory of a repository's current profile.

    Raises:
        NotProfiledError: there is none.
    """
    store = ArtifactStore(settings.home)
    digest = store.record(repository).pointer("profile")
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
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.drift.team_lines import TeamLines
    from service.flows.base import load_routed

    digest, place = find_profile(repository, settings)
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
