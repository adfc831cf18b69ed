"""Transient structure, in its two forms: the reference task, and an author's recorded training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fingerprint.development.transient_report import ProbedRun, TransientReport
from fingerprint.provenance import CODE_VERSION, digest_of
from service.artifacts import ArtifactStore
from service.flows.bench import Progress, Stage
from service.flows.development.record import Recording, load_recording
from service.flows.opened import OpenedProfile
from service.flows.passages import spread_passages

if TYPE_CHECKING:
    from fingerprint.development.config import SamplerConfig
    from fingerprint.development.in_context_regression import RegressionConfig
    from fingerprint.lm.tokens import TokenizedPassage
    from fingerprint.passage import Passage

KIND = "transient"
PROBE_TOKENS = 4_000
"""Tokens, about, of the author's and of the others' unread code each."""
MEMORY_TOKENS = 2_000
"""Tokens, about, of the author's training code that the memorised reference knows by heart."""


def measure_regression(
    diversities: Sequence[int | None],
    config: RegressionConfig,
    sampler: SamplerConfig | None,
    store: ArtifactStore,
    report: Progress,
) -> TransientReport:
    """Train a transformer for each task diversity M (None: endless), or find them; each is kept by itself."""
    from fingerprint.development.regression_runs import probe_regression
    from fingerprint.development.transient_report import report_transient

    def progress(name: str, done: int, total: int) -> None:
        report(Stage(name, done, total))

    runs = []
    for diversity in diversities:
        digest = digest_of(
            {"what": "in-context regression", "diversity": diversity, "config": config.digest,
             "sampler": None if sampler is None else sampler.digest, "code": CODE_VERSION}
        )  # fmt: skip
        place = store.find(KIND, digest)
        if place is None:
            run = probe_regression(diversity, config, sampler=sampler, progress=progress)
            place = store.put(KIND, digest, lambda directory, run=run: run.save(directory))
        runs.append(ProbedRun.load(place))
    return report_transient(runs, seed=config.seed)


def measure_author(
    opened: OpenedProfile, author: str, nulls: Sequence[Recording] = (), seed: int = 0
) -> TransientReport:
    """Lay the recorded training of an author into one plane with those of shuffled authors.

    All are read on the same probe beside the same references: what nulls do too is no trait of the author.

    Raises:
        NotRecordedError: the author was not recorded. TransientError: too little unread code of others.
    """
    from fingerprint.development.author_runs import ProbeWindows, probe_author, read_references
    from fingerprint.development.transient_report import report_transient

    bench, unread = opened.bench, opened.unread
    probe = ProbeWindows(
        own=_windows(opened, tuple(p for p in unread if p.author == author), PROBE_TOKENS),
        others=_windows(opened, tuple(p for p in unread if p.author != author), PROBE_TOKENS),
        train=_windows(opened, opened.plan.slices.train.where_author(author).passages, MEMORY_TOKENS),
    )
    named = {author: load_recording(opened, author)}
    named |= {f"shuffled {i}": null for i, null in enumerate(nulls, 1)}
    bench.report(Stage("references", 0, 1))
    references = read_references(bench.routed, probe, opened.adapter("team").state, bench.config.adapter)
    runs = []
    for done, (name, recording) in enumerate(named.items()):
        bench.report(Stage("transient structure", done, len(named)))
        runs.append(probe_author(bench.routed, recording.series(bench.routed), probe, references, name))
    bench.report(Stage("transient structure", 1, 1))
    return report_transient(runs, seed=seed)


def _windows(opened: OpenedProfile, passages: tuple[Passage, ...], n_tokens: int) -> list[TokenizedPassage]:
    from fingerprint.lm.tokens import tokenize_passages

    bench = opened.bench
    chosen = spread_passages(passages, n_tokens)
    return tokenize_passages(bench.routed.base, chosen, bench.config.adapter.max_passage_tokens)
