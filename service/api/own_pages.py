"""A person's own pages: for themselves and for administrators, each look written down first."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from service.api.access import parts_of
from service.api.answers import AuthorReport as KeptRows
from service.api.browser import FORM, OWN_VISITS, Visitor, check_form
from service.api.pages import CARDS, WANTED, Number, find_record, show_components, show_graph
from service.api.paging import Id
from service.api.resources import note_people, read_report
from service.api.served import HEADERS, show
from service.artifacts import RepositoryRecord
from service.db.queries.visibility import list_authors
from service.db.states import Role
from service.flows import kept_pages
from service.reports.pages.service import Account, authors_page, message_page, own_page

router = APIRouter(prefix="/authors", include_in_schema=False)
MOST_AUTHORS = 200


@router.get("")
def authors(
    request: Request, visitor: OWN_VISITS, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> Response:
    """Those whom the visitor may see, in the order in which they became known."""
    database = parts_of(request).database
    with database.reading() as session:
        known = list_authors(session, visitor.caller.viewer, after=after, limit=MOST_AUTHORS + 1)
    shown = known[:MOST_AUTHORS]
    note_people(database, visitor.caller, [one.author for one in shown])
    links = [(f"{one.author.name} in {one.repository}", f"/authors/{one.author.id}") for one in shown]
    more = f"/authors?after={shown[-1].author.id}" if len(known) > MOST_AUTHORS else ""
    return show(authors_page(links, more), visitor)


@router.get("/{id}")
def author(request: Request, visitor: OWN_VISITS, id: Id) -> Response:  # noqa: A002 - the path's own name
    """All that is kept of a person, and what was learned of them."""
    kept = read_report(parts_of(request).database, visitor.caller, id)
    record = _record_of(request, kept)
    report = None if record is None else kept_pages.find_author(record, kept.author.key)
    links = () if record is None else _links(record, kept)
    return show(own_page(report, _account(request, kept, visitor), links), visitor)


@router.get("/{id}/export")
def export(request: Request, visitor: OWN_VISITS, id: Id) -> Response:  # noqa: A002 - the path's own name
    """The same as a file."""
    kept = read_report(parts_of(request).database, visitor.caller, id)
    record = _record_of(request, kept)
    learned = None if record is None else kept_pages.export_author(record, kept.author.key)
    whole = {"kept": kept.model_dump(mode="json"), "learned": learned}
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="routeprint-author-{id}.json"'}
    return Response(json.dumps(whole, indent=2), headers=headers, media_type="application/json")


@router.post("/{id}/delete")
def delete(request: Request, visitor: OWN_VISITS, id: Id, form: FORM) -> Response:  # noqa: A002 - the path's own name
    """Forget a person."""
    check_form(visitor, form)
    parts = parts_of(request)
    kept = read_report(parts.database, visitor.caller, id)
    if form.get("sure") != "yes":
        raise HTTPException(422, "tick the box that says that all of it is to be deleted")
    if parts.forget is None:
        raise HTTPException(409, "this process deletes nothing; `routeprint people forget` does")
    parts.forget(kept.author.repository_id, kept.author.key, visitor.caller.name)
    told = "The team is learned again without their code. A token of this person has ended with them."
    remains = None if visitor.caller.role is Role.SELF else visitor  # with the person went their token
    return show(message_page(200, "Everything kept of this person is deleted", told), remains)


@router.get("/{id}/graph")
def graph(request: Request, visitor: OWN_VISITS, id: Id, prompt: Number = 1) -> Response:  # noqa: A002 - the path's own name
    """What raises a token in the base and in this author's model."""
    kept, record = _with_record(request, visitor, id)
    return show_graph(
        record, kept.author.key, kept.author.repository, f"/authors/{id}/graph", prompt, visitor,
        {"lora": (kept.author.key, f"/authors/{id}/decomposition")},
    )  # fmt: skip


@router.get("/{id}/components")
def components(request: Request, visitor: OWN_VISITS, wanted: WANTED, id: Id) -> Response:  # noqa: A002 - the path's own name
    """What the latents of a dictionary fire on as this author's model fires them."""
    kept, record = _with_record(request, visitor, id)
    return show_components(record, kept.author.key, f"/authors/{id}/components", wanted, visitor)


@router.get("/{id}/decomposition")
def decomposition(request: Request, visitor: OWN_VISITS, wanted: WANTED, id: Id) -> Response:  # noqa: A002 - the path's own name
    """What the components of the base's matrices fire on as this author's model fires them."""
    kept, record = _with_record(request, visitor, id)
    address = f"/authors/{id}/decomposition"
    return show_components(record, kept.author.key, address, wanted, visitor, kind="decomposition")


def _with_record(request: Request, visitor: Visitor, author_id: int) -> tuple[KeptRows, RepositoryRecord]:
    kept = read_report(parts_of(request).database, visitor.caller, author_id)
    record = _record_of(request, kept)
    if record is None:
        raise HTTPException(404, "this author's repository has not been read yet")
    return kept, record


def _record_of(request: Request, kept: KeptRows) -> RepositoryRecord | None:
    try:
        return find_record(request, kept.author.repository_id)[1]
    except HTTPException:
        return None


def _links(record: RepositoryRecord, kept: KeptRows) -> tuple[tuple[str, str], ...]:
    key, here = kept.author.key, f"/authors/{kept.author.id}"
    found = [("Attribution graph", f"{here}/graph")] if key in kept_pages.whose(record, "graph") else []
    for kind, what in CARDS.items():
        found += [(what.capitalize(), f"{here}/{kind}")] if key in kept_pages.whose(record, kind) else []
    return tuple(found)


def _account(request: Request, kept: KeptRows, visitor: Visitor) -> Account:
    author = kept.author
    return Account(
        author.repository, author.key, author.name, author.kind, author.tier,
        tuple((alias.name, alias.email) for alias in kept.aliases),
        tuple((c.at, c.state.value, c.recorded_by, c.said_how) for c in kept.consents),
        tuple((e.at, e.who, e.what) for e in kept.events),
        f"/authors/{author.id}", visitor.form_key, parts_of(request).forget is not None,
    )  # fmt: skip
