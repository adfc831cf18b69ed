"""GitHub as a worker reaches it: a client for each repository, configurations, mirrors, and rows beside."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from connectors.contribution import FilePatch
from connectors.git.mirror import Mirror, MirrorDials, open_mirror
from connectors.github import RefusedError
from connectors.github.app import App, bot_account
from connectors.github.client import Client
from connectors.github.events import Event, RepositoryRef
from connectors.github.pulls import PullState, read_patches, read_pull_state
from service import ServiceError
from service.db.queries.installations import find_on_github, keep_installation
from service.db.queries.pulls import find_comment, is_accepted, keep_pull, may_gate
from service.db.queries.repositories import (
    get_repository,
    keep_repository,
    list_teams,
    number_of,
    set_stage,
)
from service.db.queries.reviews import get_review
from service.db.queries.signatures import current_version, scope_of_team
from service.db.session import Database, Session, connect
from service.db.states import PullState as Stands
from service.db.states import Stage
from service.db.tables import Repository
from service.enqueue import Enqueuer
from service.flows.publish import Decisions, ReadConfig, Review, read_config
from service.flows.registration import StoredApp, dials_of
from service.flows.team import team_of
from service.settings import MIRRORS, Settings

_ASK_A_MIRROR = {0, 406}  # too many files for GitHub's own diff, known before or told by GitHub
_MOST_CONFIGS = 500


@dataclass
class Hub:
    """What every function of a worker shares. Safe to share between threads, not between processes.

    Attributes:
        mirror_dials: how mirrors are fetched; tests allow another protocol.
    """

    settings: Settings
    stored: StoredApp
    mirror_dials: MirrorDials = field(default_factory=MirrorDials)
    _configs: dict[tuple[int, str], ReadConfig] = field(default_factory=dict)
    _bot: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def app(self) -> App:
        """The app."""
        return App(self.stored.key, dials_of(self.settings))

    @cached_property
    def database(self) -> Database:
        """The rows; connected to by the first who asks, for a worker upgrades the schema before."""
        return connect(self.settings)

    @cached_property
    def asking(self) -> Enqueuer:
        """For asking for more work."""
        return Enqueuer.of(self.database)

    @cached_property
    def slug(self) -> str:
        """The app's name in addresses."""
        return self.stored.slug or self.app.slug()

    @cached_property
    def app_id(self) -> int:
        """GitHub's number of the app; 0 where only its client id is known."""
        return self.stored.key.id if isinstance(self.stored.key.id, int) else 0

    def close(self) -> None:
        """Let go of what was used."""
        if "asking" in self.__dict__:
            self.asking.close()
        if "database" in self.__dict__:
            self.database.close()

    # --------------------------------------------------------------------------------- repositories

    def repository(self, repository_id: int) -> Repository:
        """A repository's row by our number. Raises UnknownRepositoryError."""
        with self.database.reading() as session:
            row = get_repository(session, repository_id)
            session.expunge(row)
            return row

    def keep(self, event: Event, ref: RepositoryRef) -> Repository:
        """The row of the repository that an event is about, made if there is none.

        A name is not taken from an event, which may be late: GitHub follows an old one.
        """
        with self.database.writing() as session:
            found = find_on_github(session, ref.id)
            if found is not None and found.installation_id == (event.installation or found.installation_id):
                return found
            return self.write(session, ref, event.installation)

    def write(self, session: Session, ref: RepositoryRef, installation: int) -> Repository:
        """Write down a repository as GitHub tells it now, with its name."""
        if installation:
            keep_installation(session, installation, ref.full_name.partition("/")[0])
        row = keep_repository(
            session, ref.full_name, github_id=ref.id, installation_id=installation or None,
            path=str(self.settings.home / MIRRORS / str(ref.id)),
        )  # fmt: skip
        row.default_branch, row.is_private = ref.default_branch or row.default_branch, ref.is_private
        return row

    def client(self, row: Repository) -> Client:
        """A client that can reach this repository alone.

        Raises:
            ServiceError: the app is not installed there, as far as is known.
        """
        if row.installation_id is None or row.github_id is None:
            raise ServiceError(
                f"{row.full_name} belongs to no installation of the app; install the app on it"
            )
        return self.app.installation_client(row.installation_id, (row.github_id,))

    def bot(self, client: Client) -> int:
        """Id of the account that the app writes as."""
        with self._turn:
            self._bot = self._bot or bot_account(client, self.slug).id
            return self._bot

    def fetched(self, row: Repository, url: str, pulls: tuple[int, ...] | None = None) -> Mirror:
        """The repository's mirror, brought up to date; ``pulls`` as for ``Mirror.fetch``."""
        mirror = open_mirror(Path(row.path), self.mirror_dials)
        credential = None
        if row.installation_id is not None and row.github_id is not None and url.startswith("https:"):
            credential = self.app.credential(row.installation_id, (row.github_id,))
        mirror.fetch(url, credential=credential, pulls=pulls)
        return mirror

    # -------------------------------------------------------------------------------- pull requests

    def pull(self, row: Repository, number: int) -> PullState:
        """A pull request as it is now, written down. Raises GoneError."""
        state = read_pull_state(self.client(row), row.full_name, number)
        pull = state.pull
        stands = Stands.MERGED if pull.is_merged else Stands.OPEN if pull.is_open else Stands.CLOSED
        with self.database.writing() as session:
            if state.repository.full_name != row.full_name:
                self.write(session, state.repository, row.installation_id or 0)
            keep_pull(
                session, number_of(row), number, head_sha=pull.head_sha, base_sha=pull.base_sha,
                base_ref=pull.base_ref, state=stands, is_draft=pull.is_draft,
                is_fork=pull.head_repository != row.github_id,
                merge_commit_sha=pull.merge_commit_sha if pull.is_merged else "",
            )  # fmt: skip
        return state

    def patches(self, row: Repository, state: PullState) -> tuple[FilePatch, ...]:
        """The whole change: GitHub's own diff, or the mirror's where GitHub gives none."""
        client = self.client(row)
        try:
            return read_patches(client, row.full_name, state, None)
        except RefusedError as error:
            if error.status not in _ASK_A_MIRROR:
                raise
        mirror = self.fetched(row, state.clone_url, (state.pull.number,))
        return read_patches(client, row.full_name, state, mirror)

    def team(self, row: Repository, state: PullState) -> str:
        """The team that a pull request is scored against: its paths', where one has a signature, else "".

        The diff is asked for only where there is a choice.
        """
        with self.database.reading() as session:
            teams = {
                team.name: tuple(team.paths)
                for team in list_teams(session, number_of(row))
                if team.paths and current_version(session, number_of(row), scope_of_team(team.name))
            }
        if not teams:
            return ""
        changed = self.patches(row, state)
        return team_of(teams, {p.path: sum(len(hunk.added) for hunk in p.hunks) for p in changed})

    def config(self, row: Repository, state: PullState) -> ReadConfig:
        """The configuration at the base commit, read once a process: a commit does not change."""
        key = (number_of(row), state.pull.base_sha)
        found = self._configs.get(key)
        if found is None:
            found = read_config(self.client(row), state)
            with self._turn:
                if len(self._configs) >= _MOST_CONFIGS:
                    self._configs.clear()
                self._configs[key] = found
            stage = Stage(found.config.stage.value)
            if row.stage is not stage:
                with self.database.writing() as session:
                    set_stage(session, get_repository(session, number_of(row)), stage)
        return found

    def known_config(self, row: Repository, base_sha: str) -> ReadConfig | None:
        """A configuration that this process has read already."""
        return self._configs.get((number_of(row), base_sha))

    def on_its_way(self, row: Repository, state: PullState, review_id: int) -> tuple[Review, Decisions]:
        """A review with the ids that are remembered, and what people decided about its head."""
        number, repository = state.pull.number, number_of(row)
        with self.database.reading() as session:
            kept = get_review(session, review_id)
            limit = self.settings.gate_false_alarms
            decisions = Decisions(
                may_gate(session, repository, kept.team, kept.signature_version, limit),
                is_accepted(session, repository, number, kept.head_sha),
            )
            comment = find_comment(session, repository, number)
        review = Review(state, kept.job_id, self.report_url(review_id), kept.check_run_id, comment)
        return review, decisions

    def report_url(self, review_id: int) -> str | None:
        """Where a report can be read, where the service can be reached."""
        base = self.settings.public_url
        return None if base is None else f"{base.rstrip('/')}/reviews/{review_id}"
