from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.protocol import Sample
from fingerprint.evaluation.splits import (
    SIDES,
    Slices,
    Split,
    directories_of,
    leaked_commits,
    project_pairs,
    split_by_author_quantile,
    split_by_commit,
    split_by_project,
    split_by_time,
    split_random_hunks,
    split_untouched_files,
)
from fingerprint.passage import passage_from_lines

SLICES: Slices = (0.5, 0.1, 0.1, 0.3)


def a_sample(author: str, commit: str, at: float, path: str = "a.py") -> Sample:
    text = f"{author} {commit} {path}"
    passage = passage_from_lines(
        [(True, text)], path=path, language="python", group=commit, author=author, written_at=float(at)
    )
    return Sample((passage,), text)


def history(n_commits: int = 40, authors: tuple[str, ...] = ("ann", "bob"), files: int = 3) -> list[Sample]:
    """Commits of the authors in turn, one a day, each touching several files."""
    return [
        a_sample(authors[i % len(authors)], f"c{i:03}", i, f"src/{j}.py")
        for i in range(n_commits)
        for j in range(files)
    ]


def times(split_side: np.ndarray, samples: list[Sample]) -> list[float]:
    return [samples[row].written_at for row in split_side]


def in_order(split: Split, samples: list[Sample]) -> bool:
    sides = [times(own, samples) for own in split.sides.values()]
    return all(max(older) < min(newer) for older, newer in pairwise(sides))


EVERY_RULE: dict[str, Callable[[list[Sample]], Split]] = {
    "S2": lambda samples: split_by_commit(samples, SLICES, seed=3),
    "S3": lambda samples: split_by_time(samples, SLICES),
    "S3q": lambda samples: split_by_author_quantile(samples, SLICES),
}


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_no_commit_and_no_row_lies_on_two_sides(rule) -> None:
    samples = history()
    found = EVERY_RULE[rule](samples)
    assert leaked_commits(found, samples) == []
    assert sorted(np.concatenate(list(found.sides.values()))) == list(range(len(samples)))
    # 40 commits of three samples: the shares exactly
    assert [len(own) for own in found.sides.values()] == [60, 12, 12, 36]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_commit_of_two_authors_stays_on_its_latest_side(rule) -> None:
    samples = history()
    # the first commit of ann's also bears a file of bob's, dated at the end
    shared = [*samples, a_sample("bob", "c000", 100.0, "late.py")]
    found = EVERY_RULE[rule](shared)
    assert leaked_commits(found, shared) == []


def test_random_hunks_leak_and_commits_do_not() -> None:
    samples = history()
    assert len(leaked_commits(split_random_hunks(samples, SLICES), samples)) > 10
    assert leaked_commits(split_by_commit(samples, SLICES), samples) == []


@pytest.mark.parametrize("rule", [split_random_hunks, split_by_commit])
def test_random_splits_are_fixed_by_the_seed_and_even_over_authors(rule) -> None:
    samples = history(80)
    first, again, other = (rule(samples, SLICES, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first.sides[side], again.sides[side]) for side in SIDES)
    assert not np.array_equal(first.train, other.train)
    assert {
        author: sum(samples[row].author == author for row in first.test) for author in ("ann", "bob")
    } == {
        "ann": 36,
        "bob": 36,
    }


def test_time_split_has_one_cut_with_the_newest_before_it_held_back() -> None:
    samples = history()
    found = split_by_time(samples, SLICES)
    assert in_order(found, samples)
    assert times(found.calibration, samples)[::3] == [24.0, 25.0, 26.0, 27.0]
    assert min(times(found.test, samples)) == 28.0


