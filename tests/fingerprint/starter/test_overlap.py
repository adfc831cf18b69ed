"""The overlap filter finds what it was given and little else."""

import random

import numpy as np
import pytest

from fingerprint.starter import overlap


def prose(seed: int, n_words: int) -> str:
    generator = random.Random(seed)
    return " ".join(f"w{generator.randrange(5_000)}" for _ in range(n_words))


def test_hashes_are_stable_across_machines():
    """The committed table depends on these values: a change must come with a new table."""
    words = "one two three four five six seven eight nine ten eleven twelve thirteen"
    assert overlap.shingle_hashes(words).tolist() == overlap.shingle_hashes(f"  {words};\n").tolist()
    assert overlap.shingle_hashes(words).tolist() == [11099002654891739309]


def test_a_known_text_overlaps_whole_and_half():
    table = overlap.build_table([prose(1, 4_000)], n_bytes=100_000)
    assert overlap.overlap_share(prose(1, 4_000), table) == 1.0
    half = prose(1, 4_000) + " " + prose(2, 4_000)
    assert overlap.overlap_share(half, table) == pytest.approx(0.5, abs=0.05)


def test_false_positives_are_as_rare_as_stated():
    table = overlap.build_table([prose(1, 40_000)], n_bytes=12_000)
    stated = overlap.false_positive_rate(table)
    strangers = np.mean([overlap.overlap_share(prose(seed, 2_000), table) for seed in range(10, 30)])
    assert 0.0005 < stated < 0.02
    assert strangers == pytest.approx(stated, rel=0.35)


def test_short_text_has_no_overlap():
    assert overlap.overlap_share("a b c", np.full(10, 255, np.uint8)) == 0.0
    assert len(overlap.shingle_hashes("")) == 0


def test_the_shipped_table_is_rarely_wrong():
    table = np.load(overlap.TABLE)
    assert table.nbytes <= 3_000_000 and overlap.false_positive_rate(table) < 0.01
    assert overlap.overlap_share(prose(5, 3_000)) < 0.03
