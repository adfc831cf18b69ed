"""What was read from a history: authors with the evidence for them, and the ledger of what was left out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from connectors.identity.author import Author
from connectors.ledger import Ledger, Tally
from service.reports.escape import shorten, visible


def render_authors(authors: Sequence[Author]) -> RenderableType:
    """A table of authors in alphabetical order."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for heading in ("author", "key", "kind", "tier", "aliases", "evidence"):
        table.add_column(heading, no_wrap=heading in ("author", "key"), overflow="fold")
    for author in sorted(authors, key=lambda author: (author.name.casefold(), author.key)):
        aliases = ", ".join(f"{alias.name} <{alias.email}>" for alias in author.aliases)
        evidence = ", ".join(dict.fromkeys(f"{item.kind}: {item.text}" for item in author.evidence))
        cells = (author.name, author.key, author.kind.value, author.tier.value, aliases, evidence)
        table.add_row(*(Text(shorten(visible(cell), 80)) for cell in cells))
    return table


def render_ledger(ledger: Ledger) -> RenderableType:
    """Lines, files and commits: kept first, then left out by reason, most lines first."""
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("added lines")
    for heading in ("lines", "whole files", "whole commits"):
        table.add_column(heading, justify="right")
    table.add_row("kept", *_counts(ledger.kept))
    for reason, tally in sorted(ledger.dropped.items(), key=lambda item: (-item[1].lines, item[0].value)):
        table.add_row(Text(f"left out: {reason.value}"), *_counts(tally))
    return table


def _counts(tally: Tally) -> tuple[str, str, str]:
    return f"{tally.lines:,}", f"{tally.files:,}", f"{tally.commits:,}"
