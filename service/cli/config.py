"""Commands about a repository's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.console import show

_group = typer.Typer(help="A repository's .routeprint.yml.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(_group, name="config")


@_group.callback()
def config() -> None:
    """A repository's .routeprint.yml."""


@_group.command()
def validate(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to check.")] = Path(
        ".routeprint.yml"
    ),
) -> None:
    """Check a configuration file; exit 2 with a line for every mistake."""
    from service import ServiceError
    from service.repository_config import parse_config

    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise ServiceError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ServiceError(f"{file}: expected UTF-8, saw byte {error.start} that is not") from error
    found = parse_config(text, str(file))
    show(f"{file} is valid; stage {found.stage}.\n")
