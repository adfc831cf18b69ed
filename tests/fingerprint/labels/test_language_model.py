"""Against a local server that speaks the protocol and remembers what it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from fingerprint.endpoint import Endpoint, EndpointError
from fingerprint.labels.label import Label
from fingerprint.labels.language_model import (
    judge_by_model,
    label_by_model,
    show_window,
)
from tests.fingerprint.labels.fake_model import FakeModel


@pytest.fixture
def fake() -> Iterator[FakeModel]:
    with closing(FakeModel()) as found:
        yield found


@pytest.fixture
def harvest(make_planted):
    return make_planted(0)


def test_a_label_is_asked_for_with_figures_and_windows(fake, harvest):
    fake.answers = [(200, '```json\n{"label": "the word\\n w3"}\n```')]
    one = harvest.components(2, 3)[0]
    label = label_by_model(fake.endpoint, one, harvest.vocabulary)
    assert (label.component, label.text, label.method) == (2, "the word w3", "language model")
    path, authorization, body = fake.requests[0]
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("tiny-model", 0)
    sent = body["messages"][1]["content"]
    assert "⟦w3⟧" in sent and "w3  (1.00, 1.00" in sent and "first position of a text: 0.00" in sent
    assert sent.count("⟦") == 12


def test_what_fires_too_seldom_is_not_asked_about(fake, harvest):
    one = harvest.components(2, 3)[0]
    rare = type(one)(**{**vars(one), "examples": one.examples[:2]})
    assert not label_by_model(fake.endpoint, rare, harvest.vocabulary).is_clear
    assert fake.requests == []


def test_load_is_waited_out_and_refusals_are_told(fake, harvest):
    one = harvest.components(2, 3)[0]
    fake.answers = [(429, ""), (503, ""), (200, '{"label": "unclear"}')]
    assert not label_by_model(fake.endpoint, one, harvest.vocabulary).is_clear
    assert len(fake.requests) == 3
    fake.answers = [(401, "")]
    with pytest.raises(EndpointError, match=r"answered 401.*ROUTEPRINT_LABEL_KEY"):
        label_by_model(fake.endpoint, one, harvest.vocabulary)
    for answer in ("I think so", "[1, 2]"):
        fake.answers = [(200, answer)]
        with pytest.raises(EndpointError, match="try another model"):
            label_by_model(fake.endpoint, one, harvest.vocabulary)
    with pytest.raises(EndpointError, match="gave no answer"):
        label_by_model(Endpoint("http://127.0.0.1:9/v1", "m", timeout_s=1), one, harvest.vocabulary)


def test_a_model_judges_windows_by_the_label_alone(fake, harvest):
    one = harvest.components(2, 3)[0]
    judge = judge_by_model(fake.endpoint, harvest.vocabulary)
    fake.answers = [(200, '{"fires": [0.9, 0, 1]}'), (200, '{"fires": [1]}')]
    label = Label(2, "the word w3", "language model")
    assert judge(label, one.examples[:3]) == pytest.approx([0.4, -0.5, 0.5])
    system, user = (message["content"] for message in fake.requests[0][2]["messages"])
    assert "the word w3" in system and "3 windows" in system
    assert show_window(one.examples[1], harvest.vocabulary) in user
    with pytest.raises(EndpointError, match="every window"):
        judge(label, one.examples[:3])
