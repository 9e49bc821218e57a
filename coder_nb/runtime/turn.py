"""One turn, from the prompt to its one end. The way of a prompt is `run`, read downwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import cast

import msgspec

from coder_nb import errors
from coder_nb.backends.base import AgentSession, Asked
from coder_nb.backends.events import AnyEvent, Done, Failed, Noticed
from coder_nb.core import lifecycle, permissions
from coder_nb.core.entries import TurnEnded, TurnStarted, UserMessage
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import TurnInfo
from coder_nb.core.words import Field
from coder_nb.runtime import memory, recovery
from coder_nb.runtime.begun import Begun
from coder_nb.runtime.context import Context
from coder_nb.runtime.hearing import Hearing
from coder_nb.runtime.interview import Interview
from coder_nb.runtime.journal import key_of
from coder_nb.runtime.rulebook import Desk
from coder_nb.runtime.stopping import Stopping, Why
from coder_nb.runtime.tree import Tree
from coder_nb.runtime.writer import Writer
from coder_nb.store.base import Lease, RunState
from coder_nb.warm.breaker import State
from coder_nb.warm.pool import Start

_log = logging.getLogger("coder_nb.turn")
_replace = msgspec.structs.replace

TITLE_LENGTH = 80
_EVENT_OF_END = {
    "completed": "complete",
    "cancelled": "cancel",
    "failed": "fail",
    "refused": "refuse",
    "limited": "limit",
    "interrupted": "crash",
}
_TOOL_STATUS = {"completed": "completed", "failed": "failed", "interrupted": "failed"}


class Turn:
    """A turn that runs. Whatever happens in `run`, it ends once, and everything in it has an end too (laws 1 and 8)."""

    def __init__(
        self,
        context: Context,
        lease: Lease,
        tree: Tree,
        *,
        chat_id: str,
        prompt: Prompt,
        agent: str,
        began: Callable[[Begun], None],
        begun: Begun | None = None,
    ) -> None:
        """With `begun`, the agent has begun it by itself: `prompt` then says nothing but how the agent may work.

        `began` gets what the agent begins by itself later, between two turns.
        """
        settings = context.settings
        self.id = context.new_id()
        self.chat_id, self.prompt, self.agent = chat_id, prompt, agent
        self._context, self._lease, self._tree = context, lease, tree
        self._began, self._begun = began, begun
        asked_for = prompt.mode or settings.permission_mode
        self._mode: PermissionMode = permissions.clamp(asked_for, settings.most_permissive_mode)
        self._recorder = context.recorder(chat_id, self.id, agent)
        self._feed = context.feed(chat_id)
        self._writer = Writer(context.store.log, lease, self._recorder, self._feed, interval=settings.commit_interval)
        self._interview = Interview(
            context, self._recorder, prompt=prompt, touched=self._writer.touch, nobody=self._nobody_there
        )
        self._hearing = Hearing(
            context, self._recorder, self._writer, self._interview, running=self._is_running, stop=self.stop
        )
        self._stopping = Stopping(patience=settings.cancel_grace + settings.stop_grace + 2.0)
        label = context.agents.spec(agent).label
        self._label = label if label != agent else ""
        self._state = "waiting"
        self._started, self._passed = context.now(), context.stopwatch()
        self._verdict = Done(end="failed")
        self._prompting: AgentSession | None = None
        self._looping = False

    # The way of a prompt ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Takes the turn and settles it. Raises `StoreError` or `LeaseLost` only, where nothing can be
        written, and `Conflict` where the prompt was withdrawn before it began.
        """
        await self._begin()
        self._note("turn_started", mode=self._mode)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(), name=f"write {self.id}")
            driving = tasks.create_task(self._attempt(), name=f"drive {self.id}")
            self._verdict = await self._stopping.outcome(driving)
            self._writer.stop()
            await asyncio.wait({writing})
        await self._settle()

    async def _begin(self) -> None:
        self._move("start")
        prompt, label = self.prompt, self._label
        if self._begun is not None:
            self._recorder.add(TurnStarted(agent=self.agent, label=label, origin="agent", mode=self._mode))
            state = RunState(run_status="running", turn_id=self.id, starting=False, clear_error=True)
            await self._writer.commit(turn=self._info(), state=state)
            return
        began = TurnStarted(agent=self.agent, label=label, model=prompt.model, mode=self._mode, effort=prompt.effort)
        self._recorder.add(_replace(began, prompt_id=prompt.id, cell=prompt.cell))
        self._recorder.add(UserMessage(text=prompt.text, prompt_id=prompt.id, attachments=prompt.attachments))
        if prompt.mode not in (None, self._mode):
            text = f"The administrator allows no more than the mode {self._mode}: this turn runs in it."
            self._recorder.on(Noticed(text=text, code="mode_limited", level="warning"))
        state = RunState(
            run_status="running",
            turn_id=self.id,
            inbox_cursor=prompt.id,
            starting=True,
            title=" ".join(prompt.text.split())[:TITLE_LENGTH],
            clear_error=True,
        )
        await self._writer.commit(turn=self._info(), state=state)

    async def _attempt(self) -> Done:
        """The one edge where everything that goes wrong becomes the end of the turn."""
        try:
            return await self._drive()
        except errors.CoderError as error:
            if isinstance(error, errors.AgentFailed):
                self._died(self._context.crashes.note(key_of(self.chat_id, self.agent)))
            return Done(end="failed", message=error.message, code=error.code)
        except Exception as error:
            _log.exception("turn %s broke", self.id)
            text = f"coder-nb itself failed ({error!r}): please report it, with the log of the server."
            return Done(end="failed", message=text, code="bug")

    async def _drive(self) -> Done:
        """Worktree, checkpoint, agent, prompt, events, changes."""
        if (verdict := await self._context.spending.may_begin(self.chat_id)) is not None:
            return Done(end="limited", message=verdict.text, code="budget")
        cwd, checkpoint = await self._tree.prepare(self._lease, self.id)
        self._recorder.add(checkpoint)
        self._hearing.record(self._tree.notices)
        session = await self._context.store.catalog.get_session(self._tree.session_id)
        desk = self._hearing.desk = Desk(self._context.rulebook, session, self._mode, cwd)
        self._mode = await desk.agents_mode()
        key, fits = (self.chat_id, self.agent), lambda session: session.fits(self._mode)
        keep = await self._context.keeps_warm(key, once=self.prompt.once)
        start = self._start(cwd)
        async with self._context.pool.lease(key, start, fits, keep=keep) as agent:
            asked = await self._asked(agent)
            self._context.facts(agent).mode = desk.mode
            done = await self._hear(agent, asked)
            await memory.remember(self._context, self._lease, self.chat_id, self.agent, agent, settled=True)
            if why := self._context.pool.why_ended(key):
                done = _replace(done, message=why)
        if done.end == "completed":
            self._context.crashes.forgive(key_of(*key))
        elif done.end == "failed" and not done.alive and self._stopping.why is None:
            self._died(self._context.died(key, agent, start if keep and self._begun is None else None))
        return done

    async def _hear(self, agent: AgentSession, asked: Asked) -> Done:
        """Prompts the agent and takes what it says, to its end; where that goes wrong here, it is stopped first."""
        done = Done(end="failed", message="The agent's turn ended without an end.", code="agent_protocol")
        said = self._begun.events() if self._begun else agent.prompt(asked)
        self._prompting = agent
        self._writer.prompted()
        try:
            async with contextlib.aclosing(cast("AsyncGenerator[AnyEvent]", said)):
                async for event in said:
                    if isinstance(event, Done):
                        done = event
                    else:
                        await self._hearing.take(agent, event)
        finally:
            self._prompting = None
            await self._interview.withdraw()
        return done

    def _start(self, cwd: Path) -> Start:
        """How the agent is started; kept for as long as it is warm, so that it must not hold on to this turn."""
        if self._begun is not None:
            return self._begun.no_other
        context, lease, tree, began = self._context, self._lease, self._tree, self._began
        chat_id, agent, mode = self.chat_id, self.agent, self._mode
        model, effort, python = self.prompt.model, self.prompt.effort, self.prompt.python

        async def start() -> AgentSession:
            env = await asyncio.to_thread(tree.environment, python)
            return await memory.open_agent(
                context, lease, chat_id, agent, cwd=cwd, mode=mode, model=model, effort=effort, env=env, began=began
            )

        return start

    def _died(self, state: State) -> None:
        """The agent has ended by itself; where it does so again and again, what waits for it is not spent on it."""
        if state != "open":
            return
        self._looping = True
        often = self._context.crashes.count(key_of(self.chat_id, self.agent))
        text = (
            f"{self._context.agents.spec(self.agent).label} has ended by itself {often} times within ten minutes: only "
            "a prompt starts it now, and what waits in this chat is held until you go on."
        )
        self._hearing.record([Noticed(text=text, code="crash_loop", level="warning")])

    async def _asked(self, agent: AgentSession) -> Asked:
        self._hearing.catch_up()
        if self._begun is not None:
            return Asked(text="", user_text="", mode=self._mode)
        prompt = self.prompt
        before, notice = await memory.recap(
            self._context, self.chat_id, self.agent, agent, prompt.text, turn_id=self.id
        )
        self._hearing.record([notice] if notice else [])
        return Asked(
            text=before + prompt.text,
            user_text=prompt.text,
            mode=self._mode,
            model=prompt.model,
            effort=prompt.effort,
            attachments=prompt.attachments,
        )

    async def _settle(self) -> None:
        """The changes, the end of everything that is open, and the turn's own end, in the last commit."""
        await self._record_changes()
        done = self._stopping.judged(self._verdict)
        self._move(_EVENT_OF_END[done.end])
        end = lifecycle.END_OF[self._state]
        self._recorder.close_all(tool_status=_TOOL_STATUS.get(end, "cancelled"))
        ended, passed = max(self._context.now(), self._started), self._passed()
        self._recorder.add(
            TurnEnded(end=end, reason=done.reason, message=done.message, code=done.code, duration_ms=passed)
        )
        failed, holds = end == "failed", self._looping or self._stopping.holds
        state = RunState(
            run_status=lifecycle.step(lifecycle.RUN, "running", end),
            clear_turn=True,
            held=await recovery.held(self._context.store, self.chat_id) if holds else None,
            error=(done.message or "The turn failed.") if failed else None,
            clear_error=not failed,
        )
        info = _replace(self._info(), ended_at=ended, end=end, reason=done.reason, message=done.message, code=done.code)
        self._writer.touch()
        await self._writer.commit_patiently(turn=info, state=state)
        self._feed.tell(log=True, state=True, changes=True)
        self._note("turn_ended", end=end, code=done.code or None, ms=passed)

    def _note(self, word: str, **fields: Field) -> None:
        self._context.journal.note(word, chat=self.chat_id, turn=self.id, agent=self.agent, **fields)

    # Stopping --------------------------------------------------------------------------------------------------------

    async def stop(self, *, event: str = "stop", message: str = "", code: str = "") -> None:
        """Cancels the turn, not the agent's process (law 4); returns at once. The event ``crash`` is our own end."""
        under_way = self._is_running()
        if not under_way and (self._state != "exceeding" or event == "exceed"):
            return
        self._move("exceed" if event == "exceed" else "stop")
        self._stopping.why = Why(event, message, code, hold=event == "crash" or bool(code))
        if under_way:  # else the agent was told already; it is the turn's end that is another one now
            await self._stopping.end(self._prompting)

    async def _nobody_there(self) -> None:
        await self.stop(message=errors.NobodyToAsk().message, code=errors.NobodyToAsk.code)

    async def steer(self, text: str) -> bool:
        """Hands the agent another message of the user; False where it cannot take it now."""
        agent = self._prompting
        if agent is None or not self._is_running() or not await agent.steer(text):
            return False
        self._recorder.close_text()
        self._recorder.add(UserMessage(text=text))
        self._writer.touch()
        return True

    # Files and figures -----------------------------------------------------------------------------------------------

    async def _record_changes(self) -> None:
        """What the turn did to files, from git; that git fails is said in the transcript and ends nothing."""
        try:
            for change in await self._tree.changes(self._lease, self.chat_id, self.id, self.agent):
                self._recorder.add(change)
            notebook = self.prompt.cell.notebook if self.prompt.cell else None
            self._hearing.record(await self._tree.outside(notebook, self._recorder.acted_on()))
        except errors.CoderError as error:
            self._recorder.on(Failed(message=error.message, code=error.code))
        except Exception as error:  # a turn has its end whatever else fails, as on a full disk (law 1)
            _log.exception("the changes of turn %s could not be looked for", self.id)
            text = f"What this turn changed could not be looked for ({error}): the next turn's changes will show it."
            self._recorder.on(Failed(message=text, code="bug"))

    async def _write(self) -> None:
        """Commits as the turn goes; that the store fails stops the turn, and what is unwritten is kept for the end."""
        try:
            await self._writer.run()
        except errors.CoderError as error:
            _log.error("turn %s cannot be written: %s", self.id, error.message)
            await self.stop(message=error.message, code=error.code)

    def _info(self) -> TurnInfo:
        return TurnInfo(
            id=self.id,
            chat_id=self.chat_id,
            prompt_id=self.prompt.id if self._begun is None else None,
            agent=self.agent,
            state=self._state,
            started_at=self._started,
        )

    @property
    def unwritten(self) -> str:
        """Why its end is not written down yet, where it waits for that for long."""
        return self._writer.stuck

    def _is_running(self) -> bool:
        return self._state == "running"

    def _move(self, event: str) -> None:
        self._state = lifecycle.step(lifecycle.TURN, self._state, event)
