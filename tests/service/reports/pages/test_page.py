from __future__ import annotations

import json
from pathlib import Path

import pytest
from markupsafe import Markup

from service.reports.pages.page import (
    SERVED_POLICY,
    WebPage,
    asset_name,
    asset_names,
    asset_type,
    read_asset,
    render_served,
    render_single_file,
    write_single_file,
)
from tests.service.reports.pages.markup import Elements, digest

PAGE = WebPage("A <b>title</b>", Markup("<p>body</p>"), data={"facts": {"label": "</script><script>x\u2028"}})


def policy_of(page: Elements) -> str:
    return next(m["content"] or "" for m in page.named("meta") if m.get("http-equiv"))


def test_the_policy_of_a_single_file_names_what_stands_in_it_and_nothing_else() -> None:
    page = Elements(render_single_file(PAGE))
    styles = [digest(text) for tag, _, text in page.inline if tag == "style"]
    scripts = [digest(text) for tag, kind, text in page.inline if tag == "script" and not kind]
    assert len(styles) == len(scripts) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policy_of(page).split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == styles[0]
    assert rules["script-src"] == scripts[0]
    assert "unsafe" not in policy_of(page)


def test_a_served_page_has_nothing_inline_but_data() -> None:
    page = Elements(render_served(PAGE, lambda name: f"/assets/{asset_name(name)}"))
    assert {kind for _, kind, _ in page.inline} == {"application/json"}
    assert page.named("script")[-1]["src"] == f"/assets/{asset_name('page.js')}"
    assert page.acts() == []
    assert "unsafe" not in SERVED_POLICY


def test_data_cannot_leave_its_element() -> None:
    page = Elements(render_single_file(PAGE))
    stored = [text for _, kind, text in page.inline if kind == "application/json"]
    assert [json.loads(text) for text in stored] == [{"label": "</script><script>x\u2028"}]
    assert len(page.named("script")) == 2


def test_a_title_is_text() -> None:
    assert "<title>A &lt;b&gt;title&lt;/b&gt; · Routeprint</title>" in render_single_file(PAGE)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    write_single_file(PAGE, place)
    before = place.read_text(encoding="utf-8")
    assert before == render_single_file(PAGE)
    with pytest.raises(KeyError):
        write_single_file(WebPage("x", Markup(""), scripts=("../page.py",)), place)
    assert place.read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_assets_ask_no_other_host_and_cannot_end_their_element() -> None:
    for name in asset_names():
        text = read_asset(name)
        assert "</" not in text
        assert not any(
            mark in text for mark in ("http://", "https://", "@import", "url(", "innerHTML", "eval(")
        )
        assert asset_type(name).startswith("text/")
