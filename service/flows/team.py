"""Who is the team: which contributions are enrolled, and why the others are not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from connectors.contribution import Contribution
from connectors.identity.author import Author, AuthorKind, Label, forgotten_digest
from fingerprint.passage import Corpus
from service import ServiceError
from service.flows.passages import corpus_of


class UnknownAuthorError(ServiceError):
    """A name that the user gave fits no author, or several."""


@dataclass(frozen=True)
class TeamChoice:
    """A team within a repository: by default the whole of it, declared agents left out.

    Attributes:
        paths: shell patterns over whole paths ("src/*" takes everything below src); any may fit.
        authors: author keys; empty for everybody.
        with_agents: enrol commits that declare an agent.
        forgotten: digests of the keys of authors who asked to be forgotten: their code is left out.
    """

    paths: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    with_agents: bool = False
    forgotten: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TeamChoice:
        """The choice that a stored profile was made with."""
        return cls(tuple(value["paths"]), tuple(value["authors"]), bool(value["with_agents"]))

    def describe(self) -> str:
        """The team in words."""
        who = ", ".join(self.authors) or "everybody"
        where = f"files matching {', '.join(self.paths)}" if self.paths else "the whole repository"
        agents = "agents enrolled" if self.with_agents else "declared agents left out"
        return f"{where}, {who}, {agents}"

    def facts(self) -> dict[str, object]:
        """As JSON, for the record; of the forgotten only how many they are."""
        facts: dict[str, object] = {
            "paths": list(self.paths), "authors": list(self.authors), "with_agents": self.with_agents,
        }  # fmt: skip
        return facts | ({"n_forgotten": len(self.forgotten)} if self.forgotten else {})

    def why_not(self, contribution: Contribution, kind: AuthorKind) -> str:
        """Why a contribution is not the team's; "" when it is."""
        if self.forgotten and forgotten_digest(contribution.author) in self.forgotten:
            return "by somebody who asked to be forgotten"
        if self.authors and contribution.author not in self.authors:
            return "not among the chosen authors"
        if self.paths and not fits(contribution.path, self.paths):
            return "outside the chosen paths"
        if self.with_agents:
            return ""
        if kind is AuthorKind.AGENT:
            return "by a declared agent"
        return "with a declared agent" if contribution.credit and contribution.credit.agents else ""


def team_of(teams: Mapping[str, Sequence[str]], lines: Mapping[str, int]) -> str:
    """The team whose paths hold most of a change: more than half of its lines, else the whole repository, "".

    Args:
        teams: path patterns by name, as `TeamChoice` takes them. lines: changed lines by path.
    """
    held = {name: sum(n for path, n in lines.items() if fits(path, paths)) for name, paths in teams.items()}
    best = max(sorted(held), key=lambda name: held[name], default="")
    return best if best and 2 * held[best] > sum(lines.values()) else ""


def fits(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is a team's: any pattern may fit the whole of it."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Enrolled:
    """The team's code.

    Attributes:
        corpus: the team's passages in time order. left_out: added lines that are not the team's, by
            reason. n_lines: added lines enrolled. labels: commits by author and declared label.
    """

    corpus: Corpus
    left_out: dict[str, int]
    n_lines: int
    labels: dict[str, Counter[Label]]


def enrol(contributions: Iterable[Contribution], authors: Sequence[Author], choice: TeamChoice) -> Enrolled:
    """Choose the team's contributions and turn them into its corpus."""
    kinds = {author.key: author.kind for author in authors}
    left_out: Counter[str] = Counter()
    chosen: list[Contribution] = []
    labels: dict[str, dict[str, Label]] = defaultdict(dict)
    for contribution in contributions:
        reason = choice.why_not(contribution, kinds.get(contribution.author, AuthorKind.HUMAN))
        if reason:
            left_out[reason] += contribution.n_added
            continue
        chosen.append(contribution)
        if contribution.credit:
            labels[contribution.author][contribution.commit] = contribution.credit.label
    counted = {author: Counter(by_commit.values()) for author, by_commit in labels.items()}
    n_lines = sum(contribution.n_added for contribution in chosen)
    return Enrolled(corpus_of(chosen), dict(left_out), n_lines, counted)


def agents_code(contributions: Iterable[Contribution], authors: Sequence[Author]) -> dict[str, Corpus]:
    """Passages by declared agent, whether it is the commit's author or named beside a person."""
    kinds = {author.key: author.kind for author in authors}
    found: dict[str, list[Contribution]] = defaultdict(list)
    for contribution in contributions:
        if kinds.get(contribution.author) is AuthorKind.AGENT:
            found[contribution.author].append(contribution)
        elif contribution.credit and contribution.credit.agents:
            found[contribution.credit.agents[0]].append(contribution)
    return {agent: corpus_of(code) for agent, code in sorted(found.items())}


def find_author(authors: Sequence[Author], word: str) -> Author:
    """The one author whose key, name or address is ``word``, whatever the case.

    Raises:
        UnknownAuthorError: none or several.
    """
    wanted = word.strip().casefold()
    found = [author for author in authors if wanted in _names(author)]
    if not found:
        found = [author for author in authors if any(wanted in name for name in _names(author))]
    if len(found) == 1:
        return found[0]
    known = ", ".join(author.key for author in sorted(found or authors, key=lambda a: a.key)[:12])
    problem = "fits no author" if not found else "fits several authors"
    raise UnknownAuthorError(f"{word!r} {problem}; known: {known or 'none'} (see `routeprint authors`)")


def _names(author: Author) -> set[str]:
    names = {author.key, author.name, author.key.partition(":")[2]}
    names |= {part for alias in author.aliases for part in (alias.name, alias.email)}
    return {name.casefold() for name in names}


def names_of(authors: Iterable[Author]) -> Mapping[str, Author]:
    """Authors by key."""
    return {author.key: author for author in authors}
