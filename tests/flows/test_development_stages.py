"""Stages, emergence and evasion over a small profile: reports with their controls, stored and found again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from fingerprint.development.evasion_report import PLAIN, EvasionReport
from fingerprint.development.probe_config import ProbeConfig
from fingerprint.development.stages_report import StagesReport
from fingerprint.development.timeline_report import TimelineReport
from fingerprint.sae.config import SaeConfig
from service import ServiceError
from service.flows.bench import Stage
from service.flows.development.emergence import measure_emergence
from service.flows.development.evasion import (
    BOTH,
    FORMATTED,
    FUSED,
    RENAMED,
    Case,
    hands_case,
    history_case,
    report_evasion_of,
)
from service.flows.development.record import record_author, record_nulls
from service.flows.development.stages import report_author_stages, report_checkpoint_stages
from service.flows.development.units import author_label, correctness_label
from service.flows.opened import OpenedProfile, open_profile
from service.settings import Settings
from tests.flows.conftest import Command

ANN = "human:ann-other"
CONFIG = ProbeConfig(most_tokens=1_500, n_folds=3, n_draws=20, n_shuffles=2, n_directions=20)
DICTIONARY = SaeConfig(
    layer=1, n_latents=48, k=4, tokens=4_096, batch_tokens=256, shuffle_tokens=1_024, sample_tokens=512,
    dead_tokens=2_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def told() -> list[Stage]:
    return []


@pytest.fixture(scope="module")
def opened(small_repository: Path, profiled_home: Settings, told: list[Stage]) -> OpenedProfile:
    return open_profile(small_repository, profiled_home, told.append)


def test_stages_stand_beside_null_stages(opened: OpenedProfile, told: list[Stage]) -> None:
    found = report_author_stages(opened, ANN, CONFIG)
    names = ("base -> team", "base -> reference", "reference -> author")
    assert found.stages[:3] == names and found.null_stages and set(found.null_stages) <= set(found.stages)
    assert {probe.state for probe in found.probes} == {"base", "team", "reference", "author"}
    assert {probe.layer for probe in found.probes} == {-1, 0, 1}
    assert [swap.stage for swap in found.swaps] == list(names)
    assert all({null.kind for null in row.nulls} == {"shuffled labels", "like activations", "isotropic"}
               for row in found.alignments)  # fmt: skip
    assert found.swaps[2].start == pytest.approx(found.swaps[1].end)  # the reference is one state
    assert StagesReport.model_validate(found.model_dump(mode="json")) == found
    told.clear()
    assert report_author_stages(opened, ANN, CONFIG) == found
    assert [stage.is_stored for stage in told] == [True]


def test_the_two_hands_are_told_apart_and_the_loss_is_beside_it(opened: OpenedProfile) -> None:
    found = report_author_stages(opened, ANN, CONFIG)
    best = max(probe.auroc for probe in found.probes if probe.layer >= 0)
    assert best > 0.9  # camelCase and other words: even a random base separates them


def test_a_team_is_no_label(opened: OpenedProfile) -> None:
    with pytest.raises(ServiceError, match="one author against the others"):
        report_author_stages(opened, "team", CONFIG)


@pytest.fixture(scope="module")
def checkpoints(opened: OpenedProfile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base and two later selves of it, each moved a little further."""
    import copy

    import torch

    place = tmp_path_factory.mktemp("checkpoints")
    base = opened.routed.base
    model = copy.deepcopy(base.model)
    for number, step in enumerate((0, 8, 64)):
        torch.manual_seed(number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * number * torch.randn_like(parameter))
        model.save_pretrained(place / f"step-{step:04}")
        base.tokenizer.save_pretrained(place / f"step-{step:04}")
    return place


def test_stages_between_whole_checkpoints(opened: OpenedProfile, checkpoints: Path) -> None:
    found = report_checkpoint_stages(opened, ANN, checkpoints, CONFIG)
    assert found.stages == ("step 0 -> step 8", "step 8 -> step 64")
    assert {row.layer for row in found.swaps[0].layers} == {-1, 0, 1}
    assert found.swaps[0].end == pytest.approx(found.swaps[1].start)


