"""``routeprint``: the commands, and how an error ends the process."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from connectors import ConnectorError
from fingerprint import FingerprintError
from service import ServiceError
from service.cli import (
    config,
    demo,
    develop,
    dictionary,
    evaluation,
    github,
    history,
    interpretation,
    lifecycle,
    oversight,
    pairs,
    profiles,
    remarks,
    reviews,
    serving,
    tokens,
    work,
)
from service.cli.console import ExitCode

app = typer.Typer(
    name="routeprint",
    help="Learns how a team's code routes through a small code model, and scores new diffs by routing drift.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    history,
    profiles,
    reviews,
    remarks,
    dictionary,
    interpretation,
    develop,
    pairs,
    develop,
    serving,
    work,
    lifecycle,
    tokens,
    oversight,
    github,
    config,
    demo,
    develop,
    evaluation,
):
    commands.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from fingerprint.provenance import CODE_VERSION

        typer.echo(f"routeprint {CODE_VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Learns how a team's code routes through a small code model, and scores new diffs by routing drift."""
    del version


def main() -> None:
    """Run a command; end with the exit code that its outcome has."""
    try:
        app()
    except (ConnectorError, FingerprintError, ServiceError) as error:
        _fail(str(error), ExitCode.USAGE)
    except BrokenPipeError:
        # the reader of our output went away: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a sentence, not a trace
        if os.environ.get("ROUTEPRINT_DEBUG"):
            traceback.print_exc()
        name = type(error).__name__
        hint = "ROUTEPRINT_DEBUG=1 shows where; please report it with the command that you ran"
        _fail(f"unexpected {name}: {error}\n{hint}", ExitCode.UNEXPECTED)


def _fail(message: str, code: ExitCode) -> None:
    from service.reports.escape import visible

    lines = "\n".join(visible(line) for line in message.splitlines())
    sys.stderr.write(f"error: {lines}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
