"""A profile opened for reading its models from the inside: slices, adapters and nulls by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus, Passage
from service import ServiceError
from service.artifacts import ArtifactStore, read_json, reading_of
from service.flows.bench import Bench, Progress
from service.flows.passages import spread_passages
from service.flows.plan import Plan, prepare
from service.flows.profile import NotProfiledError, find_profile
from service.flows.team import TeamChoice, find_author
from service.flows.training import shuffle_enrolled
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.lm.pair import RoutedModel

TEAM = "team"
_NULL_TEAM = "null team"
_SHARED = (TEAM, _NULL_TEAM, "reference")


def label_of(name: str) -> tuple[str, int | None]:
    """The author that an author's adapter or a null's is labelled with, and the null's set."""
    author, _, number = name.rpartition("/")
    return (author, int(number)) if author else (name, None)


@dataclass(frozen=True)
class OpenedProfile:
    """A repository's profile with what it was made from.

    Attributes:
        repository: the profiled one. bench: base, store, record, progress. plan: the team's code by slice,
            and foreign code. facts: what the profile says of itself, as ``profile`` wrote it.
    """

    repository: Path
    bench: Bench
    plan: Plan
    facts: dict[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        """Of the adapters by name: "team", "null team", "reference", authors, "author/set" for nulls."""
        return self.facts["adapters"]

    @property
    def signatures(self) -> dict[str, str]:
        """Of the authors' routing signatures, by key."""
        return self.facts["author_signatures"]

    @property
    def team_signature(self) -> str:
        """Digest of the team's."""
        return self.facts["signature"]

    @property
    def routed(self) -> RoutedModel:
        """The base over its routes."""
        return self.bench.routed

    @cached_property
    def _loaded(self) -> dict[str, Adapter]:
        """Adapters read so far."""
        return {}

    def adapter(self, name: str) -> Adapter:
        """An adapter by name."""
        from fingerprint.adapters.adapter import Adapter

        if name not in self._loaded:
            place = self.bench.store.require("adapter", self.digests[name])
            self._loaded[name] = Adapter.load(place, self.routed.routes)
        return self._loaded[name]

    @property
    def authors(self) -> dict[str, Adapter]:
        """Enrolled authors' adapters, by key."""
        return {n: self.adapter(n) for n in self.enrolled}

    @property
    def enrolled(self) -> tuple[str, ...]:
        """Keys of the authors with an adapter of their own."""
        return tuple(n for n in self.digests if n not in _SHARED and "/" not in n)

    @property
    def null_names(self) -> tuple[str, ...]:
        """Names of the shuffled authors' adapters, set by set."""
        found = (n for n in self.digests if "/" in n)
        return tuple(sorted(found, key=lambda name: (int(name.rpartition("/")[2]), name)))

    @property
    def nulls(self) -> dict[str, Adapter]:
        """Shuffled authors' adapters, trained like an author's, by "author/set"."""
        return {n: self.adapter(n) for n in self.null_names}

    @property
    def team_nulls(self) -> dict[str, Adapter]:
        """Adapters of other people's code, trained like the team's."""
        return {_NULL_TEAM: self.adapter(_NULL_TEAM)} if _NULL_TEAM in self.digests else {}

    @property
    def unread(self) -> tuple[Passage, ...]:
        """The team's newest code: no adapter was trained or stopped on it."""
        slices = self.plan.slices
        return (*slices.calibration.passages, *slices.held_out.passages)

    def author_of(self, word: str) -> str:
        """Key of the author that a word means, who has an adapter.

        Raises:
            UnknownAuthorError: it fits none or several. NotProfiledError: the author was not trained.
        """
        key = find_author(self.plan.ingested.authors, word).key
        if key not in self.digests:
            raise NotProfiledError(f"{key} has no adapter in this profile (too little code, or not enrolled)")
        return key

    def name_of(self, word: str | None) -> str:
        """The adapter that a word means: None the team's, else an author's.

        Raises:
            UnknownAuthorError: it fits none or several. NotProfiledError: the author was not trained.
        """
        if word is None or word == TEAM:
            return TEAM
        return self.author_of(word)

    def remembered(self, kind: str, name: str) -> Path | None:
        """What was read of an adapter last (kinds as in ``READINGS``), None when there is nothing."""
        record, store = self.bench.record, self.bench.store
        assert record is not None, "a profiled repository has a record"
        digest = record.pointer(reading_of(kind, self.digests[name]))
        return None if digest is None else store.find(kind, digest)

    def nulls_of(self, name: str) -> dict[str, Adapter]:
        """Null adapters to stand beside an adapter: a foreign team's for the team, shuffled authors' else.

        Shuffled authors share one budget with every author, so all of them are nulls of each.
        """
        if name == TEAM:
            return self.team_nulls
        return {f"null {null}": adapter for null, adapter in sorted(self.nulls.items())}

    def trained_on(self, name: str) -> Corpus:
        """What an author's adapter reads in training; of a null's name, what the shuffle dealt it."""
        train, (author, null_set) = self.plan.slices.train, label_of(name)
        if null_set is None:
            return train.where_author(author)
        seed = self.bench.config.adapter.seed + null_set
        return shuffle_enrolled(train, self.enrolled, seed).where_author(author)

    def code_of(self, name: str, passages: Sequence[Passage]) -> list[Passage]:
        """One author's passages; the team's are all."""
        return [p for p in passages if name in (TEAM, p.author)]

    def read(self, name: str, n_tokens: int) -> list[Passage]:
        """Code that no adapter was trained on or stopped on, evenly over time; the team's is everybody's.

        Raises:
            ServiceError: there is none.
        """
        found = self.code_of(name, self.unread)
        if not found:
            raise ServiceError(
                f"{name} has no code that nothing was trained on; read another author, or the team"
            )
        return spread_passages(tuple(found), n_tokens)


def open_profile(repository: Path, settings: Settings, report: Progress = lambda _: None) -> OpenedProfile:
    """Open a repository's current profile: its code, its base and every adapter, cut as the profile cut it.

    Raises:
        NotProfiledError: there is none. ArtifactError, FingerprintError: it cannot be used.
    """
    digest, _ = find_profile(repository, settings)
    return open_profile_version(repository, settings, digest, report)


def open_profile_version(
    repository: Path, settings: Settings, digest: str, report: Progress,
    forgotten: frozenset[str] = frozenset(),
) -> OpenedProfile:  # fmt: skip
    """Open a profile by its digest, current or not; errors as above.

    Args:
        forgotten: digests of the keys of people whose code is left out.
    """
    place = ArtifactStore(settings.home).require("profile", digest)
    facts = read_json(place / "profile.json")
    config = ProfileConfig.model_validate(facts["config"])
    team = replace(TeamChoice.from_json(facts["choice"]), forgotten=forgotten)
    bench, plan = prepare(repository, settings, config, team, report)
    return OpenedProfile(repository, bench, plan, facts)
