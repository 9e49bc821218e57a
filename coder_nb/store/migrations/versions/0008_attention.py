"""What a chat is doing, and whether anybody has looked since its last turn ended."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns: of what ended before, nothing counts as unseen."""
    for name, kind in (("starting", sa.Integer()), ("ended_rev", sa.BigInteger()), ("seen_rev", sa.BigInteger())):
        op.add_column("chats", sa.Column(name, kind, nullable=False, server_default="0"))
