"""The description is the committed one, and says of every operation what it can answer."""

from __future__ import annotations

from pathlib import Path

from service.api.app import routed_app
from service.api.description import describe, render_description

PLACE = Path(__file__).parents[3] / "service" / "api" / "openapi.json"


def test_the_committed_description_is_current() -> None:
    written = render_description(routed_app(has_webhooks=True))
    assert PLACE.read_text() == written, "run `make docs` and commit service/api/openapi.json"


def test_every_operation_tells_its_errors_as_problem_details() -> None:
    paths = describe(routed_app(has_webhooks=True))["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            assert operation["summary"] and operation["description"] and operation["tags"], path
            errors = {status: answer for status, answer in operation["responses"].items() if status >= "4"}
            assert all([*answer["content"]] == ["application/problem+json"] for answer in errors.values()), (
                path
            )
            if path.startswith("/v1"):
                assert {"401", "403", "422", "429", "503"} <= errors.keys(), path
                assert operation["security"] == [{"token": []}], path


def test_every_field_of_an_answer_has_an_example_or_a_description() -> None:
    schemas = describe(routed_app(has_webhooks=True))["components"]["schemas"]
    silent = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if name.endswith("Answer")
        for field, about in schema["properties"].items()
        if not {"description", "examples", "format", "$ref", "anyOf"} & about.keys()
        and about.get("type") == "string"
    ]
    assert silent == []
