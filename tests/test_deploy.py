"""What is shipped in containers: the API's packages are enough for it, and hold no torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

HERE = Path(__file__).resolve().parent.parent
DEPLOY = HERE / "deploy"

ONLY_SLIM = """
import sys
from importlib.metadata import packages_distributions
from packaging.utils import canonicalize_name
allowed = set(sys.argv[1].split(","))
modules = {name for name, owners in packages_distributions().items()
           if not allowed & {canonicalize_name(owner) for owner in owners}}
modules -= {"service", "fingerprint", "connectors", "packaging", "_distutils_hack"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in modules:
            raise ModuleNotFoundError(f"No module named {name!r} in the slim image", name=name)
sys.meta_path.insert(0, Absent())
for name in list(sys.modules):
    if name.partition(".")[0] in modules:
        del sys.modules[name]
"""
SERVE = """
import uvicorn
from service.cli import serving
def look(app, **how):
    assert {"/webhooks/github", "/v1/reviews"} <= set(app.openapi()["paths"]), "the whole API is there"
    assert app.state.parts.store and "service.api.own_pages" in sys.modules, "and the pages"
    assert not {"torch", "transformers", "sklearn", "scipy", "git"} & sys.modules.keys()
    print("served", how["host"])
uvicorn.run = look
from service.cli.main import app
app(["tokens", "create", "x"], standalone_mode=False)
app(["serve", "--api-only", "--host", "0.0.0.0"], standalone_mode=False)
"""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A process's environment with settings."""
    settings = {f"ROUTEPRINT_{name}": value for name, value in variables.items()}
    return {**os.environ, "PYTHONPATH": str(HERE), "ROUTEPRINT_HOME": str(home), **settings}


def run(command: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process with Python, without a check."""
    return subprocess.run(
        [sys.executable, *command], cwd=HERE, env=variables, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def slim() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slim", DEPLOY / "slim.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_the_apis_packages_is_current(slim: ModuleType) -> None:
    assert slim.PLACE.read_text() == slim.render(), "run `python deploy/slim.py`"
    assert not {"torch", "transformers", "scikit-learn", "gitpython"} & slim.needed()


def test_the_api_starts_with_those_packages_alone(slim: ModuleType, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("a key that nobody uses before the first request to GitHub")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "routeprint_github_webhook_secret").write_text("from a file")
    variables = environment(
        tmp_path, GITHUB_APP_ID="7", GITHUB_PRIVATE_KEY_FILE=str(key), SECRETS_DIR=str(secrets)
    )
    done = run(["-c", ONLY_SLIM + SERVE, ",".join(slim.needed())], variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rp_") and done.stdout.endswith("served 0.0.0.0\n")


def test_without_a_secret_webhooks_do_not_start(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("a key")
    variables = environment(tmp_path, GITHUB_APP_ID="7", GITHUB_PRIVATE_KEY_FILE=str(key))
    done = run(["-m", "service.cli.main", "serve", "--api-only"], variables)
    assert done.returncode == 2
    assert "ROUTEPRINT_GITHUB_WEBHOOK_SECRET" in done.stderr


def test_tokens_may_be_off_on_this_machine_alone(tmp_path: Path) -> None:
    command = ["-m", "service.cli.main", "serve", "--api-only", "--host", "0.0.0.0"]  # noqa: S104
    done = run(command, environment(tmp_path, API_TOKENS="false"))
    assert (done.returncode, "other machines" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.workers.yaml"])
def test_containers_of_ours_are_hardened_and_have_secrets_as_files(name: str) -> None:
    compose = yaml.safe_load((DEPLOY / name).read_text())
    for service, about in compose["services"].items():
        assert about["read_only"] is True, service
        assert "no-new-privileges:true" in about["security_opt"]
        assert all(port.startswith("127.0.0.1:") for port in about.get("ports", []))
        assert set(about["secrets"]) <= compose["secrets"].keys()
        if service != "database":
            assert (about["user"], about["cap_drop"]) == ("10001:10001", ["ALL"]), service
        text = yaml.safe_dump(about.get("environment", {})).lower()
        assert "password:" not in text and "webhook_secret:" not in text and "database_url:" not in text


@pytest.mark.parametrize("name", ["api.Dockerfile", "worker.Dockerfile"])
def test_images_run_as_nobody_in_particular(name: str) -> None:
    lines = (DEPLOY / name).read_text().splitlines()
    assert "USER 10001:10001" in lines
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    allowed = {line[1:] for line in (HERE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied <= allowed
