from __future__ import annotations

from itertools import islice

import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.lm.fit import (
    FitConfig,
    FitProgress,
    fit_routes,
    passage_batches,
    schedule,
    site_second_moments,
)
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import full_batch
from fingerprint.passage import passage_from_lines


def corpora():
    return [
        [
            passage_from_lines([(True, f"    {word} = {word}({i})")] * 3, path="a.py", language="python")
            for i in range(12)
        ]
        for word in ("config", "value", "first")
    ]


def test_fitted_routes_are_white_on_fresh_text_and_lower_the_loss(tiny_base):
    seen: list[FitProgress] = []
    batches = passage_batches(tiny_base, corpora(), batch_tokens=512, max_tokens=128)
    routes = fit_routes(
        tiny_base,
        batches,
        FitConfig(rank=4, steps=30, moment_batches=9, warmup_steps=3),
        progress=seen.append,
    )
    assert [state.step for state in seen] == list(range(1, 31))
    assert seen[-1].loss < seen[0].loss - 0.3
    routed = RoutedModel(tiny_base, routes)
    moments = site_second_moments(routed, (b for _, b in islice(batches, 9)))
    for site, a in routes.A.items():
        torch.testing.assert_close(a @ moments[site] @ a.T, torch.eye(4), atol=0.25, rtol=0)


def test_moments_are_those_of_the_inputs(tiny_base):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    batch = full_batch(torch.randint(1, 300, (2, 10)))
    inputs: list[torch.Tensor] = []
    site = tiny_base.sites[1]  # k_proj: shares its input with q_proj
    handle = routed.modules[site].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    moments = site_second_moments(routed, [batch, batch])
    handle.remove()
    h = inputs[0][:, 1:].reshape(-1, 32)
    torch.testing.assert_close(moments[site], h.T @ h / len(h), atol=1e-5, rtol=1e-4)
    assert torch.equal(moments[site], moments[tiny_base.sites[0]])


def test_batches_that_end_too_early_are_an_error(tiny_base):
    batches = [(0, full_batch(torch.randint(1, 300, (1, 8))))] * 3
    with pytest.raises(FingerprintError, match="after 3 of 5 steps"):
        fit_routes(tiny_base, batches, FitConfig(rank=2, steps=5))
    with pytest.raises(FingerprintError, match="second moments"):
        fit_routes(tiny_base, batches, FitConfig(rank=2, steps=3))


def test_corpora_take_turns(tiny_base):
    found = [index for index, _ in islice(passage_batches(tiny_base, [*corpora(), []], batch_tokens=256), 7)]
    assert found == [0, 1, 2, 0, 1, 2, 0]


def test_schedule_warms_up_and_falls_to_a_tenth():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[-1] == pytest.approx(0.1, abs=1e-2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert schedule(0, 1, 0) == 1
