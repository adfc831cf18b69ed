from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.diff import parse_diff
from service.reports.pages.diff_view import level_of, view_diff
from service.reports.pages.highlight import MarkedSpan, pieces_of
from service.reports.pages.page import render_served, render_single_file
from service.reports.pages.review import review_page
from service.reports.wording import nats
from tests.service.reports.pages import shapes
from tests.service.reports.pages.markup import Elements


def read(review) -> Elements:
    return Elements(render_single_file(review_page(review)))


def test_hunks_stand_in_the_order_of_their_drift_and_the_rest_below() -> None:
    answer = shapes.report()
    turned = answer.model_copy(update={"hunks": answer.hunks[::-1]})
    for report, first in ((answer, "app/errors.py"), (turned, "app/ok.py")):
        scored, left_out = view_diff(shapes.patches(), report)
        assert scored[0].path == first
        assert [hunk.path for hunk in left_out] == ["uv.lock"]
        assert [hunk.name for hunk in (*scored, *left_out)] == ["hunk-1", "hunk-2", "hunk-3"]


def test_a_long_diff_is_served_in_pages_and_nothing_is_lost() -> None:
    lines = "".join(f"+value_{n} = {n}\n" for n in range(200))
    files = "".join(
        f"diff --git a/f{n}.py b/f{n}.py\n--- a/f{n}.py\n+++ b/f{n}.py\n@@ -1 +1,201 @@\n x = 1\n{lines}"
        for n in range(12)
    )
    long = replace(shapes.not_scored(), patches=parse_diff(files))
    seen: list[str] = []
    for number in range(1, 7):
        text = render_served(review_page(long, number, "/reviews/7"), str)
        assert len(text) < 300 * 1024
        page = Elements(text)
        turns = [a["href"] for a in page.named("a") if a.get("rel") == "next"]
        assert turns == ([f"/reviews/7?hunks={number + 1}"] * 2 if number < 6 else [])
        seen += [f"f{n}.py" for n in range(12) if f"f{n}.py:1" in page.text]
    assert seen == [f"f{n}.py" for n in range(12)]
    assert Elements(render_served(review_page(long), str)).text.count(".py:1") == 12


def test_a_mark_that_nobody_can_see_has_a_name() -> None:
    """axe-core: a link needs text; the place of a finding may be white space alone."""
    answer = shapes.report()
    finding = answer.hunks[0].findings[0]
    blank = finding.model_copy(
        update={"shift": finding.shift.model_copy(update={"column": 0, "text": "    "})}
    )
    hunk = answer.hunks[0].model_copy(update={"findings": (blank,)})
    review = replace(shapes.review(), report=answer.model_copy(update={"hunks": (hunk, *answer.hunks[1:])}))
    assert [a.get("aria-label") for a in read(review).named("a") if a["href"] == "#hunk-1-f1"] == ["blank"]


def test_every_line_has_its_own_drift() -> None:
    scored, _ = view_diff(shapes.patches(), shapes.report())
    rows = {row.new: row for row in scored[0].rows if row.new}
    assert rows[11].drift == -11.4
    assert rows[11].level == "a4"
    assert rows[12].level == "t1"
    assert rows[16].drift is None
    assert [row.old for row in scored[0].rows if row.kind == "minus"] == [11, 12]
    marked = [piece for row in scored[0].rows for piece in row.pieces if piece.mark]
    assert [piece.text for piece in marked] == ["raise", "error"]


@pytest.mark.parametrize(
    ("drift", "level"), [(None, "none"), (0.3, "none"), (-0.5, "a1"), (2.0, "t2"), (-7.0, "a3"), (99.0, "t4")]
)
def test_levels(drift: float | None, level: str) -> None:
    assert level_of(drift) == level


def test_the_table_of_sites_adds_up() -> None:
    page = read(shapes.review())
    hunk = shapes.report().hunks[0]
    assert f"sum of all shares {nats(sum(share.nats for share in hunk.shares))}" in page.text
    assert f"log-ratio, measured directly {nats(hunk.log_ratio)}" in page.text
    assert "completeness gap +0.004 bound +0.24" in page.text
    assert all(f"layer {layer} · attn.q" in page.text for layer in range(5))


