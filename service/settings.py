"""Where the service keeps things and how it runs: one class, built once in an entry point and passed down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _data_home() -> Path:
    """The platform's data directory (XDG base directory specification), with our name."""
    root = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(root).expanduser() / "routeprint"


MIRRORS = "mirrors"
"""Folder under the home with a bare copy of every repository on GitHub."""


class Settings(BaseSettings):
    """Every setting, each readable from ``ROUTEPRINT_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="ROUTEPRINT_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=_data_home)
    """Directory of artifacts, contributions and checkpoints."""
    database_url: str | None = None
    """Database of repositories, reviews and jobs: postgresql://..., or None: a SQLite file under the home."""
    secrets_dir: Path | None = None
    """Directory of files named as these variables in lower case, each with a value: containers' secrets."""
    base: str = "starter"
    """Base model: "starter" (embedded), a Hugging Face id, or a directory."""
    revision: str | None = None
    """Pinned revision of a hub base."""
    device: str = "cpu"
    """Torch device of training and scoring."""
    threads: Annotated[int, Field(ge=0)] = 1
    """Torch threads of a process; 0 leaves torch's own choice. Two on a loaded machine can be 20x slower."""
    processes: Annotated[int, Field(ge=1)] = 2
    """Processes of a profile on a CPU: with 2, null adapters train beside the authors, and
    the authors' signatures and a part of the team's are measured beside the rest of the team's; an
    evaluation's later parts are made beside its first."""
    null_repo: Path | None = None
    """Repository or directory of other people's code for the team's null; None: Python's standard library."""
    label_url: str | None = None
    """OpenAI-compatible endpoint, such as http://localhost:8000/v1, for `--language-model`, `eval --judge`.
    Pieces of the repository's code are sent there. None: nothing leaves the machine."""
    label_model: str = ""
    """Name of the language model there."""
    label_key: SecretStr = SecretStr("")
    """Bearer token for it."""
    host: str = "127.0.0.1"
    """Address `serve` listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8710
    """Port `serve` listens on; 0 lets the system choose."""
    api_tokens: bool = True
    """Whether the API asks for a token; False is refused on an address that other machines can reach."""
    api_requests_per_minute: Annotated[float, Field(gt=0)] = 600.0
    """Requests a minute that one token may make of one API process in the long run."""
    api_burst: Annotated[int, Field(ge=1)] = 100
    """Requests that one token may make at once."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """Log lines of `serve`: JSON, or text for people; auto: text on a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log lines of `serve` that are shown."""
    max_diff_bytes: Annotated[int, Field(gt=0)] = 2_000_000
    """Largest diff accepted, in bytes of UTF-8."""
    review_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds one review may take in the scoring process before it is stopped and replaced."""
    heartbeat_s: Annotated[float, Field(gt=0)] = 5.0
    """Seconds between a worker's signs of life."""
    executor_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds of silence after which a worker's jobs are handed on; many heartbeats, for a slow database."""
    poll_s: Annotated[float, Field(gt=0)] = 0.25
    """Seconds between a worker's looks at the queue of reviews; at the other queues it looks every second."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 30.0
    """Seconds a stopping worker gives to what it has begun; the rest is handed on."""
    worker_reviews: Annotated[int, Field(ge=1)] = 4
    """Reviews one worker has begun at a time; they wait for GitHub together and are scored one by one."""
    worker_ingests: Annotated[int, Field(ge=1)] = 2
    """Histories one worker reads at a time."""
    job_attempts: Annotated[int, Field(ge=1)] = 10
    """Workers that a job may take down before it is given up."""
    ingest_every_s: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds between looks at a repository's history; a push to the default branch is looked at at once."""
    stale_commits: Annotated[int, Field(ge=1)] = 50
    """New commits of a team after which it is learned again: a quarter of those a signature is read from."""
    refresh_commits: Annotated[int, Field(ge=1)] = 5
    """New commits of a team after which they join its calibration, without anything being trained."""
    stale_days: Annotated[float, Field(gt=0)] = 90.0
    """Days after which it is learned again if there is any new commit: habits change, though slowly."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 180.0
    """Seconds the scoring process may take to load a base and its profiles."""
    review_pages_days: Annotated[float, Field(gt=0)] = 90.0
    """Days for which a review's page, and the diff on it, are kept; its verdict stays."""
    records_days: Annotated[float, Field(ge=7)] = 90.0
    """Days for which ended jobs with their logs, and webhooks that were acted on, are kept; reviews stay."""
    public_url: str | None = None
    """Where GitHub and people reach this service, https://...; None: checks have no link to a report."""
    github_url: str = "https://api.github.com"
    """GitHub's REST API; of an Enterprise Server: https://HOST/api/v3."""
    github_app_id: str | None = None
    """Id or client id of the GitHub app; None: the one that `github setup` stored."""
    github_private_key_file: Path | None = None
    """The app's private key in PEM; None: the one that `github setup` stored."""
    github_webhook_secret: SecretStr | None = None
    """Secret of the app's webhook; None: the one that `github setup` stored."""
    github_webhook_secret_previous: SecretStr | None = None
    """While the secret is being changed, the one before it."""
    github_timeout_s: Annotated[int, Field(gt=0)] = 15
    """Seconds one request to GitHub may take."""
    github_write_pause_s: Annotated[float, Field(ge=0)] = 1.0
    """Seconds between two writes to GitHub; GitHub asks for one."""
    gate_false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.10
    """Largest false-alarm rate, upper end of its interval, at which a back-test lets a check fail."""
    github_max_wait_s: Annotated[float, Field(ge=0)] = 120.0
    """Seconds a request waits for a limit of GitHub's; beyond that its job is tried again later."""


def read_settings(*, home: Path | None = None) -> Settings:
    """Build the settings from the environment and files of secrets; ``home`` (``--home``) wins over both."""
    given: dict[str, Any] = {} if home is None else {"home": home}
    settings = Settings(**given)
    if settings.secrets_dir is not None:
        settings = Settings(_secrets_dir=settings.secrets_dir, **given)  # pyright: ignore[reportCallIssue]
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
