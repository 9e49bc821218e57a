"""Indexes for what is looked for when a runner has died, and when a chat is deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the indexes."""
    op.create_index(
        "ix_entries_open",
        "entries",
        ["chat_id", "pos"],
        sqlite_where=sa.text("open = 1"),
        postgresql_where=sa.text("open = 1"),
    )
    op.create_index("ix_agent_sessions_native", "agent_sessions", ["native_id"])
    op.create_index("ix_histories_session", "histories", ["session"])
