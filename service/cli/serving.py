"""The command that serves the HTTP API, and the one that writes its description."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, find_repository, note, settings_for, show

if TYPE_CHECKING:
    from service.api.intake import Intake
    from service.api.parts import Parts
    from service.api.scoring import ScoringProcess
    from service.db.session import Database
    from service.enqueue import Enqueuer
    from service.jobs.tree import WorkerTree
    from service.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (serve, openapi):
        app.command()(command)


def serve(
    repo: Annotated[
        list[Path] | None,
        typer.Option(
            "--repo", help="A profiled repository; its folder's name is what requests say. Repeatable."
        ),
    ] = None,
    api_only: Annotated[
        bool,
        typer.Option("--api-only", help="No scoring and no work in this tree: `work` does it elsewhere."),
    ] = False,
    workers: Annotated[
        bool,
        typer.Option(
            "--workers/--no-workers", help="Do durable work too; without, `work` does it elsewhere."
        ),
    ] = True,
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 lets the system choose.")
    ] = None,
) -> None:
    """Serve the HTTP API and do durable work, all in one tree of processes; scoring has its own."""
    import uvicorn

    from service.api.app import create_app
    from service.logs import configure_logs

    settings = settings_for(home)
    address = host or settings.host
    _refuse_open_doors(settings, address)
    configure_logs(settings.log_format, settings.log_level)
    repositories = {} if api_only else _register(_folders(repo, settings), settings)
    database = _open_database(settings)
    tree = _start_workers(settings) if workers and not api_only else None
    scoring = _start_scoring(settings, repositories) if repositories else None
    # uvicorn raises the signal again when it has stopped: as an exit, so that the others are stopped too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        parts = _assemble(settings, database, scoring, repositories)
        webhooks = ["GitHub's webhooks"] if parts.intake is not None else []
        where = "elsewhere" if tree is None else "here"
        note(f"serving {', '.join(['the API', *webhooks, *repositories])}; durable work is done {where}")
        uvicorn.run(
            create_app(parts), host=address, port=settings.port if port is None else port, lifespan="off",
            log_config=None, access_log=False,
        )  # fmt: skip
    finally:
        if scoring is not None:
            scoring.stop()
        if tree is not None:
            tree.stop()


def openapi(
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: standard output.")
    ] = None,
) -> None:
    """Write the HTTP API's description (OpenAPI)."""
    from service.api.app import routed_app
    from service.api.description import render_description

    text = render_description(routed_app(has_webhooks=True))
    if out is None:
        show(text)
    else:
        out.write_text(text, encoding="utf-8")


def _refuse_open_doors(settings: Settings, address: str) -> None:
    """Raises ServiceError: everybody who reaches the address could do everything."""
    from service import ServiceError
    from service.api.access import LOOPBACK

    if not settings.api_tokens and address not in LOOPBACK:
        raise ServiceError(
            f"ROUTEPRINT_API_TOKENS is off and {address} can be reached from other machines; "
            f"turn it on, or listen on one of {', '.join(sorted(LOOPBACK))}"
        )


def _open_database(settings: Settings) -> Database:
    """The database, brought up to date before anything else looks at it, to say here what is wrong."""
    from service.db.migrate import upgrade
    from service.db.session import connect
    from service.enqueue import prepare_engine

    database = connect(settings)
    upgrade(database)
    prepare_engine(database)
    return database


def _start_workers(settings: Settings) -> WorkerTree:
    """Start the workers of this machine."""
    from service.jobs.github import make_work
    from service.jobs.tree import WorkerTree

    tree = WorkerTree(settings, make_work)
    tree.start()
    return tree


def _assemble(
    settings: Settings, database: Database, scoring: ScoringProcess | None, repositories: dict[str, Path]
) -> Parts:
    """What the endpoints work with."""
    from service.api.limits import Buckets
    from service.api.parts import Parts
    from service.artifacts import ArtifactStore
    from service.enqueue import Enqueuer
    from service.flows.forgetting import forget_person

    enqueuer = Enqueuer.of(database)
    return Parts(
        database, settings.max_diff_bytes, scoring, list(repositories),
        intake=_find_intake(settings, enqueuer), cancel=enqueuer.cancel, needs_tokens=settings.api_tokens,
        buckets=Buckets(settings.api_requests_per_minute, settings.api_burst),
        store=ArtifactStore(settings.home), public_url=settings.public_url,
        forget=lambda repository, key, by: forget_person(enqueuer, settings, repository, key, by),
    )  # fmt: skip


def _find_intake(settings: Settings, enqueuer: Enqueuer) -> Intake | None:
    """Webhooks are taken in where there is an app; an app without a secret is refused.

    Raises:
        ServiceError, WebhookError: part of the app is missing.
    """
    from service.api.intake import Intake
    from service.flows.registration import find_app

    app = find_app(settings)
    if app is None:
        return None
    number = app.key.id if isinstance(app.key.id, int) else None
    return Intake(enqueuer.database, app.secrets, enqueuer.delivery, number)


def _folders(given: list[Path] | None, settings: Settings) -> list[Path]:
    """The folders to serve: those named, else this one, unless an app has repositories of its own."""
    from service.flows.registration import find_app

    return given or ([] if find_app(settings) is not None else [HERE])


def _register(places: list[Path], settings: Settings) -> dict[str, Path]:
    """Repositories by name; each must be profiled.

    Raises:
        NotProfiledError: one is not. ServiceError: two have one name.
    """
    from service import ServiceError
    from service.flows.profile import find_profile

    found: dict[str, Path] = {}
    for place in places:
        repository = find_repository(place)
        if repository.name in found:
            raise ServiceError(f"two repositories are named {repository.name}; serve them from two processes")
        find_profile(repository, settings)
        found[repository.name] = repository
    return found


def _start_scoring(settings: Settings, repositories: dict[str, Path]) -> ScoringProcess:
    """Start the scoring process without waiting for it; /readyz says when it is there."""
    from service.api.scoring import ScoringProcess, UnavailableError
    from service.worker import serve_reviews

    scoring = ScoringProcess(
        serve_reviews, (settings, repositories), timeout_s=settings.review_timeout_s,
        start_timeout_s=settings.start_timeout_s,
    )  # fmt: skip

    def start() -> None:
        try:
            scoring.start()
        except UnavailableError as error:
            logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - its message is the whole story

    threading.Thread(target=start, name="start-scoring", daemon=True).start()
    return scoring
