"""An evaluation as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fingerprint.evaluation.results import Evaluation, Figure


def render(found: Evaluation) -> Iterator[RenderableType]:
    """Every table that has rows, then the notes."""
    yield Text(f"\n{found.repository} against {found.foreign or 'nothing'}: {_dates(found)}\n", style="bold")
    yield _table(
        "authors", ("author", "samples before", "commits", "test samples", "commits", "left out because"),
        [(r.author, r.samples_before, r.commits_before, r.test_samples, r.test_commits, r.reason) for r in
        found.authors],
    )  # fmt: skip
    yield _table(
        "adapters (dev loss, nats a token)",
        ("adapter", "tokens seen", "distinct", "epochs", "base", "team", "own"),
        [
            (f"{r.kind} {r.name}" if r.kind != r.name else r.name, r.scored_tokens, r.text_tokens, r.epochs,
             _loss(r.base_loss), _loss(r.team_loss), _loss(r.own_loss))
            for r in found.adapters
        ],
    )  # fmt: skip
    if found.losses is not None:
        yield _loss_matrix(found)
    yield from _attribution(found)
    yield from _detection(found)
    for line in (*found.notes, f"seconds by phase: {_facts(found.seconds)}"):
        yield Text(f"- {line}", style="dim")


def _attribution(found: Evaluation) -> Iterator[RenderableType]:
    systems = (found.attribution, "attribution on the time split"), (found.null_attribution, "null adapters")
    for rows, title in systems:
        if rows:
            yield _table(
                title, ("system", "unit", "n", "K", "AUROC", "balanced top-1", "top-3", "EER"),
                [
                    (r.system, r.unit, r.n, r.n_authors, _figure(r.auroc), _figure(r.balanced),
                    _share(r.top3), _share(r.eer)) for r in rows
                ],
            )  # fmt: skip
    if found.contrasts:
        yield _table(
            "paired differences in AUROC", ("first", "minus", "unit", "difference"),
            [(r.first, r.second, r.unit, _figure(r.auroc)) for r in found.contrasts],
        )  # fmt: skip


def _detection(found: Evaluation) -> Iterator[RenderableType]:
    for against in dict.fromkeys(row.against for row in found.detection):
        yield _table(
            f"{against} against the team's later code",
            ("system", "unit", "team", "theirs", "AUROC", "TPR at 1 % FPR", "at 5 %"),
            [
                (r.system, r.unit, r.n_team, r.n_strangers, _figure(r.auroc), _share(r.tpr_at_1),
                _share(r.tpr_at_5)) for r in found.detection if r.against == against
            ],
        )  # fmt: skip
    if found.flagged:
        yield _table(
            "flagged by the conformal p-value", ("commits", "level", "flagged", "share", "95 % interval"),
            [
                (r.who, f"{r.level:g}", f"{r.n_flagged} of {r.n}", _share(r.share), _range(r.low, r.high))
                for r in found.flagged
            ],
        )  # fmt: skip
    if found.drift:
        yield Text(f"drift: {_facts(found.drift)}", style="dim")


def _loss_matrix(found: Evaluation) -> Table:
    losses = found.losses
    assert losses is not None
    title = (
        f"dev loss of every adapter (rows) on every author's code (columns); own adapter best for "
        f"{losses.n_diagonal_least} of {len(losses.columns)}"
    )
    rows = [
        (name, *(_loss(value) for value in values))
        for name, values in zip(losses.rows, losses.values, strict=True)
    ]
    return _table(title, ("", *(column.partition(":")[2] for column in losses.columns)), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    return table


def _dates(found: Evaluation) -> str:
    history = found.history
    before = f"train from {history['train_from']} ({history['train_commits']} commits)"
    after = f"last {history['last']} ({history['test_commits']} commits after the cut)"
    return f"{before}, cut {history['test_from']}, {after}"


def _range(low: float, high: float) -> str:
    return f"{low:.3f} - {high:.3f}"


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} - {figure.high:.3f})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _facts(facts: dict[str, float] | dict[str, float | int | str | None]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in facts.items()
    )
