"""A diff beside its answer: hunks in the order of their drift, every line with what it adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.contribution import FilePatch, FileStatus, Hunk
from fingerprint.report import DriftReport, Finding, HunkDrift
from service.reports.pages.highlight import MarkedSpan, Piece, pieces_of

LEVELS = (0.5, 2.0, 5.0, 10.0)
"""Nats of one line from which the gutter is a shade darker."""
MOST_LINES = 400
"""Lines of a hunk that are shown; a longer one is cut, and says so."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a hunk.

    Attributes:
        kind: "plus", "minus" or "same". old, new: line numbers, 0 on the side where it is not.
        drift: log p_team - log p_base of the line, None when nothing of it was scored. level: class of the
            gutter, such as "a3" (away from the team) or "t1" (towards it).
    """

    kind: str
    old: int
    new: int
    pieces: tuple[Piece, ...]
    drift: float | None = None
    level: str = "none"


@dataclass(frozen=True, slots=True)
class HunkView:
    """One hunk of the diff with its part of the answer.

    Attributes:
        name: id on the page. path, old_path, section, first_line. drifts: what was scored of it, most
            drifting first, () for a hunk that was left out. rows: shown lines. n_hidden: lines not shown.
        findings: (id, finding), the most telling first.
    """

    name: str
    path: str
    old_path: str
    section: str
    first_line: int
    drifts: tuple[HunkDrift, ...]
    rows: tuple[Row, ...]
    n_hidden: int
    findings: tuple[tuple[str, Finding], ...]

    @property
    def percentile(self) -> float | None:
        """Of the most drifting part."""
        return max((drift.percentile for drift in self.drifts), default=None)

    @property
    def n_tokens(self) -> int:
        """Scored tokens of all parts."""
        return sum(drift.n_tokens for drift in self.drifts)

    @property
    def log_ratio(self) -> float:
        """Of all parts, nats."""
        return sum(drift.log_ratio for drift in self.drifts)


def view_diff(
    patches: Sequence[FilePatch], report: DriftReport
) -> tuple[tuple[HunkView, ...], tuple[HunkView, ...]]:
    """(scored hunks, most drifting first; hunks that were left out, in the diff's order)."""
    rank = {id(drift): number for number, drift in enumerate(report.hunks)}
    views = []
    for patch, hunk in ((owner, hunk) for owner in patches for hunk in owner.hunks):
        mine = [drift for drift in report.hunks if _is_in(drift, patch, hunk)]
        views.append((min((rank[id(drift)] for drift in mine), default=-1), patch, hunk, mine))
    scored = sorted((view for view in views if view[0] >= 0), key=lambda view: view[0])
    left_out = [view for view in views if view[0] < 0]
    ordered = [_view(f"hunk-{n}", *view[1:]) for n, view in enumerate((*scored, *left_out), 1)]
    return tuple(ordered[: len(scored)]), tuple(ordered[len(scored) :])


def _is_in(drift: HunkDrift, patch: FilePatch, hunk: Hunk) -> bool:
    """A hunk with much context is scored in several parts; each begins inside it."""
    return drift.path == patch.path and hunk.new_start <= drift.first_line < hunk.new_start + max(
        1, hunk.new_count
    )


def _view(name: str, patch: FilePatch, hunk: Hunk, drifts: Sequence[HunkDrift]) -> HunkView:
    findings = [
        (f"{name}-f{number}", finding)
        for number, finding in enumerate((f for drift in drifts for f in drift.findings), 1)
    ]
    rows = list(_rows(hunk, patch.path, drifts, findings))
    return HunkView(
        name, patch.path, patch.old_path if patch.status is FileStatus.RENAMED else "", hunk.section,
        drifts[0].first_line if drifts else hunk.new_start, tuple(drifts), tuple(rows[:MOST_LINES]),
        max(0, len(rows) - MOST_LINES), tuple(findings),
    )  # fmt: skip


def _rows(
    hunk: Hunk, path: str, drifts: Sequence[HunkDrift], findings: Sequence[tuple[str, Finding]]
) -> Iterator[Row]:
    by_line = {line.line: line.log_ratio for drift in drifts for line in drift.lines}
    marks: dict[int, list[MarkedSpan]] = {}
    for mark, finding in findings:
        shift = finding.shift
        end = shift.column + max(1, len(shift.text.rstrip("\n")))
        marks.setdefault(shift.line - max(1, hunk.new_start), []).append(MarkedSpan(shift.column, end, mark))
    new = iter(pieces_of([text[1:] for text in hunk.lines if text[:1] != "-"], path, marks))
    old = iter(pieces_of([text[1:] for text in hunk.lines if text[:1] == "-"], path, {}))
    before, after = max(1, hunk.old_start), max(1, hunk.new_start)
    for text in hunk.lines:
        sign = text[:1]
        if sign == "-":
            yield Row("minus", before, 0, tuple(next(old)))
        elif sign == "+":
            drift = by_line.get(after)
            yield Row("plus", 0, after, tuple(next(new)), drift, level_of(drift))
        else:
            yield Row("same", before, after, tuple(next(new)))
        before += sign != "+"
        after += sign != "-"


def level_of(drift: float | None) -> str:
    """Class of a gutter."""
    if drift is None:
        return "none"
    level = sum(abs(drift) >= least for least in LEVELS)
    return f"{'a' if drift < 0 else 't'}{level}" if level else "none"
