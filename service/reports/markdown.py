"""A DriftReport as GitHub-flavoured Markdown; every word of the diff is inert in it."""

from __future__ import annotations

from collections.abc import Iterator

from fingerprint.report import DriftReport, Finding, HunkDrift
from service.reports import wording
from service.reports.escape import code, prose, shorten, summary


def render(report: DriftReport, *, n_hunks: int = 5, is_expert: bool = False) -> str:
    """The whole answer; the arguments mean what they mean for the terminal."""
    lines = [f"**{prose(wording.verdict_line(report))}**", "", prose(wording.reading_sentence(report)) + "."]
    lines.extend(f"\n> ⚠ {prose(warning)}" for warning in report.warnings)
    if report.evidence is not None:
        lines.extend(["", "| | this diff | beside it |", "|---|---|---|"])
        rows = wording.evidence_rows(report.evidence)
        lines.extend(f"| {' | '.join(prose(cell) for cell in row)} |" for row in rows)
    for number, hunk in enumerate(report.hunks[:n_hunks], 1):
        lines.extend(_hunk(number, hunk, is_expert=is_expert))
    if len(report.hunks) > n_hunks:
        lines.extend(["", f"… and {wording.plural(len(report.hunks) - n_hunks, 'hunk')} that drift less."])
    if is_expert:
        lines.extend(_provenance(report))
    lines.extend(["", f"<sub>{wording.MEASURES}</sub>"])
    return "\n".join(lines) + "\n"


def _hunk(number: int, hunk: HunkDrift, *, is_expert: bool) -> Iterator[str]:
    yield ""
    opening = "<details open>" if number == 1 else "<details>"
    yield f"{opening}<summary>{number}. {summary(wording.hunk_place(hunk))}</summary>"
    yield ""
    yield prose(wording.hunk_numbers(hunk)) + "."
    yield ""
    for finding in hunk.findings:
        yield from _finding(finding)
    if is_expert:
        yield from _expert(hunk)
    yield "</details>"


def _finding(finding: Finding) -> Iterator[str]:
    pieces = (
        code(text, 60) if is_code else prose(text) for text, is_code in wording.finding_sentence(finding)
    )
    yield f"- line {finding.shift.line}: {''.join(pieces)}; {prose(wording.control_sentence(finding.shift))}"
    for line in finding.team_lines:
        yield f"  - the team writes {code(line.text.strip(), 100)} in {code(line.path)}"
    yield ""


def _expert(hunk: HunkDrift) -> Iterator[str]:
    if hunk.shares:
        yield from ("| site | nats |", "|---|---:|")
        for share in sorted(hunk.shares, key=lambda share: -abs(share.nats))[:12]:
            name = share.site + ("" if share.route is None else f" route {share.route}")
            kind = " (context)" if share.is_context else ""
            yield f"| {code(name, in_table=True)}{kind} | {wording.nats(share.nats)} |"
        yield ""
    if hunk.gap_nats is not None and hunk.gap_bound_nats is not None:
        yield f"Completeness gap {wording.nats(hunk.gap_nats)} nats, bound {hunk.gap_bound_nats:.2f}."
        yield ""


def _provenance(report: DriftReport) -> Iterator[str]:
    yield from ("", "<details><summary>provenance</summary>", "")
    facts = {**report.provenance, "signature": report.signature or "none", "format": str(report.format)}
    for name, value in sorted(facts.items()):
        yield f"- {prose(name)}: {code(shorten(value, 90))}"
    yield from ("", "</details>")
