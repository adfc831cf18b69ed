"""Python hunks as complete modules. Torch-free.

What a hunk lacks: headers of the blocks it is inside of, openers of brackets it begins in, closers and bodies
that it breaks off before. Names of ours, ``_begin_`` and ``_end_``, mark where it starts and stops.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fingerprint.evaluation.brackets import PARTNER, Brackets, Candidate, brackets_of, code_end
from fingerprint.evaluation.parts import Kind, Part

_OPENING = {")": "f(", "]": "[", "}": "{"}
_HAS_BODY = re.compile(r"(?:async\s+)?(?:def|class|if|elif|for|while|with|match|case|except)\b")
_CONTINUES = re.compile(r"(?:elif|else|except|finally)\b")
_OPERATOR = re.compile(r"\s*(?:[.=!<>+*/%|&-]|(?:and|or|if|in|is|not)\b)")  # continues an expression
_HANDLES = re.compile(r"(?:except|finally)\b")
_TAIL = re.compile(r"\n[ \t]*(?:finally:\s*)?(?:def )?_end_")


@dataclass(frozen=True, slots=True)
class _Statement:
    """Where a statement begins: its indentation, and its first line without it."""

    indent: str
    line: str


def python_candidates(text: str, parts: Sequence[Part]) -> Iterator[Candidate]:
    """Modules that the fragment may be part of, likeliest first."""
    brackets = brackets_of(text, parts)
    if brackets is None or (parts and parts[0].is_open):
        return
    statements = _statements(text, parts, brackets)
    quote = _open_quote(text, parts[-1])
    tail = quote + _tail(text, code_end(text, parts), statements, brackets)
    for head, start in _heads(text, statements, brackets):
        yield Candidate(head + text + tail, _cutter(start, len(brackets.openers), quote))


def dedent_python(text: str, parts: Sequence[Part]) -> str:
    """The fragment with its outermost statement at the margin: the width it will have once formatted."""
    brackets = brackets_of(text, parts)
    if brackets is None:
        return text
    indents = [statement.indent for statement in _statements(text, parts, brackets)]
    if brackets.closers:
        indents.append(_indent_of_last_line(text, _statements(text, parts, brackets), brackets.closers))
    return _shifted(text, min(map(len, indents), default=0))


def _shifted(text: str, width: int) -> str:
    """Lines with so much less indentation, as far as they have it."""
    return "".join(
        line[min(width, len(line) - len(line.lstrip(" \t"))) :] for line in text.splitlines(keepends=True)
    )


def _statements(text: str, parts: Sequence[Part], brackets: Brackets) -> list[_Statement]:
    found, place, continues = [], 0, False
    for line in text.splitlines(keepends=True):
        start, bare = place + len(line) - len(line.lstrip()), line.strip()
        place += len(line)
        if not bare:
            continue
        part = parts[bisect_right(parts, start, key=lambda part: part.start) - 1]
        row = bisect_right(brackets.depths, (start, len(text))) - 1
        depth = brackets.depths[row][1] if row >= 0 else len(brackets.closers)
        is_inside = (
            depth > 0 or part.kind is Kind.COMMENT or (part.kind is not Kind.CODE and part.start < start)
        )
        if not is_inside and not continues:
            found.append(_Statement(line[: len(line) - len(line.lstrip())], bare))
        continues = bare.endswith("\\")
    return found


# ------------------------------------------------------------------------------------ before the hunk


def _heads(text: str, statements: list[_Statement], brackets: Brackets) -> Iterator[tuple[str, str]]:
    """What is put before the fragment, and a pattern of what of it the formatted text begins with."""
    closers = brackets.closers
    first = _indent_of_last_line(text, statements, closers) if closers else None
    following = statements
    if first is None:
        if not statements:
            return
        first, following = statements[0].indent, statements[1:]
    is_continued = not closers and bool(_CONTINUES.match(statements[0].line))
    headers = _headers(first, following)
    if is_continued:
        headers.insert(0, _header(statements[0]))
    above = "".join(reversed(headers))
    if closers:
        inner = "".join(_OPENING[text[place]] for place in reversed(closers[:-1]))
        count = len(closers)
        filler = "_ " if _OPERATOR.match(text) else ""
        for lead in _leads(text, closers[-1]):
            start = rf"\(?{lead}(?:\s*f?[(\[{{]){{{count}}}\s*{filler and '_ ?'}"
            yield f"{above}{first}{lead}{PARTNER[text[closers[-1]]]}{inner}{filler}\n", start
    elif headers:
        yield f"{above}{first}{' ' * is_continued}_begin_\n", r"_begin_[ \t]*\n"
    else:
        yield "", ""


def _indent_of_last_line(text: str, statements: list[_Statement], closers: tuple[int, ...]) -> str:
    """Indentation of the statement that the last unmatched closer belongs to."""
    start = text.rfind("\n", 0, closers[-1]) + 1
    before = text[start : closers[-1]]
    if not before.strip(" \t)]}"):
        return before[: len(before) - len(before.lstrip())]
    return statements[0].indent if statements else ""


def _headers(first: str, statements: Sequence[_Statement]) -> list[str]:
    """A header for each lower level that a statement returns to, and one at the margin, deepest first."""
    headers, indent = [], first
    for statement in statements:
        if len(statement.indent) < len(indent):
            headers.append(_header(statement))
            indent = statement.indent
    return [*headers, "if _:\n"] if indent else headers


def _header(statement: _Statement) -> str:
    return f"{statement.indent}{'try' if _HANDLES.match(statement.line) else 'if _'}:\n"


def _leads(text: str, closer: int) -> tuple[str, ...]:
    """What may stand before the outermost opener: what follows its partner says which is likely."""
    if text[closer] != ")":
        return ("_begin_ = ",)
    after = text[closer + 1 :].lstrip(" \t")
    if after.startswith(("->", ":")):
        return ("def _begin_", "if _begin_", "with _begin_", "class _begin_")
    return ("_begin_", "with _begin_", "if _begin_")


# ------------------------------------------------------------------------------------- after the hunk


def _tail(text: str, end: int, statements: list[_Statement], brackets: Brackets) -> str:
    """Closers of what is open, a body for a header that has none, an end for each ``try``."""
    last = statements[-1] if statements else _Statement("", "")
    tail = ""
    if brackets.openers:
        tail = "\n" + "".join(PARTNER[text[place]] for place in reversed(brackets.openers))
        tail += ": _end_" if _HAS_BODY.match(last.line) else ""
    elif text[:end].endswith(":"):
        tail = f"\n{last.indent} _end_"
    if last.line.startswith("@"):
        tail += f"\n{last.indent}def _end_(): pass"
    return tail + "".join(f"\n{indent}finally: _end_" for indent in _open_tries(statements)) + "\n"


def _open_quote(text: str, last: Part) -> str:
    """The triple quote that a string at the end of the hunk lacks."""
    string = text[last.start : last.end].lstrip("rRbBuUfF")
    if last.kind in {Kind.STRING, Kind.DOCSTRING} and string[:3] in {'"""', "'''"}:
        return "" if len(string) > 3 and string.endswith(string[:3]) else string[:3]
    return ""


