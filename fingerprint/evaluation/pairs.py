"""Matched pairs: near-identical hunks of two authors. Does it matter whose they are? Torch-free.

Hunks are near-identical when their masked views, without names, literals and comments, share most of their
shingles. Every hunk gives a direction (what training on it would change, or its n-grams), every pair the
difference d of two. If the author matters, differences of one pair of authors agree, and which hunk is whose
can be told from the other pairs. Under the null, sides can be swapped: p-values flip the signs of whole
clusters of pairs that share commits. Pairs of one author, earlier against later, say what time alone does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from fingerprint.evaluation.views import view_passages
from fingerprint.passage import Passage

SHINGLE = 4
"""Lexical elements of the masked view in a row that are compared."""
_ELEMENT = re.compile(r"\w+|[^\w\s]|\n[ \t]*")
_FLIPS_AT_ONCE = 500


@dataclass(frozen=True)
class Pair:
    """Two hunks by position; ``likeness`` is the Jaccard index of their masked views' shingles."""

    first: int
    second: int
    likeness: float


@dataclass(frozen=True, eq=False)
class MatchedPairs:
    """Pairs of hunks, no hunk in two of them.

    Attributes:
        passages: the paired hunks. pairs: alike first. block: by pair, whose it is: pairs of one block
            have the same two authors in the same order. cluster: pairs that share a commit, directly or
            through others. names: of the blocks.
    """

    passages: tuple[Passage, ...]
    pairs: tuple[Pair, ...]
    block: Int[np.ndarray, " n"]
    cluster: Int[np.ndarray, " n"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pairs)


def match_pairs(
    passages: Sequence[Passage],
    *,
    same_author: bool = False,
    least_likeness: float = 0.5,
    least_shingles: int = 12,
    most: int = 200,
) -> MatchedPairs:
    """The most alike pairs after masking, greedily, each hunk once; verbatim copies are left out.

    Args:
        same_author: pair an author's hunks of different commits, earlier first, instead of two authors'.
    """
    viewed = view_passages(passages, "masked")
    shingles = [_shingles(passage.marked) for passage in viewed.passages]
    kept = [i for i, found in enumerate(shingles) if len(found) >= least_shingles]
    known = [passages[viewed.kept[i]] for i in kept]
    rows, columns, likeness = _alike([shingles[i] for i in kept], least_likeness)
    found: list[Pair] = []
    used: set[int] = set()
    for place in np.lexsort((columns, rows, -likeness)).tolist():
        first, second = int(rows[place]), int(columns[place])
        if used & {first, second} or not _may_pair(known[first], known[second], same_author):
            continue
        used |= {first, second}
        first, second = sorted((first, second), key=lambda i: (known[i].author, known[i].written_at, i))
        found.append(Pair(first, second, float(likeness[place])))
        if len(found) == most:
            break
    hunks = {hunk: place for place, hunk in enumerate(sorted(used))}
    found = [Pair(hunks[pair.first], hunks[pair.second], pair.likeness) for pair in found]
    known = [known[hunk] for hunk in hunks]
    names = [f"{known[pair.first].author} / {known[pair.second].author}" for pair in found]
    distinct, block = np.unique(np.array(names, dtype=str), return_inverse=True)
    return MatchedPairs(tuple(known), tuple(found), block, _clusters(known, found), tuple(map(str, distinct)))


def _may_pair(first: Passage, second: Passage, same_author: bool) -> bool:
    if (first.author == second.author) != same_author or first.group == second.group:
        return False
    return first.marked != second.marked


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    elements = _ELEMENT.findall(text)
    return frozenset(zip(*(elements[i:] for i in range(SHINGLE)), strict=False))


