"""Runs the prompts of one session, one after another (law 2); those of different sessions run at the same time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable

from coder_nb.core import lifecycle
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo
from coder_nb.errors import CoderError, Conflict, LeaseLost, NotFound
from coder_nb.runtime import recovery
from coder_nb.runtime.begun import Begun
from coder_nb.runtime.context import Context
from coder_nb.runtime.leaseholder import Leaseholder
from coder_nb.runtime.tree import Tree
from coder_nb.runtime.turn import Turn
from coder_nb.runtime.writer import PASSING
from coder_nb.store.base import Lease
from coder_nb.warm.places import Places

_log = logging.getLogger("coder_nb.runner")
AGAIN = 5.0
"""Seconds after which a turn is tried again that the store did not let begin."""
BEGUN = 100
"""How many turns that agents have begun by themselves may wait; the latest are kept."""


class Runner:
    """The worker of one session; its task runs `run` for as long as the runtime lives."""

    def __init__(self, context: Context, leases: Leaseholder, *, session_id: str, path: str, places: Places) -> None:
        self._context, self._leases, self._places = context, leases, places
        self.session_id, self.path = session_id, path
        self.task: asyncio.Task[None]
        """What runs `run`; whoever started it sets it, and ends it."""
        self.tree = Tree(context, session_id, path)
        self.turn: Turn | None = None
        self.serves: str | None = None
        """The chat that has the turn, or waits for a place for it."""
        self._behind: set[str] = set()
        self.quiet = asyncio.Event()
        """Set while no turn runs."""
        self.quiet.set()
        self.deciding = asyncio.Lock()
        """Held where it is decided if a turn begins: who holds a queue under it finds that turn, or none begins."""
        self._wake = asyncio.Event()
        self._begun: deque[Begun] = deque(maxlen=BEGUN)
        self._finishing = False
        self.unwritten = ""
        """Why the end of the last turn could not be written down, as a sentence; empty where it was."""
        self.ending = False
        """Whether the session is being closed or deleted: no turn begins meanwhile."""

    @property
    def why_unwritten(self) -> str:
        """Why the end of the turn is not written down, which may be so while it waits for that; empty otherwise."""
        return self.unwritten if self.turn is None else self.turn.unwritten

    def finish(self) -> None:
        """No further turn begins: what waits in the inboxes is left for the next runtime."""
        self._finishing = True

    def turn_of(self, chat_id: str) -> Turn | None:
        """The turn that runs, where it is one of this chat."""
        return self.turn if self.turn is not None and self.turn.chat_id == chat_id else None

    def wake(self) -> None:
        """There may be a prompt to run."""
        self._wake.set()

    def _wake_after(self, error: CoderError) -> None:
        """What waits is tried again by itself where the store may take it later, and else with the next prompt."""
        if isinstance(error, PASSING):
            asyncio.get_running_loop().call_later(AGAIN, self.wake)

    async def run(self) -> None:
        """Runs what the inboxes of the session's chats hold, waits for more, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (due := await self._next()) is not None:
                async with self._places.place(due[0].id):
                    if not await self._take(*due):
                        break
            self._serve(None, ())

    def _began(self, begun: Begun) -> None:
        """An agent has begun a turn by itself: it takes its place before what waits."""
        self._begun.append(begun)
        self.wake()

    async def _next(self) -> tuple[ChatInfo, Prompt | Begun] | None:
        """What an agent has begun by itself, else the prompt that has waited longest in a chat that is not held."""
        try:
            chats = await self._context.store.catalog.chats(self.session_id)
            due = await self._next_begun() or _longest(chats)
        except CoderError as error:
            _log.error("the inbox of session %s cannot be read: %s", self.session_id, error.message)
            self._wake_after(error)
            return None
        self._serve(due[0].id if due else None, chats)
        return due

    async def _next_begun(self) -> tuple[ChatInfo, Begun] | None:
        while self._begun:
            begun = self._begun.popleft()
            with contextlib.suppress(NotFound):
                return await self._context.store.catalog.get_chat(begun.chat_id), begun
        return None

    def _serve(self, chat_id: str | None, chats: Iterable[ChatInfo]) -> None:
        """The turn is this chat's now; those that wait behind it, or no longer do, are told."""
        listening = self._context.feeds  # a prompt of theirs may have come since they were read
        behind = {chat.id for chat in chats if chat.queued or chat.id in listening} - {chat_id} if chat_id else set()
        before, self._behind, self.serves = self._behind, behind, chat_id
        for other in before ^ behind:
            self._context.feed(other).tell(state=True)

    async def _take(self, chat: ChatInfo, due: Prompt | Begun) -> bool:
        """Runs one turn; False where the store did not let it, and the queue has to wait."""
        lease = self._leases.held(self.path)
        if lease is None or self._finishing or self.ending:
            return False
        try:
            async with self.deciding:
                self.turn = await self._decide(lease, chat.id, due)
                self.unwritten = ""
            if self.turn is not None:
                self.quiet.clear()
                await self.turn.run()
            return True  # what was withdrawn or held while it waited for its place is not run
        except LeaseLost:
            await self._leases.drop(lease)
        except (Conflict, NotFound):
            return True  # withdrawn at the last moment, or deleted with its chat
        except CoderError as error:
            _log.error("a turn of chat %s could not be written down: %s", chat.id, error.message)
            self.unwritten = error.message
            self._wake_after(error)
        except Exception:  # else no prompt of this session would ever run again
            _log.exception("a turn of chat %s broke", chat.id)
            with contextlib.suppress(CoderError):
                await recovery.settle(self._context, lease, chat_id=chat.id)
        finally:
            self.turn = None
            self.quiet.set()
        self._context.feed(chat.id).tell(state=True)
        return False

    async def _decide(self, lease: Lease, chat_id: str, due: Prompt | Begun) -> Turn | None:
        """The turn that begins now; None where there is none to begin any more."""
        chat = await self._context.store.catalog.get_chat(chat_id)
        if chat.turn_id is not None:  # an earlier turn's end could not be written, and now perhaps it can
            await recovery.settle(self._context, lease, chat_id=chat_id)
            return None
        if not (isinstance(due, Begun) or (_takes(chat) and chat.queued[0].id == due.id)):
            return None
        turn = await self._turn(lease, chat_id, due)
        return None if self._finishing or self.ending else turn

    async def _turn(self, lease: Lease, chat_id: str, due: Prompt | Begun) -> Turn:
        begun, prompt, agent = None, due, due.agent or await self._context.agents.default()
        if isinstance(prompt, Begun):
            session = self._context.pool.get((chat_id, agent))
            mode = self._context.facts(session).mode if session else None
            begun, prompt = prompt, Prompt(id=self._context.new_id(), text="", agent=agent, mode=mode)
        return Turn(
            self._context,
            lease,
            self.tree,
            chat_id=chat_id,
            prompt=prompt,
            agent=agent,
            began=self._began,
            begun=begun,
        )


def _longest(chats: Iterable[ChatInfo]) -> tuple[ChatInfo, Prompt] | None:
    """The prompt that has waited longest in a chat that is not held."""
    due = [(chat, chat.queued[0]) for chat in chats if _takes(chat)]
    return min(due, key=lambda pair: (pair[1].created_at, pair[1].id), default=None)


def _takes(chat: ChatInfo) -> bool:
    """Whether the next prompt of a chat may be run."""
    state = lifecycle.inbox(held=chat.held, waiting=bool(chat.queued))
    return lifecycle.allows(lifecycle.INBOX, state, "take")
