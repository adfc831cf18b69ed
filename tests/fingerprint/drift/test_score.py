"""The planted toy end to end: foreign flagged, own not, and every way not to be scored."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from fingerprint.drift.reference import build_team_signature
from fingerprint.drift.score import score_passages
from fingerprint.drift.team_lines import TeamLines
from fingerprint.passage import Passage, passage_from_lines
from fingerprint.report import DiffFacts, DriftReport, Verdict

NAMES = "index value first second point print add self".split()


def own(rng: random.Random) -> str:
    return f"self.{rng.choice(NAMES)} = {rng.choice(NAMES)}({rng.choice(NAMES)})"


def foreign(rng: random.Random) -> str:
    return f"var {rng.choice(NAMES)} := {rng.choice(NAMES)}[{rng.choice(NAMES)}];"


def hunk(line, seed: int, n: int = 6, *, path: str = "new.py", language: str = "python") -> Passage:
    rng = random.Random(seed)
    lines = [(False, "def add(first, second):"), *((True, line(rng)) for _ in range(n))]
    return passage_from_lines(lines, path=path, language=language, section="class Point:", first_line=10)


def score(toy, passages: list[Passage], config=None, **options) -> DriftReport:
    return score_passages(
        passages,
        routed=toy.routed,
        team_weights=toy.team_weights,
        signature=toy.signature,
        config=config or toy.config,
        **options,
    )


def test_own_is_typical_and_foreign_unusual(toy) -> None:
    plain = toy.config.model_copy(update={"explained_hunks": 0})
    mine = [score(toy, [hunk(own, seed, 8)], config=plain) for seed in range(12)]
    theirs = [score(toy, [hunk(foreign, seed, 8)], config=plain) for seed in range(3)]
    assert all(report.verdict is Verdict.UNUSUAL for report in theirs)
    assert sum(report.verdict is Verdict.UNUSUAL for report in mine) <= 2
    assert {len(report.hunks) for report in (*mine, *theirs)} == {1}, "hunks are told, explained or not"
    p_values = [report.evidence.p_value for report in mine if report.evidence]
    assert np.mean(p_values) > 0.3


def test_the_foreign_hunk_ranks_first_and_is_explained(toy) -> None:
    team_lines = TeamLines.of(toy.slices.train)
    report = score(
        toy,
        [hunk(own, 1), hunk(foreign, 2, path="odd.py"), hunk(own, 3)],
        team_lines=team_lines,
        null_weights=toy.null_weights,
    )
    first = report.hunks[0]
    assert first.path == "odd.py"
    assert first.percentile > 0.9
    assert first.header == "class Point:"
    assert first.gap_nats is not None
    assert first.gap_bound_nats is not None
    assert abs(first.gap_nats) <= first.gap_bound_nats
    assert sum(share.nats for share in first.shares) == pytest.approx(
        first.log_ratio + first.gap_nats, abs=1e-3
    )
    assert sum(line.log_ratio for line in first.lines) == pytest.approx(first.log_ratio, abs=1e-3)
    assert first.base_log_prob is not None
    assert first.base_log_prob < 0
    assert [line.line for line in first.lines] == list(range(11, 17))
    assert sum(line.n_tokens for line in first.lines) == first.n_tokens
    by_site = {share.site: share.nats for share in first.shares}
    assert len(first.routes) == 10 and {route.site for route in first.routes} <= set(by_site)
    assert all(route.route is not None for route in first.routes)
    assert [abs(one.nats) for one in first.tokens] == sorted(
        (abs(one.nats) for one in first.tokens), reverse=True
    )
    line = next(line for line in first.lines if line.line == first.tokens[0].line)
    of_line = [one.nats for one in first.tokens if one.line == line.line]
    assert len(of_line) < line.n_tokens or sum(of_line) == pytest.approx(line.log_ratio, abs=1e-3)
    assert abs(first.tokens[0].nats) >= abs(line.log_ratio) / line.n_tokens
    shifts = [finding.shift for finding in first.findings]
    assert "var" in {shift.text for shift in shifts}
    assert "self" in {shift.expected[0].text for shift in shifts}
    assert max(len(shift.base_expected) for shift in shifts) > 1, "both models' guesses, not the first alone"
    assert all(
        [guess.probability for guess in guesses] == sorted((g.probability for g in guesses), reverse=True)
        for shift in shifts
        for guesses in (shift.expected, shift.base_expected)
    )
    assert any("self." in line.text for finding in first.findings for line in finding.team_lines)
    assert len({shift.line for shift in shifts}) == len(shifts)
    assert report.evidence is not None
    assert report.evidence.null_p_value is not None
    assert DriftReport.model_validate_json(report.model_dump_json()) == report


def test_each_part_of_the_score_stands_beside_it(toy) -> None:
    plain = toy.config.model_copy(update={"explained_hunks": 0})
    for kind in (own, foreign):
        evidence = score(toy, [hunk(kind, 3, 8)], config=plain).evidence
        assert evidence is not None
        assert [part.name for part in evidence.parts] == ["routes", "n-grams"]
        assert sum(part.score for part in evidence.parts) == pytest.approx(evidence.score * 2**0.5)
        assert sum(part.share for part in evidence.parts) == pytest.approx(1)
        is_foreign = kind is foreign
        assert all((part.p_value <= 0.05) == is_foreign for part in evidence.parts)


def test_the_routes_alone_are_the_same_in_either_view(toy) -> None:
    routes_only = toy.config.model_copy(update={"view": "routes"})
    signature = build_team_signature(
        toy.slices, routed=toy.routed, team_weights=toy.team_weights, config=routes_only,
        provenance=toy.signature.provenance, authors=("ann",), foreign=toy.foreign,
    )  # fmt: skip
    plain = toy.config.model_copy(update={"explained_hunks": 0})
    fused = score(toy, [hunk(foreign, 3, 8)], config=plain).evidence
    alone = score_passages(
        [hunk(foreign, 3, 8)], routed=toy.routed, team_weights=toy.team_weights, signature=signature,
        config=routes_only,
    ).evidence  # fmt: skip
    assert fused is not None and alone is not None
    assert [part.name for part in alone.parts] == ["routes"]
    assert alone.score == pytest.approx(fused.parts[0].score)
    assert alone.p_value == pytest.approx(fused.parts[0].p_value)


def test_the_answer_does_not_depend_on_batches(toy) -> None:
    texts = [hunk(own, 1), hunk(foreign, 2, 3), hunk(own, 3, 9)]
    whole = score(toy, texts)
    narrow = dataclasses.replace(toy.signature)
    config = toy.config.model_copy(update={"batch_tokens": 64})
    again = score_passages(
        texts, routed=toy.routed, team_weights=toy.team_weights, signature=narrow, config=config
    )
    assert whole.evidence is not None
    assert again.evidence is not None
    assert again.evidence.score == pytest.approx(whole.evidence.score, rel=1e-3)


@pytest.mark.parametrize(
    ("passages", "facts", "reason"),
    [
        ([hunk(own, 1, 1)], DiffFacts(), "too little text: "),
        ([], DiffFacts(n_deleted=3), "deletion only: 3 lines deleted"),
        ([], DiffFacts(n_renamed=2), "rename only: 2 files"),
        ([], DiffFacts(unknown_languages=("x.zig",)), "unknown language: x.zig"),
        (
            [],
            DiffFacts(dropped={"vendored": 9}),
            "no added code is left after leaving out 9 lines (vendored)",
        ),
        ([], DiffFacts(), "the diff adds no code"),
        (
            [hunk(own, 1, 9, language="go")],
            DiffFacts(),
            "the diff is in go; the team has code in python only",
        ),
    ],
)
def test_not_scored_with_its_reason(toy, passages, facts, reason) -> None:
    report = score(toy, passages, facts=facts)
    assert report.verdict is Verdict.NOT_SCORED
    assert report.reason.startswith(reason)
    assert report.evidence is None
    assert report.hunks == ()


def test_too_little_text_names_both_numbers(toy) -> None:
    assert "scored tokens, need 60" in score(toy, [hunk(own, 1, 1)]).reason


def test_no_signature_is_not_scored(toy) -> None:
    report = score_passages(
        [hunk(own, 1)], routed=toy.routed, team_weights=None, signature=None, config=toy.config
    )
    assert report.verdict is Verdict.NOT_SCORED
    assert "no signature" in report.reason
    assert report.n_lines == 6


def test_other_languages_are_left_out_and_named(toy) -> None:
    report = score(toy, [hunk(own, 1, 9), hunk(own, 2, 4, language="go", path="a.go")])
    assert report.verdict is not Verdict.NOT_SCORED
    assert report.dropped == {"the team has no go code": 4}
