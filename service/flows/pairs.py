"""Does near-identical code of two authors train different adapters? Matched pairs of a profiled repository.

Three answers, each beside its control: whether the directions of training tell whose hunk is whose; whether
n-grams tell it as well; whether the trained adapters favour their own author's hunk among pairs that they
never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.storage import write_json
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.evaluation.pairs import MatchedPairs

TWO, ONE = "two authors", "one author, earlier and later"
N_FLIPS = 9_999


@dataclass(frozen=True)
class SideRow:
    """One reading of the sides of one kind of pairs; figures as in ``evaluation.pairs.SideTest``."""

    pairs: str
    reading: str
    n_pairs: int
    n_clusters: int
    told: float
    told_p: float
    agreement: float
    agreement_p: float
    cosine: float
    stranger_cosine: float


@dataclass(frozen=True)
class LeanRow:
    """How often adapters favour their own author's hunk.

    Attributes:
        adapters: "authors", or a set of shuffled ones. n_pairs: of code that no adapter read. share: favoured
            own; .5 is chance. mean: nats a token. p_value: one-sided, signs flipped by clusters.
    """

    adapters: str
    n_pairs: int
    share: float
    mean: float
    p_value: float


@dataclass(frozen=True)
class PairsReport:
    """Everything said of a repository's matched pairs.

    Attributes:
        least_likeness: from which masked views count as near-identical. n_found: pairs by kind. authors: of
            the pairs of two, how many by block. sides, leans: the figures. examples: (path and text of both
            hunks, likeness) of the most alike.
    """

    least_likeness: float
    n_found: dict[str, int]
    authors: dict[str, int]
    sides: tuple[SideRow, ...]
    leans: tuple[LeanRow, ...]
    examples: tuple[tuple[str, str, str, str, float], ...]


def compare_pairs(
    opened: OpenedProfile, *, least_likeness: float = 0.5, most: int = 200, seed: int = 0
) -> PairsReport:
    """Find the pairs and read them; stored."""
    slices = opened.plan.slices
    code = [*slices.train.passages, *slices.dev.passages, *opened.unread]
    digest = digest_of(
        {"what": "matched pairs", "text": Corpus(tuple(code)).digest, "adapters": opened.digests,
         "unread": Corpus(opened.unread).digest, "dials": [least_likeness, most, seed, N_FLIPS],
         "revision": opened.bench.routed.base.revision, "code": CODE_VERSION}
    )  # fmt: skip

    def write(directory: Path) -> None:
        write_json(directory / "pairs.json", asdict(_compare(opened, code, least_likeness, most, seed)))

    stored = read_json(opened.bench.make("pairs", digest, "matched pairs", write) / "pairs.json")
    return _restored(stored)


def _compare(
    opened: OpenedProfile, code: list[Passage], least_likeness: float, most: int, seed: int
) -> PairsReport:
    from fingerprint.evaluation.pairs import match_pairs

    opened.bench.report(Stage("matching hunks", 0, None))
    dials: dict[str, Any] = {"least_likeness": least_likeness, "most": most}
    kinds = {kind: match_pairs(code, same_author=kind == ONE, **dials) for kind in (TWO, ONE)}
    two = kinds[TWO]
    blocks = {name: int((two.block == i).sum()) for i, name in enumerate(two.names)}
    unread = match_pairs(opened.unread, **dials)
    return PairsReport(
        least_likeness, {kind: len(found) for kind, found in kinds.items()}, blocks,
        tuple(row for kind, found in kinds.items() for row in _sides(opened, kind, found, seed)),
        tuple(_leans(opened, unread, seed)), tuple(_examples(two)),
    )  # fmt: skip


def _sides(opened: OpenedProfile, kind: str, matched: MatchedPairs, seed: int) -> list[SideRow]:
    from fingerprint.evaluation.pair_readings import ngram_directions, training_directions
    from fingerprint.evaluation.pairs import compare_sides
    from fingerprint.evaluation.views import view_passages

    if not len(matched):
        return []
    bench, routed = opened.bench, opened.bench.routed
    masked = view_passages(matched.passages, "masked").passages
    readings = {
        "directions of training": lambda: training_directions(
            routed, routed.zero_weights(), matched.passages,
            lambda done, of: bench.report(Stage(f"directions of training, {kind}", done, of)),
        ),
        "n-grams": lambda: ngram_directions(matched.passages),
        "n-grams, masked": lambda: ngram_directions(masked),
    }  # fmt: skip
    found = {
        name: compare_sides(matched, read(), n_flips=N_FLIPS, seed=seed) for name, read in readings.items()
    }
    return [SideRow(kind, name, **asdict(test)) for name, test in found.items() if test is not None]


def _leans(opened: OpenedProfile, matched: MatchedPairs, seed: int) -> list[LeanRow]:
    """The authors' adapters and, as nulls, every set of shuffled ones, on pairs that none of them read."""
    import numpy as np

    from fingerprint.evaluation.pair_readings import pair_leans
    from fingerprint.evaluation.pairs import lean_test

    rows: list[LeanRow] = []
    for name, states in _populations(opened).items():
        leans = pair_leans(opened.bench.routed, states, matched) if len(matched) else {}
        if not leans:
            continue
        chosen = np.array(list(leans), dtype=int)
        share, mean, p_value = lean_test(
            np.array(list(leans.values())), matched.cluster[chosen], n_flips=N_FLIPS, seed=seed
        )
        rows.append(LeanRow(name, len(leans), share, mean, p_value))
    return rows


def _populations(opened: OpenedProfile) -> dict[str, Mapping[str, Any]]:
    """States by author: the true ones, and each set of shuffled authors under the names that they bear."""
    found: dict[str, dict[str, Any]] = {
        "authors": {author: adapter.state for author, adapter in opened.authors.items()}
    }
    for name, adapter in opened.nulls.items():
        author, _, number = name.rpartition("/")
        found.setdefault(f"shuffled authors, set {number}", {})[author] = adapter.state
    return {name: states for name, states in found.items() if len(states) > 1}


def _examples(matched: MatchedPairs, n: int = 5) -> list[tuple[str, str, str, str, float]]:
    shown = []
    for pair in matched.pairs[:n]:
        first, second = matched.passages[pair.first], matched.passages[pair.second]
        shown.append((first.path, first.marked, second.path, second.marked, pair.likeness))
    return shown


def _restored(stored: dict[str, Any]) -> PairsReport:
    return PairsReport(
        stored["least_likeness"], stored["n_found"], stored["authors"],
        tuple(SideRow(**row) for row in stored["sides"]), tuple(LeanRow(**row) for row in stored["leans"]),
        tuple((str(a), str(b), str(c), str(d), float(e)) for a, b, c, d, e in stored["examples"]),
    )  # fmt: skip
