from __future__ import annotations

import random

import numpy as np
import torch

from fingerprint.drift.explain import complete_tokens, find_findings, find_places
from fingerprint.drift.team_lines import TeamLines
from fingerprint.lm.tokens import full_batch, guess_log_probs, tokenize_passages
from fingerprint.passage import passage_from_lines


def planted(rng: random.Random):
    """The team's own style but for one word: `self` became `cls`."""
    return passage_from_lines(
        [(False, "def add(first, second):"), (True, "self.x = add(first)"), (True, "cls.y = add(first)")],
        path="a.py", language="python", section="class Point:", first_line=5,
    )  # fmt: skip


def test_the_planted_token_is_the_first_finding(toy) -> None:
    passages = [planted(random.Random(1))]
    rows = tokenize_passages(toy.routed.base, passages, 256)
    findings = find_findings(toy.routed, toy.team_weights, passages, rows, None)[0]
    told = {finding.shift.text: finding.shift for finding in findings}
    assert "cls" in told
    shift = told["cls"]
    assert shift.expected[0].text == "self"
    assert (shift.line, shift.column) == (7, 0)
    assert shift.expected[0].probability > shift.probability
    assert shift.log_ratio < 0


def test_the_base_itself_finds_nothing(toy) -> None:
    passages = [planted(random.Random(1))]
    rows = tokenize_passages(toy.routed.base, passages, 256)
    assert find_places(toy.routed, toy.routed.zero_weights(), rows, 2048) == []


def test_words_the_team_never_wrote_come_last(toy) -> None:
    passages = [planted(random.Random(1))]
    rows = tokenize_passages(toy.routed.base, passages, 256)
    quoted = [
        bool(finding.team_lines)
        for finding in find_findings(
            toy.routed, toy.team_weights, passages, rows, TeamLines.of(toy.slices.train)
        )[0]
    ]
    assert any(quoted)
    assert quoted == sorted(quoted, reverse=True)


def test_completion_is_the_greedy_continuation(toy) -> None:
    routed = toy.routed
    text = "def add(first, second):\n"
    ids = [routed.base.first_token, *routed.base.tokenizer.encode(text, add_special_tokens=False)]
    token = routed.base.tokenizer.encode("s", add_special_tokens=False)[0]
    with routed.at(toy.team_weights, toy.team_weights, 0.0):
        done = complete_tokens(routed, [np.array(ids, np.int32)], [[token]])[0][0]
        greedy, row = "s", [*ids, token]
        for _ in range(6):
            batch = full_batch(torch.tensor([[*row, 0]]))
            with torch.no_grad():
                best = int(guess_log_probs(routed.model, batch, [0], [len(row)]).argmax())
            row.append(best)
            greedy += routed.base.token_text(best)
    assert greedy.startswith(done)
    assert done.isidentifier()
