"""GitHub's published REST description as a judge of requests and answers, and as a mould for answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.responses.exceptions import ResponseNotFound
from werkzeug.datastructures import Headers, ImmutableMultiDict

HERE = Path(__file__).resolve().parent
HOST = "http://fake.invalid"
TEXT_TYPES = {"application/vnd.github.diff", "application/vnd.github.raw+json"}  # plain text has no schema
MOMENT = "2026-01-05T09:00:00Z"


class ContractError(AssertionError):
    """A request or an answer that GitHub's description does not allow."""


@dataclass(frozen=True)
class Sent:
    """A request as openapi-core's protocol wants it."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    host_url: str = HOST

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "application/json").partition(";")[0]

    @cached_property  # the validator writes the path's parameters into it
    def parameters(self) -> RequestParameters:
        return RequestParameters(
            query=ImmutableMultiDict(parse_qsl(self.query)), header=Headers(dict(self.headers))
        )


@dataclass(frozen=True)
class Answer:
    """An answer as openapi-core's protocol wants it. ``data`` None: no body."""

    status_code: int
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@cache
def description() -> dict[str, Any]:
    """The trimmed description."""
    return json.loads(gzip.decompress((HERE / "openapi.json.gz").read_bytes()))


@cache
def judge() -> OpenAPI:
    """The validator; its schemas are compiled once."""
    return OpenAPI.from_dict(description())


def check_request(sent: Sent) -> str | None:
    """What is wrong with a request, or None."""
    try:
        judge().validate_request(cast("Any", sent))  # a cached property fills the protocol's attribute
    except OpenAPIError as error:
        return explain(error)
    return None


def check_answer(sent: Sent, answer: Answer) -> str | None:
    """What is wrong with an answer to a request, or None. A 304 or a server's error has no schema."""
    if answer.status_code == 304 or answer.status_code >= 500 or answer.content_type in TEXT_TYPES:
        return None
    try:
        judge().validate_response(cast("Any", sent), answer)
    except ResponseNotFound:  # renamed, refused, limited: GitHub does not list these for every operation
        return None if answer.status_code >= 300 else f"status {answer.status_code} is not described"
    except OpenAPIError as error:
        return explain(error)
    return None


def explain(error: BaseException) -> str:
    """The error with its causes; openapi-core keeps the sentence that helps in the last one."""
    parts = [f"{type(error).__name__}: {error}"]
    inner = getattr(error.__cause__, "schema_errors", ())
    parts += [f"{'/'.join(map(str, e.absolute_path))}: {str(e.message)[:300]}" for e in inner]
    if error.__cause__ is not None and len(parts) == 1:
        parts.append(explain(error.__cause__))
    return " | ".join(parts)


# --------------------------------------------------------------------------------------------- mould


def shape(schema: Mapping[str, Any], known: Any = ...) -> Any:
    """The least value that fits a schema, with what is known put in its place."""
    schema = resolve(_chosen(schema, known))
    if known is ... and schema.get("nullable"):
        return None
    if known is None:
        return None
    if "properties" in schema or schema.get("type") == "object":
        return _object(schema, {} if known is ... else known)
    if schema.get("type") == "array":
        items = [] if known is ... else known
        return [shape(schema["items"], item) for item in items]
    return _scalar(schema) if known is ... else known


def _chosen(schema: Mapping[str, Any], known: Any) -> Mapping[str, Any]:
    """The branch that a discriminator in what is known names."""
    discriminator = schema.get("discriminator")
    if discriminator is None or not isinstance(known, Mapping):
        return schema
    return {"$ref": discriminator["mapping"][known[discriminator["propertyName"]]]}


def _object(schema: Mapping[str, Any], known: Any) -> Any:
    if not isinstance(known, Mapping):
        return known
    properties = schema.get("properties", {})
    wanted = dict.fromkeys([*schema.get("required", ()), *known])
    return {name: shape(properties.get(name, {}), known.get(name, ...)) for name in wanted}


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with its reference followed, its allOf joined, and the first of its choices taken."""
    while "$ref" in schema:
        kind, name = schema["$ref"].removeprefix("#/components/").split("/")
        schema = description()["components"][kind][name]
    for part in (*schema.get("allOf", ()), *(schema.get("anyOf") or schema.get("oneOf") or ())[:1]):
        found = resolve(part)
        merged = {**found, **schema}
        merged["properties"] = {**found.get("properties", {}), **schema.get("properties", {})}
        merged["required"] = [*found.get("required", ()), *schema.get("required", ())]
        schema = {key: value for key, value in merged.items() if key != "properties" or value}
    return schema


_FORMATS = {"date-time": MOMENT, "uri": "https://github.example/x", "email": "nobody@github.example"}


def _scalar(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "integer":
        return schema.get("minimum", 1)
    if kind == "number":
        return 1.0
    if kind == "boolean":
        return False
    return _FORMATS.get(schema.get("format", ""), "x") if kind == "string" else None


def answer_schema(template: str, method: str, status: int) -> Mapping[str, Any]:
    """The schema of an operation's answer."""
    found = description()["paths"][template][method.lower()]["responses"][str(status)]
    return resolve(found)["content"]["application/json"]["schema"]


def operations() -> Iterator[tuple[str, str]]:
    """(method, path template) of everything described."""
    for template, path in description()["paths"].items():
        yield from ((verb.upper(), template) for verb in path if verb != "parameters")
