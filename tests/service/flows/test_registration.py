"""Registering the app through its local page, and the doctor's view of the result, against the fake."""

from __future__ import annotations

import html
import json
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from rich.console import Console
from typer.testing import CliRunner

from connectors.github import WebhookError
from connectors.github.doctor import Finding, State
from service import ServiceError
from service.cli.main import app as command_line
from service.flows.doctor import diagnose, is_well
from service.flows.registration import load_app, register_app
from service.reports.doctor import render
from service.settings import Settings
from tests.contract.github.bench import Bench, connected
from tests.contract.github.world import private_key


@pytest.fixture
def bench() -> Iterator[Bench]:
    with connected() as found:
        yield found


@pytest.fixture
def settings(bench: Bench, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, github_url=bench.fake.url, github_write_pause_s=0)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
        return answer.read().decode()


def a_person(code: str, *, state: str | None = None):
    """Somebody who opens the page, presses the button, and is sent back by GitHub."""

    def visit(address: str) -> None:
        page = get(address)
        action = html.unescape(re.findall(r'action="([^"]+)"', page)[0])
        manifest = json.loads(html.unescape(re.findall(r'value="([^"]+)"', page)[0]))
        assert manifest["redirect_url"] == f"{address}/callback"
        right = parse_qs(urlsplit(action).query)["state"][0]
        get(f"{address}/callback?code={code}&state={state or right}")

    return visit


def register(settings: Settings, visit, wait_s: float = 5.0):
    return register_app(settings, "Routeprint", "https://rp.example", wait_s=wait_s, on_ready=visit)


def test_registration_stores_what_only_its_owner_can_read(settings: Settings):
    app, folder = register(settings, a_person("good-code"))
    assert app.slug == "routeprint"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"app.json": 0o600, "private-key.pem": 0o600}
    stored = load_app(settings)
    assert (stored.key.id, stored.secrets.current) == (app.id, "made-by-github")
    assert stored.key.private_key == private_key()
    with pytest.raises(ServiceError, match="exists already"):
        register(settings, lambda _: pytest.fail("it must be refused before anybody is asked"))


def test_a_forged_answer_is_refused(settings: Settings):
    def visit(address: str) -> None:
        with pytest.raises(urllib.error.HTTPError, match="400"):
            a_person("good-code", state="forged")(address)

    with pytest.raises(ServiceError, match="nobody finished"):
        register(settings, visit, wait_s=0.05)
    assert not (settings.home / "github").exists()


def test_the_public_address_must_be_https(settings: Settings):
    with pytest.raises(ServiceError, match="https://"):
        register_app(settings, "x", "http://rp.example", on_ready=lambda _: None)


def test_settings_win_over_what_is_stored(settings: Settings, tmp_path: Path):
    register(settings, a_person("good-code"))
    key = tmp_path / "other.pem"
    key.write_text("other key")
    changes = {"github_app_id": "Iv1.x", "github_private_key_file": key,
               "github_webhook_secret": SecretStr("s2"),
               "github_webhook_secret_previous": SecretStr("s1")}  # fmt: skip
    stored = load_app(settings.model_copy(update=changes))
    assert (stored.key.id, stored.key.private_key) == ("Iv1.x", "other key")
    assert (stored.secrets.current, stored.secrets.previous) == ("s2", "s1")
    assert "s2" not in repr(settings.model_copy(update=changes))


def test_without_an_app_there_is_advice(settings: Settings):
    with pytest.raises(ServiceError, match="routeprint github setup"):
        load_app(settings)
    (finding,) = diagnose(settings)
    assert finding.state is State.FAILED


def test_what_is_missing_of_an_app_is_named(settings: Settings, tmp_path: Path):
    known = settings.model_copy(update={
        "github_app_id": "1001", "github_private_key_file": tmp_path / "key",
        "github_webhook_secret": SecretStr("s"),
    })  # fmt: skip
    with pytest.raises(ServiceError, match=f"no private key at {tmp_path / 'key'}"):
        load_app(known)
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(ServiceError, match="cannot be read"):
        load_app(known)


