"""Splits S1 to S6 of evaluation.md section 4.3 as row numbers of samples. Pure numpy; torch-free.

Every split has four sides. Train fits models; dev fits what combines them; calibration, the newest before
the test where there is an order in time, fits probabilities and thresholds; test is read once. A commit never
lies on two sides: where a rule would put one there (a group with two authors, or one commit in two projects)
it stays on the latest side only. S1 alone ignores this on purpose: it is the published illusion, kept as a
reference. S3 is primary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int

from fingerprint import FingerprintError
from fingerprint.evaluation.protocol import Sample

Slices = tuple[float, float, float, float]
"""Shares of commits on train, dev, calibration and test; they sum to 1."""
SIDES = ("train", "dev", "calibration", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row numbers of samples on each side, ascending; no row on two sides, some rows on none.

    Attributes:
        name: S1 to S6 of evaluation.md, with what sets it apart.
    """

    name: str
    train: Int[np.ndarray, " a"]
    dev: Int[np.ndarray, " b"]
    calibration: Int[np.ndarray, " c"]
    test: Int[np.ndarray, " d"]

    @property
    def sides(self) -> dict[str, np.ndarray]:
        """The four arrays by name, in the order of SIDES."""
        return {side: getattr(self, side) for side in SIDES}


def leaked_commits(split: Split, samples: Sequence[Sample]) -> list[str]:
    """Commits with samples on more than one side, sorted; empty for every split but S1."""
    sides_of: dict[str, set[str]] = {}
    for side, rows in split.sides.items():
        for row in rows:
            sides_of.setdefault(samples[row].group, set()).add(side)
    return sorted(commit for commit, sides in sides_of.items() if len(sides) > 1)


def split_random_hunks(samples: Sequence[Sample], slices: Slices, seed: int = 0) -> Split:
    """S1: every author's samples at random, commits torn apart. An illusion reference, never a result."""
    _check(samples, slices)
    rng = np.random.default_rng(seed)
    side = np.empty(len(samples), dtype=int)
    for rows in _by(samples, lambda sample: sample.author).values():
        side[rng.permutation(rows)] = _shares(len(rows), slices)
    return _split("S1 random hunk", side, samples)


def split_by_commit(samples: Sequence[Sample], slices: Slices, seed: int = 0) -> Split:
    """S2: every author's commits at random, whole."""
    _check(samples, slices)
    rng = np.random.default_rng(seed)
    side = np.empty(len(samples), dtype=int)
    for rows in _by(samples, lambda sample: sample.author).values():
        commits = sorted({samples[row].group for row in rows})
        order = [commits[i] for i in rng.permutation(len(commits))]
        _place(side, rows, samples, order, slices)
    return _split("S2 commit", _latest_side(side, samples), samples)


def split_by_time(samples: Sequence[Sample], slices: Slices, cut: float | None = None) -> Split:
    """S3, primary: one cut for all. Every train, dev and calibration sample is older than it, no test one is.

    Args:
        slices: before the cut, only the proportions of the first three count.
        cut: seconds since the epoch; None puts it where the share of commits before it is the slices' own.

    A group that straddles the cut (a pull request written on both sides of it) lies on no side.
    """
    _check(samples, slices)
    side = _time_sides(samples, slices, _cut(samples, slices) if cut is None else cut)
    return _split("S3 time", side, samples)


def split_by_author_quantile(samples: Sequence[Sample], slices: Slices) -> Split:
    """S3q, secondary: each author's own commits in time order. Confounded with the era: say so beside it."""
    _check(samples, slices)
    return _split("S3q author quantile", _latest_side(_quantile_sides(samples, slices), samples), samples)


