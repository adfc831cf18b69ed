from __future__ import annotations

import numpy as np
import pytest

from fingerprint.config import DriftConfig
from fingerprint.lm.pair import ModelPair
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.provenance import Provenance
from fingerprint.routing.contributions import measure_contributions
from fingerprint.routing.extract import PhiLayout, extract_signature, measure_passages


def test_phi_pools_every_scored_contribution_once(tiny_routed, random_weights, passages) -> None:
    pair = ModelPair(tiny_routed, tiny_routed.zero_weights(), random_weights(1))
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    found = measure_contributions(pair, passages, rows, n_points=2)
    layout = PhiLayout(tuple(tiny_routed.sites))
    phi = layout.pool(found)
    assert phi.shape == (3, 36) == (3, len(layout.names))
    assert phi.sum(axis=1) == pytest.approx(found.by_route.sum(axis=(1, 2)))
    # the tiny model has two layers: early and middle; operators of the early mlp by hand
    mlp = [m for m, site in enumerate(found.sites) if ".0.mlp." in site]
    by_hand = found.table[:, mlp, 1].sum(axis=(1, 2))
    assert phi[:, layout.names.index("mlp/early/operator")] == pytest.approx(by_hand)


def test_measures_add_up_by_commit(tiny_routed, random_weights, passages) -> None:
    pair = ModelPair(tiny_routed, tiny_routed.zero_weights(), random_weights(1))
    seen: list[int] = []
    found = measure_passages(pair, passages, DriftConfig(), progress=seen.append, at_once=2)
    commits = found.by_group()
    assert commits.groups == ("g1", "g2")
    assert commits.log_ratio[1] == pytest.approx(found.log_ratio[1:].sum())
    assert commits.phi[1] == pytest.approx(found.phi[1:].sum(axis=0))
    assert found.total().n_scored[0] == sum(seen) == found.n_scored.sum()


def test_nothing_to_measure(tiny_routed, random_weights) -> None:
    pair = ModelPair(tiny_routed, tiny_routed.zero_weights(), random_weights(1))
    found = measure_passages(pair, [], DriftConfig())
    assert len(found) == 0
    assert len(found.by_group()) == 0


def extract(tiny_routed, team, difference, passages, nulls=()):
    return extract_signature(
        "ann", routed=tiny_routed, reference=team, difference=difference, passages=passages,
        null_differences=list(nulls), config=DriftConfig(integration_points=1),
        provenance=Provenance("tiny", "r", "a", "c", "d", 0),
    )  # fmt: skip


def test_an_author_who_is_the_team_reads_zero(tiny_routed, random_weights, passages) -> None:
    signature = extract(tiny_routed, random_weights(1), tiny_routed.zero_weights(), passages)
    for name in (
        "difference_by_route",
        "difference_to_reference",
        "phi_mean",
        "phi_spread",
        "log_ratio_per_token",
    ):
        assert not signature.readings[name].any(), name


def test_readings_of_a_planted_difference(tiny_routed, random_weights, passages) -> None:
    team, planted = tiny_routed.zero_weights(), tiny_routed.zero_weights()
    site = tiny_routed.sites[3]
    module, a = tiny_routed.modules[site], tiny_routed.routes.A[site]
    # the author does with route 2 exactly what the base does with its direction, s B = W a / |a|^2
    own = module.get_parameter("base_layer.weight").detach() @ a[2] / a[2].square().sum()
    planted[site][:, 2] = own / tiny_routed.scale
    signature = extract(tiny_routed, team, planted, passages, [random_weights(5), random_weights(6)])
    use = signature.readings["use_against_base"]
    assert use[3, 2] == pytest.approx(1.0, rel=1e-4)
    assert signature.readings["use_cosine"][3, 2] == pytest.approx(1.0, rel=1e-4)
    assert np.count_nonzero(use) == 1
    assert signature.readings["difference_by_route"][3, 2] == pytest.approx(float(own.norm()), rel=1e-4)
    assert signature.null["phi_mean"].shape == (2, 36)
    assert set(signature.null) == set(signature.readings)
