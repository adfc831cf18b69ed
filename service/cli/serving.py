"""The command that serves reviews over HTTP."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, find_repository, note, settings_for

if TYPE_CHECKING:
    from service.api.scoring import ScoringProcess
    from service.jobs.tree import WorkerTree
    from service.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(serve)


def serve(
    repo: Annotated[
        list[Path] | None,
        typer.Option(
            "--repo", help="A profiled repository; its folder's name is what requests say. Repeatable."
        ),
    ] = None,
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 lets the system choose.")
    ] = None,
    workers: Annotated[
        bool,
        typer.Option(
            "--workers/--no-workers", help="Do durable work too; without, `work` does it elsewhere."
        ),
    ] = True,
) -> None:
    """Serve reviews over HTTP and do durable work, all in one tree of processes; scoring has its own."""
    import uvicorn

    from service.api.app import create_app

    settings = settings_for(home)
    repositories = _register(repo or [HERE], settings)
    tree = _start_workers(settings) if workers else None
    scoring = _start_scoring(settings, repositories)
    app = create_app(scoring, list(repositories), max_diff_bytes=settings.max_diff_bytes)
    # uvicorn raises the signal again when it has stopped: as an exit, so that the others are stopped too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    note(f"serving reviews of {', '.join(repositories)}")
    try:
        uvicorn.run(
            app, host=host or settings.host, port=settings.port if port is None else port, lifespan="off"
        )
    finally:
        scoring.stop()
        if tree is not None:
            tree.stop()


def _start_workers(settings: Settings) -> WorkerTree:
    """Upgrade the database, so that what is wrong with it is said here, and start the workers."""
    from service.db.migrate import upgrade
    from service.db.session import connect
    from service.jobs.local import folder_work
    from service.jobs.tree import WorkerTree

    database = connect(settings)
    upgrade(database)
    database.close()
    tree = WorkerTree(settings, folder_work)
    tree.start()
    return tree


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
