from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.identity.author import Alias, AuthorKind, Label, Tier
from connectors.identity.resolve import CommitFacts, People, Resolver

JANE = Alias("Jane Doe", "jane@corp.io")


def credit(author: Alias, *trailers: tuple[str, str], body: str = "", resolver: Resolver | None = None):
    return (resolver or Resolver()).credit(CommitFacts(author, trailers, body))


def test_no_mark_is_undeclared_and_trains_the_git_author():
    found = credit(JANE)
    assert (found.label, found.author, found.agents) == (Label.UNDECLARED, "human:jane-doe", ())


def test_agent_author_with_a_human_co_author_names_the_requester():
    devin = Alias("devin-ai-integration[bot]", "158243242+devin-ai-integration[bot]@users.noreply.github.com")
    found = credit(devin, ("Co-authored-by", "Jane Doe <jane@corp.io>"))
    assert (found.label, found.author, found.requester) == (Label.AGENT, "agent:devin", "human:jane-doe")
    assert found.evidence[0].tier is Tier.B


def test_human_author_with_an_agent_trailer_is_assisted_and_credited_to_the_agent():
    resolver = Resolver()
    trailer = ("Co-Authored-By", "Claude Opus 5 <noreply@anthropic.com>")
    found = credit(JANE, trailer, resolver=resolver)
    assert (found.label, found.author, found.requester) == (Label.ASSISTED, "agent:claude", "human:jane-doe")
    assert "Claude Opus 5" in found.evidence[0].text
    agent = resolver.authors["agent:claude"]
    assert agent.kind is AuthorKind.AGENT and agent.aliases == ()  # Jane's alias is not the agent's


def test_body_line_declares_but_prose_about_agents_does_not():
    line = "\U0001f916 Generated with [Claude Code](https://claude.com/claude-code)"
    assert credit(JANE, body=f"Why.\n\n{line}\n").label is Label.ASSISTED
    prose = "This was not Generated with [Claude Code] but mentions it"
    assert credit(JANE, body=prose).label is Label.UNDECLARED


def test_human_co_author_changes_nothing():
    assert credit(JANE, ("Co-authored-by", "Gemini Rodriguez <g@corp.io>")).author == "human:jane-doe"


def test_mechanical_bot_is_nobody_unless_an_agent_is_declared():
    bot = Alias("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
    assert (credit(bot).label, credit(bot).author) == (Label.MECHANICAL, "")
    declared = credit(bot, ("Co-authored-by", "Claude <noreply@anthropic.com>"))
    assert (declared.label, declared.author) == (Label.AGENT, "agent:claude")


def test_aider_suffix_is_the_agent_and_the_person_the_requester():
    found = credit(Alias("Jane Doe (aider)", "jane@corp.io"))
    assert (found.label, found.author, found.requester) == (Label.AGENT, "agent:aider", "human:jane-doe")


def test_an_address_shared_by_a_person_and_their_agent_does_not_merge_them():
    resolver = Resolver()
    agent = Alias("Claude Code", "jane@corp.io")
    resolver.learn([agent, JANE])
    assert resolver.credit(CommitFacts(agent)).author == "agent:claude"
    assert resolver.authors["human:jane-doe"].aliases == (JANE,)


def test_people_join_by_noreply_id_mail_and_full_name():
    people = People()
    people.learn(
        [
            Alias("jdoe", "99+jdoe@users.noreply.github.com"),
            Alias("Jane Doe", "99+janedoe@users.noreply.github.com"),  # renamed account, same id
            Alias("JANE  DOE", "jane@home.net"),  # same full name: tentative
            Alias("jd", "jane@home.net"),
            Alias("jdoe", "jdoe@users.noreply.github.com"),  # legacy login: tentative
        ]
    )
    (author,) = people.authors.values()
    assert author.key == "human:jane-doe" and len(author.aliases) == 5
    assert author.tier is Tier.C
    assert {item.kind for item in author.evidence} >= {
        "noreply-id",
        "same-name",
        "same-email",
        "noreply-login",
    }


def test_what_does_not_join():
    people = People()
    aliases = [
        Alias("John Smith", "1+js@users.noreply.github.com"),
        Alias("John Smith", "2+other@users.noreply.github.com"),  # two accounts of one name
        Alias("alex", "alex@a.io"),
        Alias("alex", "alex@b.io"),  # a first name is not a full name
        Alias("Kim Lee", "you@example.com"),
        Alias("Bo Chen", "you@example.com"),  # placeholder addresses join nobody
    ]
    people.learn(aliases)
    assert len(people.authors) == len(aliases)
    assert len({people.key_of(alias) for alias in aliases}) == len(aliases)
    assert sum(key.startswith("human:alex") for key in people.authors) == 2


def test_keys_survive_a_later_join_and_the_other_key_is_told():
    people = People()
    first = people.key_of(Alias("jdoe", "jane@corp.io"))
    second = people.key_of(Alias("Jane Doe", "jane@home.net"))
    assert first != second
    assert people.key_of(Alias("Jane Doe", "jane@corp.io")) == first
    assert people.merged == {second: first}
    assert people.key_of(Alias("Jane Doe", "jane@home.net")) == first


def test_a_later_run_gives_the_same_keys():
    people = People()
    people.learn([Alias("alex", "alex@a.io"), Alias("alex", "alex@b.io"), JANE])
    again = People(people.authors.values())
    assert again.authors.keys() == people.authors.keys()
    assert again.key_of(Alias("alex", "alex@b.io")) == people.key_of(Alias("alex", "alex@b.io"))
    assert again.key_of(Alias("Jane Doe", "other@home.net")) == "human:jane-doe"


def test_an_address_of_many_names_is_told():
    people = People()
    people.learn([Alias(f"emma{n}", "shared@corp.io") for n in range(4)])
    assert list(people.shared_addresses()) == ["shared@corp.io"]


_alias = st.builds(
    Alias,
    st.sampled_from(["Jane Doe", "jdoe", "John Roe", "johnroe", "x", "", "名前", "Jane Döe"]),
    st.sampled_from(
        ["", "a@b.io", "c@d.io", "you@example.com", "1+jdoe@users.noreply.github.com",
         "2+johnroe@users.noreply.github.com", "jdoe@users.noreply.github.com"]
    ),
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(_alias, unique=True, min_size=1), st.randoms(use_true_random=False))
def test_every_alias_has_one_author_and_batches_agree_with_any_order(
    aliases: list[Alias], rng: random.Random
):
    people = People()
    people.learn(aliases)
    owners = {alias: key for key, author in people.authors.items() for alias in author.aliases}
    assert owners == {alias: people.key_of(alias) for alias in aliases}
    shuffled = aliases[:]
    rng.shuffle(shuffled)
    singly = People()
    for alias in shuffled:
        singly.learn([alias])
    assert {alias for author in singly.authors.values() for alias in author.aliases} == set(aliases)
    assert all(key == author.key for key, author in singly.authors.items())


@settings(max_examples=200)
@given(st.lists(_alias, unique=True, min_size=1))
def test_a_later_run_knows_the_same_people(aliases: list[Alias]):
    people = People()
    people.learn(aliases)
    again = People(people.authors.values())
    assert {key: set(a.aliases) for key, a in again.authors.items()} == {
        key: set(a.aliases) for key, a in people.authors.items()
    }
    assert not again.merged
