"""One cheap classifier (B1) under every split and view: how much of "author" is commit, era, file or topic.

evaluation.md section 4.3. No model runs here, so nothing is trained; the same authors take part everywhere,
by the enrolment of the primary split (S3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fingerprint.evaluation.baselines import fit_ngram_classifier
from fingerprint.evaluation.metrics import centre_rows, directory_concordance
from fingerprint.evaluation.protocol import Sample, cap_newest, cap_spread, only_authors, samples_of
from fingerprint.evaluation.results import AnchorRow
from fingerprint.evaluation.splits import (
    Split,
    directories_of,
    split_by_author_quantile,
    split_by_commit,
    split_by_time,
    split_random_hunks,
    split_untouched_files,
)
from fingerprint.evaluation.tables import ClosedSet, number
from fingerprint.evaluation.views import view_passages
from fingerprint.passage import Passage
from service.flows.evaluation.setup import Setup

VIEWS = ("masked", "without comments", "formatted")
"""S7, S8 and S9; samples of languages without a formatter on the machine are left out of S9 and counted."""


def measure_anchors(setup: Setup) -> list[AnchorRow]:
    """Rows of every split on the raw text, then of the primary split through each view."""
    authors = setup.material.authors
    if len(authors) < 2:
        return []
    passages = (passage for corpus in setup.history.slices for passage in corpus)
    samples = only_authors(samples_of(passages), authors)
    with setup.clock.phase("splits and views"):
        rows = [row for split in _splits(setup, samples) for row in _rows(setup, samples, split, "raw")]
        time = split_by_time(samples, setup.config.slices, setup.history.cut)
        for view in VIEWS:
            rows += _rows(setup, _viewed(setup, samples, view), time, view)
    return rows


def _splits(setup: Setup, samples: Sequence[Sample]) -> list[Split]:
    slices, cut = setup.config.slices, setup.history.cut
    return [
        split_random_hunks(samples, slices, setup.config.seed),
        split_by_commit(samples, slices, setup.config.seed),
        split_by_author_quantile(samples, slices),
        split_by_time(samples, slices, cut),
        split_untouched_files(samples, slices, cut),
    ]


def _rows(setup: Setup, samples: Sequence[Sample | None], split: Split, view: str) -> list[AnchorRow]:
    """Rows of one split by hunk and by commit; a sample that has no such view is left out."""
    train, test = ([samples[i] for i in rows if samples[i] is not None] for rows in (split.train, split.test))
    config, material = setup.config, setup.material
    kept = cap_spread([s for s in test if s is not None], config.test_samples, config.seed)
    chosen = cap_newest([s for s in train if s is not None], config.ngram_samples)
    labels = material.labels(kept)
    if len(kept) < len(material.authors) or len({sample.author for sample in chosen}) < 2:
        setup.notes.append(f"{split.name}, {view}: too few samples ({len(kept)} test)")
        return []

    def compute() -> Mapping[str, np.ndarray]:
        model = fit_ngram_classifier([s.text for s in chosen], material.labels(chosen), len(material.authors))
        return {"test": model.score([s.text for s in kept])}

    scores = setup.arrays(f"n-grams: {split.name}, {view}", compute, adapters=())["test"]
    closed = ClosedSet(labels, tuple(s.group for s in kept), np.ones(len(kept)), config.n_draws)
    directories = directories_of(kept, np.arange(len(kept)))
    matched = directory_concordance(centre_rows(scores), labels, directories)
    return [
        AnchorRow(
            split=split.name, view=view, unit=row.unit, n=row.n, n_authors=row.n_authors, auroc=row.auroc,
            balanced=row.balanced, same_directory=number(matched) if row.unit == "hunk" else None,
        )
        for row in closed.judge("", scores)
    ]  # fmt: skip


def _viewed(setup: Setup, samples: Sequence[Sample], view: str) -> list[Sample | None]:
    """Every sample through a view; None where nothing is left. All at once: formatters take many files."""
    owners = [number for number, sample in enumerate(samples) for _ in sample.passages]
    seen = view_passages([passage for sample in samples for passage in sample.passages], view)
    own: list[list[Passage]] = [[] for _ in samples]
    for position, passage in zip(seen.kept, seen.passages, strict=True):
        own[owners[position]].append(passage)
    if seen.reasons:
        left_out = ", ".join(f"{n} ({why})" for why, n in seen.reasons.items())
        setup.notes.append(f"{view}: left out {left_out}")
    texts = ["".join(passage.marked for passage in passages) for passages in own]
    return [
        replace(sample, passages=tuple(passages), text=text) if text.strip() else None
        for sample, passages, text in zip(samples, own, texts, strict=True)
    ]
