"""What an agent says in a turn comes into its transcript here, and what follows from it happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from coder_nb.backends import events
from coder_nb.backends.base import AgentSession
from coder_nb.backends.events import AnyEvent
from coder_nb.core.budgets import Verdict
from coder_nb.core.entries import Entry, Usage
from coder_nb.runtime.asking import Kind
from coder_nb.runtime.context import Context
from coder_nb.runtime.interview import Interview
from coder_nb.runtime.recorder import Recorder
from coder_nb.runtime.rulebook import Desk
from coder_nb.runtime.spending import priced
from coder_nb.runtime.writer import Writer


class Stop(Protocol):
    def __call__(self, *, event: str, message: str, code: str) -> Awaitable[None]: ...


class Hearing:
    """Takes an agent's events: they are recorded, its requests are answered, what it uses is counted and limited."""

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        writer: Writer,
        interview: Interview,
        *,
        running: Callable[[], bool],
        stop: Stop,
    ) -> None:
        """`stop` ends a turn that is at a limit, while it is `running`."""
        self.desk: Desk | None = None
        """By which its requests are answered, from where it is known where the agent works."""
        self._context, self._recorder, self._writer, self._interview = context, recorder, writer, interview
        self._chat_id, self._agent = recorder.chat_id, recorder.agent
        self._running, self._stop = running, stop

    async def take(self, agent: AgentSession, event: AnyEvent) -> None:
        """One event of the agent's, while it has the prompt."""
        if isinstance(event, events.PermissionGone | events.QuestionGone):
            kind: Kind = "permission" if isinstance(event, events.PermissionGone) else "question"
            self._interview.gone(kind, event.request_id)
            return
        self.catch_up()  # what it said while its prompt was on the way came before what it says to it
        if isinstance(event, events.PermissionAsked) and self.desk is not None:
            await self.desk.look()
        entry = self._recorder.on(event)
        if isinstance(event, events.CommandsChanged):
            self._context.commands_are(self._agent, agent, event.commands)
        if entry is not None and isinstance(entry.body, Usage):
            await self._count(agent, entry, entry.body)
        if entry is not None and self.desk is not None:
            await self._interview.take(agent, entry, self.desk)
        self._writer.touch()
        if self._recorder.ahead:
            await self._writer.caught_up()
        if len(self._recorder) > self._context.settings.max_entries:
            await self._full()

    def catch_up(self) -> None:
        """Records what the agent has said between two turns."""
        if said := self._context.idle.take((self._chat_id, self._agent)):
            self.record(said)

    def record(self, said: Iterable[AnyEvent]) -> None:
        """Records what is said beside the agent's answer."""
        for event in said:
            self._recorder.on(event)
        self._writer.touch()

    async def _count(self, agent: AgentSession, entry: Entry, used: Usage) -> None:
        usage = msgspec.structs.replace(await priced(used), native_id=agent.native_id)
        self._context.facts(agent).model = usage.model or self._context.facts(agent).model
        self._recorder.update(entry.id, usage, open=False)
        await self._judge(await self._context.spending.spend(self._chat_id, usage))

    async def _judge(self, verdict: Verdict | None) -> None:
        """Says that a budget is reached, and ends the turn where that is what budgets do."""
        if verdict is not None and self._running():
            self.record([events.Noticed(text=verdict.text, code="budget", level="warning")])
            if verdict.stop:
                await self._stop(event="exceed", message=verdict.text, code="budget")

    async def _full(self) -> None:
        """The turn has made as many entries as it may."""
        if not self._running():
            return
        most = self._context.settings.max_entries
        text = f"This turn has made {most:,} entries, the most that one may (`max_entries`): prompt again to go on."
        self.record([events.Noticed(text=text, code="entry_limit", level="warning")])
        self._context.journal.note("limit_reached", chat=self._chat_id, agent=self._agent, limit="max_entries")
        await self._stop(event="exceed", message=text, code="entry_limit")
