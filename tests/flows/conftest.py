"""A small real repository of two hands, and the tiny base to learn it with."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fingerprint.config import AdapterConfig, DriftConfig, ProfileConfig
from service.flows.opened import OpenedProfile, open_profile
from service.settings import Settings

N_COMMITS = 120
PEOPLE = {
    "Ann Other <ann@example.org>": "def load_{name}(path):\n    config = read(path)\n    return config\n",
    "Bob Some <bob@example.org>": "def get{Name}(options):\n    result = fetch(options)\n    return result\n",
}
_NAMES = ("alpha", "beta", "gamma", "delta", "kappa", "omega", "sigma", "theta")


def function(author: str, rng: random.Random) -> str:
    name = rng.choice(_NAMES) + str(rng.randrange(1000))
    body = PEOPLE[author].format(name=name, Name=name.title())
    return (
        body + f"\n\ndef use_{name}(value):\n    total = value * {rng.randrange(100)}\n    return total\n\n\n"
    )


def fast_import(commits: list[tuple[str, str, str]]) -> bytes:
    """A stream of (author, path, whole text) commits, a day apart."""
    out: list[bytes] = []
    for day, (author, path, text) in enumerate(commits):
        stamp, data = f"{author} {1_700_000_000 + day * 86_400} +0000", text.encode()
        out += [b"commit refs/heads/main\n", f"author {stamp}\ncommitter {stamp}\ndata 4\nwork\n".encode()]
        out += [f"M 100644 inline {path}\ndata {len(data)}\n".encode(), data, b"\n"]
    return b"".join(out)


@pytest.fixture(scope="session")
def small_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rng = tmp_path_factory.mktemp("repositories") / "shop", random.Random(0)
    place.mkdir()
    texts: dict[str, str] = {}
    commits: list[tuple[str, str, str]] = []
    for number in range(N_COMMITS):
        author = list(PEOPLE)[number % 2]
        path = f"src/{_NAMES[number % 5]}_{number // 30}.py"
        texts[path] = texts.get(path, "import os\n\n\n") + function(author, rng) + function(author, rng)
        commits.append((author, path, texts[path]))
    git = ["git", "-C", str(place)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "fast-import", "--quiet"], input=fast_import(commits), check=True)
    subprocess.run([*git, "reset", "-q", "--hard"], check=True)
    return place


@pytest.fixture(scope="session")
def small_config(tiny_base_dir: Path) -> ProfileConfig:
    """Budgets that a tiny model on a small repository takes seconds for."""
    adapter = AdapterConfig(
        team_tokens=2_000, author_tokens=800, least_author_tokens=300, least_team_tokens=500
    )
    drift = DriftConfig(
        least_tokens=30,
        integration_points=1,
        explain_points=2,
        explained_hunks=1,
        power_draws=20,
        power_sizes=(60, 120),
    )
    return ProfileConfig(base=str(tiny_base_dir), adapter=adapter, drift=drift)


@pytest.fixture(scope="session")
def profiled_once(
    tmp_path_factory: pytest.TempPathFactory, small_repository: Path, small_config: ProfileConfig
) -> Settings:
    """A home in which the small repository is profiled, with two sets of nulls; for copying."""
    from service.flows.ingest import ingest
    from service.flows.profile import profile

    settings = Settings(home=tmp_path_factory.mktemp("profiled"), base=small_config.base, processes=1)
    ingest(small_repository, settings)
    profile(small_repository, settings, small_config.model_copy(update={"n_null_sets": 2}))
    return settings


@pytest.fixture(scope="module")
def profiled_home(tmp_path_factory: pytest.TempPathFactory, profiled_once: Settings) -> Settings:
    """Settings of a profiled home of the module's own: nothing else was made in it."""
    home = tmp_path_factory.mktemp("home") / "home"
    shutil.copytree(profiled_once.home, home)
    return profiled_once.model_copy(update={"home": home})


@pytest.fixture(scope="module")
def opened(small_repository: Path, profiled_home: Settings) -> OpenedProfile:
    """The module's own profile."""
    return open_profile(small_repository, profiled_home)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def runner(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command as the console script does, in this process: torch is imported once."""
    from service.cli.main import main

    monkeypatch.setenv("ROUTEPRINT_HOME", str(settings.home))
    monkeypatch.setenv("ROUTEPRINT_BASE", settings.base)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, diff: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["routeprint", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(diff.encode())))
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def routeprint(
    profiled_home: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """A command in the profiled home."""
    return runner(profiled_home, monkeypatch, capfd)
