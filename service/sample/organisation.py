"""The sample organisation: a repository with known habits, and three new diffs with known answers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from service.sample.diffs import SampleDiff, write_diff
from service.sample.history import Chronicle, Progress
from service.sample.people import AGENT, STRANGER, TEAM, Person
from service.sample.repository import HistoryWriter, run_git
from service.sample.source import stdlib_modules
from service.sample.traces import PlantedHabit, habits_of
from service.sample.writing import Desk

Verdict = Literal["typical", "unusual"]

_ENGINEER_CHARACTERS = 160_000
_AGENT_CHARACTERS = 40_000
_FIRST_MODULES = 8
_EXPECTED: Mapping[str, Verdict] = MappingProxyType(
    {"member": "typical", "stranger": "unusual", "agent": "unusual"}
)


@dataclass(frozen=True, slots=True)
class SampleOrganisation:
    """The repository and the truth about it.

    Attributes:
        path: work tree, with branch ``main`` checked out.
        head: object id of the last commit.
        seed: what it was built from.
        team: the three engineers, with every address they commit under.
        agent: the agent's identity.
        truth: planted habits by author key (``mara``, ``tomasz``, ``priya``, ``agent``, ``stranger``).
        house: the habits that all three engineers share.
        diffs: the new diffs ``member``, ``stranger`` and ``agent``, against ``head``.
        expected: what a sound drift score says of each of them.
        n_commits: commits that carry an author's own hand, by author key.
        n_characters: characters added in those, by author key.
        noise: object ids of the commits that nobody wrote by hand, by kind.
    """

    path: Path
    head: str
    seed: int
    team: tuple[Person, ...]
    agent: Person
    truth: Mapping[str, tuple[PlantedHabit, ...]]
    house: tuple[PlantedHabit, ...]
    diffs: Mapping[str, SampleDiff]
    expected: Mapping[str, Verdict] = field(default_factory=lambda: _EXPECTED)
    n_commits: Mapping[str, int] = field(default_factory=dict)
    n_characters: Mapping[str, int] = field(default_factory=dict)
    noise: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def build_sample(
    path: Path, seed: int = 0, *, scale: float = 1.0, progress: Progress | None = None
) -> SampleOrganisation:
    """Build the sample organisation in an empty or new folder.

    The same seed, scale and Python version give the same head commit.

    Args:
        path: where the repository goes.
        seed: chooses modules, their authors and every place where a habit is kept or not.
        scale: 1 is about 160k characters for each engineer, and 40k for the agent.
        progress: called with a stage's name and the fraction of it that is done.

    Raises:
        ServiceError: if the folder has files, git fails, or Python's standard library is not there as source.
    """
    report = progress or _ignore
    rng = random.Random(f"sample {seed}")
    budgets = {person.key: round(_ENGINEER_CHARACTERS * scale) for person in TEAM}
    budgets[AGENT.key] = round(_AGENT_CHARACTERS * scale)
    with HistoryWriter(path) as writer:
        modules = stdlib_modules(seed)
        desk = Desk(iter(modules[2:]), rng)
        desk.open_modules(_FIRST_MODULES)
        chronicle = Chronicle(writer, desk, rng, budgets)
        chronicle.write(modules[:2], report)
        noise = {kind: tuple(map(writer.object_id, marks)) for kind, marks in chronicle.tally.noise.items()}
    member = rng.choice(TEAM)
    diffs: dict[str, SampleDiff] = {}
    for key, person in {"member": member, "stranger": STRANGER, "agent": AGENT}.items():
        report("diffs", len(diffs) / 3)
        diffs[key] = write_diff(path, desk, person)
    return SampleOrganisation(
        path=path,
        head=run_git(path, "rev-parse", "HEAD").strip(),
        seed=seed,
        team=TEAM,
        agent=AGENT,
        truth={person.key: habits_of(person.style) for person in (*TEAM, AGENT, STRANGER)},
        house=tuple(h for h in habits_of(TEAM[0].style) if all(h in habits_of(p.style) for p in TEAM)),
        diffs=diffs,
        n_commits=chronicle.tally.n_commits,
        n_characters=chronicle.tally.n_characters,
        noise=noise,
    )


def _ignore(stage: str, fraction: float) -> None:
    """Progress for nobody."""
