"""Agent sessions: what each agent has of a chat."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.codec import decode, encode
from coder_nb.store.base import Lease
from coder_nb.store.database import Database, Row, Statement, Tx, clean, param, patient
from coder_nb.store.guard import guard_chat
from coder_nb.store.schema import agent_sessions, chats, histories

_agents = select(agent_sessions.c.body).order_by(agent_sessions.c.chat_id, agent_sessions.c.agent)
_OF_SESSION = Statement(
    _agents.join(chats, chats.c.id == agent_sessions.c.chat_id).where(chats.c.session_id == param("session_id"))
)
_ONE = Statement(_agents.where(agent_sessions.c.chat_id == param("chat_id"), agent_sessions.c.agent == param("agent")))
_lately = (
    select(agent_sessions.c.agent, func.max(agent_sessions.c.last_active_at).label("at"))
    .group_by(agent_sessions.c.agent)
    .subquery()
)
_LATEST = Statement(
    _agents.join(
        _lately, and_(_lately.c.agent == agent_sessions.c.agent, _lately.c.at == agent_sessions.c.last_active_at)
    )
)
_OF_CHAT = Statement(_agents.where(agent_sessions.c.chat_id == param("chat_id")))
_SAME_NATIVE = Statement(
    select(agent_sessions.c.chat_id).where(agent_sessions.c.native_id == param("native_id")).limit(1)
)
_FORGET = Statement(delete(histories).where(histories.c.session == param("of_session")))
_agent = insert(agent_sessions)
_PUT = Statement(
    _agent.on_conflict_do_update(
        index_elements=[agent_sessions.c.chat_id, agent_sessions.c.agent],
        set_={c.name: _agent.excluded[c.name] for c in agent_sessions.c if c.name not in ("chat_id", "agent")},
    )
)


class SqlAgents:
    """As `base.Agents` says."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    async def of_session(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        async with self._database.read(once=True) as tx:
            return await of_session(tx, session_id)

    @patient
    async def get(self, chat_id: str, agent: str) -> AgentSessionInfo | None:
        async with self._database.read(once=True) as tx:
            found = await tx.row(_ONE, chat_id=chat_id, agent=agent)
        return None if found is None else decode(found[0], AgentSessionInfo)

    @patient
    async def latest(self) -> tuple[AgentSessionInfo, ...]:
        async with self._database.read(once=True) as tx:
            found = _infos(await tx.rows(_LATEST))
        return tuple({info.agent: info for info in found}.values())

    @patient
    async def put(self, lease: Lease, info: AgentSessionInfo) -> None:
        async with self._database.write() as tx:
            await guard_chat(tx, lease, info.chat_id)
            await tx.run(
                _PUT,
                chat_id=info.chat_id,
                agent=info.agent,
                backend=info.backend,
                status=info.status,
                native_id=info.native_id and clean(info.native_id),
                host=info.host,
                last_active_at=info.last_active_at,
                body=encode(info),
            )


async def of_session(tx: Tx, session_id: str) -> tuple[AgentSessionInfo, ...]:
    return _infos(await tx.rows(_OF_SESSION, session_id=session_id))


async def of_chat(tx: Tx, chat_id: str) -> tuple[AgentSessionInfo, ...]:
    return _infos(await tx.rows(_OF_CHAT, chat_id=chat_id))


async def forget(tx: Tx, ended: Iterable[AgentSessionInfo]) -> None:
    """Removes the native histories kept for agent sessions that are gone, unless another goes on with them."""
    for info in ended:
        for native_id in (info.native_id, *info.earlier):
            if native_id and not await tx.row(_SAME_NATIVE, native_id=clean(native_id)):
                await tx.run(_FORGET, of_session=clean(native_id))


def _infos(rows: Iterable[Row]) -> tuple[AgentSessionInfo, ...]:
    return tuple(decode(body, AgentSessionInfo) for (body,) in rows)
