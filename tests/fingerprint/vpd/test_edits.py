from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.edits import (
    choose_on_front,
    cut_to_singular_terms,
    mean_best_cosine,
    report_edit,
    singular_components,
    summarise_edit,
)
from fingerprint.vpd.language import decompose_edit
from fingerprint.vpd.report import EditReport
from fingerprint.vpd.targets import edit_target, passage_data
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import Decomposition, decompose

BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 4, "gate_width": 8, "rows": 3, "row_tokens": 24, "pgd_steps": (0, 2)}
)
EIGHT = VpdConfig.toy().model_copy(update={"n_components": 8})


@pytest.fixture(scope="module")
def decomposed(routed, state, text):
    """(found, target, held-out batches) of a random state's edit after a few steps."""
    target = edit_target(routed, state(0))
    data = passage_data(routed.base, [(1.0, text)], text[:4], rows=3, max_tokens=24, seed=0)
    return decompose(target, data, BRIEF), target, data.held_out


def test_the_report_and_its_json(routed, decomposed, state, text):
    found, target, held_out = decomposed
    null = decompose_edit(routed, state(1, 0.1), [(1.0, text)], text[:4], BRIEF)
    report = report_edit(routed.base, "ann", found, target, held_out, nulls={"null": null}, again=found)
    assert report.summary.effect == pytest.approx(found.metrics.distance["zero"])
    assert report.summary.n_alive == sum(site.n_alive for site in report.sites)
    assert sum(site.energy for site in report.sites) == pytest.approx(1)
    assert report.agreement == pytest.approx(1, abs=1e-5)
    assert set(report.summary.attacked) == {0, 2}
    assert "Null null" in report.statement and "Singular terms" in report.statement
    assert EditReport.model_validate_json(report.model_dump_json()) == report
    alone = report_edit(routed.base, "ann", found, target, held_out)
    assert "No null adapter" in alone.statement and alone.agreement is None


def test_all_singular_terms_are_the_edit(decomposed):
    found, target, held_out = decomposed
    terms = singular_components(found.components)
    for name, site in target.sites.items():
        assert torch.allclose(terms.product(name), site.matrix, atol=1e-5)
    assert found.metrics.n_alive == terms.n_components  # four steps close nothing
    singular = cut_to_singular_terms(found, target, held_out)
    assert singular.recovered == pytest.approx(1, abs=1e-3)
    assert singular.n_open <= terms.n_components and singular.always <= 1


def test_a_zero_edit_has_nothing_to_recover(routed, text):
    """B = 0: no effect, and the summary says zero shares instead of dividing by it."""
    zero = routed.zero_weights()
    found = decompose_edit(routed, zero, [(1.0, text)], text[:2], BRIEF, sites=routed.sites[:1])
    summary = summarise_edit("nobody", found)
    assert (summary.effect, summary.recovered, summary.delta_off) == (0, 0, 0)
    target = edit_target(routed, zero, sites=routed.sites[:1])
    data = passage_data(routed.base, [(1.0, text)], text[:2], rows=2, max_tokens=24, seed=0)
    assert cut_to_singular_terms(found, target, data.held_out).recovered == 0


def test_the_front_takes_the_sparsest_run_that_recovers_the_edit(decomposed):
    """Runs whose held-out figures are set: KL of the gates as a share of the effect, and open gates."""
    found, *_ = decomposed
    site = next(iter(found.metrics.sites))
    figures = {1e-4: (0.01, 9.0), 1e-3: (0.09, 4.0), 1e-2: (0.5, 1.0)}

    def at(config: VpdConfig) -> Decomposition:
        share, l0 = figures[config.importance_coefficient]
        one = replace(found.metrics.sites[site], l0=(l0, l0, l0))
        distance = {**found.metrics.distance, "gates": share * found.metrics.distance["zero"]}
        metrics = replace(found.metrics, sites={site: one}, distance=distance)
        return replace(found, config=config, metrics=metrics)

    chosen, front = choose_on_front(at, BRIEF, tuple(figures))
    assert chosen.config.importance_coefficient == 1e-3
    assert chosen.config.frequency_coefficient == pytest.approx(10 * BRIEF.frequency_coefficient)
    assert [(point.l0, point.recovered) for point in front] == [
        (9.0, pytest.approx(0.99)), (4.0, pytest.approx(0.91)), (1.0, pytest.approx(0.5)),
    ]  # fmt: skip
    assert choose_on_front(at, BRIEF, (1e-2,))[0].metrics.recovered() == pytest.approx(0.5)


@pytest.mark.slow
def test_fewer_edits_than_singular_terms_say_as_much():
    """Equal strengths: two gated edits a token at most say what the always-on singular terms cannot."""
    toy = PlantedEdit.plant((2.0, 2.0, 2.0))
    data = toy.data()
    found = decompose(toy.target, data, EIGHT)
    singular = cut_to_singular_terms(found, toy.target, data.held_out)
    assert found.metrics.n_alive == singular.n_alive == 3
    assert found.metrics.recovered() > 0.99 and singular.recovered > 0.99
    assert singular.n_open < 2 and singular.always < 0.6 and singular.by_token < 0.95
    assert found.metrics.recovered_under_attack(20) > 0.99


def test_cosines_of_edits_do_not_depend_on_their_order(decomposed):
    found, *_ = decomposed
    assert mean_best_cosine(found, found) == pytest.approx(1, abs=1e-5)


def test_an_adapter_that_does_nothing_has_no_edit_alive(routed, text):
    """B = 0: sparsity closes every gate, for nothing is lost by it."""
    config = BRIEF.model_copy(update={"steps": 60, "learning_rate": 1e-2})
    found = decompose_edit(
        routed, routed.zero_weights(), [(1.0, text)], text[:2], config, sites=routed.sites[:2]
    )
    assert found.metrics.n_alive == 0
    assert found.verdict.is_valid and "no effect" in found.verdict.notes[0]
