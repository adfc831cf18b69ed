import numpy as np
import pytest
import torch

from fingerprint.evaluation.attribution import alm_scores, sample_log_probs, scan_samples, tokenize_samples
from fingerprint.evaluation.protocol import samples_of
from fingerprint.lm.pair import RoutedModel, scored_log_probs
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import passage_from_lines


@pytest.fixture
def samples():
    texts = [
        "for x in y:\n    a\n    b\n    c\n    d",
        "def f(x):\n    return x\n\nclass A:\n    pass\n    x = 1",
    ]
    passages = [
        passage_from_lines(
            [(True, row) for row in text.split("\n")], path=f"{i}.py", language="python", group="c"
        )
        for i, text in enumerate(texts)
    ]
    return samples_of(passages)


def test_log_probs_by_state_are_the_models_own(tiny_base, samples) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    zero = routed.zero_weights()
    torch.manual_seed(1)
    ann = {site: torch.randn_like(b) * 0.2 for site, b in zero.items()}
    read = tokenize_samples(routed, samples)
    found = sample_log_probs(routed, {"base": zero, "ann": ann}, read)
    routed.set_weights(ann)
    for i, sample in enumerate(samples):
        rows = tokenize_passages(tiny_base, sample.passages)
        alone = sum(float(v.sum()) for v in scored_log_probs(routed, rows))
        assert found["ann"][i] == pytest.approx(alone, rel=1e-5)
        assert read.n_scored[i] == sum(row.n_scored for row in rows)
    scores = alm_scores(found, ["ann", "base"], "base", read.n_scored)
    np.testing.assert_allclose(scores[:, 1], 0)
    np.testing.assert_allclose(scores[:, 0] * read.n_scored, found["ann"] - found["base"], rtol=1e-5)


def test_the_state_comes_back(tiny_base, samples) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    sample_log_probs(routed, {"ones": {s: torch.ones_like(b) for s, b in routed.zero_weights().items()}},
                     tokenize_samples(routed, samples))  # fmt: skip
    assert all(not b.any() for b in routed.weights().values())


def test_a_cap_keeps_whole_windows(tiny_base, samples) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    full = tokenize_samples(routed, samples, max_tokens=24)
    capped = tokenize_samples(routed, samples, max_tokens=24, most_scored=5)
    assert len(capped.rows) == 2 < len(full.rows)
    assert (capped.n_scored >= 5).all()
    assert (capped.n_scored < full.n_scored).all()


def test_the_scan_is_the_derivative_of_the_exact_log_ratio(tiny_base, samples) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0), scale=1.5)
    torch.manual_seed(2)
    zero = routed.zero_weights()
    team = {site: torch.randn_like(b) * 0.1 for site, b in zero.items()}
    directions = [{site: torch.randn_like(b) for site, b in zero.items()} for _ in range(2)]
    read = tokenize_samples(routed, samples, max_tokens=24)  # several windows a sample
    step = 1e-3
    states = {
        f"{k}{sign}": {site: team[site] + sign * step * d[site] for site in d}
        for k, d in enumerate(directions)
        for sign in (1, -1)
    }
    exact = sample_log_probs(routed, states, read)
    scan = scan_samples(routed, team, directions, read)
    assert scan.shape == (2, 2, len(routed.sites))
    for k in range(2):
        slope = (exact[f"{k}1"] - exact[f"{k}-1"]) / (2 * step) / read.n_scored
        np.testing.assert_allclose(scan[:, k].sum(axis=1), slope, rtol=2e-2, atol=2e-3)
