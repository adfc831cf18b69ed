"""Artifacts appear whole, are found by digest, and are deleted when forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fingerprint.storage import write_json
from service.artifacts import ArtifactError, ArtifactStore, read_arrays, read_json, write_arrays


def _write(directory: Path) -> None:
    write_json(directory / "config.json", {"r": 8})
    write_arrays(directory / "values.safetensors", {"b": np.arange(6.0).reshape(2, 3).T})


def test_put_computes_once(tmp_path: Path) -> None:
    store, calls = ArtifactStore(tmp_path), []

    def write(directory: Path) -> None:
        calls.append(directory)
        _write(directory)

    first = store.put("adapter", "abc", write)
    assert store.put("adapter", "abc", write) == first
    assert len(calls) == 1
    np.testing.assert_array_equal(
        read_arrays(first / "values.safetensors")["b"], np.arange(6.0).reshape(2, 3).T
    )


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def write(directory: Path) -> None:
        _write(directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put("adapter", "abc", write)
    assert store.find("adapter", "abc") is None
    assert list((tmp_path / "artifacts" / "adapter").iterdir()) == []


def test_half_written_and_damaged_artifacts_are_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    place = store.put("adapter", "abc", _write)
    (place / "values.safetensors").write_bytes(b"short")
    with pytest.raises(ArtifactError, match="damaged"):
        store.find("adapter", "abc")
    (place / "artifact.json").unlink()
    with pytest.raises(ArtifactError, match="half-written"):
        store.find("adapter", "abc")
    write_json(place / "artifact.json", {"format": 99})
    with pytest.raises(ArtifactError, match="format 99"):
        store.find("adapter", "abc")


def test_unreadable_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x00" * 4)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_arrays(tmp_path / "x.safetensors")
    with pytest.raises(ArtifactError, match="not under"):
        ArtifactStore(tmp_path).require("profile", "0" * 64)


def test_forget_deletes_what_only_this_repository_used(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "home")
    one, two = store.record(tmp_path / "one"), store.record(tmp_path / "two")
    for digest, users in (("a", (one,)), ("b", (one, two))):
        store.put("adapter", digest, _write)
        for user in users:
            user.use("adapter", digest)
    one.point("profile", "a")
    one.contributions.mkdir(parents=True)
    assert one.pointer("profile") == "a"
    assert store.forget(tmp_path / "one") == 1
    assert store.find("adapter", "a") is None
    assert store.find("adapter", "b") is not None
    assert not one.place.exists()
    assert two.artifacts == ("adapter/b",)


def test_records_name_repositories(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "home")
    store.record(tmp_path / "my repo").point("profile", "x")
    assert [record["repository"] for record in store.records()] == [str(tmp_path / "my repo")]
    assert json.loads((store.record(tmp_path / "my repo").place / "record.json").read_text())["format"] == 1


def test_attempts_go_on_from_each_other_and_tear_nothing(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    first = store.begin_checkpoint("d")
    assert not first.exists()
    write_json(first, [1, 2])
    second = store.begin_checkpoint("d")
    assert read_json(second) == [1, 2]
    write_json(first, [1, 2, 3])  # the first was thought dead, and is not
    write_json(second, [1, 2, 30, 40])
    assert (read_json(first), read_json(second)) == ([1, 2, 3], [1, 2, 30, 40])
    third = store.begin_checkpoint("d")  # never gets to its first checkpoint
    third.unlink()
    assert read_json(store.begin_checkpoint("d")) == [1, 2, 30, 40]
    store.drop_checkpoints("d")
    store.drop_checkpoints("d")
    assert not any((tmp_path / "checkpoints").iterdir())
