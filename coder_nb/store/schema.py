"""The tables, once for every engine: plain integers, text and bytes, so that no engine translates a value.

Times are milliseconds since the epoch; truth values are 0 and 1; bytes are JSON of `core.codec`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _text_or_null(name: str) -> Column[str | None]:
    return Column(name, Text, nullable=True)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _chat_id() -> Column[str]:
    return Column("chat_id", Text, ForeignKey("chats.id", ondelete="CASCADE"), nullable=False)


sessions = Table(
    "sessions",
    metadata,
    _text("id", primary_key=True),
    _text("owner"),
    _text("path"),
    _text("name"),
    _text("title"),
    _count("created_at"),
    Column("archived_at", BigInteger, nullable=True),
    _text("isolation", server_default="worktree"),
    _text_or_null("base"),
    Column("keep_days", BigInteger, nullable=True),
    Column("keep_mib", BigInteger, nullable=True),
    UniqueConstraint("owner", "path", "name"),
)
Index("ix_sessions_path", sessions.c.path)

worktrees = Table(
    "worktrees",
    metadata,
    _text("id", primary_key=True),
    # A worktree may hold work that nobody has seen yet: it outlives the row of its session (law 15).
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="SET NULL"), nullable=True),
    _text("path"),
    _text("branch"),
    _text("base_commit"),
    _text("host"),
    _text("status"),
    _text("checkout", server_default=""),
)
_active = text("status = 'active'")
Index("uq_worktrees_active", worktrees.c.session_id, unique=True, sqlite_where=_active, postgresql_where=_active)

chats = Table(
    "chats",
    metadata,
    _text("id", primary_key=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _text("name"),
    _text("title"),
    _count("created_at"),
    _count("rev"),
    _count("last_pos"),
    _text("run_status"),
    _text_or_null("inbox_cursor"),
    _text_or_null("turn_id"),
    Column("held", Integer, nullable=False),
    _text_or_null("error"),
    Column("archived_at", BigInteger, nullable=True),
    Column("starting", Integer, nullable=False, server_default="0"),
    # At which revision the last turn ended, and up to which one somebody has looked.
    Column("ended_rev", BigInteger, nullable=False, server_default="0"),
    Column("seen_rev", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("session_id", "name"),
)

entries = Table(
    "entries",
    metadata,
    _chat_id(),
    _text("id"),
    _count("pos"),
    _count("rev"),
    _count("ts"),
    _text_or_null("turn_id"),
    _text_or_null("agent"),
    _text_or_null("parent"),
    _text_or_null("native_id"),
    Column("open", Integer, nullable=False),
    _text("kind"),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("chat_id", "id"),
    UniqueConstraint("chat_id", "pos"),
)
Index("ix_entries_rev", entries.c.chat_id, entries.c.rev)
_native = text("native_id IS NOT NULL")
Index(
    "uq_entries_native",
    entries.c.chat_id,
    entries.c.native_id,
    unique=True,
    sqlite_where=_native,
    postgresql_where=_native,
)
_is_open = text("open = 1")
Index("ix_entries_open", entries.c.chat_id, entries.c.pos, sqlite_where=_is_open, postgresql_where=_is_open)
_usage = text("kind = 'usage'")
Index("ix_entries_usage", entries.c.chat_id, entries.c.pos, sqlite_where=_usage, postgresql_where=_usage)
_asked = text("kind = 'permission'")
Index("ix_entries_permission", entries.c.chat_id, entries.c.pos, sqlite_where=_asked, postgresql_where=_asked)

chunks = Table(
    "chunks",
    metadata,
    _text("chat_id"),
    _text("entry_id"),
    _count("offset"),
    _count("rev"),
    # Bytes, not text: what an agent streams may hold NUL or half a surrogate pair, and is kept as it came.
    Column("text", LargeBinary, nullable=False),
    PrimaryKeyConstraint("chat_id", "entry_id", "offset"),
    ForeignKeyConstraint(["chat_id", "entry_id"], ["entries.chat_id", "entries.id"], ondelete="CASCADE"),
)
Index("ix_chunks_rev", chunks.c.chat_id, chunks.c.rev)

turns = Table(
    "turns",
    metadata,
    _text("id", primary_key=True),
    _chat_id(),
    _count("rev"),
    _text_or_null("prompt_id"),
    _text("agent"),
    _text("state"),
    _count("started_at"),
    Column("ended_at", BigInteger, nullable=True),
    _text_or_null("end"),
    _text("reason"),
    _text("message"),
    _text("code"),
)
Index("ix_turns_rev", turns.c.chat_id, turns.c.rev)

inbox = Table(
    "inbox",
    metadata,
    # The client's id, kept when the prompt has long been processed: sent again, it is the same prompt (law 3).
    _text("id", primary_key=True),
    _chat_id(),
    _count("seq"),
    _text("status"),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("chat_id", "seq"),
)

_is_waiting = text("status = 'waiting'")
Index("ix_inbox_waiting", inbox.c.chat_id, inbox.c.seq, sqlite_where=_is_waiting, postgresql_where=_is_waiting)

agent_sessions = Table(
    "agent_sessions",
    metadata,
    _chat_id(),
    _text("agent"),
    _text("backend"),
    _text("status"),
    _text_or_null("native_id"),
    _text_or_null("host"),
    Column("last_active_at", BigInteger, nullable=True),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("chat_id", "agent"),
)
Index("ix_agent_sessions_native", agent_sessions.c.native_id)

changes = Table(
    "changes",
    metadata,
    _text("id", primary_key=True),
    _chat_id(),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _count("seq"),
    _text("path"),
    _text("status"),
    _text("note"),
    Column("decided_at", BigInteger, nullable=True),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("chat_id", "seq"),
)
Index("ix_changes_path", changes.c.session_id, changes.c.path)

leases = Table(
    "leases",
    metadata,
    _text("path", primary_key=True),
    _count("generation"),
    _text_or_null("runtime_id"),
    Column("owner", LargeBinary, nullable=True),
    _count("expires_at"),
    _count("ticks_expire_at"),
)

histories = Table(
    "histories",
    metadata,
    _text("id", primary_key=True),
    _text("project"),
    _text("session"),
    # Empty for the main one.
    _text("part"),
    _count("last_seq"),
    _count("written_at"),
    Column("summary", LargeBinary, nullable=True),
    UniqueConstraint("project", "session", "part"),
)
Index("ix_histories_session", histories.c.session)

history_items = Table(
    "history_items",
    metadata,
    Column("history_id", Text, ForeignKey("histories.id", ondelete="CASCADE"), nullable=False),
    _count("seq"),
    _text_or_null("item_id"),
    # What an agent writes is no value of ours: bytes keep numbers of any size and text of any kind as they came.
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("history_id", "seq"),
)
_identified = text("item_id IS NOT NULL")
Index(
    "uq_history_items_item",
    history_items.c.history_id,
    history_items.c.item_id,
    unique=True,
    sqlite_where=_identified,
    postgresql_where=_identified,
)

shares = Table(
    "shares",
    metadata,
    _text("id", primary_key=True),
    _chat_id(),
    _text("secret_hash"),
    _text("made_by"),
    _count("created_at"),
    Column("revoked_at", BigInteger, nullable=True),
    UniqueConstraint("secret_hash"),
)
Index("ix_shares_chat_id", shares.c.chat_id)

rules = Table(
    "rules",
    metadata,
    _text("id", primary_key=True),
    _text("owner"),
    # Of what it says and where it holds: the same said twice is one rule.
    _text("digest"),
    _text("scope"),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=True),
    _text_or_null("path"),
    _count("created_at"),
    Column("body", LargeBinary, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    _text("revoked_by"),
)
_in_force = text("revoked_at IS NULL")
Index(
    "uq_rules_in_force",
    rules.c.owner,
    rules.c.digest,
    unique=True,
    sqlite_where=_in_force,
    postgresql_where=_in_force,
)
Index("ix_rules_session_id", rules.c.session_id)
