"""Does a text overlap what the base model was trained on? A Bloom filter of hashed 13-word shingles.

Words are runs of letters, digits and underscores; layout and punctuation do not count. One shingle
in ``SAMPLE_EVERY`` (chosen by its hash, so the same one everywhere) is kept.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

WORDS_PER_SHINGLE = 13
SAMPLE_EVERY = 4
N_BYTES = 2_900_000
N_PROBES = 7
TABLE = Path(__file__).with_name("model") / "corpus_ngrams.npy"

_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def shingle_hashes(text: str, n_words: int = WORDS_PER_SHINGLE) -> np.ndarray:
    """Hashes of every run of ``n_words`` consecutive words: uint64, shape (words - n_words + 1,) or (0,)."""
    words = [zlib.crc32(word.encode()) for word in _WORD.findall(text)]
    count = len(words) - n_words + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    codes = np.array(words, np.uint64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(n_words):  # a polynomial in a fixed odd multiplier, modulo 2^64
        hashes = hashes * _MULTIPLIER + codes[offset : offset + count] + np.uint64(1)
    return _mix(hashes)


def sampled_hashes(text: str) -> np.ndarray:
    """The kept ones among the text's distinct shingle hashes: uint64, sorted."""
    hashes = np.unique(shingle_hashes(text))
    return hashes[hashes % np.uint64(SAMPLE_EVERY) == 0]


def build_table(texts: Iterable[str], n_bytes: int = N_BYTES) -> np.ndarray:
    """A Bloom filter over the sampled shingles of all texts: uint8, shape (n_bytes,)."""
    bits = np.zeros(n_bytes * 8, bool)
    for text in texts:
        bits[_probes(sampled_hashes(text), n_bytes).ravel()] = True
    return np.packbits(bits)


def false_positive_rate(table: np.ndarray) -> float:
    """The chance that a shingle that is not in the corpus is reported as being in it."""
    return float(np.unpackbits(table).mean() ** N_PROBES)


def overlap_share(text: str, table: np.ndarray | None = None) -> float:
    """The share of the text's sampled shingles that occur in the training corpus, in [0, 1].

    The shipped table wrongly reports .7 % of the shingles that are not in the corpus; a higher share
    means that text was seen. Judge long enough text: one sampled shingle is all or nothing.

    A text of fewer than some 13 + 4 words usually has no sampled shingle: 0.
    """
    bits = np.load(TABLE) if table is None else table
    hashes = sampled_hashes(text)
    if not len(hashes):
        return 0.0
    probes = _probes(hashes, len(bits))
    found = (bits[probes >> 3] >> (7 - (probes & 7)).astype(np.uint8)) & 1
    return float(found.all(axis=1).mean())


def _probes(hashes: np.ndarray, n_bytes: int) -> np.ndarray:
    """Bit positions (n, N_PROBES) by double hashing of the two halves of a re-mixed hash."""
    mixed = _mix(hashes + _MULTIPLIER)
    first, second = mixed >> np.uint64(32), (mixed & np.uint64(0xFFFFFFFF)) | np.uint64(1)
    steps = np.arange(N_PROBES, dtype=np.uint64)
    return ((first[:, None] + steps * second[:, None]) % np.uint64(n_bytes * 8)).astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
