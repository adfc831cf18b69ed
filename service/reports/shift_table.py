"""The next-token table of a prompt."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fingerprint.labels.label import visible_token
from fingerprint.report import ShiftTable
from service.reports.escape import code, prose, visible
from service.reports.wording import probability


def render(table: ShiftTable) -> RenderableType:
    """For a terminal: a row a token, a column a state, the distance from the first state below."""
    grid = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    grid.add_column("next token")
    for column in table.columns:
        grid.add_column(Text(visible(column)), justify="right")
    for row in table.rows:
        token = Text(visible(visible_token(row.text)), style="cyan")
        grid.add_row(token, *(probability(value) for value in row.probabilities))
    grid.add_row(Text("KL, nats", style="dim"), *(f"{value:.3f}" for value in table.kl_nats))
    return Group(Text.assemble(("after ", "dim"), visible(table.prompt)), grid)


def render_markdown(table: ShiftTable) -> str:
    """The same as Markdown."""
    lines = [f"After {code(table.prompt)}:", "", f"| next token | {' | '.join(map(prose, table.columns))} |"]
    lines.append(f"|---|{'---:|' * len(table.columns)}")
    for row in table.rows:
        values = " | ".join(map(probability, row.probabilities))
        lines.append(f"| {code(visible_token(row.text), in_table=True)} | {values} |")
    lines.append(f"| KL, nats | {' | '.join(f'{value:.3f}' for value in table.kl_nats)} |")
    return "\n".join(lines) + "\n"
