"""Commands about a diff: score and explain."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, ExitCode, Home, Repo, find_repository, note, settings_for, show
from service.cli.kept import KeptRepo, find_kept, find_scoring, has_service
from service.cli.pages import Out, PageFormat, PageFormatOption, check_out, reproducing, show_page
from service.cli.profiles import Format, FormatOption

if TYPE_CHECKING:
    from connectors.contribution import FilePatch
    from fingerprint.report import DriftReport
    from service.flows.backtest import Tested
    from service.reports.backtest import Backtest
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
    form: PageFormatOption = PageFormat.TEXT,
    out: Out = None,
    fail_on: Fail = None,
    hunks: Hunks = 5,
) -> None:
    """Say whether a diff routes through the model as this team's code does."""
    asked = _Asked(repo, home, diff, range_, staged)
    report = _answer(asked, form, out, hunks, is_expert=False)
    _end(report, fail_on)


def explain(
    author: Annotated[
        str | None,
        typer.Argument(
            help="An author (key, name or address) instead of a diff: every read of theirs, and where the "
            "reads agree.",
            show_default=False,
        ),
    ] = None,
    repo: Repo = HERE,
    home: Home = None,
    diff: Diff = None,
    range_: Range = None,
    staged: Staged = False,
    form: PageFormatOption = PageFormat.TEXT,
    out: Out = None,
    fail_on: Fail = None,
    hunks: Hunks = 5,
) -> None:
    """Show the expert view: of a diff, sites, completeness, context shares; of an author, every read.

    A diff is scored first. An author's routes, spectrum, latents, alive sets, edits and attribution stand
    beside null adapters; what was not read yet is named with the command that reads it.
    """
    asked = _Asked(repo, home, diff, range_, staged)
    if author is not None:
        _explain_author(asked, author, form, out, fail_on)
        return
    report = _answer(asked, form, out, hunks, is_expert=True)
    _end(report, fail_on)


