"""Directories and JSON files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Plain values as JSON keeps them: never changed, and a field that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@contextmanager
def written_whole(directory: Path) -> Iterator[Path]:
    """A new directory to write to, put in place of ``directory`` at the end; nothing on an error."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        yield fresh
        fresh.chmod(0o755)  # mkdtemp makes it private; artifacts are shared
        if directory.exists():
            shutil.rmtree(directory)
        fresh.replace(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON with sorted keys in place of ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=2, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)  # mkstemp makes it private; artifacts are shared
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_format(
    path: Path, version: int, refuse: Callable[[str], Exception], *, what: str, remedy: str
) -> dict[str, Any]:
    """JSON that ``write_json`` wrote, with a "format" of this version.

    Args:
        refuse: the error that is raised, of a message, where it is missing, damaged or of another format.
        what: what is read, and where, for people. remedy: what to do then.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise refuse(f"No readable {what}: {error}. {remedy}.") from error
    seen = stored.get("format")
    if seen != version:
        raise refuse(f"Expected format {version} of the {what}, found format {seen!r}. {remedy}.")
    return stored
