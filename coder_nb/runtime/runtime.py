"""The runtime: hosts sessions, their agents and their store. What can be asked of it is in `verbs/`, by noun.

A prompt comes in by `verbs/prompting.py`; `turn.py` takes it on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from coder_nb import __version__, ids
from coder_nb.core import offering
from coder_nb.runtime.agents import Agents
from coder_nb.runtime.attention import Lookout, Told
from coder_nb.runtime.context import Context
from coder_nb.runtime.hosting import Host
from coder_nb.runtime.supervision import Supervisor
from coder_nb.runtime.tasks import Tasks
from coder_nb.runtime.upkeep import duties, follow_others
from coder_nb.runtime.verbs.answering import Answering
from coder_nb.runtime.verbs.attention import Attending
from coder_nb.runtime.verbs.copies import Copies
from coder_nb.runtime.verbs.ends import Ends
from coder_nb.runtime.verbs.insight import Insight
from coder_nb.runtime.verbs.pooling import Pooling
from coder_nb.runtime.verbs.prompting import Prompting
from coder_nb.runtime.verbs.reading import Reading
from coder_nb.runtime.verbs.reviewing import Reviewing
from coder_nb.runtime.verbs.ruling import Ruling
from coder_nb.runtime.verbs.sessions import Sessions
from coder_nb.settings import Settings
from coder_nb.store.base import Store
from coder_nb.store.open import open_store
from coder_nb.warm import register
from coder_nb.warm.pool import Pool
from coder_nb.warm.process import Keeper
from coder_nb.worktrees.worktrees import Worktrees

DRAIN = 1.5
"""Seconds that turns get to end when they are interrupted because the runtime is closed."""
DISPOSE = 1.0
"""Seconds that each further step of closing may take; agents that are deaf even to that are killed."""


class Runtime(Sessions, Prompting, Answering, Ruling, Reading, Reviewing, Copies, Ends, Insight, Attending, Pooling):
    """Implements `core.verbs.Verbs`; what each call promises is said there. Lives on one event loop."""

    def __init__(self, settings: Settings, store: Store, *, runtime_id: str, label: str) -> None:
        """Use `Runtime.open`."""
        self.settings = settings
        self.runtime_id = runtime_id
        self._keeper = Keeper(runtime_id, settings.registers_path())
        self._agents = Agents(settings, self._keeper, store.history)
        self._pool = Pool(clock=time.monotonic)
        self._tasks = Tasks()
        worktrees = Worktrees(settings.worktrees_path(), settings)
        context = Context(settings, store=store, pool=self._pool, agents=self._agents, worktrees=worktrees)
        super().__init__(Host(context, self._tasks, runtime_id=runtime_id, label=label))
        self._supervisor = Supervisor(context, duties(self._host, delete_chat=self.delete_chat))
        self._supervising: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings, *, label: str, told: Told | None = None) -> Runtime:
        """A running runtime over the store of the settings. Raises `StoreError`s with their cures.

        `told` is called on its loop with what a chat of its own is doing, whenever that has changed.
        """
        offering.forbidding(settings.forbidden_commands)  # refused before anything is opened
        left_behind = await asyncio.to_thread(register.reap, settings.registers_path())
        store = await open_store(settings)
        try:
            runtime = cls(settings, store, runtime_id=ids.new_id(), label=label)
        except BaseException:  # as where the agents of the settings are not understood
            await store.close()
            raise
        tasks = runtime._tasks
        if told is not None:
            lookout = runtime._context.lookout = Lookout(runtime.watched, told)
            tasks.start(lookout.run(), name="look out for what chats are doing")
        tasks.start(runtime._host.leases.keep(), name="renew leases")
        tasks.start(follow_others(runtime._host), name="follow other processes")
        runtime._supervising = tasks.start(runtime._supervisor.run(), name="supervise")
        for ended in left_behind:
            runtime._context.journal.note("left_behind", runtime=ended.runtime_id, processes=ended.processes)
        runtime._context.journal.note("runtime_opened", runtime=runtime.runtime_id, version=__version__)
        return runtime

    async def close(self) -> None:
        """Drains, then disposes. No prompt is taken any more, turns that run get a grace to end by themselves and are
        interrupted then; after the last of them the agents end, then the leases, then the store. Idempotent."""
        if self._host.draining:
            return
        await self._host.drain(DRAIN, grace=self.settings.drain_grace)
        if self._supervising is not None:  # nothing is started again from here on
            self._supervising.cancel()
            await asyncio.wait({self._supervising}, timeout=DISPOSE)
        for close in (self._pool.close, self._agents.close):
            with contextlib.suppress(TimeoutError):  # not `asyncio.timeout`: see `worktrees.git`
                await asyncio.wait_for(close(), DISPOSE)
        await self._keeper.close(min(DISPOSE, self.settings.stop_grace))
        await self._host.drained(DISPOSE)  # what was deaf has lost its agent now, and settles
        await self._tasks.close()
        await self._host.leases.release_all()
        await self._store.close()
        self._context.journal.note("runtime_closed", runtime=self.runtime_id)

    @property
    def epoch(self) -> str:
        """Names this life of the runtime: live text of another epoch means nothing."""
        return self._context.epoch

    @property
    def busy(self) -> int:
        """How many turns are running."""
        return self._host.busy
