"""The command about what reviewers remarked on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.console import HERE, Home, find_repository, settings_for, show
from service.cli.kept import KeptRepo, find_kept, find_scoring, has_service
from service.cli.profiles import Format, FormatOption

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from service.flows.backtest import Tested
    from service.flows.remarks import Remarks, RemarksFound
    from service.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(remarks)


def remarks(
    repo: KeptRepo = HERE,
    home: Home = None,
    team: Annotated[str, typer.Option("--team", help='The team; "" is the whole repository.')] = "",
    last: Annotated[
        int, typer.Option("--last", min=1, help="Merged pull requests with remarks looked at, newest first.")
    ] = 200,
    after: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only pull requests merged later; of a folder's history."),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Say whether drift finds what reviewers remarked on.

    Resolved remarks about style on merged pull requests are labels. Each pull request is scored as it was
    when it was remarked on, and its remarked hunks are ranked among its others: by drift, and for control by
    n-grams, by how much the base alone is surprised, and by size; drift is tested against each control on
    the same hunks. Nothing says who remarked or who wrote.

    Of a folder the history itself is asked: of merged branches, what a commit that says it follows a review
    rewrote. Name with --after the day of the profile's newest commit: what it learned from is no test.
    """
    import json

    settings = settings_for(home)
    tested, labels = _find_remarks(home, settings, repo, team, last, after)
    found = _answer(repo, tested, labels, settings)
    if form is Format.JSON:
        show(json.dumps(_facts(found), indent=2) + "\n")
        return
    for part in _render(found):
        show(part)


def _find_remarks(
    home: Path | None, settings: Settings, repo: Path, team: str, last: int, after: datetime | None
) -> tuple[Tested | None, Remarks]:
    """The remarks on a repository and what it is scored with; None where scoring is not worth it.

    None, too, for a folder that the service does not score: its own profile does.

    Raises:
        UnknownRepositoryError: it is no folder, and no repository of that name is kept.
        NotProfiledError: there are remarks, and the team has no signature yet.
        BadParameter: a team or a day is named where neither can be kept to.
    """
    from service.cli.work import asking_on
    from service.db.queries.repositories import number_of
    from service.flows.remarks import find_followed, find_remarks

    def of_folder() -> Remarks:
        return find_followed(find_repository(repo), last, None if after is None else after.date())

    if repo.expanduser().exists() and not has_service(settings):
        _refuse_team(team, repo)
        return None, of_folder()
    with asking_on(home) as asking, asking.database.reading() as session:
        row = find_kept(session, repo)
        if row is None:
            _refuse_team(team, repo)
            return None, of_folder()
        if row.github_id is not None and after is not None:
            raise typer.BadParameter(f"--after is for a folder's history; of {repo} use --last")
        labels = of_folder() if row.github_id is None else find_remarks(session, number_of(row), last)
        return find_scoring(session, row, team, last) if labels.may_suffice else None, labels


def _refuse_team(team: str, repo: Path) -> None:
    if team:
        raise typer.BadParameter(f"no team is kept of {repo}; make it one by `routeprint teams keep`")


def _answer(repo: Path, tested: Tested | None, labels: Remarks, settings: Settings) -> RemarksFound:
    from service.cli.console import commits
    from service.flows.backtest import Tested
    from service.flows.profile import load_profile_version
    from service.flows.remarks import RemarksFound, reading_with, run_remarks
    from service.flows.review import Reviewer, load_reviewer

    if not labels.may_suffice:
        return RemarksFound.without_scoring(labels)
    if tested is None:
        repository = find_repository(repo)
        reviewer = load_reviewer(repository, settings)
        tested = Tested(reviewer.profile.digest, repository, labels.heads, "", {})
    else:
        reviewer = Reviewer(load_profile_version(tested.profile, settings))
    with commits("scoring what was remarked on") as report:
        return run_remarks(
            tested, labels, reading_with(reviewer), lambda n_done: report(n_done, len(labels.heads))
        )


