from __future__ import annotations

import numpy as np
import pytest

from fingerprint.drift.habits import _line_of, find_habits


@pytest.fixture(scope="module")
def found(toy):
    """The planted toy: the "author" writes in the team's style, everybody's adapter is the base."""
    zero = toy.routed.zero_weights()
    passages = [*toy.slices.calibration, *toy.slices.dev]
    return find_habits(
        toy.routed, passages, reference=zero, author=toy.team_weights, nulls=[toy.null_weights],
        passage_tokens=256, batch_tokens=2048,
    )  # fmt: skip


def test_the_planted_habit_is_found_and_comes_back(found) -> None:
    assert found.words
    assert found.n_tested >= found.n_chosen >= len(found.words)
    assert found.correlation is not None
    assert found.correlation > 0.5
    for word in found.words:
        assert word.second_gain > max(0.0, *word.null_gains)
        assert word.example.author > word.example.reference == word.example.base
        assert word.text.strip() in word.example.line
        base, own = word.example.base_guess, word.example.author_guess
        assert base is not None and base.probability > word.example.base - 1e-6
        assert own is not None and own.probability > word.example.author - 1e-6
        if own.text == word.text:
            assert own.probability == pytest.approx(word.example.author, rel=1e-3)
        assert word.example.line[word.example.column :].startswith(word.text.strip())
    assert any(one.example.author_guess.text == one.text for one in found.words)


def test_a_model_beside_itself_has_no_habits(toy) -> None:
    zero = toy.routed.zero_weights()
    nothing = find_habits(
        toy.routed, list(toy.slices.dev), reference=zero, author=zero, nulls=[], passage_tokens=256,
        batch_tokens=2048,
    )  # fmt: skip
    assert nothing.words == ()
    assert nothing.n_chosen == 0
    assert nothing.correlation is None
    assert nothing.n_tested > 0


def test_without_nulls_what_comes_back_is_told(found, toy) -> None:
    zero = toy.routed.zero_weights()
    alone = find_habits(
        toy.routed, [*toy.slices.calibration, *toy.slices.dev], reference=zero, author=toy.team_weights,
        nulls=[], passage_tokens=256, batch_tokens=2048,
    )  # fmt: skip
    assert {word.text for word in found.words} <= {word.text for word in alone.words}
    assert all(word.null_gains == () for word in alone.words)


def test_no_code_no_habits(toy) -> None:
    zero = toy.routed.zero_weights()
    empty = find_habits(
        toy.routed, [], reference=zero, author=zero, nulls=[zero], passage_tokens=256, batch_tokens=2048
    )
    assert (empty.n_tokens, empty.n_tested, empty.words) == (0, 0, ())


def test_lines_are_those_of_the_first_visible_character() -> None:
    text = "ab\n  cd = e\n"
    assert _line_of(text, 2, 7) == ("  cd = e", 2)
    assert _line_of(text, 8, 10) == ("  cd = e", 5)
    assert np.array_equal(_line_of(text, 2, 3), ("ab", 2))
