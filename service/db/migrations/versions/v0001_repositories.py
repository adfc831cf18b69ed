"""Repositories, their pull requests and who may ask."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.db.columns import BIG, Utc

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_TABLES = """
    audit_event api_token lease http_etag review_thread pull_commit pull_request delivery
    forgotten team repository_name repository installation
""".split()
"""In the order in which they can be dropped."""


def upgrade() -> None:
    """Make them."""
    _create_installation()
    _create_repository()
    _create_repository_name()
    _create_team()
    _create_forgotten()
    _create_delivery()
    _create_pull_request()
    _create_pull_commit()
    _create_review_thread()
    _create_http_etag()
    _create_lease()
    _create_api_token()
    _create_audit_event()


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_table(table)


def _create_installation() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", BIG, nullable=False),
        sa.Column("account_login", sa.String(), nullable=False),
        sa.Column("account_type", sa.String(), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_index(op.f("ix_installation_account_id"), "installation", ["account_id"])


def _create_repository() -> None:
    op.create_table(
        "repository",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("github_id", BIG, nullable=True),
        sa.Column("installation_id", BIG, nullable=True),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("default_branch", sa.String(), nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("ingested_head", sa.String(), nullable=False),
        sa.Column("ingested_at", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["installation_id"],
            ["installation.id"],
            name=op.f("fk_repository_installation_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository")),
        sa.UniqueConstraint("github_id", name=op.f("uq_repository_github_id")),
    )
    op.create_index(op.f("ix_repository_full_name"), "repository", ["full_name"])
    op.create_index(op.f("ix_repository_installation_id"), "repository", ["installation_id"])


def _create_repository_name() -> None:
    op.create_table(
        "repository_name",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("since", Utc(), nullable=False),
        sa.Column("until", Utc(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repository.id"],
            name=op.f("fk_repository_name_repository_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository_name")),
    )
    op.create_index(op.f("ix_repository_name_full_name"), "repository_name", ["full_name"])
    op.create_index(op.f("ix_repository_name_repository_id"), "repository_name", ["repository_id"])


def _create_team() -> None:
    op.create_table(
        "team",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("paths", sa.JSON(), nullable=False),
        sa.Column("with_agents", sa.Boolean(), nullable=False),
        sa.Column("waiting", sa.String(), nullable=False),
        sa.Column("waiting_head", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_team_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team")),
        sa.UniqueConstraint("repository_id", "name", name=op.f("uq_team_repository_id_name")),
    )
    op.create_index(op.f("ix_team_repository_id"), "team", ["repository_id"])


def _create_forgotten() -> None:
    op.create_table(
        "forgotten",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_forgotten_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgotten")),
        sa.UniqueConstraint("repository_id", "digest", name=op.f("uq_forgotten_repository_id_digest")),
    )
    op.create_index(op.f("ix_forgotten_repository_id"), "forgotten", ["repository_id"])


def _create_delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("guid", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("installation_id", BIG, nullable=True),
        sa.Column("repository_github_id", BIG, nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("payload_digest", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("received_at", Utc(), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("finished_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("guid", "event", name=op.f("uq_delivery_guid_event")),
    )
    op.create_index(op.f("ix_delivery_repository_github_id"), "delivery", ["repository_github_id"])
    op.create_index("ix_delivery_status_received_at", "delivery", ["status", "received_at"])


def _create_pull_request() -> None:
    op.create_table(
        "pull_request",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("github_id", BIG, nullable=True),
        sa.Column("head_sha", sa.String(), nullable=False),
        sa.Column("base_sha", sa.String(), nullable=False),
        sa.Column("head_ref", sa.String(), nullable=False),
        sa.Column("base_ref", sa.String(), nullable=False),
        sa.Column("merge_commit_sha", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("is_fork", sa.Boolean(), nullable=False),
        sa.Column("is_draft", sa.Boolean(), nullable=False),
        sa.Column("author_key", sa.String(), nullable=False),
        sa.Column("author_github_id", BIG, nullable=True),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.Column("merged_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repository.id"],
            name=op.f("fk_pull_request_repository_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_request")),
        sa.UniqueConstraint("repository_id", "number", name=op.f("uq_pull_request_repository_id_number")),
    )
    op.create_index(op.f("ix_pull_request_repository_id"), "pull_request", ["repository_id"])
    op.create_index("ix_pull_request_repository_id_head_sha", "pull_request", ["repository_id", "head_sha"])


def _create_pull_commit() -> None:
    op.create_table(
        "pull_commit",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("pull_request_id", BIG, nullable=False),
        sa.Column("sha", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("author_key", sa.String(), nullable=False),
        sa.Column("author_github_id", BIG, nullable=True),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("agents", sa.JSON(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("authored_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(
            ["pull_request_id"],
            ["pull_request.id"],
            name=op.f("fk_pull_commit_pull_request_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_commit")),
        sa.UniqueConstraint("pull_request_id", "sha", name=op.f("uq_pull_commit_pull_request_id_sha")),
    )
    op.create_index(op.f("ix_pull_commit_pull_request_id"), "pull_commit", ["pull_request_id"])
    op.create_index(op.f("ix_pull_commit_sha"), "pull_commit", ["sha"])


def _create_review_thread() -> None:
    op.create_table(
        "review_thread",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("pull_request_id", BIG, nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("commit_sha", sa.String(), nullable=False),
        sa.Column("author_key", sa.String(), nullable=False),
        sa.Column("body_digest", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=True),
        sa.Column("is_resolved", sa.Boolean(), nullable=False),
        sa.Column("resolved_by", sa.String(), nullable=False),
        sa.Column("resolved_at", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pull_request_id"],
            ["pull_request.id"],
            name=op.f("fk_review_thread_pull_request_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_thread")),
        sa.UniqueConstraint("node_id", name=op.f("uq_review_thread_node_id")),
    )
    op.create_index(op.f("ix_review_thread_pull_request_id"), "review_thread", ["pull_request_id"])


def _create_http_etag() -> None:
    op.create_table(
        "http_etag",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("installation_id", BIG, nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("fetched_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_http_etag")),
        sa.UniqueConstraint("installation_id", "url", name=op.f("uq_http_etag_installation_id_url")),
    )


def _create_lease() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )


def _create_api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=True),
        sa.Column("last_used_at", Utc(), nullable=True),
        sa.Column("revoked_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_token_digest")),
    )


def _create_audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(op.f("ix_audit_event_at"), "audit_event", ["at"])
