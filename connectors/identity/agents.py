"""The marks that coding agents leave, read from ``agents.toml``, and how to recognise them.

Rules (product page, section 5): the *name* is read before the address, because tools reuse each other's
addresses; a plain first name never suffices (Claude, Devin and Gemini Rodriguez are people); people who
work for a vendor are people; the subject line is never looked at.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from connectors.identity.author import Alias, Evidence, Tier

NOREPLY = re.compile(r"(?:(\d+)\+)?([^@+\s]+)@users\.noreply\.github\.com$", re.I)
_PLACEHOLDER = re.compile(
    r"(@(.*\.)?example\.(com|org|net)|@[^.]*|@.*\.(local|localdomain|localhost|invalid|test|internal)"
    r"|^(you|your|me|user|test|email|nobody|none|root|no-?reply)@.*|@users\.noreply\.github\.com)$",
    re.I,
)
_TOOL_KEYS = ("assisted-by", "generated-by", "ai-assistant", "ai-assisted-by", "co-developed-by")


@dataclass(frozen=True, slots=True)
class Agent:
    """One row of the table; see the comments in ``agents.toml`` for the fields."""

    key: str
    name: str
    names: tuple[re.Pattern[str], ...]
    weak: frozenset[str]
    emails: frozenset[str]
    bots: frozenset[tuple[str, int]]
    trailers: frozenset[str]
    tools: frozenset[str]
    made_with: frozenset[str]
    body: tuple[re.Pattern[str], ...]

    @property
    def author_key(self) -> str:
        """Key of the Author this agent is."""
        return f"agent:{self.key}"


@dataclass(frozen=True, slots=True)
class AgentTable:
    """Every known agent, and the marks of mechanical bots."""

    version: str
    agents: tuple[Agent, ...]
    mechanical_names: tuple[re.Pattern[str], ...]
    mechanical_ids: frozenset[int]
    mechanical_emails: frozenset[str]


@cache
def agent_table() -> AgentTable:
    """The table shipped with this package."""
    data = tomllib.loads((files("connectors.identity") / "agents.toml").read_text("utf-8"))
    mechanical = data["mechanical"]
    return AgentTable(
        data["version"],
        tuple(_agent(row) for row in data["agent"]),
        _patterns(mechanical["names"]),
        frozenset(mechanical["ids"]),
        frozenset(mechanical["emails"]),
    )


def _agent(row: dict) -> Agent:
    lowered = lambda field: frozenset(word.lower() for word in row.get(field, ()))  # noqa: E731
    return Agent(
        row["key"],
        row["name"],
        _patterns(row["names"]),
        lowered("weak"),
        lowered("emails"),
        frozenset((bot["login"].lower(), bot["id"]) for bot in row.get("bots", ())),
        lowered("trailers"),
        lowered("tools"),
        lowered("made_with"),
        _patterns(row.get("body", ())),
    )


def _patterns(sources: list[str] | tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(source) for source in sources)


def is_placeholder(email: str) -> bool:
    """True if many people share such an address, so that it identifies nobody."""
    return not email or "@" not in email or _PLACEHOLDER.search(email) is not None


@lru_cache(maxsize=4096)
def match_alias(alias: Alias) -> tuple[Agent, Evidence] | None:
    """The agent that goes by this name and address, if any.

    In order: a GitHub App's account, a name that only an agent has, the exact address, a plain first name
    with a placeholder address, a plus-address such as ``jane+claude@`` (tier C).
    """
    email, name = alias.email.lower(), alias.name.strip()
    shown = f"{alias.name} <{alias.email}>"
    account = NOREPLY.match(email)
    agents = agent_table().agents
    if account and (found := _match_account(account[1], account[2], shown)):
        return found
    for agent in agents:
        if any(pattern.search(name) for pattern in agent.names):
            return agent, Evidence("agent-name", shown, Tier.B)
    for agent in agents:
        if email in agent.emails:
            return agent, Evidence("agent-email", shown, Tier.B)
    for agent in agents:
        if name.lower() in agent.weak and not account and is_placeholder(email):
            return agent, Evidence("agent-name", shown, Tier.B)
    tag = email.partition("@")[0].partition("+")[2]
    for agent in agents:
        if not account and tag in agent.tools:
            return agent, Evidence("plus-address", shown, Tier.C)
    return None


def _match_account(number: str | None, login: str, shown: str) -> tuple[Agent, Evidence] | None:
    """A GitHub App by login; the numeric id makes it certain as far as git data can be."""
    login = login.lower()
    for agent in agent_table().agents:
        for bot_login, bot_id in agent.bots:
            if number and int(number) == bot_id:
                return agent, Evidence("app-id", shown, Tier.B)
            if login == bot_login and login.endswith("[bot]"):
                return agent, Evidence("app-login", shown, Tier.C if number else Tier.B)
    return None


def match_trailer(key: str, value: str) -> tuple[Agent, Evidence] | None:
    """The agent that a trailer other than Co-authored-by declares, if any.

    ``Assisted-by`` and its like count only with a known tool's name: people use them for people.
    """
    lowered, shown = key.lower(), f"{key}: {value}"
    for agent in agent_table().agents:
        if lowered in agent.trailers:
            return agent, Evidence("trailer", shown, Tier.B)
        if lowered == "made-with" and value.strip().lower() in agent.made_with:
            return agent, Evidence("trailer", shown, Tier.B)
    if lowered not in _TOOL_KEYS:
        return None
    if "<" in value:
        return match_alias(parse_person(value))
    tool = re.split(r"[:/(]", value, maxsplit=1)[0].strip().lower()
    for agent in agent_table().agents:
        if tool in agent.tools or any(pattern.search(value.strip()) for pattern in agent.names):
            return agent, Evidence("trailer", shown, Tier.B)
    return None


def agent_of_tool(tool: str) -> Agent:
    """The agent that goes by a tool's name; one that the table lacks gets a row of its own."""
    for agent in agent_table().agents:
        if tool in agent.tools or tool == agent.key:
            return agent
    key = re.sub(r"[^a-z0-9]+", "-", tool.lower()).strip("-") or "unknown"
    nobody: frozenset[str] = frozenset()
    return Agent(key, tool, (), nobody, nobody, frozenset(), nobody, nobody, nobody, ())


def match_body(body: str) -> tuple[Agent, Evidence] | None:
    """The agent that a whole line of the commit message's body declares, if any."""
    if "enerated with" not in body:
        return None
    for line in body.split("\n"):
        for agent in agent_table().agents:
            if any(pattern.match(line) for pattern in agent.body):
                return agent, Evidence("message-line", line, Tier.B)
    return None


@lru_cache(maxsize=4096)
def is_mechanical(alias: Alias) -> bool:
    """True for bots that update, format or release; ask ``match_alias`` first, agents can be ``[bot]``."""
    table = agent_table()
    account = NOREPLY.match(alias.email)
    if account and account[1] and int(account[1]) in table.mechanical_ids:
        return True
    if alias.email.lower() in table.mechanical_emails:
        return True
    if account and account[2].lower().endswith("[bot]"):
        return True
    return any(pattern.search(alias.name.strip()) for pattern in table.mechanical_names)


def parse_person(text: str) -> Alias:
    """Split ``Jane Doe <jane@example.org>``; without brackets all of it is the name."""
    name, bracket, rest = text.partition("<")
    return Alias(name.strip(), rest.partition(">")[0].strip() if bracket else "")
