"""Where the agents of a session work and what they begin with, and the checkout that a worktree is one of."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; what there is works in worktrees that begin with the checkout as it is."""
    op.add_column("sessions", sa.Column("isolation", sa.Text(), nullable=False, server_default="worktree"))
    op.add_column("sessions", sa.Column("base", sa.Text(), nullable=True))
    op.add_column("worktrees", sa.Column("checkout", sa.Text(), nullable=False, server_default=""))
