"""An author left out, from scores that are known."""

from __future__ import annotations

import numpy as np

from fingerprint.evaluation.novelty import LAMBDA, NEIGHBOURS
from fingerprint.evaluation.protocol import Sample
from fingerprint.evaluation.systems import SIZE
from fingerprint.passage import Passage
from service.flows.evaluation.sequences import AGAINST as OTHERS
from service.flows.evaluation.unseen import Scored, rows_of, sequences_of


def _sample(author: str, commit: int, path: str) -> Sample:
    text = "x = 1\n"
    passage = Passage(
        text=text, spans=((0, len(text)),), path=path, language="python", author=author,
        group=f"{author}-{commit}", written_at=float(commit),
    )  # fmt: skip
    return Sample((passage,), text)


def _scored(n_commits: int, shift: float) -> Scored:
    """Three authors' commits of two files each; what the left-out one writes is further away."""
    rng = np.random.default_rng(0)
    samples = [
        _sample(author, commit, path)
        for author in ("ann", "bob", "new") for commit in range(n_commits) for path in ("a.py", "b.py")
    ]  # fmt: skip
    is_new = np.array([sample.author == "new" for sample in samples])
    far = rng.normal(0, 1, len(samples)) + shift * is_new
    sizes = rng.integers(20, 400, len(samples)).astype(float)
    return Scored("new", samples, {LAMBDA: far, NEIGHBOURS: -far, SIZE: -sizes}, sizes)


def test_every_unit_has_its_rows_and_larger_units_tell_more():
    found = {(row.system, row.unit): row for row in rows_of(_scored(60, 1.0), 1, 50)}
    assert {unit for _, unit in found} == {"hunk", "commit", "ten commits"}
    by_unit = [found[LAMBDA, unit] for unit in ("hunk", "commit", "ten commits")]
    assert [(row.n_team, row.n_strangers) for row in by_unit] == [(240, 120), (120, 60), (12, 6)]
    areas = [row.auroc.value or 0 for row in by_unit]
    assert areas[0] < areas[1] < areas[2]
    assert abs(areas[0] + (found[NEIGHBOURS, "hunk"].auroc.value or 0) - 1) < 1e-9
    assert abs((found[SIZE, "commit"].auroc.value or 0) - 0.5) < 0.15
    assert by_unit[0].matched is not None and by_unit[2].matched is None


def test_a_commit_is_weighed_by_its_tokens():
    scored = _scored(3, 0)
    commits = scored.commits
    rows = [i for i, sample in enumerate(scored.samples) if sample.group == commits.names[4]]
    weights, values = scored.sizes[rows], scored.novelty[LAMBDA][rows]
    assert np.isclose(commits.novelty[LAMBDA][4], (weights * values).sum() / weights.sum())
    assert np.isclose(commits.sizes[4], weights.sum())
    assert (commits.authors[4], commits.written_at[4]) == ("bob", 1)


def test_few_commits_are_judged_by_hunk_alone():
    assert {row.unit for row in rows_of(_scored(8, 1.0), 1, 50)} == {"hunk"}


def test_streams_are_held_against_older_commits_of_others():
    found = {(row.who, row.part): row for row in sequences_of([_scored(100, 3.0)])}
    theirs, stayed = found["unseen authors", LAMBDA], found["unseen authors: those who stayed", LAMBDA]
    # the first stream of each has nobody before it, the second of those who stayed twenty commits
    assert (theirs.n_streams, theirs.n_authors, theirs.against) == (4, 1, OTHERS)
    assert (stayed.n_streams, stayed.n_authors) == (6, 2)
    assert theirs.found.value == 1
    assert (stayed.found.value or 0) < 0.4
    assert found["unseen authors", NEIGHBOURS].found.value == 0
