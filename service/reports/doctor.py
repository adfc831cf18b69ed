"""The doctor's findings as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from connectors.github.doctor import Finding, State
from service.reports.escape import visible

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.UNKNOWN: "dim"}


def render(findings: Sequence[Finding]) -> Table:
    """One row a check; the advice stands below what was seen."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("check")
    table.add_column("")
    table.add_column("seen")
    for found in findings:
        seen = Text(visible(found.seen))
        if found.advice:
            seen.append(f"\n{visible(found.advice)}", style="italic")
        table.add_row(Text(visible(found.name)), Text(found.state, style=_STYLES[found.state]), seen)
    return table
