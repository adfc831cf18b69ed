"""What the fake does for each operation; registered in ``fake.ROUTES`` when imported."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from tests.contract.github.contract import MOMENT
from tests.contract.github.fake import _REPO, Call, FakeGitHub, RefusedError, Reply, route
from tests.contract.github.world import APP_ID, SLUG, Installation, Pull, Token, private_key

_ISSUE_COMMENTS = f"{_REPO}/issues/{{issue_number}}/comments"
_COMMENT = f"{_REPO}/issues/comments/{{comment_id}}"
_RUN = f"{_REPO}/check-runs/{{check_run_id}}"
_PULL = f"{_REPO}/pulls/{{pull_number}}"
_INSTALLATION = "/app/installations/{installation_id}"
_DELIVERY = "/app/hook/deliveries/{delivery_id}"


# ----------------------------------------------------------------------------------------------- app


@route("GET", "/app", "app")
def get_app(fake: FakeGitHub, call: Call) -> Reply:
    world = fake.world
    known = {"id": APP_ID, "slug": SLUG, "name": "Routeprint", "permissions": world.app_permissions,
             "events": list(world.app_events), "client_id": "Iv1.abc"}  # fmt: skip
    return fake.mould(call, "/app", known)


@route("POST", "/app-manifests/{code}/conversions", "none")
def convert_manifest(fake: FakeGitHub, call: Call) -> Reply:
    if call.names["code"] != "good-code":
        raise RefusedError(404, "Not Found")
    known = {"id": APP_ID, "slug": SLUG, "name": "Routeprint", "client_id": "Iv1.abc",
             "client_secret": "c" * 40,
             "webhook_secret": "made-by-github", "pem": private_key(), "permissions": {}, "events": [],
             "html_url": "https://github.example/apps/routeprint"}  # fmt: skip
    return fake.mould(call, "/app-manifests/{code}/conversions", known, 201)


@route("GET", "/app/hook/config", "app")
def get_hook(fake: FakeGitHub, call: Call) -> Reply:
    known = {"url": fake.world.webhook_url, "content_type": "json", "insecure_ssl": "0", "secret": "********"}
    return fake.mould(call, "/app/hook/config", known)


@route("GET", "/app/hook/deliveries", "app")
def list_deliveries(fake: FakeGitHub, call: Call) -> Reply:
    size, start = int(call.query.get("per_page", "30")), int(call.query.get("cursor", "0"))
    items = fake.world.deliveries
    reply = fake.mould(call, "/app/hook/deliveries", items[start : start + size])
    if start + size < len(items):
        reply.headers["Link"] = f'<{fake.url}{call.path}?per_page={size}&cursor={start + size}>; rel="next"'
    return reply


@route("GET", _DELIVERY, "app")
def get_delivery(fake: FakeGitHub, call: Call) -> Reply:
    found = [d for d in fake.world.deliveries if d["id"] == int(call.names["delivery_id"])]
    if not found:
        raise RefusedError(404, "Not Found")
    return fake.mould(call, _DELIVERY, found[0])


@route("POST", f"{_DELIVERY}/attempts", "app")
def redeliver(fake: FakeGitHub, call: Call) -> Reply:
    fake.world.attempts.append(int(call.names["delivery_id"]))
    return Reply(202, {})


def _installation(fake: FakeGitHub, found: Installation) -> dict[str, Any]:
    account = fake.user(found.account) | {"name": found.account}  # the list's schema wants one
    return {
        "id": found.id, "app_id": APP_ID, "app_slug": SLUG, "account": account, "target_type": "Organization",
        "permissions": found.permissions, "events": list(found.events), "suspended_at": found.suspended_at,
    }  # fmt: skip


def _find_installation(fake: FakeGitHub, call: Call) -> Installation:
    found = fake.world.installations.get(int(call.names["installation_id"]))
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


@route("GET", "/app/installations", "app")
def list_installations(fake: FakeGitHub, call: Call) -> Reply:
    known = [_installation(fake, found) for found in fake.world.installations.values()]
    return fake.paged(call, "/app/installations", known)


@route("GET", _INSTALLATION, "app")
def get_installation(fake: FakeGitHub, call: Call) -> Reply:
    return fake.mould(call, _INSTALLATION, _installation(fake, _find_installation(fake, call)))


@route("GET", f"{_REPO}/installation", "app")
def get_repo_installation(fake: FakeGitHub, call: Call) -> Reply:
    name = f"{call.names['owner']}/{call.names['repo']}"
    found = [i for i in fake.world.installations.values() if i.account == call.names["owner"]]
    if not found or name not in fake.world.repos:
        raise RefusedError(404, "Not Found")
    return fake.mould(call, f"{_REPO}/installation", _installation(fake, found[0]))


@route("POST", f"{_INSTALLATION}/access_tokens", "app")
def create_token(fake: FakeGitHub, call: Call) -> Reply:
    found, asked = _find_installation(fake, call), call.body or {}
    if found.suspended_at:
        raise RefusedError(403, "This installation has been suspended")
    permissions = asked.get("permissions", found.permissions)
    if any(found.permissions.get(name) not in {level, "write"} for name, level in permissions.items()):
        raise RefusedError(422, "The permissions requested are not granted to this installation.")
    ids = asked.get("repository_ids")
    if ids is not None and not set(ids) <= {repo.id for repo in fake.world.repos.values()}:
        raise RefusedError(422, "There is at least one repository that does not exist or is not accessible")
    text = f"ghs_{APP_ID}_{secrets.token_urlsafe(300)}.{secrets.token_urlsafe(64)}"  # no longer 40 characters
    expires = fake.world.now + fake.world.token_life_s
    permissions = {"metadata": "read", **permissions}
    fake.world.tokens[text] = Token(
        text, found, expires, permissions, None if ids is None else frozenset(ids)
    )
    moment = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {"token": text, "expires_at": moment, "permissions": permissions}
    return fake.mould(call, f"{_INSTALLATION}/access_tokens", known, 201)


@route("GET", "/installation/repositories")
def list_repositories(fake: FakeGitHub, call: Call) -> Reply:
    mine = [r for r in fake.world.repos.values() if r.owner == call.token.installation.account]
    return fake.paged(call, "/installation/repositories", [fake.repository(r) for r in mine], "repositories")


@route("GET", "/rate_limit")
def rate_limit(fake: FakeGitHub, call: Call) -> Reply:
    world = fake.world
    core = {"limit": world.rate_limit, "remaining": world.rate_limit - world.rate_used,
            "used": world.rate_used, "reset": int(world.now) + 60}  # fmt: skip
    return fake.mould(call, "/rate_limit", {"resources": {"core": core, "search": core}, "rate": core})


@route("GET", "/users/{username}")
def get_user(fake: FakeGitHub, call: Call) -> Reply:
    known = fake.user(call.names["username"]) | {"user_view_type": "public"}
    return fake.mould(call, "/users/{username}", known)


# ------------------------------------------------------------------------------------------ repository


@route("GET", _REPO)
def get_repository(fake: FakeGitHub, call: Call) -> Reply:
    return fake.mould(call, _REPO, fake.repository(call.repo))


@route("GET", f"{_REPO}/collaborators/{{username}}/permission")
def get_permission(fake: FakeGitHub, call: Call) -> Reply:
    login = call.names["username"]
    known = {"permission": call.repo.people.get(login, "none"), "user": fake.user(login), "role_name": "x"}
    return fake.mould(call, f"{_REPO}/collaborators/{{username}}/permission", known)


@route("GET", f"{_REPO}/contents/{{path}}", "contents:read")
def get_contents(fake: FakeGitHub, call: Call) -> Reply:
    text = call.repo.files.get((call.query.get("ref", call.repo.default_branch), call.names["path"]))
    if text is None:
        raise RefusedError(404, "Not Found")
    return Reply(200, text, kind="application/vnd.github.raw+json; charset=utf-8")


@route("GET", f"{_REPO}/pulls", "pull_requests:read")
def list_pulls(fake: FakeGitHub, call: Call) -> Reply:
    state, head = call.query.get("state", "open"), call.query.get("head", "")
    pulls = [p for p in call.repo.pulls.values() if state in {"all", p.state}]
    pulls = [p for p in pulls if not head or head.partition(":")[2] == p.head_ref]
    return fake.paged(call, f"{_REPO}/pulls", [fake.pull(call.repo, p) for p in pulls])


def _pull(call: Call) -> Pull:
    found = call.repo.pulls.get(int(call.names["pull_number"]))
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


@route("GET", _PULL, "pull_requests:read")
def get_pull(fake: FakeGitHub, call: Call) -> Reply:
    pull = _pull(call)
    if "diff" not in call.headers.get("accept", ""):
        return fake.mould(call, _PULL, fake.pull(call.repo, pull))
    if pull.diff is None:
        raise RefusedError(406, "Sorry, the diff exceeded the maximum number of files (300).")
    return Reply(200, pull.diff, kind="application/vnd.github.diff; charset=utf-8")


@route("GET", f"{_PULL}/files", "pull_requests:read")
def list_files(fake: FakeGitHub, call: Call) -> Reply:
    return fake.paged(call, f"{_PULL}/files", _pull(call).files[:3000])


@route("GET", f"{_PULL}/commits", "pull_requests:read")
def list_commits(fake: FakeGitHub, call: Call) -> Reply:
    known = [_commit(fake, commit) for commit in _pull(call).commits[:250]]
    return fake.paged(call, f"{_PULL}/commits", known)


def _commit(fake: FakeGitHub, commit: dict[str, Any]) -> dict[str, Any]:
    who = {"name": commit["name"], "email": commit["email"], "date": commit["date"]}
    login = commit.get("login")
    detail = {"author": who, "committer": who, "message": commit["message"]}
    return {
        "sha": commit["sha"],
        "author": fake.user(login) if login else None,
        "committer": None,
        "commit": detail,
    }


@route("GET", f"{_REPO}/commits/{{commit_sha}}/pulls", "pull_requests:read")
def list_pulls_of_commit(fake: FakeGitHub, call: Call) -> Reply:
    sha = call.names["commit_sha"]
    pulls = [p for p in call.repo.pulls.values() if sha in {p.head_sha, p.merge_commit_sha}]
    return fake.paged(call, f"{_REPO}/commits/{{commit_sha}}/pulls", [fake.pull(call.repo, p) for p in pulls])


# -------------------------------------------------------------------------------------------- comments


@route("GET", _ISSUE_COMMENTS, "pull_requests:read")
def list_comments(fake: FakeGitHub, call: Call) -> Reply:
    number = int(call.names["issue_number"])
    found = [c for c in fake.world.comments.values() if (c["repo"], c["number"]) == (call.repo.id, number)]
    return fake.paged(call, _ISSUE_COMMENTS, [fake.comment(c) for c in found])


@route("POST", _ISSUE_COMMENTS, "pull_requests:write")
def create_comment(fake: FakeGitHub, call: Call) -> Reply:
    number = int(call.names["issue_number"])
    if number not in call.repo.pulls:
        raise RefusedError(404, "Not Found")
    record = fake.world.comment(call.repo, number, f"{SLUG}[bot]", _body(call))
    return fake.mould(call, _ISSUE_COMMENTS, fake.comment(record), 201)


def _body(call: Call) -> str:
    body = call.body["body"]
    if not body.strip() or len(body) > 65_536:
        raise RefusedError(422, "Validation Failed: body is too long (maximum is 65536 characters)")
    return body


def _comment(fake: FakeGitHub, call: Call) -> dict[str, Any]:
    found = fake.world.comments.get(int(call.names["comment_id"]))
    if found is None or found["repo"] != call.repo.id:
        raise RefusedError(404, "Not Found")
    return found


@route("GET", _COMMENT, "pull_requests:read")
def get_comment(fake: FakeGitHub, call: Call) -> Reply:
    return fake.mould(call, _COMMENT, fake.comment(_comment(fake, call)))


@route("PATCH", _COMMENT, "pull_requests:write")
def update_comment(fake: FakeGitHub, call: Call) -> Reply:
    found = _comment(fake, call)
    found["body"] = _body(call)
    return fake.mould(call, _COMMENT, fake.comment(found))


@route("DELETE", _COMMENT, "pull_requests:write")
def delete_comment(fake: FakeGitHub, call: Call) -> Reply:
    del fake.world.comments[_comment(fake, call)["id"]]
    return Reply(204)


# ------------------------------------------------------------------------------------------ check runs


def _run(fake: FakeGitHub, record: dict[str, Any]) -> dict[str, Any]:
    count = len(fake.world.annotations[record["id"]])
    known = {k: v for k, v in record.items() if k not in {"repo", "actions"}}
    known["output"] = (
        {"title": None, "summary": None, "text": None} | record["output"] | {"annotations_count": count}
    )
    return known | {"app": {"id": APP_ID, "slug": SLUG}, "pull_requests": []}


def _write_run(fake: FakeGitHub, record: dict[str, Any], body: dict[str, Any]) -> None:
    output = dict(body.pop("output", {}))
    fake.world.annotations[record["id"]].extend(output.pop("annotations", []))  # a PATCH appends
    record["output"] = {**record["output"], **output}
    record.update(body)
    if record.get("conclusion"):
        record["status"] = "completed"
        record["completed_at"] = record.get("completed_at") or MOMENT
    elif record["status"] == "completed":
        raise RefusedError(422, "Validation Failed: a completed check run needs a conclusion")


@route("POST", f"{_REPO}/check-runs", "checks:write")
def create_run(fake: FakeGitHub, call: Call) -> Reply:
    identity = next(fake.world.ids)
    record: dict[str, Any] = {"id": identity, "repo": call.repo.id, "status": "queued", "conclusion": None,
                              "started_at": MOMENT, "completed_at": None, "output": {}, "external_id": "",
                              "details_url": "https://github.example/run"}  # fmt: skip
    fake.world.annotations[identity] = []
    _write_run(fake, record, dict(call.body))
    fake.world.check_runs[identity] = record
    return fake.mould(call, f"{_REPO}/check-runs", _run(fake, record), 201)


def _find_run(fake: FakeGitHub, call: Call) -> dict[str, Any]:
    found = fake.world.check_runs.get(int(call.names["check_run_id"]))
    if found is None or found["repo"] != call.repo.id:
        raise RefusedError(404, "Not Found")
    return found


@route("GET", _RUN, "checks:read")
def get_run(fake: FakeGitHub, call: Call) -> Reply:
    return fake.mould(call, _RUN, _run(fake, _find_run(fake, call)))


@route("PATCH", _RUN, "checks:write")
def update_run(fake: FakeGitHub, call: Call) -> Reply:
    record = _find_run(fake, call)
    _write_run(fake, record, dict(call.body))
    return fake.mould(call, _RUN, _run(fake, record))


@route("GET", f"{_RUN}/annotations", "checks:read")
def list_annotations(fake: FakeGitHub, call: Call) -> Reply:
    found = fake.world.annotations[_find_run(fake, call)["id"]]
    return fake.paged(call, f"{_RUN}/annotations", list(found))


@route("GET", f"{_REPO}/commits/{{ref}}/check-runs", "checks:read")
def list_runs(fake: FakeGitHub, call: Call) -> Reply:
    found = [r for r in fake.world.check_runs.values() if r["head_sha"] == call.names["ref"]]
    found = [
        r for r in found if r["repo"] == call.repo.id and call.query.get("check_name", r["name"]) == r["name"]
    ]
    shown = [_run(fake, record) for record in reversed(found)]
    return fake.paged(call, f"{_REPO}/commits/{{ref}}/check-runs", shown, "check_runs")
