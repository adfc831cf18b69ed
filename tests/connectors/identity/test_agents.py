from __future__ import annotations

import re

import pytest

from connectors.identity.agents import agent_table, is_mechanical, is_placeholder, match_alias, match_trailer
from connectors.identity.author import Alias, Tier


@pytest.mark.parametrize(
    ("name", "email", "key"),
    [
        ("Claude", "noreply@anthropic.com", "claude"),
        ("Claude Opus 5", "noreply@anthropic.com", "claude"),
        ("Claude Sonnet 4.5 (1M context)", "jane@corp.io", "claude"),
        ("Cursor Grok 4.6", "noreply@anthropic.com", "cursor"),  # another tool on the same address
        ("Cursor Agent", "cursoragent@cursor.com", "cursor"),
        ("copilot-swe-agent[bot]", "198982749+Copilot@users.noreply.github.com", "copilot"),
        ("Copilot", "223556219+Copilot@users.noreply.github.com", "copilot"),
        ("Copilot Autofix powered by AI", "175728472+Copilot@users.noreply.github.com", "copilot"),
        (
            "devin-ai-integration[bot]",
            "158243242+devin-ai-integration[bot]@users.noreply.github.com",
            "devin",
        ),
        ("google-labs-jules[bot]", "161369871+google-labs-jules[bot]@users.noreply.github.com", "jules"),
        ("Jane Doe (aider)", "jane@corp.io", "aider"),
        ("aider (gpt-4o)", "aider@aider.chat", "aider"),
        ("openhands", "openhands@all-hands.dev", "openhands"),
        ("Amp", "amp@ampcode.com", "amp"),
        ("Codex", "codex@example.com", "codex"),
        ("Jane's helper", "jane+claude@corp.io", "claude"),
    ],
)
def test_agents_are_recognised(name: str, email: str, key: str):
    found = match_alias(Alias(name, email))
    assert found is not None and found[0].key == key
    assert found[1].tier in (Tier.B, Tier.C)  # nothing in git is proof


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Gemini Rodriguez", "gemini@corp.io"),
        ("Claude", "claude@corp.fr"),
        ("Claude Martin", "claude.martin@corp.fr"),
        ("Devin", "devin@corp.io"),
        ("Devin Smith", "devin@users.noreply.github.com"),
        ("Jules", "123+jules@users.noreply.github.com"),
        ("Scott", "scott@devin.ai"),
        ("Boris", "boris@anthropic.com"),
        ("Jane Doe", "jane@cursor.com"),
        ("Amp Chan", "amp@corp.io"),
    ],
)
def test_people_stay_people(name: str, email: str):
    assert match_alias(Alias(name, email)) is None
    assert not is_mechanical(Alias(name, email))


def test_an_app_login_with_another_id_is_tentative():
    found = match_alias(Alias("claude[bot]", "1+claude[bot]@users.noreply.github.com"))
    assert found is not None and found[1].tier is Tier.C


@pytest.mark.parametrize(
    ("key", "value", "agent"),
    [
        ("Assisted-by", "Claude:claude-opus-5 coccinelle", "claude"),
        ("Assisted-by", "Jane Doe <jane@corp.io>", None),
        ("Assisted-by", "Devin Smith", None),
        ("Generated-by", "protoc 3.1", None),
        ("Generated-by", "Cursor", "cursor"),
        ("Claude-Session", "https://claude.ai/code/session_1", "claude"),
        ("Amp-Thread-ID", "https://ampcode.com/threads/T-1", "amp"),
        ("Replit-Commit-Author", "Agent", "replit"),
        ("Made-with", "Cursor", "cursor"),
        ("Made-with", "love", None),
        ("Signed-off-by", "Claude <noreply@anthropic.com>", None),
    ],
)
def test_trailers(key: str, value: str, agent: str | None):
    found = match_trailer(key, value)
    assert (found and found[0].key) == agent


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
        ("renovate[bot]", "29139614+renovate[bot]@users.noreply.github.com"),
        ("some-new-thing[bot]", "1+some-new-thing[bot]@users.noreply.github.com"),
        ("getsentry-bot", "bot@sentry.io"),
        ("github-actions", "action@github.com"),
        ("release-please", "x@corp.io"),
    ],
)
def test_mechanical_bots(name: str, email: str):
    assert is_mechanical(Alias(name, email)) and match_alias(Alias(name, email)) is None


def test_placeholder_addresses():
    for email in ("", "none", "root@localhost", "codex@example.com", "you@example.org", "jane@laptop.local"):
        assert is_placeholder(email)
    for email in ("jane@corp.io", "1+jane@corp.io"):
        assert not is_placeholder(email)


def test_the_table_is_versioned_and_has_no_two_agents_with_one_mark():
    table = agent_table()
    assert re.fullmatch(r"\d{4}-\d{2}", table.version)
    assert len({agent.key for agent in table.agents}) == len(table.agents)
    emails = [email for agent in table.agents for email in agent.emails]
    assert len(set(emails)) == len(emails)
