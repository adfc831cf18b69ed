"""Takes what the tests need out of GitHub's published descriptions: ``make refresh-github-contract``.

Needs npm and its package registry; the tests themselves need neither. Written beside this file:

- ``openapi.json.gz``: the REST description, only ``OPERATIONS`` and what they refer to. Examples and prose
  are left out: GitHub's own examples do not all fit GitHub's schemas.
- ``payloads.jsonl.gz``: every published webhook payload, one ``{"event", "payload"}`` a line.
- ``schema.graphql``: the GraphQL types, fields and arguments that our queries touch. The queries are first
  validated against the whole schema.
- ``LICENSE``: the licences (MIT) and the versions.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_input_object_type,
    is_specified_scalar_type,
    parse,
    validate,
    visit,
)
from graphql.language import DocumentNode, print_ast

HERE = Path(__file__).resolve().parent
PACKAGES = ("@octokit/openapi@23.0.2", "@octokit/webhooks-examples@7.6.1", "@octokit/graphql-schema@15.26.1")
REPO = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/app": "get",
    "/app-manifests/{code}/conversions": "post",
    "/app/hook/config": "get",
    "/app/hook/deliveries": "get",
    "/app/hook/deliveries/{delivery_id}": "get",
    "/app/hook/deliveries/{delivery_id}/attempts": "post",
    "/app/installations": "get",
    "/app/installations/{installation_id}": "get",
    "/app/installations/{installation_id}/access_tokens": "post",
    "/installation/repositories": "get",
    "/rate_limit": "get",
    "/users/{username}": "get",
    REPO: "get",
    f"{REPO}/installation": "get",
    f"{REPO}/check-runs": "post",
    f"{REPO}/check-runs/{{check_run_id}}": "get patch",
    f"{REPO}/check-runs/{{check_run_id}}/annotations": "get",
    f"{REPO}/commits/{{ref}}/check-runs": "get",
    f"{REPO}/commits/{{commit_sha}}/pulls": "get",
    f"{REPO}/collaborators/{{username}}/permission": "get",
    f"{REPO}/contents/{{path}}": "get",
    f"{REPO}/issues/{{issue_number}}/comments": "get post",
    f"{REPO}/issues/comments/{{comment_id}}": "get patch delete",
    f"{REPO}/pulls": "get",
    f"{REPO}/pulls/{{pull_number}}": "get",
    f"{REPO}/pulls/{{pull_number}}/commits": "get",
    f"{REPO}/pulls/{{pull_number}}/files": "get",
}
# GitHub answers these Accept headers too, though its description names application/json alone.
VENDOR_TYPES = ("application/vnd.github+json", "application/vnd.github.machine-man-preview+json")
PROSE = {"example", "examples", "description", "summary", "externalDocs", "x-github", "tags", "deprecated"}


def main() -> None:
    """Fetch the packages and write the four files."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        npm = shutil.which("npm") or sys.exit("npm was not found on PATH: install Node 20 or later")
        subprocess.run([npm, "init", "-y"], cwd=place, check=True, capture_output=True)
        subprocess.run([npm, "install", "--ignore-scripts", "--no-audit", *PACKAGES], cwd=place, check=True)
        write_all(place / "node_modules" / "@octokit")


def write_all(packages: Path) -> None:
    """Write the four files from unpacked packages."""
    spec = json.loads((packages / "openapi/generated/api.github.com.json").read_text())
    write_gzip("openapi.json.gz", json.dumps(trim_openapi(spec), separators=(",", ":"), sort_keys=True))
    examples = json.loads((packages / "webhooks-examples/api.github.com/index.json").read_text())
    lines = [{"event": e["name"], "payload": p} for e in examples for p in e["examples"]]
    write_gzip("payloads.jsonl.gz", "".join(json.dumps(x, separators=(",", ":")) + "\n" for x in lines))
    schema = (packages / "graphql-schema/schema.graphql").read_text()
    (HERE / "schema.graphql").write_text(trim_graphql(schema, our_queries()))
    (HERE / "LICENSE").write_text(licences(packages))