def _open_tries(statements: list[_Statement]) -> list[str]:
    """Indentations of the ``try`` blocks without a handler, deepest first."""
    tries: list[str] = []
    for statement in statements:
        while tries and len(statement.indent) <= len(tries[-1]):
            tries.pop()
        if re.match(r"try\s*:", statement.line):
            tries.append(statement.indent)
    return tries[::-1]


def _cutter(start: str, n_openers: int, quote: str) -> Callable[[str], str | None]:
    def cut(formatted: str) -> str | None:
        found = re.search(rf"^([ \t]*){start}", formatted, re.MULTILINE)
        if found is None:
            return None
        rest = _TAIL.split(formatted[found.end() :])[0]
        if start and not found[0].endswith("\n"):  # the first line goes on from before the hunk
            first, _, following = rest.partition("\n")
            first = first.removesuffix(")") if found[0].lstrip().startswith("(") else first
            indents = [len(line) - len(line.lstrip()) for line in following.splitlines() if line.strip()]
            rest = f"{first}\n{_shifted(following, min([len(found[1]), *indents]))}"
        if n_openers:  # some of the closers: redundant parentheses are gone
            rest = re.sub(rf"\s*[)\]}}](?:[,\s]*[)\]}}]){{0,{n_openers - 1}}}:?\s*\Z", "", rest)
        return rest.rstrip().removesuffix(quote)

    return cut
