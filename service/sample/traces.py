"""Where a text realises a planted habit: the tokens that findings are checked against."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.sample.style import HOUSE, Style

Span = tuple[int, int, int]
"""Line (1-based), first column (0-based), column after the last."""


@dataclass(frozen=True, slots=True)
class PlantedHabit:
    """A habit as it stands in the truth: its dimension, the author's choice, and the choice in words."""

    dimension: str
    choice: str
    description: str

    @property
    def name(self) -> str:
        """``dimension:choice``."""
        return f"{self.dimension}:{self.choice}"


_PATTERNS: dict[tuple[str, str], tuple[str, str]] = {
    ("formatting", "percent"): ("text is formatted with %", r"['\"] (% )"),
    ("formatting", "format"): ("text is formatted with str.format", r"['\"](\.format\()"),
    ("calls", "exploded"): ("arguments and parameters stand one per line with a trailing comma", r"\w(\()$"),
    ("calls", "padded"): ("spaces stand inside parentheses", r"\w(\( )(?=\S)|(?<=\S)( \))"),
    ("attributes", "private"): (
        "attributes of an object begin with an underscore",
        r"\bself\.(_[a-z]\w*)\b(?!\()",
    ),
    ("attributes", "public"): ("attributes of an object have plain names", r"\bself\.([a-z]\w*)\b(?!\()"),
    ("attributes", "member"): ("attributes of an object begin with m_", r"\bself\.(m_\w+)"),
    ("conditions", "parenthesised"): (
        "conditions and results stand in parentheses",
        r"^\s*(?:el)?(?:if|while|return) (\( ?)",
    ),
    ("docstring", "banner"): ("a banner of comments stands above a function", r"^\s*(#={20,}|# \S+ -- .*)$"),
    ("naming", "suffixed"): ("local names end in an underscore", r"(?<![.\w])([a-z]\w*_)\b"),
    ("naming", "prefixed"): ("names begin with p_, l_ or cur_", r"\b((?:p|l|cur)_\w+)"),
    ("naming", "hungarian"): (
        "names are in camel case and begin with a, the or each",
        r"\b((?:a|the|each)[A-Z]\w*)",
    ),
    ("naming", "descriptive"): (
        "local names are long and descriptive",
        r"\b((?:current|computed)_\w+|\w+_(?:value|text|index|handle|result|count|list|name))\b",
    ),
    ("comments", "dashes"): ("comments begin with two dashes", r"(# -- .*)$"),
    ("comments", "note"): ("comments begin with NOTE:", r"(# NOTE: .*)$"),
    ("comments", "marker"): ("comments begin with #:", r"(#: .*)$"),
    ("comments", "step"): ("a comment in a full sentence stands above each step", r"(# [A-Z].*\.)$"),
    ("comments", "banner"): ("comments are framed in #--- ---#", r"(#--- .* ---#)$"),
    ("empties", "call"): ("empty collections are calls", r"\b((?:dict|list)\(\))"),
    ("emptiness", "equals"): ("emptiness is a comparison with False", r"(== False)\b"),
    ("emptiness", "length"): ("emptiness is a length of 0", r"\b(len\( ?[\w.]+ ?\) == 0)"),
    ("none_test", "equals"): ("None is compared with ==", r"([!=]= None)\b"),
    ("none_test", "yoda"): ("None stands on the left", r"\b(None is)\b"),
    ("loops", "loop"): ("lists are built in loops", r"(\.append)\("),
    ("increments", "spelled"): ("increments are spelled out", r"^\s*([\w.]+ = )(?=(?P<same>[\w.]+) [-+*] )"),
    ("returns", "explicit"): ("None is returned explicitly", r"\b(return None)\b"),
    ("raises", "from_none"): ("errors are raised from None", r"(from None)\b"),
    ("raises", "logged"): ("an error is logged before it is raised", r"\b(log\.error\()"),
    ("raises", "guarded"): (
        "failures are logged with logger.exception",
        r"(logger\.exception\(|except Exception:)",
    ),
    ("caught", "e"): ("a caught error is called e", r"\b(as e):"),
    ("caught", "exc"): ("a caught error is called exc", r"\b(as exc):"),
    ("caught", "err"): ("a caught error is called err", r"\b(as err):"),
    ("caught", "error"): ("a caught error is called error", r"\b(as error):"),
    ("asserts", "message"): (
        "arguments are asserted with a message",
        r"\b(assert (?:None is not|\w+ is not None).*)$",
    ),
    ("walrus", "often"): ("values are bound inside conditions", r"(:=)"),
}
_STRUCTURAL = {
    ("quote", "single"): "strings stand in single quotes",
    ("quote", "double"): "strings stand in double quotes",
    ("formatting", "fstring"): "text is formatted with f-strings",
    ("blanks", "airy"): "a blank line stands before a return and around a block",
    ("blanks", "dense"): "no blank line stands before a return",
    ("annotations", "none"): "nothing is annotated",
    ("annotations", "full"): "parameters, results and variables are annotated",
    ("docstring", "none"): "functions have no docstring",
    ("docstring", "line"): "docstrings are one line",
    ("docstring", "rest"): "docstrings have reStructuredText fields",
    ("docstring", "google"): "docstrings have Args, Returns and Raises",
    ("after_def", "blank"): "a blank line stands after def",
    ("guards", "nested"): "else follows a branch that has returned",
}
_COMPILED = {key: re.compile(pattern) for key, (_, pattern) in _PATTERNS.items()}


