"""Hunks of any of the four families through a formatter. Torch-free.

A hunk begins and ends anywhere. What must stand around it so that a formatter can read it is tried in turn:
where languages have braces it may be items, statements, members, arms or arguments, and its unmatched
brackets get partners. Two comments then show where it is in the formatted file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import dedent

from fingerprint.evaluation.brackets import PARTNER, Brackets, Candidate, brackets_of, code_end
from fingerprint.evaluation.formatters import format_files
from fingerprint.evaluation.lexing import Family
from fingerprint.evaluation.parts import Kind, Part, parts_of
from fingerprint.evaluation.python_fragments import dedent_python, python_candidates

_BEGIN, _END = "@hunk-begin", "@hunk-end"
_OPERATOR = re.compile(r"\s*(?:\.(?!\.)|\?\.|&&|\|\||\? |\+ |=> )")  # continues an expression
_UNFINISHED = re.compile(r"(?:=|=>|->|&&|\|\||\s[+?:])$")
_CONDITION = re.compile(r"(?:^|[;{}])\s*(?:if|while|for|match)\b[^;{}]*\Z", re.MULTILINE)
_LET = re.compile(r"(?:^|[;{}])\s*let\b[^;{}]*[^;{}=]\Z", re.MULTILINE)
_ITEMS = {"struct": "x: X", "enum": "X", "match": "x => x"}
_SIGNATURE = re.compile(r"\bfn [^\n]*\Z")


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a fragment may be inside of.

    Attributes:
        head, tail: around the fragment.
        member: what opens a brace directly inside.
        ends: what ends an expression that was broken off there.
        item: what an attribute or a documentation comment may belong to.
        comment: the comment that marks begin and end.
    """

    head: str = ""
    tail: str = ""
    member: str = "{"
    ends: str = ""
    item: str = ""
    comment: str = "// {}"


@dataclass(frozen=True, slots=True)
class _Grammar:
    """How the hunks of one family are completed.

    Attributes:
        frames: tried in turn.
        inners: what else may open the innermost bracket that a hunk begins in.
        callback: opens a brace inside of parentheses.
        signature: opens a list of parameters, if its partner is followed by this.
        header: what stands before a brace that opens a block, not a literal.
        needs_comma: whether an element before a closer on a line of its own must have one.
    """

    frames: tuple[_Frame, ...]
    inners: tuple[str, ...]
    callback: str
    signature: tuple[str, re.Pattern[str]]
    header: re.Pattern[str]
    needs_comma: bool = False


_GRAMMARS = {
    "rust": _Grammar(
        (
            _Frame(member="fn f() {", item="fn f() {}"),
            _Frame("fn f() {", "}", ends=";", item="fn f() {}"),
            _Frame("fn f() { match x {", "} }", "_ => {", item="x => x"),
            _Frame("struct X {", "}", item="x: X"),
            _Frame("enum X {", "}", "X {", item="X"),
            _Frame("fn f() { f(", ") }", "|| {"),
            _Frame("fn f() { X {", "} }", "x: {"),
        ),
        ("match x {", "X {", "struct X {", "enum X {"),
        "|| {",
        ("fn f(", re.compile(r"\s*(?:->|where\b)")),
        re.compile(r"\b(?:fn|impl|if|else|for|while|loop|unsafe|async|mod|trait|extern)\b|=>\s*$|\|\s*$"),
    ),
    "go": _Grammar(
        (
            _Frame(),
            _Frame("package p", member="func f() {"),
            _Frame("package p\nfunc f() {", "}"),
            _Frame("package p\ntype X struct {", "}", "X struct {"),
            _Frame("package p\ntype X interface {", "}"),
            _Frame("package p\nvar x = X{", "}", "{"),
            _Frame("package p\nvar x = f(", ")", "X{"),
            _Frame("package p\nfunc f() { switch x {", "} }"),
            _Frame("package p\nimport (", ")"),
        ),
        ("x = X{", "switch x {", "type X struct {", "type X interface {", "import (", "const ("),
        "func() {",
        ("func f(", re.compile(r"(?: [^\n=;]*)? \{\n")),
        re.compile(r"\b(?:func|if|else|for|switch|select|struct|interface)\b"),
        needs_comma=True,
    ),
    "typescript": _Grammar(
        (
            _Frame(),
            _Frame("async function* f() {", "}"),
            _Frame("class X {", "}", "m() {"),
            _Frame("x = {", "}", "a: {"),
            _Frame("f(", ")"),
            _Frame("interface X {", "}", "a: {"),
            _Frame("switch (x) {", "}"),
            _Frame("enum X {", "}"),
            _Frame("x = (<>", "</>)", comment="{{/* {} */}}"),
        ),
        ("x = {", "class X {", "switch (x) {", "import {"),
        "() => {",
        ("function f(", re.compile(r"(?::| \{)")),
        re.compile(r"\)\s*$|=>\s*$|\b(?:else|try|do|finally|class|interface)\b"),
    ),
}


