"""Commands about what was read: ingest, authors, forget."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.console import HERE, Home, Repo, commits, find_repository, note, settings_for, show
from service.cli.kept import KeptRepo, find_kept, has_service


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (ingest, authors, forget):
        app.command()(command)


def ingest(
    repo: Repo = HERE,
    home: Home = None,
    again: Annotated[bool, typer.Option("--again", help="Forget what was read and start over.")] = False,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Read on without files whose objects are missing.")
    ] = False,
) -> None:
    """Read what is new in a repository's history."""
    from service.flows.ingest import contribution_store
    from service.flows.ingest import ingest as run
    from service.reports.history import render_ledger
    from service.reports.wording import plural

    settings, repository = settings_for(home), find_repository(repo)
    if again:
        contribution_store(repository, settings).clear()
    with commits() as report:
        found = run(repository, settings, report, skip_missing=skip_missing)
    if found.is_restarted:
        note("The history had been rewritten; it was read again from the start.")
    show(f"{plural(found.n_new, 'new contribution')} by {plural(len(found.authors), 'author')} in all.\n")
    show(render_ledger(found.ledger))
    for sentence in found.ledger.notes:
        note(sentence)


def authors(repo: Repo = HERE, home: Home = None) -> None:
    """List the authors of an ingested repository, by name, with the evidence for each."""
    from service.flows.ingest import load_ingested
    from service.reports.history import render_authors

    show(render_authors(load_ingested(find_repository(repo), settings_for(home)).authors))


def forget(
    repo: KeptRepo = HERE,
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete everything kept about a repository: contributions, adapters, signatures, profile.

    Where the service keeps it, also its jobs, reviews, people and mirror. Take a repository on GitHub out
    of the app's installation first: its next event would write it down anew.
    """
    from service.artifacts import ArtifactStore
    from service.cli.work import asking_on
    from service.db.queries.repositories import number_of
    from service.flows.forgetting import forget_repository

    settings = settings_for(home)
    if not yes:
        what = find_repository(repo) if repo.expanduser().exists() else repo
        typer.confirm(f"Delete all that is kept about {what}?", abort=True)
    if has_service(settings) or not repo.expanduser().exists():
        with asking_on(home) as asking:
            with asking.database.reading() as session:
                row = find_kept(session, repo)
                kept = None if row is None else (number_of(row), row.full_name)
            if kept is not None:
                n_deleted = forget_repository(asking, settings, kept[0], "command line")
                show(f"Forgotten: all rows of {kept[1]} and {n_deleted} artifacts.\n")
                return
    repository = find_repository(repo)
    n_deleted = ArtifactStore(settings.home).forget(repository)
    show(f"Forgotten: the contributions of {repository.name} and {n_deleted} artifacts.\n")
