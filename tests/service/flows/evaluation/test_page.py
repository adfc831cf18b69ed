from __future__ import annotations

from pathlib import Path

import pytest

from fingerprint.evaluation.results import (
    AgentRepository,
    AgentTransfer,
    AnchorRow,
    AuthorRow,
    BaseCurve,
    BaseRow,
    ChangeRow,
    ContrastRow,
    DetectionRow,
    Evaluation,
    Figure,
    FlaggedRow,
    LossMatrix,
    SequenceRow,
    SystemRow,
)
from service.flows.evaluation.page import (
    curve_figures,
    figures,
    keep,
    kind_of,
    read_agents,
    read_curves,
    read_results,
    render,
)

NAME = "human:jane-doe"


def system(name: str, value: float, unit: str = "hunk") -> SystemRow:
    area = Figure(value=value, low=value - 0.03, high=value + 0.03)
    return SystemRow(
        system=name, unit=unit, n=10, n_authors=2, auroc=area, balanced=area, top3=None, eer=None
    )


@pytest.fixture
def result(tmp_path: Path) -> Path:
    slices = {f"{part}_commits": 10 for part in ("train", "dev", "calibration", "test")}
    found = Evaluation(
        repository="one", foreign="two", setting={},
        history=slices | {"budget_tokens": 5, "test_from": "2025"},
        authors=(AuthorRow(author=NAME, samples_before=1, commits_before=1, test_samples=1, test_commits=1,
                           reason=""),),
        losses=LossMatrix(rows=("base", "team", "reference", NAME), columns=(NAME,),
                          values=((2.0,), (1.5,), (1.6,), (1.4,)), n_diagonal_least=1),
        attribution=(system("n-grams (B1)", 0.6), system("routes, scan summed", 0.5)),
        refitted=(system("n-grams (B1)", 0.7),),
        detection=(DetectionRow(system="Lambda_team per token (ALM)", against="two", unit="commit", n_team=1,
                                n_strangers=1, auroc=Figure(value=0.9), tpr_at_1=0.125, tpr_at_5=None),),
        flagged=(FlaggedRow(who="two's commits", level=0.05, n_flagged=1, n=2, share=0.5, low=0.1,
                            high=0.9),),
        sequences=(SequenceRow(who="two's commits", part="routes", against="the calibration commits",
                               n_streams=4, n_authors=2, length=20, found_by_5=0.25, found_by_10=0.5,
                               found=Figure(value=0.75, low=0.2, high=0.99), median_delay=7.5),),
        anchors=(AnchorRow(split="S1 random hunk", view="raw", unit="hunk", n=2, n_authors=2,
                           auroc=Figure(value=0.8), balanced=Figure(value=0.5), same_directory=0.75),),
        changes=(ChangeRow(day="2025-01-01", what="tabs", kind="convention", rule="Ville", n_reference=9,
                           n_before=8, n_after=7, delay=3, n_false=1),),
        notes=(f"{NAME}: left out",),
    )  # fmt: skip
    path = tmp_path / "one.json"
    path.write_text(found.model_dump_json())
    return path


def test_people_of_a_manifest_are_not_named_either(result: Path) -> None:
    text = result.read_text().replace(NAME, "human:Jane von Doe").replace('"one"', '"people, rust"')
    result.write_text(text)
    keep([result], result.parent / "kept")
    kept = (result.parent / "kept" / "people-rust.json").read_text()
    assert "Jane" not in kept and "Doe" not in kept and "human:author 1" in kept
    found = read_results(result.parent / "kept")
    page = render(found)
    assert all(" " not in name and f"(figures/{name})" in page for name, _ in figures(found))


def test_the_page_holds_every_figure_and_nobodys_name(result: Path) -> None:
    keep([result], result.parent / "kept")
    assert "jane" not in (result.parent / "kept" / "one.json").read_text()
    found = read_results(result.parent / "kept")
    page = render(found)
    assert "jane" not in page and found[0].authors[0].author == "human:author 1"
    assert "| n-grams (B1), refitted, by hunk | 0.700 (0.670-0.730) |" in page
    assert "| foreign repository, by commit: Lambda_team per token (ALM) | 0.900; 12.5% |" in page
    assert "| the foreign repository's commits, at 0.05 | 0.500 (0.100-0.900), n = 2 |" in page
    assert "| S1 random hunk, raw | 0.800; 0.75 |" in page
    assert "| one: tabs, 2025-01-01 (convention) | after 3 of 7; 1 in 8 before |" in page
    whose = "the foreign repository's commits, routes, against the calibration commits"
    assert f"| {whose} | 0.750 (0.200-0.990); after 7.5; 4 of 2 |" in page
    drawn = dict(figures(found))
    assert set(drawn) == {"attribution-one-early.svg", "attribution-one-late.svg", "detection-one.svg"}
    assert all(f"figures/{name}" in page for name in drawn)


