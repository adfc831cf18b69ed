"""What a profile says of itself, for people and machines. People are listed by name, never ranked."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fingerprint.storage import FrozenModel
from service.reports.escape import code, prose, visible
from service.reports.wording import percent, plural

FORMAT = 1
PURPOSE = (
    "Authors are listed by name. These figures describe how code routes through a model; they say nothing of "
    "how well or how much anyone works, and must not be used to compare or evaluate people."
)
LEGEND = (
    "Losses in nats per token on the author's later code. Everyone's: an adapter trained on as much of the "
    "whole team's code; gain: what the author's own adds; null band: what those of shuffled authors add."
)


class AuthorRow(FrozenModel):
    """One author.

    Attributes:
        key, name: as resolved; kind: "human" or "agent"; tier: tier of the evidence for it ("A" to
            "C", "" when nothing is declared); is_declared: False when only the git name says so.
        n_commits, n_tokens: commits and scored tokens in the training slice.
        n_trained_tokens: scored tokens seen in training, 0 when not trained.
        base_loss, team_loss, author_loss: nats per scored token on the author's dev slice.
        reference_loss: of an adapter trained on as much of everybody's code; the gain is measured from it.
        null_gains: reference loss minus loss of each null adapter, trained on as much of shuffled
            authors' code: the band a gain must leave to mean anything.
        n_missing_tokens: training tokens still missing before the author can be trained.
    """

    key: str
    name: str
    kind: str = "human"
    tier: str = ""
    is_declared: bool = False
    n_commits: int = 0
    n_tokens: int = 0
    n_trained_tokens: int = 0
    base_loss: float | None = None
    team_loss: float | None = None
    reference_loss: float | None = None
    author_loss: float | None = None
    null_gains: tuple[float, ...] = ()
    n_missing_tokens: int = 0


class ProfileSummary(FrozenModel):
    """What a profile rests on.

    Attributes:
        repository: name of the repository; team: what was enrolled, in words.
        signature: digest of the team signature.
        base_loss, team_loss, null_team_loss: nats per scored token on the team's dev slice.
        n_commits: by slice (train, dev, calibration, held-out).
        least_tokens: scored tokens a diff needs; n_calibration: commits behind a p-value.
        alarm_level, realised_false_alarms, n_held_out: how often the team's own held-out commits
            are called unusual.
        ledger: added lines left out, by reason; n_lines: added lines kept.
        languages: scored training tokens by language.
    """

    format: int = FORMAT
    repository: str
    team: str
    signature: str
    base_loss: float
    team_loss: float
    null_team_loss: float | None = None
    n_commits: dict[str, int] = Field(default={})
    n_tokens: int = 0
    n_trained_tokens: int = 0
    n_calibration: int = 0
    least_tokens: int = 0
    alarm_level: float = 0.05
    realised_false_alarms: float | None = None
    n_held_out: int = 0
    ledger: dict[str, int] = Field(default={})
    n_lines: int = 0
    languages: dict[str, int] = Field(default={})
    authors: tuple[AuthorRow, ...] = ()
    provenance: dict[str, str] = Field(default={})
    warnings: tuple[str, ...] = ()

    def only(self, author: str) -> ProfileSummary:
        """The same summary with one author's row."""
        return self.model_copy(update={"authors": tuple(row for row in self.authors if row.key == author)})


HEADINGS = ("author", "kind", "commits", "tokens", "base", "team", "everyone's", "own", "gain", "null band")


def facts(summary: ProfileSummary) -> tuple[tuple[str, str], ...]:
    """The profile's own figures as (name, value) rows."""
    slices = ", ".join(f"{name} {count}" for name, count in summary.n_commits.items())
    null = "" if summary.null_team_loss is None else f", null team adapter {summary.null_team_loss:.3f}"
    alarms = (
        "no held-out commits"
        if summary.realised_false_alarms is None
        else f"{percent(summary.realised_false_alarms)} of {summary.n_held_out} held-out commits at level "
        f"{summary.alarm_level:g}"
    )
    languages = sorted(summary.languages.items(), key=lambda item: (-item[1], item[0]))
    return (
        ("team", summary.team),
        ("commits by slice", slices),
        ("scored tokens", f"{summary.n_tokens:,} to train on, {summary.n_trained_tokens:,} trained"),
        ("languages", ", ".join(f"{name} {count:,}" for name, count in languages)),
        ("loss on dev, nats per token", f"base {summary.base_loss:.3f}, team {summary.team_loss:.3f}{null}"),
        ("calibration commits", str(summary.n_calibration)),
        ("least scored tokens of a diff", str(summary.least_tokens)),
        ("false alarms realised", alarms),
        ("signature", summary.signature[:16]),
    )


