from __future__ import annotations

from fingerprint.labels.control import mark_corpus
from fingerprint.labels.label import Label, visible_token
from fingerprint.labels.offline import label_tokens
from tests.fingerprint.labels.conftest import N_COMPONENTS, N_INPUT, N_NOISE, N_OUTPUT


def test_planted_tokens_name_their_components(make_planted):
    labels = [label_tokens(one) for one in make_planted(0).components(0, N_COMPONENTS)]
    assert [label.text for label in labels[:N_INPUT]] == [f"on w{1 + c}" for c in range(N_INPUT)]
    outputs = [label.text for label in labels[N_INPUT : N_INPUT + N_OUTPUT]]
    assert outputs == [f"before w{20 + c}" for c in range(N_OUTPUT)]
    assert [label.text for label in labels[-N_NOISE:]] == ["unclear"] * N_NOISE
    assert not any(label.is_clear for label in labels[-N_NOISE:])


def test_the_same_words_every_time(make_planted):
    first, again = make_planted(0), make_planted(0)
    assert list(map(label_tokens, first.components(0, 12))) == list(
        map(label_tokens, again.components(0, 12))
    )


def test_labels_of_the_base_control_are_the_corpus_s():
    def label(component: int, *tokens: str) -> Label:
        return Label(component, "on " + ", ".join(tokens), "tokens", tuple((0, t, 1.0) for t in tokens))

    control = [label(7, "pub", "use"), label(8, "self", "cls"), Label(9, "unclear", "tokens")]
    own = [
        label(0, "use", "pub"),
        label(1, "zap"),
        label(2, "self", "zap", "map"),
        Label(3, "unclear", "tokens"),
    ]
    marked = mark_corpus(own, control)
    # another number, the same tokens: corpus; one of four tokens shared: not; unclear is like nothing
    assert [one.is_corpus for one in marked] == [True, False, False, False]
    assert [one.text for one in marked] == [one.text for one in own]
    words = [Label(0, "Imports from the crate root", "language model")]
    said = [Label(4, "imports from the root crate", "language model")]
    assert mark_corpus(words, said)[0].is_corpus
    before = Label(0, "before pub, use", "tokens", (), ((0, "pub", 1.0), (1, "use", 1.0)))
    assert not mark_corpus([before], control)[0].is_corpus  # what comes next is not what it fires on


def test_white_space_is_shown():
    assert visible_token("\n\t x") == "⏎⇥·x"
