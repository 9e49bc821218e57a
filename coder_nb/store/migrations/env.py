"""What Alembic runs: the migrations, on the connection and in the transaction that `migrate` was given."""

from alembic import context

from coder_nb.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
