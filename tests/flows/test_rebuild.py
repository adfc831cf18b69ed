"""A new base: nothing of the old one's is read, and one command makes all of it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fingerprint.sae.config import RateShiftConfig
from fingerprint.vpd.config import AliveSetConfig, VpdConfig
from service.flows.bench import Stage
from service.flows.browsable import components_of, latents_of
from service.flows.decomposition import NoDictionaryError as NoComponentsError
from service.flows.decomposition import compare_alive, find_alive
from service.flows.decomposition import load_dictionary as load_components
from service.flows.decomposition import train_dictionary as decompose_base
from service.flows.dictionary import NoDictionaryError, load_dictionary, train_dictionary
from service.flows.kept_pages import find_components, whose
from service.flows.labelling import label_state
from service.flows.opened import OpenedProfile, open_profile
from service.flows.profile import profile
from service.flows.rate_shift import find_shift, measure_shifts
from service.flows.rebuild import rebuild
from service.settings import Settings
from tests.conftest import TINY_TEXT, make_tiny_base
from tests.fingerprint.sae.planted import TINY
from tests.flows.conftest import Command

BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 2, "rows": 32, "row_tokens": 64, "gate_width": 16, "pgd_steps": (0, 1)}
)
SHIFT = RateShiftConfig(n_flips=99, n_draws=20)
ALIVE = AliveSetConfig(n_flips=99, n_draws=20, least_events=4)
ANN = "human:ann-other"


@pytest.fixture(scope="module")
def had(opened: OpenedProfile) -> OpenedProfile:
    """The first base with everything."""
    latents = train_dictionary(opened, TINY, "repository")
    measure_shifts(opened, latents, SHIFT)
    label_state(opened, latents_of(opened, latents), ANN)
    decompose_base(opened, (), ("v_proj",), BRIEF)
    compare_alive(opened, ANN, ALIVE, n_rotations=9)
    label_state(opened, components_of(opened, load_components(opened)))
    return opened


@pytest.fixture(scope="module")
def other_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another tiny base: the same shapes, other weights."""
    return str(make_tiny_base(tmp_path_factory.mktemp("other-base"), TINY_TEXT, initializer_range=0.12))


@pytest.fixture(scope="module")
def after(had: OpenedProfile, profiled_home: Settings, other_base: str) -> OpenedProfile:
    """What the old base had is refused under the new one, until it is rebuilt."""
    config = had.bench.config.model_copy(update={"base": other_base, "n_null_sets": 1})
    profile(had.repository, profiled_home, config)
    between = open_profile(had.repository, profiled_home)
    with pytest.raises(NoDictionaryError, match="belongs to the base"):
        load_dictionary(between)
    with pytest.raises(NoComponentsError, match="only of the base at"):
        load_components(between)
    profile(had.repository, profiled_home, had.bench.config)  # back, so that there is something to rebuild
    found = rebuild(had.repository, profiled_home, other_base)
    assert [part.what for part in found if not part.is_made] == []
    assert [part.what for part in found] == [
        "calibration", "dictionary of latents", "rate shifts", "labels of latents, base",
        f"labels of latents, {ANN}", "decomposed base", f"alive sets of {ANN}", "labels of components, base",
    ]  # fmt: skip
    return open_profile(had.repository, profiled_home)


@pytest.mark.slow
def test_everything_is_of_the_new_base_with_the_old_dials(had: OpenedProfile, after: OpenedProfile):
    assert after.routed.base.revision != had.routed.base.revision
    old = had.bench.config.model_dump(exclude={"base"})
    assert after.bench.config.model_dump(exclude={"base"}) == old
    latents, components = load_dictionary(after), load_components(after)
    assert latents.facts["revision"] == components.summary().revision == after.routed.base.revision
    assert latents.facts["config"] == TINY.model_dump(mode="json") and latents.facts["source"] == "repository"
    assert components.found.config == BRIEF
    assert {site.rpartition(".")[2] for site in components.found.components.sites} == {"v_proj"}
    shift, alive = find_shift(after, ANN), find_alive(after, ANN)
    assert shift is not None and (shift.config, shift.dictionary) == (SHIFT, latents.sae.digest)
    assert alive is not None and (alive.alive.config, alive.alive.dictionary) == (ALIVE, components.digest)
    record = after.bench.record
    assert record is not None
    assert whose(record, "components") == ("base", ANN) and whose(record, "decomposition") == ("base",)
    pages = (find_components(record, ANN), find_components(record, "base", "decomposition"))
    assert [page and page.dictionary for page in pages] == [latents.sae.digest, components.digest]


@pytest.mark.slow
@pytest.mark.usefixtures("after")
def test_again_under_the_same_base_everything_is_found(had: OpenedProfile, profiled_home: Settings):
    seen: list[Stage] = []
    assert all(part.is_made for part in rebuild(had.repository, profiled_home, report=seen.append))
    assert [stage.name for stage in seen if stage.total == 1 and not stage.is_stored] == []


@pytest.mark.slow
@pytest.mark.usefixtures("after")
def test_what_a_base_has_no_place_for_is_told_and_the_rest_is_made(
    small_repository: Path, routeprint: Command, tmp_path: Path
):
    """One block, and the dictionary of latents is of the first: the decomposition loses a matrix."""
    shallow = make_tiny_base(tmp_path / "shallow", TINY_TEXT, num_hidden_layers=1)
    done = routeprint("rebuild", "--repo", str(small_repository), "--base", str(shallow), "--format", "json")
    assert done.code == 0, done.err
    found = {part["what"]: part for part in json.loads(done.out)}
    assert all(part["is_made"] for part in found.values())
    assert found["decomposed base"]["outcome"].startswith("1 of 2 matrices")


def test_without_a_profile_there_is_nothing_to_rebuild(tmp_path: Path, routeprint: Command):
    done = routeprint("rebuild", "--repo", str(tmp_path), "--home", str(tmp_path / "home"))
    assert done.code == 2 and "routeprint profile" in done.err
