"""Every read of an author, gathered and compared: by flow, by command and on the author's page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fingerprint.attribution.prompts import Prompt
from fingerprint.readings.part import absences_of, parts_of
from fingerprint.readings.report import AuthorReads
from fingerprint.report import SeedStability
from fingerprint.sae.config import RateShiftConfig
from fingerprint.vpd.config import VpdConfig
from service.flows.author_page import author_report
from service.flows.author_reads import KIND, explain_author
from service.flows.decomposition import decompose_adapter
from service.flows.decomposition import train_dictionary as train_components
from service.flows.dictionary import load_dictionary
from service.flows.dictionary import train_dictionary as train_latents
from service.flows.halves import NGRAMS, replicate_reads
from service.flows.opened import OpenedProfile
from service.flows.rate_shift import measure_shifts
from service.flows.seeds import read_seeds
from service.flows.signatures import load_routing_signature
from service.reports.pages.author import author_page
from service.reports.pages.page import render_single_file
from service.settings import Settings
from tests.fingerprint.sae.planted import TINY
from tests.flows.conftest import Command

ASKED = (Prompt("p", "def load_", "config", "value"),)
BRIEF = VpdConfig.tiny().model_copy(
    update={"steps": 2, "rows": 32, "row_tokens": 64, "gate_width": 16, "pgd_steps": (0,)}
)
ANN = "human:ann-other"


@pytest.fixture(scope="module")
def bare(opened: OpenedProfile) -> AuthorReads:
    """Before anything was decomposed."""
    return explain_author(opened, "ann", n_tokens=400, prompts=ASKED)


def test_what_was_not_made_is_named_with_its_command(bare: AuthorReads):
    assert bare.author == ANN
    assert {(p.read, p.axis) for p in bare.parts} == {
        ("routes", "matrices"), ("routes", "tokens"), ("spectrum", "matrices"), ("attribution", "matrices"),
    }  # fmt: skip
    assert all(p.n_nulls == 4 and p.expected_above == p.n_places / 5 for p in bare.parts)
    assert {one.read: one.command.split(" --")[0] for one in bare.missing} == {
        "latents": "routeprint sae train", "alive sets": "routeprint decompose train",
        "edits": "routeprint decompose edit",
    }  # fmt: skip
    pairs = {(a.first, a.second): a for a in bare.agreements}
    assert pairs["routes", "spectrum"].is_same_source
    assert all(a.p_value is not None and a.n_nulls == 4 for a in bare.agreements)


@pytest.fixture(scope="module")
def full(opened: OpenedProfile, bare: AuthorReads) -> AuthorReads:
    """After everything was."""
    train_latents(opened, TINY, "repository")
    measure_shifts(opened, load_dictionary(opened), RateShiftConfig(n_flips=99, n_draws=20), 1_000)
    train_components(opened, (), ("v_proj", "down_proj"), BRIEF)
    decompose_adapter(opened, "ann", BRIEF)
    return explain_author(opened, "ann", n_tokens=400, prompts=ASKED)


def test_all_reads_stand_beside_the_nulls(full: AuthorReads, opened: OpenedProfile):
    assert not full.missing
    assert {p.read for p in full.parts} == {
        "routes", "spectrum", "latents", "alive sets", "edits", "attribution",
    }  # fmt: skip
    assert set(full.statements) == {"latents", "edits"}
    tokens = {(a.first, a.second) for a in full.agreements if a.axis == "tokens"}
    assert len(tokens) == 6  # routes, latents, alive sets and edits, pair by pair
    edits = [a for a in full.agreements if "edits" in {a.first, a.second}]
    assert all(a.n_nulls == 0 and a.null_low is None for a in edits)  # one null was decomposed: no band
    assert full == explain_author(opened, "ann", n_tokens=400, prompts=ASKED)


def test_the_signature_holds_every_part_with_its_null(full: AuthorReads, opened: OpenedProfile):
    place = opened.remembered(KIND, ANN)
    assert place is not None
    found = load_routing_signature(place)
    parts = {part.name: part for part in parts_of(found)}
    assert set(parts) == {f"{p.read}/{p.axis}" for p in full.parts}
    assert "difference_by_route" in found.readings  # what the profile read
    assert parts["latents/latents"].null.shape == (4, TINY.n_latents)
    assert parts["edits/tokens"].null_names == tuple(n for n in parts["routes/tokens"].null_names[:1])
    assert not absences_of(found)


def test_the_page_shows_where_reads_agree(full: AuthorReads, small_repository: Path, profiled_home: Settings):
    report = author_report(small_repository, profiled_home, "ann")
    assert report.reads == full and report.rate_shift is not None and len(report.edits) == 1
    text = render_single_file(author_page(report))
    assert "Where they agree" in text and "routes, latents" in text
    other = author_report(small_repository, profiled_home, "bob")
    assert other.reads is None and other.rate_shift is not None
    assert "routeprint explain human:bob-some" in render_single_file(author_page(other))


@pytest.mark.usefixtures("full")
def test_explain_takes_an_author_or_a_diff(small_repository: Path, routeprint: Command):
    where = ["--repo", str(small_repository)]
    done = routeprint("explain", "bob", *where, "--format", "json")
    assert done.code == 0, done.err
    assert AuthorReads.model_validate_json(done.out).author == "human:bob-some"
    shown = routeprint("explain", "bob", *where)
    assert shown.code == 0 and "Where two reads agree" in shown.out and "decompose edit" in shown.out
    both = routeprint("explain", "bob", *where, "--staged")
    assert both.code == 2 and "not both" in both.err
    page = routeprint("explain", "bob", *where, "--format", "html")
    assert page.code == 2 and "routeprint report --author bob" in page.err
    nobody = routeprint("explain", "nobody", *where)
    assert nobody.code == 2 and "fits no author" in nobody.err


@pytest.mark.usefixtures("full")
def test_halves_are_compared_by_every_read(
    opened: OpenedProfile, small_repository: Path, routeprint: Command
):
    found = replicate_reads(opened, n_tokens=400, prompts=ASKED)
    assert {row.reading for row in found} == {
        "routes, by matrices", "routes, by tokens", "spectrum, by matrices", "latents, by latents",
        "alive sets, by matrices", "alive sets, by components", "attribution, by matrices", NGRAMS,
    }  # fmt: skip
    assert all(row.n_authors == 2 and row.p_value in {0.5, 1.0} for row in found)  # two deals of two authors
    done = routeprint("halves", "--repo", str(small_repository), "--tokens", "400", "--format", "json")
    assert done.code == 0, done.err
    assert {row["reading"] for row in json.loads(done.out)} == {row.reading for row in found}


@pytest.mark.usefixtures("full")
def test_other_seeds_learn_much_the_same_and_the_page_shows_it(
    opened: OpenedProfile, small_repository: Path, profiled_home: Settings, routeprint: Command
):
    done = routeprint("seeds", "ann", "--repo", str(small_repository), "--seeds", "1", "--format", "json")
    assert done.code == 0, done.err
    found = SeedStability.model_validate_json(done.out)
    assert found.n_seeds == 2 and found == read_seeds(opened, "ann", 1)
    assert 0.2 < found.cosines[0] < 1 - 1e-6, "another order, not the same run"
    assert len(found.null_cosines) == 2 * len(opened.nulls)
    assert author_report(small_repository, profiled_home, "ann").seeds == found
    assert author_report(small_repository, profiled_home, "bob").seeds is None
