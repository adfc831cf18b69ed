"""A profile opened for reading its models from the inside: slices, adapters and nulls by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.config import ProfileConfig
from fingerprint.passage import Passage
from service import ServiceError
from service.artifacts import read_json
from service.flows.passages import spread_passages
from service.flows.plan import Plan, prepare
from service.flows.profile import NotProfiledError, find_profile
from service.flows.team import TeamChoice, find_author
from service.flows.training import Bench, Progress
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.lm.pair import RoutedModel

TEAM = "team"
_NULL_TEAM = "null team"


@dataclass(frozen=True)
class OpenedProfile:
    """A repository's profile with what it was made from.

    Attributes:
        bench: base, store, record, progress. plan: the team's code by slice, and foreign code. adapters:
            digests by name: "team", "null team", "reference", authors, "author/set" for nulls.
    """

    bench: Bench
    plan: Plan
    adapters: dict[str, str]

    @property
    def routed(self) -> RoutedModel:
        """The base over its routes."""
        return self.bench.routed

    def name_of(self, word: str | None) -> str:
        """The adapter that a word means: None the team's, else an author's.

        Raises:
            UnknownAuthorError: it fits none or several. NotProfiledError: the author was not trained.
        """
        if word is None or word == TEAM:
            return TEAM
        key = find_author(self.plan.ingested.authors, word).key
        if key not in self.adapters:
            raise NotProfiledError(f"{key} has no adapter in this profile (too little code, or not enrolled)")
        return key

    def adapter(self, name: str) -> Adapter:
        """An adapter by name."""
        from fingerprint.adapters.adapter import Adapter

        return Adapter.load(self.bench.store.require("adapter", self.adapters[name]), self.routed.routes)

    def nulls_of(self, name: str) -> dict[str, Adapter]:
        """Null adapters to stand beside an adapter: a foreign team's for the team, shuffled authors' else.

        Shuffled authors share one budget with every author, so all of them are nulls of each.
        """
        if name == TEAM:
            return {_NULL_TEAM: self.adapter(_NULL_TEAM)} if _NULL_TEAM in self.adapters else {}
        return {f"null {null}": self.adapter(null) for null in sorted(self.adapters) if "/" in null}

    def code_of(self, name: str, passages: Sequence[Passage]) -> list[Passage]:
        """One author's passages; the team's are all."""
        return [p for p in passages if name in (TEAM, p.author)]

    def read(self, name: str, n_tokens: int) -> list[Passage]:
        """Code that no adapter was trained on or stopped on, evenly over time; the team's is everybody's.

        Raises:
            ServiceError: there is none.
        """
        slices = self.plan.slices
        found = self.code_of(name, [*slices.calibration.passages, *slices.held_out.passages])
        if not found:
            raise ServiceError(
                f"{name} has no code that nothing was trained on; read another author, or the team"
            )
        return spread_passages(tuple(found), n_tokens)


def open_profile(repository: Path, settings: Settings, report: Progress) -> OpenedProfile:
    """Open a repository's current profile.

    Raises:
        NotProfiledError: there is none. ArtifactError, FingerprintError: it cannot be used.
    """
    _, place = find_profile(repository, settings)
    facts = read_json(place / "profile.json")
    choice = facts["choice"]
    team = TeamChoice(tuple(choice["paths"]), tuple(choice["authors"]), choice["with_agents"])
    bench, plan = prepare(repository, settings, ProfileConfig.model_validate(facts["config"]), team, report)
    return OpenedProfile(bench, plan, facts["adapters"])
