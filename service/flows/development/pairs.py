"""Pairs of correct and incorrect programs: made once for tasks, dials and seed, and found again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fingerprint.development.pairs.make import PairConfig, Run, digest_pairs, make_pairs
from fingerprint.development.pairs.prove import Outcome, run_tests
from fingerprint.development.pairs.store import PairSet
from fingerprint.development.pairs.task import Task, load_bank, load_humaneval, load_mbpp
from fingerprint.provenance import digest_of
from service.artifacts import ArtifactStore
from service.flows.bench import Progress, Stage

KIND = "pairs"


@dataclass(frozen=True)
class StoredPairs:
    """Pairs in the store.

    Attributes:
        digest, place: of the artifact. pairs: with how they came about. n_tasks: tasks they were made of.
    """

    digest: str
    place: Path
    pairs: PairSet
    n_tasks: int


def read_tasks(humaneval: Path | None = None, mbpp: Path | None = None) -> tuple[Task, ...]:
    """The shipped tasks, and those of local files.

    Raises:
        FingerprintError: a file is missing or of another format.
    """
    found = load_bank()
    if humaneval is not None:
        found += load_humaneval(humaneval)
    if mbpp is not None:
        found += load_mbpp(mbpp)
    return found


def store_pairs(
    home: Path, tasks: tuple[Task, ...], config: PairConfig, report: Progress = lambda _: None
) -> StoredPairs:
    """Make (or find) the pairs of these tasks. Every verdict is kept, so that a killed run goes on.

    Raises:
        FingerprintError: no task passes its own tests.
    """
    store, name = ArtifactStore(home), "mutants against tests"
    digest = digest_pairs(tasks, config)
    is_stored = store.find(KIND, digest) is not None

    def write(directory: Path) -> None:
        run = remembered(run_tests, store.begin_pieces(digest) / "verdicts.jsonl")
        made = make_pairs(tasks, config, run=run, progress=lambda n, total: report(Stage(name, n, total)))
        made.save(directory)

    place = store.put(KIND, digest, write)
    store.drop_checkpoints(digest)
    if is_stored:
        report(Stage(name, 1, 1, is_stored=True))
    return StoredPairs(digest, place, PairSet.load(place), len(tasks))


def remembered(run: Run, path: Path) -> Callable[[str, str, float], Outcome]:
    """The same verdicts, each found once and kept in a file, a line at a time."""
    known = dict(_read_lines(path))

    def look_up(code: str, tests: str, seconds: float) -> Outcome:
        key = digest_of([code, tests, seconds])
        if key not in known:
            known[key] = run(code, tests, seconds)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, asdict(known[key])]) + "\n")
        return known[key]

    return look_up


def _read_lines(path: Path) -> list[tuple[str, Outcome]]:
    """What an earlier attempt kept; a line that a kill cut short is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            key, outcome = json.loads(line)
        except ValueError:
            continue
        found.append((key, Outcome(**outcome)))
    return found
