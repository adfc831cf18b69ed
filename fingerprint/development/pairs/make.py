"""Pairs of a correct program and a mutant that its tests kill, balanced over operators."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fingerprint import FingerprintError
from fingerprint.config import Dials
from fingerprint.development.pairs.mutate import (
    OPERATORS,
    Candidate,
    choose_changes,
    list_changes,
    make_candidates,
)
from fingerprint.development.pairs.prove import CPU_SECONDS, Outcome, patience, run_tests
from fingerprint.development.pairs.runner import PRELUDE
from fingerprint.development.pairs.store import Pair, PairSet, Tally
from fingerprint.development.pairs.task import Task
from fingerprint.provenance import digest_of

Run = Callable[[str, str, float], Outcome]
"""A program and its tests, with the seconds of processor time they may take."""
Count = Annotated[int, Field(gt=0)]
SUBTLE_TOKENS = 3
"""Most tokens that a subtle mutant changes."""


class PairError(FingerprintError):
    """No pairs can be made of these tasks."""


class PairConfig(Dials):
    """How pairs are made."""

    per_task: Count = 2
    """Mutants kept of one task, at most."""
    trials: Count = 8
    """Mutants of one task that are run against its tests, at most."""
    subtle_only: bool = False
    """Leave a task out rather than take a mutant that is not subtle."""
    seed: int = 0
    """Of the draw of mutants."""


@dataclass(frozen=True)
class _Trial:
    """A candidate that has been run."""

    task: Task
    candidate: Candidate
    outcome: Outcome

    @property
    def is_subtle(self) -> bool:
        """Few tokens changed, and at most half of the tests see it, by a false answer, not an error."""
        is_seen_by_few = 2 * self.outcome.n_failed <= self.outcome.n_tests
        is_small = self.candidate.tokens_changed <= SUBTLE_TOKENS
        return is_small and is_seen_by_few and self.outcome.verdict == "not true"


def digest_pairs(tasks: Sequence[Task], config: PairConfig) -> str:
    """What the pairs depend on, in one hash."""
    return digest_of(
        {
            "tasks": [[task.source, task.name, task.code, task.tests] for task in tasks],
            "given": PRELUDE,
            "operators": sorted(OPERATORS),
            **config.model_dump(),
        }
    )


def make_pairs(
    tasks: Sequence[Task],
    config: PairConfig,
    *,
    run: Run = run_tests,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PairSet:
    """Mutate every task whose own tests pass; keep mutants that the tests kill; deterministic by seed.

    Survivors go, because they are either equivalent or beyond the tests, and so does what cannot be
    imported. Of the rest the subtle come first, then those of the operator that has the fewest so far.

    Args:
        run: how a program meets its tests. progress: of tasks done.

    Raises:
        PairError: no task passes its own tests.
    """
    tried: list[_Trial] = []
    refused: list[str] = []
    n_by_operator = Counter(change[0] for task in tasks for change in list_changes(task.code)[1])
    for done, task in enumerate(tasks):
        progress(done, len(tasks))
        correct = run(task.code, task.tests, CPU_SECONDS)
        if correct.verdict != "passes":
            refused.append(f"{task.source}/{task.name}")
            continue
        tried += [
            _Trial(task, one, run(one.code, task.tests, patience(correct)))
            for one in _draw(task, n_by_operator, config)
        ]
    progress(len(tasks), len(tasks))
    if not tried:
        raise PairError(
            f"expected tasks whose code passes its own tests, and mutants of it; of {len(tasks)} tasks "
            f"{len(refused)} do not pass: {', '.join(refused[:5])}"
        )
    pairs = tuple(_pair(trial) for trial in _select([t for t in tried if t.outcome.is_killed], config))
    return PairSet(pairs, _tally(tried, pairs), tuple(refused), digest_pairs(tasks, config))


def _draw(task: Task, n_by_operator: Counter[str], config: PairConfig) -> list[Candidate]:
    module, changes = list_changes(task.code)
    rng = random.Random(f"{config.seed}/{task.source}/{task.name}")
    return make_candidates(task.code, module, choose_changes(changes, n_by_operator, config.trials, rng))


def _select(killed: Sequence[_Trial], config: PairConfig) -> Iterator[_Trial]:
    """One mutant of each task a round; the tasks in one seeded order."""
    waiting: dict[str, list[_Trial]] = {}
    for trial in killed:
        if trial.is_subtle or not config.subtle_only:
            waiting.setdefault(f"{trial.task.source}/{trial.task.name}", []).append(trial)
    order = sorted(waiting)
    random.Random(config.seed).shuffle(order)
    n_chosen: Counter[str] = Counter()
    for _ in range(config.per_task):
        for own in (waiting[name] for name in order if waiting[name]):
            best = min(own, key=lambda trial: (not trial.is_subtle, n_chosen[trial.candidate.operator]))
            own.remove(best)
            n_chosen[best.candidate.operator] += 1
            yield best


def _pair(trial: _Trial) -> Pair:
    task, candidate, outcome = trial.task, trial.candidate, trial.outcome
    return Pair(
        f"{task.source}/{task.name}", candidate.operator, task.code, candidate.code, candidate.span,
        candidate.changed_span, candidate.tokens_changed, outcome.verdict, outcome.n_failed, outcome.n_tests,
        trial.is_subtle,
    )  # fmt: skip


def _tally(tried: Sequence[_Trial], pairs: Sequence[Pair]) -> tuple[Tally, ...]:
    """Rows by operator, in alphabetical order."""

    def row(operator: str) -> Tally:
        own = [trial for trial in tried if trial.candidate.operator == operator]
        verdicts = Counter(trial.outcome.verdict for trial in own)
        kept = [pair for pair in pairs if pair.operator == operator]
        return Tally(
            operator, len(own), sum(trial.outcome.is_killed for trial in own), verdicts["passes"],
            verdicts["no import"], len(kept), sum(pair.is_subtle for pair in kept),
        )  # fmt: skip

    return tuple(row(operator) for operator in sorted({trial.candidate.operator for trial in tried}))
