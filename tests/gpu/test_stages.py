"""Every stage of the reads on a CUDA device: the CPU's figures, and how fast and how large it is there.

``make bench-gpu`` runs them and prints a table a stage; without a device they are skipped. The base is the
embedded one, or ``BENCH_BASE`` with ``BENCH_REVISION``: a larger one wants a hub.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from fingerprint.passage import Passage

pytestmark = pytest.mark.gpu

BASE = os.environ.get("BENCH_BASE", "starter")
REVISION = os.environ.get("BENCH_REVISION")
N_TOKENS = 40_000
CLOSE = 2e-2
"""Nats: fp32 sums in another order, TF32 off."""


@pytest.fixture(scope="session")
def device() -> str:
    """The first CUDA device."""
    return "cuda"


@pytest.fixture(scope="session")
def text() -> list[Passage]:
    """Python's standard library in hunks of twenty lines."""
    from service.flows.foreign import read_foreign

    return list(read_foreign(None, (20,), N_TOKENS, 0).corpus.passages)


@pytest.fixture(scope="session")
def routed(device):
    from fingerprint.lm.load import load_base
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import random_routes

    base = load_base(BASE, revision=REVISION, device=device)
    return RoutedModel(base, random_routes(base, 16, 0))


@pytest.fixture(scope="session")
def state(routed):
    import torch

    generator = torch.Generator().manual_seed(0)
    return {
        site: (0.02 * torch.randn(b.shape, generator=generator)).to(b)
        for site, b in routed.zero_weights().items()
    }


def measured(device: str, name: str, n: float, unit: str, work: Callable[[], object]) -> object:
    """Run work once warm, then timed; print units a second and the peak of memory."""
    import torch

    work()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    started = time.perf_counter()
    found = work()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    line = f"\n{name:<28} {n / seconds:>12,.0f} {unit}/s  {seconds:>7.2f} s  {peak:>6.2f} GiB\n"
    sys.stdout.write(line)
    return found


def some(text: Sequence[Passage], share: int) -> list[Passage]:
    """Every ``share``-th passage."""
    return list(text)[::share]


def test_log_probs_are_the_cpu_s(device, routed, state, text):
    import numpy as np

    from fingerprint.lm.load import load_base
    from fingerprint.lm.pair import ModelPair, RoutedModel
    from fingerprint.lm.tokens import tokenize_passages

    rows = tokenize_passages(routed.base, some(text, 40))
    there = ModelPair(routed, routed.zero_weights(), state).log_probs(rows)
    twin = RoutedModel(load_base(BASE, revision=REVISION), routed.routes)
    cpu = {site: b.cpu() for site, b in state.items()}
    here = ModelPair(twin, twin.zero_weights(), cpu).log_probs(rows)
    gaps = [np.abs(a - b).max() for x, y in zip(here, there, strict=True) for a, b in zip(x, y, strict=True)]
    assert max(gaps) < CLOSE


def test_contributions_are_complete(device, routed, state, text):
    from fingerprint.lm.pair import ModelPair
    from fingerprint.lm.tokens import tokenize_passages
    from fingerprint.routing.contributions import Contributions, measure_contributions

    passages = some(text, 8)
    rows = tokenize_passages(routed.base, passages)
    pair = ModelPair(routed, routed.zero_weights(), state)
    n = sum(len(row) for row in rows)
    found = measured(
        device, "contributions, 3 nodes", n, "tokens",
        lambda: measure_contributions(pair, passages, rows, batch_tokens=16_384),
    )  # fmt: skip
    assert isinstance(found, Contributions)
    assert (abs(found.gap) <= found.bound()).mean() > 0.9


def test_adapters_learn(device, routed, text):
    from fingerprint.adapters.train import TrainedWeights, train_adapter
    from fingerprint.config import AdapterConfig

    config = AdapterConfig(batch_tokens=8_192, dev_points=2)
    found = measured(
        device, "adapter, rank 16", N_TOKENS, "tokens",
        lambda: train_adapter(
            routed, text, some(text, 20), start=routed.zero_weights(), config=config, budget_tokens=N_TOKENS,
            may_keep_start=False,
        ),
    )  # fmt: skip
    assert isinstance(found, TrainedWeights)
    assert any(b.any() for b in found.weights.values())


def test_a_dictionary_trains(device, routed, text):
    from fingerprint.sae.config import SaeConfig
    from fingerprint.sae.train import train_sae

    config = SaeConfig.tiny().model_copy(update={"tokens": 200_000})
    sae = measured(
        device, "autoencoder", config.tokens, "activations", lambda: train_sae(routed.base, text, config)
    )
    assert sae.facts.last_fvu < sae.facts.first_fvu  # pyright: ignore[reportAttributeAccessIssue]


def test_an_edit_is_decomposed(device, routed, state, text):
    from fingerprint.vpd.config import VpdConfig
    from fingerprint.vpd.language import decompose_edit
    from fingerprint.vpd.train import Decomposition

    config = VpdConfig.tiny().model_copy(update={"steps": 50, "rows": 32, "pgd_steps": (0, 20)})
    tokens = config.steps * config.rows * config.row_tokens
    found = measured(
        device, "LoRA-VPD, all matrices", tokens, "tokens",
        lambda: decompose_edit(routed, state, [(1.0, text)], some(text, 20), config),
    )  # fmt: skip
    assert isinstance(found, Decomposition)
    assert found.metrics.distance["delta off"] < 0.1 * found.metrics.distance["zero"]