def test_time_split_at_a_given_moment() -> None:
    samples = history()
    found = split_by_time(samples, SLICES, cut=10.0)
    assert max(times(found.calibration, samples)) == 9.0
    assert times(found.test, samples) == sorted([float(i) for i in range(10, 40)] * 3)
    # of ten commits 5/7, 1/7 and 1/7
    assert [len(own) // 3 for own in (found.train, found.dev, found.calibration)] == [7, 2, 1]


def test_commits_at_the_very_cut_are_tested() -> None:
    samples = [a_sample("ann", f"c{i:02}", i // 2) for i in range(40)]
    found = split_by_time(samples, SLICES)
    cut = min(times(found.test, samples))
    assert max(times(found.calibration, samples)) < cut


def test_a_pull_request_across_the_cut_lies_on_no_side() -> None:
    samples = history()
    across = [*samples, a_sample("ann", "pr", 9.0, "x.py"), a_sample("ann", "pr", 11.0, "y.py")]
    found = split_by_time(across, SLICES, cut=10.0)
    assert not {120, 121} & set(np.concatenate(list(found.sides.values())).tolist())


def test_author_quantile_cuts_each_history_by_itself() -> None:
    early = [a_sample("ann", f"a{i}", i) for i in range(20)]
    late = [a_sample("bob", f"b{i}", 1000 + i) for i in range(20)]
    found = split_by_author_quantile(early + late, SLICES)
    assert times(found.test, early + late) == [*range(14, 20), *range(1014, 1020)]
    assert times(found.calibration, early + late) == [12, 13, 1012, 1013]


def test_untouched_files_were_seen_on_no_side_before() -> None:
    samples = history()
    fresh = [a_sample("ann", "c039", 39.0, "new.py"), a_sample("ann", "c038", 38.0, "listed.py")]
    found = split_untouched_files(samples + fresh, SLICES, touched=["listed.py"])
    whole = split_by_time(samples + fresh, SLICES)
    assert found.test.tolist() == [120]
    assert np.array_equal(found.train, whole.train)
    # a path is new in another project
    projects = ["one"] * 121 + ["two"]
    found = split_untouched_files(samples + fresh, SLICES, projects=projects, touched=["one:listed.py"])
    assert found.test.tolist() == [120, 121]


def two_projects() -> tuple[list[Sample], list[str]]:
    samples, projects = [], []
    for project in ("red", "blue"):
        for i in range(40):
            samples.append(a_sample(("ann", "bob")[i % 2], f"{project}{i:02}", i, f"{project}.py"))
            projects.append(project)
    return samples, projects


def test_project_pairs_train_on_one_and_test_on_the_other() -> None:
    samples, projects = two_projects()
    pairs = list(project_pairs(samples, projects, SLICES))
    assert [pair.name for pair in pairs] == ["S5 blue -> red", "S5 red -> blue"]
    for pair, home in zip(pairs, ("blue", "red"), strict=True):
        assert {projects[row] for side in SIDES[:3] for row in pair.sides[side]} == {home}
        assert {projects[row] for row in pair.test} == {"red", "blue"} - {home}
        assert len(pair.test) == 40
        assert leaked_commits(pair, samples) == []
    assert list(project_pairs(samples, projects, SLICES, least_commits=21)) == []


def test_a_pair_takes_only_authors_with_enough_of_both() -> None:
    samples, projects = two_projects()
    samples += [a_sample("cid", f"only{i}", i) for i in range(20)]
    pair = next(project_pairs(samples, projects + ["blue"] * 20, SLICES))
    assert {samples[row].author for side in pair.sides.values() for row in side} == {"ann", "bob"}


def test_each_author_may_have_a_home_of_their_own() -> None:
    samples, projects = two_projects()
    found = split_by_project(samples, projects, {"ann": "red", "bob": "blue"}, SLICES)
    assert {(samples[row].author, projects[row]) for row in found.train} == {("ann", "red"), ("bob", "blue")}
    assert {(samples[row].author, projects[row]) for row in found.test} == {("ann", "blue"), ("bob", "red")}


def test_a_commit_carried_into_a_fork_is_not_trained_on() -> None:
    samples, projects = two_projects()
    passage = samples[0].passages[0]
    carried = Sample((replace(passage, path="copy.py"),), samples[0].text)
    found = split_by_project([*samples, carried], [*projects, "blue"], {"ann": "red"}, SLICES)
    assert 0 not in found.train
    assert 80 in found.test


def test_directories_are_the_files_own() -> None:
    samples = [a_sample("ann", "c", 0, path) for path in ("a.py", "src/b.py", "src/deep/c.py")]
    assert directories_of(samples, np.arange(3)) == [".", "src", "src/deep"]
    assert directories_of(samples, np.array([1]), ["p", "q", "p"]) == ["q:src"]


def test_bad_input_says_what_to_do() -> None:
    samples = history()
    with pytest.raises(FingerprintError, match="ingest more history"):
        split_by_time([], SLICES)
    with pytest.raises(FingerprintError, match="sum to 1"):
        split_by_time(samples, (0.5, 0.1, 0.1, 0.1))
    with pytest.raises(FingerprintError, match=r"0 test .*larger shares for test"):
        split_by_time(samples, SLICES, cut=1e6)
    with pytest.raises(FingerprintError, match="3 for 120 samples"):
        list(project_pairs(samples, ["a", "b", "c"], SLICES))
