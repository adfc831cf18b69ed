"""The demonstration: the main job end to end, on the sample organisation or on any repository."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import (
    Home,
    commits,
    find_repository,
    note,
    notes,
    output,
    settings_for,
    show,
    stages,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fingerprint.config import ProfileConfig
    from fingerprint.report import DriftReport, Finding
    from service.flows.review import Reviewer
    from service.reports.profile_summary import ProfileSummary
    from service.sample.diffs import PlantedSpan, SampleDiff
    from service.sample.organisation import SampleOrganisation
    from service.settings import Settings

N_LEADING = 5
"""Findings of a diff that must lie on planted tokens, by majority."""
FLAGGED_AT, TYPICAL_ABOVE = 0.05, 0.1
DEMO_HOME = Path(".demo")
_N_NEWEST = 6


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    repo: Annotated[
        Path | None, typer.Option("--repo", help="Any git repository; without it, the sample organisation.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which sample organisation.")] = 0,
    home: Home = None,
) -> None:
    """Run the main job: read a history, learn the team, score new diffs, and show the answers.

    Without --repo a sample organisation with known habits is built (under .demo), and the command ends with 1
    unless the answers are the known ones.
    """
    from fingerprint.config import ProfileConfig

    if repo is not None:
        _run_on(find_repository(repo), settings_for(home), ProfileConfig())
        return
    settings = settings_for(home or DEMO_HOME)
    is_right = run_sample(settings, seed, ProfileConfig(base=settings.base, revision=settings.revision))
    if not is_right:
        raise typer.Exit(1)


# ----------------------------------------------------------------------------- the sample organisation


@dataclass(frozen=True)
class DemoRow:
    """One new diff: what was found beside what is true.

    Attributes:
        expected: "typical" or "unusual". n_planted, n_leading: of the leading findings, how many lie on
            tokens of the author's own habits. is_right: the answer is the known one.
    """

    name: str
    report: DriftReport
    expected: str
    n_planted: int
    n_leading: int
    is_right: bool


def run_sample(settings: Settings, seed: int, config: ProfileConfig) -> bool:
    """Build, learn, score, show; whether every answer is the known one."""
    organisation = _build(settings.home / "demo" / f"organisation-{seed}", seed)
    summary = _learn(organisation.path, settings, config)
    from service.flows.review import load_reviewer
    from service.reports.profile_summary import render

    reviewer = load_reviewer(organisation.path, settings)
    rows = [
        judge(name, diff, organisation.expected[name], reviewer.review(diff.text))
        for name, diff in organisation.diffs.items()
    ]
    show(render(summary))
    show(render_rows(rows, organisation))
    return all(row.is_right for row in rows)


def _build(path: Path, seed: int) -> SampleOrganisation:
    from service.sample.organisation import build_sample

    shutil.rmtree(path, ignore_errors=True)  # the same seed gives the same commits, so nothing is read twice
    path.parent.mkdir(parents=True, exist_ok=True)
    with _fractions("building the sample organisation") as report:
        return build_sample(path, seed, progress=report)


@contextmanager
def _fractions(title: str) -> Iterator[Callable[[str, float], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = notes()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda stage, share: progress.update(task, completed=share, description=f"{title}: {stage}")
        progress.update(task, completed=1.0, description=title)
    if not console.is_terminal:
        note(f"{title}: done")


def _learn(repository: Path, settings: Settings, config: ProfileConfig) -> ProfileSummary:
    from service.flows.ingest import ingest
    from service.flows.profile import profile

    with commits() as report:
        ingest(repository, settings, report)
    with stages() as told:
        return profile(repository, settings, config, report=told)


def judge(name: str, diff: SampleDiff, expected: str, report: DriftReport) -> DemoRow:
    """Hold an answer against the truth."""
    leading = leading_findings(report)
    n_planted = sum(planted_habit(path, finding, diff.planted) is not None for path, finding in leading)
    p = None if report.evidence is None else report.evidence.p_value
    if expected == "typical":
        is_right = p is not None and p > TYPICAL_ABOVE
    else:
        is_right = p is not None and p <= FLAGGED_AT and 2 * n_planted > len(leading) > 0
    return DemoRow(name, report, expected, n_planted, len(leading), is_right)


def leading_findings(report: DriftReport, n: int = N_LEADING) -> list[tuple[str, Finding]]:
    """(path, finding) of the places where team and diff part most, over all explained hunks.

    The measure is the exact log-ratio: how much less likely than for the base the diff's token is for the
    team's model. What both models find odd is the text's own doing, not the team's.
    """
    found = [(hunk.path, finding) for hunk in report.hunks for finding in hunk.findings]
    return sorted(found, key=lambda item: item[1].shift.log_ratio)[:n]


def planted_habit(path: str, finding: Finding, planted: tuple[PlantedSpan, ...]) -> str | None:
    """The author's own habit that a finding lies on, or None."""
    shift = finding.shift
    end = shift.column + max(1, len(shift.text.rstrip("\n")))
    for span in planted:
        is_here = span.path == path and span.line == shift.line
        if (
            is_here
            and span.is_departure
            and span.start < end
            and shift.column < max(span.end, span.start + 1)
        ):
            return span.habit
    return None