def test_emergence_along_a_base(opened: OpenedProfile, checkpoints: Path, told: list[Stage]) -> None:
    label = author_label(opened, ANN, 1_500)
    found = measure_emergence(opened, label, checkpoints, CONFIG, dictionaries=DICTIONARY)
    assert found.steps == (0, 8, 64) and found.emergence == ()
    methods = {point.method for point in found.points}
    assert {"mean difference", "logistic", "best latent", "best own latent", "loss alone"} <= methods
    assert [point.step for point in found.latents] == [0, 8, 64]
    assert found.latents[-1].kept_share is None and found.weights[0].size == 0.0
    assert sum(point.born_share for point in found.latents) == pytest.approx(1.0)
    told.clear()
    assert measure_emergence(opened, label, checkpoints, CONFIG, dictionaries=DICTIONARY) == found
    made = [stage for stage in told if stage.name.startswith(("units at", "dictionary at"))]
    assert len(made) == 6 and all(stage.is_stored for stage in made)


def test_emergence_along_an_adapter(opened: OpenedProfile, tmp_path: Path) -> None:
    from fingerprint.adapters.adapter import Adapter

    own = opened.adapter(ANN)
    for step in (0, 1, 2, 4, 8, 16):
        state = {site: b * step / 16 for site, b in own.state.items()}
        facts = {"provenance": own.provenance, "facts": {}}
        Adapter.of_team(state, opened.routed, **facts).save(tmp_path / f"step-{step:04}")
    found = measure_emergence(opened, author_label(opened, ANN, 1_500, "masked"), tmp_path, CONFIG)
    assert {point.method for point in found.points} >= {"log-ratio", "routes", "mean difference"}
    assert len(found.emergence) == len({(point.method, point.layer) for point in found.points})
    sizes = [point.size for point in found.weights]
    assert sizes == sorted(sizes) and found.weights[-1].cosine_to_final == pytest.approx(1.0)
    assert found.weights[-1].distance_to_final == pytest.approx(0.0, abs=1e-6)
    assert not any(b.any() for b in opened.routed.weights().values())  # the model's own state is back


def test_shuffled_authors_stand_beside_an_author(
    small_repository: Path, opened: OpenedProfile, routeprint: Command, tmp_path: Path
) -> None:
    record_author(opened, ANN, 3)
    (null,) = record_nulls(opened, 1, 3)
    asked = ("develop", "emergence", "--author", ANN, "--repo", str(small_repository), "--tokens", "1500")
    shown = routeprint(*asked, "--most", "3", "--plot", str(tmp_path / "curves.svg"))
    assert shown.code == 0 and "the same label, training of shuffled author 1" in shown.out
    found = TimelineReport.model_validate(json.loads(routeprint(*asked, "--format", "json").out))
    assert [one.n_units for one in found.nulls] == [found.n_units]
    states = null.place / "states"
    machine = routeprint(*asked, "--checkpoints", str(states), "--format", "json")
    alone = TimelineReport.model_validate(json.loads(machine.out))
    assert alone.points == found.nulls[0].points and not alone.nulls
    assert "the same label" not in routeprint(*asked, "--nulls", "0").out


def test_a_pair_is_a_task_and_its_changed_line_is_read() -> None:
    from fingerprint.development.pairs.store import Pair

    code = "def f(a):\n    return a + {}\n"
    at = code.index("{}")
    facts = {"tokens_changed": 1, "verdict": "not true", "n_failed": 1, "n_tests": 2, "is_subtle": True}
    pairs = [
        Pair(f"task {i}", "constant", code.format(1), code.format(2), (at, at + 1), (at, at + 1), **facts)
        for i in range(9)
    ]
    found = correctness_label(pairs, 4)
    assert len(found.units) == 2 * 4 and sum(unit.is_positive for unit in found.units) == 4
    assert [unit.group for unit in found.units[:4]] == [unit.group for unit in found.units[4:]]
    assert {unit.passage.marked for unit in found.units} == {"1\n", "2\n"}


@pytest.fixture(scope="module")
def case(opened: OpenedProfile) -> Case:
    """Sixteen functions in two hands, and a third that writes exactly as the team does."""

    def team(i: int) -> list[str]:
        return [f"def load_{i}(path):", f"    config = read(path, {i})", "    return config"]

    def agent(i: int) -> list[str]:
        return [
            f"def fetchOne{i}( theOptions ):",
            f"    theResult = get( theOptions, {i} )",
            "    return theResult",
        ]

    hands = [(f"src/p{i}.py", {"team": team(i), "agent": agent(i), "imitation": team(i)}) for i in range(16)]
    return hands_case(opened, hands)


