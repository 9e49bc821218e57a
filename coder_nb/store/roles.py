"""Users of one PostgreSQL database who see their own, and what was shared with them, and nothing else.

Row security of the database itself: whatever a user's program asks, the rows of others are not there. Whose a row is
says the database's own user (`session_user`), in a column that only the server fills. A link opens one chat for reading
while the setting ``coder_nb.link`` of a transaction holds the hash of its secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from coder_nb.errors import InvalidOption, MissingExtra
from coder_nb.settings import Settings
from coder_nb.store.schema import metadata

GROUP = "coder_nb_users"
"""The role that every user is a member of."""
ROOTS = ("sessions", "worktrees", "histories", "rules")
"""The tables whose rows carry their owner; all others follow one of them."""
OF_CHATS = ("entries", "chunks", "turns", "inbox", "agent_sessions", "changes", "shares")
LOOKED_AT = ("entries", "chunks", "turns", "changes")
"""What of a chat a link shows."""
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_FUNCTIONS = {
    "coder_nb_owns_session": "SELECT 1 FROM sessions WHERE id = given AND owned_by = session_user",
    "coder_nb_owns_chat": (
        "SELECT 1 FROM chats JOIN sessions ON sessions.id = chats.session_id "
        "WHERE chats.id = given AND sessions.owned_by = session_user"
    ),
    "coder_nb_owns_history": "SELECT 1 FROM histories WHERE id = given AND owned_by = session_user",
    "coder_nb_sees_chat": (
        "SELECT 1 FROM shares WHERE chat_id = given AND revoked_at IS NULL "
        "AND secret_hash = current_setting('coder_nb.link', true)"
    ),
    "coder_nb_sees_session": (
        "SELECT 1 FROM chats JOIN shares ON shares.chat_id = chats.id WHERE chats.session_id = given "
        "AND shares.revoked_at IS NULL AND shares.secret_hash = current_setting('coder_nb.link', true)"
    ),
}
"""What the policies ask; each runs with the rights of the tables' owner, so that no policy asks itself."""


async def set_up(url: str, users: Sequence[str]) -> list[str]:
    """Turns row security on and lets these users in, making those that are missing; again, it changes nothing.

    To be called with the tables' owner, after every upgrade of coder-nb. A new user has no password: give it one with
    psql's ``\\password``. Returns the users it made.
    """
    for user in users:
        if not _NAME.fullmatch(user):
            raise InvalidOption(f"{user!r} is no name of a database user: use a-z, 0-9 and _, beginning with a letter.")
    try:
        import asyncpg
    except ModuleNotFoundError as error:
        raise MissingExtra("PostgreSQL needs a driver: `pip install 'coder-nb[postgres]'`.") from error
    from coder_nb.store.open import open_store
    from coder_nb.store.postgres_faults import DRIVER_ERRORS, postgres_error, shown

    store = await open_store(Settings(database=url))  # brings the tables up to date
    await store.close()
    try:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                for statement in statements():
                    await connection.execute(statement)
                known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
                made = [user for user in dict.fromkeys(users) if user not in known]
                for user in made:
                    await connection.execute(f'CREATE ROLE "{user}" LOGIN')
                for user in users:
                    await connection.execute(f'GRANT {GROUP} TO "{user}"')
        finally:
            await connection.close()
    except DRIVER_ERRORS as error:
        raise postgres_error(error, shown(url)) from error
    return made


def statements() -> Iterator[str]:
    """What is executed, in its order; each may be executed again."""
    yield (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{GROUP}') "
        f"THEN CREATE ROLE {GROUP} NOLOGIN; END IF; END $$"
    )
    for table in ROOTS:
        yield f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS owned_by text NOT NULL DEFAULT session_user"
    for name, question in _FUNCTIONS.items():
        yield (
            f"CREATE OR REPLACE FUNCTION {name}(given text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER "
            f"SET search_path FROM CURRENT AS $$ SELECT EXISTS ({question}) $$"
        )
    for table in metadata.tables:
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {GROUP}"
        yield from _policies(table)
    yield f"GRANT SELECT ON alembic_version TO {GROUP}"
    yield f"DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {GROUP}', current_schema()); END $$"


def _policies(table: str) -> Iterator[str]:
    own, seen = _OWN[table], _SEEN.get(table)
    yield f"DROP POLICY IF EXISTS own ON {table}"
    yield f"CREATE POLICY own ON {table} FOR ALL TO {GROUP} USING ({own}) WITH CHECK ({own})"
    yield f"DROP POLICY IF EXISTS looked_at ON {table}"
    if seen is not None:
        yield f"CREATE POLICY looked_at ON {table} FOR SELECT TO {GROUP} USING ({seen})"


_OWN: dict[str, str] = {
    **dict.fromkeys(ROOTS, "owned_by = session_user"),
    "chats": "coder_nb_owns_session(session_id)",
    **dict.fromkeys(OF_CHATS, "coder_nb_owns_chat(chat_id)"),
    "history_items": "coder_nb_owns_history(history_id)",
    "leases": "true",  # who runs a directory has to be seen by whoever wants to
}
"""For each table, whose a row is; a table that is not here cannot be set up, which a test holds."""
_SEEN: dict[str, str] = {
    "sessions": "coder_nb_sees_session(id)",
    "chats": "coder_nb_sees_chat(id)",
    **dict.fromkeys(LOOKED_AT, "coder_nb_sees_chat(chat_id)"),
    "shares": "secret_hash = current_setting('coder_nb.link', true)",
}
