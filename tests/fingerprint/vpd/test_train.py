from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from fingerprint.adapters.checkpoint import CheckpointError
from fingerprint.vpd import train as train_module
from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.metrics import Examiner
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import Decomposition, VpdProgress, decompose, start, warm_up

BRIEF = VpdConfig.toy().model_copy(
    update={"n_components": 4, "steps": 20, "warmup_steps": 150, "evaluate_every": 8, "pgd_steps": (0, 4)}
)


@pytest.fixture(scope="module")
def toy() -> PlantedEdit:
    return PlantedEdit.plant((2.0, 2.0, 2.0), d=16)


def run(toy: PlantedEdit, config: VpdConfig = BRIEF, **options) -> Decomposition:
    return decompose(toy.target, toy.data(64, 128, config.seed), config, **options)


def same(first: Decomposition, second: Decomposition) -> bool:
    pairs = zip(
        [*first.components.state_dict().values(), *first.gates.state_dict().values()],
        [*second.components.state_dict().values(), *second.gates.state_dict().values()],
        strict=True,
    )
    return all(torch.equal(a, b) for a, b in pairs) and first.metrics == second.metrics


def test_training_lowers_the_loss_and_leaves_the_model_alone(toy):
    host = toy.target.sites["layer"].linear
    before = host.weight.clone()
    found = run(toy, BRIEF.model_copy(update={"gamma": (0.1, 0.1)}))  # else the objective itself moves
    assert len(found.losses) == BRIEF.steps
    assert sum(found.losses[-5:]) < sum(found.losses[:5])
    assert torch.equal(host.weight, before) and host.weight.grad is None
    assert not host._forward_hooks
    assert [watch.step for watch in found.watches] == [8, 16]
    assert not any(p.requires_grad for p in found.components.parameters())


def test_training_takes_four_fifths_of_a_fresh_adversary_s_harm_away(toy):
    """Sources that no training has seen, twenty steps of them, before the first step and after the last."""
    dials = {
        "steps": 150,
        "learning_rate": 1e-2,
        "gate_width": 32,
        "evaluate_every": 150,
        "pgd_steps": (0, 20),
    }
    config, data = BRIEF.model_copy(update=dials), toy.data(128, 512)
    components, gates = start(toy.target, config)
    warm_up(components, config)
    before = Examiner(toy.target, components, gates, config, data.held_out).measure().attack
    found = decompose(toy.target, data, config)
    after = found.metrics.attack
    assert found.verdict.is_valid
    assert before[20] > 2 * before[0] and after[20] > after[0]  # it is an adversary, then and now
    assert before[20] > 5 * after[20]


def test_same_seed_same_result_other_seed_another(toy):
    first = run(toy)
    assert same(first, run(toy))
    assert not same(first, run(toy, BRIEF.model_copy(update={"seed": 1})))


def test_a_killed_run_resumes_to_the_same_result(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)
    whole, path = run(toy), tmp_path / "run" / "checkpoint"

    def stop(state: VpdProgress) -> None:
        if state.step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy, checkpoint=path, progress=stop)
    assert path.exists()
    steps: list[int] = []
    resumed = run(toy, checkpoint=path, progress=lambda state: steps.append(state.step))
    assert steps[0] == 12
    assert not path.exists()
    assert same(resumed, whole)
    assert (resumed.losses, resumed.watches) == (whole.losses, whole.watches)


