"""Authors, the names they go by, and the evidence that ties the two together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class AuthorKind(StrEnum):
    """Who writes: a person or a coding agent."""

    HUMAN = "human"
    AGENT = "agent"


class Tier(StrEnum):
    """How far evidence can be trusted.

    From git data alone nothing is better than B, because names, e-mails and trailers are free text.
    """

    A = "A"  # the platform vouches for the actor
    B = "B"  # a tool's default trailer or author, an exact address: forgeable, removable
    C = "C"  # tentative: same full name, legacy noreply login, plus-address
    D = "D"  # guessed from style; never used for labels


class Label(StrEnum):
    """What a commit says about who wrote it. Labels belong to commits, never to pull requests."""

    AGENT = "agent"  # an agent is the git author
    ASSISTED = "assisted"  # a person is the git author, an agent is declared beside them
    HUMAN_DECLARED = "human-declared"  # recorded as typed by a person
    UNDECLARED = "undeclared"  # no mark at all; this does not mean that a person wrote it
    MECHANICAL = "mechanical"  # a bot that updates, formats or releases; nobody's code


@dataclass(frozen=True, slots=True, order=True)
class Alias:
    """A name and e-mail pair as git shows it, after ``.mailmap``."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation about an author.

    Attributes:
        kind: what was looked at, such as "trailer", "author-name", "noreply-id", "same-name".
        text: the text that was seen.
        tier: how far it can be trusted.
    """

    kind: str
    text: str
    tier: Tier


@dataclass(frozen=True, slots=True)
class Author:
    """Someone or something that writes code.

    Attributes:
        key: stable and unique within a repository: "human:jane-doe", "agent:claude".
        name: display name.
        kind: human or agent.
        tier: the weakest tier among the evidence that holds the aliases together.
        aliases: every name and e-mail pair credited to this author, sorted.
        evidence: why the aliases belong together, or why this is an agent.
    """

    key: str
    name: str
    kind: AuthorKind
    tier: Tier
    aliases: tuple[Alias, ...]
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Credit:
    """How one commit's code is credited.

    Attributes:
        label: what the commit declares.
        author: key of the Author credited with the text ("" for mechanical bots).
        agents: keys of every declared agent, in order of appearance.
        requester: key of the person who asked an agent for the commit, or "".
        evidence: what was seen, strongest first.
    """

    label: Label
    author: str
    agents: tuple[str, ...] = ()
    requester: str = ""
    evidence: tuple[Evidence, ...] = ()


def forgotten_digest(key: str) -> str:
    """What is kept of the key of an author who asked to be forgotten: enough to leave their code out."""
    return hashlib.sha256(f"forgotten author {key}".encode()).hexdigest()
