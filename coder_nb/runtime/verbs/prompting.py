"""Prompts come in here and are accepted into the inbox; `turn.py` takes them on."""

from __future__ import annotations

import msgspec

from coder_nb import errors, ids
from coder_nb.core import lifecycle, prompts
from coder_nb.core.agents import AgentCommands
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo
from coder_nb.runtime import commands
from coder_nb.runtime.verbs.base import VerbGroup
from coder_nb.store.base import Batch, Lease, RunState
from coder_nb.warm.pool import STOPPING

_replace = msgspec.structs.replace


class Prompting(VerbGroup):
    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        self._check(prompt)
        chat = await self._store.catalog.get_chat(chat_id)
        agent = await self._context.agents.usable(prompt.agent or await self._last_agent(chat_id))
        lease, runner = await self._host.runner_of(chat)
        if runner.ending:
            raise errors.Conflict("This session is being closed or deleted at this moment: wait, then prompt again.")
        accepted = await self._store.inbox.accept(
            lease,
            chat_id,
            _replace(prompt, agent=agent, created_at=self._context.now()),
            limit=self._context.settings.max_queued,
        )
        if accepted:
            size = len(prompt.text.encode("utf-8", "replace"))
            self._context.journal.note("prompt_accepted", chat=chat_id, agent=agent, prompt=prompt.id, bytes=size)
            await self._queue(lease, chat, "prompt")
        self._context.feed(chat_id).tell(state=True)
        runner.wake()
        return await self._host.chat(chat_id)

    async def stop(self, chat_id: str) -> bool:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._host.runner_of(chat)
        if runner.turn_of(chat_id) is None and (chat.held or not chat.queued):
            return False
        try:
            async with runner.deciding:
                await self._queue(lease, chat, "stop")
        finally:  # also where it cannot be written down that what waits has to wait
            if (turn := runner.turn_of(chat_id)) is not None:
                await turn.stop()
        return True

    async def steer(self, chat_id: str, text: str) -> bool:
        prompts.check(Prompt(id="", text=text))
        self._check_text(text)
        _, runner = await self._host.runner_of(await self._store.catalog.get_chat(chat_id))
        turn = runner.turn_of(chat_id)
        return turn is not None and await turn.steer(text)

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        chat = await self._store.catalog.get_chat(chat_id)
        return await commands.known(self._context, chat)

    async def go_on(self, chat_id: str) -> ChatInfo:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._host.runner_of(chat)
        await self._queue(lease, chat, "go_on")
        runner.wake()
        return await self._host.chat(chat_id)

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        lease, _ = await self._host.runner_of(await self._store.catalog.get_chat(chat_id))
        done = await self._store.inbox.withdraw(lease, chat_id, prompt_id)
        self._context.feed(chat_id).tell(state=True)
        return done

    def _check(self, prompt: Prompt) -> None:
        if self._host.draining:
            raise errors.Conflict(STOPPING)
        prompts.check(prompt)
        if not ids.is_id(prompt.id):
            raise errors.BadRequest(
                "A prompt's id has 26 characters of a-z and 0-9: make it with `coder_nb.ids.new_id()`."
            )
        self._check_text(prompt.text)
        prompts.check_attachments(prompt.attachments, limit=self._context.settings.attachment_limit)

    def _check_text(self, text: str) -> None:
        if not text.strip():
            raise errors.EmptyPrompt
        size, most = len(text.encode("utf-8", "replace")), self._context.settings.prompt_limit
        if size > most:
            raise errors.PromptTooLong(
                f"The prompt has {size:,} bytes and the limit is {most:,}: "
                "put the material into a file and name it in the prompt."
            )

    async def _last_agent(self, chat_id: str) -> str:
        turns = await self._store.turns.of_chat(chat_id)
        return turns[-1].agent if turns else await self._context.agents.default()

    async def _queue(self, lease: Lease, chat: ChatInfo, message: str) -> None:
        """Holds what waits in a chat, or lets it go on, as the table of its inbox says."""
        before = lifecycle.inbox(held=chat.held, waiting=bool(chat.queued))
        held = lifecycle.step(lifecycle.INBOX, before, message) == "held"
        if held != chat.held:
            await self._store.log.commit(lease, chat.id, Batch(state=RunState(held=held)))
            self._context.feed(chat.id).tell(state=True)
