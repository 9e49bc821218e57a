"""What a runtime runs: the leases that it holds, and a worker for each session of theirs."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from coder_nb import errors
from coder_nb.core.sessions import ChatInfo, doing
from coder_nb.runtime import deletion, recovery
from coder_nb.runtime.context import Context
from coder_nb.runtime.leaseholder import Leaseholder
from coder_nb.runtime.runner import Runner
from coder_nb.runtime.tasks import Tasks
from coder_nb.store.base import Lease
from coder_nb.store.owner import this_process, user
from coder_nb.warm.places import Places
from coder_nb.warm.pool import STOPPING

_log = logging.getLogger("coder_nb.runtime")
_replace = msgspec.structs.replace
PATHS = 1000
"""Of how many sessions the working directory is kept in mind."""
PLACES = 0.3
"""Seconds after which those that wait for a place are told where they are now."""


class Host:
    """Owns the leases and the runners of one runtime. Lives on one event loop."""

    def __init__(self, context: Context, tasks: Tasks, *, runtime_id: str, label: str) -> None:
        self.context = context
        self.runtime_id = runtime_id
        self.owner = user()
        self.leases = Leaseholder(
            context.store.leases,
            this_process(runtime_id, label),
            ttl=context.settings.lease_ttl,
            taken=self._taken,
            lost=self._lost,
        )
        self.runners: dict[str, Runner] = {}
        """The worker of each session that is run here, by the session's id."""
        self.readers = 0
        """How many follow a chat."""
        self.draining = False
        self._tasks = tasks
        self._paths: dict[str, str] = {}
        self._places_told: set[str] = set()
        self.places = Places(context.settings.max_running, moved=self._moved)

    @property
    def busy(self) -> int:
        """How many turns are running."""
        return sum(runner.turn is not None for runner in self.runners.values())

    # Sessions that are run here --------------------------------------------------------------------------------------

    async def runner_of(self, chat: ChatInfo) -> tuple[Lease, Runner]:
        """The lease and the worker of a chat's session; raises `RunElsewhere` where another process runs it."""
        return await self.worker(chat.session_id)

    async def worker(self, session_id: str) -> tuple[Lease, Runner]:
        """The lease and the worker of a session; raises `RunElsewhere` where another process runs it."""
        path = await self.path_of(session_id)
        lease = await self.lease_on(path)
        runner = self.runners.get(session_id)
        if runner is None:
            runner = Runner(self.context, self.leases, session_id=session_id, path=path, places=self.places)
            self.runners[session_id] = runner
            runner.task = self._tasks.start(runner.run(), name=f"run session {session_id}")
        return lease, runner

    async def lease_on(self, path: str) -> Lease:
        """The lease of a working directory; raises `RunElsewhere` where another process runs it."""
        self._refuse_where_draining()
        lease = await self.leases.hold(path)
        self._refuse_where_draining()  # what was left there may have taken long to settle
        return lease

    def _refuse_where_draining(self) -> None:
        if self.draining:
            raise errors.Conflict(STOPPING)

    async def path_of(self, session_id: str) -> str:
        """The working directory of a session, which never changes."""
        if session_id not in self._paths:
            if len(self._paths) >= PATHS:
                self._paths.clear()
            self._paths[session_id] = (await self.context.store.catalog.get_session(session_id)).path
        return self._paths[session_id]

    async def release_idle(self) -> None:
        """Gives back the leases of directories where nothing runs, waits, is warm, starts or ends."""
        catalog, unused = self.context.store.catalog, self.context.settings.sweep
        for path in self.leases.unused_for(unused):
            runners = [runner for runner in self.runners.values() if runner.path == path]
            chats = [chat for runner in runners for chat in await catalog.chats(runner.session_id)]
            warm = {chat_id for chat_id, _ in self.context.pool}
            at_work = any(runner.turn or runner.ending or runner.tree.busy for runner in runners)
            needed = at_work or any(chat.queued or chat.id in warm for chat in chats)
            if needed or path not in self.leases.unused_for(unused):  # asked for in the meantime
                continue
            for runner in runners:
                del self.runners[runner.session_id]
                runner.task.cancel()
            await self.leases.release(path)

    # Chats as they are seen from here --------------------------------------------------------------------------------

    async def chat(self, chat_id: str) -> ChatInfo:
        return await self.as_seen(await self.context.store.catalog.get_chat(chat_id))

    async def as_seen(self, chat: ChatInfo) -> ChatInfo:
        """A chat as the store has it, with who runs it and what it asks now."""
        path = await self.path_of(chat.session_id)
        runner = await self.leases.runner(path)
        if chat.turn_id is not None and runner is None and self.leases.held(path) is None:
            chat = await self._settled(chat, path)
        worker = self.runners.get(chat.session_id)
        if chat.turn_id is not None and worker is not None and worker.why_unwritten:
            chat = _replace(chat, turn_id=None, run_status="error", error=worker.why_unwritten)
        place = None if chat.turn_id else self.places.of(chat.id)
        seen = _replace(chat, runner=runner, asking=self.context.pending.asking(chat.id), place=place)
        return _replace(seen, attention=doing(seen, behind=self.behind(chat.session_id, chat.id)))

    def behind(self, session_id: str, chat_id: str) -> bool:
        """Whether another chat of the session has the turn here, or waits for a place for it."""
        runner = self.runners.get(session_id)
        return runner is not None and runner.serves not in (None, chat_id)

    def _moved(self, chat_id: str) -> None:
        """The place of a chat among those that wait has changed; of many that do so at once, each is told once."""
        if not self._places_told:
            asyncio.get_running_loop().call_later(PLACES, self._tell_places)
        self._places_told.add(chat_id)

    def _tell_places(self) -> None:
        moved, self._places_told = self._places_told, set()
        if self.context.lookout is not None:
            self.context.lookout.moved(moved)
        for chat_id in moved & set(self.context.feeds):
            self.context.feed(chat_id).tell(state=True)

    async def settle_the_dead(self) -> None:
        """Gives an end to the turns of runners that died before this runtime was opened."""
        sessions = await self.context.store.catalog.sessions()
        begun = await deletion.begun(self.context)
        for path in {session.path for session in sessions}:
            if await self.context.store.turns.unfinished(path) or path in begun:
                with contextlib.suppress(errors.RunElsewhere):
                    await self.leases.hold(path)

    async def _settled(self, chat: ChatInfo, path: str) -> ChatInfo:
        """A chat whose runner has died in the middle of a turn, after that turn got its end."""
        with contextlib.suppress(errors.RunElsewhere):
            await self.leases.hold(path)
        return await self.context.store.catalog.get_chat(chat.id)

    # Leases ----------------------------------------------------------------------------------------------------------

    async def _taken(self, lease: Lease) -> None:
        await recovery.settle(self.context, lease)
        await deletion.recover(self.context, lease)

    async def _lost(self, lease: Lease) -> None:
        """Another process runs this working directory now: our turns there stop, and our agents go."""
        _log.warning("another process has taken over the sessions of %s", lease.path)
        for runner in [runner for runner in self.runners.values() if runner.path == lease.path]:
            if runner.turn is not None:
                await runner.turn.stop(message=errors.LeaseLost().message, code=errors.LeaseLost.code)
            chats = await self.context.store.catalog.chats(runner.session_id)
            await asyncio.gather(*(self.context.pool.retire_chat(chat.id) for chat in chats))

    # The end ---------------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float, *, grace: float) -> None:
        """No turn begins any more; those that do not end by themselves within a grace end as interrupted, in a time."""
        self.draining = True
        for runner in self.runners.values():
            runner.finish()
        await self.drained(grace)
        running = [runner.turn for runner in self.runners.values() if runner.turn is not None]
        for turn in running:
            await turn.stop(event="crash", message=recovery.REASON, code="interrupted")
        await self.drained(seconds)

    async def drained(self, seconds: float) -> None:
        """Waits until no turn runs, but not longer than that."""
        quiet = [asyncio.ensure_future(runner.quiet.wait()) for runner in self.runners.values()]
        if quiet:
            _, late = await asyncio.wait(quiet, timeout=seconds)
            for waiting in late:
                waiting.cancel()
