"""The sample organisation against real git: what is promised of it can be found in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import ServiceError
from service.sample.diffs import added_lines
from service.sample.organisation import SampleOrganisation, build_sample
from service.sample.people import AGENT, MARA, PRIYA, STRANGER, TEAM, TOMASZ
from service.sample.repository import run_git
from service.sample.style import HOUSE


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOrganisation:
    return build_sample(tmp_path_factory.mktemp("sample") / "acme", seed=3, scale=0.2)


@pytest.fixture(scope="module")
def added(sample: SampleOrganisation) -> dict[str, str]:
    """Each author's added lines of Python, by mapped e-mail, without assisted and noise commits."""
    left_out = {object_id for ids in sample.noise.values() for object_id in ids}
    printed = run_git(sample.path, "log", "-p", "--no-merges", "--format=@@@%H %aE", "--", "src")
    found: dict[str, list[str]] = {}
    for commit, email, body in _commits(printed):
        if commit not in left_out:
            found.setdefault(email, []).extend(
                line[1:] for line in body.splitlines() if line.startswith("+") and not line.startswith("+++")
            )
    return {email: "\n".join(lines) for email, lines in found.items()}


def _commits(printed: str) -> Iterator[tuple[str, str, str]]:
    for part in re.split(r"^@@@(?=[0-9a-f]{40} )", printed, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        commit, _, email = head.partition(" ")
        yield commit, email, body


def test_the_same_seed_gives_the_same_commits_and_diffs(tmp_path: Path) -> None:
    first = build_sample(tmp_path / "first", seed=5, scale=0.05)
    again = build_sample(tmp_path / "again", seed=5, scale=0.05)
    other = build_sample(tmp_path / "other", seed=6, scale=0.05)
    assert first.head == again.head != other.head
    assert {k: d.text for k, d in first.diffs.items()} == {k: d.text for k, d in again.diffs.items()}


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ServiceError, match="empty folder"):
        build_sample(tmp_path, scale=0.05)


def test_the_repository_is_sound_and_checked_out(sample: SampleOrganisation) -> None:
    assert run_git(sample.path, "fsck", "--strict", "--no-dangling") == ""
    assert run_git(sample.path, "status", "--porcelain") == ""
    assert run_git(sample.path, "branch", "--all").split() == ["*", "main"]
    assert run_git(sample.path, "rev-parse", "main").strip() == sample.head


def test_every_python_file_compiles_in_every_tenth_commit(sample: SampleOrganisation) -> None:
    commits = run_git(sample.path, "rev-list", "--first-parent", "main").split()
    for commit in commits[::10]:
        for path in run_git(sample.path, "ls-tree", "-r", "--name-only", commit, "src").split():
            ast.parse(run_git(sample.path, "show", f"{commit}:{path}"), filename=path)


def test_engineers_write_as_much_as_was_asked_and_the_agent_a_quarter(sample: SampleOrganisation) -> None:
    for person in TEAM:
        assert 32_000 <= sample.n_characters[person.key] < 40_000
        assert sample.n_commits[person.key] >= 15
    assert 8_000 <= sample.n_characters[AGENT.key] < 14_000