def test_an_empty_secret_stops_the_start(settings: Settings, tmp_path: Path):
    key = tmp_path / "key.pem"
    key.write_text(private_key())
    known = {"github_app_id": "1001", "github_private_key_file": key}
    with pytest.raises(WebhookError, match="expected a webhook secret"):
        load_app(settings.model_copy(update=known))


# --------------------------------------------------------------------------------------------- doctor


@pytest.fixture
def registered(settings: Settings, bench: Bench) -> Settings:
    register(settings, a_person("good-code"))
    bench.repo()
    bench.world.fail("GET", "healthz$", 200, times=9)  # our own service, behind the same address
    bench.world.webhook_url = f"{bench.fake.url}/webhooks/github"
    return settings.model_copy(update={"public_url": bench.fake.url})


def by_name(settings: Settings) -> dict[str, Finding]:
    return {found.name: found for found in diagnose(settings)}


def delivery(status: int, number: int) -> dict[str, object]:
    return {"id": number, "guid": f"g{number}", "status_code": status, "status": "x", "event": "push",
            "action": None, "redelivery": False, "installation_id": None, "repository_id": None}  # fmt: skip


def test_a_well_app(registered: Settings, bench: Bench):
    bench.world.deliveries = [delivery(202, 1)]
    found = by_name(registered)
    states = {name: one.state for name, one in found.items()}
    wanted = "private key,clock,identity,permissions,events,webhook,installed on acme,deliveries,reachability"
    assert set(wanted.split(",")) == {name for name, state in states.items() if state is State.OK}
    assert found["secret"].state is State.WARNING  # the fake's is short
    assert is_well(tuple(found.values()))


def broken(bench: Bench, what: str) -> None:
    world = bench.world
    if what == "permissions":
        world.app_permissions["checks"] = "read"
    elif what == "events":
        world.app_events = ("push",)
    elif what == "webhook":
        world.webhook_url = "https://elsewhere.example/x"
    elif what == "clock":
        world.skew_s = 600.0
    elif what == "installed on acme":
        next(iter(world.installations.values())).permissions.pop("checks")
    elif what == "deliveries":
        world.deliveries = [delivery(500, 2), delivery(202, 1)]
    elif what == "reachability":
        world.faults.clear()
        world.fail("GET", "healthz", cuts=True)


@pytest.mark.parametrize(
    "what", ["permissions", "events", "webhook", "clock", "installed on acme", "deliveries", "reachability"]
)
def test_what_is_ill_is_named(registered: Settings, bench: Bench, what: str):
    broken(bench, what)
    found = by_name(registered)
    assert found[what].state is State.FAILED, found[what]
    assert found[what].advice
    assert not is_well(tuple(found.values()))


def test_more_than_is_needed_and_old_failures_are_warnings(registered: Settings, bench: Bench):
    bench.world.app_permissions["issues"] = "write"
    bench.world.deliveries = [delivery(202, 2), delivery(500, 1)]
    (registered.home / "github" / "private-key.pem").chmod(0o644)
    found = by_name(registered)
    for name in ("permissions", "deliveries", "private key"):
        assert found[name].state is State.WARNING
    assert "issues:write" in found["permissions"].seen
    assert is_well(tuple(found.values()))


def test_the_command_ends_with_2_when_something_failed(registered: Settings, bench: Bench):
    environment = {"ROUTEPRINT_GITHUB_URL": bench.fake.url, "ROUTEPRINT_HOME": str(registered.home),
                   "ROUTEPRINT_PUBLIC_URL": bench.fake.url, "COLUMNS": "200"}  # fmt: skip
    done = CliRunner().invoke(command_line, ["doctor"], env=environment)
    assert (done.exit_code, done.exception) == (0, None)
    assert "permissions" in done.output
    broken(bench, "webhook")
    done = CliRunner().invoke(command_line, ["doctor"], env=environment)
    assert done.exit_code == 2
    assert "elsewhere.example" in done.output


def test_text_from_github_does_not_act_on_the_terminal():
    console = Console(width=80, record=True, force_terminal=True)
    console.print(render([Finding("x", State.OK, "\x1b[31m[bold]red[/bold]")]))
    assert "[bold]red[/bold]" in console.export_text()
