"""People who use the server as a notebook does, and keep in mind what they were promised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from chaos.schedule import Step
from chaos.world import World, git, make_repository
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from coder_nb.client.remote import Remote
from coder_nb.core.entries import Entry, Permission, Question
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, SessionInfo
from coder_nb.core.stream import DeltaFrame, PageFrame
from coder_nb.core.transcript import Transcript
from coder_nb.errors import CoderError, Conflict, NotFound
from coder_nb.ids import new_id

ALLOWED = (Conflict, NotFound)
"""What may be refused to somebody who does what comes into their head."""


class Reader:
    """Somebody who looks on, from their own place, through whatever happens to the connection."""

    def __init__(self, world: World, chat_id: str) -> None:
        self._world, self.chat_id = world, chat_id
        self.transcript = Transcript()
        self.connections = 0
        self.come()

    def come(self) -> None:
        """Begins to look on, from where it was."""
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        while True:
            remote = await self._world.reached()
            self.connections += 1
            with contextlib.suppress(CoderError):
                async with aclosing(remote.stream(self.chat_id, after=self.transcript.rev)) as frames:  # type: ignore[type-var]
                    async for frame in frames:
                        if isinstance(frame, PageFrame):
                            self.transcript.apply(frame.page)
                        elif isinstance(frame, DeltaFrame):
                            for delta in frame.deltas:
                                self.transcript.apply_delta(delta)
            await asyncio.sleep(0.05)

    async def go(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Person:
    """Somebody with a repository, a session and chats in it."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.repository = make_repository(world.home / name.replace(" ", "-"))
        self.session: SessionInfo
        self.chats: list[ChatInfo] = []
        self.readers: dict[str, Reader] = {}
        self.sent: dict[str, tuple[str, Prompt]] = {}
        """Every prompt, and the chat that it was for."""
        self.accepted: set[str] = set()
        """Those that the server has said it has."""
        self.taken_back: set[str] = set()
        """Those that it was told to forget, whether its answer was heard or not."""
        self.edited: dict[str, str] = {}
        self.rejected: set[str] = set()
        self._frozen: list[ClientConnection] = []

    async def arrive(self) -> None:
        self.session = await self.world.ask(lambda remote: remote.open_session(str(self.repository)))
        chat = await self.world.ask(lambda remote: remote.open_chat(self.session.id))
        self._add(chat)

    def _add(self, chat: ChatInfo) -> None:
        if chat.id not in self.readers:
            self.chats.append(chat)
            self.readers[chat.id] = Reader(self.world, chat.id)

    async def live(self, steps: tuple[Step, ...]) -> None:
        """Does one deed after another."""
        for step in steps:
            await asyncio.sleep(step.pause)
            chat = self.chats[step.choice % len(self.chats)]
            self.world.note(f"{self.name}: {step}")
            with contextlib.suppress(*ALLOWED):
                await getattr(self, f"_{step.deed}")(chat.id, step)

    async def answering(self) -> None:
        """Answers what it is asked, as somebody who looks at a page does; every third time not."""
        given = 0
        while True:
            await asyncio.sleep(0.2)
            for chat_id, reader in list(self.readers.items()):
                with contextlib.suppress(CoderError):
                    await (await self.world.reached()).attend(chat_id, who=self.name)
                for entry in [entry for entry in reader.transcript if _asks(entry)]:
                    given += 1
                    if given % 3:
                        with contextlib.suppress(CoderError):
                            await self._answer(await self.world.reached(), entry, yes=given % 2 == 0)

    async def _answer(self, remote: Remote, entry: Entry, *, yes: bool) -> None:
        if isinstance(entry.body, Permission):
            chosen = next((o.id for o in entry.body.options if o.kind.startswith("allow") == yes), None)
            await remote.answer(entry.chat_id, entry.body.request_id, chosen, by=self.name)
        elif isinstance(entry.body, Question):
            chosen_ones = [choice.id for choice in entry.body.choices][:1] if yes else None
            await remote.reply(entry.chat_id, entry.body.request_id, chosen_ones, by=self.name)

    # Deeds -----------------------------------------------------------------------------------------------------------

    async def _prompt(self, chat_id: str, step: Step) -> None:
        await self.say(chat_id, step.text)

    async def say(self, chat_id: str, text: str) -> str:
        """Sends a prompt, again and again until it is known whether it was taken; returns its id."""
        way, _, said = text.rpartition(":")
        agent: str = "opencode" if way == "opencode" else "scripted"
        prompt = Prompt(id=new_id(), text=said, agent=agent, mode="ask" if way == "ask" else "bypass")
        self.sent[prompt.id] = chat_id, prompt
        await self.world.ask(lambda remote: remote.prompt(chat_id, prompt))
        self.accepted.add(prompt.id)
        return prompt.id

    async def _stop(self, chat_id: str, step: Step) -> None:
        await self.world.ask(lambda remote: remote.stop(chat_id))

    async def _go_on(self, chat_id: str, step: Step) -> None:
        await self.world.ask(lambda remote: remote.go_on(chat_id))

    async def _withdraw(self, chat_id: str, step: Step) -> None:
        await self.take_back(await self.world.ask(lambda remote: remote.get_chat(chat_id)))

    async def take_back(self, chat: ChatInfo) -> None:
        for prompt in chat.queued:
            self.taken_back.add(prompt.id)
            await self.world.ask(lambda remote, id=prompt.id: remote.withdraw(chat.id, id))  # type: ignore[misc]

    async def _steer(self, chat_id: str, step: Step) -> None:
        await self.world.ask(lambda remote: remote.steer(chat_id, "the other way"))

    async def _look_away(self, chat_id: str, step: Step) -> None:
        await self.readers[chat_id].go()
        self.readers[chat_id].come()

    async def _freeze(self, chat_id: str, step: Step) -> None:
        """Another reader, who never reads."""
        remote = await self.world.reached()
        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            address = remote._socket(chat_id, None, 200)
            self._frozen.append(await connect(address, additional_headers=remote._headers, max_queue=1, proxy=None))

    async def _edit(self, chat_id: str, step: Step) -> None:
        """Works in the checkout, beside the agents."""
        name = f"mine-{step.choice % 5}.txt"
        self.edited[name] = f"{self.name} {step.choice}\n"
        (self.repository / name).write_text(self.edited[name])

    async def _apply(self, chat_id: str, step: Step) -> None:
        await self._decide(chat_id, step, lambda remote, ids: remote.apply(chat_id, ids))

    async def _reject(self, chat_id: str, step: Step) -> None:
        self.rejected |= await self._decide(chat_id, step, lambda remote, ids: remote.reject(chat_id, ids))

    async def _decide(
        self, chat_id: str, step: Step, decide: Callable[[Remote, list[str]], Awaitable[Any]]
    ) -> set[str]:
        changes = await self.world.ask(lambda remote: remote.changes(chat_id))
        pending = [change for change in changes if change.status == "pending"]
        if not pending:
            return set()
        change = pending[step.choice % len(pending)]
        await self.world.ask(lambda remote: decide(remote, [change.id]))
        return {change.path}

    async def _another(self, chat_id: str, step: Step) -> None:
        name = f"chat {step.choice % 3}"
        self._add(await self.world.ask(lambda remote: remote.open_chat(self.session.id, name=name)))

    async def _fork(self, chat_id: str, step: Step) -> None:
        self._add(await self.world.ask(lambda remote: remote.fork(chat_id)))

    async def _export(self, chat_id: str, step: Step) -> None:
        await self.world.ask(lambda remote: remote.export(chat_id))

    # The end ---------------------------------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        """Stops what runs and takes back what waits, until nothing does."""
        for chat_id in self.readers:
            while True:
                chat = await self.world.ask(lambda remote, id=chat_id: remote.get_chat(id))  # type: ignore[misc]
                if chat.turn_id is not None:
                    await self.world.ask(lambda remote, id=chat_id: remote.stop(id))  # type: ignore[misc]
                elif chat.queued:
                    await self.take_back(chat)
                else:
                    break
                await asyncio.sleep(0.1)

    async def leave(self) -> None:
        """Nobody looks on any more, and those who never read go too."""
        for reader in self.readers.values():
            await reader.go()
        for socket in self._frozen:
            socket.transport.abort()
        self._frozen.clear()

    def come_back(self) -> None:
        for reader in self.readers.values():
            reader.come()

    def worktrees(self) -> list[str]:
        """What git knows of, the checkout itself left out."""
        lines = git(self.repository, "worktree", "list", "--porcelain").splitlines()
        return [line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")][1:]


def _asks(entry: Entry) -> bool:
    return isinstance(entry.body, Permission | Question) and entry.body.status == "pending"
