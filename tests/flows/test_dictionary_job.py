"""A dictionary end to end: trained, killed and resumed, found, measured, refused for another base."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fingerprint.sae.config import RateShiftConfig
from service.flows.author_page import author_report
from service.flows.bench import Stage
from service.flows.browsable import latents_of
from service.flows.dictionary import (
    Dictionary,
    NoDictionaryError,
    load_dictionary,
    measure_dictionary,
    train_dictionary,
)
from service.flows.kept_pages import find_components
from service.flows.labelling import label_state
from service.flows.opened import OpenedProfile
from service.flows.rate_shift import measure_shifts
from service.settings import Settings
from tests.fingerprint.sae.planted import TINY
from tests.flows.conftest import Command

SHIFT = RateShiftConfig(n_flips=999, n_draws=50)


@pytest.fixture(scope="module")
def dictionary(opened: OpenedProfile) -> Dictionary:
    """Trained with one interruption, which must not show."""
    with pytest.raises(NoDictionaryError, match=r"routeprint sae train --repo"):
        load_dictionary(opened)

    def interrupt(stage: Stage) -> None:
        if stage.name == "dictionary" and stage.done == 20:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fingerprint.sae.train.CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            train_dictionary(_reporting(opened, interrupt), TINY, "repository")
    seen: list[Stage] = []
    found = train_dictionary(_reporting(opened, seen.append), TINY, "repository")
    assert min(stage.done for stage in seen if stage.total == TINY.n_steps) == 20  # what was done stays done
    return found


def _reporting(opened: OpenedProfile, report) -> OpenedProfile:
    return replace(opened, bench=replace(opened.bench, report=report))


def test_a_profile_opens_with_its_adapters(opened: OpenedProfile):
    assert set(opened.authors) == {"human:ann-other", "human:bob-some"}
    assert len(opened.nulls) == 4
    assert set(opened.team_nulls) == {"null team"}
    trained = {passage.group for passage in opened.plan.slices.train}
    assert opened.unread and not trained & {passage.group for passage in opened.unread}


def test_a_second_run_only_looks_up(opened: OpenedProfile, dictionary: Dictionary):
    seen: list[Stage] = []
    again = train_dictionary(_reporting(opened, seen.append), TINY, "repository")
    assert [stage.is_stored for stage in seen] == [True]
    assert again.digest == dictionary.digest == load_dictionary(opened).digest
    assert again.sae.digest == dictionary.sae.digest
    assert not list((opened.bench.store.home / "checkpoints").glob("*"))


def test_a_new_base_never_reads_an_old_dictionary(opened: OpenedProfile, dictionary: Dictionary):
    assert dictionary.facts["revision"] == opened.bench.routed.base.revision
    routed = copy.copy(opened.bench.routed)
    routed.base = replace(routed.base, revision="0" * 64)
    other = replace(opened, bench=replace(opened.bench, routed=routed))
    with pytest.raises(NoDictionaryError, match=r"belongs to the base .* run `routeprint sae train --repo"):
        load_dictionary(other)


def test_quality_is_measured_once(opened: OpenedProfile, dictionary: Dictionary):
    first = measure_dictionary(opened, dictionary, 1_000)
    seen: list[Stage] = []
    second = measure_dictionary(_reporting(opened, seen.append), dictionary, 1_000)
    assert first == second
    assert [stage.is_stored for stage in seen] == [True]
    assert 0 < first.reconstruction.fvu < 1
    assert first.reconstruction.l0 <= TINY.k


def test_team_and_authors_stand_beside_their_nulls(
    opened: OpenedProfile, dictionary: Dictionary, profiled_home: Settings
):
    found = measure_shifts(opened, dictionary, SHIFT, 2_000)
    assert list(found) == ["team", "human:ann-other", "human:bob-some"]
    assert len(found["team"].nulls) == 1
    assert len(found["human:ann-other"].nulls) == 4
    assert all(one.control.n_changed == 0 and one.control.divergence == 0 for one in found.values())
    assert len({(one.n_tokens, one.n_clusters, one.dictionary) for one in found.values()}) == 1
    assert found == measure_shifts(opened, dictionary, SHIFT, 2_000)
    own = author_report(opened.repository, profiled_home, "ann").rate_shift
    assert own == found["human:ann-other"], "what was measured is on the author's page"


def test_the_command_line(small_repository: Path, routeprint: Command, tmp_path: Path):
    where = ["--repo", str(small_repository)]
    dials = ["--layer", "0", "--latents", "64", "--k", "4", "--tokens", "4096", "--on", "repository"]
    done = routeprint("sae", "train", *where, *dials, "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["n_latents"] == 64
    told = json.loads(routeprint("sae", "quality", *where, "--tokens", "1000", "--format", "json").out)
    assert told["derived"]["increase"] == told["loss"]["patched"] - told["loss"]["clean"]
    shown = routeprint("sae", "shift", *where, "--tokens", "2000", "--author", "ann", "--top", "3")
    assert shown.code == 0, shown.err
    assert "base against itself" in shown.out
    assert "null adapter 4" in shown.out
    assert "human:ann-other: latents" in shown.out
    for layout, name in (("saelens", "saelens"), ("sparsify", "layers.0")):
        done = routeprint("sae", "export", str(tmp_path), *where, "--to", layout)
        assert done.code == 0, done.err
        assert (tmp_path / name / "cfg.json").is_file()
    bad = routeprint("sae", "train", *where, "--layer", "7")
    assert bad.code == 2
    assert "no block 7" in bad.err


@pytest.mark.usefixtures("dictionary")
def test_labels_stand_beside_the_base_control(
    small_repository: Path, opened: OpenedProfile, routeprint: Command
):
    where = ["sae", "labels", "--repo", str(small_repository)]
    shown = routeprint(*where)
    assert shown.code == 0, shown.err
    assert "page 0 of 0 to 1" in shown.out and "dealt out to other latents" in shown.out
    told = json.loads(routeprint(*where, "--author", "ann", "--page", "1", "--format", "json").out)
    assert told["state"] == "human:ann-other"
    assert [row["component"]["number"] for row in told["rows"]] == list(range(50, 64))
    # the base's own labels are all in the base control; an author's that the base earns are marked
    base = label_state(opened, latents_of(opened, load_dictionary(opened))).labels.labels
    assert any(label.is_clear for label in base)
    texts = {label.text for label in base if label.is_clear}
    own = label_state(opened, latents_of(opened, load_dictionary(opened)), "human:ann-other").labels.labels
    assert all(label.is_corpus for label in own if label.text in texts)
    assert opened.bench.record is not None
    browsed = find_components(opened.bench.record, "human:ann-other")
    assert browsed is not None and len(browsed.cards) == 64, "the service's browser shows them all"
    assert [card["isCorpus"] for card in browsed.cards] == [label.is_corpus for label in own]
    card = routeprint(*where, "--latent", str(next(label.component for label in base if label.is_clear)))
    assert "tokens it fires on" in card.out and "⟦" in card.out
    missing = routeprint(*where, "--page", "9")
    assert missing.code == 2 and "pages 0 to 1" in missing.err


def test_no_language_model_is_asked_unless_it_is_set(small_repository: Path, routeprint: Command):
    done = routeprint("sae", "labels", "--repo", str(small_repository), "--language-model")
    assert done.code == 2
    assert "ROUTEPRINT_LABEL_URL" in done.err and "will be sent there" in done.err
