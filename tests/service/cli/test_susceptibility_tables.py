"""Tables, JSON and heat maps of planted responses."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fingerprint.development.config import SamplerConfig, SusceptibilityConfig
from fingerprint.development.plots import plot_susceptibility
from fingerprint.development.responses import CheckpointResponse
from fingerprint.development.trace import Trace
from service.cli.susceptibility_tables import render_susceptibility, to_machine
from service.flows.development.susceptibility import Susceptibility

CONFIG = SusceptibilityConfig(sampler=SamplerConfig(), n_nulls=19)


def response(step: int, rise: float = 0.1) -> CheckpointResponse:
    """head.0.0 goes with correct text and against incorrect, head.0.1 with nothing."""
    rng = np.random.default_rng(step)
    hidden = rng.standard_normal((2, 100))
    phi = np.stack([hidden, rng.standard_normal((2, 100))], -1)
    loss = 2 + rise + 0.01 * rng.standard_normal((2, 100))
    sets = {"correct": hidden, "incorrect": -hidden, "library": np.zeros((2, 100))}
    tokens = {
        f"tokens/{name}": loss[..., None] + 0.1 * values[..., None] + 0.01 * rng.standard_normal((2, 100, 3))
        for name, values in sets.items()
    }
    trace = Trace(
        draws={"phi": phi, "loss": loss, **tokens}, at_star={"loss": np.array(2.0)},
        batch_losses=np.zeros((2, 120)), diverged=(), n_params=10, step_size=1e-4, curvature=1.0,
        gradient_norm=0.1, n_beta=200.0, gamma=1e4, seconds=3.0,
    )  # fmt: skip
    return CheckpointResponse(step, trace, ("head.0.0", "head.0.1"), tuple(sets), CONFIG)


def study(**options: float) -> Susceptibility:
    return Susceptibility("planted", (response(0), response(8, **options)), (0, None), (), ("a", "b"))


def told(**options: float) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=160)
    for part in render_susceptibility(study(**options), 5):
        console.print(part)
    return stream.getvalue()


def test_the_tables_name_the_opposite_responder_and_no_other():
    text = told()
    assert "planted: checkpoints" in text and "head.0.1" in text
    found = text.split("opposite responders")[1]
    assert "head.0.0" in found and "head.0.1" not in found
    assert "raise --gamma" not in text and "too small" not in text


def test_draws_that_left_their_checkpoint_are_told():
    assert "raise --gamma" in told(rise=0.9)


def test_draws_that_hang_together_are_told():
    stuck = response(0)
    for name in ("phi", "loss"):
        stuck.trace.draws[name] = np.cumsum(stuck.trace.draws[name], axis=1)
    assert stuck.effective_draws < 20
    tables = list(render_susceptibility(Susceptibility("stuck", (stuck,), (0,), (), ("a",)), 2))
    assert any("too small" in str(part) for part in tables)


def test_shuffled_authors_stand_beside_the_answer_to_the_author():
    names = ("author", "team", "library")
    own, null = (replace_sets(response(step), names) for step in (8, 9))
    beside = Susceptibility("shuffled", (null,), (0,), (), ("n",))
    found = Susceptibility("ada", (own,), (0,), (), ("a",), (beside,))
    stream = io.StringIO()
    for part in render_susceptibility(found, 5):
        Console(file=stream, width=160).print(part)
    text = stream.getvalue()
    assert "author's code less the team's" in text and "z of shuffled authors" in text
    z = own.contrast("author", "team").z[:, 0]
    assert abs(z[0]) > 5 > abs(z[1])  # head.0.0 alone goes with one and against the other
    gap = own.response.chi[:, 0] - own.response.chi[:, 1]
    np.testing.assert_allclose(own.contrast("author", "team").chi[:, 0], gap)
    stored = json.loads(json.dumps(to_machine(found)))
    assert stored["shuffled_authors"][0]["checkpoints"][0]["author_less_team_z"]


def replace_sets(found: CheckpointResponse, names: tuple[str, ...]) -> CheckpointResponse:
    """The same draws with the sets under other names."""
    draws = found.trace.draws
    for old, new in zip(found.sets, names, strict=True):
        draws[f"tokens/{new}"] = draws.pop(f"tokens/{old}")
    return replace(found, sets=names)


def test_the_machine_answer_is_json_with_errors_and_nulls():
    stored = json.loads(json.dumps(to_machine(study())))
    first = stored["checkpoints"][0]
    assert first["sets"] == ["correct", "incorrect", "library"] and first["tokens_seen"] == 0
    assert np.array(first["chi"]).shape == np.array(first["error"]).shape == (2, 3)
    assert first["chi"][0][0] < 0 < first["chi"][0][1]
    assert {"n", "values", "permuted", "shifted"} == set(first["factors"])
    assert first["opposite"]["correct against incorrect"][0]["component"] == "head.0.0"
    assert stored["checkpoints"][1]["tokens_seen"] is None


def test_heat_maps_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plots")
    plot_susceptibility(study().responses, tmp_path / "heat.svg")
    assert "incorrect" in (tmp_path / "heat.svg").read_text()
