"""Killed at whichever step of making, removing, applying or restoring, the next start finds everything or mends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.place import make_repository

from coder_nb.core.entries import Checkpoint
from coder_nb.errors import NotFound
from coder_nb.ids import new_id
from coder_nb.runtime.runtime import Runtime
from coder_nb.settings import Settings

LONG = "CODER_NB_TEST_LONG" in os.environ
STEPS = {"create": 50, "delete": 25, "close": 26, "force": 26, "apply": 48, "restore": 62}
"""About as many steps as each phase has: processes started, files renamed or removed, commits to the database."""
FEW = 2
TURN = "7" + "z" * 25

SCENARIO = """
import asyncio, os, signal, sys
from pathlib import Path
from coder_nb.core.entries import Entry
from coder_nb.ids import new_id
from coder_nb.runtime.runtime import Runtime
from coder_nb.settings import Settings
from coder_nb.store.base import Batch
import aiosqlite

root, phase, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
TURN = "7" + "z" * 25
armed = False
count = 0
EVENTS = {"subprocess.Popen", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink"}

def step(event, arguments=()):
    global count
    if armed and event in EVENTS | {"commit"}:
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(step)
commit = aiosqlite.Connection.commit

async def counted(self):
    step("commit")
    await commit(self)
    step("commit")

aiosqlite.Connection.commit = counted

async def main():
    global armed
    runtime = await Runtime.open(Settings(database=str(root / "store.sqlite"), orphan_grace=1e9), label="killed")
    session = await runtime.open_session(str(root / "repository"))
    chat = await runtime.open_chat(session.id)
    lease, runner = await runtime._host.worker(session.id)
    armed = phase == "create"
    cwd, checkpoint = await runner.tree.prepare(lease, TURN)
    (cwd / "hello.txt").write_text("agent\\n")
    (cwd / "new.txt").write_text("agent\\n")
    await runner.tree.changes(lease, chat.id, TURN, "somebody")
    entry = Entry(id=new_id(), chat_id=chat.id, turn_id=TURN, agent="somebody", body=checkpoint)
    await runtime._store.log.commit(lease, chat.id, Batch(entries=(entry,)))
    ids = [change.id for change in await runtime.changes(chat.id)]
    if phase in ("close", "delete"):
        await runtime.reject(chat.id, ids)
    armed = True
    if phase == "apply":
        await runtime.apply(chat.id, ids)
    if phase == "restore":
        await runtime.restore(chat.id, TURN)
    if phase == "close":
        await runtime.close_session(session.id)
    if phase in ("delete", "force"):
        await runtime.delete_session(session.id, force=phase == "force")
    armed = False
    print(count)
    await runtime.close()

asyncio.run(main())
"""


def killed(root: Path, phase: str, at: int) -> None:
    command = [sys.executable, "-c", SCENARIO, str(root), phase, str(at)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root / "repository", check=True, capture_output=True, text=True).stdout


class After:
    """The next start over what a killed process has left."""

    def __init__(self, root: Path, runtime: Runtime) -> None:
        self.root, self.runtime = root, runtime
        self.checkout = root / "repository"
        self.trees = root / "worktrees"

    async def session(self) -> str:
        """The session, or a new one where it was deleted; either can take a turn."""
        return (await self.runtime.open_session(str(self.checkout))).id

    async def takes_a_turn(self, session_id: str) -> Path:
        lease, runner = await self.runtime._host.worker(session_id)
        chat = await self.runtime.open_chat(session_id)
        cwd, _ = await runner.tree.prepare(lease, new_id())
        await runner.tree.changes(lease, chat.id, new_id(), "next")
        assert (await self.runtime.get_session(session_id)).worktree == str(cwd)
        return cwd

    async def holds(self) -> None:
        """Lets the runtime recover what there is to recover on the directory."""
        await self.runtime._host.leases.hold(str(self.checkout))

    def left(self) -> list[str]:
        return sorted(place.name for place in self.trees.iterdir()) if self.trees.is_dir() else []


async def made(after: After) -> None:
    session_id = await after.session()
    cwd = await after.takes_a_turn(session_id)
    assert (cwd / "hello.txt").read_text() in ("hello\n", "agent\n")
    assert after.left() == [session_id]
    assert git(after.root, "worktree", "list").count("\n") == 2


async def removed(after: After) -> None:
    await after.holds()
    known = [session.id for session in await after.runtime.sessions()]
    for name in after.left():
        assert name in known, "a folder without a session"
    if not known:
        assert git(after.root, "worktree", "list").count("\n") == 1
        assert git(after.root, "for-each-ref", "refs/coder-nb") == ""
    session_id = await after.session()
    cwd = await after.takes_a_turn(session_id)
    assert (cwd / "hello.txt").read_text() in ("hello\n", "agent\n")
    await after.runtime.delete_session(session_id, force=True)
    assert after.left() == []
    assert git(after.root, "worktree", "list").count("\n") == 1
    with pytest.raises(NotFound):
        await after.runtime.get_session(session_id)


async def applied(after: After) -> None:
    session_id = await after.session()
    (chat_id,) = (await after.runtime.get_session(session_id)).chats
    assert (after.checkout / "hello.txt").read_text() in ("hello\n", "agent\n")
    changes = await after.runtime.changes(chat_id)
    assert sorted(change.path for change in changes) == ["hello.txt", "new.txt"]
    await after.takes_a_turn(session_id)
    changes = await after.runtime.changes(chat_id)
    assert sorted(change.path for change in changes) == ["hello.txt", "new.txt"], "what was applied shows again"
    done = await after.runtime.apply(chat_id, [change.id for change in changes])
    assert {change.status for change in done} == {"applied"}
    assert (after.checkout / "hello.txt").read_text() == (after.checkout / "new.txt").read_text() == "agent\n"
    cwd = await after.takes_a_turn(session_id)
    assert {c.status for c in await after.runtime.changes(chat_id)} == {"applied"}
    assert (cwd / "new.txt").read_text() == "agent\n"


async def restored(after: After) -> None:
    session_id = await after.session()
    (chat_id,) = (await after.runtime.get_session(session_id)).chats
    lease, runner = await after.runtime._host.worker(session_id)
    async with runner.tree.standing(lease) as state:
        counts = [c for c in await after.runtime.checkpoints(chat_id) if c.kind == "restore"]
        text = (state.root / "hello.txt").read_text()
        assert (text, (state.root / "new.txt").exists()) == (("hello\n", False) if counts else ("agent\n", True))
        assert await after.runtime._context.worktrees.unsettled(state) == ()
    undo = await after.runtime.restore(chat_id, TURN)
    assert (state.root / "hello.txt").read_text() == "hello\n"
    await after.runtime.restore(chat_id, undo)
    assert ((state.root / "hello.txt").read_text() == "hello\n") is bool(counts)
    log = await after.runtime.read(chat_id, limit=1000)
    assert all(isinstance(entry.body, Checkpoint) for entry in log.entries)


MENDED: dict[str, Callable[[After], Awaitable[None]]] = {
    "create": made, "delete": removed, "close": removed, "force": removed, "apply": applied, "restore": restored,
}  # fmt: skip


def points() -> list[tuple[str, int]]:
    """All steps in the long tier, a few of each phase else."""
    return [(phase, at) for phase, most in STEPS.items() for at in range(1, most, 1 if LONG else most // FEW)]


@pytest.mark.parametrize(("phase", "at"), points())
def test_a_kill_at_any_step_is_mended_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, at: int
) -> None:
    make_repository(tmp_path / "repository")
    killed(tmp_path, phase, at)
    assert git(tmp_path, "log", "--oneline", "--all", "--", "hello.txt")
    asyncio.run(next_start(tmp_path, MENDED[phase]))


async def next_start(root: Path, look: Callable[[After], Awaitable[None]]) -> None:
    runtime = await Runtime.open(Settings(database=str(root / "store.sqlite"), orphan_grace=1e9), label="next")
    try:
        await look(After(root, runtime))
    finally:
        await runtime.close()
