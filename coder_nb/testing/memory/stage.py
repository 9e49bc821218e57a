"""What a test's function plays a turn on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from coder_nb.core.changes import Change
from coder_nb.core.entries import (
    AnyBody,
    Delta,
    End,
    Entry,
    Offer,
    Permission,
    PermissionOption,
    Question,
    Text,
    ToolKind,
    TurnEnded,
)
from coder_nb.core.permissions import Answerer
from coder_nb.core.prompts import Prompt
from coder_nb.core.rules import SCOPES, Always
from coder_nb.core.stream import ChangesFrame, DeltaFrame
from coder_nb.ids import new_id
from coder_nb.testing.memory.asking import Asking

OPTIONS = (
    PermissionOption(id="once", label="Allow", kind="allow_once"),
    PermissionOption(id="no", label="Reject", kind="reject_once"),
)
OFFERS = (Offer(id="commands", label="ls …", text="commands that begin with `ls`"),)


class Stage:
    """What a test's function plays one turn on."""

    def __init__(self, runtime: Asking, chat_id: str, prompt: Prompt, turn_id: str) -> None:
        self.prompt = prompt
        self.turn_id = turn_id
        self._runtime, self._chat_id = runtime, chat_id

    def put(self, body: AnyBody, *, entry_id: str | None = None, open: bool = False) -> Entry:
        """Commits an entry of the turn, or a new state of one."""
        agent = self.prompt.agent or "replay"
        return self._runtime.commit(
            self._chat_id, body, turn_id=self.turn_id, agent=agent, entry_id=entry_id, open=open
        )

    def delta(self, entry: Entry, offset: int, text: str) -> None:
        """Says live text that is not committed yet."""
        delta = Delta(epoch="memory", entry_id=entry.id, offset=offset, text=text)
        self._runtime.tell(self._chat_id, DeltaFrame(deltas=(delta,)))

    def change(self, path: str, **fields: object) -> Change:
        """Records what the turn did to a file."""
        made = Change(
            id=new_id(),
            session_id=self._runtime.chats[self._chat_id].session_id,
            chat_id=self._chat_id,
            turn_id=self.turn_id,
            path=path,
            operation="edit",
            agent=self.prompt.agent or "replay",
            created_at=1,
        )
        made = replace(made, **fields)
        self._runtime.changed[self._chat_id].append(made)
        self._runtime.tell(self._chat_id, ChangesFrame(changes=tuple(self._runtime.changed[self._chat_id])))
        return made

    async def ask(self, title: str, *, asking: Answerer, kind: ToolKind = "execute") -> tuple[str | None, str]:
        """Asks for a permission; returns the option chosen and by whom."""
        body = Permission(
            request_id=new_id(),
            title=title,
            tool="terminal",
            tool_kind=kind,
            options=OPTIONS,
            offers=OFFERS,
            scopes=SCOPES,
        )
        entry = self.put(body, open=True)
        answer: asyncio.Future[tuple[str | None, str]] = asyncio.get_running_loop().create_future()
        self._runtime.waiting[body.request_id] = answer
        self._runtime.update(self._chat_id, asking=asking, asks="permission")
        option, by = await answer
        self._runtime.update(self._chat_id, asking=None, asks=None)
        status = "allowed" if option == "once" else "denied"
        self.put(replace(body, status=status, option_id=option, by=by), entry_id=entry.id)
        return option, by

    @property
    def always(self) -> Always | None:
        """The rule that was asked for with the latest answer."""
        return self._runtime.said_always[-1]

    async def question(self, text: str, *, asking: Answerer, **fields: Any) -> tuple[tuple[str, ...], str]:
        """Asks a question; returns the answer, empty where it was declined, and by whom."""
        body = replace(Question(request_id=new_id(), text=text), **fields)
        entry = self.put(body, open=True)
        answer: asyncio.Future[tuple[tuple[str, ...], str]] = asyncio.get_running_loop().create_future()
        self._runtime.questions[body.request_id] = (body, answer)
        self._runtime.update(self._chat_id, asking=asking, asks="question")
        said, by = await answer
        self._runtime.update(self._chat_id, asking=None, asks=None)
        self.put(replace(body, status="answered" if said else "declined", answer=said, by=by), entry_id=entry.id)
        return said, by

    async def forever(self) -> None:
        """Goes on until the turn is stopped."""
        await asyncio.get_running_loop().create_future()


Play = Callable[[Stage], Awaitable["TurnEnded | End | None"]]


async def echo(stage: Stage) -> End:
    """The turn of an agent that says what it was told."""
    stage.put(Text(text=f"You said: {stage.prompt.text}"))
    return "completed"
