"""Each operator on a program made for it, and where a change is."""

from __future__ import annotations

import ast
import random
from collections import Counter

import pytest

from fingerprint.development.pairs.mutate import (
    OPERATORS,
    SourceError,
    choose_changes,
    list_changes,
    locate_change,
    make_candidates,
    normal_form,
)
from fingerprint.development.pairs.task import load_bank

BODY = {
    "boundary": ("return a < b", {"return a <= b"}),
    "negated comparison": ("return a in b", {"return a not in b"}),
    "arithmetic": ("return a + b", {"return a - b"}),
    "and-or": ("return a and b", {"return a or b"}),
    "dropped not": ("return not a", {"return a"}),
    "constant": ("return 1", {"return 2", "return 0"}),
    "off by one": ("return a[:b]", {"return a[:b - 1]", "return a[:b + 1]"}),
    "min-max, any-all": ("return min(a, b)", {"return max(a, b)"}),
    "method": ("return a.strip()", {"return a.rstrip()"}),
    "arguments": ("return min(a, b)", {"return min(b, a)", "return min(a)"}),
    "variable": ("return a", {"return b"}),
    "break-continue": ("while a: break", {"while a: continue"}),
    "deleted statement": ("a = 1; b = 2", {"pass"}),
    "returns nothing": ("return a", {"return None"}),
    "plain assignment": ("a += b", {"a = b"}),
    "swallowed error": ("raise ValueError", {"pass"}),
}


@pytest.mark.parametrize("operator", sorted(BODY))
def test_an_operator_makes_these_changes(operator):
    before, after = BODY[operator]
    code = f"def f(a, b):\n    {before}\n"
    module, changes = list_changes(code)
    own = [change for change in changes if change[0] == operator]
    assert {one.code for one in make_candidates(code, module, own)} == {
        f"def f(a, b):\n    {line}\n" for line in after
    }


def test_every_operator_has_a_program_here():
    assert set(BODY) | {"default"} == set(OPERATORS)


def test_defaults_have_an_operator_of_their_own():
    code = "def f(a, n=3, up=True, mark='-'):\n    return a\n"
    module, changes = list_changes(code)
    found = {
        one.code.splitlines()[0]
        for one in make_candidates(code, module, changes)
        if one.operator == "default"
    }
    assert found == {
        "def f(a, n=4, up=True, mark='-'):",
        "def f(a, n=2, up=True, mark='-'):",
        "def f(a, n=3, up=False, mark='-'):",
        "def f(a, n=3, up=True, mark=''):",
    }
    assert not any(name == "constant" for name, _, _ in changes)


def test_from_an_offset_of_one_the_one_is_dropped():
    code = "def f(n):\n    return list(range(0, n + 1))\n"
    module, changes = list_changes(code)
    found = {one.code for one in make_candidates(code, module, changes) if one.operator == "off by one"}
    assert found == {"def f(n):\n    return list(range(0, n))\n"}


def test_a_handler_is_emptied():
    code = "def f(a):\n    try:\n        return a()\n    except KeyError:\n        return 0\n"
    module, changes = list_changes(code)
    found = [one.code for one in make_candidates(code, module, changes) if one.operator == "swallowed error"]
    assert found == [code.replace("return 0", "pass")]


def test_only_functions_are_changed_and_names_that_are_written_stay():
    code = "LIMIT = 3\ndef f(a, b):\n    c = a\n    for d in b:\n        c = d\n    return c\n"
    module, changes = list_changes(code)
    variables = [one for one in make_candidates(code, module, changes) if one.operator == "variable"]
    assert len(variables) == 4 * 3  # a, b, d and c are read once each, and three others could stand there
    assert all(one.code.startswith("LIMIT = 3\ndef f(a, b):\n    c = ") for one in variables)


def test_the_change_is_where_it_is_said_to_be():
    code = "def f(a, b):\n    if a < b:  # why\n        return a\n    return b\n"
    module, changes = list_changes(code)
    for one in make_candidates(code, module, changes):
        before, after = code[slice(*one.span)], one.code[slice(*one.changed_span)]
        assert code[: one.span[0]] + after + code[one.span[1] :] == one.code or not before or not after
        assert 1 <= one.tokens_changed <= 12
    boundary = next(c for c in make_candidates(code, module, changes) if c.operator == "boundary")
    assert code[slice(*boundary.span)] == "<"
    assert boundary.code[slice(*boundary.changed_span)] == "<="
    assert boundary.tokens_changed == 1


def test_a_deletion_leaves_an_empty_range_before_what_follows():
    before, after = "def f(a):\n    a = 1\n    return a\n", "def f(a):\n    return a\n"
    span, changed, n = locate_change(before, after)
    assert before[slice(*span)] == "a = 1\n    return" or before[slice(*span)] == "a = 1\n"
    assert changed[0] == changed[1] == after.index("return")
    assert n == 4  # a, =, 1 and the line's end


def test_layout_comments_and_docstrings_make_no_difference():
    one = 'def f( a ):\n    """Text."""\n    return a  # why\n'
    assert normal_form(one) == normal_form("def f(a):\n    return a\n")
    assert normal_form(one) != normal_form("def f(a):\n    return -a\n")


def test_no_candidate_reads_like_another_or_like_the_original():
    for task in load_bank()[::60]:
        module, changes = list_changes(task.code)
        forms = [normal_form(one.code) for one in make_candidates(task.code, module, changes)]
        assert len(set(forms)) == len(forms)
        assert normal_form(task.code) not in forms
        assert all(ast.parse(one.code) for one in make_candidates(task.code, module, changes[:20]))


def test_rare_operators_are_drawn_first():
    code = "def f(a, b):\n    while a < b:\n        a = a + b\n        break\n    return a\n"
    _, changes = list_changes(code)
    counts = Counter(change[0] for change in changes)
    drawn = [change[0] for change in choose_changes(changes, counts, 4, random.Random(0))]
    assert drawn[0] in {name for name, n in counts.items() if n == 1}
    assert len(set(drawn)) == 4


def test_what_is_no_python_is_refused():
    with pytest.raises(SourceError, match="expected a Python program"):
        list_changes("def f(:")
