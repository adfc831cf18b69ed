"""Pages for people. What a token may not read over the API it does not see here either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from service.api.access import parts_of
from service.api.browser import (
    ANY_VISITS,
    FORM,
    MEMBER_VISITS,
    Visitor,
    check_form,
    cookie_of,
    local_address,
    set_cookie,
)
from service.api.jobs import JobId
from service.api.overview import entries_of_jobs, entries_of_reviews, entry_of_repository
from service.api.paging import Id
from service.api.progress import event_of, read_progress
from service.api.served import HEADERS, show
from service.api.streams import follow
from service.artifacts import ArtifactStore, RepositoryRecord
from service.db.columns import now
from service.db.queries.listings import (
    find_review_named,
    list_jobs_before,
    list_repositories_after,
    list_reviews_before,
    list_teams_of,
)
from service.db.queries.sign_ins import begin_sign_in, end_sign_in
from service.db.queries.visibility import list_authors
from service.db.states import ReviewStatus, Role
from service.db.tables import Repository
from service.db.tables import Review as ReviewRow
from service.flows import kept_pages
from service.reports.pages.components import Browsed, Order, State, Wanted, one_components_page
from service.reports.pages.graph import one_graph_page
from service.reports.pages.review import Review, review_page
from service.reports.pages.service import index_page, progress_page, sign_in_page
from service.reports.pages.team import team_page

router = APIRouter(include_in_schema=False)
ON_THE_FIRST_PAGE = 20
_MANY = 500
Number = Annotated[int, Query(ge=1, le=1_000_000)]
Words = Annotated[str, Query(max_length=200)]
SHARED_STATES = ("base", "team")
CARDS: dict[kept_pages.CardKind, str] = {"components": "latents", "decomposition": "components"}
"""What pages call the parts of the two dictionaries."""


def _wanted(
    search: Words = "", group: Words = "", state: State = "", order: Order = "score", page: Number = 1,
    card: Words = "",
) -> Wanted:  # fmt: skip
    return Wanted(search, group, state, order, page, card)


WANTED = Annotated[Wanted, Depends(_wanted)]


def store_of(request: Request) -> ArtifactStore:
    """The artifacts; the router is there only with them."""
    store = parts_of(request).store
    assert store is not None, "the pages are mounted with a store"
    return store


# ----------------------------------------------------------------------------------------- signing in


@router.get("/signin")
def sign_in(next: Words = "/") -> Response:  # noqa: A002 - the parameter's usual name
    """The form for a token."""
    return show(sign_in_page(local_address(next)))


@router.post("/signin")
def begin(request: Request, form: FORM) -> Response:
    """Take a token in, and send the browser on."""
    parts, address = parts_of(request), local_address(form.get("next", "/"))
    client = request.client.host if request.client else ""
    if parts.buckets.take(f"sign-in from {client}") > 0:
        raise HTTPException(
            429, "too many sign-ins from this address; wait and try again", {"Retry-After": "60"}
        )
    with parts.database.writing() as session:
        cookie = begin_sign_in(session, form.get("token", "").strip(), now())
    if cookie is None:
        told = "This is no token, or it has ended. `routeprint tokens create` prints one."
        return show(sign_in_page(address, told), status=401)
    answer = RedirectResponse(address, 303, HEADERS)
    set_cookie(request, answer, cookie)
    return answer


@router.post("/signout")
def end(request: Request, visitor: ANY_VISITS, form: FORM) -> Response:
    """Forget the browser."""
    check_form(visitor, form)
    with parts_of(request).database.writing() as session:
        end_sign_in(session, cookie_of(request))
    answer = RedirectResponse("/signin", 303, HEADERS)
    set_cookie(request, answer, "")
    return answer


@router.get("/")
def index(request: Request, visitor: ANY_VISITS) -> Response:
    """One's own report, repositories, reviews and work."""
    database, store, caller = parts_of(request).database, store_of(request), visitor.caller
    with database.reading() as session:
        if caller.role is Role.SELF:
            known = list_authors(session, caller.viewer)
            own = [(f"{one.author.name} in {one.repository}", f"/authors/{one.author.id}") for one in known]
            return show(index_page(own, (), None, ()), visitor)
        rows = list_repositories_after(session, 0, _MANY)
        teams = list_teams_of(session, [row.id for row in rows if row.id is not None])
        reviews = list_reviews_before(session, limit=ON_THE_FIRST_PAGE)
        jobs = list_jobs_before(session, limit=ON_THE_FIRST_PAGE)
        repositories = [entry_of_repository(row, teams, store) for row in rows]
        found = index_page((), repositories, entries_of_reviews(reviews), entries_of_jobs(jobs, caller))
    return show(found, visitor)


