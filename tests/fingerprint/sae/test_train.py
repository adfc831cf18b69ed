from __future__ import annotations

import pytest
import torch

from fingerprint.adapters.checkpoint import CheckpointError
from fingerprint.sae import train as train_module
from fingerprint.sae.autoencoder import mean_max_cosine
from fingerprint.sae.config import SaeConfig
from fingerprint.sae.stream import PassageActivations
from fingerprint.sae.train import decay, train_autoencoder, train_sae
from tests.fingerprint.sae.planted import TINY, PlantedAtoms, code_of

PLANTED = SaeConfig(
    n_latents=128,
    k=4,
    tokens=300_000,
    batch_tokens=512,
    shuffle_tokens=512,
    sample_tokens=2048,
    learning_rate=2e-4,
    dead_tokens=20_000,
)


@pytest.fixture(autouse=True)
def checkpoint_at_every_step(monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)


def test_known_atoms_are_recovered():
    source = PlantedAtoms.of(64, 32, batch_tokens=512, rate=0.05)
    autoencoder, facts = train_autoencoder(source, PLANTED)
    assert mean_max_cosine(source.atoms, autoencoder.W_dec) > 0.97
    assert facts.last_fvu < 0.15 < facts.first_fvu
    assert facts.tokens == facts.steps * 512
    torch.testing.assert_close(autoencoder.W_dec.norm(dim=1), torch.ones(128))
    # a dictionary that was never trained is no better than chance
    chance, _ = train_autoencoder(source, PLANTED.model_copy(update={"tokens": 512}))
    assert mean_max_cosine(source.atoms, chance.W_dec) < 0.7


def test_scale_brings_the_mean_norm_to_the_root_of_the_width():
    source = PlantedAtoms.of(64, 32, batch_tokens=512, rate=0.05)
    autoencoder, _ = train_autoencoder(source, PLANTED.model_copy(update={"tokens": 512}))
    x = torch.cat([batch for _, batch in zip(range(20), source.batches(50), strict=False)])
    assert float((autoencoder.scale * x).norm(dim=1).mean()) == pytest.approx(32**0.5, rel=0.02)


def test_auxk_revives_dead_latents_where_the_data_need_them():
    """As many atoms as latents, and a learning rate that kills: surplus latents would rightly stay dead."""
    source = PlantedAtoms.of(256, 64, batch_tokens=512, rate=0.015)
    harsh = {"n_latents": 256, "tokens": 100_000, "dead_tokens": 3_000, "learning_rate": 2e-3}
    alone, without = train_autoencoder(source, PLANTED.model_copy(update={**harsh, "aux_weight": 0.0}))
    revived, with_auxk = train_autoencoder(source, PLANTED.model_copy(update=harsh))
    assert without.dead_share > 0.1
    assert with_auxk.dead_share < 0.5 * without.dead_share
    assert with_auxk.last_fvu < without.last_fvu
    assert mean_max_cosine(source.atoms, revived.W_dec) > mean_max_cosine(source.atoms, alone.W_dec) + 0.02


def test_same_seed_same_weights_other_seed_others(tiny_base, tiny_sae):
    again = train_sae(tiny_base, code_of("config", 80), TINY)
    assert again.digest == tiny_sae.digest
    other = train_sae(tiny_base, code_of("config", 80), TINY.model_copy(update={"seed": 1}))
    assert other.digest != tiny_sae.digest


def test_a_killed_run_resumes_to_the_same_result(tiny_base, tiny_sae, tmp_path):
    path = tmp_path / "run" / "checkpoint"

    def stop(state):
        if state.step == 35:
            assert state.tokens > PassageActivations(tiny_base, code_of("config", 80), TINY).n_tokens
            assert state.dead_share > 0  # in the second epoch, with something to count on
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_sae(tiny_base, code_of("config", 80), TINY, checkpoint=path, progress=stop)
    assert path.exists()
    steps: list[int] = []
    resumed = train_sae(
        tiny_base,
        code_of("config", 80),
        TINY,
        checkpoint=path,
        progress=lambda state: steps.append(state.step),
    )
    assert steps[0] == 35
    assert not path.exists()
    assert resumed.digest == tiny_sae.digest
    assert resumed.facts == tiny_sae.facts


def test_a_checkpoint_of_another_run_is_refused(tiny_base, tmp_path):
    path = tmp_path / "checkpoint"

    def stop(state):
        if state.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_sae(tiny_base, code_of("config", 80), TINY, checkpoint=path, progress=stop)
    for text, config in (
        (code_of("other", 80), TINY),
        (code_of("config", 80), TINY.model_copy(update={"k": 5})),
    ):
        with pytest.raises(CheckpointError, match="another run"):
            train_sae(tiny_base, text, config, checkpoint=path)


def test_progress_counts_up_and_ends_with_nothing_left(tiny_base):
    states: list = []
    train_sae(tiny_base, code_of("config", 80), TINY, progress=states.append)
    assert [state.step for state in states] == list(range(1, TINY.n_steps + 1))
    assert states[-1].seconds_left == 0
    assert states[-1].tokens == TINY.n_steps * TINY.batch_tokens
    assert states[-1].fvu < states[0].fvu
    assert all(state.tokens_per_second > 0 and 0 <= state.dead_share <= 1 for state in states)


def test_learning_rate_holds_and_then_falls_linearly_to_nothing():
    factors = [decay(step, 10, 0.2) for step in range(10)]
    assert factors == pytest.approx([1.0] * 9 + [0.5])
    assert PLANTED.adam_rate == pytest.approx(2e-4 * 128**0.5)
