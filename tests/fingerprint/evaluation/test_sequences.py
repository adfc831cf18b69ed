"""Commit after commit: those who belong are seldom found, strangers soon."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint.evaluation.sequences import LENGTH, LEVEL, Stream, judge_streams, streams_of


def _streams(shift: float, n: int, seed: int) -> list[Stream]:
    rng = np.random.default_rng(seed)
    return [Stream(rng.normal(shift, 1, LENGTH), f"author {i % 3}", float(i)) for i in range(n)]


def test_those_who_belong_are_found_at_most_at_the_level():
    rng = np.random.default_rng(0)
    references = [rng.normal(0, 1, 150) for _ in range(200)]
    row = judge_streams("own", "fused", "others", zip(_streams(0, 200, 1), references, strict=True))
    assert row is not None
    assert (row.n_streams, row.n_authors, row.median_delay) == (200, 3, None)
    assert row.found.low is not None
    assert row.found.low <= LEVEL
    assert row.found_by_5 <= row.found_by_10 <= (row.found.value or 0)


def test_strangers_are_found_soon():
    reference = np.random.default_rng(0).normal(0, 1, 150)
    row = judge_streams("strangers", "fused", "team", [(one, reference) for one in _streams(2.0, 40, 1)])
    assert row is not None
    assert row.found.value == 1
    assert row.median_delay is not None
    assert 2 <= row.median_delay <= 6


def test_a_stream_without_enough_to_be_held_against_is_left_out():
    references = [np.zeros(29), np.zeros(30), np.zeros(29)]
    row = judge_streams("own", "fused", "others", zip(_streams(9, 3, 0), references, strict=True))
    assert row is not None
    assert (row.n_streams, row.n_authors) == (1, 1)
    assert judge_streams("own", "fused", "others", [(_streams(9, 1, 0)[0], np.zeros(3))]) is None


def test_streams_are_consecutive_commits_of_one_author_each():
    n = 3 * LENGTH + 5
    written_at = np.random.default_rng(0).permutation(n).astype(float)
    authors = ["ann" if at < 2 * LENGTH + 3 else "bob" for at in written_at]
    found = list(streams_of(written_at, authors, written_at))  # the scores are the times
    assert [stream.author for stream in found] == ["ann", "ann", "bob"]
    starts = [0, LENGTH, 2 * LENGTH + 3]
    assert [stream.begins for stream in found] == starts
    for stream, start in zip(found, starts, strict=True):
        assert stream.scores == pytest.approx(np.arange(start, start + LENGTH))
