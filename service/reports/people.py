"""Authors and the evidence for them, by name."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from connectors.identity.author import Author
from service.reports.escape import shorten, visible


def render_authors(authors: Sequence[Author]) -> RenderableType:
    """A table of authors in alphabetical order."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for heading in ("author", "key", "kind", "tier", "aliases", "evidence"):
        table.add_column(heading)
    for author in sorted(authors, key=lambda author: (author.name.casefold(), author.key)):
        aliases = ", ".join(f"{alias.name} <{alias.email}>" for alias in author.aliases)
        evidence = ", ".join(dict.fromkeys(f"{item.kind}: {item.text}" for item in author.evidence))
        cells = (author.name, author.key, author.kind.value, author.tier.value, aliases, evidence)
        table.add_row(*(Text(shorten(visible(cell), 80)) for cell in cells))
    return table
