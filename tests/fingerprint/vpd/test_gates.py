from __future__ import annotations

import pytest
import torch
from torch import nn

from fingerprint.vpd.components import Site, start_components
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import GatingNetwork, leaky_lower, leaky_upper


@pytest.mark.parametrize(
    ("z", "gradient", "passed"),
    [
        # sign of the gradient: +1 would lower z in a descent step, -1 would raise it
        (-1.0, 1.0, 0.0),
        (-1.0, -1.0, -0.01),
        (0.0, 1.0, 0.0),
        (0.0, -1.0, -0.01),
        (0.5, 1.0, 1.0),
        (0.5, -1.0, -1.0),
        (1.0, 1.0, 1.0),
        (1.0, -1.0, -1.0),
        (2.0, 1.0, 0.0),
        (2.0, -1.0, 0.0),
    ],
)
def test_lower_gradients(z, gradient, passed):
    leaf = torch.tensor([z], requires_grad=True)
    leaky_lower(leaf).backward(torch.tensor([gradient]))
    assert leaf.grad is not None and float(leaf.grad) == pytest.approx(passed)


def test_values_of_both():
    z = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert leaky_lower(z).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert leaky_upper(z).tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.01])


def test_upper_gradients():
    z = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    leaky_upper(z).sum().backward()
    assert z.grad is not None and z.grad.tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0, 0.01])


@pytest.fixture
def components():
    sites = {"a": Site(nn.Linear(3, 4)), "b": Site(nn.Linear(4, 2))}
    return start_components(sites, "gaussian", 5, 1.0, 0)


def gates(components, **dials):
    torch.manual_seed(0)
    return GatingNetwork(components, ("a", "b"), VpdConfig(gate_width=16, **dials))


def inputs(*shape):
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(*shape, 3, generator=generator),
        "b": torch.randn(*shape, 4, generator=generator),
    }


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_logits_of_every_component_start_half_open(components, kind):
    z = gates(components, gates=kind, gate_layers=2)(inputs(2, 7))
    assert z.shape == (2, 7, 10)
    assert float((z - 0.5).abs().max().detach()) < 0.3


def test_the_mlp_sees_one_position_and_the_transformer_those_before_it(components):
    here = inputs(1, 6)
    moved = {name: x.clone() for name, x in here.items()}
    moved["a"][0, 3] += 1
    for kind, seen in (("mlp", [3]), ("transformer", [3, 4, 5])):
        network = gates(components, gates=kind).eval()
        change = (network(here) - network(moved))[0].abs().max(-1).values
        assert (change > 1e-7).nonzero().flatten().tolist() == seen


def test_normalised_inputs_have_no_amplitude(components):
    here = inputs(5)
    doubled = {name: 2 * x for name, x in here.items()}
    assert torch.allclose(gates(components)(here), gates(components)(doubled), atol=1e-5)
    raw = gates(components, normalise_inputs=False)
    assert not torch.allclose(raw(here), raw(doubled), atol=1e-5)


def test_zero_inputs_have_gates(components):
    z = gates(components)({"a": torch.zeros(2, 3), "b": torch.zeros(2, 4)})
    assert bool(z.isfinite().all())
