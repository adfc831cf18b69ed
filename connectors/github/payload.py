"""Reading JSON that somebody else wrote: what is not there, or of another type, reads as nothing.

GitHub's published payloads differ over the years in what they hold (in nearly every event the first
published example lacks newer fields), so nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def part(value: Any, *path: str) -> Any:
    """What lies at a path of keys, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def text(value: Any, *path: str) -> str:
    """The text at a path, or ""."""
    found = part(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int:
    """The whole number at a path, or 0."""
    found = part(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def is_true(value: Any, *path: str) -> bool:
    """Whether true is at a path."""
    return part(value, *path) is True


def record(value: Any, *path: str) -> Json:
    """The object at a path, or an empty one."""
    found = part(value, *path)
    return found if isinstance(found, Mapping) else {}


def records(value: Any, *path: str) -> tuple[Json, ...]:
    """The objects in the list at a path."""
    found = part(value, *path)
    return tuple(item for item in found if isinstance(item, Mapping)) if isinstance(found, list) else ()
