"""The sentences that authors put into comments and docstrings, made from the names in the code."""

from __future__ import annotations

import random
import re

import libcst as cst

from service.sample.naming import words_of
from service.sample.style import Style

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_NOISE = frozenset(
    "l p cur m the a each computed current value self cls none true false not and or is in if for while "
    "return len isinstance str int list dict print getattr text result".split()
)
_EMPTY = cst.Module([])


def subject_of(node: cst.CSTNode, fallback: str = "value") -> str:
    """Two or three words that name what a piece of code is about."""
    code = _EMPTY.code_for_node(node)[:200]
    words: list[str] = []
    for identifier in _IDENTIFIER.findall(re.sub(r"'[^']*'|\"[^\"]*\"", "", code)):
        words += [w for w in words_of(identifier) if len(w) > 1 and w not in _NOISE and w not in words]
        if len(words) >= 3:
            break
    return " ".join(words[:3]) or fallback


def sentence_for(statement: cst.CSTNode, rng: random.Random) -> str:
    """An imperative clause for a statement, without capital and full stop."""
    if isinstance(statement, cst.If):
        verb = rng.choice(["check whether", "handle the case of", "make sure that"])
        return f"{verb} {_about(statement.test)}"
    if isinstance(statement, cst.For):
        return (
            f"{rng.choice(['iterate over', 'walk through', 'process each of'])} the {_about(statement.iter)}"
        )
    if isinstance(statement, cst.While):
        return f"repeat while {_about(statement.test)}"
    if isinstance(statement, cst.Try):
        return f"attempt the {_about(statement.body)} and handle failures"
    if isinstance(statement, cst.With):
        return f"acquire the {_about(statement.items[0].item)}"
    if isinstance(statement, cst.SimpleStatementLine):
        return _sentence_for_simple(statement.body[0], rng)
    return f"define the {_about(statement)}"


def _sentence_for_simple(small: cst.BaseSmallStatement, rng: random.Random) -> str:
    if isinstance(small, cst.Return):
        return f"return the {_about(small.value)} to the caller" if small.value else "nothing more to do"
    if isinstance(small, cst.Raise):
        return f"report the {_about(small)}"
    if isinstance(small, cst.Assign):
        verb = rng.choice(["compute", "prepare", "store", "determine"])
        return f"{verb} the {_about(small.targets[0].target)}"
    verb = rng.choice(["update", "apply", "process"])
    return f"{verb} the {_about(small)}"


def _about(node: cst.CSTNode | None) -> str:
    return subject_of(node) if node is not None else "value"


def summary_of(name: str, docstring: str | None) -> str:
    """A docstring's first sentence, or one made from the function's name; no full stop."""
    if docstring:
        return docstring[:1].upper() + docstring[1:]
    words = words_of(name) or ["run"]
    return f"{words[0].capitalize()} the {' '.join(words[1:]) or 'object'}"


def docstring_lines(
    style: Style, summary: str, parameters: list[str], returns: bool, raised: list[str]
) -> list[str]:
    """The docstring's lines, unindented and without quotes; the first stands beside the opening quotes."""
    if style.docstring == "line":
        return [f"{summary}."]
    lines = [f"{summary}."]
    if style.docstring == "rest":
        fields = [f":param {name}: the {_plain(name)}." for name in parameters]
        fields += [":returns: the result."] if returns else []
        fields += [f":raises {name}: when it cannot." for name in raised]
        return [*lines, "", *fields, ""] if fields else lines
    if parameters:
        lines += ["", "Args:", *(f"    {name}: The {_plain(name)} to use." for name in parameters)]
    if returns:
        lines += ["", "Returns:", f"    The result of the operation: {summary[:1].lower() + summary[1:]}."]
    if raised:
        lines += ["", "Raises:", *(f"    {name}: If the operation cannot be completed." for name in raised)]
    return [*lines, ""] if len(lines) > 1 else lines


def _plain(name: str) -> str:
    return " ".join(word for word in words_of(name) if word not in ("p", "l")) or name
