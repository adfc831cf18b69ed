from __future__ import annotations

import pytest

from fingerprint import FingerprintError
from fingerprint.adapters.train import train_adapter
from fingerprint.attribution.transplant import Transplant, transplant
from fingerprint.config import AdapterConfig
from fingerprint.passage import Passage, passage_from_lines

HABITS = {"ann": "return index + index", "bob": "print(value, value)"}


def code(author: str, numbers: range) -> list[Passage]:
    return [
        passage_from_lines(
            [(True, f"x{i} = 1"), (True, HABITS[author])],
            path="a.py",
            language="python",
            group=f"{author} {i}",
        )
        for i in numbers
    ]


@pytest.fixture(scope="module")
def states(routed):
    """Adapters of two authors with one habit each."""
    config = AdapterConfig(dev_points=1, dev_tokens=100, learning_rate=2e-2, most_epochs=40)
    return {
        author: train_adapter(
            routed, code(author, range(12)), code(author, range(12, 16)), start=routed.zero_weights(),
            config=config, budget_tokens=4_000, may_keep_start=False, precision="fp32",
        ).weights
        for author in HABITS
    }  # fmt: skip


def test_routes_help_their_own_author(routed, states):
    choosing = {author: code(author, range(20, 26)) for author in HABITS}
    held_out = {author: code(author, range(30, 40)) for author in HABITS}
    found = transplant(routed, states, choosing, held_out, n_routes=10, n_draws=2, n_bootstrap=100)
    assert found.gains["ann on ann"] > found.gains["ann on bob"]
    assert found.gains["bob on bob"] > found.gains["bob on ann"]
    assert (found.contrast.low or 0) > 0
    assert (found.contrast.value or 0) > 1.5 * (found.random.value or 0)
    assert (found.whole.value or 0) > 0 and found.n_alive == len(routed.sites) * 3
    assert Transplant.model_validate_json(found.model_dump_json()) == found


def test_an_author_s_routes_in_both_places_dissociate_nothing(routed, states):
    same = {"ann": states["ann"], "bob": states["ann"]}
    text = {author: code("ann", range(20, 26)) for author in HABITS}
    found = transplant(routed, same, text, text, n_routes=10, n_draws=1, n_bootstrap=20)
    assert found.contrast.value == pytest.approx(0, abs=1e-6)


def test_what_a_transplant_needs(routed, states):
    text = {author: code(author, range(2)) for author in HABITS}
    with pytest.raises(FingerprintError, match="two authors"):
        transplant(routed, {"ann": states["ann"]}, text, text, n_routes=2)
    with pytest.raises(FingerprintError, match="twice as many alive"):
        transplant(routed, states, text, text, n_routes=1000)
