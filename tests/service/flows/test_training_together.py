"""Authors trained in one pass over the base: stored as each one's own training would store them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fingerprint.adapters import population as population_module
from fingerprint.config import ProfileConfig
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.passage import Corpus
from service.artifacts import ArtifactStore
from service.flows.bench import Bench, ForeignSlices, Slices, Stage
from service.flows.training import Trained, train_all
from tests.fingerprint.adapters.test_population import CONFIG, commits


@pytest.fixture(scope="module")
def slices() -> Slices:
    words = {"ada": "config", "ben": "zz", "cid": "value"}
    train = Corpus.of(p for author, word in words.items() for p in commits(author, word, 40))
    dev = Corpus.of(p for author, word in words.items() for p in commits(author, word, 8, 50))
    return Slices.of(train, dev, Corpus(()), Corpus(()))


@pytest.fixture(scope="module")
def routed(tiny_base) -> RoutedModel:
    return RoutedModel(tiny_base, random_routes(tiny_base, 4, 0), scale=CONFIG.scale)


def train(routed: RoutedModel, slices: Slices, home: Path) -> tuple[Trained, list[Stage]]:
    stages: list[Stage] = []
    config = ProfileConfig(adapter=CONFIG, n_null_sets=1)
    bench = Bench(routed, ArtifactStore(home), None, config, stages.append)
    return train_all(bench, slices, ForeignSlices(None, None)), stages


def test_authors_and_nulls_at_once_are_those_trained_one_by_one(
    routed: RoutedModel, slices: Slices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, _ = train(routed, slices, tmp_path / "alone")
    monkeypatch.setattr(population_module, "pays_together", lambda _: True)
    home = tmp_path / "together"
    together, stages = train(routed, slices, home)
    assert list(together.authors) == list(alone.authors) == ["ada", "ben", "cid"]
    assert together.digests == alone.digests
    said = {f"{n} adapters of authors at once" for n in (3, len(together.nulls))}
    assert {stage.name for stage in stages if "at once" in stage.name} == said
    assert {stage.name for stage in stages if stage.is_stored} >= {"ada", "null ada/0"}
    for name, one in (together.authors | together.nulls).items():
        other = (alone.authors | alone.nulls)[name]
        assert one.kind == other.kind
        assert one.facts.keys() == other.facts.keys()
        for site, weights in one.state.items():
            largest = float(other.state[site].abs().max())
            assert torch.allclose(weights, other.state[site], atol=2e-2 * largest)
    assert not any((home / "checkpoints").iterdir())

    again, stages = train(routed, slices, home)
    assert again.digests == together.digests
    assert all(stage.is_stored for stage in stages)


def test_a_killed_training_goes_on_with_those_that_are_missing(
    routed: RoutedModel, slices: Slices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(population_module, "pays_together", lambda _: True)
    asked: list[list[str]] = []
    real = population_module.train_authors

    def killed(routed, reference, codes, *arguments, finished, **more):
        asked.append(list(codes))

        def first(name, adapter):
            finished(name, adapter)
            if len(asked) == 1:
                raise KeyboardInterrupt

        real(routed, reference, codes, *arguments, finished=first, **more)

    monkeypatch.setattr(population_module, "train_authors", killed)
    with pytest.raises(KeyboardInterrupt):
        train(routed, slices, tmp_path)
    trained, _ = train(routed, slices, tmp_path)
    assert len(asked[0]) == 3 and len(asked[1]) == 2 and set(asked[1]) < set(asked[0])
    assert list(trained.authors) == ["ada", "ben", "cid"]
