"""Is the app well? Questions to GitHub, each with an answer, what was seen, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from connectors.github import GitHubError
from connectors.github.app import EVENTS, PERMISSIONS, App, Installation
from connectors.github.payload import Json, number, record, text

MAX_CLOCK_DIFFERENCE_S = 45.0  # an assertion is dated back a minute
N_DELIVERIES = 100
_LEVELS = {"": 0, "none": 0, "read": 1, "write": 2, "admin": 3}


class State(StrEnum):
    """How a check went. UNKNOWN: another failure stood before it."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. advice: what to do, "" when all is well."""

    name: str
    state: State
    seen: str
    advice: str = ""


def examine(app: App, hook_url: str | None) -> Iterator[Finding]:
    """Clock, identity, permissions, events, webhook, installations and recent deliveries.

    Args:
        hook_url: where deliveries should go; None: not known here.
    """
    yield _clock(app)
    try:
        shown = app.client.get("/app").json
    except GitHubError as error:
        yield Finding(
            "identity", State.FAILED, str(error), "compare the app's id and key with its settings page"
        )
        return
    yield Finding("identity", State.OK, f"app {number(shown, 'id')}, {text(shown, 'slug')}")
    yield _permissions("permissions", _strings(record(shown, "permissions")))
    yield _events("events", tuple(map(str, shown.get("events", ()))))
    for check in (_hook, _installations, _deliveries):
        try:
            yield from check(app, hook_url)
        except GitHubError as error:
            yield Finding(
                check.__name__.strip("_"), State.FAILED, str(error), "try again; see GitHub's answer"
            )


def _strings(value: Json) -> dict[str, str]:
    return {name: str(level) for name, level in value.items()}


def _clock(app: App) -> Finding:
    try:
        difference = app.client.clock_difference()
    except GitHubError as error:
        return Finding("clock", State.UNKNOWN, str(error), "check the network and ROUTEPRINT_GITHUB_URL")
    if difference is None:
        return Finding("clock", State.UNKNOWN, "GitHub named no time")
    seen = f"{abs(difference):.0f} s {'behind' if difference > 0 else 'ahead of'} GitHub's clock"
    if abs(difference) <= MAX_CLOCK_DIFFERENCE_S:
        return Finding("clock", State.OK, seen)
    return Finding(
        "clock", State.FAILED, seen, "set this machine's clock (NTP); GitHub refuses assertions from it"
    )


def _permissions(name: str, held: Mapping[str, str]) -> Finding:
    missing = [
        f"{p}:{level}" for p, level in PERMISSIONS.items() if _LEVELS.get(held.get(p, ""), 0) < _LEVELS[level]
    ]
    extra = [
        f"{p}:{level}" for p, level in held.items() if _LEVELS.get(level, 9) > _LEVELS[PERMISSIONS.get(p, "")]
    ]
    if missing:
        return Finding(
            name, State.FAILED, f"missing {', '.join(missing)}", "grant them on the app's settings page"
        )
    if extra:
        seen = f"also holds {', '.join(sorted(extra))}"
        return Finding(name, State.WARNING, seen, "take away what is not needed")
    return Finding(name, State.OK, ", ".join(f"{p}:{level}" for p, level in sorted(held.items())))


def _events(name: str, subscribed: tuple[str, ...]) -> Finding:
    missing = sorted(set(EVENTS) - set(subscribed))
    if missing:
        return Finding(
            name, State.FAILED, f"missing {', '.join(missing)}", "subscribe on the app's settings page"
        )
    return Finding(name, State.OK, f"{len(subscribed)} events")


# https://docs.github.com/rest/apps/webhooks#get-a-webhook-configuration-for-an-app
def _hook(app: App, hook_url: str | None) -> Iterator[Finding]:
    shown = app.client.get("/app/hook/config").json
    url, wrong = text(shown, "url"), []
    if hook_url is not None and url != hook_url:
        wrong.append(f"expected {hook_url}")
    if not text(shown, "secret"):
        wrong.append("no secret is set")
    if text(shown, "content_type") != "json":
        wrong.append("the content type is not JSON")
    if str(shown.get("insecure_ssl", "0")) != "0":
        wrong.append("certificates are not checked")
    if wrong:
        seen = "; ".join([f"deliveries go to {url or 'nowhere'}", *wrong])
        yield Finding("webhook", State.FAILED, seen, "change it on the app's settings page")
    else:
        yield Finding("webhook", State.OK, f"deliveries go to {url}")


def _installations(app: App, _: str | None) -> Iterator[Finding]:
    found = app.installations()
    if not found:
        yield Finding("installations", State.WARNING, "none", "install the app on an organisation or account")
    yield from (_installation(one) for one in found)


def _installation(found: Installation) -> Finding:
    name = f"installed on {found.account.login}"
    if found.is_suspended:
        return Finding(name, State.WARNING, "suspended", "the owner can lift that")
    judged = _permissions(name, found.permissions)
    if judged.state is State.FAILED:
        return Finding(name, State.FAILED, judged.seen, "its owner must accept the new permissions")
    return Finding(name, State.OK, "permissions accepted")


# https://docs.github.com/rest/apps/webhooks#list-deliveries-for-an-app-webhook
def _deliveries(app: App, _: str | None) -> Iterator[Finding]:
    recent = list(islice(app.client.pages("/app/hook/deliveries"), N_DELIVERIES))
    codes = Counter(number(found, "status_code") for found in recent)
    failed = {code: n for code, n in codes.items() if not 200 <= code < 300}
    if not recent:
        yield Finding("deliveries", State.UNKNOWN, "none yet", "open a pull request, then look again")
    elif failed:
        seen = f"{sum(failed.values())} of {len(recent)} failed (" + ", ".join(
            f"{n} with {code or 'no answer'}" for code, n in sorted(failed.items())
        )
        state = State.FAILED if number(recent[0], "status_code") in failed else State.WARNING
        yield Finding("deliveries", state, seen + ")", "GitHub must reach the webhook's address; see the log")
    else:
        yield Finding("deliveries", State.OK, f"the last {len(recent)} were answered")
