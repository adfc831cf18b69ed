"""Transient structure, in its two forms: the reference task, and authors' recorded trainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fingerprint.development.transient_report import ProbedRun, TransientReport
from fingerprint.provenance import CODE_VERSION, digest_of
from service.artifacts import ArtifactStore
from service.flows.development.record import load_recording
from service.flows.opened import OpenedProfile
from service.flows.passages import spread_passages
from service.flows.training import Progress, Stage

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


def measure_authors(opened: OpenedProfile, authors: Sequence[str], seed: int = 0) -> TransientReport:
    """Lay the recorded trainings of authors into one plane.

    Raises:
        NotRecordedError: one of them was not recorded. TransientError: too little unread code of others.
    """
    from fingerprint.development.transient_report import report_transient

    return report_transient([_author_run(opened, author) for author in authors], seed=seed)


def _author_run(opened: OpenedProfile, author: str) -> ProbedRun:
    from fingerprint.development.author_runs import ProbeWindows, probe_author

    recording = load_recording(opened, author)
    bench, unread = opened.bench, opened.unread
    team = opened.adapter("team")
    probe = ProbeWindows(
        own=_windows(opened, tuple(p for p in unread if p.author == author), PROBE_TOKENS),
        others=_windows(opened, tuple(p for p in unread if p.author != author), PROBE_TOKENS),
        train=_windows(opened, opened.plan.slices.train.where_author(author).passages, MEMORY_TOKENS),
    )
    bench.report(Stage(f"transient structure of {author}", 0, 1))
    run = probe_author(
        bench.routed, recording.series(bench.routed), probe,
        team=team.state, config=bench.config.adapter, name=author,
    )  # fmt: skip
    bench.report(Stage(f"transient structure of {author}", 1, 1))
    return run


def _windows(opened: OpenedProfile, passages: tuple[Passage, ...], n_tokens: int) -> list[TokenizedPassage]:
    from fingerprint.lm.tokens import tokenize_passages

    bench = opened.bench
    chosen = spread_passages(passages, n_tokens)
    return tokenize_passages(bench.routed.base, chosen, bench.config.adapter.max_passage_tokens)
