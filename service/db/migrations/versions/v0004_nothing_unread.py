"""What nothing reads is not kept: GitHub's ids of who wrote a pull request, and answers to lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from service.db.columns import BIG, Utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop two columns and a table."""
    op.drop_column("pull_request", "author_github_id")
    op.drop_column("pull_commit", "author_github_id")
    op.drop_table("http_etag")


def downgrade() -> None:
    """Make them again, empty."""
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
    op.add_column("pull_commit", sa.Column("author_github_id", BIG, nullable=True))
    op.add_column("pull_request", sa.Column("author_github_id", BIG, nullable=True))
