from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from fingerprint.lm.routes import Routes, RoutesError, canonicalise, random_routes


def test_saved_routes_come_back_with_their_digest(tiny_base, tmp_path):
    routes = random_routes(tiny_base, 4, 0)
    routes.save(tmp_path / "routes")
    routes.save(tmp_path / "routes")  # again, in place
    back = Routes.load(tmp_path / "routes", tiny_base)
    assert back.digest == routes.digest
    assert back.sites == tiny_base.sites
    assert back.rank == 4
    assert [p.name for p in tmp_path.iterdir()] == ["routes"]


def test_random_routes_depend_on_the_seed_alone(tiny_base):
    assert random_routes(tiny_base, 4, 0).digest == random_routes(tiny_base, 4, 0).digest
    assert random_routes(tiny_base, 4, 0).digest != random_routes(tiny_base, 4, 1).digest


def test_another_base_is_refused(tiny_base, tmp_path):
    random_routes(tiny_base, 4, 0).save(tmp_path / "routes")
    with pytest.raises(RoutesError, match="belong to the base"):
        Routes.load(tmp_path / "routes", replace(tiny_base, revision="other"))


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("format", 99, "format 99"),
        ("digest", "00", "damaged"),
    ],
)
def test_unknown_formats_and_damage_are_refused(tiny_base, tmp_path, entry, value, message):
    random_routes(tiny_base, 4, 0).save(tmp_path)
    facts = json.loads((tmp_path / "routes.json").read_text())
    (tmp_path / "routes.json").write_text(json.dumps({**facts, entry: value}))
    with pytest.raises(RoutesError, match=message):
        Routes.load(tmp_path)


def test_missing_routes_are_refused(tmp_path):
    with pytest.raises(RoutesError, match="No readable routes"):
        Routes.load(tmp_path)


def test_canonical_routes_are_white_ordered_and_keep_the_span():
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(5000, 12, generator=generator) @ torch.randn(12, 12, generator=generator)
    moment = h.T @ h / len(h)
    given = Routes({"m": torch.randn(4, 12, generator=generator)}, "base", "revision")
    weights = [{"m": torch.randn(7, 4, generator=generator)} for _ in range(3)]
    done = canonicalise(given, {"m": moment}, weights).A["m"]

    torch.testing.assert_close(done @ moment @ done.T, torch.eye(4), atol=1e-4, rtol=0)
    back = given.A["m"] @ torch.linalg.pinv(done)
    torch.testing.assert_close(back @ done, given.A["m"], atol=1e-4, rtol=0)
    energy = sum((b["m"] @ back).T @ (b["m"] @ back) for b in weights)
    assert isinstance(energy, torch.Tensor)
    diagonal = energy.diagonal()
    assert (diagonal[:-1] > diagonal[1:]).all()
    off = energy - torch.diag(diagonal)
    assert float(off.abs().max()) < 1e-3 * float(diagonal[0])
    largest = done.gather(1, done.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_canonical_form_does_not_depend_on_the_basis_given():
    generator = torch.Generator().manual_seed(1)
    moment = torch.eye(6) + 0.3
    a, mix = torch.randn(3, 6, generator=generator), torch.randn(3, 3, generator=generator)
    b = torch.randn(5, 3, generator=generator)
    first = canonicalise(Routes({"m": a}, "", ""), {"m": moment}, [{"m": b}])
    second = canonicalise(Routes({"m": mix @ a}, "", ""), {"m": moment}, [{"m": b @ torch.linalg.inv(mix)}])
    torch.testing.assert_close(first.A["m"], second.A["m"], atol=1e-4, rtol=1e-4)


def test_without_adapters_routes_are_only_whitened():
    a = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    moment = torch.diag(torch.tensor([4.0, 9.0, 1.0]))
    done = canonicalise(Routes({"m": a}, "", ""), {"m": moment}, [])
    torch.testing.assert_close(done.A["m"], torch.tensor([[0.5, 0.0, 0.0], [0.0, 1 / 3, 0.0]]))
