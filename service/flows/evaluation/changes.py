"""Does the alarm over commits find a known change of convention, and stay silent without one (T4)?

For each change the team's adapter is trained anew on what is older, the commits before the change give the
reference, and the stream runs through the change. The score is Lambda_team alone, low side: it needs two
forward passes a commit and no contributions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import numpy as np

from fingerprint import FingerprintError
from fingerprint.drift.martingale import conditional_bets, online_p_values, power_bets
from fingerprint.drift.reference import cap_commits
from fingerprint.drift.stream import PER_ITEMS, judge_alarms, restart_alarms, ville_alarms
from fingerprint.evaluation.results import ChangeRow
from fingerprint.passage import Corpus
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import fit_normaliser
from service.flows.evaluation.log_ratios import read_log_ratios
from service.flows.evaluation.manifest import Change
from service.flows.evaluation.setup import Setup
from service.flows.training import train_team_on

N_REFERENCE, N_BEFORE, N_AFTER = 150, 120, 200
"""Commits of the reference, of the unchanged stretch of the stream, and after the change."""
DEV_SHARE = 0.15
LEAST_COMMITS = 40
"""Fewer older commits than this, or fewer after the change, and it is left out."""
ALARM_LEVEL = 0.05
_BETS = {
    "fixed reference": conditional_bets,
    "online p-values": lambda reference, stream: power_bets(online_p_values(reference, stream)),
}
_ALARMS = {
    f"Ville at {ALARM_LEVEL:g}": lambda bets: ville_alarms(bets, ALARM_LEVEL),
    f"restarted, one false alarm in {PER_ITEMS}": restart_alarms,
}


@dataclass(frozen=True)
class Stretch:
    """The commits around a change, oldest first."""

    train: Corpus
    dev: Corpus
    reference: Corpus
    before: Corpus
    after: Corpus


def find_changes(setup: Setup, changes: Sequence[Change]) -> list[ChangeRow]:
    """A row for every change, way of betting and rule of alarm."""
    found: list[ChangeRow] = []
    for change in changes:
        with setup.clock.phase(f"change of {change.day}"):
            stretch = _stretch(setup, change)
            if stretch is None:
                setup.notes.append(f"{change.what} ({change.day}): too few commits on a side of it")
                continue
            try:
                found += _rows(change, *_scores(setup, stretch))
            except FingerprintError as reason:
                setup.notes.append(f"{change.what} ({change.day}): {reason}")
    return found


def _stretch(setup: Setup, change: Change) -> Stretch | None:
    """Cut the team's commits around a change; None where there are too few."""
    corpus = Corpus(tuple(p for part in setup.history.slices for p in part))
    least = setup.config.least_commit_tokens
    sizes: dict[str, int] = {}
    for passage in corpus:
        sizes[passage.group] = sizes.get(passage.group, 0) + len(passage.marked)
    day = datetime(change.day.year, change.day.month, change.day.day, tzinfo=UTC).timestamp()
    start = {passage.group: passage.written_at for passage in reversed(corpus.passages)}
    large = [group for group in corpus.groups if sizes[group] >= 4 * least]
    older = [group for group in large if start[group] < day]
    newer = [group for group in large if start[group] >= day][:N_AFTER]
    # a young repository gives shorter stretches, in the same proportions
    share = min(1.0, len(older) / (3 * (N_REFERENCE + N_BEFORE)))
    n_reference, n_before = round(share * N_REFERENCE), round(share * N_BEFORE)
    learned = older[: len(older) - n_reference - n_before]
    if min(len(learned), len(newer)) < LEAST_COMMITS:
        return None
    n_dev = round(DEV_SHARE * len(learned))
    end = len(older) - n_before
    parts = (learned[:-n_dev], learned[-n_dev:], older[end - n_reference : end], older[end:], newer)
    return Stretch(*(corpus.where_groups(part) for part in parts))


def _scores(setup: Setup, stretch: Stretch) -> tuple[np.ndarray, np.ndarray, int]:
    """Nonconformity of the reference and of the stream, one a commit, and where the change begins."""
    bench, drift = setup.bench, setup.bench.config.drift
    team = train_team_on(bench, stretch.train, stretch.dev, "team before a change")

    def measure(corpus: Corpus) -> Measures:
        passages = cap_commits(corpus, setup.config.commit_tokens)
        side = read_log_ratios(setup, "log-probabilities around a change", team, passages)
        measures = side.texts("commit").measures
        return measures.take(np.flatnonzero(measures.n_scored > 0))

    normaliser, _ = fit_normaliser(measure(stretch.dev), drift)
    parts = [normaliser.low_log_ratio(measure(part))
             for part in (stretch.reference, stretch.before, stretch.after)]  # fmt: skip
    return parts[0], np.concatenate(parts[1:]), len(parts[1])


def _rows(change: Change, reference: np.ndarray, stream: np.ndarray, at: int) -> Iterator[ChangeRow]:
    for (bettor, bet), (rule, alarm) in product(_BETS.items(), _ALARMS.items()):
        found = judge_alarms(alarm(bet(reference, stream)), at, len(stream))
        yield ChangeRow(
            day=change.day.isoformat(), what=change.what, kind=change.kind, rule=f"{bettor}; {rule}",
            n_reference=len(reference), n_before=at, n_after=len(stream) - at, delay=found.delay,
            n_false=found.n_false,
        )  # fmt: skip
