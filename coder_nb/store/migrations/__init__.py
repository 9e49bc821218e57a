"""The schema's history, and how an opened store is brought to its end."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from coder_nb.errors import StoreDamaged, StoreTooNew

HEAD = "0010"
"""The newest revision; equal to the last of `versions/`, which a test holds it to."""
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


def migrate(connection: Connection, name: str) -> None:
    """Brings a database to `HEAD` within the transaction that is open, which must be one that writes.

    A store that is there already costs one query: Alembic is loaded only where there is something to do. Raises
    `StoreTooNew` where a later program has been at work, and then changes nothing.
    """
    found = _revision(connection, name)
    if found == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found is not None and found not in known:
        raise StoreTooNew(
            f"The store {name} has version {found}, from a newer coder-nb; this one knows versions up to {HEAD}. "
            "Upgrade it (`pip install -U coder-nb`), in the kernel's environment and in the server's, or set "
            "CODER_NB_DATABASE to another file. Nothing was changed."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection, name: str) -> str | None:
    """The revision a database is at; None where it is empty. Raises `StoreDamaged` where it holds something else."""
    tables = inspect(connection).get_table_names()
    if _VERSION.name not in tables:
        if tables:
            raise StoreDamaged(
                f"The database {name} belongs to another program (it has a table {tables[0]!r}): set "
                "CODER_NB_DATABASE to a file of its own. Nothing was changed."
            )
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar()
