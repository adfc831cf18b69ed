"""Where the service keeps things and how it runs: one class, built once in an entry point and passed down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _data_home() -> Path:
    """The platform's data directory (XDG base directory specification), with our name."""
    root = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(root).expanduser() / "routeprint"


class Settings(BaseSettings):
    """Every setting, each readable from ``ROUTEPRINT_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="ROUTEPRINT_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=_data_home)
    """Directory of artifacts, contributions and checkpoints."""
    database_url: str | None = None
    """Database of repositories, reviews and jobs: postgresql://..., or None: a SQLite file under the home."""
    base: str = "starter"
    """Base model: "starter" (embedded), a Hugging Face id, or a directory."""
    revision: str | None = None
    """Pinned revision of a hub base."""
    device: str = "cpu"
    """Torch device of training and scoring."""
    threads: Annotated[int, Field(ge=0)] = 1
    """Torch threads of a process; 0 leaves torch's own choice. Two on a loaded machine can be 20x slower."""
    processes: Annotated[int, Field(ge=1)] = 2
    """Processes of a profile on a CPU: with 2, null adapters train beside the authors."""
    null_repo: Path | None = None
    """Repository or directory of other people's code for the team's null; None: Python's standard library."""
    host: str = "127.0.0.1"
    """Address `serve` listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8710
    """Port `serve` listens on; 0 lets the system choose."""
    max_diff_bytes: Annotated[int, Field(gt=0)] = 2_000_000
    """Largest diff accepted, in bytes of UTF-8."""
    review_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds one review may take in the scoring process before it is stopped and replaced."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 180.0
    """Seconds the scoring process may take to load a base and its profiles."""


def read_settings(*, home: Path | None = None) -> Settings:
    """Build the settings from the environment; ``home`` (from ``--home``) wins over it."""
    settings = Settings() if home is None else Settings(home=home)
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
