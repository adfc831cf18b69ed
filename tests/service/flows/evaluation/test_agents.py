"""Agents learned elsewhere, on small real repositories that declare one in their commits' trailers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.results import AgentTransfer
from service import ServiceError
from service.flows.bench import Stage
from service.flows.evaluation import agents
from service.flows.evaluation.agents import tell_agents
from service.flows.evaluation.manifest import read_manifest
from service.settings import Settings
from tests.service.flows.evaluation.test_repository import base_directory, commit_all, entry, write

__all__ = ["base_directory"]
TRAILER = "\n\nCo-Authored-By: Claude <noreply@anthropic.com>"


def make_declaring(
    place: Path, people: list[str], n_commits: int, seed: int, *, declares: bool = True
) -> Path:
    """A bare repository; in its second half every other commit is an agent's, and written by another hand."""
    rng = np.random.default_rng(seed)

    def commits() -> Iterator[tuple[str, str, str]]:
        for i in range(n_commits):
            is_agent = declares and i >= n_commits // 2 and i % 2 == 1
            hand = "Cid" if is_agent else ["Ann", "Bob"][seed % 2]
            yield people[i % len(people)], TRAILER if is_agent else "", write(hand, 4, rng)

    return commit_all(place, commits())


CONFIG = EvaluationConfig(slices=(0.3, 0.1, 0.1, 0.5), sample_tokens=60, least_hunk_tokens=10, n_draws=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three repositories with agents, the first and the third with a person in common, and one without."""
    place = tmp_path_factory.mktemp("clones")
    for seed, (name, people) in enumerate(
        {"one": ["Uma", "Vic"], "two": ["Wes", "Xia"], "three": ["Uma", "Yan"]}.items()
    ):
        make_declaring(place / name, people, 60, seed)
    make_declaring(place / "none", ["Zoe"], 40, 5, declares=False)
    rows = [entry(name, place / name, "") for name in ("one", "two", "three", "none")]
    (place / "m.toml").write_text('format = 1\nname = "four"\n' + "".join(rows))
    return place


def test_every_repository_is_tried_by_those_without_its_people(
    folder: Path, base_directory: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    manifest, stages = read_manifest(folder / "m.toml"), list[Stage]()
    found = tell_agents(manifest, folder, settings, CONFIG, report=stages.append)
    assert {one.repository: one.donors for one in found.repositories} == {
        "one": ("two",), "two": ("one", "three"), "three": ("two",),
    }  # fmt: skip
    assert found.repositories[0].n_by_agent == {"agent:claude": 15}
    assert any("none: fewer than 10 hunks of agents" in note for note in found.notes)
    areas = {(row.system, row.unit): row.auroc.value or 0 for row in found.mean}
    assert areas["layout rates (B2)", "hunk"] > 0.9
    assert areas["routes at the base, Fisher kernel", "hunk"] > 0.8
    assert len(found.contrasts) == 6
    assert AgentTransfer.model_validate_json(found.model_dump_json()) == found
    stages.clear()
    assert tell_agents(manifest, folder, settings, CONFIG, report=stages.append) == found
    assert all(stage.is_stored for stage in stages if "read history" not in stage.name)


def test_without_agents_anywhere_it_says_so(folder: Path, base_directory: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    with pytest.raises(ServiceError, match="declared agents that share no people, saw 0"):
        tell_agents(read_manifest(folder / "m.toml"), folder, settings, CONFIG, only=["none"])


def test_the_command_writes_the_result(
    folder: Path, base_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTEPRINT_BASE", str(base_directory))
    monkeypatch.setattr(agents, "EvaluationConfig", lambda: CONFIG)
    out = tmp_path / "agents.json"
    line = ["agents", str(folder / "m.toml"), "--repositories", str(folder), "--home", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*line, "--only", "one", "--only", "two", "--out", str(out)])
    agents.main()
    assert len(AgentTransfer.model_validate_json(out.read_text()).repositories) == 2