def test_a_checkpoint_of_another_run_is_refused(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "checkpoint"

    def stop(_: VpdProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(toy, checkpoint=path, progress=stop)
    with pytest.raises(CheckpointError, match="another run"):
        run(toy, BRIEF.model_copy(update={"learning_rate": 1e-4}), checkpoint=path)
    with pytest.raises(CheckpointError, match="another run"):
        run(PlantedEdit.plant((2.0, 2.0), d=16), checkpoint=path)


def test_progress_counts_up_and_ends_with_nothing_left(toy):
    states: list[VpdProgress] = []
    run(toy, progress=states.append)
    assert [state.step for state in states] == list(range(1, BRIEF.steps + 1))
    assert states[-1].seconds_left == 0
    assert states[0].losses.adversarial > 0


def test_the_adversary_climbs_three_times_a_step(toy, monkeypatch):
    calls: list[int] = []
    ascend = train_module.PersistentSources.ascend

    def counted(self, gradient, rate):
        calls.append(1)
        ascend(self, gradient, rate)

    monkeypatch.setattr(train_module.PersistentSources, "ascend", counted)
    run(toy, BRIEF.model_copy(update={"steps": 4}))
    assert len(calls) == 12
    run(toy, BRIEF.model_copy(update={"steps": 4, "adversarial_coefficient": 0.0}))
    assert len(calls) == 12


@pytest.mark.parametrize(
    "dials",
    [{"importance": "lp"}, {"weight_clip": 0.01}, {"autocast": True}, {"init": "svd"}, {"gate_layers": 2}],
)
def test_settings_train_too(toy, dials):
    found = run(toy, BRIEF.model_copy(update={"steps": 4, "evaluate_every": 4, **dials}))
    assert found.verdict.is_valid
    assert all(loss < 1 for loss in found.losses)


@pytest.mark.parametrize("relative", [True, False])
def test_warm_up_reaches_the_matrix_when_there_are_enough_components(toy, relative):
    dials = {"n_components": 16, "warmup_steps": 300, "faithfulness": "relative" if relative else "absolute"}
    config = BRIEF.model_copy(update=dials)
    components, _ = start(toy.target, config)
    warm_up(components, config)
    delta, matrix = next(components.deltas())
    assert float(delta.detach().norm() / matrix.norm()) < 0.05


def test_warm_up_stops_at_the_eckart_young_tail_when_there_are_too_few():
    """Three terms of strengths 3, 2, 1.3 and two components: 1.3 is left over, whatever the training."""
    toy = PlantedEdit.plant((3.0, 2.0, 1.3), d=16)
    config = BRIEF.model_copy(update={"n_components": 2, "warmup_steps": 1000})
    components, _ = start(toy.target, config)
    warm_up(components, config)
    delta, matrix = next(components.deltas())
    tail = float(torch.linalg.svdvals(matrix)[2:].norm())
    assert float(delta.detach().norm()) == pytest.approx(tail, rel=0.1)
    assert float(delta.detach().norm()) > 0.999 * tail


def test_an_always_on_delta_is_flagged_invalid(toy):
    """The degenerate objective: Delta unmasked and free of charge, so that U V = 0, g = 0 costs nothing."""
    dials = {
        "mask_delta": False,
        "faithfulness_coefficient": 0.0,
        "warmup_steps": 0,
        "importance_coefficient": 0.1,
    }
    found = run(toy, BRIEF.model_copy(update=dials))
    assert not found.verdict.is_valid
    assert "INVALID" in str(found.verdict)
    assert "degenerate" in str(found.verdict)
    assert found.metrics.distance["delta off"] > 0.5 * found.metrics.distance["zero"]


def test_too_few_components_do_not_pass_silently():
    """Half of the edit is out of reach: Delta carries it, and the guard says so."""
    toy = PlantedEdit.plant((2.0, 2.0, 2.0, 2.0), d=16)
    config = BRIEF.model_copy(update={"n_components": 1, "warmup_steps": 300})
    assert "degenerate" in str(run(toy, config).verdict)


def test_open_gates_stop_a_run(toy):
    dials = {
        "importance_coefficient": 0.0,
        "frequency_coefficient": 0.0,
        "gate_bias": 3.0,
        "warmup_steps": 300,
    }
    found = run(toy, BRIEF.model_copy(update=dials))
    assert "of the gates are above one half" in str(found.verdict)
    assert len(found.losses) == 8


def test_a_loss_that_is_not_finite_stops_a_run(toy):
    found = run(toy, BRIEF.model_copy(update={"learning_rate": 1e25, "warmup_steps": 0}))
    assert not found.verdict.is_valid
    assert "not finite" in str(found.verdict)


def test_a_model_that_draws_at_random_is_refused(toy):
    host = toy.target.sites["layer"].linear
    drawing = replace(toy.target, model=nn.Sequential(host, nn.Dropout(0.5)).train())
    with pytest.raises(VpdError, match="every mask at 1"):
        decompose(drawing, toy.data(32, 64), BRIEF)


def test_without_an_edit_nothing_is_alive():
    toy = PlantedEdit.plant((), d=16, noise=0.0)
    config = BRIEF.model_copy(update={"steps": 80, "learning_rate": 2e-2, "warmup_steps": 400})
    found = run(toy, config.model_copy(update={"evaluate_every": 80}))
    assert found.verdict.is_valid
    assert found.metrics.n_alive == 0
    assert "no effect" in str(found.verdict)


def test_an_abort_rule_of_one_process_ends_them_all(toy, tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_stopped, args=(rank, toy, tmp_path)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert "too hot" in (tmp_path / "1").read_text()
    assert "stopped another process after 8 steps" in (tmp_path / "0").read_text()


def _stopped(rank: int, toy: PlantedEdit, place: Path) -> None:
    """One of two processes; a rule holds in the second alone."""
    meeting = f"file://{place / 'meet'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    train_module.reason_to_stop = lambda watch, steps: "too hot" if rank else None
    found = run(toy)
    assert len(found.losses) == 8
    (place / str(rank)).write_text(str(found.verdict))
    distributed.destroy_process_group()