def backtest(
    repo: KeptRepo = HERE,
    home: Home = None,
    team: Annotated[str, typer.Option("--team", help='The team; "" is the whole repository.')] = "",
    last: Annotated[int, typer.Option("--last", min=1, help="Merged changes looked at, newest first.")] = 200,
    limit: Annotated[
        float | None,
        typer.Option("--limit", min=0.001, max=0.999, help="Largest acceptable false-alarm rate."),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Score what was merged, and say whether a check may be allowed to fail.

    Everything merged was accepted by people, so whatever is flagged is a false alarm. On GitHub changes are
    merged pull requests, each at its last commit; in a folder steps of the branch that is checked out, along
    first parents: merges, squashes and plain commits. What .routeprint.yml leaves out is left out here too.
    """
    import dataclasses
    import json

    from service.cli.console import commits
    from service.flows.backtest import MergedHead, local_changes, reviewing, run_backtest
    from service.flows.profile import load_profile_version
    from service.flows.review import Reviewer, load_reviewer
    from service.reports.backtest import render_backtest
    from service.reports.wording import plural

    settings, tested, lost = settings_for(home), _find_tested(home, repo, team, last), list[MergedHead]()
    if tested is None:
        repository = find_repository(repo)
        reviewer, changes = load_reviewer(repository, settings), local_changes(repository, last)
    else:
        reviewer = Reviewer(load_profile_version(tested.profile, settings))
        changes = tested.changes(last, lost.append)
    with commits("scoring merged changes") as report:
        found = run_backtest(
            changes, reviewing(reviewer), limit or settings.gate_false_alarms,
            lambda n_done: report(n_done, last),
        )  # fmt: skip
    if lost:
        note(f"{plural(len(lost), 'pull request')} left out: their commits are lost")
    facts = {**dataclasses.asdict(found), "rate": found.rate, "is_passed": found.is_passed}
    show(json.dumps(facts, indent=2) + "\n" if form is Format.JSON else render_backtest(found))
    profile = reviewer.profile
    _remember(home, settings, profile.digest, found, profile.config.drift.alarm_level)


def _find_tested(home: Path | None, repo: Path, team: str, last: int) -> Tested | None:
    """What the service would score with; None where there is no service on this home, or only a folder.

    Raises:
        UnknownRepositoryError: it is no folder, and no repository of that name is kept.
        NotProfiledError: the service keeps the repository, and the team has no signature there.
    """
    from service.cli.work import asking_on

    if repo.expanduser().exists() and not has_service(settings_for(home)):
        return None
    with asking_on(home) as asking, asking.database.reading() as session:
        row = find_kept(session, repo)
        return None if row is None else find_scoring(session, row, team, last)


def _explain_author(
    asked: _Asked, author: str, form: PageFormat, out: Path | None, fail_on: list[FailOn] | None
) -> None:
    """Every read of one author.

    Raises:
        ServiceError: a diff is named too, or a form that an author's reads have not.
    """
    from service import ServiceError
    from service.cli.console import stages
    from service.flows.author_reads import explain_author
    from service.flows.opened import open_profile
    from service.reports.author_reads import reads_page
    from service.reports.page import render, render_markdown

    if asked.is_named or fail_on:
        raise ServiceError("explain an author or a diff, not both: --diff, --range, --staged and --fail-on")
    if form is PageFormat.HTML or out is not None:
        raise ServiceError(f"an author's page is another command: routeprint report --author {author}")
    with stages() as told:
        opened = open_profile(find_repository(asked.repo), settings_for(asked.home), told)
        found = explain_author(opened, author)
    if form is PageFormat.JSON:
        show(found.model_dump_json(indent=2) + "\n")
    else:
        page = reads_page(found)
        show(render_markdown(page) if form is PageFormat.MARKDOWN else render(page))


def _remember(
    home: Path | None, settings: Settings, profile: str, found: Backtest, alarm_level: float
) -> None:
    """Tell the service, where there is one on this home: its gate opens by a back-test alone."""
    from service.cli.work import asking_on
    from service.flows.backtest import remember_backtest

    if not has_service(settings):
        return

    with asking_on(home) as asking:
        n_teams = remember_backtest(asking.database, profile, found, alarm_level)
    if n_teams:
        note(f"kept for the gate of {n_teams} team" + ("" if n_teams == 1 else "s"))


@dataclass(frozen=True)
class _Asked:
    """The diff that the options name, and where its profile lies."""

    repo: Path
    home: Path | None
    diff: str | None
    range_: str | None
    staged: bool

    @property
    def is_named(self) -> bool:
        """Whether any option names a diff."""
        return self.diff is not None or self.range_ is not None or self.staged

    @property
    def subject(self) -> str:
        """The diff in words."""
        if self.range_ is not None:
            return self.range_
        if self.staged:
            return "what is staged"
        return "a diff from standard input" if self.diff == "-" else Path(self.diff or "").name

    @property
    def options(self) -> tuple[str, ...]:
        """As they were given."""
        named = {"--repo": str(self.repo), "--home": self.home, "--diff": self.diff, "--range": self.range_}
        given = [word for name, value in named.items() if value is not None for word in (name, str(value))]
        return (*given, "--staged") if self.staged else tuple(given)


def _answer(asked: _Asked, form: PageFormat, out: Path | None, hunks: int, *, is_expert: bool) -> DriftReport:
    """Score the diff and show the answer."""
    check_out(form, out)
    settings, repository = settings_for(asked.home), find_repository(asked.repo)
    patches = _read(repository, settings, asked.diff, asked.range_, staged=asked.staged)
    if form is PageFormat.HTML:
        return _show_review(asked, repository, patches, out, is_expert=is_expert)
    from service.flows.review import review_patches

    report = review_patches(repository, patches, settings)
    _show(report, form, hunks, is_expert=is_expert)
    return report


def _show_review(
    asked: _Asked, repository: Path, patches: tuple[FilePatch, ...], out: Path | None, *, is_expert: bool
) -> DriftReport:
    from service.flows.review_page import review_for_page
    from service.reports.pages.review import review_page

    command = reproducing("explain" if is_expert else "score", asked.options, out)
    review = review_for_page(
        repository, patches, settings_for(asked.home), subject=asked.subject, command=command
    )
    show_page(review_page(replace(review, is_expert=is_expert)), out)
    return review.report


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


def _show(report: DriftReport, form: PageFormat, hunks: int, *, is_expert: bool) -> None:
    from service.reports import machine, markdown, terminal

    if form is PageFormat.JSON:
        show(machine.render(report))
    elif form is PageFormat.MARKDOWN:
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
