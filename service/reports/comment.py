"""A DriftReport as the one comment on a pull request. Pure; every word of the diff is inert in it."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.github.comments import MAX_BODY_BYTES
from fingerprint.report import DriftReport, HunkDrift, Verdict
from service.reports import wording
from service.reports.check import score_table
from service.reports.clip import clip
from service.reports.escape import code, prose
from service.reports.place import Place
from service.repository_config import Stage

MAX_HUNKS = 3
_COMMANDS = (
    "People with write permission can say `/routeprint score`, `/routeprint explain`, `/routeprint accept` "
    "or `/routeprint ignore <reason>`."
)


def wants_comment(report: DriftReport, stage: Stage, *, has_comment: bool) -> bool:
    """Whether there is something to say: a finding, or a comment of ours that would be out of date."""
    if stage is Stage.OBSERVE:
        return False
    return has_comment or report.verdict is Verdict.UNUSUAL


def render_comment(
    report: DriftReport, place: Place, *, is_accepted: bool = False, is_explained: bool = False
) -> str:
    """The comment's body, without its marker; one line when nothing stands out (any more).

    Args:
        is_explained: somebody asked for more: every hunk that was explained, not the first three.
    """
    title = prose(wording.check_title(report, is_accepted=is_accepted))
    is_short = report.verdict is not Verdict.UNUSUAL or is_accepted
    if is_short and not is_explained:
        return f"**Routeprint**: {title} ({code(place.head_sha[:7])}){_report_link(place)}\n"
    lines = [f"**Routeprint**: {title}", "", prose(wording.change_sentence(report, is_accepted=is_accepted))]
    lines.extend(f"\n> ⚠ {prose(warning)}" for warning in report.warnings)
    lines.extend(score_table(report))
    for rank, hunk in enumerate(report.hunks if is_explained else _leading(report), 1):
        lines.extend(_hunk(rank, hunk, place))
    lines.extend(["", f"<sub>Commit {code(place.head_sha[:7])}{_report_link(place)}. {_COMMANDS}</sub>"])
    lines.extend(["", f"<sub>{wording.MEASURES}</sub>"])
    return clip("\n".join(lines) + "\n", MAX_BODY_BYTES)


def _leading(report: DriftReport) -> tuple[HunkDrift, ...]:
    """The hunks that stand out, three at most; the first one when none does by itself."""
    standing = [hunk for hunk in report.hunks if hunk.percentile > wording.STANDS_OUT]
    return tuple(standing[:MAX_HUNKS]) or report.hunks[:1]


def _report_link(place: Place) -> str:
    return "" if place.report_url is None else f" · [report]({place.report_url})"


def _hunk(rank: int, hunk: HunkDrift, place: Place) -> Iterator[str]:
    yield ""
    yield f"**{rank}.** {place.line_link(hunk.path, hunk.first_line)}: {prose(wording.hunk_numbers(hunk))}"
    yield ""
    for finding in hunk.findings:
        pieces = (
            code(text, 60) if is_code else prose(text) for text, is_code in wording.finding_sentence(finding)
        )
        yield f"- line {finding.shift.line}: {''.join(pieces)}"
        for line in finding.team_lines:
            yield f"  - the team writes {code(line.text.strip(), 100)} in {code(line.path)}"
