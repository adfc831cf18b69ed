"""B2: how a text is laid out, named, commented and worded, and extremely randomised trees over these rates.

Layout and lexical features after Caliskan-Islam et al. (USENIX Security 2015), read by one regular expression
instead of a parser: a sample is a piece of a file in any language (evaluation.md section 4.7). Rates count
per line, per name, per comment and so on. A *habit* is the share of one of two ways to write the same thing,
-1 where the text gives no occasion for either.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from sklearn.ensemble import ExtraTreesClassifier

from fingerprint.evaluation.baselines import author_columns, present_authors
from fingerprint.evaluation.ngram_lm import OPERATOR

NO_OCCASION = -1.0
TAB = 4
"""Columns of a tab."""

# A block comment or a docstring that the text does not close ends with its line: hunks are cut anywhere.
# The language is not known: Python's // reads as a comment; # begins one unless Rust or C means otherwise.
_LEXEME = re.compile(
    r"""
      (?P<comment> //[^\n]* | (?<![.\w])\#(?!!?\[|include\b|define\b|if|end)[^\n]* | /\*.*?\*/ | /\*[^\n]* )
    | (?P<docstring> [rRbBuUfF]{0,2}(?: \"{3}.*?\"{3} | '{3}.*?'{3} | \"{3}[^\n]* | '{3}[^\n]* ) )
    | (?P<lifetime> (?<=[<&+])'[a-z_]\w*\b(?!') | '(?:static|_)\b(?!') )
    | (?P<string> [rRbBuUfF]{0,2}(?: "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*` ) )
    | (?P<number> \d(?:[eE][+-]\d|[\w.])* )
    | (?P<word> [^\W\d]\w* )
    | (?P<operator> """
    + OPERATOR
    + ")",
    re.VERBOSE | re.DOTALL,
)

KEYWORDS = tuple(
    "if else for while return class try as import"  # shared
    " def elif except raise with yield lambda pass assert not and or is None self"  # Python
    " const let var function new this null undefined interface type async await export"  # ECMAScript
    " func defer nil struct range"  # Go
    " fn mut impl pub match Some unwrap".split()  # Rust
)
_RESERVED = frozenset(KEYWORDS)
OPERATORS = tuple(". , : ; = == === != < > + - * & ! && || -> => :: := += ?. ??".split())

_LINE_RATES = {
    name: re.compile(pattern, re.MULTILINE)
    for name, pattern in {
        "line ends with {": r"\{[ \t]*$",
        "line ends with (": r"\([ \t]*$",
        "line ends with ,": r",[ \t]*$",
        "line ends with ;": r";[ \t]*$",
        "line ends with :": r":[ \t]*$",
        "line ends with backslash": r"\\[ \t]*$",
        "line ends with operator": r"[-+*/%&|=<>?][ \t]*$",
        "line is closers": r"^[ \t]*[\])}][\])};,]*[ \t]*$",
        "line begins with .": r"^[ \t]*\??\.",
        "line begins with operator": r"^[ \t]*(?:[-+*/|?&]|and\b|or\b)",
        "line is } else": r"^[ \t]*\}[ \t]*(?:else|catch|finally)\b",
        "line is decorator": r"^[ \t]*(?:@\w|#!?\[)",
        "line is one-line block": r"\{[ \t]*+[^{}\n]++\}|^[ \t]*(?:if|for|while|else|try)\b.*: *\S",
        "line is import": r"^[ \t]*(?:import|from|use|#include|export \* from)\b",
        "line is assignment": r"^[ \t]*+[\w.\[\],][\w.\[\], ]*+:?=(?!=)",
        "line chains calls": r"\)\??\.\w+\(",
        "line has ternary": r"\S \? [^\n]{1,120}? : |\S if [^\n]{1,120}? else ",
        "line has comprehension": r"[\[({][^\n]{0,120}?\bfor\b[^\n]{0,60}?\bin\b",
        "line has keyword argument": r"[(,][ \t]*\w+=[^=]",
    }.items()
}

_HABITS = {
    name: (re.compile(one, re.MULTILINE), re.compile(other, re.MULTILINE))
    for name, (one, other) in {
        "space around =": (r"[ \t]=[ \t]", r"[\w\])]=[\w\[({\"-]"),
        "space around comparison": (r"[ \t](?:[=!<>]==?)[ \t]", r"\w(?:[=!<>]==?)\w"),
        "space around arithmetic": (r"[\w)] [-+*/%] [\w(]", r"[\w)][-+*/%][\w(]"),
        "space after ,": (r",[ \t]", r",[^\s]"),
        "space after :": (r"[\w\])\"]:[ \t]", r"[\w\])\"]:[\w\"(\[{]"),
        "space before :": (r"\w[ \t]:[^:=]", r"\w:[^:=]"),
        "space inside (": (r"\([ \t]+\S", r"\([^\s)]"),
        "space inside [": (r"\[[ \t]+\S", r"\[[^\s\]]"),
        "space inside {": (r"\{[ \t]+\S", r"\{[^\s}]"),
        "space after keyword": (r"\b(?:if|for|while|catch)[ \t]\(", r"\b(?:if|for|while|catch)\("),
        "space before {": (r"\S[ \t]\{", r"[\w)]\{"),
        "space around arrow": (r"[ \t][-=]>[ \t]", r"\S[-=]>\S"),
        "brace on its own line": (r"^[ \t]*\{[ \t]*$", r"\S[ \t]*\{[ \t]*$"),
        "trailing comma": (r",[ \t]*\n\s*[)\]]", r"[^\s,;(\[{][ \t]*\n\s*[)\]]"),
        "trailing comma in {}": (r",[ \t]*\n\s*\}", r"[^\s,;({}\[][ \t]*\n\s*\}[,)\]]"),
        "hanging indent": (r"[(\[][ \t]*\n", r"[(\[][^\n()\[\]]+,[ \t]*\n"),
        "two blank lines before definition": (r"[^\n]\n\n\n++(?:def|class|@)", r"[^\n]\n\n(?:def|class|@)"),
        "typed returns": (r"^[ \t]*(?:async )?def\b.*->", r"^[ \t]*(?:async )?def\b[^>\n]*\):"),
        "typed parameters": (r"^[ \t]*(?:async )?def \w+\(.*\w: ?\w", r"^[ \t]*def \w+\((?!\))[^:\n]*\):"),
        "| None over Optional": (r"\| None\b", r"\bOptional\["),
    }.items()
}  # fmt: skip

_NAME_SHAPES = {
    name: re.compile(pattern)
    for name, pattern in {
        "name lower": r"[a-z][a-z0-9]+",
        "name snake_case": r"_*[a-z][a-z0-9]*(?:_[a-z0-9]+)+_*",
        "name camelCase": r"[a-z][a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+",
        "name PascalCase": r"(?:[A-Z][a-z0-9]+)+[A-Z]?",
        "name SHOUTED": r"_*[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*",
        "name with leading underscore": r"_+[A-Za-z]\w*",
        "name dunder": r"__\w+__",
        "name with digit": r"\w*\d\w*",
        "name of one letter": r"\w",
        "name of two or three letters": r"\w{2,3}",
        "name of twelve letters or more": r"\w{12,}",
        "name of a loop": r"[ijkn]|idx|index",
        "name of an error": r"e|ex|exc|err|error|exception",
        "name of a question": r"(?:is|has|can|should)_?[A-Z_a-z]\w*",
        "name of a getter or setter": r"(?:get|set)_?[A-Z_a-z]\w*",
    }.items()
}

_COMMENT_RATES = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "comment by #": r"\#.*",
        "comment by //": r"//.*",
        "comment in block": r"/\*.*",
        "comment for documentation": r"(?:///|//!|/\*\*).*",
        "comment without space": r"(?:\#|//|/\*)[^\s#/*!].*",
        "comment begins with capital": r"[\s#/*!]*[A-Z].*",
        "comment ends with full stop": r".*[.!?][\s*/]*",
        "comment is to do": r".*\b(?:TODO|FIXME|XXX|HACK)\b.*",
        "comment is directive": r".*(?:noqa|type: ?ignore|eslint|nolint|pragma|ts-\w+|fmt|pylint).*",
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class _Lexemes:
    """A text taken apart.

    Attributes:
        by_kind: lexemes by the name of the group that matched. code: the text with strings emptied and
            comments removed. n_own_line: comments with nothing before them in their line.
    """

    by_kind: Mapping[str, list[str]]
    code: str
    n_own_line: int


def _read(text: str) -> _Lexemes:
    by_kind: dict[str, list[str]] = {kind: [] for kind in _LEXEME.groupindex}
    code: list[str] = []
    done = n_own_line = 0
    for match in _LEXEME.finditer(text):
        kind = match.lastgroup or ""
        by_kind[kind].append(match.group())
        if kind not in {"comment", "string", "docstring"}:
            continue
        code.append(text[done : match.start()])
        done = match.end()
        if kind == "comment":
            n_own_line += not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
        else:
            code.append('""')
    return _Lexemes(by_kind, "".join([*code, text[done:]]), n_own_line)


def measure_layout(text: str) -> dict[str, float]:
    """Every rate of one text, by its name; finite for any text, the empty one too."""
    found = _read(text)
    lines = text.expandtabs(TAB).splitlines()
    filled = [line for line in lines if line.strip()]
    n_filled = max(len(filled), 1)
    return {
        **_line_lengths(lines, filled),
        **_indentation(text, filled),
        **{name: len(p.findall(found.code)) / n_filled for name, p in _LINE_RATES.items()},
        **{
            name: _share(len(one.findall(found.code)), len(other.findall(found.code)))
            for name, (one, other) in _HABITS.items()
        },
        **_names([word for word in found.by_kind["word"] if word not in _RESERVED]),
        **_literals(found, n_filled),
        **_comments(found, len(text), n_filled),
        **_rates("keyword", KEYWORDS, found.by_kind["word"]),
        **_rates("operator", OPERATORS, found.by_kind["operator"]),
    }  # fmt: skip


def _line_lengths(lines: Sequence[str], filled: Sequence[str]) -> dict[str, float]:
    lengths = np.array([len(line.rstrip()) for line in filled] or [0])
    bins = (0, 20, 40, 60, 80, 100, 120)
    shares = np.bincount(np.searchsorted(bins, lengths, side="right") - 1, minlength=len(bins)) / len(lengths)
    n_lines = max(len(lines), 1)
    is_blank = [not line.strip() for line in lines]
    n_runs = sum(first and second for first, second in pairwise(is_blank))
    return {
        "blank lines": sum(is_blank) / n_lines,
        "blank lines after blank lines": n_runs / n_lines,
        "lines with trailing space": sum(line != line.rstrip() for line in lines) / n_lines,
        "line length mean": float(lengths.mean()),
        "line length spread": float(lengths.std()),
        "line length nine in ten": float(np.quantile(lengths, 0.9)),
        "line length longest": float(lengths.max()),
        **{f"lines from {low} characters": float(s) for low, s in zip(bins, shares, strict=True)},
    }


def _indentation(text: str, filled: Sequence[str]) -> dict[str, float]:
    widths = np.array([len(line) - len(line.lstrip()) for line in filled] or [0])
    indented = widths[widths > 0]
    steps = np.diff(widths)
    deeper = steps[steps > 0]
    return {
        "indent by tab": _share(len(re.findall(r"^\t", text, re.M)), len(re.findall(r"^ +\S", text, re.M))),
        "indent mean": float(widths.mean()),
        "indent spread": float(widths.std()),
        "indent deepest": float(widths.max()),
        "indent none": float((widths == 0).mean()),
        "indent not by four": _share(int((indented % 4 != 0).sum()), int((indented % 4 == 0).sum())),
        **{f"step of {n}": _share(int((deeper == n).sum()), int((deeper != n).sum())) for n in (2, 4, 8)},
        "steps out at once": float(-steps[steps < 0].mean()) if (steps < 0).any() else 0.0,
    }


def _names(names: Sequence[str]) -> dict[str, float]:
    lengths = np.array([len(name) for name in names] or [0])
    n_names = max(len(names), 1)
    parts = [max(len(re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)), 1) for name in names]
    return {
        "name length mean": float(lengths.mean()),
        "name length spread": float(lengths.std()),
        "names distinct": len(set(names)) / n_names,
        "name parts": sum(parts) / n_names,
        **{
            shape: sum(pattern.fullmatch(name) is not None for name in names) / n_names
            for shape, pattern in _NAME_SHAPES.items()
        },
    }


def _literals(found: _Lexemes, n_filled: int) -> dict[str, float]:
    strings, numbers = found.by_kind["string"], found.by_kind["number"]
    bodies = [string.lstrip("rRbBuUfF") for string in strings]
    quotes = Counter(body[0] for body in bodies)
    n_strings, n_numbers = max(len(strings), 1), max(len(numbers), 1)
    return {
        "strings": len(strings) / n_filled,
        "strings in single quotes": _share(quotes["'"], quotes['"']),
        "strings with prefix f": sum(string[0] in "fF" for string in strings) / n_strings,
        "strings with placeholders": sum(bool(re.search(r"%[sdrv]|\{\w*\}", s)) for s in strings) / n_strings,
        "strings with spaces": sum(" " in string for string in strings) / n_strings,
        "string length mean": sum(map(len, bodies)) / n_strings,
        "docstrings": len(found.by_kind["docstring"]) / n_filled,
        "docstrings begin on their own line": _share(
            sum(bool(re.match(r"\w*['\"]{3}\s*\n", s)) for s in found.by_kind["docstring"]),
            sum(bool(re.match(r"\w*['\"]{3}\s*\S", s)) for s in found.by_kind["docstring"]),
        ),
        "numbers": len(numbers) / n_filled,
        "numbers with point": sum("." in number for number in numbers) / n_numbers,
    }


def _comments(found: _Lexemes, n_chars: int, n_filled: int) -> dict[str, float]:
    comments = found.by_kind["comment"]
    n_comments = max(len(comments), 1)
    return {
        "comments": len(comments) / n_filled,
        "comment characters": sum(map(len, comments)) / max(n_chars, 1),
        "comment length mean": sum(map(len, comments)) / n_comments,
        "comment on its own line": _share(found.n_own_line, len(comments) - found.n_own_line),
        **{
            name: sum(pattern.fullmatch(comment) is not None for comment in comments) / n_comments
            for name, pattern in _COMMENT_RATES.items()
        },
    }


def _rates(kind: str, wanted: Iterable[str], seen: Sequence[str]) -> dict[str, float]:
    """Share of each wanted lexeme in those seen."""
    counts = Counter(seen)
    return {f"{kind} {name}": counts[name] / max(len(seen), 1) for name in wanted}


def _share(n_one: int, n_other: int) -> float:
    """A habit: the share of one way among both."""
    return n_one / (n_one + n_other) if n_one + n_other else NO_OCCASION


FEATURES: tuple[str, ...] = tuple(measure_layout(""))
"""Names of the rates, in column order."""


def layout_table(texts: Sequence[str]) -> Float[np.ndarray, "n f"]:
    """Rates of every text, one column per name in ``FEATURES``."""
    rows = [list(measure_layout(text).values()) for text in texts]
    return np.array(rows, dtype=np.float64).reshape(len(texts), len(FEATURES))


@dataclass(frozen=True)
class LayoutClassifier:
    """B2: extremely randomised trees over ``layout_table``; columns are author numbers."""

    classifier: ExtraTreesClassifier
    n_classes: int

    def score(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Share of the trees' votes for each author [n, n_classes], not centred."""
        votes = np.asarray(self.classifier.predict_proba(layout_table(texts)))
        return author_columns(votes, np.asarray(self.classifier.classes_), self.n_classes)


def fit_layout(texts: Sequence[str], labels: Int[np.ndarray, " n"], n_classes: int) -> LayoutClassifier:
    """Fit B2: ExtraTrees(400, at least two texts a leaf, balanced).

    Raises:
        FingerprintError: fewer than two authors.
    """
    present_authors(labels)
    trees = ExtraTreesClassifier(
        n_estimators=400, min_samples_leaf=2, class_weight="balanced", random_state=0, n_jobs=1
    )
    return LayoutClassifier(trees.fit(layout_table(texts), labels), n_classes)
