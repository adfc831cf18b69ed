from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

from service.cli.main import app
from service.flows.author_page import commands_of, missing_of

KEY = "human:o'neil <ann@example.org>"


@pytest.mark.parametrize("name", ["seeds", "latents", "edits", "reads", "attributions", "0", "1"])
def test_every_command_on_the_page_is_one_that_there_is(name: str, tmp_path: Path) -> None:
    """Parsed as a shell and the program would, not run."""
    own = {str(n): one.line for n, one in enumerate(commands_of(tmp_path, KEY))}
    shown = missing_of(tmp_path, KEY) | own
    program, *words = shlex.split(shown[name])
    assert program == "routeprint"
    command = typer.main.get_command(app)
    while commands := getattr(command, "commands", None):
        command, words = commands[words[0]], words[1:]
    context = command.make_context(name, words)
    assert str(tmp_path) in map(str, context.params.values())
