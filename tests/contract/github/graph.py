"""The fake's /graphql: graphql-core over the trimmed schema, with the merged pull requests of the world."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from graphql import GraphQLSchema, build_schema, graphql_sync

from tests.contract.github.contract import HERE
from tests.contract.github.world import Pull, Repo, World

if TYPE_CHECKING:
    from tests.contract.github.fake import Reply


@cache
def schema() -> GraphQLSchema:
    """The part of GitHub's schema that our queries touch."""
    return build_schema((HERE / "schema.graphql").read_text())


def run_query(world: World, body: dict[str, Any]) -> Reply:
    """Errors come with status 200, as GitHub's do."""
    from tests.contract.github.fake import Reply

    root = {
        "repository": _repository(world),
        "rateLimit": {"cost": 16, "remaining": 4984, "resetAt": "2026-01-05T10:00:00Z"},
    }
    result = graphql_sync(schema(), body["query"], root, variable_values=body.get("variables"))
    shown = dict(result.formatted)
    return Reply(200, {key: shown[key] for key in ("data", "errors") if key in shown})


def _repository(world: World) -> Callable[..., Any]:
    def resolve(_info: Any, owner: str, name: str) -> dict[str, Any] | None:
        full = world.renamed.get(f"{owner}/{name}", f"{owner}/{name}")
        repo = world.repos.get(full)
        if repo is None:
            return None
        return {"databaseId": repo.id, "nameWithOwner": repo.full_name, "pullRequests": _pulls(world, repo)}

    return resolve


def _pulls(world: World, repo: Repo) -> Callable[..., Any]:
    def resolve(_info: Any, first: int, after: str | None = None, **_: Any) -> dict[str, Any]:
        assert first <= 100, "GitHub gives at most 100 nodes of a connection"
        merged = sorted((p for p in repo.pulls.values() if p.merged_at), key=lambda p: -p.number)
        start = int(after or 0)
        page = merged[start : start + first]
        more = start + first < len(merged)
        return {
            "pageInfo": {"hasNextPage": more, "endCursor": str(start + first)},
            "nodes": [_pull(world, pull) for pull in page],
        }

    return resolve


def _actor(world: World, login: str | None) -> dict[str, Any] | None:
    if login is None:
        return None
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"__typename": kind, "login": login.removesuffix("[bot]"), "databaseId": world.user_id(login)}


def _pull(world: World, pull: Pull) -> dict[str, Any]:
    return {
        "number": pull.number, "title": pull.title, "mergedAt": pull.merged_at, "updatedAt": pull.merged_at,
        "baseRefName": pull.base_ref, "baseRefOid": pull.base_sha, "headRefOid": pull.head_sha,
        "author": _actor(world, pull.user),
        "mergeCommit": {"oid": pull.merge_commit_sha} if pull.merge_commit_sha else None,
        "commits": _connection([{"commit": _commit(world, c)} for c in pull.commits]),
        "reviewThreads": _connection([_thread(world, t) for t in pull.threads]),
    }  # fmt: skip


def _commit(world: World, commit: dict[str, Any]) -> dict[str, Any]:
    login = commit.get("login")
    user = {"databaseId": world.user_id(login), "login": login} if login else None
    author = {"name": commit["name"], "email": commit["email"], "user": user}
    return {
        "oid": commit["sha"],
        "message": commit["message"],
        "authoredDate": commit["date"],
        "author": author,
    }


def _thread(world: World, thread: dict[str, Any]) -> dict[str, Any]:
    comments = [
        {"body": c["body"], "createdAt": "2026-01-05T09:00:00Z", "author": _actor(world, c["user"]),
         "originalCommit": {"oid": c["commit"]} if "commit" in c else None}
        for c in thread["comments"]
    ]  # fmt: skip
    known = {"isOutdated": False, "startLine": None, "originalLine": None, "diffSide": "RIGHT"}
    return {**known, **thread, "comments": _connection(comments)}


def _connection(nodes: list[Any]) -> Callable[..., Any]:
    def resolve(_info: Any, first: int) -> dict[str, Any]:
        assert first <= 100, "GitHub gives at most 100 nodes of a connection"
        return {"totalCount": len(nodes), "nodes": nodes[:first]}

    return resolve
