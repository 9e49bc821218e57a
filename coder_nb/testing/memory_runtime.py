"""A runtime in memory, whose turns are played by a function of the test: every verb, no agent, no file, no process."""

from __future__ import annotations

import asyncio

from coder_nb.core.agents import AgentCommands, AgentInfo, AgentOffer, AgentSessionInfo
from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.entries import End, TurnEnded
from coder_nb.core.health import AgentLog, Health, LiveAgent
from coder_nb.core.prompts import Prompt
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.sessions import ChatInfo
from coder_nb.core.stream import PROTOCOL
from coder_nb.errors import EmptyPrompt, NotFound, UnknownAgent
from coder_nb.testing.memory.asking import Asking
from coder_nb.testing.memory.copies import Copies
from coder_nb.testing.memory.reviewing import Reviewing
from coder_nb.testing.memory.stage import Play, Stage, echo

__all__ = ["AGENTS", "MemoryRuntime", "Play", "Stage", "echo"]

AGENTS = (
    AgentInfo(name="replay", label="Replay", backend="replay", available=True, version="1", default=True),
    AgentInfo(name="goose", label="Goose", backend="acp", available=False, reason="not found", cure="install it"),
)


class MemoryRuntime(Asking, Reviewing, Copies):
    """Implements `core.verbs.Verbs`; `play` is called once a turn, and what it returns is the turn's end.

    There are no files, so that a fork has none of its own, nothing can be restored, and nothing is at risk.
    """

    def __init__(self, play: Play = echo) -> None:
        super().__init__(self._played)
        self.play = play
        self.offered: tuple[AgentCommands, ...] = ()
        self.offering: tuple[AgentOffer, ...] = ()
        self.closed = False

    async def _played(self, chat_id: str, prompt: Prompt, turn_id: str) -> TurnEnded | End | None:
        return await self.play(Stage(self, chat_id, prompt, turn_id))

    async def health(self) -> Health:
        running = sum(not task.done() for task in self._running.values())
        return Health(protocol=PROTOCOL, version="memory", runtime_id="memory", status="ok", turns_running=running)

    async def agents(self) -> tuple[AgentInfo, ...]:
        return AGENTS

    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        chat = self.chats[chat_id]
        if not prompt.text.strip():
            raise EmptyPrompt
        if prompt.agent is not None and prompt.agent not in {agent.name for agent in AGENTS}:
            raise UnknownAgent
        held = chat.held and bool(chat.queued)
        self.update(chat_id, queued=(*chat.queued, prompt), held=held)
        self._run_next(chat_id)
        return self.chats[chat_id]

    async def stop(self, chat_id: str) -> bool:
        await self.get_chat(chat_id)
        task, chat = self._running.get(chat_id), self.chats[chat_id]
        runs, waits = task is not None and not task.done(), bool(chat.queued) and not chat.held
        if waits:
            self.update(chat_id, held=True)
        if task is not None:
            task.cancel()
        return runs or waits

    async def steer(self, chat_id: str, text: str) -> bool:
        await self.get_chat(chat_id)
        return False

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        await self.get_chat(chat_id)
        return self.offered

    async def go_on(self, chat_id: str) -> ChatInfo:
        self.update(chat_id, held=False)
        self._run_next(chat_id)
        return self.chats[chat_id]

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        queued = self.chats[chat_id].queued
        left = tuple(prompt for prompt in queued if prompt.id != prompt_id)
        if len(left) == len(queued):
            return False
        self.update(chat_id, queued=left)
        return True

    async def offers(self, chat_id: str) -> tuple[AgentOffer, ...]:
        await self.get_chat(chat_id)
        return self.offering

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        await self.get_session(session_id)
        chats = [chat for chat in self.chats.values() if chat.session_id == session_id]
        return tuple(
            AgentSessionInfo(chat_id=chat.id, agent="replay", backend="replay", status="warm") for chat in chats
        )

    async def pool(self) -> tuple[LiveAgent, ...]:
        return tuple(
            LiveAgent(key=f"{chat.id}.replay", agent="replay", chat_id=chat.id, state="idle", title=chat.title)
            for chat in self.chats.values()
        )

    async def evict(self, key: str) -> bool:
        return False

    async def restart(self, key: str) -> bool:
        return False

    async def agent_log(self, key: str) -> AgentLog:
        return AgentLog(key=key)

    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        await self.get_chat(chat_id)
        return ()

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        raise NotFound

    async def risk(self, session_id: str) -> Risk:
        return Risk(session_id=self._sessions[session_id].id)

    async def stash(self, session_id: str) -> Risk:
        return await self.risk(session_id)

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        return await self.risk(session_id)

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        return ()

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        return ()

    async def close(self) -> None:
        self.closed = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
