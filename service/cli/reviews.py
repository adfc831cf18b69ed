"""Commands about a diff: score and explain."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, ExitCode, Home, Repo, find_repository, settings_for, show
from service.cli.profiles import Format, FormatOption

if TYPE_CHECKING:
    from connectors.contribution import FilePatch
    from fingerprint.report import DriftReport
    from service.settings import Settings


class FailOn(StrEnum):
    """An outcome that makes the command fail."""

    DRIFT = "drift"
    NOT_SCORED = "not-scored"


Diff = Annotated[str | None, typer.Option("--diff", help="A diff file, or - for standard input.")]
Range = Annotated[str | None, typer.Option("--range", help="base..head (or base...head).")]
Staged = Annotated[bool, typer.Option("--staged", help="What is staged.")]
Fail = Annotated[
    list[FailOn] | None, typer.Option("--fail-on", help="Exit 1 on drift, 3 when not scored. Repeatable.")
]
Hunks = Annotated[int, typer.Option("--hunks", min=0, help="Hunks shown.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (score, explain, backtest):
        app.command()(command)


def score(
    repo: Repo = HERE,
    home: Home = None,
    diff: Diff = None,
    range_: Range = None,
    staged: Staged = False,
    form: FormatOption = Format.TEXT,
    fail_on: Fail = None,
    hunks: Hunks = 5,
) -> None:
    """Say whether a diff routes through the model as this team's code does."""
    report = _review(repo, home, diff, range_, staged=staged)
    _show(report, form, hunks, is_expert=False)
    _end(report, fail_on)


def explain(
    repo: Repo = HERE,
    home: Home = None,
    diff: Diff = None,
    range_: Range = None,
    staged: Staged = False,
    form: FormatOption = Format.TEXT,
    fail_on: Fail = None,
    hunks: Hunks = 5,
) -> None:
    """Score a diff and show the expert view: sites, completeness, context shares, provenance."""
    report = _review(repo, home, diff, range_, staged=staged)
    _show(report, form, hunks, is_expert=True)
    _end(report, fail_on)


def backtest(
    repo: Repo = HERE,
    home: Home = None,
    last: Annotated[int, typer.Option("--last", min=1, help="Merged changes looked at, newest first.")] = 200,
    limit: Annotated[
        float | None,
        typer.Option("--limit", min=0.001, max=0.999, help="Largest acceptable false-alarm rate."),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Score what was merged, and say whether a check may be allowed to fail.

    Everything merged was accepted by people, so whatever is flagged is a false alarm. Changes are steps of
    the branch that is checked out, along first parents: merges, squashes and plain commits.
    """
    import dataclasses
    import json

    from service.cli.console import commits
    from service.flows.backtest import local_changes, reviewing, run_backtest
    from service.flows.review import load_reviewer
    from service.reports.backtest import render_backtest

    settings, repository = settings_for(home), find_repository(repo)
    review = reviewing(load_reviewer(repository, settings))
    with commits("scoring merged changes") as report:
        found = run_backtest(
            local_changes(repository, last), review, limit or settings.gate_false_alarms,
            lambda n_done: report(n_done, last),
        )  # fmt: skip
    facts = {**dataclasses.asdict(found), "rate": found.rate, "is_passed": found.is_passed}
    show(json.dumps(facts, indent=2) + "\n" if form is Format.JSON else render_backtest(found))


def _review(
    repo: Path, home: Path | None, diff: str | None, range_: str | None, *, staged: bool
) -> DriftReport:
    from service.flows.review import review_patches

    settings, repository = settings_for(home), find_repository(repo)
    patches = _read(repository, settings, diff, range_, staged=staged)
    return review_patches(repository, patches, settings)


def _read(
    repository: Path, settings: Settings, diff: str | None, range_: str | None, *, staged: bool
) -> tuple[FilePatch, ...]:
    """The one diff that the options name.

    Raises:
        ServiceError: none or several are named, or the file cannot be read. ConnectorError: it is no diff.
    """
    from connectors.diff import parse_diff
    from connectors.git.history import diff_range, diff_staged
    from service import ServiceError

    if (diff is not None) + (range_ is not None) + staged != 1:
        raise ServiceError(
            "name one diff: --diff FILE (or - for standard input), --range base..head, or --staged"
        )
    if range_ is not None:
        return diff_range(repository, range_)
    if staged:
        return diff_staged(repository)
    assert diff is not None
    return parse_diff(_read_text(diff, settings.max_diff_bytes))


def _read_text(diff: str, most_bytes: int) -> str:
    from service import ServiceError

    try:
        raw = sys.stdin.buffer.read(most_bytes + 1) if diff == "-" else Path(diff).expanduser().read_bytes()
    except OSError as error:
        raise ServiceError(f"the diff {diff} cannot be read: {error.strerror}") from error
    if len(raw) > most_bytes:
        raise ServiceError(
            f"the diff is larger than {most_bytes:,} bytes; ROUTEPRINT_MAX_DIFF_BYTES raises the limit"
        )
    return raw.decode("utf-8", "replace")


def _show(report: DriftReport, form: Format, hunks: int, *, is_expert: bool) -> None:
    from service.reports import machine, markdown, terminal

    if form is Format.JSON:
        show(machine.render(report))
    elif form is Format.MARKDOWN:
        show(markdown.render(report, n_hunks=hunks, is_expert=is_expert))
    else:
        show(terminal.render(report, n_hunks=hunks, is_expert=is_expert))


def _end(report: DriftReport, fail_on: list[FailOn] | None) -> None:
    """Fail only where the user asked for it."""
    from fingerprint.report import Verdict

    wanted = fail_on or []
    if report.verdict is Verdict.UNUSUAL and FailOn.DRIFT in wanted:
        raise typer.Exit(ExitCode.DRIFT)
    if report.verdict is Verdict.NOT_SCORED and FailOn.NOT_SCORED in wanted:
        raise typer.Exit(ExitCode.NOT_SCORED)