# -------------------------------------------------------------------------------------------- reviews


@router.get("/reviews/{id}")
def review(request: Request, visitor: MEMBER_VISITS, id: Id, hunks: Number = 1) -> Response:  # noqa: A002 - the path's own name
    """A reviewed diff; where its review is still under way, how that goes."""
    database = parts_of(request).database
    with database.reading() as session:
        found = find_review_named(session, id)
    if found is None:
        raise HTTPException(404, f"there is no review {id}")
    row, repository = found
    if not row.status.is_final and row.job_id:
        return show(progress_page(read_progress(database, visitor.caller, row.job_id)), visitor)
    kept = _kept_review(store_of(request), row, repository)
    return show(review_page(kept, hunks, f"/reviews/{id}"), visitor)


def _kept_review(store: ArtifactStore, row: ReviewRow, repository: str) -> Review:
    """The review as it was kept; without its diff where that was deleted.

    Raises:
        HTTPException: 404, it ended without an answer.
    """
    kept = kept_pages.find_review(store, row.job_id) if row.status is ReviewStatus.DONE else None
    if kept is not None:
        return kept
    if row.status is not ReviewStatus.DONE or not row.report:
        told = {ReviewStatus.SUPERSEDED: "another commit took its place"}.get(row.status, "it failed")
        raise HTTPException(404, f"review {row.id} has no answer: {row.reason or told}")
    subject = f"#{row.number} ({row.base_sha[:12]}...{row.head_sha[:12]}), its diff not kept any more"
    command = f"git diff {row.base_sha}...{row.head_sha} | routeprint score --diff -"
    return Review(kept_pages.read_report(store, row.report), (), repository, subject, command)


# ------------------------------------------------------------------------------- teams and their models


@router.get("/teams/{repository}")
@router.get("/teams/{repository}/{name:path}")
def team(request: Request, visitor: MEMBER_VISITS, repository: int, name: str = "") -> Response:
    """A team's page."""
    _, record = find_record(request, repository)
    found = kept_pages.find_team(record, name)
    if found is None:
        raise HTTPException(404, "no page of this team yet: it is made when its signature is learned")
    return show(team_page(found), visitor)


@router.get("/graphs/{repository}")
def graph(request: Request, visitor: MEMBER_VISITS, repository: int, prompt: Number = 1) -> Response:
    """What raises a token in the base and in the team's model."""
    row, record = find_record(request, repository)
    cards = {"base": ("base", f"/decomposition/{repository}/base"),
             "lora": ("team", f"/decomposition/{repository}/team")}  # fmt: skip
    return show_graph(record, "team", row.full_name, f"/graphs/{repository}", prompt, visitor, cards)


@router.get("/components/{repository}/{who}")
def components(
    request: Request, visitor: MEMBER_VISITS, wanted: WANTED, repository: int, who: str
) -> Response:
    """What the latents of a dictionary fire on, a page of them."""
    return _shared_components(request, visitor, wanted, (repository, who), "components")


@router.get("/decomposition/{repository}/{who}")
def decomposition(
    request: Request, visitor: MEMBER_VISITS, wanted: WANTED, repository: int, who: str
) -> Response:
    """What the components of the base's matrices fire on, a page of them."""
    return _shared_components(request, visitor, wanted, (repository, who), "decomposition")


def _shared_components(
    request: Request, visitor: Visitor, wanted: Wanted, asked: tuple[int, str], kind: kept_pages.CardKind
) -> Response:
    repository, who = asked
    if who not in SHARED_STATES:
        raise HTTPException(404, "there are the components of the base and of the team")
    _, record = find_record(request, repository)
    models = [(f"the {one}", address) for one, address in cards_kept(record, kind, f"/{kind}/{repository}")]
    other: kept_pages.CardKind = "decomposition" if kind == "components" else "components"
    elsewhere = [
        (f"{CARDS[other]} of the {one}", address)
        for one, address in cards_kept(record, other, f"/{other}/{repository}")
    ]
    address = f"/{kind}/{repository}/{who}"
    return show_components(record, who, address, wanted, visitor, (models, elsewhere), kind)


