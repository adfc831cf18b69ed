"""Against a local model that knows who ends lines how: what it is shown is enough to win every round."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from fingerprint.endpoint import EndpointError
from fingerprint.evaluation.judge import MOST_AT_ONCE, MOST_CHARACTERS, judge_hunk, reference_hunks
from fingerprint.evaluation.protocol import samples_of
from fingerprint.passage import Passage, passage_from_lines
from tests.fingerprint.labels.fake_model import FakeModel


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with closing(FakeModel(most_alike)) as found:
        yield found


def most_alike(asked: str) -> str:
    """.9 for the letter whose hunks carry the new hunk's mark, .1 shared by the others."""
    shown, new = asked.split("The new hunk:")
    (mark,) = re.findall(r"mark_(\d+)", new)
    letters = re.findall(r"Author ([A-Z]), hunk 1:\nmark_(\d+)", shown)
    return json.dumps({letter: 0.9 if of == mark else 0.1 / len(letters) for letter, of in letters})


def references(n_authors: int) -> list[tuple[str, ...]]:
    return [(f"mark_{author} first", f"mark_{author} second") for author in range(n_authors)]


@pytest.mark.parametrize("n_authors", [2, MOST_AT_ONCE, 11, 70])
def test_the_author_that_the_model_knows_wins_every_round(fake: FakeModel, n_authors: int) -> None:
    for author in (0, n_authors - 1):
        scores = judge_hunk(fake.endpoint, references(n_authors), f"mark_{author}", np.random.default_rng(0))
        assert scores.argmax() == author
        assert sorted(scores)[-2] < scores[author]
    n_questions = {2: 1, MOST_AT_ONCE: 1, 11: 3, 70: 12}[n_authors]
    assert len(fake.requests) == 2 * n_questions
    for _, _, body in fake.requests:
        assert body["messages"][-1]["content"].count("hunk 1:") <= MOST_AT_ONCE


def test_letters_are_dealt_anew_for_every_hunk(fake: FakeModel) -> None:
    for seed in range(8):
        judge_hunk(fake.endpoint, references(4), "mark_2", np.random.default_rng(seed))
    letters = {
        re.findall(r"Author ([A-Z]), hunk 1:\nmark_2", body["messages"][-1]["content"])[0]
        for _, _, body in fake.requests
    }
    assert len(letters) > 1


def test_long_hunks_are_cut_and_unclear_answers_refused(fake: FakeModel) -> None:
    fake.answers = [(200, '{"A": 0, "B": 0}'), (200, '{"A": "surely"}'), (200, '{"A": -1}')]
    rng = np.random.default_rng(0)
    assert judge_hunk(fake.endpoint, references(2), "x" * 9_000, rng).tolist() == [0.5, 0.5]
    assert len(fake.requests[0][2]["messages"][-1]["content"]) < MOST_CHARACTERS + 500
    for _ in range(2):
        with pytest.raises(EndpointError, match="expected a probability for author A"):
            judge_hunk(fake.endpoint, references(2), "mark_0", rng)


def test_references_are_the_newest_and_of_several_commits() -> None:
    def passage(author: str, commit: int, path: str) -> Passage:
        return passage_from_lines(
            [(True, f"{author} {commit} {path}")], path=path, language="python", group=f"{commit}",
            author=author, written_at=float(commit),
        )  # fmt: skip

    samples = samples_of(
        [passage("ann", commit, path) for commit in range(4) for path in "xy"] + [passage("bob", 0, "z")],
        least_lines=1,
    )
    ann, bob = reference_hunks(samples, ["ann", "bob"], 5)
    assert [text.split()[1] for text in ann] == ["3", "2", "1", "0", "3"]
    assert [text.strip() for text in bob] == ["bob 0 z"]
