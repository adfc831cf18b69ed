"""When signatures are learned again, and what forgetting leaves."""

from __future__ import annotations

import json
import subprocess
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.contribution import Contribution
from connectors.identity.author import AuthorKind, forgotten_digest
from fingerprint.storage import write_json
from service.artifacts import ArtifactError, ArtifactStore
from service.db.queries import signatures as versions
from service.db.queries.jobs import fail_open_job, find_job
from service.db.queries.people import (
    consenting_authors,
    forgotten_digests,
    keep_author,
    record_consent,
    wants_none,
)  # fmt: skip
from service.db.queries.pulls import keep_commits, keep_pull
from service.db.queries.repositories import (
    UnknownRepositoryError,
    find_repository,
    keep_repository,
    keep_team,
    note_ingested,
    number_of,
)  # fmt: skip
from service.db.states import ConsentState, JobStatus
from service.db.tables import AuditEvent, Author, Consent, PullCommit, Signature
from service.enqueue import Enqueuer
from service.flows.forgetting import (
    _take_readings,
    drop_forgotten,
    forget_person,
    withdraw_person,
)
from service.flows.lifecycle import PAUSE_AFTER_FAILURE, count_new_commits, look_after, why_stale
from service.flows.team import TeamChoice
from service.flows.transfer import TransferError, export_signature, import_signature
from service.settings import Settings

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def small_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 commits, every fifth of them to the documents."""
    place = tmp_path_factory.mktemp("history")
    lines = []
    for number in range(25):
        path = f"docs/{number}.md" if number % 5 == 4 else f"src/{number}.py"
        stamp = f"Ann <ann@example.org> {1_700_000_000 + number} +0000"
        lines.append(
            f"commit refs/heads/main\nauthor {stamp}\ncommitter {stamp}\ndata 1\nw\n"
            f"M 100644 inline {path}\ndata 2\n{number % 10}\n\n"
        )
    git = ["git", "-C", str(place)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "fast-import", "--quiet"], input="".join(lines).encode(), check=True)
    return place


def commit_ids(place: Path) -> list[str]:
    shown = subprocess.run(
        ["git", "-C", str(place), "rev-list", "main"], check=True, capture_output=True, text=True
    )
    return shown.stdout.split()


def made(repository: int, scope: str, n: int, commit: str = "") -> versions.NewSignature:
    return versions.NewSignature(repository, scope, f"p{n}", f"a{n}", "base", "config", commit, 100, {})


@pytest.mark.parametrize(
    ("n_new", "age_days", "base", "reason"),
    [
        (0, 400, "base", ""),
        (9, 29, "base", ""),
        (10, 0, "base", "10 new commits"),
        (1, 30, "base", "30 days old, with 1 new commits"),
        (0, 0, "another", "the base has changed"),
        (0, 0, "", ""),
        (None, 0, "base", "the history it was learned from has been rewritten"),
    ],
)
def test_the_rule_of_staleness(
    settings: Settings, n_new: int | None, age_days: int, base: str, reason: str
) -> None:
    signature = Signature(
        repository_id=1, scope="team:", version=1, profile="p", artifact="a", base_hash="base",
        config_hash="c", made_at=NOW - timedelta(days=age_days),
    )  # fmt: skip
    assert why_stale(signature, n_new, base, NOW, settings) == reason


def test_versions_are_used_pinned_rolled_back_and_keep_their_names(asking: Enqueuer) -> None:
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till"))
        for n in (1, 2, 3):
            versions.add_version(session, made(number, "team:", n))
        assert versions.add_version(session, made(number, "team:", 3)).version == 3, "the same is the same"

        def used() -> int | None:
            present = versions.current_version(session, number, "team:")
            return None if present is None else present.version

        assert used() == 3
        assert versions.roll_back(session, number, "team:", "flags everything").version == used() == 2
        versions.pin(session, number, "team:", 1)
        versions.add_version(session, made(number, "team:", 4))
        assert used() == 1
        versions.unpin(session, number, "team:")
        assert used() == 4
        with pytest.raises(versions.UnknownSignatureError, match="versions 1 to 4"):
            versions.pin(session, number, "team:", 9)
        withdrawn = versions.require_version(session, number, "team:", 3)
        assert (withdrawn.withdrawn_reason, withdrawn.profile) == ("flags everything", "p3")


def test_what_is_due_is_asked_for_once(asking: Enqueuer, settings: Settings, small_history: Path) -> None:
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till", path=str(small_history)))
        keep_team(session, number, "docs", ["docs/**"])
    assert [job.split("-")[0] for job in look_after(asking, settings)] == ["ingest"]
    assert look_after(asking, settings) == [], "it is already waiting"
    head = commit_ids(small_history)[0]
    with asking.database.writing() as session:
        note_ingested(session, number, head, datetime.now(UTC))
    assert len(look_after(asking, settings)) == 2, "neither team has a signature"
    assert look_after(asking, settings) == []


def test_a_history_that_could_not_be_read_is_not_asked_for_at_once(
    asking: Enqueuer, settings: Settings
) -> None:
    with asking.database.writing() as session:
        keep_repository(session, "shop/gone")
    (job_id,) = look_after(asking, settings)
    with asking.database.writing() as session:
        fail_open_job(session, job_id, "GoneError: it does not exist")
    assert look_after(asking, settings) == []
    with asking.database.writing() as session:
        find_job(session, job_id).finished_at = datetime.now(UTC) - PAUSE_AFTER_FAILURE
    assert len(look_after(asking, settings)) == 1


def test_only_commits_of_the_teams_paths_make_it_stale(
    asking: Enqueuer, settings: Settings, small_history: Path
) -> None:
    commits = commit_ids(small_history)
    assert count_new_commits(small_history, commits[-1], commits[0]) == 24
    assert count_new_commits(small_history, commits[-1], commits[0], ["docs/**"]) == 5
    assert count_new_commits(small_history, "f" * 40, commits[0]) is None
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till", path=str(small_history)))
        keep_team(session, number, "docs", ["docs/**"])
        note_ingested(session, number, commits[0], datetime.now(UTC))
        for n, scope in enumerate(("team:", "team:docs")):
            versions.add_version(session, made(number, scope, n, commit=commits[-1]))
    asked = look_after(asking, settings, "base")
    with asking.database.reading() as session:
        stale = {v.scope: v.stale_reason for v in versions.list_versions(session, number)}
        subjects = [find_job(session, job_id).subject for job_id in asked]
    assert stale == {"team:": "24 new commits", "team:docs": ""}
    assert subjects == ["team:", "calibration:docs"], "one is learned again, the other's commits calibrate"


def test_a_few_commits_calibrate_before_many_make_it_stale(
    asking: Enqueuer, settings: Settings, small_history: Path
) -> None:
    commits = commit_ids(small_history)
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till", path=str(small_history)))
        note_ingested(session, number, commits[0], datetime.now(UTC))
        versions.add_version(session, made(number, "team:", 1, commit=commits[4]))
    assert look_after(asking, settings, "base") == [], "four commits are too few"
    few = settings.model_copy(update={"refresh_commits": 4})
    (job_id,) = look_after(asking, few, "base")
    assert look_after(asking, few, "base") == [], "it is already waiting"
    with asking.database.reading() as session:
        job = find_job(session, job_id)
    assert (job.subject, job.payload["refresh"]) == ("calibration:", True)
    with asking.database.writing() as session:
        rolled = versions.roll_version(
            session, number, "team:", before="p1", profile="p1 rolled", artifact="s1", commit=commits[0]
        )
        assert rolled is not None and (rolled.version, rolled.commit) == (1, commits[4])
        assert versions.calibrated_to(rolled) == commits[0]
        assert versions.roll_version(
            session, number, "team:", before="another", profile="x", artifact="x", commit=commits[0]
        ) is None  # fmt: skip
        asked = find_job(session, job_id)
        asked.status = JobStatus.DONE
    assert look_after(asking, few, "base") == [], "they have joined"


def test_consent_is_recorded_and_its_withdrawal_ends_the_signature(asking: Enqueuer) -> None:
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till"))
        ann = keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
        keep_author(session, number, "human:bob", name="Bob", kind="human", tier="B")
        assert consenting_authors(session, number) == ()
        record_consent(session, ann, ConsentState.GIVEN, by="lead", how="e-mail of 1 June")
        assert consenting_authors(session, number) == ("human:ann",)
        versions.add_version(session, made(number, "author:human:ann", 1))
        record_consent(session, ann, ConsentState.WITHDRAWN, by="human:ann")
        assert consenting_authors(session, number) == ()
        assert versions.current_version(session, number, "author:human:ann") is None


def test_forgetting_deletes_adapters_that_no_profile_lists(asking: Enqueuer, settings: Settings) -> None:
    store, shop = ArtifactStore(settings.home), settings.home / "shop"
    facts = {"signature": "s", "adapters": {"team": "t"}, "author_signatures": {}}
    store.put("profile", "p1", lambda place: write_json(place / "profile.json", facts))
    for kind, digest in (("adapter", "t"), ("adapter", "half"), ("halves", "h"), ("sae", "d")):
        store.put(kind, digest, lambda place: write_json(place / "x.json", 1))
        store.record(shop).use(kind, digest)
    store.record(shop).use("profile", "p1")
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till", path=str(shop)))
        keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
    assert forget_person(asking, settings, number, "human:ann", by="lead") == 2
    found = {kind for kind in ("adapter/t", "adapter/half", "halves/h", "sae/d")
             if store.find(*kind.split("/")) is not None}  # fmt: skip
    assert found == {"adapter/t", "sae/d"}


def test_forgetting_leaves_no_name_and_no_artifact(asking: Enqueuer, settings: Settings) -> None:
    store = ArtifactStore(settings.home)
    facts = {
        "signature": "s", "adapters": {"team": "t", "human:ann": "d", "human:ann/0": "n", "human:anna": "o"},
        "author_signatures": {"human:ann": "as"},
    }  # fmt: skip
    store.put("profile", "p1", lambda place: write_json(place / "profile.json", facts))
    for kind, digest in [("adapter", d) for d in "tdno"] + [("author-signature", "as")]:
        store.put(kind, digest, lambda place: write_json(place / "x.json", 1))
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till"))
        ann = keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
        record_consent(session, ann, ConsentState.GIVEN, by="lead")
        versions.add_version(session, made(number, "team:", 1))
    assert forget_person(asking, settings, number, "human:ann", by="lead") == 3
    assert [store.find("adapter", digest) is not None for digest in "tdno"] == [True, False, False, True]
    with asking.database.reading() as session:
        assert session.execute(sa.select(Author)).first() is None
        assert session.execute(sa.select(Consent)).first() is None
        stale = versions.current_version(session, number, "team:")
        assert stale is not None and "forgotten" in stale.stale_reason
        gone = forgotten_digests(session, number)
        assert gone == (forgotten_digest("human:ann"),)
        last = session.execute(sa.select(AuditEvent).order_by(sa.text("id DESC"))).scalars().first()
    assert last is not None and "ann" not in f"{last.what} {last.target} {last.details}"
    choice = TeamChoice(forgotten=frozenset(gone))
    theirs = Contribution("c", "human:ann", NOW, "a.py", "python", ())
    assert "forgotten" in choice.why_not(theirs, AuthorKind.HUMAN)
    assert choice.facts()["n_forgotten"] == 1


def test_forgetting_leaves_nothing_in_other_rows(asking: Enqueuer, settings: Settings) -> None:
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till"))
        ann = keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
        record_consent(session, ann, ConsentState.GIVEN, by="lead", how="a letter of Ann's")
        pull = keep_pull(session, number, 7, head_sha="h", base_sha="b", author_key="human:ann")
        keep_commits(session, pull.id or 0, [
            PullCommit(pull_request_id=pull.id or 0, sha="s", position=0, author_key="human:ann")
        ])  # fmt: skip
        for n in (1, 2):
            versions.add_version(session, made(number, "team:", n))
        versions.pin(session, number, "team:", 1)
    job_id = asking.profile(number)
    with asking.database.writing() as session:
        assert fail_open_job(session, job_id, "it ended")
        find_job(session, job_id).result = {"team:": 1, "author:human:ann": 1}
    forget_person(asking, settings, number, "human:ann", by="lead")
    with asking.database.engine.connect() as connection:
        tables = sa.inspect(asking.database.engine).get_table_names()
        told = {t: str(connection.execute(sa.text(f"SELECT * FROM {t}")).all()) for t in tables}  # noqa: S608 - ours
    assert {table for table, text in told.items() if "ann" in text.lower()} == set()
    assert job_id not in told["workflow_status"]
    with asking.database.reading() as session:
        rows = versions.list_versions(session, number)
        assert [(row.stale_reason, row.is_pinned) for row in rows] == [(versions.FORGOTTEN, False)] * 2


def kept_profiles(settings: Settings, path: Path, names: str) -> ArtifactStore:
    """A profile for each name, whose team adapter has the same; profile "q" is rolled on from "p"."""
    store = ArtifactStore(settings.home)
    for name in names:
        adapter = "p" if name == "q" else name
        facts = {"signature": f"s{name}", "adapters": {"team": adapter, "null team": "n"},
                 "author_signatures": {}}  # fmt: skip
        store.put("profile", name, lambda place, facts=facts: write_json(place / "profile.json", facts))
        store.record(path).use("profile", name)
        for kind, digest in (("adapter", adapter), ("adapter", "n"), ("team-signature", f"s{name}")):
            store.put(kind, digest, lambda place: write_json(place / "x.json", 1))
    return store


def test_teams_that_knew_the_forgotten_are_deleted_once_they_are_learned_again(
    asking: Enqueuer, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "till"
    store = kept_profiles(settings, path, "pqo")

    def add(profile: str) -> int:
        with asking.database.writing() as session:
            new = versions.NewSignature(number, "team:", profile, f"s{profile}", "base", "c", "", 100, {})
            return versions.add_version(session, new).version

    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till", path=str(path)))
        keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
    assert [add(profile) for profile in "oq"] == [1, 2]
    forget_person(asking, settings, number, "human:ann", by="lead")
    assert drop_forgotten(asking, settings) == 0, "there is no other to score with yet"
    kept_profiles(settings, path, "r")
    assert add("r") == 3
    assert drop_forgotten(asking, settings) == 8
    there = [
        (k, d) for k in ("profile", "adapter", "team-signature") for d in ("o", "p", "q", "so", "sp", "sq")
    ]
    assert [one for one in there if store.find(*one) is not None] == []
    for one in (("profile", "r"), ("adapter", "r"), ("adapter", "n"), ("team-signature", "sr")):
        assert store.find(*one) is not None
    assert drop_forgotten(asking, settings) == 0
    with asking.database.writing() as session:
        present = versions.current_version(session, number, "team:")
        assert present is not None and present.version == 3
        with pytest.raises(versions.UnknownSignatureError, match="has been deleted"):
            versions.pin(session, number, "team:", 1)
        with pytest.raises(versions.UnknownSignatureError, match="no version before"):
            versions.roll_back(session, number, "team:", "noisy")


def test_withdrawn_consent_deletes_what_was_learned_of_a_person(asking: Enqueuer, settings: Settings) -> None:
    store = ArtifactStore(settings.home)
    facts = {"signature": "s", "adapters": {"team": "t", "human:ann": "d"},
             "author_signatures": {"human:ann": "as"}}  # fmt: skip
    store.put("profile", "p1", lambda place: write_json(place / "profile.json", facts))
    for kind, digest in (("adapter", "t"), ("adapter", "d"), ("author-signature", "as")):
        store.put(kind, digest, lambda place: write_json(place / "x.json", 1))
    with asking.database.writing() as session:
        number = number_of(keep_repository(session, "shop/till"))
        ann = keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
        versions.add_version(session, made(number, "team:", 1))
        record_consent(session, ann, ConsentState.WITHDRAWN, by="human:ann")
        assert wants_none(session, number, "human:ann")
    assert withdraw_person(asking, settings, number, "human:ann") == 2
    assert [store.find("adapter", digest) is not None for digest in "td"] == [True, False]
    with asking.database.reading() as session:
        present = versions.current_version(session, number, "team:")
        assert present is not None and present.stale_reason == "", "the team stays as it is"


def test_what_was_read_of_an_adapter_goes_with_it(settings: Settings) -> None:
    store = ArtifactStore(settings.home)
    record = store.record(Path("/shop/till"))
    for kind, adapter in (("edits", "d"), ("author-reads", "d"), ("author-reads", "o")):
        store.put(kind, f"{kind}-{adapter}", lambda place: write_json(place / "runs.json", [["ann", "run"]]))
        record.point(f"{kind} of {adapter}", f"{kind}-{adapter}")
    gone = _take_readings(record, {"d"})
    assert gone == {("edits", "edits-d"), ("author-reads", "author-reads-d"), ("edit", "run")}
    assert record.pointer("author-reads of d") is None
    assert record.pointer("author-reads of o") == "author-reads-o", "another person's"


def test_renames_are_followed_and_old_names_still_found(asking: Enqueuer) -> None:
    with asking.database.writing() as session:
        first = number_of(keep_repository(session, "org/old", github_id=5))
        assert number_of(keep_repository(session, "org/new_name", github_id=5)) == first
        assert number_of(find_repository(session, "ORG/OLD")) == first
        assert number_of(keep_repository(session, "org/old", github_id=6)) != first
        assert find_repository(session, "org/old").github_id == 6, "the name belongs to another now"
        with pytest.raises(UnknownRepositoryError):
            find_repository(session, "org/newXname")


def stored_profile(store: ArtifactStore) -> None:
    facts = {"signature": "s", "adapters": {"team": "t", "human:ann": "d"}, "author_signatures": {}}
    store.put("profile", "p", lambda place: write_json(place / "profile.json", facts))
    store.put("team-signature", "s", lambda place: write_json(place / "signature.json", [1]))
    for digest in "td":
        store.put("adapter", digest, lambda place, digest=digest: write_json(place / "w.json", digest))


def test_a_signature_travels_as_one_file_without_peoples_own_adapters(tmp_path: Path) -> None:
    here, there = ArtifactStore(tmp_path / "here"), ArtifactStore(tmp_path / "there")
    stored_profile(here)
    file = export_signature(here, "p", {"scope": "team:"}, tmp_path / "team.signature")
    assert import_signature(there, file) == ("p", {"scope": "team:"})
    assert there.require("adapter", "t")
    with pytest.raises(ArtifactError):
        there.require("adapter", "d")
    assert import_signature(there, file)[0] == "p", "twice does no harm"


@pytest.mark.parametrize("damage", ["content", "added", "escape", "none"])
def test_a_changed_file_is_refused(tmp_path: Path, damage: str) -> None:
    here = ArtifactStore(tmp_path / "here")
    stored_profile(here)
    file = export_signature(here, "p", {}, tmp_path / "team.signature")
    with zipfile.ZipFile(file) as bundle:
        parts = {name: bundle.read(name) for name in bundle.namelist()}
    manifest = json.loads(parts["manifest.json"])
    if damage == "content":
        parts["adapter/t/w.json"] += b" "
    if damage == "added":
        parts["adapter/t/more.json"] = b"1"
    if damage == "escape":
        manifest["files"]["adapter/t/../../x"] = manifest["files"].pop("adapter/t/w.json")
        parts["adapter/t/../../x"] = parts.pop("adapter/t/w.json")
        parts["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(file, "w") as bundle:
        for name, content in parts.items():
            bundle.writestr(name, content)
    there = ArtifactStore(tmp_path / "there")
    if damage == "none":
        assert import_signature(there, file)[0] == "p"
        return
    with pytest.raises(TransferError):
        import_signature(there, file)
    assert not (tmp_path / "there").exists()
