"""Repositories, authors and signatures, to read. Every read of a person's data is written down first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from connectors.identity.author import AuthorKind
from service.api.access import ANYONE, MEMBERS, Caller, parts_of
from service.api.answers import AuthorAnswer, AuthorReport, RepositoryAnswer, SignatureAnswer
from service.api.paging import Cursor, Id, Limit, Page, RepositoryFilter, answer, cut, make_cursor, read_id
from service.api.problems import problem_responses
from service.db.queries.audit import list_events, note_reads
from service.db.queries.listings import list_repositories_after, list_teams_of
from service.db.queries.visibility import (
    AUTHOR_SCOPE,
    KnownAuthor,
    authors_of,
    find_author,
    find_signature,
    list_aliases,
    list_authors,
    list_consents,
    list_signatures,
)
from service.db.session import Database, Session
from service.db.tables import Author, Repository, Team

router = APIRouter(prefix="/v1", responses=problem_responses(401, 403, 422, 429, 503))
NOT_THERE = problem_responses(404)
Scope = Annotated[
    str | None,
    Query(max_length=300, pattern=r"^[^\x00]*$", description="Only team:<name> or author:<key>."),
]


@router.get("/repositories", response_model=Page[RepositoryAnswer], tags=["repositories"])
def list_of_repositories(request: Request, _: MEMBERS, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List repositories in the order in which they became known."""
    with parts_of(request).database.reading() as session:
        rows = list_repositories_after(session, read_id(cursor) or 0, limit + 1)
        teams = list_teams_of(session, [row.id for row in rows if row.id is not None])
    items = [RepositoryAnswer.of(row, _teams_of(row, list(teams))) for row in rows]
    return answer(request, cut(items, limit, [make_cursor(item.id) for item in items]))


@router.get("/repositories/{id}", response_model=RepositoryAnswer, tags=["repositories"], responses=NOT_THERE)
def one_repository(request: Request, _: MEMBERS, id: Id) -> Response:  # noqa: A002 - the path's own name
    """Show a repository, its stage and its teams."""
    with parts_of(request).database.reading() as session:
        row = session.get(Repository, id)
        if row is None:
            raise HTTPException(404, f"there is no repository {id}")
        teams = list_teams_of(session, [id])
    return answer(request, RepositoryAnswer.of(row, list(teams)))


def _teams_of(row: Repository, teams: list[Team]) -> list[Team]:
    return [team for team in teams if team.repository_id == row.id]


@router.get("/authors", response_model=Page[AuthorAnswer], tags=["authors"])
def list_of_authors(
    request: Request,
    caller: ANYONE,
    repository: RepositoryFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List authors: agents, and of people those who agreed, oneself, or for administrators everyone.

    They come in the order in which they became known. There is no ranking and no figure to rank by.
    """
    database = parts_of(request).database
    with database.reading() as session:
        known = list_authors(
            session, caller.viewer, repository_id=repository, after=read_id(cursor) or 0, limit=limit + 1
        )
    note_people(database, caller, [one.author for one in known[:limit]])
    items = [AuthorAnswer.of(one) for one in known]
    return answer(request, cut(items, limit, [make_cursor(item.id) for item in items]))


@router.get("/authors/{id}", response_model=AuthorAnswer, tags=["authors"], responses=NOT_THERE)
def one_author(request: Request, caller: ANYONE, id: Id) -> Response:  # noqa: A002 - the path's own name
    """Show an author."""
    database = parts_of(request).database
    with database.reading() as session:
        known = _find_author(session, caller, id)
    note_people(database, caller, [known.author])
    return answer(request, AuthorAnswer.of(known))


@router.get("/authors/{id}/report", response_model=AuthorReport, tags=["authors"], responses=NOT_THERE)
def author_report(request: Request, caller: ANYONE, id: Id) -> Response:  # noqa: A002 - the path's own name
    """Show all that is kept of an author, and who looked: for themselves and for administrators."""
    return answer(request, read_report(parts_of(request).database, caller, id))


def read_report(database: Database, caller: Caller, id: int) -> AuthorReport:  # noqa: A002 - as the paths say
    """All that is kept of an author; that it was read is written down first.

    Raises:
        HTTPException: 404, there is none or not for this caller; 403, it is another's.
    """
    with database.reading() as session:
        known = _find_author(session, caller, id)
        if not caller.viewer.sees_everyone and caller.own is None:
            raise HTTPException(403, "a report is for its author and for administrators")
        scope = AUTHOR_SCOPE + known.author.key
        report = AuthorReport.of(
            known,
            list(list_aliases(session, id)),
            list(list_consents(session, id)),
            list_signatures(
                session, caller.viewer, repository_id=known.author.repository_id, scope=scope, limit=100
            ),
            list(list_events(session, [_target(known.author)])),
        )
    note_people(database, caller, [known.author])
    return report


def _find_author(session: Session, caller: Caller, author_id: int) -> KnownAuthor:
    known = find_author(session, caller.viewer, author_id)
    if known is None:
        raise HTTPException(404, f"there is no author {author_id}, or not for this token")
    return known


def _target(author: Author) -> str:
    return f"author {author.id}"


def note_people(database: Database, caller: Caller, authors: list[Author]) -> None:
    """Before the answer leaves: what cannot be written down is not shown."""
    people = [_target(author) for author in authors if author.kind == AuthorKind.HUMAN]
    if people:
        with database.writing() as session:
            note_reads(session, caller.name, people)


@router.get("/signatures", response_model=Page[SignatureAnswer], tags=["signatures"])
def list_of_signatures(
    request: Request,
    caller: ANYONE,
    repository: RepositoryFilter = None,
    scope: Scope = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List signatures, newest first: teams', and authors' where the author may be seen."""
    database = parts_of(request).database
    with database.reading() as session:
        rows = list_signatures(
            session, caller.viewer, repository_id=repository, scope=scope, before=read_id(cursor),
            limit=limit + 1,
        )  # fmt: skip
        authors = authors_of(session, [row for row, _ in rows[:limit]])
    note_people(database, caller, authors)
    items = [SignatureAnswer.of(*row) for row in rows]
    return answer(request, cut(items, limit, [make_cursor(item.id) for item in items]))


@router.get("/signatures/{id}", response_model=SignatureAnswer, tags=["signatures"], responses=NOT_THERE)
def one_signature(request: Request, caller: ANYONE, id: Id) -> Response:  # noqa: A002 - the path's own name
    """Show one version of a signature and what it was made from."""
    database = parts_of(request).database
    with database.reading() as session:
        found = find_signature(session, caller.viewer, id)
        if found is None:
            raise HTTPException(404, f"there is no signature {id}, or not for this token")
        authors = authors_of(session, [found[0]])
    note_people(database, caller, authors)
    return answer(request, SignatureAnswer.of(*found))