def habits_of(style: Style) -> tuple[PlantedHabit, ...]:
    """The planted habits of a style, the house's first."""
    described = {key: text for key, (text, _) in _PATTERNS.items()} | _STRUCTURAL
    choices = style.choices()
    keys = sorted(choices.items(), key=lambda item: (item[0] not in HOUSE, item[0]))
    return tuple(PlantedHabit(*key, described[key]) for key in keys if key in described)


def find_traces(text: str, habit: PlantedHabit) -> list[Span]:
    """The spans of a Python file that realise a habit. Habits of absence ("no docstring") have none."""
    key = (habit.dimension, habit.choice)
    if key in _COMPILED:
        return list(_by_pattern(text, _COMPILED[key]))
    find = _FINDERS.get(key)
    return list(find(text)) if find else []


def _by_pattern(text: str, pattern: re.Pattern[str]) -> Iterator[Span]:
    for number, line in enumerate(text.splitlines(), start=1):
        for match in pattern.finditer(line):
            same = match.groupdict().get("same")
            if same is not None and same != match.group(1).removesuffix(" = "):
                continue
            group = next(i for i, value in enumerate(match.groups(), start=1) if value is not None)
            yield number, match.start(group), match.end(group)


def _strings(text: str) -> Iterator[tuple[str, tokenize.TokenInfo]]:
    """String tokens, and the parts of f-strings where Python tells them apart (3.12 and later)."""
    kinds = {tokenize.STRING, getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield tokenize.tok_name[token.type], token


def _quotes(mark: str) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        for kind, token in _strings(text):
            if not token.string.endswith(mark):
                continue
            width = 3 if token.string.endswith(mark * 3) and token.string.count(mark) > 3 else 1
            (line, start), (last_line, end) = token.start, token.end
            if kind != "FSTRING_END":
                opening = start + token.string.index(mark)
                yield line, opening, opening + width
            if kind != "FSTRING_START":
                yield last_line, end - width, end

    return find


def _fstrings(text: str) -> Iterator[Span]:
    for kind, token in _strings(text):
        if kind != "FSTRING_END" and re.match(r"[rR]?[fF]", token.string):
            line, start = token.start
            yield line, start, start + re.search("['\"]", token.string).end()  # pyright: ignore[reportOptionalMemberAccess]


def _dense_returns(text: str) -> Iterator[Span]:
    lines = text.splitlines()
    for number, line in enumerate(lines[1:], start=2):
        above = lines[number - 2].strip()
        if (
            line.strip().startswith("return")
            and above
            and not above.endswith(":")
            and not above.startswith("#")
        ):
            yield number, 0, line.index("return") + len("return")


def _annotations(text: str) -> Iterator[Span]:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        found = [node.returns] if isinstance(node, ast.FunctionDef) else []
        found += [node.annotation] if isinstance(node, ast.arg | ast.AnnAssign) else []
        for part in found:
            if part is not None and part.end_col_offset is not None:
                before = lines[part.lineno - 1][: part.col_offset]
                start = len(before.rstrip().removesuffix(":").removesuffix("->").rstrip())
                yield part.lineno, start, part.end_col_offset


def _docstrings(text: str) -> Iterator[Span]:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or ast.get_docstring(node) is None:
            continue
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1):
            line = lines[number - 1]
            if line.strip():
                yield number, len(line) - len(line.lstrip()), len(line)


def _blank_after_def(text: str) -> Iterator[Span]:
    lines = text.splitlines()
    for number in range(2, len(lines)):
        if lines[number - 2].lstrip().startswith("def ") and not lines[number - 1]:
            line = lines[number]
            yield number + 1, 0, len(line) - len(line.lstrip())


def _nested_guards(text: str) -> Iterator[Span]:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if (
            not isinstance(node, ast.If)
            or not node.orelse
            or not isinstance(node.body[-1], ast.Return | ast.Raise)
        ):
            continue
        for number in range(node.orelse[0].lineno - 1, node.body[-1].lineno, -1):
            if lines[number - 1].strip() == "else:":
                start = lines[number - 1].index("else:")
                yield number, start, start + len("else:")
                break


_FINDERS: dict[tuple[str, str], Callable[[str], Iterator[Span]]] = {
    ("quote", "single"): _quotes("'"),
    ("quote", "double"): _quotes('"'),
    ("formatting", "fstring"): _fstrings,
    ("blanks", "dense"): _dense_returns,
    ("annotations", "full"): _annotations,
    ("docstring", "line"): _docstrings,
    ("docstring", "rest"): _docstrings,
    ("docstring", "google"): _docstrings,
    ("after_def", "blank"): _blank_after_def,
    ("guards", "nested"): _nested_guards,
}
