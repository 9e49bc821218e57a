"""The agents' own slash commands and skills, as they are known before and after their first turn."""

from __future__ import annotations

from coder_nb.core.agents import AgentCommands
from coder_nb.core.entries import Command
from coder_nb.core.sessions import ChatInfo
from coder_nb.runtime.context import Context


async def known(context: Context, chat: ChatInfo) -> tuple[AgentCommands, ...]:
    """What each agent told in this chat, else in another of its session, else anywhere since this runtime began."""
    found: dict[str, tuple[Command, ...]] = dict(context.latest_commands)
    infos = await context.store.agents.of_session(chat.session_id)
    for info in sorted(infos, key=lambda info: (info.chat_id == chat.id, info.last_active_at or 0)):
        if info.commands:
            found[info.agent] = info.commands
    return tuple(AgentCommands(agent, commands) for agent, commands in sorted(found.items()) if commands)