def split_untouched_files(
    samples: Sequence[Sample],
    slices: Slices,
    cut: float | None = None,
    *,
    projects: Sequence[str] | None = None,
    touched: Collection[str] = (),
) -> Split:
    """S4: S3, and of the test only files that no commit touched before the cut.

    Args:
        projects: the project of each sample; a path counts within its own. None means one project.
        touched: further paths known to exist before the cut, for instance from commits that gave no sample;
            with ``projects``, as "project:path".

    A renamed file counts as untouched: paths are all a sample knows.
    """
    _check(samples, slices)
    files = [_within(projects, i, path_of(sample)) for i, sample in enumerate(samples)]
    cut = _cut(samples, slices) if cut is None else cut
    side = _time_sides(samples, slices, cut)
    known = {file for file, sample in zip(files, samples, strict=True) if sample.written_at < cut}
    known |= set(touched)
    is_known = np.array([file in known for file in files])
    side[is_known & (side == SIDES.index("test"))] = -1
    return _split("S4 time and untouched files", side, samples)


def split_by_project(
    samples: Sequence[Sample],
    projects: Sequence[str],
    home: Mapping[str, str],
    slices: Slices,
    *,
    away: Mapping[str, Collection[str]] | None = None,
    name: str = "S5 project",
) -> Split:
    """S5: train, dev and calibration on each author's home project, test on the author's other projects.

    Args:
        projects: the project of each sample.
        home: the project each author is enrolled in; samples of other authors lie on no side.
        away: the projects each author is tested on; None means all others.
        slices: at home, only the proportions of the first three count, in each author's own time order.

    A commit that lies in two projects (one was forked from the other) is tested, not trained on. Text copied
    under another commit is ``samples_of``'s to drop: call it once over all projects.
    """
    _check(samples, slices)
    _match(samples, projects)
    side = np.full(len(samples), -1)
    for author, rows in _by(samples, lambda sample: sample.author).items():
        if author not in home:
            continue
        at_home = [row for row in rows.tolist() if projects[row] == home[author]]
        _place(side, np.array(at_home, dtype=int), samples, _in_time(at_home, samples), (*slices[:3], 0.0))
        for row in rows:
            is_away = projects[row] != home[author] and (
                away is None or projects[row] in away.get(author, ())
            )
            side[row] = SIDES.index("test") if is_away else side[row]
    return _split(name, _latest_side(side, samples), samples)


def project_pairs(
    samples: Sequence[Sample], projects: Sequence[str], slices: Slices, *, least_commits: int = 10
) -> Iterator[Split]:
    """S5 for every ordered pair of projects (A, B) in which two or more authors have enough of both.

    Args:
        least_commits: commits an author needs in A and in B to take part in that pair.
    """
    _match(samples, projects)
    commits: dict[tuple[str, str], set[str]] = {}
    for sample, project in zip(samples, projects, strict=True):
        commits.setdefault((sample.author, project), set()).add(sample.group)
    authors = sorted({author for author, _ in commits if author})
    for first, second in permutations(sorted(set(projects)), 2):
        taking_part = [
            author
            for author in authors
            if min(len(commits.get((author, project), ())) for project in (first, second)) >= least_commits
        ]
        if len(taking_part) > 1:
            home, away = dict.fromkeys(taking_part, first), dict.fromkeys(taking_part, (second,))
            name = f"S5 {first} -> {second}"
            yield split_by_project(samples, projects, home, slices, away=away, name=name)


def path_of(sample: Sample) -> str:
    """The sample's file."""
    return sample.passages[0].path


def directories_of(
    samples: Sequence[Sample], rows: Int[np.ndarray, " n"], projects: Sequence[str] | None = None
) -> list[str]:
    """The directory of each of the rows, within its project: what S6 matches (``directory_concordance``)."""
    return [_within(projects, row, str(PurePosixPath(path_of(samples[row])).parent)) for row in rows.tolist()]


def _check(samples: Sequence[Sample], slices: Slices) -> None:
    if not samples:
        raise FingerprintError("expected samples to split, got none: ingest more history")
    if abs(sum(slices) - 1) > 1e-9 or min(slices) < 0:
        raise FingerprintError(
            f"slices must be four shares that sum to 1 (train, dev, calibration, test), got {slices}"
        )


