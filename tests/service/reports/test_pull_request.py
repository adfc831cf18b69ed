"""Check and comment as golden files, their limits, and text of a diff that tries to act."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from connectors.github.checks import MAX_TEXT_BYTES, Conclusion
from connectors.github.comments import MAX_BODY_BYTES
from fingerprint.report import DriftReport, Verdict
from service.reports import wording
from service.reports.check import conclude, render_check, render_unscored
from service.reports.clip import CUT, clip, n_bytes
from service.reports.comment import render_comment, wants_comment
from service.reports.place import Place
from service.repository_config import RepositoryConfig, Stage
from tests.service.reports.test_answer import check_golden, evidence, hostile, not_scored, unusual

PLACE = Place("https://github.com", "acme/rocket", "a" * 40, "https://rp.example/r/7")
COMMENT = RepositoryConfig(stage=Stage.COMMENT)
GATE = RepositoryConfig(stage=Stage.GATE)


def typical() -> DriftReport:
    return unusual(verdict=Verdict.TYPICAL, evidence=evidence(0.6))


CASES = {"unusual": unusual, "typical": typical, "not-scored": not_scored, "hostile": hostile}


@pytest.mark.parametrize("name", CASES)
def test_golden_check(name: str):
    shown = dataclasses.asdict(render_check(CASES[name](), PLACE, COMMENT))
    check_golden(f"{name}.check.json", json.dumps(shown, indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("name", CASES)
def test_golden_comment(name: str):
    check_golden(f"{name}.comment.md", render_comment(CASES[name](), PLACE))


def test_golden_accepted():
    check_golden("accepted.comment.md", render_comment(unusual(), PLACE, is_accepted=True))
    shown = dataclasses.asdict(render_check(unusual(), PLACE, GATE, is_accepted=True))
    check_golden("accepted.check.json", json.dumps(shown, indent=1, ensure_ascii=False) + "\n")


# ------------------------------------------------------------------------------------------ conclusions


@pytest.mark.parametrize(
    ("report", "stage", "expected"),
    [
        (unusual(), Stage.OBSERVE, Conclusion.NEUTRAL),
        (unusual(), Stage.COMMENT, Conclusion.NEUTRAL),
        (unusual(), Stage.GATE, Conclusion.FAILURE),
        (typical(), Stage.OBSERVE, Conclusion.NEUTRAL),
        (typical(), Stage.COMMENT, Conclusion.NEUTRAL),
        (typical(), Stage.GATE, Conclusion.SUCCESS),
    ],
)
def test_conclusions(report: DriftReport, stage: Stage, expected: Conclusion):
    assert conclude(report, stage) is expected


@pytest.mark.parametrize("stage", Stage)
def test_what_was_not_scored_is_never_green(stage: Stage):
    shown = render_check(not_scored(), PLACE, RepositoryConfig(stage=stage))
    assert shown.conclusion is Conclusion.NEUTRAL
    assert shown.title.startswith("NOT SCORED: ")
    assert render_unscored("it took too long").conclusion is Conclusion.NEUTRAL
    assert render_unscored("it took too long").title == "NOT SCORED: it took too long"
    no_evidence = DriftReport(verdict=Verdict.TYPICAL)
    assert conclude(no_evidence, stage) is Conclusion.NEUTRAL


def test_an_accepted_finding_does_not_fail_and_is_not_green():
    assert conclude(unusual(), Stage.GATE, is_accepted=True) is Conclusion.NEUTRAL


def test_titles():
    assert wording.check_title(typical()) == "Typical for this team · p40 (n = 61 commits)"
    assert wording.check_title(unusual()) == "Unusual · p98 in 1 of 2 hunks"
    calm = unusual(hunks=tuple(h.model_copy(update={"percentile": 0.5}) for h in unusual().hunks))
    assert wording.check_title(calm) == "Unusual · p98 over 2 hunks together"


def test_when_there_is_something_to_say():
    assert not wants_comment(unusual(), Stage.OBSERVE, has_comment=True)
    assert wants_comment(unusual(), Stage.COMMENT, has_comment=False)
    assert not wants_comment(typical(), Stage.GATE, has_comment=False)
    assert not wants_comment(not_scored(), Stage.COMMENT, has_comment=False)
    assert wants_comment(typical(), Stage.COMMENT, has_comment=True)
    assert wants_comment(not_scored(), Stage.COMMENT, has_comment=True)


def test_a_clean_comment_is_one_line():
    for report in (typical(), not_scored()):
        assert render_comment(report, PLACE).count("\n") == 1


def test_buttons_fit_githubs_limits():
    actions = render_check(unusual(), PLACE, COMMENT).actions
    assert [action.label for action in actions] == ["Re-score", "Accept as intended", "Mute path"]
    assert all(len(a.label) <= 20 and len(a.description) <= 40 and len(a.button.value) <= 20 for a in actions)


def test_annotations_are_few_and_only_of_what_stands_out():
    hunks = tuple(unusual().hunks[0].model_copy(update={"path": f"f{n}.py"}) for n in range(80))
    many = unusual(hunks=(*hunks, unusual().hunks[1]))
    assert len(render_check(many, PLACE, COMMENT).annotations) == 10
    assert len(render_check(many, PLACE, RepositoryConfig(annotations=50)).annotations) == 50
    assert render_check(many, PLACE, RepositoryConfig(annotations=0)).annotations == ()
    assert [a.path for a in render_check(unusual(), PLACE, COMMENT).annotations] == ["app/errors.py"]


# ----------------------------------------------------------------------------------- hostile and large


def outside_code(page: str) -> str:
    return re.sub(r"<code>.*?</code>|href=\"[^\"]*\"", "", page, flags=re.DOTALL)


def links(page: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', page)


EVIL = [
    "</details><script>alert(1)</script>", "@acme/everyone", "#12 GH-3", "[x](https://evil.example)",
    "![x](https://evil.example/p.png)", "`` ` ``` ~~~", "a|b|c", "<!-- routeprint:v1 -->", "](https://evil.example)",
    "\u202egnp.exe", "a\nb\n# heading", "www.evil.example", "javascript:alert(1)", "&lt;b&gt;", "$\\evil{x}$",
    "]: x",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("render", ["summary", "text", "comment", "explained"])
def test_text_of_a_pull_request_does_not_act(text: str, render: str):
    finding = unusual().hunks[0].findings[0]
    evil = finding.model_copy(update={"shift": finding.shift.model_copy(update={"text": text})})
    evil = evil.model_copy(
        update={"team_lines": (finding.team_lines[0].model_copy(update={"text": text, "path": text}),)}
    )
    hunk = unusual().hunks[0].model_copy(update={"path": f"src/{text}", "header": text, "findings": (evil,)})
    report = unusual(hunks=(hunk,), warnings=(text,), dropped={text: 1}, reason=text, provenance={text: text})
    check = render_check(report, PLACE, COMMENT)
    source = {
        "summary": check.summary, "text": check.text, "comment": render_comment(report, PLACE),
        "explained": render_comment(report, PLACE, is_explained=True),
    }[render]  # fmt: skip
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(source)
    assert "<script" not in page
    assert "<img" not in page
    assert all(
        link.startswith(("https://github.com/acme/rocket/blob/", "https://rp.example/"))
        for link in links(page)
    )
    assert render == "text" or any("/blob/" in link for link in links(page))
    plain = outside_code(page)
    assert "@acme" not in plain
    assert not re.search(r"#12\b|GH-3|www\.evil|://evil", plain)
    assert page.count("<details") == page.count("</details>")
    assert "\u202e" not in source
    assert "<!-- routeprint" not in plain
    assert "\n# heading" not in source


@given(st.text(max_size=40))
def test_links_hold_any_path(path: str):
    page = MarkdownIt("commonmark").render("**1.** " + PLACE.line_link(path, 3))
    assert page.count("<a ") == 1
    assert page.rstrip().endswith("</a></p>")


def test_titles_are_one_visible_line():
    shown = render_check(
        DriftReport(verdict=Verdict.NOT_SCORED, reason="a\nb\x1b[0m" + "x" * 900), PLACE, COMMENT
    )
    assert "\n" not in shown.title
    assert "\x1b" not in shown.title
    assert len(shown.title) <= 250


def huge() -> DriftReport:
    finding = unusual().hunks[0].findings[0]
    wide = finding.team_lines[0].model_copy(update={"text": "ä€𝔘" * 40})
    fat = finding.model_copy(update={"team_lines": (wide,) * 20})
    hunk = unusual().hunks[0].model_copy(update={"findings": (fat,) * 6})
    return unusual(hunks=(hunk,) * 40, warnings=("ü" * 500,) * 40)


def test_everything_fits():
    wide = RepositoryConfig(stage=Stage.COMMENT, hunks=20, annotations=50)
    check = render_check(huge(), PLACE, wide)
    body = render_comment(huge(), PLACE, is_explained=True)
    assert n_bytes(check.summary) <= MAX_TEXT_BYTES
    assert n_bytes(check.text) <= MAX_TEXT_BYTES
    assert n_bytes(body) <= MAX_BODY_BYTES
    assert CUT in body
    for text in (check.summary, check.text, body):
        assert text.count("<details") == text.count("</details>")


@given(
    st.lists(
        st.sampled_from(
            [
                "<details>",
                "</details>",
                "```",
                "````x",
                "text ä€𝔘",
                "~~~",
                "",
                "<details open><summary>s</summary>",
            ]
        ),
        max_size=40,
    ),
    st.integers(50, 400),
)
def test_clipped_markdown_closes_what_it_opened(lines: list[str], limit: int):
    text = "\n".join(lines)
    shown = clip(text, limit)
    assert n_bytes(shown) <= limit
    if n_bytes(text) <= limit:
        assert shown == text
        return
    assert shown.endswith(CUT + "\n") or shown == CUT
    rendered = MarkdownIt("commonmark").render(shown)
    assert CUT in re.sub(r"<pre>.*?</pre>", "", rendered, flags=re.DOTALL)  # outside any code block


def test_nobody_is_named_or_blamed():
    texts = [render_comment(make(), PLACE, is_explained=True) for make in (unusual, typical, not_scored)]
    texts += [render_check(make(), PLACE, GATE).summary for make in (unusual, typical, not_scored)]
    words = " ".join(texts).lower()
    for word in ("author", "written by", "ai-written", "bad", "wrong", "violat", "fail", "should have"):
        assert word not in words.replace("def fail", ""), word