def ledger_rows(ledger: dict[str, int], n_lines: int) -> tuple[tuple[str, str], ...]:
    """(reason, lines) rows: kept first, then dropped by reason, most first."""
    dropped = sorted(ledger.items(), key=lambda item: (-item[1], item[0]))
    return (("kept", f"{n_lines:,}"), *((reason, f"{count:,}") for reason, count in dropped))


def author_cells(row: AuthorRow) -> tuple[str, ...]:
    """One author's cells in the order of `HEADINGS`."""
    kind = (
        row.kind + (f" (tier {row.tier})" if row.tier else "") + ("" if row.is_declared else ", undeclared")
    )
    if row.n_missing_tokens:
        own, gain = f"{row.n_missing_tokens:,} more tokens needed", ""
    else:
        own, gain = _loss(row.author_loss), _gain(row.reference_loss, row.author_loss)
    return (
        f"{row.name} <{row.key}>" if row.name != row.key else row.key, kind, f"{row.n_commits:,}",
        f"{row.n_tokens:,}", _loss(row.base_loss), _loss(row.team_loss), _loss(row.reference_loss), own, gain,
        _band(row.null_gains),
    )  # fmt: skip


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _gain(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{before - after:+.3f}".replace("-", "−")


def _band(gains: tuple[float, ...]) -> str:
    if not gains:
        return ""
    low, high = (f"{value:+.3f}".replace("-", "−") for value in (min(gains), max(gains)))
    return low if low == high else f"{low} to {high}"


def alphabetical(rows: tuple[AuthorRow, ...]) -> tuple[AuthorRow, ...]:
    """By name, whatever the figures."""
    return tuple(sorted(rows, key=lambda row: (row.name.casefold(), row.key)))


def render(summary: ProfileSummary) -> RenderableType:
    """The summary for a terminal."""
    parts: list[RenderableType] = [Text(visible(f"Profile of {summary.repository}"), style="bold")]
    parts.append(_grid(facts(summary)))
    parts.extend(Text(f"! {visible(warning)}", style="yellow") for warning in summary.warnings)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("author", "kind") else "right")
    for row in alphabetical(summary.authors):
        table.add_row(*(Text(visible(cell)) for cell in author_cells(row)))
    parts.extend([Text(), table, Text(f"{LEGEND} {PURPOSE}", style="dim italic"), Text()])
    parts.append(Text(f"Added lines: {plural(summary.n_lines, 'line')} kept, the rest left out by reason"))
    parts.append(_grid(ledger_rows(summary.ledger, summary.n_lines)))
    return Group(*parts)


def _grid(rows: tuple[tuple[str, str], ...]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(f"  {visible(name)}", style="dim"), Text(visible(value)))
    return table


def render_markdown(summary: ProfileSummary) -> str:
    """The summary as Markdown."""
    return "\n".join(_markdown(summary)) + "\n"


def _markdown(summary: ProfileSummary) -> Iterator[str]:
    yield from (f"## Profile of {code(summary.repository)}", "")
    yield from ("| | |", "|---|---|")
    yield from (f"| {prose(name)} | {prose(value)} |" for name, value in facts(summary))
    yield from (f"\n> ⚠ {prose(warning)}" for warning in summary.warnings)
    yield from ("", "### Authors", "", LEGEND, "", PURPOSE, "")
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{'---|' * len(HEADINGS)}"
    for row in alphabetical(summary.authors):
        yield f"| {' | '.join(prose(cell) for cell in author_cells(row))} |"
    yield from ("", "### Added lines", "", "| reason | lines |", "|---|---:|")
    yield from (
        f"| {prose(name)} | {value} |" for name, value in ledger_rows(summary.ledger, summary.n_lines)
    )
    yield from ("", "### Provenance", "")
    yield from (f"- {prose(name)}: {code(value)}" for name, value in sorted(summary.provenance.items()))
