"""Read-outs against a direct computation, and zero at the base."""

from __future__ import annotations

import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.development.observables import CHOICE, ROUTES, logit_choice, route_energies
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import passage_from_lines

PASSAGES = [
    passage_from_lines([(True, "config = read(path)"), (False, "x = 1")], path="a.py", language="Python"),
    passage_from_lines([(True, "return total * 2")], path="b.py", language="Python"),
]


@pytest.fixture
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, seed=1), scale=1.5)


def test_a_base_writes_nothing_and_an_adapter_as_much_as_its_square(routed):
    observe = route_energies(routed, tokenize_passages(routed.base, PASSAGES))
    assert not observe()[ROUTES].any()
    generator = torch.Generator().manual_seed(0)
    state = {s: torch.randn(b.shape, generator=generator) * 0.01 for s, b in routed.zero_weights().items()}
    last = routed.sites[-1]  # what reaches the last site depends on the others: change it alone
    only = routed.zero_weights() | {last: state[last]}
    routed.set_weights(only)
    once = observe()[ROUTES]
    routed.set_weights({site: 2 * b for site, b in only.items()})
    twice = observe()[ROUTES]
    assert once[-1] > 0
    assert not once[:-1].any()
    assert float(twice[-1] / once[-1]) == pytest.approx(4, rel=1e-4)


def test_energy_is_that_of_the_scored_tokens(routed):
    (window,) = tokenize_passages(routed.base, PASSAGES[:1])
    site = routed.sites[0]
    state = routed.zero_weights()
    state[site] += 0.01
    routed.set_weights(state)
    seen: list[torch.Tensor] = []
    handle = routed.modules[site].register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    found = route_energies(routed, [window])()[ROUTES][0]
    handle.remove()
    h = seen[0][0][torch.from_numpy(window.scored)]
    by_hand = (1.5 * h @ routed.directions[site].T @ state[site].T).square().sum(1).mean()
    assert float(found) == pytest.approx(float(by_hand), rel=1e-5)


def test_a_choice_is_a_difference_of_logits(tiny_base):
    forth = logit_choice(tiny_base, tiny_base.model, "value = ", "read", "total")()[CHOICE]
    back = logit_choice(tiny_base, tiny_base.model, "value = ", "total", "read")()[CHOICE]
    assert forth.shape == (1,)
    assert float(forth) == pytest.approx(-float(back))
    with pytest.raises(FingerprintError, match="different tokens"):
        logit_choice(tiny_base, tiny_base.model, "value = ", "read", "read")
