"""Planted habits: every author writes the same statements, each in their own layout."""

import time

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.layout import FEATURES, NO_OCCASION, fit_layout, layout_table, measure_layout
from fingerprint.evaluation.metrics import centre_rows, macro_auroc

NAMES = ["alpha", "beta", "gamma", "delta", "omega", "sigma", "kappa", "zeta"]


def write(author: int, rng: np.random.Generator) -> str:
    """One sample: indent, quotes, spaces and comments are the author's own nine times in ten; names never."""
    hands = np.where(rng.random(4) < 0.9, author, rng.integers(0, 3, 4))
    indent, quote = ("  ", "    ", "\t")[hands[0]], "'\"`"[hands[1]]
    space, comment = ("", " ", "  ")[hands[2]], ("", "  # {}", "  # Say why {}.")[hands[3]]
    rows = []
    for _ in range(rng.integers(5, 9)):
        a, b, c = rng.choice(NAMES, 3)
        rows += [f"if {a}:", f"{indent}{b}{space}={space}{quote}{c}{quote}", f"{indent}call({a},{space}{b})"]
        rows[-1] += comment.format(c)
    return "\n".join(rows) + "\n"


def planted(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), n)
    return [write(int(author), rng) for author in labels], labels


def test_planted_habits_are_told_apart_and_permuted_labels_are_not() -> None:
    texts, labels = planted(40, 0)
    new, truth = planted(30, 1)
    assert macro_auroc(centre_rows(fit_layout(texts, labels, 3).score(new)), truth) > 0.95
    permuted = [np.random.default_rng(seed).permutation(labels) for seed in range(5)]
    found = [macro_auroc(centre_rows(fit_layout(texts, one, 3).score(new)), truth) for one in permuted]
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_rates_of_a_text_counted_by_hand() -> None:
    found = measure_layout(
        "def add_one(x):\n    total = x+1  # Why.\n\n\n    # again\n    return call('a', \"b\", 'c')\n"
    )
    assert set(found) == set(FEATURES)
    expected = {
        "blank lines": 2 / 6,
        "blank lines after blank lines": 1 / 6,
        "line ends with :": 1 / 4,
        "line is assignment": 1 / 4,
        "line length longest": 30,
        "indent by tab": 0,
        "step of 4": 1,
        "space around =": 1,
        "space around arithmetic": 0,
        "space after ,": 1,
        "space inside [": NO_OCCASION,
        "comments": 2 / 4,
        "comment on its own line": 1 / 2,
        "comment by #": 1,
        "comment begins with capital": 1 / 2,
        "comment ends with full stop": 1 / 2,
        "strings in single quotes": 2 / 3,
        "name snake_case": 1 / 5,  # add_one, x, total, x, call
        "name of one letter": 2 / 5,
        "names distinct": 4 / 5,
        "keyword def": 1 / 7,
        "keyword return": 1 / 7,
        "typed returns": 0,
        "numbers": 1 / 4,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("const f = (a) => { return `x ${a}`; };\n", "keyword const", 0.25),  # const f a return
        ("x: &'a str = y.map(|z| z + 1);\n", "strings", 0.0),  # a lifetime is no string
        ("#[derive(Debug)]\n#include <x>\nthis.#y = 1\n", "comments", 0.0),
        ('"""an unclosed docstring\ncode = 1\n', "line is assignment", 0.5),
        ("def f(\n    a,\n    b,\n) -> None:\n", "trailing comma", 1.0),
        ("def f(\n    a,\n    b\n):\n", "trailing comma", 0.0),
        ("if (x) {\n}\n", "space after keyword", 1.0),
        ("if(x){\n}\n", "space after keyword", 0.0),
        ("fooBar(FooBar, FOO_BAR)\n", "name camelCase", 1 / 3),
        ("fooBar(FooBar, FOO_BAR)\n", "name PascalCase", 1 / 3),
        ("fooBar(FooBar, FOO_BAR)\n", "name SHOUTED", 1 / 3),
        ("a = b if c else d\n", "line has ternary", 1.0),
    ],
)
def test_one_habit_at_a_time(text: str, name: str, value: float) -> None:
    assert measure_layout(text)[name] == pytest.approx(value)


def test_any_text_has_finite_rates() -> None:
    odd = ["", "\n", "\t", '"""', "/*", "'", "\\", "#", "\x0c\x00", "日本語 = 'é'", "{" * 99, "\ud800"]
    table = layout_table(odd)
    assert table.shape == (len(odd), len(FEATURES)) and np.isfinite(table).all()
    assert len(set(FEATURES)) == len(FEATURES)
    assert layout_table([]).shape == (0, len(FEATURES))


UNITS = ["\n", " ", "(a, ", "x ? ", "{", "/*", "a,\n", "for (in ", '"""x', "= ", "def f(", "\ndef f(a: b"]


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_takes_long(unit: str) -> None:
    """A regular expression that is quadratic in one of these takes ten seconds and more."""
    started = time.process_time()
    measure_layout(unit * (60_000 // len(unit)))
    assert time.process_time() - started < 2


def test_absent_authors_get_the_rows_least_score() -> None:
    texts, labels = planted(6, 2)
    kept = labels != 1
    scores = fit_layout([t for t, keep in zip(texts, kept, strict=True) if keep], labels[kept], 4).score(
        texts
    )
    np.testing.assert_array_equal(scores[:, [1, 3]], np.repeat(scores.min(axis=1, keepdims=True), 2, axis=1))


def test_one_author_is_refused() -> None:
    with pytest.raises(FingerprintError, match="at least two authors, got 1"):
        fit_layout(["a = 1\n"] * 4, np.zeros(4, dtype=int), 2)
