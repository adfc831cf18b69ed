"""Susceptibilities of checkpoints in memory, from texts to the map; found again, not sampled again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.development.checkpoints import Checkpoint, CheckpointSeries
from fingerprint.development.config import SamplerConfig, SusceptibilityConfig
from fingerprint.development.token_kinds import TOKEN_KINDS
from fingerprint.passage import Passage
from service import ServiceError
from service.artifacts import ArtifactStore
from service.flows.development.shifts import ShiftTexts, gather_texts, repository_sets
from service.flows.development.susceptibility import Sampling, measure_susceptibility, routed_bases
from service.flows.development.view import view_development

CONFIG = SusceptibilityConfig(
    sampler=SamplerConfig(
        n_beta=50, gamma=1_000, n_chains=2, n_draws=8, burn_in=2, gradient_batches=2, curvature_rounds=3
    ),
    train_windows=4, windows=12, n_blocks=4, n_nulls=9, rank=2,
)  # fmt: skip


def passages(n: int, author: str = "a", language: str = "Python", path: str = "a.py") -> tuple[Passage, ...]:
    texts = [f"def add_{i}(first, second):\n    return first + second * {i}  # sum\n" for i in range(n)]
    return tuple(
        Passage(t, ((0, len(t)),), path, language, group=str(i), author=author) for i, t in enumerate(texts)
    )


TEXTS = ShiftTexts(passages(8), {"one": passages(9)[1:], "two": passages(20)[12:]})


@pytest.fixture(scope="module")
def study(tiny_base, tmp_path_factory):
    series = routed_bases(
        CheckpointSeries("tiny", tuple(Checkpoint(step, 10 * step, lambda: tiny_base) for step in (0, 8))),
        CONFIG,
    )
    stages = []
    sampling = Sampling(CONFIG, ArtifactStore(tmp_path_factory.mktemp("home")), stages.append)
    return measure_susceptibility(series, TEXTS, sampling), series, sampling, stages


def test_every_checkpoint_is_read_and_found_again(study):
    first, series, sampling, stages = study
    assert [r.step for r in first.responses] == [0, 8] and first.tokens_seen == (0, 80)
    assert len(first.tokens) == first.responses[0].tokens.shape[-1]
    assert first.responses[0].sets == ("one", "two")
    stages.clear()
    again = measure_susceptibility(series, TEXTS, sampling)
    assert again.digests == first.digests and all(stage.is_stored for stage in stages)
    np.testing.assert_array_equal(again.responses[1].response.chi, first.responses[1].response.chi)


def test_token_rows_tell_what_stands_where(study):
    rows = study[0].tokens
    text = "".join(row.text for row in rows)
    assert text.startswith("def add_")
    kinds = {TOKEN_KINDS[row.kind] for row in rows}
    assert {"keyword", "definition", "operator", "line end"} <= kinds
    assert rows[3].before.endswith(rows[2].text)


def test_the_view_holds_both_maps_at_every_checkpoint(study):
    view = view_development(study[0], lambda _: None, is_umap_wanted=False)
    tokens, components = view.views
    assert view.steps == (0, 8) and view.n_draws == 16
    assert len(tokens.labels) == min(500, len(study[0].tokens))
    assert components.labels == study[0].responses[0].components
    assert {components.class_names[c] for c in components.classes} == {"head", "mlp", "site"}
    assert all(len(one.points) == 2 for rows in view.views for one in rows.maps)


def test_checkpoints_of_another_tokenizer_are_refused(study, tiny_base):
    other = replace(tiny_base, first_token=3)
    both = CheckpointSeries(
        "two trainings", (Checkpoint(0, None, lambda: tiny_base), Checkpoint(1, None, lambda: other))
    )
    with pytest.raises(ServiceError, match="another tokenizer"):
        measure_susceptibility(routed_bases(both, CONFIG), TEXTS, study[2])


def test_a_repository_gives_author_team_and_its_languages():
    unread = (*passages(10), *passages(12, "b", "Rust", "a.rs"))
    sets = repository_sets(unread, "a")
    assert {name: len(own) for name, own in sets.items()} == {
        "author": 10,
        "team": 12,
        "Python": 10,
        "Rust": 12,
    }
    assert list(repository_sets(passages(10), None)) == ["team"]


def test_without_two_data_sets_it_is_refused_with_what_there_is():
    with pytest.raises(ServiceError, match=r"library \d+\).*--pairs"):
        gather_texts(None, None, None)
    pair = (passages(8), passages(8, "b"))
    assert list(gather_texts(None, None, pair).sets) == ["correct", "incorrect", "library"]