def _alike(
    shingles: Sequence[frozenset[tuple[str, ...]]], least: float
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """(row, column, Jaccard) of every pair at or above the least, row before column."""
    number: dict[tuple[str, ...], int] = {}
    entries = [
        (row, number.setdefault(s, len(number))) for row, own in enumerate(shingles) for s in sorted(own)
    ]
    if not entries:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    row, column = np.array(entries).T
    ones = np.ones(len(row), np.int32)
    member = sparse.csr_array((ones, (row, column)), shape=(len(shingles), len(number)))
    common = sparse.coo_array(sparse.triu(member @ member.T, k=1))
    sizes = np.array([len(own) for own in shingles])
    first, second = common.coords
    jaccard = common.data / (sizes[first] + sizes[second] - common.data)
    near = jaccard >= least
    return first[near], second[near], jaccard[near]


def _clusters(passages: Sequence[Passage], pairs: Sequence[Pair]) -> Int[np.ndarray, " n"]:
    """Number of each pair's cluster: pairs are joined by commits in common."""
    commits = {group: i for i, group in enumerate(sorted({p.group for p in passages}))}
    ends = [(commits[passages[pair.first].group], commits[passages[pair.second].group]) for pair in pairs]
    if not ends:
        return np.zeros(0, int)
    first, second = np.array(ends).T
    joined = sparse.csr_array((np.ones(len(ends)), (first, second)), shape=(len(commits), len(commits)))
    return connected_components(joined, directed=False)[1][first]


@dataclass(frozen=True)
class SideTest:
    """Whether differences of near-identical hunks agree.

    Attributes:
        n_pairs, n_clusters: pairs, and clusters whose signs are flipped together. told: share of pairs whose
            sides are told by the other clusters' pairs of the same authors; .5 is chance. agreement: sum over
            blocks of |sum of d|^2 / n, in units of its mean over flips. told_p, agreement_p: one-sided.
            cosine: mean cosine of the two directions of a pair. stranger_cosine: of hunks of two pairs.
    """

    n_pairs: int
    n_clusters: int
    told: float
    told_p: float
    agreement: float
    agreement_p: float
    cosine: float
    stranger_cosine: float


def compare_sides(
    matched: MatchedPairs, directions: Float[np.ndarray, "h p"], *, n_flips: int = 9_999, seed: int = 0
) -> SideTest | None:
    """Flip test of what directions say of the sides; None without pairs in two clusters, or any difference.

    Args:
        directions: of every passage of ``matched``, of any length; they are scaled to one.
    """
    keep = _in_two_clusters(matched)
    if not keep.any():
        return None
    first, second = (
        np.array([getattr(pair, side) for pair in matched.pairs])[keep] for side in ("first", "second")
    )
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True).clip(min=1e-12)
    d = unit[first] - unit[second]
    if not d.any():
        return None  # the reading cannot tell any pair's hunks apart
    block, cluster = matched.block[keep], matched.cluster[keep]
    same = block[:, None] == block
    sizes = np.bincount(block)[block]
    gram = np.where(same, d @ d.T, 0.0).astype(np.float64)
    _, own = np.unique(cluster, return_inverse=True)
    observed = _figures(np.ones((1, len(d))), gram, sizes, own)
    drawn = _flipped(gram, sizes, own, n_flips, seed)
    told_p, agreement_p = (
        (1 + int((values >= seen[0] - 1e-12).sum())) / (1 + n_flips)
        for seen, values in zip(observed, drawn, strict=True)
    )
    cross = unit[first] @ unit[second].T
    off = ~np.eye(len(d), dtype=bool)
    return SideTest(
        len(d), int(own.max()) + 1, float(observed[0][0]), told_p,
        float(observed[1][0] / drawn[1].mean()), agreement_p, float(np.diag(cross).mean()),
        float(cross[off].mean()) if off.any() else float("nan"),
    )  # fmt: skip


def lean_test(
    leans: Float[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], *, n_flips: int = 9_999, seed: int = 0
) -> tuple[float, float, float]:
    """(share above zero, mean, one-sided p) of pairs' leans, signs flipped by whole clusters."""
    _, own = np.unique(cluster, return_inverse=True)
    sums = np.bincount(own, weights=leans)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (n_flips, len(sums)))
    p_value = (1 + int((signs @ sums >= sums.sum() - 1e-12).sum())) / (1 + n_flips)
    return float((leans > 0).mean() + (leans == 0).mean() / 2), float(leans.mean()), p_value


def _in_two_clusters(matched: MatchedPairs) -> np.ndarray:
    """Pairs of blocks that have others to be told by."""
    keep = np.zeros(len(matched), dtype=bool)
    for block in range(len(matched.names)):
        own = matched.block == block
        keep[own] = len(np.unique(matched.cluster[own])) > 1
    return keep


def _figures(
    signs: Float[np.ndarray, "f n"],
    gram: Float[np.ndarray, "n n"],
    sizes: Int[np.ndarray, " n"],
    cluster: Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """(told, agreement) under sign patterns."""
    others = np.where(cluster[:, None] == cluster, 0.0, gram)
    toward = signs * (signs @ others)
    told = (toward > 0).mean(axis=1) + (toward == 0).mean(axis=1) / 2
    return told, ((signs @ (gram / sizes)) * signs).sum(axis=1)


def _flipped(
    gram: Float[np.ndarray, "n n"],
    sizes: Int[np.ndarray, " n"],
    cluster: Int[np.ndarray, " n"],
    n: int,
    seed: int,
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    rng, parts = np.random.default_rng(seed), []
    for start in range(0, n, _FLIPS_AT_ONCE):
        shape = (min(_FLIPS_AT_ONCE, n - start), int(cluster.max()) + 1)
        parts.append(_figures(rng.choice([-1.0, 1.0], shape)[:, cluster], gram, sizes, cluster))
    told, agreement = zip(*parts, strict=True)
    return np.concatenate(told), np.concatenate(agreement)