def format_fragments(family: Family, suffix: str, fragments: Sequence[str]) -> list[str | None]:
    """Fragments of files as the family's formatter leaves them, dedented; None for those it cannot read.

    Lines are as long as the formatter's defaults allow at the depth that the hunk itself shows: how deep it
    was nested in its file is not known, on either side of a comparison.

    Args:
        family: one of ``formatters_here()``.
        suffix: of the files, with the dot.
        fragments: the code of hunks.
    """
    queues = [_candidates(family, fragment) for fragment in fragments]
    done: list[str | None] = [None] * len(fragments)
    waiting = list(range(len(fragments)))
    while waiting:
        tried = [(i, candidate) for i in waiting if (candidate := next(queues[i], None))]
        found = format_files(family.name, suffix, [candidate.text for _, candidate in tried])
        for (i, candidate), text in zip(tried, found, strict=True):
            part = candidate.cut(text) if text is not None else None
            if part is not None and part.strip():
                done[i] = dedent(part.strip("\n")) + "\n"
        waiting = [i for i, _ in tried if done[i] is None]
    return done


def _candidates(family: Family, fragment: str) -> Iterator[Candidate]:
    parts = parts_of(fragment, family)
    if not parts or not fragment.strip():
        return iter(())
    if family.name == "python":
        fragment = dedent_python(fragment, parts)
        return python_candidates(fragment, parts_of(fragment, family) or parts)
    return _brace_candidates(_GRAMMARS[family.name], fragment, parts)


def _brace_candidates(grammar: _Grammar, text: str, parts: Sequence[Part]) -> Iterator[Candidate]:
    brackets = brackets_of(text, parts)
    if brackets is None or (parts[0].is_open and parts[0].kind is Kind.STRING):
        return
    joint = "x" if _OPERATOR.match(text) else ""
    innermost = PARTNER[_closing(text, brackets)[0]] if brackets.closers else " "
    for inner in ("", *(inner for inner in grammar.inners if inner.endswith(innermost))):
        for frame in grammar.frames:
            body, lead, trail = _whole(grammar, frame, text, parts, brackets)
            begin, end = frame.comment.format(_BEGIN), frame.comment.format(_END)
            opening = _openers(grammar, frame, text, brackets, inner) + joint
            closing = _item(frame, text, parts, brackets) + _closers(grammar, frame, text, brackets)
            # the indentation of the first comment is for the formatter to change
            whole = f"{frame.head}\n{opening}\n   \t{begin}\n\n{body}\n\n{end}\n{closing}{frame.tail}\n"
            yield Candidate(whole, _cutter(begin, end, lead, trail))


def _closing(text: str, brackets: Brackets) -> str:
    return "".join(text[place] for place in brackets.closers)


