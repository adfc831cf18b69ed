from __future__ import annotations

from dataclasses import replace

from fingerprint.passage import Corpus, passage_from_lines
from service.flows.evaluation.halves import deal


def test_every_authors_commits_are_dealt_in_turn_and_kept_whole() -> None:
    passages = []
    for number in range(10):
        author = "ann" if number % 3 else "bob"
        one = passage_from_lines(
            [(True, f"x = {number}")], section="", path="a.py", language="python", group=str(number),
            author=author, written_at=float(number), first_line=1,
        )  # fmt: skip
        passages += [one, replace(one, path="b.py")]
    first, second = deal(Corpus(tuple(passages)))
    assert len(first) + len(second) == 20
    assert not set(first.groups) & set(second.groups)
    for author in ("ann", "bob"):
        sizes = [len(half.where_author(author).groups) for half in (first, second)]
        assert sizes[0] - sizes[1] in {0, 1}
    assert first.groups == ("0", "1", "4", "6", "7")
