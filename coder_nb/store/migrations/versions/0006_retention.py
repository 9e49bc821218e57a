"""How long the chats of a session are kept, and how much of them, where that was said of it alone."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; null for what the settings say."""
    for name in ("keep_days", "keep_mib"):
        op.add_column("sessions", sa.Column(name, sa.BigInteger(), nullable=True))