def test_evasion_in_several_hands(opened: OpenedProfile, case: Case) -> None:
    found = report_evasion_of(opened, case, CONFIG, DICTIONARY)
    assert found.disguises == (PLAIN, RENAMED, FORMATTED, BOTH, "imitation") and found.n_foreign == 16
    assert found.cell(PLAIN, FUSED, "team only") is not None
    assert found.cell(PLAIN, "sparse probe", "disguised") is None
    plain, imitation = (found.cell(name, "n-grams, trained", "plain") for name in (PLAIN, "imitation"))
    assert plain is not None and imitation is not None
    assert plain.auroc > 0.9 and imitation.auroc == 0.5  # the very same texts
    assert EvasionReport.model_validate(found.model_dump(mode="json")) == found


def test_too_few_files_are_no_side(opened: OpenedProfile) -> None:
    with pytest.raises(ServiceError, match="commits or files to read, 6 are needed"):
        history_case(opened, "foreign", 24)


def test_a_disguise_that_hardly_any_text_can_wear_is_left_out(
    opened: OpenedProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where there is no formatter for a language: one text of eight goes through."""
    only_first = SimpleNamespace(kept=(0,), passages=(opened.plan.slices.train.passages[0],))
    monkeypatch.setattr("service.flows.development.evasion.view_passages", lambda *_: only_first)
    lines = {"team": ["def one(a):", "    return a"], "agent": ["def two(a):", "    return -a"]}
    case = hands_case(opened, [(f"src/p{i}.py", lines) for i in range(8)])
    assert case.unworn == (FORMATTED, BOTH) and set(case.forms) == {PLAIN, RENAMED}
    assert len(case.labels) == 16 and case.dropped == 0


def test_hands_are_paired_and_dropped_together(opened: OpenedProfile) -> None:
    def lines(name: str, *, is_broken: bool = False) -> list[str]:
        return [f"def {name}(a, b):", "    return (" if is_broken else "    return a + b"]

    pieces = [
        (
            f"src/p{i}.py",
            {"team": lines("one"), "agent": lines("two", is_broken=i == 3), "half": lines("three")},
        )
        for i in range(8)
    ]
    case = hands_case(opened, pieces)
    assert set(case.forms) == {PLAIN, RENAMED, FORMATTED, BOTH, "half"}
    assert sum(case.labels) * 2 == len(case.labels) == 16 - case.dropped and case.dropped in {0, 2}
    n = len(case.labels) // 2
    assert case.groups[:n] == case.groups[n:] and not any(case.labels[:n])
    assert all(p.marked.startswith("def three") for p in case.forms["half"][n:])


def test_the_commands_print_tables_figures_and_json(
    small_repository: Path, routeprint: Command, tmp_path: Path
) -> None:
    asked = ("develop", "stages", "--author", ANN, "--repo", str(small_repository), "--tokens", "1500")
    shown = routeprint(*asked, "--plot", str(tmp_path / "stages.svg"))
    assert shown.code == 0 and "where the label is read" in shown.out and "null 99 %" in shown.out
    assert (tmp_path / "stages.svg").read_text().startswith("<?xml")
    machine = json.loads(routeprint(*asked, "--format", "json").out)
    assert StagesReport.model_validate(machine).read_layer in {0, 1}


def test_evasion_names_the_other_code_that_it_was_given(
    small_repository: Path, routeprint: Command, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "one.py").write_text("def one(value):\n    return value\n" * 40)
    asked = (
        "develop",
        "evasion",
        "--repo",
        str(small_repository),
        "--null-repo",
        str(other),
        "--texts",
        "12",
    )
    refused = routeprint(*asked)
    assert refused.code == 2 and "files of elsewhere" in refused.err


def test_renderings_of_every_report(
    opened: OpenedProfile, checkpoints: Path, case: Case, tmp_path: Path
) -> None:
    from rich.console import Console

    from fingerprint.development.stage_plots import plot_evasion, plot_timeline
    from service.cli.develop_stages_tables import render_evasion, render_timeline

    label = author_label(opened, ANN, 1_500)
    timeline: TimelineReport = measure_emergence(opened, label, checkpoints, CONFIG, dictionaries=DICTIONARY)
    evasion = report_evasion_of(opened, case, CONFIG, DICTIONARY)
    console = Console(width=200, record=True, file=io.StringIO())
    for part in (*render_timeline(timeline), *render_evasion(evasion)):
        console.print(part)
    text = console.export_text()
    assert "the label at every checkpoint" in text and "latents, each checkpoint's" in text
    assert "AUROC, foreign against team" in text and "best latents that survive" in text
    plot_timeline(timeline, tmp_path / "a.svg")
    plot_evasion(evasion, tmp_path / "b.svg")
    assert all((tmp_path / name).stat().st_size > 5_000 for name in ("a.svg", "b.svg"))
