"""Sessions and chats can be archived: put away, whole, until they are opened again or deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the time at which each was archived; null for those that are not."""
    for table in ("sessions", "chats"):
        op.add_column(table, sa.Column("archived_at", sa.BigInteger(), nullable=True))
