"""Writing whole or not at all."""

from __future__ import annotations

import json
import stat

import pytest

from fingerprint.storage import write_json, written_whole


def test_a_failed_write_leaves_what_was_there(tmp_path):
    place = tmp_path / "thing"
    with written_whole(place) as fresh:
        write_json(fresh / "facts.json", {"b": 1, "a": [2]})
    with pytest.raises(TypeError), written_whole(place) as fresh:
        write_json(fresh / "facts.json", {"not": object()})
    with pytest.raises(TypeError):
        write_json(place / "facts.json", {"not": object()})
    assert (place / "facts.json").read_text().endswith("}\n")
    assert json.loads((place / "facts.json").read_text()) == {"a": [2], "b": 1}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["facts.json", "thing"]


def test_what_is_written_can_be_shared(tmp_path):
    with written_whole(tmp_path / "thing") as fresh:
        write_json(fresh / "facts.json", {})
    assert stat.S_IMODE((tmp_path / "thing").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "thing" / "facts.json").stat().st_mode) == 0o644
