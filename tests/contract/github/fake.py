"""A GitHub that remembers: every operation of the trimmed description, over a ``World``.

Answers are poured into the mould of GitHub's own schemas, so that a record here names only what a test needs.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import jwt

from tests.contract.github.contract import MOMENT, answer_schema, shape
from tests.contract.github.graph import run_query
from tests.contract.github.world import (
    APP_ID,
    BOT,
    SLUG,
    Fault,
    Pull,
    Repo,
    Token,
    World,
    private_key,
    public_key,
)

_REPO = "/repos/{owner}/{repo}"


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


@dataclass
class Reply:
    """What goes back over the wire; ``body`` None: nothing. ``template``: the operation, for the judge."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json; charset=utf-8"

    @property
    def data(self) -> bytes:
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass
class Call:
    """A request, read: names from the path, query, JSON body, headers in lower case."""

    method: str
    path: str
    names: dict[str, str]
    query: dict[str, str]
    body: Any
    headers: Mapping[str, str]
    admitted: Repo | None = None
    credential: Token | None = None

    @property
    def repo(self) -> Repo:
        """The repository; only for operations on one."""
        assert self.admitted is not None
        return self.admitted

    @property
    def token(self) -> Token:
        """The installation's credential; only for operations that need one."""
        assert self.credential is not None
        return self.credential


Handler = Callable[["FakeGitHub", Call], Reply]
ROUTES: dict[tuple[str, str], tuple[str, Handler]] = {}


def route(method: str, template: str, needs: str = "metadata:read") -> Callable[[Handler], Handler]:
    """Register a handler. ``needs``: "app" (a JWT), "none", or a permission of an installation."""

    def register(handler: Handler) -> Handler:
        ROUTES[method, template] = (needs, handler)
        return handler

    return register


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "$")