def _openers(grammar: _Grammar, frame: _Frame, text: str, brackets: Brackets, inner: str) -> str:
    """Openers for the brackets that the fragment begins in, outermost first."""
    closing, found = _closing(text, brackets), []
    for position, place in enumerate(brackets.closers):
        after = text[place + 1 : place + 40].lstrip()
        if position == 0 and inner:
            found.append(inner)
        elif text[place] != "}":
            found.append(_opener_of_list(grammar, frame, text, place))
        elif after.startswith("else"):
            found.append("if x {")
        elif after.startswith(("catch", "finally")):
            found.append("try {")
        elif closing[position + 1 : position + 2] == ")":
            found.append(grammar.callback)
        else:
            found.append(frame.member if position == len(closing) - 1 else "{")
    return "".join(reversed(found))


def _opener_of_list(grammar: _Grammar, frame: _Frame, text: str, closer: int) -> str:
    if text[closer] == "]":
        return "["
    opener, after = grammar.signature
    return opener if after.match(text, closer + 1) and "class" not in frame.head else "f("


def _closers(grammar: _Grammar, frame: _Frame, text: str, brackets: Brackets) -> str:
    """Closers for what the fragment leaves open, each with what must end it there."""
    closing = ""
    for position in range(len(brackets.openers) - 1, -1, -1):
        opener = brackets.openers[position]
        closing += PARTNER[text[opener]]
        if position == 0:
            closing += frame.ends or (
                ";" if text[opener] == "(" and _SIGNATURE.search(text, 0, opener) else ""
            )
        elif frame.ends and _is_block(grammar, text, brackets.openers[position - 1]):
            closing += ";"
    return closing


def _item(frame: _Frame, text: str, parts: Sequence[Part], brackets: Brackets) -> str:
    """What the documentation comment or attribute belongs to that the fragment ends with, if it does."""
    said = [last for part in parts[-2:] if (last := text[part.start : part.end].strip())]
    line = text.rstrip().rpartition("\n")[2].lstrip()
    if not line.startswith("#[") and not (said and said[-1].startswith(("///", "/**"))):
        return ""
    opener = brackets.openers[-1] if brackets.openers else 0
    header = text[text.rfind("\n", 0, opener) + 1 : opener]
    return next((item for word, item in _ITEMS.items() if word in header.split()), frame.item)


def _is_block(grammar: _Grammar, text: str, opener: int) -> bool:
    before = text[text.rfind("\n", 0, opener) + 1 : opener]
    return text[opener] == "{" and bool(grammar.header.search(before))


def _whole(
    grammar: _Grammar, frame: _Frame, text: str, parts: Sequence[Part], brackets: Brackets
) -> tuple[str, str, str]:
    """The text with what it begins and breaks off in completed, and what that put before and after it."""
    lead = "/*" if parts[0].is_open and parts[0].kind is Kind.COMMENT else ""
    comment = lead * (len(parts) == 1) + text[parts[-1].start :]
    if parts[-1].kind is Kind.COMMENT and comment.startswith("/*") and not comment.rstrip().endswith("*/"):
        return f"{lead}{text}*/", lead, "*/"
    end = code_end(text, parts)
    trail = _trail(grammar, frame, text[:end], brackets)
    return f"{lead}{text[:end]}{trail}{text[end:]}", lead, trail


def _trail(grammar: _Grammar, frame: _Frame, code: str, brackets: Brackets) -> str:
    """What the last statement or element lacks."""
    if _CONDITION.search(code):
        return " {}"
    if _LET.search(code):
        return ";"
    if _UNFINISHED.search(code):
        return " x"
    if not brackets.openers:
        return frame.ends if code[-1:] not in set(";,{}") else ""
    if not grammar.needs_comma or code[-1:] in set(",([{"):
        return ""
    innermost = brackets.openers[-1]
    return "" if code[innermost] == "{" and _is_block(grammar, code, innermost) else ","


def _cutter(begin: str, end: str, lead: str, trail: str) -> Callable[[str], str | None]:
    def cut(formatted: str) -> str | None:
        _, found, rest = formatted.partition(begin)
        part, found_end, _ = rest.partition(end)
        if not found or not found_end:
            return None
        part = part.rstrip()
        if lead:
            part = part.lstrip().removeprefix(lead)
        return part.removesuffix(trail.strip()).rstrip()

    return cut