def test_a_run_of_known_changes_alone_replaces_no_table(result: Path) -> None:
    whole = Evaluation.model_validate_json(result.read_text())
    alone = whole.model_copy(update={"attribution": (), "detection": ()})
    other = result.with_name("changes.json")
    other.write_text(alone.model_dump_json())
    keep([result, other], result.parent / "kept")
    assert read_results(result.parent / "kept")[0].attribution
    (kept,) = read_results(result.parent / "kept" / "changes")
    page = render([], changes=[kept])
    assert "| one: tabs, 2025-01-01 (convention) | after 3 of 7; 1 in 8 before |" in page


def test_a_repository_without_authors_has_a_column_where_it_has_figures(result: Path) -> None:
    one = Evaluation.model_validate_json(result.read_text())
    other = one.model_copy(update={"repository": "crew", "losses": None, "attribution": (), "refitted": ()})
    page = render([one, other])
    heads = [line for line in page.splitlines() if line.startswith("|  |")]
    assert "|  | one | crew |" in heads
    assert "|  | one |" in heads
    assert "| scored tokens an author | 5 | - |" in page


def test_a_curve_over_bases_has_a_column_each(result: Path) -> None:
    perplexity = "per-author perplexity (B7, ALM)"
    rows = [
        BaseRow(base=base, n_parameters=1_000, dev_loss=loss, heldout_bits=bits, n_improved=1, n_authors=2,
                systems=(system(perplexity, 0.6),),
                contrasts=(ContrastRow(first=perplexity, second="stack of B1-B4 (B6)", unit="hunk",
                                       auroc=Figure(value=0.01, low=-0.02, high=0.04)),))
        for base, loss, bits in (("large", 1.5, 1.1), ("small", 2.5, None))
    ]  # fmt: skip
    path = result.with_name("curve.json")
    path.write_text(BaseCurve(repository="one", tokens=30_000, rows=tuple(rows)).model_dump_json())
    keep([path, result], result.parent / "kept")
    curves = read_curves(result.parent / "kept")
    page = render(read_results(result.parent / "kept"), curves)
    assert "| one, 30,000 tokens an author | large | small |" in page
    assert "| held-out packages, bits a byte | 1.100 | - |" in page
    assert f"| {perplexity}, by hunk | 0.600 (0.570-0.630) | 0.600 (0.570-0.630) |" in page
    assert f"| {perplexity} minus stack of B1-B4 (B6), by hunk | +0.010 (-0.020 to 0.040) |" in page
    ((name, svg),) = curve_figures(curves)
    assert f"(figures/{name})" in page and f"{perplexity}: small" in svg


def test_agents_across_repositories_have_a_column_each_beside_their_mean(result: Path) -> None:
    row = DetectionRow(system="routes", against="declared agents", unit="hunk", n_team=1, n_strangers=1,
                       auroc=Figure(value=0.6, low=0.5, high=0.7), matched=Figure(value=0.55), tpr_at_1=None,
                       tpr_at_5=None)  # fmt: skip
    mean = row.model_copy(update={"matched": None})
    found = AgentTransfer(
        repositories=(AgentRepository(repository="one", donors=("two",), rows=(row,),
                                      n_by_agent={"agent:x": 30, "agent:y": 4}),),
        mean=(mean,),
        contrasts=(ContrastRow(first="routes", second="n-grams", unit="hunk", auroc=Figure(value=0.04)),),
        notes=(),
    )  # fmt: skip
    path = result.with_name("agents.json")
    path.write_text(found.model_dump_json())
    keep([path], result.parent / "kept")
    page = render([], agents=read_agents(result.parent / "kept"))
    assert "| declared agents | mean of 1 | one (34 hunks) |" in page
    assert "| routes, by hunk | 0.600 (0.500-0.700) | 0.600 (0.500-0.700); 0.550 |" in page
    assert "| routes minus n-grams, by hunk | +0.040 | - |" in page


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("n-grams (B1)", "text"), ("stack of B1-B4 (B6)", "text"), ("routes, shared site weights", "routes"),
        ("B1-B4, systems x authors logistic", "text"),
        ("per-author perplexity (B7, ALM)", "routes"), ("B6 + routes, stacked", "fused"),
        ("Lambda_team and n-grams (B5), fused", "fused"), ("perplexity of the base (control)", "control"),
        ("hidden states of the base (B8)", "control"), ("drift v1, by the rule chosen on dev", "routes"),
    ],
)  # fmt: skip
def test_systems_are_marked_by_what_they_read(name: str, kind: str) -> None:
    assert kind_of(name) == kind
