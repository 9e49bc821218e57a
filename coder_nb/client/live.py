"""A chat's frames: each look brings what is new, and makes only that anew."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from coder_nb.core.entries import Checkpoint, Compaction, Entry, Permission, Reasoning, Text, ToolCall, UserMessage
from coder_nb.core.sessions import SessionInfo
from coder_nb.core.transcript import Transcript

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.columns import Column
    from coder_nb.analysis.frames import Backend
    from coder_nb.analysis.growing import Growing
    from coder_nb.analysis.summing import Told
    from coder_nb.analysis.told import Teller
    from coder_nb.client.link import Link
    from coder_nb.core.verbs import Verbs

PAGE = 1000
"""How many entries are asked for at a time."""
SAID = (UserMessage, Text, Reasoning, Compaction)
Natives = dict[tuple[str, str], str | None]


class Growth(NamedTuple):
    """One of the frames: its rows so far, each of which knows its entry's position."""

    frame: Growing
    rows: list[Any]
    position: Callable[[Any], int]


class Live:
    """A chat's entries as they come, and what has been made of them."""

    def __init__(self) -> None:
        self.fold = Transcript()
        self._grown: dict[str, Growth] = {}
        self._dirty: dict[str, int] = {}
        self._about: object = None

    async def read(self, verbs: Verbs, chat_id: str) -> None:
        """Takes in what is new."""
        while True:
            page = await verbs.read(chat_id, after=self.fold.rev, limit=PAGE)
            for entry_id in self.fold.apply(page):
                self._touch(self.fold.get(entry_id))
            if not page.more:
                return

    def frame(self, name: str, table: Sequence[Column], make: Callable[[Entry], Any], kinds: tuple[type, ...]) -> Any:
        """The rows of one kind as they are now; what stands before the first change is as it was."""
        growth, known = self._growth(name, table), self._dirty.get(name, 0)
        same = bisect_left(growth.rows, known, key=growth.position)
        late = self.fold.since(known)
        growth.rows[same:] = [make(entry) for entry in late if not kinds or isinstance(entry.body, kinds)]
        self._dirty[name] = _END
        return growth.frame.frame(growth.rows, same)

    def about(self, what: object) -> None:
        """What all rows say of their session; where it has changed they are made anew."""
        if what != self._about:
            self._about = what
            self._dirty = {name: at if name == "entries" else 0 for name, at in self._dirty.items()}

    def _growth(self, name: str, table: Sequence[Column]) -> Growth:
        if name not in self._grown:
            from coder_nb.analysis.growing import Growing

            self._grown[name] = Growth(Growing(table), [], attrgetter("pos" if name == "entries" else "line"))
        return self._grown[name]

    def _touch(self, entry: Entry | None) -> None:
        if entry is None:
            return
        first = entry.pos
        if isinstance(entry.body, Checkpoint) and entry.body.hides_from is not None:
            first = min(first, entry.body.hides_from)
        for name, known in self._dirty.items():
            self._dirty[name] = min(known, first)


_END = 2**62
"""Beyond every position."""


class ChatFrames:
    """The frames of one chat; those of its entries follow it while it runs."""

    _link: Link
    _live: Live

    @property
    def id(self) -> str:
        raise NotImplementedError

    def entries(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """One row an entry of the transcript; asking again while the chat runs costs what has come since."""
        from coder_nb.analysis.columns import ENTRIES
        from coder_nb.analysis.frames import with_backend

        self._link.run(self._live.read, self._link.verbs, self.id)
        return with_backend(self._live.frame("entries", ENTRIES, lambda entry: entry, ()), dtype_backend)

    def messages(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """One row a message: what was asked, said and thought; live as `entries`."""
        from coder_nb.analysis.frames import with_backend
        from coder_nb.analysis.tables import MESSAGES

        teller = self._link.run(self._told)
        return with_backend(self._live.frame("messages", MESSAGES, teller.message, SAID), dtype_backend)

    def tool_calls(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """One row a call of a tool; live as `entries`."""
        from coder_nb.analysis.frames import with_backend
        from coder_nb.analysis.tables import TOOL_CALLS

        teller = self._link.run(self._told)
        return with_backend(self._live.frame("tool_calls", TOOL_CALLS, teller.call, (ToolCall,)), dtype_backend)

    def permissions(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """One row a permission: what was asked for, who answered and how long it waited; live as `entries`."""
        from coder_nb.analysis.frames import with_backend
        from coder_nb.analysis.tables import PERMISSIONS

        teller = self._link.run(self._told)
        return with_backend(self._live.frame("permissions", PERMISSIONS, teller.asked, (Permission,)), dtype_backend)

    def file_changes(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """One row a changed file of a turn."""
        from coder_nb.analysis.frames import frame
        from coder_nb.analysis.tables import FILE_CHANGES

        told, _ = self._link.run(told_of, self._link.verbs, self.id)
        return frame(told.changes, FILE_CHANGES, dtype_backend=dtype_backend)

    def usage(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """Tokens and cost, one row a report of an agent."""
        from coder_nb.analysis.frames import frame
        from coder_nb.analysis.tables import USAGE

        teller = self._link.run(teller_of, self._link.verbs, self.id)
        rows = self._link.run(self._link.verbs.usage, self.id)
        return frame(map(teller.usage, rows), USAGE, dtype_backend=dtype_backend)

    def turns(self, *, dtype_backend: Backend = None) -> pd.DataFrame:
        """One row a turn, with what happened in it."""
        from coder_nb.analysis.frames import frame
        from coder_nb.analysis.summing import TURNS, turn_sums

        told, turns = self._link.run(told_of, self._link.verbs, self.id, self._live)
        return frame(turn_sums(turns, told), TURNS, dtype_backend=dtype_backend)

    async def _told(self) -> Teller:
        await self._live.read(self._link.verbs, self.id)
        teller = await teller_of(self._link.verbs, self.id)
        self._live.about(teller.about)
        return teller


async def teller_of(verbs: Verbs, chat_id: str) -> Teller:
    """What makes rows of a chat's session."""
    chat = await verbs.get_chat(chat_id)
    return await session_teller(verbs, await verbs.get_session(chat.session_id))


async def session_teller(verbs: Verbs, session: SessionInfo, *, natives: bool = True) -> Teller:
    """What makes rows of a session; with `natives`, also of what did not write down whose conversation it was."""
    from coder_nb.analysis.told import Teller

    contexts = await verbs.agent_sessions(session.id) if natives else ()
    return Teller(session, {(one.chat_id, one.agent): one.native_id for one in contexts})


async def told_of(verbs: Verbs, chat_id: str, live: Live | None = None) -> tuple[Told, list[Any]]:
    """All rows of a chat, and its turns."""
    teller, live = await teller_of(verbs, chat_id), live or Live()
    await live.read(verbs, chat_id)
    return await rows_of(verbs, chat_id, teller, list(live.fold))


async def rows_of(verbs: Verbs, chat_id: str, teller: Teller, entries: Sequence[Entry]) -> tuple[Told, list[Any]]:
    """The rows of a chat whose entries are known, and its turns."""
    from coder_nb.analysis.summing import Told

    told = Told(
        usage=[teller.usage(row) for row in await verbs.usage(chat_id)],
        calls=[teller.call(entry) for entry in entries if isinstance(entry.body, ToolCall)],
        messages=[teller.message(entry) for entry in entries if isinstance(entry.body, SAID)],
        asked=[teller.asked(entry) for entry in entries if isinstance(entry.body, Permission)],
        changes=[teller.change(change) for change in await verbs.changes(chat_id)],
    )
    return told, teller.turns(await verbs.turns(chat_id), entries)
