from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.protocol import Sample, samples_of
from fingerprint.evaluation.systems import B10
from fingerprint.passage import passage_from_lines
from service.cli.main import app
from service.flows.evaluation.baselines import judge_scores
from service.flows.evaluation.setup import Setup
from service.settings import Settings
from tests.fingerprint.evaluation.test_judge import most_alike
from tests.fingerprint.labels.fake_model import FakeModel


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with closing(FakeModel(most_alike)) as found:
        yield found


def written(author: int, commits: range) -> list[Sample]:
    """Hunks that carry their author's mark."""
    return samples_of(
        [
            passage_from_lines(
                [(True, f"mark_{author}"), (True, f"value_{commit} = {author}")], path="a.py",
                language="python", group=f"{author} {commit}", author=f"human:{author}",
                written_at=float(commit),
            )
            for commit in commits
        ],
        least_lines=1,
    )  # fmt: skip


def set_up(fake: FakeModel, kept: dict[str, np.ndarray], *, judge: bool = True) -> Setup:
    """What the judge reads of an evaluation; ``kept`` stands for the store."""

    def arrays(
        name: str, compute: Callable[[], Mapping[str, np.ndarray]], **_: Any
    ) -> Mapping[str, np.ndarray]:
        if name not in kept:
            kept[name] = compute()["scores"]
        return {"scores": kept[name]}

    train, test = ([s for a in range(3) for s in written(a, part)] for part in (range(6), range(6, 30)))
    settings = Settings(label_url=fake.endpoint.url, label_model="tiny", label_key=SecretStr("secret"))
    return cast(
        "Setup",
        SimpleNamespace(
            bench=SimpleNamespace(settings=settings), config=EvaluationConfig(judge=judge), arrays=arrays,
            material=SimpleNamespace(train=train, test=test, authors=[f"human:{n}" for n in range(3)]),
        ),
    )  # fmt: skip


def test_the_judge_scores_every_test_hunk_and_is_not_asked_twice(fake: FakeModel) -> None:
    kept: dict[str, np.ndarray] = {}
    scores = judge_scores(set_up(fake, kept))[B10]
    assert scores.shape == (72, 3)
    assert (scores.argmax(axis=1) == np.repeat(range(3), 24)).all()
    assert len(fake.requests) == 72
    kept.popitem()  # what a killed run had not kept
    assert (judge_scores(set_up(fake, kept))[B10] == scores).all()
    assert len(fake.requests) == 72 + 22


def test_nothing_is_sent_unless_asked_for(fake: FakeModel) -> None:
    assert judge_scores(set_up(fake, {}, judge=False)) == {}
    assert fake.requests == []


def test_a_judge_that_no_setting_names_is_refused_before_anything_is_read(tmp_path) -> None:
    found = CliRunner().invoke(app, ["eval", "--judge", "--repo", str(tmp_path), "--home", str(tmp_path)])
    assert found.exit_code != 0
    assert "ROUTEPRINT_LABEL_URL" in str(found.exception) + found.output
