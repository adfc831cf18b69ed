"""A profiled repository opened again: its code, its base and every adapter of its profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.config import ProfileConfig
from fingerprint.passage import Passage
from service.artifacts import read_json
from service.flows.plan import Plan, prepare
from service.flows.profile import NotProfiledError, find_profile
from service.flows.team import TeamChoice
from service.flows.training import Bench, Progress
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter


@dataclass(frozen=True)
class Profiled:
    """What a profile was made from and what it trained.

    Attributes:
        repository: the profiled one. bench: base, store and dials. plan: the team's code by slice.
        adapters: by name, as the profile lists them. digests: of these adapters.
    """

    repository: Path
    bench: Bench
    plan: Plan
    adapters: dict[str, Adapter]
    digests: dict[str, str]

    @property
    def authors(self) -> dict[str, Adapter]:
        """Enrolled authors' adapters, by key."""
        return {name: adapter for name, adapter in self.adapters.items() if adapter.kind == "author"}

    @property
    def nulls(self) -> dict[str, Adapter]:
        """Shuffled authors' adapters, trained like an author's."""
        return {
            name: adapter
            for name, adapter in self.adapters.items()
            if adapter.kind == "null" and adapter.is_difference
        }

    @property
    def team_nulls(self) -> dict[str, Adapter]:
        """Adapters of other people's code, trained like the team's."""
        return {
            name: adapter
            for name, adapter in self.adapters.items()
            if adapter.kind == "null" and not adapter.is_difference
        }

    @property
    def unread(self) -> tuple[Passage, ...]:
        """The team's newest code: no adapter was trained or stopped on it."""
        slices = self.plan.slices
        return (*slices.calibration.passages, *slices.held_out.passages)

    def author(self, key: str) -> Adapter:
        """One author's adapter.

        Raises:
            NotProfiledError: the author was not trained.
        """
        if key not in self.authors:
            raise NotProfiledError(
                f"{key} has no adapter in this profile; trained: {', '.join(self.authors)}"
            )
        return self.authors[key]


def open_profiled(repository: Path, settings: Settings, report: Progress = lambda _: None) -> Profiled:
    """Read a repository's code, base and adapters again, cut as its profile cut them.

    Raises:
        NotProfiledError: it has no profile. ArtifactError, FingerprintError: it cannot be used.
    """
    from fingerprint.adapters.adapter import Adapter

    _, place = find_profile(repository, settings)
    facts = read_json(place / "profile.json")
    chosen = facts["choice"]
    choice = TeamChoice(tuple(chosen["paths"]), tuple(chosen["authors"]), chosen["with_agents"])
    config = ProfileConfig.model_validate(facts["config"])
    bench, plan = prepare(repository, settings, config, choice, report)
    digests: dict[str, str] = facts["adapters"]
    adapters = {
        name: Adapter.load(bench.store.require("adapter", digest), bench.routed.routes)
        for name, digest in digests.items()
    }
    return Profiled(repository, bench, plan, adapters, digests)
