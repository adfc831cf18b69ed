"""Who and what is compared: hunk samples, the global time split, enrolment and caps. Torch-free.

A *sample* is what evaluation.md section 4.1 calls one: the added lines of one (commit, file) with at least
five non-blank lines. It keeps its Passages, so that n-grams and models are judged on the same text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fingerprint.passage import Passage

LEAST_LINES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """The added lines of one file in one commit.

    Attributes:
        passages: its hunks, in file order; all of one commit, path and author.
        text: the added lines.
    """

    passages: tuple[Passage, ...]
    text: str

    @property
    def group(self) -> str:
        """The commit."""
        return self.passages[0].group

    @property
    def author(self) -> str:
        """Key of the author."""
        return self.passages[0].author

    @property
    def written_at(self) -> float:
        """Author time, seconds since the epoch."""
        return self.passages[0].written_at

    @property
    def language(self) -> str:
        """Language name."""
        return self.passages[0].language


def samples_of(passages: Iterable[Passage], least_lines: int = LEAST_LINES) -> list[Sample]:
    """Samples of at least so many non-blank added lines, oldest first.

    Of a text that occurs again (white space apart) the oldest copy stays, so that no test sample repeats a
    training one.
    """
    files: dict[tuple[str, str], list[Passage]] = {}
    for passage in passages:
        files.setdefault((passage.group, passage.path), []).append(passage)
    found = [Sample(tuple(own), "".join(p.marked for p in own)) for own in files.values()]
    found = [sample for sample in found if _n_lines(sample.text) >= least_lines]
    found.sort(key=lambda sample: (sample.written_at, sample.group, sample.passages[0].path))
    first_seen: dict[str, Sample] = {}
    for sample in found:
        first_seen.setdefault(" ".join(sample.text.split()), sample)
    return list(first_seen.values())


def _n_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class EnrolmentRule:
    """Least material of an author, and how many authors at most (evaluation.md section 4.6).

    Attributes:
        least_samples: before the cut; half of them must lie in the training slice, or nothing of the author
            is learned.
    """

    least_samples: int = 60
    least_commits: int = 30
    least_test_samples: int = 10
    most_authors: int = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """What one author has on both sides of the cut, and whether it is enough.

    Attributes:
        reason: why not enrolled, or "".
    """

    author: str
    samples_before: int
    commits_before: int
    test_samples: int
    test_commits: int
    reason: str

    @property
    def is_enrolled(self) -> bool:
        """Whether the author takes part."""
        return not self.reason


def enrol_authors(
    train: Sequence[Sample],
    tuning: Sequence[Sample],
    test: Sequence[Sample],
    rule: EnrolmentRule = EnrolmentRule(),
) -> list[Standing]:
    """The standing of every author seen, most samples before the cut first.

    Args:
        train: samples of the training slice. tuning: of dev and calibration, also before the cut. test:
            after it.
    """
    before = [*train, *tuning]
    authors = {sample.author for sample in (*before, *test) if sample.author}
    trained = Counter(sample.author for sample in train)
    rows = [_standing(author, before, test, trained[author], rule) for author in authors]
    rows.sort(key=lambda row: (-row.samples_before, row.author))
    n_enrolled, done = 0, []
    for row in rows:
        n_enrolled += row.is_enrolled
        is_over = row.is_enrolled and n_enrolled > rule.most_authors
        done.append(
            _refused(row, f"only the {rule.most_authors} with the most samples take part") if is_over else row
        )
    return done


def _standing(
    author: str, before: Sequence[Sample], test: Sequence[Sample], n_train: int, rule: EnrolmentRule
) -> Standing:
    own = [sample for sample in before if sample.author == author]
    own_test = [sample for sample in test if sample.author == author]
    n_commits = len({sample.group for sample in own})
    needs = (
        (len(own), rule.least_samples, "samples before the cut"),
        (n_commits, rule.least_commits, "commits before the cut"),
        (n_train, rule.least_samples // 2, "samples in the training slice"),
        (len(own_test), rule.least_test_samples, "test samples"),
    )
    lacking = [f"{seen} of {least} {what}" for seen, least, what in needs if seen < least]
    return Standing(
        author, len(own), n_commits, len(own_test), len({s.group for s in own_test}), ", ".join(lacking)
    )


def _refused(row: Standing, reason: str) -> Standing:
    return Standing(
        row.author, row.samples_before, row.commits_before, row.test_samples, row.test_commits, reason
    )


def cap_newest(samples: Sequence[Sample], most: int) -> list[Sample]:
    """The newest samples of each author, at most so many, in time order."""
    kept: dict[str, int] = {}
    chosen = []
    for sample in sorted(samples, key=lambda s: (s.written_at, s.group), reverse=True):
        kept[sample.author] = kept.get(sample.author, 0) + 1
        if kept[sample.author] <= most:
            chosen.append(sample)
    return chosen[::-1]


def cap_spread(samples: Sequence[Sample], most: int, seed: int = 0) -> list[Sample]:
    """At most so many samples in all, drawn at random, as evenly over authors as they have them."""
    rng = np.random.default_rng(seed)
    queues: dict[str, list[Sample]] = {}
    for sample in samples:
        queues.setdefault(sample.author, []).append(sample)
    shuffled = [[own[i] for i in rng.permutation(len(own))] for _, own in sorted(queues.items())]
    chosen: list[Sample] = []
    for turn in range(max(map(len, shuffled), default=0)):
        chosen += [own[turn] for own in shuffled if turn < len(own)]
    return sorted(chosen[:most], key=lambda s: (s.written_at, s.group, s.passages[0].path))


def spread_groups(groups: Sequence[str], most: int, seed: int = 0) -> list[str]:
    """At most so many groups, drawn at random, in their order."""
    if len(groups) <= most:
        return list(groups)
    picked = np.sort(np.random.default_rng(seed).choice(len(groups), most, replace=False))
    return [groups[int(i)] for i in picked]


def labels_of(samples: Sequence[Sample], authors: Sequence[str]) -> np.ndarray:
    """Column numbers [n] of the samples' authors."""
    position = {author: i for i, author in enumerate(authors)}
    return np.array([position[sample.author] for sample in samples], dtype=int)


def only_authors(samples: Iterable[Sample], authors: Iterable[str]) -> list[Sample]:
    """The samples of the given authors."""
    wanted = set(authors)
    return [sample for sample in samples if sample.author in wanted]
