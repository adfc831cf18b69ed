"""The command reference, written from the command line itself and from the settings: ``make docs``."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from service.repository_config import SCHEMA_FILE, schema_text
from service.settings import Settings

PLACE = Path(__file__).with_name("README.md")
_TITLE = "# The command line\n\nWritten by `make docs` from the code; edits are overwritten.\n"
_EXITS = """
## Exit codes

| code | means |
|---|---|
| 0 | done; a drifting diff too, unless `--fail-on drift` |
| 1 | drift, only with `--fail-on drift` |
| 2 | usage or configuration |
| 3 | not scored, only with `--fail-on not-scored` |
| 4 | unexpected: a bug or a broken machine; `ROUTEPRINT_DEBUG=1` shows where |
"""


def render_reference() -> str:
    """The whole page as Markdown."""
    return f"{_TITLE}\n{_commands()}{_EXITS}\n{_settings()}"


def _commands() -> str:
    """Typer's own Markdown, its headings one level down, without the list of commands that it cuts short."""
    command = [sys.executable, "-m", "typer", "service.cli.main", "utils", "docs", "--name", "routeprint"]
    here = PLACE.parents[2]
    done = subprocess.run(command, cwd=here, check=True, capture_output=True, encoding="utf-8", timeout=60)
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n", "", done.stdout)
    lines = ["#" + line if line.startswith("#") else line.rstrip() for line in text.splitlines()]
    return "\n".join(lines).strip() + "\n"


def _settings() -> str:
    rows = "\n".join(f"| `{name}` | `{default}` | {text} |" for name, default, text in _read_settings())
    return (
        "## Settings\n\nRead from the environment once, when a command starts.\n\n"
        f"| variable | default | meaning |\n|---|---|---|\n{rows}\n"
    )


def _read_settings() -> Iterator[tuple[str, str, str]]:
    """Variable, default as written in the source, and the docstring of every setting."""
    prefix = Settings.model_config.get("env_prefix", "")
    body = ast.parse(inspect.getsource(Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        assert isinstance(text, ast.Expr), f"{field.target.id} needs a docstring"
        assert isinstance(text.value, ast.Constant), f"{field.target.id} needs a docstring"
        default = (
            "computed" if isinstance(field.value, ast.Call) else ast.unparse(field.value or ast.Constant(""))
        )
        yield prefix + field.target.id.upper(), default, " ".join(str(text.value.value).split())


def main() -> None:
    """Write the page, and the schema of a repository's own configuration."""
    PLACE.write_text(render_reference(), encoding="utf-8")
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
