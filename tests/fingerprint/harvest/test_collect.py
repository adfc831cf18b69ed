"""Sources over the tiny base: latents of a dictionary and components of an edit, against direct counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.harvest.collect import harvest
from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.sources import SaeSource, Source, VpdSource
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.provenance import Provenance
from fingerprint.sae.artifact import Sae, SaeFacts
from fingerprint.sae.autoencoder import TopKAutoencoder
from fingerprint.vpd.alive_set import SharedDictionary
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.language import decompose_edit, decompose_weights
from fingerprint.vpd.targets import edit_target, weights_target
from tests.fingerprint.sae.planted import code_of

TEXT = code_of("config", 30)
CONFIG = HarvestConfig(n_examples=3, n_background=50)


@pytest.fixture(scope="module")
def sae(tiny_base) -> Sae:
    """Untrained: what is counted does not depend on what was learned."""
    autoencoder = TopKAutoencoder(32, 48, 3, seed=1).requires_grad_(False)
    provenance = Provenance(tiny_base.name, tiny_base.revision, "", "", "", 0)
    return Sae(autoencoder, 0, provenance, SaeFacts(0, 0, 1.0, 1.0, 0.0))


def test_latents_against_one_window_at_a_time(tiny_base, sae, tmp_path):
    source = SaeSource(sae, tiny_base, tiny_base.model)
    assert isinstance(source, Source)
    calls: list[tuple[int, int]] = []
    found = harvest(
        source, tiny_base, TEXT, tmp_path / "h", CONFIG, progress=lambda done, of: calls.append((done, of))
    )
    firings, at_first, inputs = np.zeros(48, int), np.zeros(48, int), np.zeros((48, 300), int)
    windows = tokenize_passages(tiny_base, TEXT, 512)
    for window in windows:
        with torch.no_grad():
            ids = torch.from_numpy(window.ids.astype(np.int64))[None]
            x = tiny_base.model(input_ids=ids, output_hidden_states=True).hidden_states[1][0]
            code = sae.autoencoder.encode(x)
            dense = torch.zeros(len(x), 48).scatter(1, code.latents, code.values)
        fires = (dense > 0).numpy()
        firings += fires[window.scored].sum(0)
        at_first += fires[0]
        np.add.at(inputs.T, window.ids[window.scored], fires[window.scored].astype(int))
    assert found.densities().tolist() == firings.tolist()
    assert calls[-1] == (len(windows), len(windows))
    for one in found.components(0, 48):
        assert all(figure.count == inputs[one.number, figure.token] for figure in one.inputs)
        assert all(figure.text == tiny_base.token_text(figure.token) for figure in one.inputs)
        if one.n_firings:
            assert one.first_share == at_first[one.number] / (at_first[one.number] + firings[one.number])
            assert one.examples
    assert found.facts["provenance"]["revision"] == tiny_base.revision


def test_a_state_is_harvested_while_it_holds(tiny_base, sae, tmp_path):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    weights = {site: torch.full_like(b, 0.3) for site, b in routed.zero_weights().items()}
    zero = routed.zero_weights()
    with routed.at(zero, zero, 0.0):
        same = harvest(SaeSource(sae, tiny_base, routed.model), tiny_base, TEXT, tmp_path / "same", CONFIG)
    with routed.at(weights, weights, 0.0):
        source = SaeSource(sae, tiny_base, routed.model, "adapted")
        other = harvest(source, tiny_base, TEXT, tmp_path / "other", CONFIG)
    base = harvest(SaeSource(sae, tiny_base, tiny_base.model), tiny_base, TEXT, tmp_path / "base", CONFIG)
    assert same.components(0, 48) == base.components(0, 48)
    assert other.densities().tolist() != base.densities().tolist()
    assert other.facts["key"] != base.facts["key"]


def test_components_of_an_edit(tiny_base, tmp_path):
    """Gates forced open and shut by their bias fire everywhere and nowhere."""
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    weights = {site: torch.full_like(b, 0.1) for site, b in routed.zero_weights().items()}
    sites = routed.sites[:2]
    brief = {"steps": 1, "gate_width": 8, "rows": 2, "row_tokens": 12, "evaluate_every": 3, "pgd_steps": (0,)}
    config = VpdConfig.tiny().model_copy(update=brief)
    decomposition = decompose_edit(routed, weights, [(1.0, TEXT[:3])], TEXT[3:5], config, sites=sites)
    with torch.no_grad():
        decomposition.gates.write.weight.zero_()
        decomposition.gates.write.bias.fill_(-1.0)
        decomposition.gates.write.bias[1] = 0.75
    source = VpdSource(edit_target(routed, weights, sites=sites), decomposition)
    assert isinstance(source, Source)
    found = harvest(source, tiny_base, TEXT, tmp_path / "h", CONFIG)
    n = found.facts["n_counted"]
    assert found.densities().tolist() == [n if i == 1 else 0 for i in range(found.n_components)]
    open_one = found.components(1, 2)[0]
    assert (open_one.group, open_one.mean_strength) == (sites[0], 0.75)
    assert open_one.inputs == ()  # what fires always has no PMI with anything


def test_one_dictionary_of_the_weights_in_two_states(tiny_base, tmp_path):
    """A decomposition of the base, read as base and adapted model fire it: same gates, other inputs."""
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    brief = {"steps": 1, "gate_width": 8, "rows": 2, "row_tokens": 12, "evaluate_every": 3, "pgd_steps": (0,)}
    config = VpdConfig.tiny().model_copy(update=brief)
    sites = routed.sites[-2:]
    found = decompose_weights(tiny_base, sites, [(1.0, TEXT[:3])], TEXT[3:5], config)
    with torch.no_grad():
        found.gates.write.bias.fill_(0.1)  # else all are open from the start
        found.gates.write.weight.mul_(20)
    dictionary = SharedDictionary.of(routed, found)
    zero = routed.zero_weights()
    other = {site: torch.full_like(b, 0.3) for site, b in zero.items()}
    harvests = []
    for name, state in (("base", zero), ("adapted", other)):
        source = VpdSource(dictionary.target, dictionary.found, name)
        with routed.at(state, state, 0.0):
            harvests.append(harvest(source, tiny_base, TEXT, tmp_path / name, CONFIG))
    plain = VpdSource(weights_target(tiny_base, sites), found)
    alone = harvest(plain, tiny_base, TEXT, tmp_path / "alone", CONFIG)
    base, adapted = harvests
    assert base.densities().tolist() == alone.densities().tolist()
    assert base.densities().tolist() != adapted.densities().tolist()
    assert base.facts["key"] != adapted.facts["key"]
    assert [tuple(group) for group in base.facts["groups"]] == list(
        zip(sites, found.components.counts, strict=True)
    )


def test_no_text_is_refused(tiny_base, sae, tmp_path):
    with pytest.raises(FingerprintError, match="no marked token"):
        harvest(SaeSource(sae, tiny_base, tiny_base.model), tiny_base, [], tmp_path / "h")
