"""The manifest and the exchange of its code."""

from __future__ import annotations

import pytest

from connectors.github import GoneError
from connectors.github.app import EVENTS
from connectors.github.manifest import build_manifest, convert_code, registration_url, web_url


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://github.acme.example/api/v3", "https://github.acme.example"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
    ],
)
def test_the_site_of_an_api(api: str, web: str):
    assert web_url(api) == web


def test_who_will_own_the_app():
    assert (
        registration_url("https://api.github.com", None, "s")
        == "https://github.com/settings/apps/new?state=s"
    )
    of_acme = registration_url("https://api.github.com", "ac/me", "s")
    assert of_acme == "https://github.com/organizations/ac%2Fme/settings/apps/new?state=s"


def test_the_manifest_asks_for_no_more_than_is_needed():
    manifest = build_manifest("Routeprint", "https://rp.example/", "http://127.0.0.1:1/callback")
    assert manifest["default_permissions"] == {
        "metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write",
    }  # fmt: skip
    assert manifest["hook_attributes"]["url"] == "https://rp.example/webhooks/github"
    assert set(manifest["default_events"]) == set(EVENTS)
    assert manifest["public"] is False


def test_a_code_is_exchanged_without_a_credential(bench):
    app = convert_code(bench.app.dials, "good-code")
    assert app.private_key.startswith("-----BEGIN")
    assert app.private_key not in repr(app)
    assert app.webhook_secret not in repr(app)
    with pytest.raises(GoneError):
        convert_code(bench.app.dials, "used/../code")
