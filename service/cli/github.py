"""Commands about GitHub: registering the app, and the doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.console import ExitCode, Home, note, settings_for, show

_group = typer.Typer(help="The GitHub app.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(_group, name="github")
    app.command()(doctor)


@_group.callback()
def github() -> None:
    """The GitHub app."""


@_group.command()
def setup(
    url: Annotated[str, typer.Option("--url", help="Where GitHub will reach this service, https://...")],
    name: Annotated[str, typer.Option("--name", help="The app's name, unique on GitHub.")] = "Routeprint",
    organisation: Annotated[
        str | None, typer.Option("--org", help="Organisation that owns the app; default: you.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of the local page; 0: any.")
    ] = 0,
    home: Home = None,
) -> None:
    """Register the app with GitHub: open a local page, confirm on GitHub, and the key is stored here."""
    from service.flows.registration import register_app

    settings = settings_for(home)

    def ready(address: str) -> None:
        note(f"Open {address} in a browser on this machine.")

    app, folder = register_app(settings, name, url, organisation=organisation, port=port, on_ready=ready)
    show(
        f"Registered {app.slug} (app {app.id}); its key and secret are in {folder}, readable by you alone.\n"
    )
    show(f"Install it: {app.url}/installations/new\nThen: routeprint doctor\n")


def doctor(home: Home = None) -> None:
    """Check the GitHub app: secret, key, permissions, events, clock, webhook; exit 2 if something failed."""
    from service.flows.doctor import diagnose, is_well
    from service.reports.doctor import render

    findings = diagnose(settings_for(home))
    show(render(findings))
    if not is_well(findings):
        raise typer.Exit(ExitCode.USAGE)
