from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from fingerprint.adapters.budget import (
    InsufficientCodeError,
    balanced_windows,
    count_scored,
    equal_budget,
    spread_windows,
    windows_by_author,
)
from fingerprint.adapters.population import (
    count_population,
    loss_matrix,
    shuffle_authors,
    shuffled_enough,
    stopping_loss,
    train_population,
)
from fingerprint.config import AdapterConfig
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Corpus, passage_from_lines

CONFIG = AdapterConfig(
    batch_tokens=512,
    max_passage_tokens=128,
    learning_rate=2e-2,
    dev_points=3,
    dev_tokens=400,
    scale=4.0,
    team_tokens=3000,
    author_tokens=2000,
    least_author_tokens=300,
    least_team_tokens=600,
)


def commits(author: str, word: str, n: int, first: int = 0):
    return [
        passage_from_lines(
            [(False, "def run(value):"), (True, f"    {word} = {word}({i})"), (True, f"    return {word}")],
            path="a.py",
            language="python",
            group=f"{author}{i}",
            author=author,
            written_at=i * 86400.0,
        )
        for i in range(first, first + n)
    ]


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=CONFIG.scale)


def test_a_population_learns_its_authors_apart(routed, tmp_path):
    words = {"ada": "config", "ben": "zz"}
    train = Corpus.of(p for a, w in words.items() for p in commits(a, w, 40))
    train = Corpus.of([*train, *commits("new", "other", 2)])
    dev = Corpus.of(p for a, w in words.items() for p in commits(a, w, 8, 50))
    seen: list[str] = []
    population = train_population(
        routed, train, dev, CONFIG, checkpoints=tmp_path, progress=lambda who, _: seen.append(who)
    )
    assert set(population.authors) == {"ada", "ben"}
    facts = population.team.facts
    for state, loss in ((routed.zero_weights(), "start"), (population.team.state, "best")):
        assert stopping_loss(routed, state, dev, CONFIG) == pytest.approx(facts[f"{loss}_dev_loss"], rel=1e-3)
    assert list(population.too_little) == ["new"]
    lack = population.too_little["new"]
    assert lack.need == 300 > lack.have
    assert list(dict.fromkeys(seen)) == ["", "ada", "ben"]
    assert not list(tmp_path.iterdir())
    for author, adapter in population.authors.items():
        assert adapter.start == population.reference.digest
        assert adapter.facts["author"] == author
        assert adapter.facts["budget"] == population.budget

    windows = tokenize_passages(routed.base, dev.passages, 128)
    states = {"team": population.team.state, "reference": population.reference.state}
    states |= {author: adapter.state for author, adapter in population.authors.items()}
    matrix = loss_matrix(routed, states, windows_by_author(dev.passages, windows))
    assert matrix.shape == (5, 2)
    assert (matrix[1:3] < matrix[0]).all()  # team and reference beat the base
    assert matrix[3, 0] < min(matrix[2, 0], matrix[4, 0])  # ada's adapter on ada's code
    assert matrix[4, 1] < min(matrix[2, 1], matrix[3, 1])


def test_a_team_with_too_little_code_is_refused(routed):
    few = Corpus.of(commits("ada", "config", 3))
    with pytest.raises(InsufficientCodeError, match="The team has"):
        train_population(routed, few, few, CONFIG)


def test_shares_are_equal_recent_and_leftovers_are_shared_out(tiny_base):
    passages = [*commits("big", "aa", 60), *commits("mid", "bb", 40), *commits("small", "cc", 4)]
    by_author = windows_by_author(passages, tokenize_passages(tiny_base, passages))
    small = count_scored(by_author["small"])
    per_window = by_author["big"][0].n_scored + 2
    chosen = balanced_windows(by_author, 900)
    found = {author: count_scored(own) for author, own in windows_by_author(passages, chosen).items()}
    assert found["small"] == small
    assert abs(found["big"] - found["mid"]) <= 2 * per_window
    assert 900 <= sum(found.values()) <= 900 + 3 * per_window
    indices = [window.passage_index for window in chosen]
    assert indices == sorted(indices)
    assert max(i for i in indices if i < 60) == 59  # big's latest


def test_one_budget_for_all_within_the_epochs():
    assert equal_budget({"a": 50_000, "b": 10_000}, 40_000, 3) == 30_000
    assert equal_budget({"a": 50_000}, 40_000, 3) == 40_000


def test_dev_windows_are_spread_over_the_slice(tiny_base):
    passages = commits("ada", "config", 40)
    windows = tokenize_passages(tiny_base, passages)
    some = spread_windows(windows, count_scored(windows) // 4)
    assert [w.passage_index for w in some] == list(range(0, 40, 4))
    assert spread_windows(windows, 10**9) == windows


def test_shuffled_authors_keep_commits_whole_and_quarters_balanced():
    passages = []
    for number in range(120):
        author = "ada" if number % 3 else "ben"
        when = datetime(2024, 1 + number // 10, 1, tzinfo=UTC).timestamp()
        passages += [
            passage_from_lines(
                [(True, f"x = {line}")],
                path="a.py",
                language="python",
                group=f"c{number}",
                author=author,
                written_at=when,
                first_line=line,
            )
            for line in range(3)
        ]
    shuffled = shuffle_authors(passages, 0)
    assert [p.text for p in shuffled] == [p.text for p in passages]
    by_commit = {p.group: set() for p in shuffled}
    for p in shuffled:
        by_commit[p.group].add(p.author)
    assert all(len(authors) == 1 for authors in by_commit.values())
    before, after = (
        Counter(((datetime.fromtimestamp(p.written_at, UTC).month - 1) // 3, p.author) for p in some)
        for some in (passages, shuffled)
    )
    assert before == after
    moved = np.mean([a.author != b.author for a, b in zip(shuffled, passages, strict=True)])
    assert 0.2 < moved < 0.7
    assert shuffled == shuffle_authors(passages, 0) != shuffle_authors(passages, 1)


@pytest.mark.parametrize(("first", "usable"), [(0, ["ada", "ben"]), (200, [])], ids=["together", "in turn"])
def test_people_who_never_worked_in_one_quarter_are_dealt_their_own_and_have_no_null(routed, first, usable):
    train = Corpus.of([*commits("ada", "config", 40), *commits("ben", "zz", 40, first)])
    count = count_population(routed, train, CONFIG)
    shuffled = Corpus.of(shuffle_authors(train, 1))
    assert shuffled_enough(routed, train, shuffled, count, CONFIG) == usable
