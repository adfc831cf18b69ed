"""An ordinary LoRA: A is trained too, the state kept is the one whose loss is told, the base is untouched."""

from __future__ import annotations

import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.adapters.independent import IndependentAdapter, train_independent
from fingerprint.adapters.train import mean_dev_loss
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import Base
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from tests.fingerprint.adapters.test_train import habit

CONFIG = AdapterConfig(batch_tokens=512, max_passage_tokens=128, dev_points=3, dev_tokens=10_000, scale=4.0)
RANK = 4


def trained(base: Base, word: str = "config") -> IndependentAdapter:
    return train_independent(
        base, habit(word, 60), habit(word, 8), CONFIG, rank=RANK, budget_tokens=3000, learning_rate=1e-2,
        precision="fp32",
    )  # fmt: skip


def test_learns_a_habit_with_an_a_of_its_own(tiny_base: Base) -> None:
    before = {name: weight.clone() for name, weight in tiny_base.model.named_parameters()}
    found = trained(tiny_base)
    assert found.dev_loss < found.start_dev_loss - 0.3
    start = random_routes(tiny_base, RANK, CONFIG.seed)
    assert all(not torch.equal(found.routes.A[site], a) for site, a in start.A.items())
    assert all(torch.equal(weight, before[name]) for name, weight in tiny_base.model.named_parameters())


def test_the_state_kept_is_the_one_whose_loss_is_told(tiny_base: Base) -> None:
    found = trained(tiny_base)
    dev = tokenize_passages(tiny_base, habit("config", 8), CONFIG.max_passage_tokens)
    assert mean_dev_loss(found.on(tiny_base, CONFIG.scale), dev) == pytest.approx(found.dev_loss, abs=1e-5)


def test_two_corpora_train_two_spans_and_one_corpus_the_same_twice(tiny_base: Base) -> None:
    one, again, other = trained(tiny_base), trained(tiny_base), trained(tiny_base, word="result")
    assert one.routes.digest == again.routes.digest != other.routes.digest


def test_nothing_to_train_on_is_said(tiny_base: Base) -> None:
    with pytest.raises(FingerprintError, match="training slice has no marked token"):
        train_independent(tiny_base, [], habit("config", 8), CONFIG, rank=RANK, budget_tokens=100,
                          learning_rate=1e-2)  # fmt: skip
