"""What a profile will be trained on: the team's slices, the null's code, and the base, all made ready."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus, Passage
from service import ServiceError
from service.artifacts import ArtifactStore
from service.flows.bench import Bench, Progress, Slices, Stage
from service.flows.foreign import ForeignCode, read_foreign
from service.flows.ingest import Ingested, load_ingested
from service.flows.team import Enrolled, TeamChoice, enrol
from service.settings import Settings

_CHARACTERS_PER_TOKEN = 3.0
"""Fewer than a token has on average: for telling early that a history is too short."""
_FOREIGN_SHARES = (0.72, 0.08, 0.2)
"""Foreign code for the null's training, its stopping, and the power curve."""


class TooLittleHistoryError(ServiceError):
    """A team has too few commits to calibrate on; ``more`` is about how many are missing."""

    def __init__(self, message: str, more: int) -> None:
        super().__init__(message)
        self.more = more


@dataclass(frozen=True)
class NullCode:
    """Foreign code parted for the null's training and stopping (None: no null) and the power curve."""

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
    repository: Path, settings: Settings, config: ProfileConfig, choice: TeamChoice | None, report: Progress,
    consenting: frozenset[str] | None = None,
) -> tuple[Bench, Plan]:  # fmt: skip
    """Read the team's code, cut it by time, load the base: all that precedes training."""
    from fingerprint.routing.team import slice_team
    from service.flows.base import load_routed

    choice = replace(choice or TeamChoice(), with_agents=config.with_agents)
    report(Stage("read contributions", 0, None))
    ingested = load_ingested(repository, settings)
    enrolled = enrol(ingested.store, ingested.authors, choice)
    slices = Slices.of(*slice_team(enrolled.corpus, config.drift))
    check_history(slices, config)
    foreign = _part_foreign(_foreign_for(slices, settings, config), config.n_null_sets > 0)
    report(Stage("load the base", 0, None))
    routed = load_routed(settings, config.base, config.revision, config.adapter.scale)
    store = ArtifactStore(settings.home)
    bench = Bench(routed, store, store.record(repository), config, report, settings, consenting)
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
                f"about {more} more commits of the team's own code; add paths or authors, or wait",
                more,
            )


def _commits_of_size(corpus: Corpus, least_characters: int) -> int:
    sizes: dict[str, int] = {}
    for passage in corpus:
        sizes[passage.group] = sizes.get(passage.group, 0) + sum(end - start for start, end in passage.spans)
    return sum(size >= least_characters for size in sizes.values())


def _foreign_for(slices: Slices, settings: Settings, config: ProfileConfig) -> ForeignCode:
    sizes = [passage.marked.count("\n") for passage in slices.train.passages]
    n_tokens = max(20_000, int(config.adapter.team_tokens * 1.6))
    return read_foreign(settings.null_repo, sizes, n_tokens, config.adapter.seed)


def _part_foreign(foreign: ForeignCode, with_null: bool) -> NullCode:
    """Train, dev and power shares of the foreign code, by file or commit; power alone without a null."""
    train, dev, power = _split_by_size(foreign.corpus, _FOREIGN_SHARES)
    if not with_null:
        return NullCode(foreign.name, None, None, power.passages)
    return NullCode(foreign.name, train, dev, power.passages)


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