def test_routes_and_tokens_add_up_too() -> None:
    page = read(shapes.review())
    hunk = shapes.report().hunks[0]
    sites = sum(share.nats for share in hunk.shares if not share.is_context)
    assert f"layer 0 · attn.q · route 0 {nats(-3.0)} layer 0 · attn.k · route 1 {nats(-2.0)}" in page.text
    assert f"all other routes {nats(sites + 5.0)} context and first token {nats(1.2)}" in page.text
    rest = f"the other 50 tokens {nats(hunk.log_ratio + 8.5)}"
    assert f"·Check line 11 {nats(-6.5)} ·error line 14 {nats(-2.0)} {rest}" in page.text
    total = sum(one.log_ratio for one in shapes.report().hunks)
    assert f"add up to {nats(total)} nats over 82 tokens" in page.text


def test_numbers_stand_beside_their_null_and_threshold() -> None:
    page = read(shapes.review())
    charts = [attributes["aria-label"] for attributes in page.named("svg") if attributes.get("role") == "img"]
    assert charts == [
        "score: this diff 3.40 among 61 of the team's commits, alarm from 3.10",
        "routes: this diff 3.71 among 61 of the team's commits, alarm from 2.90",
        "n-grams: this diff 1.10 among 61 of the team's commits, alarm from 2.40",
    ]
    assert "read by the null adapter p = .48" in page.text
    bare = read(replace(shapes.review(), bands=()))
    assert "3.40 (the team's own scores are not at hand; alarm from 3.10)" in bare.text


def test_findings_speak_the_teams_idiom_first() -> None:
    text = read(shapes.review()).text
    assert "Here the team's model expects config (p .26), the diff has error (p .04)." in text
    assert text.index("What the team writes in such places") < text.index("The base, before the team")
    assert text.index("load_config(path)") < text.index("layer 0 · attn.q")


def test_not_scored_says_no_number() -> None:
    page = read(shapes.not_scored())
    assert "Not scored Too little text: 12 scored tokens" in page.text
    assert "p = " not in page.text
    assert "Hunks by drift" not in page.text
    assert "3 hunks not scored" in page.text


def test_the_command_and_the_provenance_are_there() -> None:
    text = read(shapes.review()).text
    assert "routeprint score --repo . --range main..HEAD --format html --out page.html" in text
    assert "37" * 32 in text


def test_hostile_text_does_not_act() -> None:
    page = read(shapes.hostile_review())
    assert page.acts() == []
    assert len(page.named("script")) == 1
    assert not {"\u202e", "\x1b"} & set(page.text)
    assert page.text.count("<script>alert(1)</script>") > 10
    assert "{{7*7}}" in page.text


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec=None), max_size=30), max_size=6))
def test_colouring_keeps_every_character(lines: list[str]) -> None:
    from service.reports.escape import visible

    marks = {0: [MarkedSpan(1, 3, "f1")]}
    for path in ("a.py", "a.rs", "a.unknown"):
        shown = ["".join(piece.text for piece in row) for row in pieces_of(lines, path, marks)]
        assert shown == [visible(line) for line in lines]


def test_code_is_coloured_by_kind_of_word() -> None:
    (row,) = pieces_of(['if x: # "no"'], "a.py", {})
    assert [(piece.text, piece.css) for piece in row] == [("if", "k"), (" x: ", ""), ('# "no"', "c")]


def test_a_long_hunk_is_cut_and_says_so() -> None:
    body = "".join(f"+x{n} = {n}\n" for n in range(500))
    diff = parse_diff(f"--- /dev/null\n+++ b/a.py\n@@ -0,0 +1,500 @@\n{body}")
    page = read(replace(shapes.not_scored(), patches=diff))
    assert "100 more lines not shown" in page.text