def write_gzip(name: str, text: str) -> None:
    """The same bytes for the same text, whenever it is run."""
    (HERE / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def licences(packages: Path) -> str:
    """Where each file comes from, and its licence."""
    heads = "\n".join(f"- {package}" for package in PACKAGES)
    texts = [(packages / name).read_text() for name in ("openapi/LICENSE", "graphql-schema/LICENSE.md")]
    said = "webhooks-examples ships no licence text; its package.json says MIT, as does its repository's."
    return f"Data in this folder is derived from\n\n{heads}\n\n{said}\n\n" + "\n---\n\n".join(texts)


# ------------------------------------------------------------------------------------------- OpenAPI


def trim_openapi(spec: dict[str, Any]) -> dict[str, Any]:
    """Our operations with everything they refer to."""
    paths = {path: _operations(spec["paths"][path], verbs.split()) for path, verbs in OPERATIONS.items()}
    pull = paths[f"{REPO}/pulls/{{pull_number}}"]["get"]["responses"]["200"]["content"]
    pull["application/vnd.github.diff"] = {"schema": {"type": "string"}}
    file = paths[f"{REPO}/contents/{{path}}"]["get"]["responses"]["200"]["content"]
    file["application/vnd.github.raw+json"] = {"schema": {"type": "string"}}
    trimmed: dict[str, Any] = {key: spec[key] for key in ("openapi", "info")}
    trimmed |= {"servers": [{"url": "/"}], "paths": paths, "components": defaultdict(dict)}
    waiting = list(_references(paths))
    while waiting:
        kind, name = waiting.pop().removeprefix("#/components/").split("/")
        if name in trimmed["components"][kind]:
            continue
        found = _without_prose(spec["components"][kind][name])
        found |= {"description": ""} if kind == "responses" else {}  # which must have one
        trimmed["components"][kind][name] = found
        waiting.extend(_references(found))
    trimmed["components"] = dict(trimmed["components"])
    _add_vendor_types(trimmed)
    return trimmed


def _operations(path: dict[str, Any], verbs: list[str]) -> dict[str, Any]:
    kept = {verb: _without_prose(path[verb]) for verb in verbs}
    return kept | ({"parameters": path["parameters"]} if "parameters" in path else {})


def _without_prose(node: Any, *, is_names: bool = False) -> Any:
    """A copy without examples and descriptions. ``is_names``: the keys are properties, not keywords."""
    if isinstance(node, list):
        return [_without_prose(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _without_prose(value, is_names=key == "properties" and not is_names)
        for key, value in node.items()
        if is_names or key not in PROSE
    }
    if not is_names and kept.get("nullable") and "enum" in kept:
        kept["enum"] = [*kept["enum"], None]  # meant, and needed since OpenAPI 3.0.3
    return kept if "responses" not in kept else kept | {"responses": _described(kept["responses"])}


def _described(responses: dict[str, Any]) -> dict[str, Any]:
    return {code: r if "$ref" in r else {"description": "", **r} for code, r in responses.items()}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _add_vendor_types(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _add_vendor_types(item)
    elif isinstance(node, dict):
        content = node.get("content")
        if isinstance(content, dict) and "application/json" in content:
            node["content"] = content | dict.fromkeys(VENDOR_TYPES, content["application/json"]) | content
        for value in node.values():
            _add_vendor_types(value)


# ------------------------------------------------------------------------------------------- GraphQL


def our_queries() -> list[str]:
    """Every query that the connector sends."""
    from connectors.github import queries

    return [text for name, text in vars(queries).items() if re.fullmatch("[A-Z_]+", name)]


class _Touched(Visitor):
    """Collects which fields and arguments of which types a document uses."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types = types
        self.fields: dict[str, set[str]] = defaultdict(set)
        self.arguments: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.inputs: set[str] = set()

    def enter_field(self, node: Any, *_: Any) -> None:
        parent, field = self.types.get_parent_type(), self.types.get_field_def()
        assert parent is not None
        assert field is not None
        self.fields[parent.name].add(node.name.value)
        for argument in node.arguments or ():
            self.arguments[parent.name, node.name.value].add(argument.name.value)
            self.inputs.add(get_named_type(field.args[argument.name.value].type).name)

    def enter_inline_fragment(self, node: Any, *_: Any) -> None:
        self.inputs.add(node.type_condition.name.value)


def trim_graphql(text: str, queries: list[str]) -> str:
    """The part of a schema that queries touch, as SDL."""
    schema = build_schema(text, assume_valid=True)  # the published edition breaks two rules of SDL itself
    types = TypeInfo(schema)
    touched = _Touched(types)
    for query in queries:
        document = parse(query)
        errors = validate(schema, document)
        assert not errors, errors
        visit(document, TypeInfoVisitor(types, touched))
    names = _named_types(schema, touched)
    definitions = [_trim_definition(d, touched, names) for d in parse(text, no_location=True).definitions]
    return print_ast(DocumentNode(definitions=tuple(d for d in definitions if d is not None))) + "\n"


def _named_types(schema: GraphQLSchema, touched: _Touched) -> set[str]:
    """Types in the trimmed schema: parents of fields, results of fields, and inputs with theirs."""
    names = set(touched.inputs) | set(touched.fields)
    for parent, fields in touched.fields.items():
        known = getattr(schema.type_map[parent], "fields", {})
        names |= {get_named_type(known[field].type).name for field in fields if field in known}
    for name in list(names):
        kind = schema.type_map[name]
        if is_input_object_type(kind):
            names |= {get_named_type(field.type).name for field in kind.fields.values()}
    return {name for name in names if not is_specified_scalar_type(schema.type_map[name])}


def _trim_definition(definition: Any, touched: _Touched, names: set[str]) -> Any:
    name = getattr(getattr(definition, "name", None), "value", "")
    if name not in names or definition.kind == "directive_definition":
        return None
    definition = _bare(definition)
    if hasattr(definition, "values"):
        return replace(definition, values=tuple(map(_bare, definition.values)))
    if hasattr(definition, "types") or not hasattr(definition, "fields"):
        return definition
    if definition.kind == "input_object_type_definition":
        return replace(definition, fields=tuple(map(_bare, definition.fields)))
    interfaces = tuple(i for i in definition.interfaces or () if i.name.value in names)
    wanted = touched.fields[name].union(*(touched.fields[i.name.value] for i in interfaces))
    fields = tuple(_trim_field(f, touched, name) for f in definition.fields if f.name.value in wanted)
    return replace(definition, interfaces=interfaces, fields=fields)


def _trim_field(field: Any, touched: _Touched, parent: str) -> Any:
    wanted = touched.arguments[parent, field.name.value]
    kept = tuple(_bare(a) for a in field.arguments or () if a.name.value in wanted)
    return replace(_bare(field), arguments=kept)


def _bare(node: Any) -> Any:
    return replace(node, description=None, directives=())


if __name__ == "__main__":
    main()
