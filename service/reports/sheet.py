"""A titled table of plain cells: for the terminal and for Markdown, from the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from service.reports.escape import visible


@dataclass(frozen=True)
class Sheet:
    """A titled table of plain cells; the first column names the rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    n_names: int = 1
    """Columns that hold words: flush left."""

    def to_table(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold", pad_edge=False)
        for number, column in enumerate(self.columns):
            table.add_column(
                Text(column), justify="left" if number < self.n_names else "right", overflow="fold"
            )
        for row in self.rows:
            table.add_row(*(Text(_plain(cell)) for cell in row))
        return table

    def to_markdown(self) -> str:
        """A Markdown table below its title."""
        lines = [f"**{self.title}**", "", _line(self.columns), _line(["---"] * len(self.columns))]
        return "\n".join(lines + [_line([_plain(cell) for cell in row]) for row in self.rows]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else visible(str(cell))
