"""Does each read of an author come back from other code of theirs? On a profile, for its trained authors.

Every author's training commits are dealt into two halves, each trains an adapter of half the budget, and
every read looks at all these adapters on one text that none of them has seen. Half A must then find half B
(evaluation.md section 4.6). N-grams of the halves' own text stand beside: they need no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.attribution.prompts import DEFAULT_PROMPTS, Prompt
from fingerprint.evaluation.results import ReplicationRow
from fingerprint.passage import Corpus
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import read_json
from service.flows.author_reads import Tools, read_parts
from service.flows.bench import Bench
from service.flows.evaluation.halves import deal
from service.flows.opened import TEAM, OpenedProfile
from service.flows.passages import spread_passages
from service.flows.training import Trained, refit_authors

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.readings.part import Part

COMMON_TOKENS = 3_000
"""Scored tokens of the team's unread code, about, that every half is read on."""
NGRAMS = "control: n-grams of the half's text"


def replicate_reads(
    opened: OpenedProfile, *, n_tokens: int = COMMON_TOKENS, prompts: Sequence[Prompt] = DEFAULT_PROMPTS
) -> tuple[ReplicationRow, ...]:
    """Identification by every read, the adapters trained or found; stored.

    Edits are no part of it: they would want a decomposition of every half.

    Raises:
        ServiceError: fewer than two authors, or halves with too little code.
    """
    halves = deal(opened.plan.slices.train)
    trained = [_train(opened, half) for half in halves]
    authors = [author for author in trained[0].authors if author in trained[1].authors]
    if len(authors) < 2:
        raise ServiceError(
            f"halves of two authors are compared, and only {len(authors)} have enough code for two adapters; "
            "profile a team with more code"
        )
    tools, passages = Tools.of_base(opened), spread_passages(opened.unread, n_tokens)
    digest = opened.bench.digest(
        "halves", adapters=[half.digests for half in trained], authors=authors, tools=tools.digest,
        text=Corpus(tuple(passages)).digest, prompts=[[p.text, p.target, p.against] for p in prompts],
    )  # fmt: skip

    def write(directory: Path) -> None:
        from fingerprint.readings.measure import Text

        adapters = {
            f"{name} {author}": half.authors[author]
            for name, half in zip("AB", trained, strict=True)
            for author in authors
        }
        text = Text.of(opened.routed.base, passages)
        parts = read_parts(opened, _reference(trained), adapters, tools, text, prompts)
        rows = [_row(f"{part.read}, by {part.axis}", part.signatures, len(authors)) for part in _told(parts)]
        rows.append(_row(NGRAMS, _ngrams(halves, authors), len(authors)))
        write_json(directory / "halves.json", [row.model_dump(mode="json") for row in rows])

    place = opened.bench.make("halves", digest, "halves of every author", write)
    return tuple(ReplicationRow.model_validate(row) for row in read_json(place / "halves.json"))


def _train(opened: OpenedProfile, half: Corpus) -> Trained:
    """Authors and their reference on one half of the code, at half the budget."""
    config = opened.bench.config
    adapter = config.adapter.model_copy(
        update={
            "author_tokens": max(1, config.adapter.author_tokens // 2),
            "least_author_tokens": max(1, config.adapter.least_author_tokens // 2),
        }
    )
    bench: Bench = replace(opened.bench, config=config.model_copy(update={"adapter": adapter}))
    known = Corpus(tuple(passage for passage in half if passage.author in opened.authors))
    whole = Trained(opened.adapter(TEAM), None, None, {}, {}, {}, {}, 0, {})
    return refit_authors(bench, known, opened.plan.slices.dev, whole)


def _reference(trained: Sequence[Trained]) -> Adapter:
    """Contributions start at the first half's reference: one start for all."""
    found = trained[0].reference
    assert found is not None, "there are authors"
    return found


def _told(parts: Sequence[Part]) -> list[Part]:
    """Of each read the finest axis that is common to all adapters, and its matrices."""
    return [part for part in parts if part.axis != "tokens" or part.read == "routes"]


def _row(reading: str, signatures: np.ndarray, k: int) -> ReplicationRow:
    from fingerprint.evaluation.replication import half_similarity, identify_halves

    found = identify_halves(half_similarity(signatures[:k], signatures[k:]))
    return ReplicationRow(
        reading=reading, labels="true", n_authors=k, auroc=found.auroc, top1=found.top1, icc=None,
        p_value=found.p_value,
    )  # fmt: skip


def _ngrams(halves: Sequence[Corpus], authors: Sequence[str]) -> np.ndarray:
    from fingerprint.evaluation.baselines import ngram_profiles

    own = [[p.marked for p in half.where_author(author)] for half in halves for author in authors]
    return ngram_profiles(own)
