"""A DriftReport as rich renderables. Untrusted text only ever enters as `Text`, never as markup."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fingerprint.report import DriftReport, Finding, HunkDrift, Verdict
from service.reports import wording
from service.reports.escape import shorten, visible

_COLOURS = {Verdict.TYPICAL: "bold green", Verdict.UNUSUAL: "bold yellow", Verdict.NOT_SCORED: "bold magenta"}
_LINE_WIDTH = 110


def render(report: DriftReport, *, n_hunks: int = 5, is_expert: bool = False) -> RenderableType:
    """The whole answer.

    Args:
        n_hunks: hunks shown, most drifting first.
        is_expert: also show sites and routes, completeness per hunk, and provenance.
    """
    parts: list[RenderableType] = [
        Text(visible(wording.verdict_line(report)), style=_COLOURS[report.verdict])
    ]
    parts.append(Text(visible(wording.reading_sentence(report)), style="dim"))
    parts.extend(Text(f"! {visible(warning)}", style="yellow") for warning in report.warnings)
    if report.evidence is not None:
        parts.extend([Text(), _evidence(report)])
    for number, hunk in enumerate(report.hunks[:n_hunks], 1):
        parts.extend(_hunk(number, hunk, is_expert=is_expert))
    if len(report.hunks) > n_hunks:
        rest = wording.plural(len(report.hunks) - n_hunks, "hunk")
        parts.extend([Text(), Text(f"… and {rest} that drift less", style="dim")])
    if is_expert:
        parts.extend(_provenance(report))
    parts.extend([Text(), Text(wording.MEASURES, style="dim italic")])
    return Group(*parts)


def _evidence(report: DriftReport) -> RenderableType:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("this diff")
    table.add_column("beside it", style="dim")
    assert report.evidence is not None
    for row in wording.evidence_rows(report.evidence):
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def _hunk(number: int, hunk: HunkDrift, *, is_expert: bool) -> Iterator[RenderableType]:
    yield Text()
    yield Text(f"{number}. {visible(shorten(wording.hunk_place(hunk), _LINE_WIDTH))}", style="bold")
    yield Padding(Text(wording.hunk_numbers(hunk), style="dim"), (0, 0, 0, 3))
    for finding in hunk.findings:
        yield Padding(_finding(finding), (0, 0, 0, 3))
    if is_expert:
        yield from (Padding(item, (0, 0, 0, 3)) for item in _expert(hunk))


def _finding(finding: Finding) -> RenderableType:
    sentence = Text(f"line {finding.shift.line}: ")
    for piece, is_code in wording.finding_sentence(finding):
        shown = visible(shorten(piece, 60)) if is_code else piece
        sentence.append(f"`{shown}`" if is_code else shown, style="cyan" if is_code else "")
    parts: list[RenderableType] = [sentence]
    parts.append(Text(f"  {wording.control_sentence(finding.shift)}", style="dim"))
    for line in finding.team_lines:
        code = shorten(visible(line.text.strip()), _LINE_WIDTH - 20)
        parts.append(
            Text.assemble(("  the team writes  ", "dim"), (code, "green"), (f"  {visible(line.path)}", "dim"))
        )
    return Group(*parts)


def _expert(hunk: HunkDrift) -> Iterator[RenderableType]:
    if hunk.shares:
        table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
        table.add_column("site")
        table.add_column("nats", justify="right")
        for share in sorted(hunk.shares, key=lambda share: -abs(share.nats))[:12]:
            name = share.site + ("" if share.route is None else f" route {share.route}")
            table.add_row(
                Text(visible(name) + (" (context)" if share.is_context else "")), wording.nats(share.nats)
            )
        yield table
    if hunk.gap_nats is not None and hunk.gap_bound_nats is not None:
        bound = f"gap {wording.nats(hunk.gap_nats)} nats, bound {hunk.gap_bound_nats:.2f}"
        yield Text(f"completeness: {bound}; site sums do not depend on the basis of the routes", style="dim")
    if hunk.lines:
        lines = ", ".join(f"{line.line}: {wording.nats(line.log_ratio)}" for line in hunk.lines[:40])
        yield Text(f"nats by line: {lines}", style="dim")


def _provenance(report: DriftReport) -> Iterator[RenderableType]:
    yield Text()
    yield Text("provenance", style="bold")
    facts = {**report.provenance, "signature": report.signature or "none", "format": str(report.format)}
    for name, value in sorted(facts.items()):
        yield Text(f"   {visible(name)}: {visible(value)}", style="dim")
