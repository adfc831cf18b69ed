"""Writes ``requirements-api.txt``: what the API needs, without torch, as the lock pins it.

Run ``python deploy/slim.py`` after the lock has changed; a test says when.
"""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
PLACE, LOCK = HERE / "requirements-api.txt", HERE.parent / "requirements.lock"
ROOTS = (
    "alembic", "dbos", "fastapi", "jaxtyping", "Jinja2", "numpy", "prometheus-client", "psycopg[binary]",
    "pydantic", "pydantic-settings", "PyGithub", "Pygments", "PyYAML", "rich", "safetensors", "sqlmodel",
    "structlog", "typer", "uvicorn",
)  # fmt: skip
"""What ``routeprint serve --api-only`` and ``routeprint tokens`` import by themselves."""


def needed() -> set[str]:
    """The roots and all that they need, by canonical name, as the installed packages say."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in ROOTS]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in found:
                found.add((name, extra))
                waiting += [one for one in map(Requirement, requires(name) or ()) if _applies(one, extra)]
    return {name for name, _ in found}


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def render() -> str:
    """The file's text: the lock's own lines."""
    names = needed()
    lines = [line for line in LOCK.read_text().splitlines() if re.match(r"[\w.-]+==", line)]
    kept = [line for line in lines if canonicalize_name(line.split("==")[0]) in names]
    missing = names - {canonicalize_name(line.split("==")[0]) for line in kept}
    if missing:
        raise SystemExit(f"requirements.lock lacks {', '.join(sorted(missing))}: run `make lock`")
    return "\n".join(["# What the API needs, without torch; written by deploy/slim.py.", *kept, ""])


if __name__ == "__main__":
    PLACE.write_text(render())