class FakeGitHub:
    """Answers requests; see ``server`` for the wire and the judge."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.url = "http://fake.invalid"
        self.git_urls: dict[str, str] = {}

    # ------------------------------------------------------------------------------------------ dispatch

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Carry out one request."""
        parsed = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            moved = self._moved(method, path, query)
            if moved is not None:
                return moved
            call = Call(method, path, {}, parsed, json.loads(body) if body else None, headers)
            return self._with_rate(self._conditional(call, self._dispatch(call)))
        except RefusedError as error:
            return self._with_rate(
                Reply(
                    error.status,
                    {"message": str(error), "documentation_url": "https://docs.github.com"},
                    error.headers,
                )
            )

    def _dispatch(self, call: Call) -> Reply:
        if call.path == "/graphql":
            call.credential = self._token(call)
            return run_query(self.world, call.body)
        call.path = self._by_id(call.path)
        for (method, template), (needs, handler) in ROUTES.items():
            match = _pattern(template).match(call.path)
            if method == call.method and match:
                call.names = {name: unquote(value) for name, value in match.groupdict().items()}
                self._admit(call, needs)
                return handler(self, call)
        raise RefusedError(404, "Not Found")

    def _by_id(self, path: str) -> str:
        """/repositories/ID/... means the same as /repos/OWNER/NAME/..."""
        match = re.match(r"/repositories/(\d+)(/.*|$)", path)
        if not match:
            return path
        repo = next(r for r in self.world.repos.values() if r.id == int(match[1]))
        return f"/repos/{repo.full_name}{match[2]}"

    def _moved(self, method: str, path: str, query: str) -> Reply | None:
        match = re.match(r"/repos/([^/]+/[^/]+)(/.*|$)", path)
        if not match or match[1] not in self.world.renamed:
            return None
        repo = self.world.repos[self.world.renamed[match[1]]]
        target = f"{self.url}/repositories/{repo.id}{match[2]}" + (f"?{query}" if query else "")
        status = 301 if method == "GET" else 307
        return Reply(
            status,
            {"message": "Moved Permanently", "url": target, "documentation_url": "https://docs.github.com"},
            {"Location": target},
        )

    def _conditional(self, call: Call, reply: Reply) -> Reply:
        """Entity tags: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api"""
        if call.method != "GET" or reply.status != 200:
            return reply
        tag = f'W/"{hashlib.sha256(reply.data).hexdigest()[:32]}"'
        if call.headers.get("if-none-match") == tag:
            return Reply(304, None, {"ETag": tag})
        self.world.rate_used += 1
        reply.headers["ETag"] = tag
        return reply

    def _with_rate(self, reply: Reply) -> Reply:
        world = self.world
        reset = {"X-RateLimit-Limit": str(world.rate_limit), "X-RateLimit-Reset": str(int(world.now) + 60)}
        remaining = {"X-RateLimit-Remaining": str(max(0, world.rate_limit - world.rate_used))}
        reply.headers = {**reset, **remaining, **reply.headers}
        return reply

    # -------------------------------------------------------------------------------------------- access

    def _admit(self, call: Call, needs: str) -> None:
        if needs == "app":
            self._check_jwt(call)
        elif needs != "none":
            call.credential = self._token(call)
            if "owner" in call.names:
                call.admitted = self._repo(call)
            self._check_permission(call.token, needs)

    def _credential(self, call: Call) -> str:
        return call.headers.get("authorization", "").partition(" ")[2]

    def _check_jwt(self, call: Call) -> None:
        try:
            options = {"verify_exp": False, "verify_iat": False}
            claims = jwt.decode(self._credential(call), public_key(private_key()), ["RS256"], options=options)  # pyright: ignore[reportArgumentType]
        except jwt.InvalidTokenError as error:
            raise RefusedError(401, "A JSON web token could not be decoded") from error
        now = time.time() + self.world.skew_s
        if claims["iat"] > now + 5 or claims["exp"] <= now:
            raise RefusedError(
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time of the assertion",
            )
        if claims["exp"] > now + 605 or str(claims["iss"]) != str(APP_ID):
            raise RefusedError(401, "'Expiration time' claim ('exp') is too far in the future")

    def _token(self, call: Call) -> Token:
        token = self.world.tokens.get(self._credential(call))
        if token is None or token.expires_at <= self.world.now:
            raise RefusedError(401, "Bad credentials")
        return token

    def _repo(self, call: Call) -> Repo:
        repo = self.world.repos.get(f"{call.names['owner']}/{call.names['repo']}")
        allowed = call.token.repositories
        if repo is None or repo.owner != call.token.installation.account:
            raise RefusedError(404, "Not Found")
        if allowed is not None and repo.id not in allowed:
            raise RefusedError(404, "Not Found")
        return repo

    def _check_permission(self, token: Token, needs: str) -> None:
        name, _, level = needs.partition(":")
        held = token.permissions.get(name, "none")
        if held == "none" or (level == "write" and held != "write"):
            raise RefusedError(403, "Resource not accessible by integration")

    # -------------------------------------------------------------------------------------------- records

    def user(self, login: str) -> dict[str, Any]:
        """A user as GitHub shows one."""
        kind = "Bot" if login.endswith("[bot]") else "User"
        return {"login": login, "id": self.world.user_id(login), "type": kind}

    def repository(self, repo: Repo) -> dict[str, Any]:
        """A repository as GitHub shows one."""
        return {
            "id": repo.id, "name": repo.name, "full_name": repo.full_name, "private": repo.private,
            "owner": self.user(repo.owner), "default_branch": repo.default_branch, "fork": False,
            "clone_url": self.git_urls.get(repo.full_name, f"{self.url}/{repo.full_name}.git"),
        }  # fmt: skip

    def pull(self, repo: Repo, pull: Pull) -> dict[str, Any]:
        """A pull request as GitHub shows one."""
        head = self.world.repos.get(pull.head_repo or "", repo if pull.head_repo == "" else None)
        shown = None if head is None else self.repository(head)
        label = f"{head.owner if head else 'unknown'}:{pull.head_ref}"
        return {
            "id": repo.id * 1000 + pull.number, "number": pull.number, "state": pull.state,
            "title": pull.title,
            "draft": pull.draft, "user": self.user(pull.user), "body": None, "updated_at": MOMENT,
            "merged": pull.merged_at is not None, "merged_at": pull.merged_at,
            "merge_commit_sha": pull.merge_commit_sha, "changed_files": len(pull.files),
            "commits": len(pull.commits), "author_association": "CONTRIBUTOR",
            "head": {"ref": pull.head_ref, "sha": pull.head_sha, "repo": shown, "label": label,
                     "user": self.user(head.owner if head else "ghost")},
            "base": {"ref": pull.base_ref, "sha": pull.base_sha, "repo": self.repository(repo),
                     "label": f"{repo.owner}:{pull.base_ref}", "user": self.user(repo.owner)},
        }  # fmt: skip

    def comment(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A comment as GitHub shows one."""
        known = {key: record[key] for key in ("id", "body", "created_at", "updated_at")}
        is_ours = record["user"] == BOT
        return known | {
            "user": self.user(record["user"]), "author_association": "NONE",
            "performed_via_github_app": {"id": APP_ID, "slug": SLUG} if is_ours else None,
        }  # fmt: skip

    def mould(self, call: Call, template: str, known: Any, status: int = 200) -> Reply:
        """A reply in the shape that the description gives this operation."""
        return Reply(status, shape(answer_schema(template, call.method, status), known))

    def paged(self, call: Call, template: str, items: list[Any], wrap: str = "") -> Reply:
        """One page of a list, with GitHub's Link header."""
        size, page = int(call.query.get("per_page", "30")), int(call.query.get("page", "1"))
        assert size <= 100, "GitHub gives at most 100 a page"
        part = items[(page - 1) * size : page * size]
        known = {wrap: part, "total_count": len(items)} if wrap else part
        reply = self.mould(call, template, known)
        if page * size < len(items):
            rest = "&".join(f"{k}={v}" for k, v in {**call.query, "page": str(page + 1)}.items())
            reply.headers["Link"] = f'<{self.url}{call.path}?{rest}>; rel="next"'
        return reply

    def find_fault(self, method: str, path: str) -> Fault | None:
        """The first queued fault that fits; it is used up."""
        for fault in self.world.faults:
            if fault.times > 0 and fault.method in {method, "*"} and re.search(fault.pattern, path):
                fault.times -= 1
                return fault
        return None
