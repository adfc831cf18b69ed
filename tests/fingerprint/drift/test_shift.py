from __future__ import annotations

import pytest
import torch

from fingerprint.drift.shift import next_token_table


def test_columns_beside_each_other(toy) -> None:
    routed = toy.routed
    states = {"base": routed.zero_weights(), "team": toy.team_weights}
    prompt = "def add(first, second):\n"
    table = next_token_table(routed, states, prompt, k=3)
    assert table.columns == ("base", "team")
    assert 3 <= len(table.rows) <= 6
    assert table.kl_nats[0] == 0
    assert table.kl_nats[1] > 0
    by_column = [sum(row.probabilities[i] for row in table.rows) for i in range(2)]
    assert by_column[1] > by_column[0]  # the team's model is surer of what follows
    ids = torch.tensor(
        [[routed.base.first_token, *routed.base.tokenizer.encode(prompt, add_special_tokens=False)]]
    )
    expected = routed.base.model(ids).logits[0, -1].softmax(-1).max().item()
    assert max(row.probabilities[0] for row in table.rows) == pytest.approx(expected, rel=1e-4)


def test_the_same_state_twice_shifts_nothing(toy) -> None:
    table = next_token_table(toy.routed, {"team": toy.team_weights, "again": toy.team_weights}, "", k=2)
    assert table.kl_nats == (0, 0)
    assert all(row.probabilities[0] == row.probabilities[1] for row in table.rows)
