"""A repository as a service knows it once everything has been asked: real data on every page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.git.command import Repository
from connectors.git.ranges import read_range
from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.prompts import DEFAULT_PROMPTS
from fingerprint.config import AdapterConfig, ProfileConfig
from fingerprint.sae.config import RateShiftConfig, SaeConfig
from fingerprint.vpd.config import VpdConfig
from service.artifacts import ArtifactStore
from service.db.queries.people import find_author, record_consent
from service.db.queries.repositories import keep_repository, number_of
from service.db.queries.signatures import NewSignature, add_version, scope_of_team
from service.db.session import Database
from service.db.states import ConsentState, ReviewStatus
from service.db.tables import Review
from service.flows.attribution import attribute
from service.flows.browsable import components_of, latents_of
from service.flows.decomposition import compare_alive, load_dictionary
from service.flows.decomposition import train_dictionary as decompose_base
from service.flows.dictionary import train_dictionary
from service.flows.history_rows import HistoryRead, keep_rows
from service.flows.ingest import ingest, load_ingested
from service.flows.kept_pages import keep_review
from service.flows.labelling import label_state
from service.flows.opened import open_profile
from service.flows.profile_pages import keep_profile_pages
from service.flows.rate_shift import measure_shifts
from service.flows.review import load_reviewer
from service.flows.review_page import reviewed
from service.sample.organisation import SampleOrganisation
from service.settings import Settings

SMALL = ProfileConfig(adapter=AdapterConfig(team_tokens=16_000, author_tokens=8_000))
"""A fifth of the demo's text: every page has something to say."""
N_REVIEWS = 4
_DICTIONARY = SaeConfig.tiny().model_copy(
    update={"n_latents": 512, "tokens": 65_536, "shuffle_tokens": 16_384, "sample_tokens": 8_192}
)
_GRAPH = AttributionConfig(n_draws=4, curve_points=3, ablated=(1, 4), attack_steps=2, n_bootstrap=50)


@dataclass(frozen=True)
class Shown:
    """What pages are made of. head: of the history. diffs: changes to review, by name."""

    path: Path
    head: str
    diffs: Mapping[str, str]

    @classmethod
    def of_sample(cls, organisation: SampleOrganisation) -> Shown:
        """The sample organisation with the diffs whose answers are known."""
        texts = {name: diff.text for name, diff in organisation.diffs.items()}
        return cls(organisation.path, organisation.head, texts)

    @classmethod
    def of_repository(cls, path: Path) -> Shown:
        """Any repository, its newest commits as reviews."""
        place = Repository.at(path)
        commits = place.read("rev-list", "--no-merges", f"-{N_REVIEWS}", "HEAD").decode().split()
        diffs = {commit[:9]: read_range(path, f"{commit}^..{commit}") for commit in commits}
        return cls(path, place.commit_id("HEAD"), diffs)


_PARTS = VpdConfig.tiny().model_copy(
    update={"steps": 60, "rows": 4, "row_tokens": 64, "gate_width": 64, "importance_coefficient": 3e-4,
            "frequency_coefficient": 3e-5, "pgd_steps": (0, 5)}
)  # fmt: skip
_PARTS_OF = (1,), ("v_proj", "o_proj", "down_proj")


def read_inside(repository: Path, settings: Settings) -> str:
    """What other commands would have stored: a dictionary and a decomposition with labels, attributions.

    Returns the key of the author it was asked of.
    """
    opened = open_profile(repository, settings)
    dictionary = train_dictionary(opened, _DICTIONARY, "repository")
    measure_shifts(opened, dictionary, RateShiftConfig.tiny(), 8_000)
    author = next(iter(opened.authors))
    decompose_base(opened, *_PARTS_OF, _PARTS)
    compare_alive(opened, author, n_tokens=2_000, n_rotations=9)
    parts = components_of(opened, load_dictionary(opened))
    for who in ("base", "team", author):
        label_state(opened, latents_of(opened, dictionary), who)
        label_state(opened, parts, who)
    inside = open_profile(repository, settings, lambda _: None)
    attribute(inside, DEFAULT_PROMPTS[:3], None, nodes="components", config=_GRAPH)
    attribute(inside, DEFAULT_PROMPTS[:3], author, nodes="routes", config=_GRAPH)
    return author


def keep_everything(
    shown: Shown, settings: Settings, database: Database, profile: str, author: str
) -> list[str]:
    """Pages and rows of a profiled repository; returns all addresses, those of one author's insides too."""
    path, store = shown.path, ArtifactStore(settings.home)
    ingested = load_ingested(path, settings)
    with database.writing() as session:
        repository = number_of(keep_repository(session, "acme/sample", path=str(path)))
        keep_rows(session, repository, HistoryRead(shown.head, ingested.authors), ())
        people = [author.key for author in ingested.authors]
        for key in people:
            record_consent(
                session, find_author(session, repository, key), ConsentState.GIVEN, "lead", "asked"
            )
        add_version(session, NewSignature(
            repository, scope_of_team(""), profile, profile, "b", "c", shown.head, 400, {},
        ))  # fmt: skip
        authors = [find_author(session, repository, key).id for key in people]
    assert keep_profile_pages(path, settings, profile, "", people) == ()
    addresses = ["/", "/authors", f"/teams/{repository}", f"/graphs/{repository}"]
    addresses += [
        f"/graphs/{repository}?prompt=2",
        *(
            f"/{parts}/{repository}/{s}"
            for parts in ("components", "decomposition")
            for s in ("base", "team")
        ),
    ]
    addresses += [f"/authors/{number}" for number in authors]
    one = authors[people.index(author)]
    addresses += [f"/authors/{one}/{page}" for page in ("graph", "components", "decomposition")]
    return addresses + keep_reviews(shown, settings, database, repository, profile, store)


def keep_reviews(
    shown: Shown, settings: Settings, database: Database, repository: int, profile: str, store: ArtifactStore
) -> list[str]:  # fmt: skip
    """The diffs as reviewed pull requests."""
    reviewer, addresses = load_reviewer(shown.path, settings), []
    for number, (name, diff) in enumerate(shown.diffs.items(), 1):
        report, head = reviewer.review(diff), f"{number}" * 40
        page = reviewed(
            report, diff, store, profile, repository="acme/sample", base=shown.head, head=head,
            number=number,
        )  # fmt: skip
        keep_review(store, store.record(shown.path), f"job-{name}", page)
        evidence = report.evidence
        with database.writing() as session:
            row = Review(
                repository_id=repository, number=number, head_sha=head, base_sha=shown.head,
                external_id=f"rp-{name}", job_id=f"job-{name}", status=ReviewStatus.DONE,
                verdict=report.verdict.value, p_value=None if evidence is None else evidence.p_value,
            )  # fmt: skip
            session.add(row)
            session.flush()
            addresses.append(f"/reviews/{row.id}")
    return addresses


def profile_small(path: Path, settings: Settings) -> str:
    """Learn from it, with small dials; returns the profile's digest."""
    from service.flows.profile import make_profile

    ingest(path, settings)
    made = make_profile(path, settings, SMALL)
    ArtifactStore(settings.home).record(path).point("profile", made.digest)
    return made.digest
