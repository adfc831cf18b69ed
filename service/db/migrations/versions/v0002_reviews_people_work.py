"""Reviews, people and their signatures, work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.db.columns import BIG, Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_TABLES = """
    job_line consent comment alias signature review job backtest author acceptance executor
""".split()
"""In the order in which they can be dropped."""


def upgrade() -> None:
    """Make them."""
    _create_executor()
    _create_acceptance()
    _create_author()
    _create_backtest()
    _create_job()
    _create_review()
    _create_signature()
    _create_alias()
    _create_comment()
    _create_consent()
    _create_job_line()


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_table(table)


def _create_executor() -> None:
    op.create_table(
        "executor",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("beat_at", Utc(), nullable=False),
        sa.Column("n_recovered", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executor")),
    )
    op.create_index(op.f("ix_executor_beat_at"), "executor", ["beat_at"])


def _create_acceptance() -> None:
    op.create_table(
        "acceptance",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("until", Utc(), nullable=True),
        sa.Column("withdrawn_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_acceptance_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acceptance")),
    )
    op.create_index(op.f("ix_acceptance_fingerprint"), "acceptance", ["fingerprint"])
    op.create_index(op.f("ix_acceptance_repository_id"), "acceptance", ["repository_id"])


def _create_author() -> None:
    op.create_table(
        "author",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("github_id", BIG, nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("left_at", Utc(), nullable=True),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_author_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_author")),
        sa.UniqueConstraint("repository_id", "key", name=op.f("uq_author_repository_id_key")),
    )
    op.create_index(op.f("ix_author_github_id"), "author", ["github_id"])
    op.create_index(op.f("ix_author_repository_id"), "author", ["repository_id"])


def _create_backtest() -> None:
    op.create_table(
        "backtest",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("signature_version", sa.Integer(), nullable=False),
        sa.Column("n_pulls", sa.Integer(), nullable=False),
        sa.Column("n_scored", sa.Integer(), nullable=False),
        sa.Column("n_flagged", sa.Integer(), nullable=False),
        sa.Column("alarm_level", sa.Float(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_backtest_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backtest")),
    )
    op.create_index(op.f("ix_backtest_repository_id"), "backtest", ["repository_id"])


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("flow", sa.String(length=32), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("repository_id", BIG, nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("executor", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("done", sa.Float(), nullable=False),
        sa.Column("total", sa.Float(), nullable=True),
        sa.Column("tokens_per_second", sa.Float(), nullable=True),
        sa.Column("seconds_left", sa.Float(), nullable=True),
        sa.Column("loss", sa.Float(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("superseded_by", sa.String(), nullable=False),
        sa.Column("retry_of", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.Column("finished_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_job_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_repository_id"), "job", ["repository_id"])
    op.create_index("ix_job_status_created_at", "job", ["status", "created_at"])


def _create_review() -> None:
    op.create_table(
        "review",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("head_sha", sa.String(), nullable=False),
        sa.Column("base_sha", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("signature_version", sa.Integer(), nullable=False),
        sa.Column("config_hash", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("report", sa.String(), nullable=False),
        sa.Column("check_run_id", BIG, nullable=True),
        sa.Column("conclusion", sa.String(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("started_at", Utc(), nullable=True),
        sa.Column("finished_at", Utc(), nullable=True),
        sa.Column("published_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_review_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("external_id", name=op.f("uq_review_external_id")),
        sa.UniqueConstraint(
            "repository_id",
            "number",
            "head_sha",
            "base_sha",
            "team",
            "signature_version",
            "config_hash",
            "run",
            name="uq_review_work",
        ),
    )
    op.create_index(op.f("ix_review_check_run_id"), "review", ["check_run_id"])
    op.create_index(op.f("ix_review_job_id"), "review", ["job_id"])
    op.create_index(op.f("ix_review_repository_id"), "review", ["repository_id"])
    op.create_index("ix_review_repository_id_number_status", "review", ["repository_id", "number", "status"])


def _create_signature() -> None:
    op.create_table(
        "signature",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("repository_id", BIG, nullable=False),
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("base_hash", sa.String(), nullable=False),
        sa.Column("config_hash", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("n_commits", sa.Integer(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("made_at", Utc(), nullable=False),
        sa.Column("is_pinned", sa.Boolean(), nullable=False),
        sa.Column("stale_reason", sa.String(), nullable=False),
        sa.Column("stale_at", Utc(), nullable=True),
        sa.Column("superseded_by", BIG, nullable=True),
        sa.Column("withdrawn_reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repository.id"], name=op.f("fk_signature_repository_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by"], ["signature.id"], name=op.f("fk_signature_superseded_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature")),
        sa.UniqueConstraint(
            "repository_id", "scope", "version", name=op.f("uq_signature_repository_id_scope_version")
        ),
    )
    op.create_index(op.f("ix_signature_artifact"), "signature", ["artifact"])
    op.create_index(op.f("ix_signature_profile"), "signature", ["profile"])
    op.create_index(op.f("ix_signature_repository_id"), "signature", ["repository_id"])
    op.create_index(op.f("ix_signature_superseded_by"), "signature", ["superseded_by"])


def _create_alias() -> None:
    op.create_table(
        "alias",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("author_id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("added_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["author.id"], name=op.f("fk_alias_author_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias")),
        sa.UniqueConstraint("author_id", "name", "email", name=op.f("uq_alias_author_id_name_email")),
    )
    op.create_index(op.f("ix_alias_author_id"), "alias", ["author_id"])
    op.create_index(op.f("ix_alias_email"), "alias", ["email"])


def _create_comment() -> None:
    op.create_table(
        "comment",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("pull_request_id", BIG, nullable=False),
        sa.Column("comment_id", BIG, nullable=True),
        sa.Column("state_digest", sa.String(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pull_request_id"],
            ["pull_request.id"],
            name=op.f("fk_comment_pull_request_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
        sa.UniqueConstraint("pull_request_id", name=op.f("uq_comment_pull_request_id")),
    )


def _create_consent() -> None:
    op.create_table(
        "consent",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("author_id", BIG, nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("said_how", sa.String(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["author.id"], name=op.f("fk_consent_author_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index(op.f("ix_consent_author_id"), "consent", ["author_id"])


def _create_job_line() -> None:
    op.create_table(
        "job_line",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_line_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_line")),
    )
    op.create_index(op.f("ix_job_line_job_id"), "job_line", ["job_id"])
