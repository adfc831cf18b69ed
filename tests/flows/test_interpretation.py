"""Inside a profile's models: dictionary, edits, alive sets and attribution, by command line and by flow."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.prompts import Prompt
from fingerprint.attribution.report import AttributionBundle
from fingerprint.attribution.sites import node_id
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.vpd.config import AliveSetConfig, VpdConfig
from fingerprint.vpd.report import AliveSetDiff, EditReport, SpanReport
from fingerprint.vpd.verdict import Verdict
from service.cli.main import main
from service.flows.attribution import attribute
from service.flows.author_page import author_report
from service.flows.bench import Stage
from service.flows.browsable import components_of
from service.flows.decomposition import (
    NoDictionaryError,
    compare_alive,
    decompose_adapter,
    load_dictionary,
    train_dictionary,
)
from service.flows.development.stages import read_sparsity
from service.flows.kept_pages import find_components, find_graph
from service.flows.labelling import browsed, label_state
from service.flows.opened import OpenedProfile, open_profile
from service.reports.attribution import shift_sentences
from service.reports.decomposition import edit_page
from service.settings import Settings

BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 2, "rows": 32, "row_tokens": 64, "gate_width": 16, "pgd_steps": (0, 1)}
)  # wide rows: few held-out batches to attack
QUICK = AttributionConfig(
    n_draws=2, curve_points=3, agreement_nodes=4, ablated=(1,), most_edge_targets=2, attack_steps=1,
    n_bootstrap=20,
)  # fmt: skip
ASKED = Prompt("p", "def load_", "config", "value")


@pytest.fixture
def seen() -> list[Stage]:
    return []


@pytest.fixture
def opened(small_repository: Path, profiled_home: Settings, seen: list[Stage]) -> OpenedProfile:
    return open_profile(small_repository, profiled_home, seen.append)


@pytest.fixture
def command(
    small_repository: Path,
    profiled_home: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run a command on the profile in this process: (exit code, output, errors)."""
    monkeypatch.setenv("ROUTEPRINT_HOME", str(profiled_home.home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["routeprint", *arguments, "--repo", str(small_repository)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_without_a_dictionary_the_command_that_makes_one_is_named(opened: OpenedProfile, command):
    with pytest.raises(NoDictionaryError, match=r"none is kept; run `routeprint decompose train"):
        load_dictionary(opened)
    code, _, err = command("decompose", "alive")
    assert code == 2 and "routeprint decompose train" in err


def test_another_base_s_dictionary_is_never_read(opened: OpenedProfile):
    record = opened.bench.record
    assert record is not None
    record.point("dictionary of " + "f" * 64, "elsewhere")
    with pytest.raises(NoDictionaryError, match="only of the base at ffffffffffff; run"):
        load_dictionary(opened)


def test_routes_are_attributed_where_there_is_no_dictionary(opened: OpenedProfile):
    found = attribute(opened, [ASKED], "bob", other="ann", config=QUICK)
    assert found.transplant is not None
    assert found.transplant.authors == ("human:bob-some", "human:ann-other")
    (prompt,) = found.prompts
    assert prompt.lora.nodes_are == "routes" and prompt.lora.adapter == "human:bob-some"
    assert prompt.lora.ablation is not None and prompt.effect is not None
    assert all(node.null_quantile is not None for node in prompt.lora.nodes)
    assert opened.bench.record is not None and opened.bench.settings is not None
    assert find_graph(opened.bench.record, "human:bob-some") == found, "the service's page shows it"
    page = author_report(opened.bench.record.repository, opened.bench.settings, "bob")
    assert page.attributions == shift_sentences(found)
    assert author_report(opened.bench.record.repository, opened.bench.settings, "ann").attributions == ()


def test_a_dictionary_is_trained_once_and_read_by_all(opened: OpenedProfile, seen: list[Stage]):
    first = train_dictionary(opened, (), ("v_proj", "down_proj"), BRIEF)
    assert first.revision == opened.routed.base.revision and len(first.matrices) == 4
    seen.clear()
    assert train_dictionary(opened, (), ("v_proj", "down_proj"), BRIEF) == first
    assert [(s.name, s.is_stored) for s in seen] == [("dictionary of the base", True)]
    config = AliveSetConfig(n_flips=99, n_draws=20, least_events=4)
    found = compare_alive(opened, "ann", config, n_tokens=400, n_rotations=9)
    assert found.alive.control.total.is_empty and found.alive.nulls
    assert found.alive.dictionary == found.span.dictionary == first.dictionary
    (table,) = read_sparsity(opened)  # what `develop stages` shows beside its stages
    rows = {row.matrix: row for row in table.rows}
    assert table.dictionary == first.dictionary and set(rows) > {m.matrix for m in first.matrices}
    for change in found.alive.change.matrices:
        row = rows[change.matrix]
        assert (row.l0_base, row.l0_adapted) == (change.l0_base, change.l0_adapted)
        assert row.null_low is not None and row.null_high is not None and row.null_low <= row.null_high
    seen.clear()
    assert compare_alive(opened, "ann", config, n_tokens=400, n_rotations=9) == found
    assert [s.is_stored for s in seen] == [True]
    graph = attribute(opened, [ASKED], None, config=QUICK).prompts[0]
    assert graph.base.nodes_are == "components" and graph.base.nodes
    tried = train_dictionary(opened, (), ("v_proj",), BRIEF, (1e-3, 4e-3))
    assert [point.coefficient for point in tried.front] == [1e-3, 4e-3]
    assert load_dictionary(opened).digest == tried.dictionary != first.dictionary


def test_components_stand_beside_the_base_and_what_was_measured_of_them(opened: OpenedProfile):
    record = opened.bench.record
    assert record is not None
    train_dictionary(opened, (), ("v_proj", "down_proj"), BRIEF)
    dictionary = load_dictionary(opened)
    what, n = components_of(opened, dictionary), dictionary.found.components.n_components
    assert what.changes("team") is None, "nothing was measured yet"
    alive = compare_alive(
        opened, "team", AliveSetConfig(n_flips=99, n_draws=20, least_events=4), n_tokens=400
    )
    base, team = label_state(opened, what), label_state(opened, what, "team")
    assert len(base.labels.labels) == len(team.labels.labels) == n
    assert base.base is None and team.base == base.harvest.densities().tolist()
    windows = tokenize_passages(opened.routed.base, opened.unread, 512)
    assert base.harvest.facts["n_counted"] == sum(row.n_scored for row in windows), "and of nothing else"
    found = find_components(record, "team", "decomposition")
    assert found is not None and found == browsed(team)
    assert found.dictionary == dictionary.digest and found.changes == alive.alive.statement
    assert found.warning == ""
    invalid = replace(dictionary.found, verdict=Verdict(["it collapsed"]))
    warning = components_of(opened, replace(dictionary, found=invalid)).warning
    assert warning == "The decomposition is INVALID: it collapsed: nothing here means anything."
    assert [card["nBase"] for card in found.cards] == team.base
    assert [card["isCorpus"] for card in found.cards] == [label.is_corpus for label in team.labels.labels]
    tested = {node_id(row.matrix, row.component) for row in alive.alive.components}
    assert tested and tested == {card["id"] for card in found.cards if card["change"]}
    assert (
        what.changes("team") is not None
        and components_of(opened, dictionary).changes("human:bob-some") is None
    )
    graph = attribute(opened, [ASKED], None, config=QUICK).prompts[0].lora
    assert graph.dictionary_id == found.dictionary
    assert {node.id for node in graph.nodes} <= {card["id"] for card in found.cards}, (
        "every circle has a card"
    )
    assert find_components(record, "team") is None, "latents are kept apart"


def test_the_commands_write_text_and_json(command, tmp_path: Path):
    few = ("--steps", "2", "--rows", "32", "--row-tokens", "64")  # few held-out batches to attack
    code, out, err = command("decompose", "train", "--matrix", "v_proj", "--layer", "1", *few)
    assert (code, "Dictionary of" in out) == (0, True), err
    code, out, err = command("decompose", "labels", "--page", "0")
    assert code == 0 and "components as base fires them" in out and "L1__self_attn_v_proj:0" in out, err
    one = ("decompose", "labels", "--team", "--component")
    code, out, err = command(*one, "L1__self_attn_v_proj:3")
    assert code == 0 and "self_attn.v_proj, number 3" in out and "decompose alive" in err, err
    code, out, err = command(*one, "L9__mlp:1")
    assert code == 2 and "called L1__self_attn_v_proj:0 to" in err
    code, out, err = command("decompose", "labels", "--team", "--browse", str(tmp_path / "c.html"))
    assert code == 0 and "layer 1 · self_attn_v_proj" in (tmp_path / "c.html").read_text("utf-8"), err
    code, out, err = command("decompose", "alive", "--tokens", "300", "--format", "json")
    assert code == 0, err
    both = json.loads(out)
    assert AliveSetDiff.model_validate(both["alive"]).adapter == "team"
    assert SpanReport.model_validate(both["span"]).n_rotations == 99
    code, out, err = command("decompose", "alive", "--tokens", "300", "--format", "markdown")
    assert code == 0 and out.startswith("## Alive sets"), err


def test_an_author_s_edits_beside_a_null_s(opened: OpenedProfile, seen: list[Stage]):
    report = decompose_adapter(opened, "ann", BRIEF)
    assert report.summary.adapter == "human:ann-other" and len(report.nulls) == 1
    assert report.n_used > 100 and len(report.uses) <= 20
    assert report.n_untold > report.summary.n_components // 2, "two steps close nothing, nearly anywhere"
    sizes = [use.density * use.gate for use in report.uses]
    assert sizes == sorted(sizes, reverse=True)
    assert {use.matrix for use in report.uses} <= set(opened.routed.sites)
    seen.clear()
    assert decompose_adapter(opened, "ann", BRIEF) == report
    assert [(stage.name, stage.is_stored) for stage in seen] == [("edits of human:ann-other", True)]
    assert opened.bench.record is not None and opened.bench.settings is not None
    page = author_report(opened.bench.record.repository, opened.bench.settings, "ann")
    said = edit_page(report).sentences
    assert page.edits[: len(said)] == said
    assert all("components of the base are alive" in more for more in page.edits[len(said) :])


@pytest.mark.slow
def test_an_author_s_edits_by_command(command):
    few = ("--steps", "2", "--rows", "32", "--row-tokens", "64")  # few held-out batches to attack
    code, out, err = command("decompose", "edit", "--author", "ann", *few, "--format", "json")
    assert code == 0, err
    report = EditReport.model_validate_json(out)
    assert report.summary.adapter == "human:ann-other" and len(report.nulls) == 1
    code, out, err = command("decompose", "edit", "--author", "ann", *few)
    assert code == 0 and "Edit recovered" in out and "singular terms" in out, err


def test_attribution_by_command(command):
    asked = ("attribute", "def load_", "--target", "c", "--author", "ann", "--nodes", "routes")
    code, out, err = command(*asked, "--format", "json")
    assert code == 0, err
    assert AttributionBundle.model_validate_json(out).prompts[0].base.target_spec == "logit of 'c'"
    code, out, err = command(*asked)
    assert code == 0 and "ablation" in out and "The adapter scaled" in out, err
    code, _, err = command("attribute", "def load_")
    assert code == 2 and "--target together" in err
    code, _, err = command("attribute", "def", "--target", "c", "--author", "nobody")
    assert code == 2 and "fits no author" in err
