"""A repository's own configuration: its defaults, its mistakes, its schema."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from service.cli.main import app
from service.repository_config import (
    SCHEMA_FILE,
    ConfigError,
    RepositoryConfig,
    Stage,
    parse_config,
    schema_text,
)

WHOLE = """# how Routeprint looks at this repository
stage: comment
drafts: true
paths: ["src/*", "*.py"]
ignore:
  - path: legacy/*
    reason: rewritten next year
    until: 2026-12-31
hunks: 3
annotations: 0
"""


def test_an_empty_file_means_the_defaults():
    for text in ("", "# nothing\n", "{}"):
        assert parse_config(text) == RepositoryConfig()
    assert RepositoryConfig().stage is Stage.OBSERVE


def test_every_setting():
    found = parse_config(WHOLE)
    assert (found.stage, found.drafts, found.hunks, found.annotations) == (Stage.COMMENT, True, 3, 0)
    assert found.ignore[0].until == date(2026, 12, 31)


def test_which_paths_are_scored():
    found = parse_config(WHOLE)
    day = date(2026, 12, 31)
    assert found.scores("src/a/b.go", day)
    assert found.scores("tool.py", day)
    assert not found.scores("docs/a.md", day)
    assert not found.scores("legacy/a.py", day)
    assert found.scores("legacy/a.py", date(2027, 1, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage: gates\n", "line 1: stage: expected 'observe', 'comment' or 'gate', saw 'gates'"),
        ("\n\nstge: gate\n", "line 3: stge: expected one of annotations, drafts, hunks"),
        ("hunks: 0\n", "line 1: hunks: expected greater than or equal to 1, saw 0"),
        ("drafts: perhaps\n", "line 1: drafts: expected true or false, saw 'perhaps'"),
        ("paths: src\n", "line 1: paths: expected a list, saw 'src'"),
        ("ignore:\n  - path: a\n", "line 2: ignore.0.reason: expected a value here, saw nothing"),
        (
            "ignore:\n  - path: a\n    reason: why not\n    until: soon\n",
            "line 4: ignore.0.until: expected a day",
        ),
        (
            "ignore:\n  - path: a\n    reason: why not\n    who: me\n",
            "line 4: ignore.0.who: expected one of path",
        ),
        ("- a\n- b\n", "line 1: expected settings such as `stage: comment`, saw ['a', 'b']"),
        ("stage: [\n", "line 2: expected YAML"),
        ("stage: gate\nstage: observe\n", "line 2: expected `stage` once, saw it again"),
        ("paths: &x [a]\nignore: *x\n", "line 2: expected plain values, saw the alias *x"),
        ("stage: !!python/object/apply:os.system [ls]\n", "expected YAML"),
        ("a: " + "x" * 70_000, "expected at most 65,536 bytes"),
        ("a: \x00", "expected YAML"),
        ("? [1]\n: 2\n", "expected"),
    ],
)
def test_mistakes_have_a_place(text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert message in str(caught.value)


def test_every_mistake_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_config("stage: x\nhunks: many\n")
    assert len(str(caught.value).splitlines()) == 2


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str):
    with contextlib.suppress(ConfigError):
        parse_config(text)


def test_the_published_schema_is_current():
    assert SCHEMA_FILE.read_text() == schema_text(), "run `make docs` and commit the schema"


def test_the_schema_says_what_the_model_says():
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = json.loads(json.dumps(yaml.safe_load(WHOLE), default=str))
    jsonschema.validate(whole, schema)
    for wrong in ({"stage": "x"}, {"other": 1}, {"hunks": 0}, {"ignore": [{"path": "a"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert all("description" in entry for entry in schema["properties"].values())


def test_the_command(tmp_path: Path):
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(WHOLE)
    bad.write_bytes(b"stage: \xff")
    done = CliRunner().invoke(app, ["config", "validate", str(good)])
    assert (done.exit_code, done.output) == (0, f"{good} is valid; stage comment.\n")
    for file in (bad, tmp_path / "none.yml"):
        assert CliRunner().invoke(app, ["config", "validate", str(file)]).exception is not None