def cards_kept(record: RepositoryRecord, kind: kept_pages.CardKind, start: str) -> list[tuple[str, str]]:
    """(state, address) of every shared state with a browser."""
    kept = kept_pages.whose(record, kind)
    return [(one, f"{start}/{one}") for one in SHARED_STATES if one in kept]


def find_record(request: Request, repository: int) -> tuple[Repository, RepositoryRecord]:
    """A repository and the record of its artifacts.

    Raises:
        HTTPException: 404, there is none.
    """
    with parts_of(request).database.reading() as session:
        row = session.get(Repository, repository) if repository < 2**63 else None
        if row is None or not row.path:
            raise HTTPException(404, f"there is no repository {repository}, or it has not been read yet")
        session.expunge(row)
    return row, store_of(request).record(Path(row.path))


def show_graph(
    record: RepositoryRecord, who: str, repository: str, address: str, prompt: int, visitor: Visitor,
    cards: Mapping[str, tuple[str, str]],
) -> Response:  # fmt: skip
    """One prompt's graph of a state.

    Args:
        cards: (state, address) of the components' browser by model, "base" or "lora", that the visitor may
            see; linked where it shows the graph's own components.
    """
    bundle = _cached("graph", record, who)
    if bundle is None or not bundle.prompts:
        raise HTTPException(404, "there is no attribution graph yet: `routeprint attribute` makes it")
    shown = bundle.prompts[0].lora.dictionary_id
    same = {model: place for model, (state, place) in cards.items() if _are_cards_of(record, state, shown)}
    return show(one_graph_page(bundle, prompt, repository=repository, address=address, cards=same), visitor)


def _are_cards_of(record: RepositoryRecord, state: str, dictionary: str) -> bool:
    found: Browsed | None = _cached("decomposition", record, state)
    return found is not None and found.dictionary == dictionary


def show_components(
    record: RepositoryRecord, who: str, address: str, wanted: Wanted, visitor: Visitor,
    beside: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] = ((), ()),
    kind: kept_pages.CardKind = "components",
) -> Response:  # fmt: skip
    """A page of the components of a state.

    Args:
        beside: models and elsewhere, as `one_components_page` takes them.
    """
    found: Browsed | None = _cached(kind, record, who)
    if found is None:
        command = "sae labels" if kind == "components" else "decompose labels"
        raise HTTPException(404, f"there are no components yet: `routeprint {command}` makes them")
    model = f"the {who}" if who in SHARED_STATES else who
    models, elsewhere = beside
    page = one_components_page(
        found, wanted, model=model, address=address, models=models, elsewhere=elsewhere
    )
    return show(page, visitor)


def _cached(kind: kept_pages.Kind, record: RepositoryRecord, who: str) -> Any:
    """What is kept, parsed once for each version; what was deleted is not shown from memory."""
    version = kept_pages.version_of(record, kind, who)
    return None if version is None else _parsed(kind, record, who, version)


@lru_cache(maxsize=8)
def _parsed(kind: kept_pages.Kind, record: RepositoryRecord, who: str, _version: str) -> Any:
    if kind == "graph":
        return kept_pages.find_graph(record, who)
    return kept_pages.find_components(record, who, "components" if kind == "components" else "decomposition")


# ----------------------------------------------------------------------------------------------- work


@router.get("/jobs/{id}")
def job(request: Request, visitor: MEMBER_VISITS, id: JobId) -> Response:  # noqa: A002 - the path's own name
    """Where a job stands."""
    return show(progress_page(read_progress(parts_of(request).database, visitor.caller, id)), visitor)


@router.get("/jobs/{id}/events")
async def job_events(request: Request, visitor: MEMBER_VISITS, id: JobId) -> StreamingResponse:  # noqa: A002 - the path's own name
    """A job as it moves."""
    read = partial(read_progress, parts_of(request).database, visitor.caller, id)
    return await follow(
        read, is_over=lambda told: told.is_over, show=event_of, streams=request.app.state.following
    )
