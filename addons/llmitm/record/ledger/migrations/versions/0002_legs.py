"""What upstream legs held; heads beside bodies; replays; when body and limits were done with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ADDED = {
    "exchanges": (("replay_of", sa.Text), ("body_ms", sa.Double), ("admitted_ms", sa.Double)),
    "bodies": (("target", sa.Text), ("request_headers", sa.Text), ("response_headers", sa.Text)),
}


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind(), nullable=True))
    op.create_table(
        "legs",
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("request_headers", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("is_request_cut", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response_headers", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("is_response_cut", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "number"),
        sqlite_with_rowid=False,
    )