def test_authors_stay_throughout(sample: SampleOrganisation) -> None:
    printed = run_git(sample.path, "log", "--reverse", "--format=%aE", "--", "src")
    emails = printed.split()
    for half in (emails[: len(emails) // 2], emails[len(emails) // 2 :]):
        assert {person.email for person in (MARA, TOMASZ, AGENT)} <= set(half)
        assert {PRIYA.email, PRIYA.aliases[0]} & set(half)


def test_history_has_two_years_in_order(sample: SampleOrganisation) -> None:
    times = [
        int(t) for t in run_git(sample.path, "log", "--first-parent", "--reverse", "--format=%at").split()
    ]
    assert times == sorted(times)
    assert times[-1] - times[0] > 700 * 86_400


def test_the_second_address_is_in_the_mailmap(sample: SampleOrganisation) -> None:
    assert TOMASZ.aliases[0] in run_git(sample.path, "log", "--format=%ae").split()
    assert TOMASZ.aliases[0] not in run_git(sample.path, "log", "--format=%aE").split()


def test_noise_is_what_it_says(sample: SampleOrganisation) -> None:
    def show(kind: str, *options: str) -> str:
        return run_git(sample.path, "show", *options, sample.noise[kind][0])

    assert set(sample.noise) >= {
        "merge",
        "lockfile",
        "vendored",
        "licence",
        "move",
        "codemod",
        "whitespace",
        "revert",
    }
    assert len(show("merge", "--no-patch", "--format=%P").split()) == 2
    assert re.search(r"This reverts commit [0-9a-f]{40}\.", show("revert", "--no-patch"))
    assert "similarity index 100%" in show("move", "-M", "--format=")
    assert show("whitespace", "-w", "--format=") == ""
    assert show("whitespace", "--format=") != ""
    assert "SPDX-License-Identifier" in show("licence")
    assert "vendor/" in show("vendored", "--stat=200")
    assert "dependabot[bot]" in show("dependabot", "--format=%an", "--no-patch")


def test_a_revert_takes_back_its_commit_exactly(sample: SampleOrganisation) -> None:
    revert = sample.noise["revert"][0]
    assert run_git(sample.path, "diff", f"{revert}~2", revert) == ""


def test_agent_commits_name_who_asked_and_assisted_ones_the_agent(sample: SampleOrganisation) -> None:
    trailer = "--format=%(trailers:key=Co-Authored-By,valueonly)"
    asked = run_git(sample.path, "log", f"--author={AGENT.email}", trailer)
    assert {line for line in asked.splitlines() if line} <= {person.signature for person in TEAM}
    assert asked.strip()
    for commit in sample.noise.get("assisted", ()):
        assert AGENT.signature in run_git(sample.path, "show", "--no-patch", trailer, commit)


@pytest.mark.parametrize("key", ["member", "stranger", "agent"])
def test_diffs_apply_and_have_the_size_asked_for(
    sample: SampleOrganisation, key: str, tmp_path: Path
) -> None:
    diff = sample.diffs[key]
    run_git(sample.path, "apply", "--check", "-", stdin=diff.text)
    n_added = sum(map(len, added_lines(diff.text).values()))
    assert 80 <= n_added <= 170
    assert 2 <= len(added_lines(diff.text)) <= 4
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "--quiet", str(sample.path), str(clone))
    run_git(clone, "apply", "-", stdin=diff.text)
    for path in added_lines(diff.text):
        ast.parse((clone / path).read_text(), filename=path)


@pytest.mark.parametrize("key", ["member", "stranger", "agent"])
def test_planted_spans_stand_on_added_lines(sample: SampleOrganisation, key: str, tmp_path: Path) -> None:
    diff = sample.diffs[key]
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "--quiet", str(sample.path), str(clone))
    run_git(clone, "apply", "-", stdin=diff.text)
    added = added_lines(diff.text)
    assert len(diff.planted) >= 30
    for span in diff.planted:
        line = (clone / span.path).read_text().splitlines()[span.line - 1]
        assert span.line in added[span.path]
        assert line[span.start : span.end] == span.text != ""
        assert f"+{line}" in diff.text.splitlines()


def test_only_outsiders_depart_from_the_house(sample: SampleOrganisation) -> None:
    assert not any(span.is_departure for span in sample.diffs["member"].planted)
    for key in ("stranger", "agent"):
        departures = {span.habit for span in sample.diffs[key].planted if span.is_departure}
        assert len(departures) >= 3


def test_the_truth_tells_six_to_twenty_habits_an_author(sample: SampleOrganisation) -> None:
    for person in (*TEAM, AGENT, STRANGER):
        assert 6 <= len(sample.truth[person.key]) <= 20
        assert all(habit.description for habit in sample.truth[person.key])
    assert {habit.dimension for habit in sample.house} == HOUSE.keys() - {"conditions"}
    assert sample.expected == {"member": "typical", "stranger": "unusual", "agent": "unusual"}


def _rate(text: str, hit: str, chance: str) -> float:
    return len(re.findall(hit, text, re.MULTILINE)) / max(1, len(re.findall(chance, text, re.MULTILINE)))


@pytest.mark.parametrize(
    ("hit", "chance"),
    [
        pytest.param(r"(?<!['\"\w\\])'[\w ]+'", r"(?<!['\"\w\\])(?:'[\w ]+'|\"[\w ]+\")", id="single quotes"),
        pytest.param(r"\w\($", r"\w\([^()]*,|\w\($", id="one argument per line"),
        pytest.param(
            r"^(?! *#).*[^:\n]\n\n +return\b", r"^(?! *#).*[^:\n]\n+ +return\b", id="blank line before return"
        ),
    ],
)
def test_the_house_style_separates_team_from_agent(added: dict[str, str], hit: str, chance: str) -> None:
    rates = {person.key: _rate(added[person.email], hit, chance) for person in (*TEAM, AGENT)}
    assert min(rates[person.key] for person in TEAM) > rates[AGENT.key] + 0.2, rates


@pytest.mark.parametrize(
    ("person", "habit"),
    [
        (MARA, r"\b[a-z]\w*_\b(?=[,)\].:]| =)"),
        (MARA, r"# -- "),
        (TOMASZ, r"\b(?:p|l|cur)_\w+"),
        (TOMASZ, r"#: "),
        (TOMASZ, r"return None$"),
        (PRIYA, r":param \w+:"),
        (PRIYA, r"# NOTE: "),
        (PRIYA, r"None is "),
        (AGENT, r"^ +(?:Args|Returns):$"),
        (AGENT, r"\) -> \w+"),
    ],
)
def test_a_personal_habit_is_far_more_frequent_with_its_owner(
    added: dict[str, str], person: object, habit: str
) -> None:
    per_line = {p.key: _rate(added[p.email], habit, r"$") for p in (*TEAM, AGENT)}
    own = per_line.pop(person.key)  # type: ignore[attr-defined]
    assert own > 7 * max(per_line.values()), (own, per_line)
