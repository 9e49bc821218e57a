"""Prompts and what becomes of them, over the wire."""

from __future__ import annotations

from coder_nb.client.wire import Done, Wire
from coder_nb.core.agents import AgentCommands
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo


class Prompting(Wire):
    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        return await self._post(f"chats/{chat_id}/prompts", ChatInfo, prompt)

    async def stop(self, chat_id: str) -> bool:
        return (await self._post(f"chats/{chat_id}/stop", Done)).done

    async def steer(self, chat_id: str, text: str) -> bool:
        return (await self._post(f"chats/{chat_id}/steer", Done, {"text": text})).done

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        return await self._get(f"chats/{chat_id}/commands", tuple[AgentCommands, ...])

    async def go_on(self, chat_id: str) -> ChatInfo:
        return await self._post(f"chats/{chat_id}/go-on", ChatInfo)

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        return (await self._send("DELETE", f"chats/{chat_id}/prompts/{prompt_id}", Done)).done
