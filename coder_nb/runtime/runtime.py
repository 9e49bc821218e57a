"""The runtime: hosts sessions, their agents and their store. A prompt comes in by `prompt`; `turn.py` takes it on."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from coder_nb import errors, ids
from coder_nb.core import lifecycle, prompts
from coder_nb.core.entries import Page
from coder_nb.core.export import Exported
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.values import (
    PROTOCOL,
    AgentCommands,
    AgentInfo,
    AgentSessionInfo,
    Change,
    ChatInfo,
    CheckpointInfo,
    FileContent,
    Files,
    Frame,
    Health,
    Isolation,
    NativeSession,
    Preview,
    Prompt,
    SessionInfo,
    Share,
    TurnInfo,
    UsageRow,
)
from coder_nb.pool.pool import Pool
from coder_nb.pool.process import Keeper
from coder_nb.runtime import (
    commands,
    copying,
    deletion,
    forking,
    reading,
    reaper,
    recovery,
    restoring,
    retention,
    sharing,
)
from coder_nb.runtime.agents import Agents
from coder_nb.runtime.asking import Answer
from coder_nb.runtime.context import Context
from coder_nb.runtime.leaseholder import Leaseholder
from coder_nb.runtime.review import Hunks, Review
from coder_nb.runtime.runner import Runner
from coder_nb.runtime.tasks import Tasks
from coder_nb.settings import Settings
from coder_nb.store.base import Batch, Lease, RunState, Store
from coder_nb.store.open import open_store
from coder_nb.store.owner import this_process
from coder_nb.worktrees.decisions import Decisions
from coder_nb.worktrees.worktrees import Worktrees

_log = logging.getLogger("coder_nb.runtime")
_replace = msgspec.structs.replace
DRAIN = 1.5
"""Seconds that running turns get to end by themselves when the runtime is closed."""
HOUR = 3600.0
"""Seconds between two looks at what was kept for long enough."""
DISPOSE = 1.0
"""Seconds that each further step of closing may take; agents that are deaf even to that are killed."""
PATHS = 1000
"""Of how many sessions the working directory is kept in mind."""
_STOPPING = "The server is stopping: start it again, then try again."


class Runtime:
    """Implements `core.verbs.Verbs`; what each call promises is said there. Lives on one event loop."""

    def __init__(self, settings: Settings, store: Store, *, runtime_id: str, label: str) -> None:
        """Use `Runtime.open`."""
        self.settings = settings
        self.runtime_id = runtime_id
        self._store = store
        self._keeper = Keeper(runtime_id)
        self._agents = Agents(settings, self._keeper, store.history)
        self._pool = Pool(clock=time.monotonic)
        self._context = Context(
            settings,
            store=store,
            pool=self._pool,
            agents=self._agents,
            worktrees=Worktrees(settings.worktrees_path(), settings),
        )
        self._decisions = Decisions(self._context.worktrees)
        self._leases = Leaseholder(
            store.leases, this_process(runtime_id, label), ttl=settings.lease_ttl, taken=self._taken, lost=self._lost
        )
        self._runners: dict[str, Runner] = {}
        self._paths: dict[str, str] = {}
        self._slots = asyncio.Semaphore(settings.max_running)
        self._tasks = Tasks()
        self._owner = _user()
        self._draining = False

    @classmethod
    async def open(cls, settings: Settings, *, label: str) -> Runtime:
        """A running runtime over the store of the settings. Raises `StoreError`s with their cures."""
        store = await open_store(settings)
        runtime = cls(settings, store, runtime_id=ids.new_id(), label=label)
        runtime._tasks.start(runtime._leases.keep(), name="renew leases")
        runtime._tasks.start(runtime._follow_others(), name="follow other processes")
        runtime._tasks.start(runtime._sweep(), name="sweep the pool")
        runtime._tasks.start(runtime._settle_the_dead(), name="settle the dead")
        runtime._tasks.start(runtime._reap(), name="look for orphaned worktrees")
        return runtime

    async def close(self) -> None:
        """Drains, then disposes: no new prompt, running turns end as interrupted, agents, leases, store. Idempotent."""
        if self._draining:
            return
        self._draining = True
        for runner in self._runners.values():
            runner.finish()
        running = [runner.turn for runner in self._runners.values() if runner.turn is not None]
        for turn in running:
            await turn.stop(event="crash", message=recovery.REASON, code="interrupted")
        await self._drained(DRAIN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISPOSE):
                await self._pool.close()
                await self._agents.close()
        await self._keeper.close(min(DISPOSE, self.settings.stop_grace))
        await self._drained(DISPOSE)  # what was deaf has lost its agent now, and settles
        await self._tasks.close()
        await self._leases.release_all()
        await self._store.close()

    @property
    def epoch(self) -> str:
        """Names this life of the runtime: live text of another epoch means nothing."""
        return self._context.epoch

    @property
    def busy(self) -> int:
        """How many turns are running."""
        return sum(runner.turn is not None for runner in self._runners.values())

    # What there is ---------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        from coder_nb import __version__

        return Health(
            protocol=PROTOCOL,
            version=__version__,
            runtime_id=self.runtime_id,
            status="draining" if self._draining else "ok",
            agents_live=len(self._pool.facts()),
            turns_running=self.busy,
        )

    async def agents(self) -> tuple[AgentInfo, ...]:
        return await self._agents.infos()

    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        repository = await self._context.worktrees.locate(Path(path))
        session = await self._store.catalog.open_session(
            self._owner,
            repository.path,
            name=name,
            new=new,
            session_id=ids.new_id(),
            now=self._context.now(),
            isolation=isolation or self.settings.isolation,
            base=base,
        )
        if session.isolation != (isolation or session.isolation) or session.base != (base or session.base):
            raise errors.Conflict(
                f"The session {session.name!r} of this directory was begun otherwise (isolation="
                f"{session.isolation!r}, base={session.base!r}): give another `name`, or `new=True`."
            )
        return session

    async def sessions(self) -> tuple[SessionInfo, ...]:
        return await self._store.catalog.sessions()

    async def get_session(self, session_id: str) -> SessionInfo:
        return await self._store.catalog.get_session(session_id)

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        chat = await self._store.catalog.open_chat(
            session_id, name=name, new=new, chat_id=ids.new_id(), now=self._context.now()
        )
        return await self._as_seen(chat)

    async def get_chat(self, chat_id: str) -> ChatInfo:
        return await self._as_seen(await self._store.catalog.get_chat(chat_id))

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        return await self._store.catalog.turns(chat_id)

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        return await self._store.catalog.usage(chat_id)

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        known = await self._store.catalog.agent_sessions(session_id)
        if await self._leases.runner(await self._path_of(session_id)) is not None:
            return known  # as its runner wrote it down
        warm = {fact.key: fact.busy for fact in self._pool.facts()}
        return tuple(_as_it_is(info, warm.get((info.chat_id, info.agent))) for info in known)

    # Prompting -------------------------------------------------------------------------------------------------------

    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        self._check(prompt)
        chat = await self._store.catalog.get_chat(chat_id)
        agent = await self._agents.usable(prompt.agent or await self._last_agent(chat_id))
        lease, runner = await self._runner_of(chat)
        if runner.ending:
            raise errors.Conflict("This session is being closed or deleted at this moment: wait, then prompt again.")
        accepted = await self._store.inbox.accept(
            lease,
            chat_id,
            _replace(prompt, agent=agent, created_at=self._context.now()),
            limit=self.settings.max_queued,
        )
        if accepted:
            await self._queue(lease, chat, "prompt")
        self._context.feed(chat_id).tell(state=True)
        runner.wake()
        return await self.get_chat(chat_id)

    async def stop(self, chat_id: str) -> bool:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._runner_of(chat)
        turn = runner.turn
        if turn is None or turn.chat_id != chat_id:
            return False
        await self._queue(lease, chat, "stop")
        await turn.stop()
        return True

    async def steer(self, chat_id: str, text: str) -> bool:
        prompts.check(Prompt(id="", text=text))
        if not text.strip():
            raise errors.EmptyPrompt
        _, runner = await self._runner_of(await self._store.catalog.get_chat(chat_id))
        turn = runner.turn
        return turn is not None and turn.chat_id == chat_id and await turn.steer(text)

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        chat = await self._store.catalog.get_chat(chat_id)
        return await commands.known(self._context, chat)

    async def go_on(self, chat_id: str) -> ChatInfo:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._runner_of(chat)
        await self._queue(lease, chat, "go_on")
        runner.wake()
        return await self.get_chat(chat_id)

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        lease, _ = await self._runner_of(await self._store.catalog.get_chat(chat_id))
        done = await self._store.inbox.withdraw(lease, chat_id, prompt_id)
        self._context.feed(chat_id).tell(state=True)
        return done

    async def answer(self, chat_id: str, request_id: str, option_id: str | None, *, by: str) -> bool:
        return self._context.pending.answer((chat_id, "permission", request_id), Answer(option_id, by))

    async def reply(self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str) -> bool:
        given = None if answer is None else tuple(answer)
        return self._context.pending.answer((chat_id, "question", request_id), Answer(given, by))

    async def attend(self, chat_id: str, *, who: str) -> None:
        self._context.presence.seen(chat_id)

    # Reading ---------------------------------------------------------------------------------------------------------

    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        if before is not None:
            return await self._store.log.before(chat_id, before, limit=limit)
        return await self._store.log.read(chat_id, after=after, limit=limit)

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        chat = await self._store.catalog.get_chat(chat_id)
        frames = reading.follow(
            self._store.log,
            self._context.feed(chat_id),
            chat_id,
            after=after,
            tail=tail,
            epoch=self.epoch,
            runtime_id=self.runtime_id,
            merge=self.settings.delta_interval,
            session=await self._store.catalog.get_session(chat.session_id),
            state=lambda: self.get_chat(chat_id),
            changes=lambda: self.changes(chat_id),
        )
        async with contextlib.aclosing(frames):
            async for frame in frames:
                yield frame

    # Reviewing -------------------------------------------------------------------------------------------------------

    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        return await self._store.changes.of_chat(chat_id)

    async def apply(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Hunks | None = None, to: str = "", commit: str = ""
    ) -> tuple[Change, ...]:
        review, _ = await self._review(chat_id)
        return self._decided(await review.apply(change_ids, hunks or {}, to=to, commit=commit))

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Hunks | None = None
    ) -> tuple[Change, ...]:
        review, runner = await self._review(chat_id)
        if runner.turn is not None:
            raise errors.Conflict("The agent is still working on these files: stop it or wait for it, then reject.")
        return self._decided(await review.reject(change_ids, hunks or {}))

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        review, _ = await self._review(chat_id)
        return self._decided(await review.revert(change_ids))

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        changes = [c for c in await self.changes(chat_id) if c.status in ("pending", "conflict")]
        chat = await self._store.catalog.get_chat(chat_id)
        return await self._decisions.preview(await self._path_of(chat.session_id), changes)

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        change = await self._store.changes.get(change_id)
        if change.chat_id != chat_id:
            raise errors.NotFound("This chat has no such change: look at `chat.changes` again.")
        return await self._decisions.content(await self._path_of(change.session_id), change, old=old)

    # Copies and links ------------------------------------------------------------------------------------------------

    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        return await self._agents.native_sessions(agent, Path(await self._path_of(session_id)))

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        session = await self._store.catalog.get_session(session_id)
        lease = await self._lease_on(session.path)
        return await self.get_chat(
            await copying.adopted(self._context, lease, session, agent=agent, native_id=native_id, name=name)
        )

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._runner_of(chat)
        return await self.get_chat(
            await forking.fork(self._context, lease, chat, runner.tree, turn_id=turn_id, files=files, name=name)
        )

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        return await copying.exported(self._context, chat_id, redact=redact)

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        lease = await self._lease_on(await self._path_of(session_id))
        return await self.get_chat(await copying.imported(self._context, lease, session_id, exported, name=name))

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        lease = await self._lease_on(await self._path_of(session_id))
        await self._store.keeping.keep(lease, session_id, days=days, mib=mib)

    async def share(self, chat_id: str, *, by: str) -> Share:
        return await sharing.share(self._context, chat_id, by=by)

    async def shares(self, chat_id: str) -> tuple[Share, ...]:
        await self._store.catalog.get_chat(chat_id)
        return await self._store.shares.of_chat(chat_id)

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        return await sharing.unshare(self._context, chat_id, share_id)

    async def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        async with contextlib.aclosing(sharing.follow(self._context, link, self.stream, tail=tail)) as frames:
            async for frame in frames:
                yield frame

    # Going back, and the end -----------------------------------------------------------------------------------------

    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        chat = await self._store.catalog.get_chat(chat_id)
        return await restoring.checkpoints(self._context, chat, await self._path_of(chat.session_id))

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._runner_of(chat)
        return await restoring.restore(
            self._context, lease, chat, runner, turn_id, files=files, conversation=conversation
        )

    async def risk(self, session_id: str) -> Risk:
        return await deletion.risk(self._context, await self._store.catalog.get_session(session_id))

    async def stash(self, session_id: str) -> Risk:
        return await deletion.stash(self._context, *await self._session_and_runner(session_id))

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        return await deletion.keep_branch(self._context, *await self._session_and_runner(session_id), name)

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        await deletion.close_session(self._context, *await self._session_and_runner(session_id), force=force)

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        await deletion.delete_session(self._context, *await self._session_and_runner(session_id), force=force)

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._runner_of(chat)
        await deletion.close_chat(self._context, lease, chat, runner, force=force)

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._runner_of(chat)
        await deletion.delete_chat(self._context, lease, chat, runner, force=force)

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        return await reaper.reap(self._context, dry_run=True)

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        return await reaper.reap(self._context, dry_run=dry_run)

    # Within ----------------------------------------------------------------------------------------------------------

    def _check(self, prompt: Prompt) -> None:
        if self._draining:
            raise errors.Conflict(_STOPPING)
        prompts.check(prompt)
        if not ids.is_id(prompt.id):
            raise errors.BadRequest(
                "A prompt's id has 26 characters of a-z and 0-9: make it with `coder_nb.ids.new_id()`."
            )
        if not prompt.text.strip():
            raise errors.EmptyPrompt
        size = len(prompt.text.encode("utf-8", "replace"))
        if size > self.settings.prompt_limit:
            raise errors.PromptTooLong(
                f"The prompt has {size:,} bytes and the limit is {self.settings.prompt_limit:,}: "
                "put the material into a file and name it in the prompt."
            )

    async def _last_agent(self, chat_id: str) -> str:
        turns = await self._store.catalog.turns(chat_id)
        return turns[-1].agent if turns else await self._agents.default()

    async def _runner_of(self, chat: ChatInfo) -> tuple[Lease, Runner]:
        """The lease and the worker of a chat's session; raises `RunElsewhere` where another process runs it."""
        return await self._worker(chat.session_id)

    async def _session_and_runner(self, session_id: str) -> tuple[Lease, SessionInfo, Runner]:
        session = await self._store.catalog.get_session(session_id)
        lease, runner = await self._worker(session_id)
        return lease, session, runner

    async def _worker(self, session_id: str) -> tuple[Lease, Runner]:
        path = await self._path_of(session_id)
        lease = await self._lease_on(path)
        runner = self._runners.get(session_id)
        if runner is None:
            runner = Runner(self._context, self._leases, session_id=session_id, path=path, slots=self._slots)
            self._runners[session_id] = runner
            runner.task = self._tasks.start(runner.run(), name=f"run session {session_id}")
        return lease, runner

    async def _lease_on(self, path: str) -> Lease:
        """The lease of a working directory; raises `RunElsewhere` where another process runs it."""
        if self._draining:
            raise errors.Conflict(_STOPPING)
        return await self._leases.hold(path)

    async def _path_of(self, session_id: str) -> str:
        """The working directory of a session, which never changes."""
        if session_id not in self._paths:
            if len(self._paths) >= PATHS:
                self._paths.clear()
            self._paths[session_id] = (await self._store.catalog.get_session(session_id)).path
        return self._paths[session_id]

    async def _queue(self, lease: Lease, chat: ChatInfo, message: str) -> None:
        """Holds what waits in a chat, or lets it go on, as the table of its inbox says."""
        before = lifecycle.inbox(held=chat.held, waiting=bool(chat.queued))
        held = lifecycle.step(lifecycle.INBOX, before, message) == "held"
        if held != chat.held:
            await self._store.log.commit(lease, chat.id, Batch(state=RunState(held=held)))
            self._context.feed(chat.id).tell(state=True)

    async def _as_seen(self, chat: ChatInfo) -> ChatInfo:
        path = await self._path_of(chat.session_id)
        runner = await self._leases.runner(path)
        if chat.turn_id is not None and runner is None and self._leases.held(path) is None:
            chat = await self._settled(chat, path)
        return _replace(chat, runner=runner, asking=self._context.pending.asking(chat.id))

    async def _settle_the_dead(self) -> None:
        """Gives an end to the turns of runners that died before this runtime was opened."""
        sessions = await self._store.catalog.sessions()
        begun = await deletion.begun(self._context)
        for path in {session.path for session in sessions}:
            if await self._store.catalog.unfinished(path) or path in begun:
                with contextlib.suppress(errors.RunElsewhere):
                    await self._leases.hold(path)

    async def _reap(self) -> None:
        """Looks for worktrees without a session, now and as often as one must have been left alone to be removed."""
        while True:
            try:
                await reaper.reap(self._context, dry_run=False)
            except errors.CoderError as error:
                _log.warning("worktrees without a session could not be looked for: %s", error.message)
            await asyncio.sleep(max(60.0, self.settings.orphan_grace))

    async def _settled(self, chat: ChatInfo, path: str) -> ChatInfo:
        """A chat whose runner has died in the middle of a turn, after that turn got its end."""
        with contextlib.suppress(errors.RunElsewhere):
            await self._leases.hold(path)
        return await self._store.catalog.get_chat(chat.id)

    async def _review(self, chat_id: str) -> tuple[Review, Runner]:
        lease, runner = await self._runner_of(await self._store.catalog.get_chat(chat_id))
        return Review(self._context, runner.tree, lease), runner

    def _decided(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        for chat_id in {change.chat_id for change in changes}:
            self._context.feed(chat_id).tell(changes=True)
        return changes

    async def _taken(self, lease: Lease) -> None:
        await recovery.settle(self._context, lease)
        await deletion.recover(self._context, lease)

    async def _lost(self, lease: Lease) -> None:
        """Another process runs this working directory now: our turns there stop, and our agents go."""
        _log.warning("another process has taken over the sessions of %s", lease.path)
        for runner in [runner for runner in self._runners.values() if runner.path == lease.path]:
            if runner.turn is not None:
                await runner.turn.stop(message=errors.LeaseLost().message, code=errors.LeaseLost.code)
            for chat in await self._store.catalog.chats(runner.session_id):
                for fact in self._pool.facts():
                    if fact.key[0] == chat.id:
                        await self._pool.retire(fact.key)

    async def _follow_others(self) -> None:
        """Tells listeners of chats that other processes may have written to."""
        while True:
            try:
                async for chats in self._store.watch():
                    for chat_id, feed in list(self._context.feeds.items()):
                        if chats is None or chat_id in chats:
                            feed.tell(log=True, state=True, changes=True)
                return
            except errors.StoreError as error:
                _log.warning("the store cannot be followed: %s", error.message)
                await asyncio.sleep(1.0)

    async def _sweep(self) -> None:
        looked = float("-inf")
        while True:
            await asyncio.sleep(self.settings.sweep)
            if time.monotonic() - looked >= HOUR:
                looked = time.monotonic()
                await self._let_go_of_what_is_old()
            for chat_id, agent in await self._pool.sweep(ttl=self.settings.idle_eviction, limit=self.settings.max_live):
                _log.info("evicted agent=%s chat=%s", agent, chat_id)
            try:
                await self._release_idle()
            except errors.StoreError as error:
                _log.warning("it could not be seen which leases are idle: %s", error.message)

    async def _let_go_of_what_is_old(self) -> None:
        try:
            await retention.sweep(self._context, self.delete_chat)
        except errors.StoreError as error:
            _log.warning("it could not be seen which chats are old: %s", error.message)

    async def _release_idle(self) -> None:
        """Gives back the leases of directories where nothing runs, waits or is warm, so that others may run them."""
        warm = {chat_id for (chat_id, _), _, _ in self._pool.facts()}
        for path in self._leases.unused_for(self.settings.sweep):
            runners = [runner for runner in self._runners.values() if runner.path == path]
            chats = [chat for runner in runners for chat in await self._store.catalog.chats(runner.session_id)]
            needed = any(runner.turn for runner in runners) or any(chat.queued or chat.id in warm for chat in chats)
            if needed or path not in self._leases.unused_for(self.settings.sweep):  # asked for in the meantime
                continue
            for runner in runners:
                del self._runners[runner.session_id]
                runner.task.cancel()
            await self._leases.release(path)

    async def _drained(self, seconds: float) -> None:
        """Waits until no turn runs, but not longer than that."""
        quiet = [asyncio.ensure_future(runner.quiet.wait()) for runner in self._runners.values()]
        if quiet:
            _, late = await asyncio.wait(quiet, timeout=seconds)
            for waiting in late:
                waiting.cancel()


def _as_it_is(info: AgentSessionInfo, busy: bool | None) -> AgentSessionInfo:
    """What was written down of an agent session, as the pool has it now: busy, warm, or None where it has none."""
    if busy is not None:
        return _replace(info, status="busy" if busy else "warm")
    return _replace(info, status="crashed" if info.status == "crashed" else "cold", pid=None)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"user {os.getuid()}"
