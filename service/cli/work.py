"""Commands about durable work: work, jobs, db."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, note, settings_for, show
from service.cli.kept import KeptRepo, keep_folder
from service.db.states import Flow, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.db.tables import Job
    from service.enqueue import Enqueuer

jobs = typer.Typer(help="Durable work: what is asked for, under way and done.", no_args_is_help=True)
db = typer.Typer(help="The database.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="The job's id, or the beginning of it.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(work)
    app.add_typer(jobs, name="jobs")
    app.add_typer(db, name="db")


def work(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", help="Take jobs from this queue: review, delivery, ingest or train. Repeatable."
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Do durable work until stopped; SIGTERM lets it finish what it has begun. One training a process."""
    from service import ServiceError
    from service.enqueue import Queue
    from service.jobs.github import make_work
    from service.jobs.worker import run_worker
    from service.logs import configure_logs

    unknown = sorted(set(queue or ()) - {item.value for item in Queue})
    if unknown:
        raise ServiceError(f"no queue {', '.join(unknown)}; there are {', '.join(Queue)}")
    queues = tuple(Queue(name) for name in queue or list(Queue))
    settings = settings_for(home)
    configure_logs(settings.log_format, settings.log_level)
    note(f"working on {', '.join(queues)}")
    run_worker(settings, queues, make_work(settings))


@contextmanager
def asking_on(home: Home) -> Iterator[Enqueuer]:
    """An enqueuer on the upgraded database, closed at the end."""
    from service.db.migrate import upgrade
    from service.db.session import connect
    from service.enqueue import Enqueuer, prepare_engine

    database = connect(settings_for(home))
    upgrade(database)
    prepare_engine(database)
    enqueuer = Enqueuer.of(database)
    try:
        yield enqueuer
    finally:
        enqueuer.close()
        database.close()


@jobs.command("list")
def list_(
    status: Annotated[JobStatus | None, typer.Option("--status", help="Only jobs that stand so.")] = None,
    flow: Annotated[Flow | None, typer.Option("--flow", help="Only jobs of this flow.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Jobs shown, newest first.")] = 20,
    home: Home = None,
) -> None:
    """List jobs, newest first, with their progress."""
    from rich.table import Table
    from rich.text import Text

    from service.db.queries.jobs import list_jobs
    from service.reports.escape import visible

    with asking_on(home) as asking, asking.database.reading() as session:
        rows = list_jobs(session, statuses=[status] if status else (), flow=flow, limit=limit)
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for heading in ("job", "flow", "about", "status", "attempt", "progress"):
        table.add_column(heading)
    for row in rows:
        about = Text(visible(row.subject))
        table.add_row(row.id, row.flow, about, row.status, str(row.attempt), Text(visible(_progress_of(row))))
    show(table)


def _progress_of(job: Job) -> str:
    if job.error:
        return job.error
    if job.status is not JobStatus.RUNNING:
        return ""
    share = f" {job.done / job.total:.0%}" if job.total else ""
    speed = f", {job.tokens_per_second:,.0f} tokens/s" if job.tokens_per_second else ""
    left = f", {job.seconds_left:.0f} s left" if job.seconds_left else ""
    return f"{job.step}{share}{speed}{left}"


@jobs.command("log")
def log(job: JobId, home: Home = None) -> None:
    """Show what a job said: its attempts, steps and end."""
    from service.db.queries.jobs import find_job, list_lines
    from service.reports.escape import visible

    with asking_on(home) as asking, asking.database.reading() as session:
        lines = list_lines(session, find_job(session, job).id)
    show("".join(f"{line.at:%Y-%m-%d %H:%M:%S} {line.attempt} {visible(line.text)}\n" for line in lines))


@jobs.command("cancel")
def cancel(job: JobId, home: Home = None) -> None:
    """Call a job off; one that runs stops within a second or at its next step."""
    with asking_on(home) as asking:
        show(f"{asking.cancel(job).id} is called off\n")


@jobs.command("retry")
def retry(job: JobId, home: Home = None) -> None:
    """Ask again for a job that failed or was cancelled."""
    with asking_on(home) as asking:
        show(f"{asking.retry(job)} is asked for\n")


@jobs.command("ask")
def ask(
    flow: Annotated[Flow, typer.Argument(help="What to ask for.")],
    repo: KeptRepo = HERE,
    revisions: Annotated[
        str, typer.Option("--range", help="For a review: the commits, as main..HEAD.")
    ] = "HEAD~1..HEAD",
    team: Annotated[str, typer.Option("--team", help='The team; "" is the whole repository.')] = "",
    home: Home = None,
) -> None:
    """Ask for work on a repository; `routeprint work` does it."""
    from service import ServiceError
    from service.db.queries.repositories import number_of
    from service.enqueue import Urgency

    with asking_on(home) as asking:
        with asking.database.writing() as session:
            kept = keep_folder(session, repo)
            number, place, is_on_github = number_of(kept), Path(kept.path), kept.github_id is not None
        if is_on_github and flow is Flow.REVIEW:
            raise ServiceError("pull requests on GitHub are asked about there: comment /routeprint score")
        if flow is Flow.INGEST:
            job_id = asking.ingest(number, urgency=Urgency.ASKED)
        elif flow is Flow.PROFILE:
            job_id = asking.profile(number, team, urgency=Urgency.ASKED)
        else:
            job_id = _ask_review(asking, number, place, revisions, team)
    show(f"{job_id} is asked for\n")


def _ask_review(asking: Enqueuer, repository: int, place: Path, revisions: str, team: str) -> str:
    from connectors.git.ranges import ends_of_range
    from service.db.queries.reviews import ReviewQuestion, next_run
    from service.db.queries.signatures import current_version, scope_of_team
    from service.enqueue import Urgency

    base, head = ends_of_range(place, revisions)
    with asking.database.reading() as session:
        version = current_version(session, repository, scope_of_team(team))
        number = version.version if version else 0
        question = ReviewQuestion(repository, 0, head, base, team, number)
        run = next_run(session, question)
    question = ReviewQuestion(repository, 0, head, base, team, number, run=run)
    return asking.review(question, requested_by="command line", urgency=Urgency.ASKED).review.job_id


@db.command("upgrade")
def upgrade_database(home: Home = None) -> None:
    """Bring the schema to this version's; a starting service or worker does the same."""
    from service.db.migrate import upgrade
    from service.db.session import connect
    from service.enqueue import prepare_engine

    database = connect(settings_for(home))
    before, after = upgrade(database)
    prepare_engine(database)
    database.close()
    was = "as it was" if before == after else f"it was {before or 'empty'}"
    show(f"the schema is {after}; {was}\n")
