"""``.routeprint.yml``: what a repository may say for itself. Read from the base branch only.

Whoever opens a pull request writes its head, so a file there could switch its own check off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service import ServiceError

FILE_NAME = ".routeprint.yml"
SCHEMA_FILE = Path(__file__).with_name("repository_config.schema.json")
MAX_BYTES = 64 * 1024


class ConfigError(ServiceError):
    """The file cannot be used; the message has a line for every mistake."""


class Stage(StrEnum):
    """How loud Routeprint is: a check alone; a comment too; or a check that can fail."""

    OBSERVE = "observe"
    COMMENT = "comment"
    GATE = "gate"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Mute(_Strict):
    """Paths whose changes are not scored, for a reason, and if wanted until a day."""

    path: Annotated[str, Field(min_length=1, max_length=500)]
    """Whole path with wildcards, such as legacy/*; a star also stands for slashes."""
    reason: Annotated[str, Field(min_length=3, max_length=200)]
    """Why, for whoever reads this next year."""
    until: date | None = None
    """Last day on which it holds; none: until it is taken out."""


class RepositoryConfig(_Strict):
    """Routeprint's settings in a repository."""

    stage: Stage = Stage.OBSERVE
    """observe: a neutral check; comment: also one comment when something stands out; gate: the check can
    fail, once a back-test has been passed."""
    drafts: bool = False
    """Whether draft pull requests are scored."""
    paths: Annotated[tuple[str, ...], Field(max_length=200)] = ("*",)
    """Files that are scored: whole paths with wildcards."""
    ignore: Annotated[tuple[Mute, ...], Field(max_length=200)] = ()
    """Files that are not scored, each with its reason."""
    hunks: Annotated[int, Field(ge=1, le=20)] = 5
    """Hunks named in the check; the comment names three at most."""
    annotations: Annotated[int, Field(ge=0, le=50)] = 10
    """Lines marked in the "Files changed" view."""

    def mutes(self, path: str, today: date) -> Mute | None:
        """The rule by which a path is not scored, or None."""
        for mute in self.ignore:
            if fnmatchcase(path, mute.path) and (mute.until is None or today <= mute.until):
                return mute
        return None

    def scores(self, path: str, today: date) -> bool:
        """Whether a path's changes are scored."""
        return any(fnmatchcase(path, pattern) for pattern in self.paths) and self.mutes(path, today) is None


def parse_config(text: str, name: str = FILE_NAME) -> RepositoryConfig:
    """Read the file's text. An empty file means every default.

    Raises:
        ConfigError: one line for every mistake: where, what was expected, what was seen.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise ConfigError(f"{name}: expected at most {MAX_BYTES:,} bytes, saw {len(text):,} characters")
    try:
        _refuse_aliases(text, name)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines(tree, (), name))
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: {_yaml_sentence(error)}") from error
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{name}, line 1: expected settings such as `stage: comment`, saw {_seen(value)}")
    try:
        return RepositoryConfig.model_validate(value or {})
    except ValidationError as error:
        mistakes = "\n".join(_mistake(found, lines, name) for found in error.errors())
        raise ConfigError(mistakes) from error


def _refuse_aliases(text: str, name: str) -> None:
    """Aliases let a small file stand for an endless one."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1
            raise ConfigError(
                f"{name}, line {line}: expected plain values, saw the alias *{event.anchor}; write it out"
            )


def _lines(node: Any, path: tuple[str | int, ...], name: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """The line of every value, by its path."""
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                line = key.start_mark.line + 1
                raise ConfigError(f"{name}, line {line}: expected `{key.value}` once, saw it again; keep one")
            seen.add(str(key.value))
            yield (*path, str(key.value)), key.start_mark.line + 1
            yield from _lines(value, (*path, str(key.value)), name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index), name)


def _yaml_sentence(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}expected YAML, saw {problem}"


_EXPECTED = {
    "extra_forbidden": "a setting of that name",
    "missing": "a value here",
    "date_from_datetime_parsing": "a day such as 2026-12-31",
    "date_parsing": "a day such as 2026-12-31",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "settings under it",
}


def _mistake(found: Any, lines: dict[tuple[str | int, ...], int], name: str) -> str:
    path = tuple(found["loc"])
    known = path
    while known not in lines and known:
        known = known[:-1]
    where = f"{name}, line {lines.get(known, 1)}"
    dotted = ".".join(map(str, path))
    if found["type"] == "extra_forbidden":
        names = ", ".join(_known_names(path[:-1]))
        return f"{where}: {dotted}: expected one of {names}, saw {path[-1]!r}"
    expected = _EXPECTED.get(found["type"]) or found["msg"].removeprefix("Input should be ")
    seen = "nothing" if found["type"] == "missing" else _seen(found["input"])
    return f"{where}: {dotted}: expected {expected}, saw {seen}"


def _known_names(path: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = Mute if path and path[0] == "ignore" else RepositoryConfig
    return sorted(model.model_fields)


def _seen(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def schema_text() -> str:
    """The file's JSON Schema, for editors: published beside this module."""
    schema = RepositoryConfig.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2) + "\n"