def _facts(found: RemarksFound) -> dict[str, Any]:
    """The answer as JSON; rankings by figure, none where there are too few remarks."""
    from dataclasses import asdict

    from fingerprint.evaluation.remarks import RemarkRanking

    rankings = {name: asdict(one) for name, one in found.rankings.items() if isinstance(one, RemarkRanking)}
    contrasts = {name: asdict(one) for name, one in found.contrasts.items()}
    counts = {name: value for name, value in vars(found).items() if name.startswith("n_")}
    return {
        "reason": found.reason,
        "is_followed": found.is_followed,
        **counts,
        "rankings": rankings,
        "drift_minus": contrasts,
    }


def _render(found: RemarksFound) -> Iterator[RenderableType | str]:
    from fingerprint.evaluation.remarks import RemarkRanking
    from service.reports.sheet import Sheet
    from service.reports.wording import plural, probability

    if found.reason:
        yield f"{_refusal(found)}\n"
    else:
        ranked = [(name, one) for name, one in found.rankings.items() if isinstance(one, RemarkRanking)]
        rows = tuple(
            (name, f"{one.interval.value:.3f}", f"{one.interval.low:.3f} to {one.interval.high:.3f}",
             probability(one.p_value))
            for name, one in ranked
        )  # fmt: skip
        said = "rewritten" if found.is_followed else "remarked"
        title = f"{said.capitalize()} hunks above the others of their diff"
        yield Sheet(title, ("", "AUROC", "95 % interval", "p"), rows).to_table()
        first = ranked[0][1]
        yield (
            f"{plural(first.n_pairs, 'pair')} of {plural(first.n_remarked, f'{said} hunk')} and "
            f"{first.n_hunks - first.n_remarked} others in {plural(first.n_changes, 'pull request')}; "
            ".5 is chance, intervals by whole pull requests, p one-sided by shuffling remarks "
            "within each diff.\n"
        )
        yield from _render_contrasts(found)
    if found.rankings and found.is_followed:
        yield (
            "A remark here is a run of lines that a commit rewrote which says that it follows a review: the "
            "history knows no threads, and a review asks for more than style.\n"
        )
    if found.rankings:
        yield (
            f"{plural(found.n_remarks, 'remark')} on {plural(found.n_pulls, 'pull request')}: {found.n_lost} "
            f"on commits that are lost, {found.n_outside} on no scored hunk. "
            f"{plural(found.n_unscored, 'commit')} not scored.\n"
        )


def _render_contrasts(found: RemarksFound) -> Iterator[RenderableType | str]:
    from service.reports.sheet import Sheet
    from service.reports.wording import probability

    rows = tuple(
        (f"minus {name}", f"{own.value:+.3f}", f"{own.low:+.3f} to {own.high:+.3f}", probability(one.p_value))
        for name, one in found.contrasts.items()
        for own in [one.interval]
    )  # fmt: skip
    if rows:
        title = "Drift's AUROC less each control's, on the same pairs"
        yield Sheet(title, ("", "difference", "95 % interval", "p"), rows).to_table()
        yield (
            "Paired, by whole pull requests, p two-sided; a control below .5 is read the other way round.\n"
        )


def _refusal(found: RemarksFound) -> str:
    from fingerprint.evaluation.remarks import LEAST_CHANGES, LEAST_REMARKED

    return (
        f"Nothing can be said: {found.reason}. Needed is {_needed(found)} on at least {LEAST_REMARKED} hunks "
        f"in {LEAST_CHANGES} pull requests that have other hunks too; there are {found.n_remarks}."
    )


def _needed(found: RemarksFound) -> str:
    if not found.is_followed:
        return "a repository on GitHub whose merged pull requests were ingested, with resolved style remarks"
    return (
        "a repository on GitHub with its review threads (`routeprint github setup`), or a history whose "
        "merged branches hold commits named after a review, such as 'address review comments', that rewrite "
        "lines"
    )
