from fingerprint.evaluation.protocol import (
    EnrolmentRule,
    cap_newest,
    cap_spread,
    enrol_authors,
    labels_of,
    only_authors,
    samples_of,
    spread_groups,
)
from fingerprint.passage import Passage, passage_from_lines


def a_passage(
    text: str, *, commit: str = "c1", path: str = "a.py", author: str = "ann", at: float = 0.0
) -> Passage:
    lines = [(True, line) for line in text.splitlines()]
    return passage_from_lines(
        lines, path=path, language="python", group=commit, author=author, written_at=float(at)
    )


def lines(tag: str, n: int = 5) -> str:
    return "\n".join(f"{tag} = {i}" for i in range(n))


def test_a_sample_is_one_file_of_one_commit() -> None:
    found = samples_of([
        a_passage(lines("x", 3)), a_passage(lines("y", 3)),  # two hunks of one file: six lines
        a_passage(lines("z", 4), path="b.py"),  # four lines: too few
        a_passage("q = 1\n\n\n\n\n\n", path="c.py"),  # blank lines do not count
        a_passage(lines("x", 6), commit="c2", at=1),
    ])  # fmt: skip
    assert [(s.group, len(s.passages)) for s in found] == [("c1", 2), ("c2", 1)]
    assert found[0].text == lines("x", 3) + "\n" + lines("y", 3) + "\n"


def test_of_a_repeated_text_the_oldest_stays() -> None:
    found = samples_of([
        a_passage(lines("x"), commit="new", author="bob", at=9), a_passage(lines("x"), commit="old", at=1),
    ])  # fmt: skip
    assert [(s.group, s.author) for s in found] == [("old", "ann")]


def many(author: str, n: int, *, start: float = 0.0) -> list[Passage]:
    return [
        a_passage(lines(f"{author}{start}{i}"), commit=f"{author}{start}-{i}", author=author, at=start + i)
        for i in range(n)
    ]


def test_enrolment_names_what_is_missing() -> None:
    rule = EnrolmentRule(least_samples=3, least_commits=2, least_test_samples=1, most_authors=1)
    train = samples_of(many("ann", 4) + many("bob", 5) + many("cid", 2) + many("dot", 9))
    test = samples_of(many("ann", 1, start=100) + many("bob", 1, start=100) + many("cid", 1, start=100))
    rows = {row.author: row for row in enrol_authors(train, [], test, rule)}
    assert [author for author, row in rows.items() if row.is_enrolled] == ["bob"]
    assert rows["dot"].reason == "0 of 1 test samples"
    assert rows["cid"].reason == "2 of 3 samples before the cut"
    assert rows["ann"].reason == "only the 1 with the most samples take part"
    assert (rows["bob"].samples_before, rows["bob"].commits_before, rows["bob"].test_samples) == (5, 5, 1)


def test_an_author_whose_code_is_all_newer_than_the_training_slice_is_not_enrolled() -> None:
    rule = EnrolmentRule(least_samples=4, least_commits=2, least_test_samples=1)
    train, tuning = samples_of(many("ann", 4) + many("bob", 1)), samples_of(many("bob", 9, start=50))
    test = samples_of(many("ann", 1, start=100) + many("bob", 1, start=100))
    rows = {row.author: row for row in enrol_authors(train, tuning, test, rule)}
    assert rows["ann"].is_enrolled
    assert rows["bob"].reason == "1 of 2 samples in the training slice"


def test_caps_take_the_newest_or_spread_evenly() -> None:
    samples = samples_of(many("ann", 6) + many("bob", 2))
    assert [(s.author, s.written_at) for s in cap_newest(samples, 2)] == [
        ("bob", 0.0), ("bob", 1.0), ("ann", 4.0), ("ann", 5.0),
    ]  # fmt: skip
    spread = cap_spread(samples, 5)
    assert sorted(s.author for s in spread) == ["ann"] * 3 + ["bob"] * 2
    assert [s.written_at for s in spread] == sorted(s.written_at for s in spread)
    assert cap_spread(samples, 5) == spread
    assert len(cap_spread(samples, 99)) == 8


def test_labels_follow_the_order_of_authors() -> None:
    samples = only_authors(samples_of(many("ann", 1) + many("bob", 1) + many("cid", 1)), ["cid", "ann"])
    assert labels_of(samples, ["cid", "ann"]).tolist() == [1, 0]


def test_spread_groups_keeps_order() -> None:
    assert spread_groups(["c", "a", "b"], 5) == ["c", "a", "b"]
    picked = spread_groups([str(i) for i in range(50)], 10)
    assert len(picked) == 10
    assert picked == sorted(picked, key=int)