def test_weights_are_decomposed(device, routed, text):
    from fingerprint.vpd.config import VpdConfig
    from fingerprint.vpd.language import decompose_mlp
    from fingerprint.vpd.train import Decomposition

    config = VpdConfig.tiny().model_copy(update={"steps": 50, "rows": 32, "pgd_steps": (0, 20)})
    tokens = config.steps * config.rows * config.row_tokens
    found = measured(
        device, "VPD, one layer's MLP", tokens, "tokens",
        lambda: decompose_mlp(routed.base, 1, [(1.0, text)], some(text, 20), config),
    )  # fmt: skip
    assert isinstance(found, Decomposition)


def test_attribution_is_complete(device, routed, state):
    from fingerprint.attribution.config import AttributionConfig
    from fingerprint.attribution.integrate import attribute_nodes
    from fingerprint.attribution.nodes import NodeSpace
    from fingerprint.attribution.prompts import DEFAULT_PROMPTS
    from fingerprint.attribution.question import ask_prompt
    from fingerprint.lm.pair import ModelPair

    space = NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), state), "")
    questions = [ask_prompt(routed.base, prompt) for prompt in DEFAULT_PROMPTS]
    config = AttributionConfig()
    found = measured(
        device, "attribution, eight prompts", len(questions), "prompts",
        lambda: [attribute_nodes(space, question, config) for question in questions],
    )  # fmt: skip
    assert isinstance(found, list)
    for one in found:
        assert abs(one.gap) <= max(config.gap_floor, 0.1 * abs(one.gated - one.off))


def test_rate_shifts_are_counted(device, routed, state, text):
    from fingerprint.lm.pair import ModelPair
    from fingerprint.sae.config import RateShiftConfig, SaeConfig
    from fingerprint.sae.report import RateShift
    from fingerprint.sae.shift import measure_rate_shift
    from fingerprint.sae.train import train_sae

    config = SaeConfig.tiny().model_copy(
        update={"layer": 0, "n_latents": 512, "tokens": 40_000, "shuffle_tokens": 4_096}
    )
    sae = train_sae(routed.base, text, config)
    pair, read = ModelPair(routed, routed.zero_weights(), state), some(text, 4)
    half = {site: b / 2 for site, b in state.items()}
    found = measured(
        device, "rate shift, 4 readings", 4 * N_TOKENS / 4, "tokens",
        lambda: measure_rate_shift(pair, sae, read, nulls=[half], config=RateShiftConfig(n_flips=999)),
    )  # fmt: skip
    assert isinstance(found, RateShift)
    assert found.control.divergence == 0 < found.shift.divergence


def test_alive_sets_and_span_stand_beside_their_controls(device, routed, state, text):
    from fingerprint.lm.pair import ModelPair
    from fingerprint.vpd.alive_set import SharedDictionary, compare_alive_sets
    from fingerprint.vpd.config import AliveSetConfig, VpdConfig
    from fingerprint.vpd.language import decompose_mlp
    from fingerprint.vpd.report import AliveSetDiff, SpanReport
    from fingerprint.vpd.span import measure_span

    config = VpdConfig.tiny().model_copy(update={"steps": 5, "rows": 32, "pgd_steps": (0, 2)})
    found = decompose_mlp(routed.base, 0, [(1.0, text)], some(text, 40), config)
    dictionary = SharedDictionary.of(routed, found)
    pair, read = ModelPair(routed, routed.zero_weights(), state), some(text, 10)
    diff = measured(
        device, "alive sets, 3 readings", 3 * N_TOKENS / 10, "tokens",
        lambda: compare_alive_sets(pair, dictionary, read, config=AliveSetConfig(n_flips=999)),
    )  # fmt: skip
    assert isinstance(diff, AliveSetDiff)
    assert diff.control.total.is_empty and diff.change.total.mean_absolute_change > 0
    span = measured(
        device, "span, 9 turned deltas", len(dictionary.target.sites), "matrices",
        lambda: measure_span(
            dictionary.found.components, routed, state, dictionary=dictionary.digest, n_rotations=9
        ),
    )  # fmt: skip
    assert isinstance(span, SpanReport)


def test_the_causal_check_runs(device, routed, state):
    from fingerprint.attribution.config import AttributionConfig
    from fingerprint.attribution.graph import Subjects, attribute_prompts
    from fingerprint.attribution.prompts import DEFAULT_PROMPTS
    from fingerprint.attribution.question import ask_prompt
    from fingerprint.attribution.report import AttributionBundle
    from fingerprint.lm.pair import ModelPair

    pair = ModelPair(routed, routed.zero_weights(), state)
    questions = [ask_prompt(routed.base, prompt) for prompt in DEFAULT_PROMPTS[:2]]
    config = AttributionConfig(n_bootstrap=50)
    found = measured(
        device, "graph, ablation and effect", len(questions), "prompts",
        lambda: attribute_prompts(Subjects.of_routes(pair, "state", ""), questions, config),
    )  # fmt: skip
    assert isinstance(found, AttributionBundle)
    assert all(p.lora.ablation is not None and p.effect is not None for p in found.prompts)