def _match(samples: Sequence[Sample], projects: Sequence[str]) -> None:
    if len(projects) != len(samples):
        raise FingerprintError(
            f"expected one project name a sample, got {len(projects)} for {len(samples)} samples"
        )


def _within(projects: Sequence[str] | None, row: int, path: str) -> str:
    return path if projects is None else f"{projects[row]}:{path}"


def _by(samples: Sequence[Sample], key: Callable[[Sample], str]) -> dict[str, np.ndarray]:
    """Rows by key, keys sorted, so that nothing depends on the order samples come in but the rows."""
    found: dict[str, list[int]] = {}
    for row, sample in enumerate(samples):
        found.setdefault(key(sample), []).append(row)
    return {name: np.array(found[name], dtype=int) for name in sorted(found)}


def _shares(n: int, slices: Slices) -> np.ndarray:
    """Side of each of n units in order [n], by the cumulative shares."""
    total = sum(slices)
    ends = np.round(np.cumsum(slices) / total * n + 1e-9) if total else np.zeros(4)
    return np.searchsorted(ends, np.arange(n), side="right")


def _place(
    side: np.ndarray, rows: np.ndarray, samples: Sequence[Sample], commits: Sequence[str], slices: Slices
) -> None:
    """Write the side of every row, by its commit's place in the order of commits."""
    side_of = dict(zip(commits, _shares(len(commits), slices).tolist(), strict=True))
    side[rows] = [side_of[samples[row].group] for row in rows]


def _in_time(rows: Collection[int], samples: Sequence[Sample]) -> list[str]:
    """Commits of the rows, by when they were finished."""
    last: dict[str, float] = {}
    for row in rows:
        sample = samples[row]
        last[sample.group] = max(sample.written_at, last.get(sample.group, -np.inf))
    return sorted(last, key=lambda commit: (last[commit], commit))


def _cut(samples: Sequence[Sample], slices: Slices) -> float:
    """When the first commit of the newest share of commits was finished."""
    commits = _in_time(range(len(samples)), samples)
    first = commits[min(round(sum(slices[:3]) * len(commits)), len(commits) - 1)]
    return max(sample.written_at for sample in samples if sample.group == first)


def _time_sides(samples: Sequence[Sample], slices: Slices, cut: float) -> np.ndarray:
    side = np.full(len(samples), -1)
    is_late = np.array([sample.written_at >= cut for sample in samples])
    groups = _by(samples, lambda sample: sample.group).values()
    before = [row for rows in groups if not is_late[rows].any() for row in rows.tolist()]
    side[np.concatenate([rows if is_late[rows].all() else rows[:0] for rows in groups])] = 3
    _place(side, np.array(before, dtype=int), samples, _in_time(before, samples), (*slices[:3], 0.0))
    return side


def _quantile_sides(samples: Sequence[Sample], slices: Slices) -> np.ndarray:
    side = np.full(len(samples), -1)
    for rows in _by(samples, lambda sample: sample.author).values():
        _place(side, rows, samples, _in_time(rows.tolist(), samples), slices)
    return side


def _latest_side(side: np.ndarray, samples: Sequence[Sample]) -> np.ndarray:
    """A commit's rows on its latest side only; its other rows on none."""
    kept = side.copy()
    for rows in _by(samples, lambda sample: sample.group).values():
        kept[rows[side[rows] < side[rows].max()]] = -1
    return kept


def _split(name: str, side: np.ndarray, samples: Sequence[Sample]) -> Split:
    rows = [np.flatnonzero(side == i) for i in range(len(SIDES))]
    empty = [label for label, own in zip(SIDES, rows, strict=True) if not len(own)]
    if empty:
        n_commits = len({sample.group for sample in samples})
        seen = ", ".join(f"{len(own)} {label}" for label, own in zip(SIDES, rows, strict=True))
        raise FingerprintError(
            f"{name}: expected samples on all four sides, got {seen} of {len(samples)}, {n_commits} commits; "
            f"give more history, another cut or larger shares for {' and '.join(empty)}"
        )
    return Split(name, *rows)
