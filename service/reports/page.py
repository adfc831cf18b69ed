"""Sentences and tables, rendered for a terminal or as Markdown: for readings that are mostly figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from service.reports.escape import prose, visible


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first ``n_left`` columns are words, the others figures.

    Attributes:
        title: what the rows are. headings, rows: cells as text. note: what a reader must know of them.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    n_left: int = 1


@dataclass(frozen=True)
class Page:
    """An answer: a title, what it says in sentences, and its tables; warnings come first."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    warnings: tuple[str, ...] = ()


def render(page: Page) -> RenderableType:
    """For a terminal."""
    parts: list[RenderableType] = [Text(visible(page.title), style="bold")]
    parts += [Text(f"! {visible(warning)}", style="yellow") for warning in page.warnings]
    parts += [Text(visible(sentence)) for sentence in page.sentences]
    for table in page.tables:
        parts += [Text(), Text(visible(table.title), style="bold dim"), _grid(table)]
        if table.note:
            parts.append(Text(visible(table.note), style="dim italic"))
    return Group(*parts)


def _grid(table: Table) -> RenderableType:
    grid = Grid(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for number, heading in enumerate(table.headings):
        grid.add_column(heading, justify="left" if number < table.n_left else "right")
    for row in table.rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    return grid


def render_markdown(page: Page) -> str:
    """The same as Markdown."""
    return "\n".join(_markdown(page)) + "\n"


def _markdown(page: Page) -> Iterator[str]:
    yield from (f"## {prose(page.title)}", "")
    yield from (f"> ⚠ {prose(warning)}\n" for warning in page.warnings)
    yield from (f"{prose(sentence)}\n" for sentence in page.sentences)
    for table in page.tables:
        yield from (f"### {prose(table.title)}", "", f"| {' | '.join(map(prose, table.headings))} |")
        yield "|" + "".join("---|" if n < table.n_left else "---:|" for n in range(len(table.headings)))
        yield from (f"| {' | '.join(map(prose, row))} |" for row in table.rows)
        yield from ("", prose(table.note), "") if table.note else ("",)
