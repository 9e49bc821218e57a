"""Writers that are killed: `python nursery.py <database>` has everything loaded, and forks one for each line it reads.

A line says whom to fork and when to kill it: so many milliseconds after it began to work, or if they are negative,
after it was born. What is answered, when it is gone, is how it ended. What a writer was promised it notes in a file.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import sys
import time
from types import SimpleNamespace

import msgspec

from coder_nb.backends.events import TextDelta, ToolUpdate, UsageReported
from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.changes import Change
from coder_nb.core.entries import Tokens, TurnEnded, TurnStarted, UserMessage
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import TurnInfo
from coder_nb.ids import new_id
from coder_nb.runtime import recovery
from coder_nb.runtime.feed import Feed
from coder_nb.runtime.recorder import Recorder
from coder_nb.runtime.writer import Writer
from coder_nb.settings import Settings
from coder_nb.store.base import Lease, RunState
from coder_nb.store.open import SqlStore, open_store
from coder_nb.store.owner import this_process

AGENT, TOKENS = "victim", 7


def now() -> int:
    return time.time_ns() // 1_000_000


async def settle(store: SqlStore, lease: Lease) -> None:
    """What every runtime does when it takes over."""
    await recovery.settle(SimpleNamespace(store=store, now=now, new_id=new_id, feed=lambda _: Feed()), lease)


class Victim:
    """A runner of one directory, turn after turn, until it is killed."""

    def __init__(self, store: SqlStore, lease: Lease, chat_id: str, session_id: str, *, seed: int, notes: int) -> None:
        self.store, self.lease, self.chat_id, self.session_id = store, lease, chat_id, session_id
        self.chance = random.Random(seed)
        self.notes = notes

    def note(self, what: str, key: str) -> None:
        """Something that has been promised: written down by one call of the system, which no killing divides."""
        os.write(self.notes, f"{what} {key}\n".encode())

    async def run(self, rounds: int) -> None:
        for _ in range(rounds):
            for _ in range(self.chance.randrange(1, 3)):
                prompt = Prompt(id=new_id(), text="do it", agent=AGENT, created_at=now())
                await self.store.inbox.accept(self.lease, self.chat_id, prompt, limit=1000)
                self.note("accepted", prompt.id)
            chat = await self.store.catalog.get_chat(self.chat_id)
            for prompt in chat.queued[:2]:
                await self.turn(prompt)

    async def turn(self, prompt: Prompt) -> None:
        turn = TurnInfo(
            id=new_id(),
            chat_id=self.chat_id,
            prompt_id=prompt.id,
            agent=AGENT,
            state="running",
            started_at=now(),
        )
        recorder = Recorder(chat_id=self.chat_id, turn_id=turn.id, agent=AGENT, epoch="e", now=now, new_id=new_id)
        writer = Writer(self.store.log, self.lease, recorder, Feed(), interval=0.0)
        recorder.add(TurnStarted(agent=AGENT, prompt_id=prompt.id))
        recorder.add(UserMessage(text=prompt.text, prompt_id=prompt.id))
        began = RunState(run_status="running", turn_id=turn.id, inbox_cursor=prompt.id, title="t", held=False)
        await writer.commit(turn=turn, state=began)
        self.note("started", turn.id)
        await self.work(recorder, writer, turn)
        recorder.close_all(tool_status="completed")
        recorder.add(TurnEnded(end="completed"))
        ended = RunState(run_status="idle", clear_turn=True, clear_error=True)
        done = msgspec.structs.replace(turn, state="completed", end="completed", ended_at=now())
        await writer.commit(turn=done, state=ended)
        self.note("ended", turn.id)

    async def work(self, recorder: Recorder, writer: Writer, turn: TurnInfo) -> None:
        for step in range(self.chance.randrange(2, 8)):
            match self.chance.randrange(4):
                case 0 | 1:
                    recorder.on(TextDelta(text=f"word {step} "))
                case 2:
                    recorder.on(ToolUpdate(call_id=f"{turn.id}-{step}", original_name="bash", status="running"))
                case _:
                    change = Change(
                        id=new_id(),
                        session_id=self.session_id,
                        chat_id=self.chat_id,
                        turn_id=turn.id,
                        path=f"{step}.py",
                        operation="edit",
                        agent=AGENT,
                    )
                    await self.store.changes.record(self.lease, [change])
                    self.note("changed", change.id)
            await writer.commit()
        recorder.on(UsageReported(tokens=Tokens(input=TOKENS), model="m"))
        info = AgentSessionInfo(chat_id=self.chat_id, agent=AGENT, backend="acp", status="warm", native_id=turn.id)
        await self.store.agents.put(self.lease, info)


async def live(database: str, path: str, notes: str, *, seed: int, rounds: int, begins: int | None = None) -> None:
    """A process that takes over what the one before it left, and works."""
    store = await open_store(Settings(database=database))
    lease = await store.leases.acquire(path, this_process(new_id(), "the victim"), ttl=60)
    if begins is not None:
        os.write(begins, b"!")
    await settle(store, lease)
    session = await store.catalog.open_session("ann", path, name="main", new=False, session_id=new_id(), now=now())
    chat = await store.catalog.open_chat(session.id, name="main", new=False, chat_id=new_id(), now=now())
    await store.trees.record(lease, session.id, path=f"/trees{path}", branch="", base_commit=str(seed))
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    await Victim(store, lease, chat.id, session.id, seed=seed, notes=file).run(rounds)
    await store.close()


def main(database: str) -> None:
    # Whoever is forked from here has every statement compiled, and so gets to work at once.
    asyncio.run(live(database, "/warm", os.devnull, seed=0, rounds=3))
    for line in sys.stdin:
        path, notes, seed, milliseconds = line.split()
        at_work, begins = os.pipe()
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            asyncio.run(live(database, path, notes, seed=int(seed), rounds=1_000_000, begins=begins))
            os._exit(1)
        os.close(begins)
        until_gone = os.pidfd_open(child)
        if int(milliseconds) >= 0:
            os.read(at_work, 1)
        os.close(at_work)
        select.select([until_gone], [], [], abs(int(milliseconds)) / 1000)
        signal.pidfd_send_signal(until_gone, signal.SIGKILL)
        os.close(until_gone)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
