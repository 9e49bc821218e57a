"""Until when a lease holds by the clock of its holder's machine, which does not jump."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column: 0 for a lease of before, which goes by the database's clock until it is renewed."""
    op.add_column("leases", sa.Column("ticks_expire_at", sa.BigInteger(), nullable=False, server_default="0"))