def render_rows(rows: list[DemoRow], organisation: SampleOrganisation) -> RenderableType:
    """The table of answers, and below it what leads each of them."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from service.reports.wording import p_value, verdict_line

    table = Table(title="Three new diffs, beside the truth", title_justify="left", pad_edge=False)
    for heading in ("diff by", "expected", "found", "p", "leading findings on planted habits", ""):
        table.add_column(heading)
    parts: list[RenderableType] = [Text(), table]
    for row in rows:
        p = "" if row.report.evidence is None else p_value(row.report.evidence.p_value)
        mark = Text("right", style="green") if row.is_right else Text("WRONG", style="bold red")
        table.add_row(
            row.name, row.expected, row.report.verdict.value, p, f"{row.n_planted} of {row.n_leading}", mark
        )
        diff = organisation.diffs[row.name]
        parts += [Text(), Text(f"{row.name}: {verdict_line(row.report)}", style="bold")]
        parts += [Text(f"  {line}") for line in _leading_lines(row, diff)]
    return Group(*parts)


def _leading_lines(row: DemoRow, diff: SampleDiff) -> Iterator[str]:
    from service.reports.escape import shorten, visible
    from service.reports.wording import finding_sentence

    for path, finding in leading_findings(row.report):
        words = "".join(f"`{text}`" if is_code else text for text, is_code in finding_sentence(finding))
        habit = planted_habit(path, finding, diff.planted)
        truth = f"planted: {habit}" if habit else "not planted"
        yield f"{shorten(visible(words), 110)}  [{truth}]"


# ------------------------------------------------------------------------------------ any repository


def _run_on(repository: Path, settings: Settings, config: ProfileConfig) -> None:
    """The main job on a repository: its newest commits are scored against what came before."""
    from service.flows.review import load_reviewer
    from service.reports import terminal
    from service.reports.profile_summary import render

    config = config.model_copy(update={"base": settings.base, "revision": settings.revision})
    show(render(_learn(repository, settings, config)))
    reviewer = load_reviewer(repository, settings)
    newest = _score_newest(repository, settings, reviewer, config)
    output().print(f"\nThe answer for the newest of them, {newest[:12]}, in full:\n" if newest else "")
    if newest:
        show(terminal.render(_review_commit(repository, newest, reviewer)))


def _score_newest(repository: Path, settings: Settings, reviewer: Reviewer, config: ProfileConfig) -> str:
    """Score the newest held-out commits; returns the newest that could be scored."""
    from rich.text import Text

    from fingerprint.report import Verdict
    from service.flows.ingest import load_ingested
    from service.flows.team import TeamChoice, enrol
    from service.reports.wording import verdict_line

    ingested = load_ingested(repository, settings)
    corpus = enrol(ingested.store, ingested.authors, TeamChoice(with_agents=config.with_agents)).corpus
    held_out = corpus.split_by_time(config.drift.slices)[-1].groups[-_N_NEWEST:]
    quick = reviewer.without_explaining()
    output().print("\nThe newest commits, which nothing was learned from:")
    newest = ""
    for commit in held_out:
        report = _review_commit(repository, commit, quick)
        output().print(Text(f"  {commit[:12]}  {verdict_line(report)}"))
        newest = newest if report.verdict is Verdict.NOT_SCORED else commit
    return newest


def _review_commit(repository: Path, commit: str, reviewer: Reviewer) -> DriftReport:
    from connectors.git.history import diff_range
    from service.flows.review import read_patches

    return reviewer.review_reading(read_patches(diff_range(repository, f"{commit}^..{commit}")))
