"""B3: one token trigram model per author; a text goes to whoever finds it least surprising.

The language-model family of Hindle (ICSE 2012) and Hellendoorn (MSR 2015) on lexical tokens, with
interpolated Kneser-Ney smoothing (``starter.ngram``). All authors share one vocabulary, that of the training
texts, so that a token nobody wrote costs each of them what their own back-off gives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fingerprint.evaluation.baselines import author_columns, present_authors
from fingerprint.starter.ngram import KneserNey

ORDER = 3
UNKNOWN, BOUNDARY = 0, 1
"""Ids of a token outside the vocabulary, and of what stands ORDER - 1 times before every text."""

OPERATOR = (
    r"(?:\.\.\.|===|!==|<<=|>>=|\*\*=|//=|\?\?=|[-+*/%&|^!=<>:]=|->|=>|<-|::|\?\.|\?\?|&&|\|\||\+\+|--|<<|>>|\*\*|//"
    r"|[^\w\s])"
)
"""One operator or punctuation mark of any language, the longest first."""

_TOKEN = re.compile(
    r"\n|^[ \t]+(?=\S)"  # line ends and indentation are layout; other white space says nothing here
    r"|[^\W\d]\w*|\d[\w.]*|" + OPERATOR,
    re.MULTILINE,
)


def code_tokens(text: str) -> list[str]:
    """Identifiers, numbers, operators, line ends and indentations, in order."""
    return _TOKEN.findall(text)


@dataclass(frozen=True, eq=False)
class AuthorTrigrams:
    """B3: a trigram model of each author with training text.

    Attributes:
        models: one for each of ``present``, the columns of those authors. vocabulary: id of every token.
    """

    models: tuple[KneserNey, ...]
    present: Int[np.ndarray, " p"]
    vocabulary: Mapping[str, int]
    n_classes: int

    def score(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Mean log p per token [n, n_classes], nats, not centred; 0 for a text without tokens."""
        ids, owner = _pack([code_tokens(text) for text in texts], self.vocabulary)
        is_token = ids != BOUNDARY
        n_tokens = np.maximum(np.bincount(owner[is_token], minlength=len(texts)), 1)
        values = np.empty((len(texts), len(self.models)))
        for column, model in enumerate(self.models):
            bits = np.where(is_token, model.log2_probs(ids), 0.0)
            values[:, column] = np.bincount(owner, weights=bits, minlength=len(texts)) / n_tokens
        return author_columns(values * np.log(2), self.present, self.n_classes)


def fit_author_trigrams(
    texts: Sequence[str], labels: Int[np.ndarray, " n"], n_classes: int, *, most_tokens: int = 150_000
) -> AuthorTrigrams:
    """Fit B3 on each author's last texts.

    Args:
        texts: oldest first. most_tokens: read of each author, the last ones; as many as the adapters get.

    Raises:
        FingerprintError: fewer than two authors, or more than two million distinct tokens.
    """
    present = present_authors(labels)
    own: dict[int, list[list[str]]] = {int(author): [] for author in present}
    for text, author in zip(texts, labels, strict=True):
        own[int(author)].append(code_tokens(text))
    vocabulary = _number(token for parts in own.values() for part in parts for token in part)
    n_bits = (len(vocabulary) + BOUNDARY).bit_length()
    models = tuple(
        KneserNey(_pack(parts, vocabulary)[0][-most_tokens:], ORDER, n_bits) for parts in own.values()
    )
    return AuthorTrigrams(models, present, vocabulary, n_classes)


def _number(tokens: Iterable[str]) -> dict[str, int]:
    """Ids of the distinct tokens, after the reserved ones."""
    return {token: i for i, token in enumerate(dict.fromkeys(tokens), start=BOUNDARY + 1)}


def _pack(
    parts: Sequence[Sequence[str]], vocabulary: Mapping[str, int]
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]]:
    """All texts in one array of ids, each after its boundary, and the text number of every id."""
    start = [BOUNDARY] * (ORDER - 1)
    ids = [i for part in parts for i in (*start, *(vocabulary.get(token, UNKNOWN) for token in part))]
    sizes = [len(start) + len(part) for part in parts]
    return np.array(ids, dtype=np.int64), np.repeat(np.arange(len(parts)), sizes)
