"""From the names in commits to Authors, and from one commit to the Author credited with its text.

People are joined by handles, strongest first: ``.mailmap`` (git applies it before this module sees a name),
GitHub's ``ID+login@users.noreply.github.com``, the exact e-mail address; then tentatively the legacy
``login@users.noreply.github.com``, a name that is such a login, and the same full name. Placeholder addresses
join nobody, agents are taken out before any join, and two GitHub ids are never joined by a name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connectors.identity.agents import (
    NOREPLY,
    Agent,
    agent_of_tool,
    is_mechanical,
    is_placeholder,
    match_alias,
    match_body,
    match_trailer,
    parse_person,
)
from connectors.identity.author import Alias, Author, AuthorKind, Credit, Evidence, Label, Tier
from connectors.identity.notes import Attested

MANY_NAMES = 4  # distinct names on one address before the user is told


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """What a commit says about its making.

    Attributes:
        author: git author after ``.mailmap``.
        trailers: (key, value) pairs from git's own parser, in order.
        body: the message without its subject line.
    """

    author: Alias
    trailers: tuple[tuple[str, str], ...] = ()
    body: str = ""


class People:
    """The people of one repository, joined by handles; grows as aliases are learnt.

    Keys never change once given: when a later alias joins two people, the older key stays, and
    ``merged`` says which key the other one has become.
    """

    def __init__(self, known: Iterable[Author] = ()) -> None:
        self._parent: dict[str, str] = {}
        self._keys: dict[str, str] = {}  # root handle -> key
        self._names: dict[str, str] = {}  # key -> display name; given keys are never taken out
        self._ages: dict[str, int] = {}  # key -> order in which it was given
        self.merged: dict[str, str] = {}  # key that is no longer used -> the older key
        self._claimed: set[str] = set()  # tentative handles that an alias hangs on
        self._github_ids: dict[str, str] = {}  # root handle -> GitHub id
        self._aliases: dict[Alias, str] = {}  # alias -> one of its handles
        self._evidence: dict[str, list[Evidence]] = defaultdict(list)  # root handle -> evidence
        known = tuple(known)
        for author in known:
            self._restore(author)
        self._restore_tentative_handles(known)

    def learn(self, aliases: Iterable[Alias]) -> None:
        """Take in aliases, oldest first: all strong joins, then the tentative ones, then keys."""
        new = [alias for alias in dict.fromkeys(aliases) if alias not in self._aliases]
        for alias in new:
            self._join_strongly(alias)
        for alias in sorted(new, key=lambda alias: NOREPLY.match(alias.email) is None):
            self._join_tentatively(alias)
        for alias in sorted(new, key=lambda alias: not _is_full_name(alias.name)):
            self._ensure_key(alias)

    def key_of(self, alias: Alias) -> str:
        """Key of the person behind an alias, learnt now if it is new."""
        if alias not in self._aliases:
            self.learn([alias])
        return self._keys[self._root(self._aliases[alias])]

    @property
    def authors(self) -> dict[str, Author]:
        """Every person learnt so far, by key."""
        aliases: dict[str, list[Alias]] = defaultdict(list)
        for alias, handle in self._aliases.items():
            aliases[self._root(handle)].append(alias)
        return {self._keys[root]: self._author(root, found) for root, found in aliases.items()}

    def shared_addresses(self) -> dict[str, list[str]]:
        """Addresses that ``MANY_NAMES`` or more names use, with those names."""
        names: dict[str, set[str]] = defaultdict(set)
        for alias in self._aliases:
            if not is_placeholder(alias.email):
                names[alias.email.lower()].add(alias.name)
        return {email: sorted(found) for email, found in names.items() if len(found) >= MANY_NAMES}

    def _author(self, root: str, aliases: list[Alias]) -> Author:
        key = self._keys[root]
        evidence = tuple(dict.fromkeys(self._evidence[root]))
        tier = max((item.tier for item in evidence), default=Tier.B)
        return Author(key, self._names[key], AuthorKind.HUMAN, tier, tuple(sorted(aliases)), evidence)

    def _restore(self, author: Author) -> None:
        for alias in author.aliases:
            self._join_strongly(alias)
            self._union(self._aliases[author.aliases[0]], self._aliases[alias])
        if author.aliases:
            root = self._root(self._aliases[author.aliases[0]])
            self._give_key(root, author.key, author.name)
            self._evidence[root] = list(author.evidence)

    def _restore_tentative_handles(self, known: Sequence[Author]) -> None:
        """Hang tentative handles on restored people as an earlier run did; they join nobody it kept apart."""
        handles = [(a, kind, handle) for author in known for a in author.aliases
                   for kind, handle, _ in _tentative_handles(a)]  # fmt: skip
        accounts = {handle for _, kind, handle in handles if kind == "noreply-login"}
        for alias, kind, handle in handles:
            if kind == "name-is-login" and handle not in accounts:
                continue
            self._claimed.add(handle)
            if self._root(handle) not in self._keys:
                self._union(self._aliases[alias], handle)

    def _join_strongly(self, alias: Alias) -> None:
        handles = _strong_handles(alias)
        self._aliases[alias] = handles[0]
        for handle in handles:
            is_known = handle in self._parent
            root = self._union(handles[0], handle)
            if handle.startswith("github-id:"):
                self._github_ids[root] = handle
                self._evidence[root].append(Evidence("noreply-id", alias.email, Tier.B))
            elif is_known and handle.startswith("mail:"):
                self._evidence[root].append(Evidence("same-email", alias.email, Tier.B))

    def _join_tentatively(self, alias: Alias) -> None:
        for kind, handle, text in _tentative_handles(alias):
            root, other = self._root(self._aliases[alias]), self._root(handle)
            is_claimed = handle in self._claimed
            if kind == "name-is-login" and not is_claimed:
                continue  # a name alone is no account
            self._claimed.add(handle)
            if root == other:
                continue
            ids = self._github_ids.get(root), self._github_ids.get(other)
            if None not in ids and ids[0] != ids[1]:
                continue  # two accounts: two people until somebody says otherwise in .mailmap
            merged = self._union(other, root)
            if is_claimed:
                self._evidence[merged].append(Evidence(kind, text, Tier.C))

    def _ensure_key(self, alias: Alias) -> None:
        root = self._root(self._aliases[alias])
        if root in self._keys:
            return
        key = f"human:{_slug(alias.name) or _digest(alias)}"
        while key in self._names:
            key = f"{key}.{_digest(alias)}"
        self._give_key(root, key, alias.name or alias.email or "unknown")

    def _give_key(self, root: str, key: str, name: str) -> None:
        self._keys[root], self._names[key] = key, name
        self._ages[key] = len(self._ages)

    def _root(self, handle: str) -> str:
        self._parent.setdefault(handle, handle)
        while self._parent[handle] != handle:
            self._parent[handle] = self._parent[self._parent[handle]]
            handle = self._parent[handle]
        return handle

    def _union(self, first: str, second: str) -> str:
        """Join two handles. The side with the older key stays root; returns the root."""
        root, other = self._root(first), self._root(second)
        if root == other:
            return root
        age = lambda handle: self._ages.get(self._keys.get(handle, ""), len(self._ages))  # noqa: E731
        if age(other) < age(root):
            root, other = other, root
        self._parent[other] = root
        if other in self._keys:
            self.merged[self._keys.pop(other)] = self._keys[root]
        if other in self._github_ids:
            self._github_ids.setdefault(root, self._github_ids.pop(other))
        if other in self._evidence:
            self._evidence[root] += self._evidence.pop(other)
        return root


def _strong_handles(alias: Alias) -> list[str]:
    """What identifies this alias beyond doubt; never empty."""
    account = NOREPLY.match(alias.email)
    if account and account[1]:
        return [f"github-id:{account[1]}", f"mail:{alias.email.lower()}"]
    if not is_placeholder(alias.email):
        return [f"mail:{alias.email.lower()}"]
    return [f"pair:{alias.name}|{alias.email.lower()}"]


def _tentative_handles(alias: Alias) -> list[tuple[str, str, str]]:
    """(kind, handle, text) of what makes two aliases probably the same person."""
    found = []
    account = NOREPLY.match(alias.email)
    if account:
        found.append(("noreply-login", f"login:{account[2].lower()}", account[2]))
    if _is_full_name(alias.name):
        found.append(("same-name", _name_handle(alias.name), alias.name))
    elif re.fullmatch(r"[A-Za-z0-9-]{6,}", alias.name):
        found.append(("name-is-login", f"login:{alias.name.lower()}", alias.name))
    return found


def _is_full_name(name: str) -> bool:
    """At least two words of two letters or more: "Jane Doe", not "jane", "J D" or "dev team 2"."""
    words = [word for word in re.split(r"[\s.]+", name) if sum(c.isalpha() for c in word) >= 2]
    return len(words) >= 2 and "@" not in name and not any(c.isdigit() for c in name)


def _name_handle(name: str) -> str:
    return "name:" + " ".join(_plain(name).split())


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _slug(name: str) -> str:
    """Lower-case words joined by hyphens. The "." of a collision suffix cannot occur in it."""
    return re.sub(r"[\W_]+", "-", _plain(name)).strip("-")


def _digest(alias: Alias) -> str:
    return hashlib.sha256(f"{alias.name}\0{alias.email}".encode("utf-8", "replace")).hexdigest()[:10]


class Resolver:
    """Credits commits of one repository, keeping its people and the agents seen so far."""

    def __init__(self, known: Iterable[Author] = ()) -> None:
        known = tuple(known)
        self.people = People(author for author in known if author.kind is AuthorKind.HUMAN)
        self._agents = {author.key: author for author in known if author.kind is AuthorKind.AGENT}

    def learn(self, aliases: Iterable[Alias]) -> None:
        """Take in git authors before crediting, so that joins do not depend on order."""
        self.people.learn(a for a in aliases if match_alias(a) is None and not is_mechanical(a))

    @property
    def authors(self) -> dict[str, Author]:
        """Everyone seen so far, people and agents, by key."""
        return self.people.authors | self._agents

    def credit(self, facts: CommitFacts) -> Credit:
        """Decide who is credited with a commit's text.

        - git author is an agent: ``agent``; a human co-author is the requester, not an author.
        - git author is a mechanical bot: ``mechanical``, credited to nobody; unless an agent is declared.
        - git author is a person, an agent is declared in a trailer or a whole body line: ``assisted``,
          credited to the *agent* with the person as requester. Such text never trains the person's own
          adapter; keep it apart from ``agent`` by the label.
        - no mark: ``undeclared``, credited to the git author. Absence of a trailer does not mean human.

        The subject line counts for nothing.
        """
        declared = list(_declared_agents(facts))
        own = match_alias(facts.author)
        if own is not None:
            return self._agent_credit(Label.AGENT, [own, *declared], facts)
        if declared:
            label = Label.AGENT if is_mechanical(facts.author) else Label.ASSISTED
            return self._agent_credit(label, declared, facts)
        if is_mechanical(facts.author):
            shown = f"{facts.author.name} <{facts.author.email}>"
            return Credit(Label.MECHANICAL, "", evidence=(Evidence("bot-name", shown, Tier.B),))
        return Credit(Label.UNDECLARED, self.people.key_of(facts.author))

    def credit_file(self, credit: Credit, facts: CommitFacts, attested: Attested) -> Credit:
        """Decide who is credited with one file's text, where a line note tells more than the commit does.

        - agents' lines: ``assisted``, credited to the agent with most of them; such a file never trains
          the person's own adapter, however few they are.
        - people's lines and no agent's: ``human-declared``, credited to the git author.
        - no attested line, or a commit that is not a person's: as the commit.
        """
        if credit.label in {Label.AGENT, Label.MECHANICAL} or not (attested.n_agent or attested.n_human):
            return credit
        n_lines = f"{attested.n_agent} of {attested.n_agent + attested.n_human} attested lines are agents'"
        evidence = Evidence("line-note", n_lines, Tier.B)
        if attested.n_agent:
            found = [(agent_of_tool(tool), evidence) for tool, _ in attested.by_tool.most_common()]
            return self._agent_credit(Label.ASSISTED, found, facts)
        return Credit(Label.HUMAN_DECLARED, self.people.key_of(facts.author), evidence=(evidence,))

    def _agent_credit(self, label: Label, found: list[tuple[Agent, Evidence]], facts: CommitFacts) -> Credit:
        for agent, evidence in found:
            self._remember(agent, evidence, facts.author if agent is found[0][0] else None)
        agents = tuple(dict.fromkeys(agent.author_key for agent, _ in found))
        evidence = tuple(sorted(dict.fromkeys(e for _, e in found), key=lambda e: e.tier))
        return Credit(label, agents[0], agents, self._requester(label, facts), evidence)

    def _requester(self, label: Label, facts: CommitFacts) -> str:
        """The person who asked: the git author of an assisted commit, else the first human co-author."""
        if label is Label.ASSISTED:
            return self.people.key_of(facts.author)
        base = facts.author.name.removesuffix(" (aider)")
        if base != facts.author.name:
            return self.people.key_of(Alias(base, facts.author.email))
        for key, value in facts.trailers:
            if key.lower() != "co-authored-by":
                continue
            alias = parse_person(value)
            if match_alias(alias) is None and not is_mechanical(alias):
                return self.people.key_of(alias)
        return ""

    def _remember(self, agent: Agent, evidence: Evidence, alias: Alias | None) -> None:
        """Keep one Author per agent, with the git aliases it commits under and one example per kind."""
        known = self._agents.get(agent.author_key)
        kinds = () if known is None else known.evidence
        if evidence.kind not in {item.kind for item in kinds}:
            kinds = (*kinds, evidence)
        aliases = set(() if known is None else known.aliases)
        if alias is not None and match_alias(alias) is not None:
            aliases.add(alias)
        tier = min(item.tier for item in kinds)
        self._agents[agent.author_key] = Author(
            agent.author_key, agent.name, AuthorKind.AGENT, tier, tuple(sorted(aliases)), kinds
        )


def _declared_agents(facts: CommitFacts) -> Iterable[tuple[Agent, Evidence]]:
    for key, value in facts.trailers:
        if key.lower() == "co-authored-by":
            found = match_alias(parse_person(value))
            if found is not None:
                yield found[0], Evidence("trailer", f"{key}: {value}", found[1].tier)
        elif (found := match_trailer(key, value)) is not None:
            yield found
    if (found := match_body(facts.body)) is not None:
        yield found
