"""The commands about work, signatures and people, on a real repository, without doing the work."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fingerprint.storage import write_json
from service.artifacts import ArtifactStore
from service.cli.main import app
from service.db.queries.people import keep_author
from service.db.queries.pulls import accept
from service.db.queries.repositories import (
    find_repository,
    keep_repository,
    list_repositories,
    number_of,
)
from service.db.queries.reviews import ReviewQuestion, ask_review
from service.db.queries.signatures import NewSignature, add_version
from service.db.session import connect
from service.db.states import AcceptanceKind
from service.db.tables import Acceptance
from service.settings import Settings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    place = tmp_path / "shop"
    git = ["git", "-C", str(place), "-c", "user.name=Ann Other", "-c", "user.email=ann@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(place)], check=True)
    for number in range(3):
        (place / "a.py").write_text(f"value = {number}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "work"], check=True)
    return place


def run(*words: str, home: Path, code: int = 0) -> str:
    shown = CliRunner().invoke(app, [*words, "--home", str(home)])
    if shown.exception is not None and not isinstance(shown.exception, SystemExit):
        assert code == 2, shown.exception
        return str(shown.exception)
    assert shown.exit_code == code, shown.output
    return shown.output


def test_the_database_is_brought_up_to_date_and_says_so(tmp_path: Path):
    home = tmp_path / "home"
    assert "it was empty" in run("db", "upgrade", home=home)
    assert "as it was" in run("db", "upgrade", home=home)
    assert home.stat().st_mode & 0o077 == 0, "others may not look into it"


def test_jobs_are_asked_for_listed_called_off_and_asked_again(tmp_path: Path, shop: Path):
    home = tmp_path / "home"
    repo = ("--repo", str(shop))
    asked = run("jobs", "ask", "ingest", *repo, home=home).split()[0]
    assert run("jobs", "ask", "ingest", *repo, home=home).split()[0] == asked
    review = run("jobs", "ask", "review", *repo, "--range", "HEAD~1..HEAD", home=home).split()[0]
    listed = run("jobs", "list", home=home)
    assert asked in listed and "queued" in listed and review[:20] in listed.replace("\n", "")
    assert "called off" in run("jobs", "cancel", asked, home=home)
    assert "cancelled on request" in run("jobs", "log", asked, home=home)
    assert "asked for" in run("jobs", "retry", asked, home=home)
    assert "has ended" in run("jobs", "cancel", asked, home=home, code=2)
    assert "is no job" in run("jobs", "log", "nothing", home=home, code=2)
    assert "no queue nonsense" in run("work", "--queue", "nonsense", home=home, code=2)


def test_versions_are_listed_pinned_and_rolled_back(tmp_path: Path, shop: Path):
    home, repo = tmp_path / "home", ("--repo", str(shop))
    run("jobs", "ask", "ingest", *repo, home=home)
    database = connect(Settings(home=home))
    with database.writing() as session:
        number = number_of(find_repository(session, str(shop)))
        for n in (1, 2):
            add_version(session, NewSignature(number, "team:", f"p{n}", f"a{n}", "b", "c", "", 100, {}))
    database.close()
    assert "version 1" in run("signatures", "rollback", "--reason", "noisy", *repo, home=home)
    assert "withdrawn: noisy" in run("signatures", "list", *repo, home=home)
    assert "version 2" in run("signatures", "pin", "2", *repo, home=home)
    assert "in use, pinned" in run("signatures", "list", *repo, home=home)
    assert "no version 7" in run("signatures", "pin", "7", *repo, home=home, code=2)


def test_a_team_is_a_name_and_paths(tmp_path: Path, shop: Path):
    home, repo = tmp_path / "home", ("--repo", str(shop))
    run("jobs", "ask", "ingest", *repo, home=home)
    kept = run("teams", "keep", "web", "--paths", "web/*", "--paths", "ui/*", *repo, home=home)
    assert "web is whoever writes web/*, ui/*" in kept
    run("teams", "keep", "web", "--paths", "site/*", "--with-agents", *repo, home=home)
    listed = run("teams", "list", *repo, home=home)
    assert "site/*" in listed and "enrolled" in listed and "web/*" not in listed
    assert "the whole repository" in listed


def test_consent_is_recorded_and_a_person_forgotten(tmp_path: Path, shop: Path):
    home, repo = tmp_path / "home", ("--repo", str(shop))
    run("ingest", *repo, home=home)
    assert "consent given" in run("people", "consent", "ann", "--state", "given", *repo, home=home)
    assert "forgotten" in run("people", "forget", "ann", *repo, home=home)
    database = connect(Settings(home=home))
    with database.engine.connect() as connection:
        (n_authors,) = connection.exec_driver_sql("SELECT count(*) FROM author").one()
    database.close()
    assert n_authors == 0


def test_a_repository_on_github_goes_by_its_name(tmp_path: Path, shop: Path):
    home, repo = tmp_path / "home", ("--repo", "acme/shop")
    run("db", "upgrade", home=home)
    database = connect(Settings(home=home))
    with database.writing() as session:
        row = keep_repository(session, "acme/shop", github_id=7, path=str(shop))
        add_version(session, NewSignature(number_of(row), "team:", "p", "a", "b", "c", "", 100, {}))
    assert "version 1" in run("signatures", "pin", "1", *repo, home=home)
    for named in (repo, ("--repo", str(shop))):
        assert "in use, pinned" in run("signatures", "list", *named, home=home)
    run("teams", "keep", "web", "--paths", "web/*", *repo, home=home)
    asked = run("jobs", "ask", "profile", "--team", "web", *repo, home=home)
    assert asked.startswith("profile-1-")
    assert "asked about there" in run("jobs", "ask", "review", *repo, home=home, code=2)
    run("ingest", "--repo", str(shop), home=home)
    assert "consent given" in run("people", "consent", "ann", "--state", "given", *repo, home=home)
    assert "forgotten" in run("people", "forget", "ann", *repo, home=home)
    assert "no repository 'acme/none'" in run("signatures", "list", "--repo", "acme/none", home=home, code=2)
    with database.reading() as session:
        assert [one.full_name for one in list_repositories(session)] == ["acme/shop"]
    database.close()


def test_what_was_muted_is_listed_and_lifted_and_the_audit_log_tells(tmp_path: Path, shop: Path):
    home, repo = tmp_path / "home", ("--repo", "acme/shop")
    run("db", "upgrade", home=home)
    database = connect(Settings(home=home))
    with database.writing() as session:
        number = number_of(keep_repository(session, "acme/shop", github_id=7, path=str(shop)))
        for place in ("legacy/*", "docs/*"):
            mute = Acceptance(
                repository_id=number, kind=AcceptanceKind.PATH, path=place, by="ada", reason="old"
            )
            assert accept(session, mute)
    database.close()
    listed = run("mutes", "list", *repo, home=home)
    assert "legacy/*" in listed and "everywhere" in listed and "ada" in listed
    assert "legacy/* is scored again" in run("mutes", "lift", "1", "--by", "lead", *repo, home=home)
    assert "legacy" not in run("mutes", "list", *repo, home=home)
    assert "mutes list" in run("mutes", "lift", "1", *repo, home=home, code=2)
    told = run("audit", home=home)
    assert "lift mute" in told and "lead" in told and "legacy/*" in told
    assert json.loads(run("audit", "--about", "token 9", "--format", "json", home=home)) == []


def test_a_repository_is_forgotten_with_its_rows_and_its_mirror(tmp_path: Path, shop: Path):
    home = tmp_path / "home"
    run("db", "upgrade", home=home)
    mirror = home / "mirrors" / "7"
    mirror.parent.mkdir()
    shutil.copytree(shop / ".git", mirror)
    store = ArtifactStore(home)
    database = connect(Settings(home=home))
    with database.writing() as session:
        number = number_of(keep_repository(session, "acme/shop", github_id=7, path=str(mirror)))
        other = number_of(keep_repository(session, "acme/till", github_id=8, path=str(shop)))
        keep_author(session, number, "human:ann", name="Ann", kind="human", tier="B")
        for place, report in ((number, "mine"), (number, "both"), (other, "both")):
            store.put("report", report, lambda folder: write_json(folder / "report.json", {}))
            row = ask_review(session, ReviewQuestion(place, 1, report, "b")).review
            row.report = report
    run("ingest", "--repo", str(mirror), home=home)
    asked = run("jobs", "ask", "ingest", "--repo", "acme/shop", home=home).split()[0]
    assert "all rows of acme/shop" in run("forget", "--yes", "--repo", "acme/shop", home=home)
    assert not mirror.exists()
    assert [store.find("report", one) is not None for one in ("mine", "both")] == [False, True]
    assert not list((home / "repositories").glob("[!.]*"))
    with database.engine.connect() as connection:
        for table, n in (("repository", 1), ("review", 1), ("author", 0), ("job", 0)):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").one() == (n,), table  # noqa: S608 - ours
        (status,) = connection.exec_driver_sql("SELECT status FROM workflow_status").one()
    assert status == "CANCELLED", asked
    database.close()
    assert "no repository 'acme/shop'" in run("forget", "--yes", "--repo", "acme/shop", home=home, code=2)
    assert "forgot a repository" in run("audit", "--format", "json", home=home)
