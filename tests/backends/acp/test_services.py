"""Files and commands through us: where they may be, what they are allowed, and how they are shown."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp.connection import RpcError
from coder_nb.backends.acp.files import Tree
from coder_nb.backends.acp.terminals import Terminals
from coder_nb.backends.base import Asked
from coder_nb.backends.events import AnyEvent, Done, PermissionAsked, PermissionGone, TextDelta, ToolUpdate
from coder_nb.core.permissions import PermissionMode
from coder_nb.testing.backend_conformance import text_of
from coder_nb.warm import keeper

pytestmark = pytest.mark.anyio


async def take(
    session: Any, text: str, *, allow: bool | None = None, mode: PermissionMode = "ask", kind: str = ""
) -> list[AnyEvent]:
    """A turn; what is asked is answered as said, or by nobody where nothing is said."""
    events: list[AnyEvent] = []
    async with asyncio.timeout(30):
        async for event in session.prompt(Asked(text=text, user_text=text, mode=mode)):
            events.append(event)
            if isinstance(event, PermissionAsked) and allow is not None:
                wanted = kind or ("allow_once" if allow else "reject_once")
                await session.answer(event.request_id, next(o.id for o in event.options if o.kind == wanted))
    return events


def asked(events: list[AnyEvent]) -> list[PermissionAsked]:
    return [event for event in events if isinstance(event, PermissionAsked)]


def call(method: str, **params: Any) -> str:
    return f"call {method} {json.dumps(params)}"


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / ".git").write_text("gitdir: elsewhere\n")
    (root / "plain.txt").write_bytes(b"one\r\ntwo\x0cstill two\nthree")
    (root / ".env").write_text("KEY=1\n")
    (root / "honest.txt").symlink_to(".env")
    (root / "out.txt").symlink_to(tmp_path / "outside.txt")
    (root / "folder").symlink_to(tmp_path)
    (tmp_path / "outside.txt").write_text("not yours\n")
    (root / "image.bin").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(root / "pipe")
    return Tree(root / "sub")


def test_lines_are_read_from_the_first_and_only_a_newline_ends_one(tree: Tree) -> None:
    path = str(tree.root / "plain.txt")
    assert tree.read(path) == "one\r\ntwo\x0cstill two\nthree"
    assert tree.read(path, 2, 1) == "two\x0cstill two\n"
    assert tree.read(path, 2) == "two\x0cstill two\nthree"
    assert tree.read(path, None, 1) == "one\r\n"
    assert tree.read(path, 9, 3) == ""
    assert tree.read(path, "x", None) == tree.read(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside.txt", "outside of the working directory"),
        ("/etc/hostname", "outside of the working directory"),
        ("out.txt", "outside of the working directory"),
        ("folder/outside.txt", "outside of the working directory"),
        (".env", "keys or passwords"),
        ("honest.txt", "keys or passwords"),
        (".git", "belongs to git"),
        (".git/hooks/pre-commit", "belongs to git"),
        ("image.bin", "no text"),
        ("pipe", "is no file"),
        ("sub", "is no file|directory"),
        ("missing.txt", "Resource not found"),
    ],
)
def test_what_is_not_the_agents_to_read_is_refused_wherever_it_is_named(tree: Tree, name: str, said: str) -> None:
    with pytest.raises(RpcError, match=said):
        tree.read(str(tree.root / name))


@pytest.mark.parametrize("path", ["plain.txt", "", None, 7, "/a\0b"])
def test_only_absolute_paths_are_paths(tree: Tree, path: Any) -> None:
    with pytest.raises(RpcError, match="not an absolute path"):
        tree.read(path)


@pytest.mark.parametrize(
    "name", ["../new.txt", "out.txt", "folder/new.txt", ".env", "secret/.env", ".git/config", "pipe"]
)
def test_what_is_not_the_agents_to_write_stays_as_it_was(tree: Tree, tmp_path: Path, name: str) -> None:
    with pytest.raises(RpcError):
        tree.write(str(tree.root / name), "mine\n")
    assert (tmp_path / "outside.txt").read_text() == "not yours\n"
    assert not (tmp_path / "new.txt").exists()


def test_a_file_is_written_as_it_is_given_with_its_folders(tree: Tree) -> None:
    path = tree.root / "a" / "b" / "new.txt"
    assert tree.before(str(path)) is None
    tree.write(str(path), "one\r\ntwo")
    assert path.read_bytes() == b"one\r\ntwo"
    assert tree.before(str(path)) == "one\r\ntwo"


async def test_an_agent_reads_through_us_and_hears_why_it_may_not(world: Any) -> None:
    (world.cwd / "a.txt").write_text("one\ntwo\n")
    session = await world.open()
    inside, outside = str(world.cwd / "a.txt"), str(world.home)
    events = await take(
        session, f"{call('fs/read_text_file', path=inside, line=2)}\n{call('fs/read_text_file', path=outside)}"
    )
    assert asked(events) == []
    assert text_of(events).startswith('{"content": "two\\n"}error -32602')


@pytest.mark.parametrize("allow", [False, True])
async def test_a_write_that_was_not_asked_about_is_asked_about_by_us(world: Any, allow: bool) -> None:
    file = world.cwd / "a.txt"
    file.write_text("old\n")
    session = await world.open()
    events = await take(session, call("fs/write_text_file", path=str(file), content="new\n"), allow=allow)
    (question,) = asked(events)
    assert (question.tool_kind, question.title) == ("edit", "Write a.txt")
    assert [(diff.old, diff.new) for diff in question.diffs] == [("old\n", "new\n")]
    assert file.read_text() == ("new\n" if allow else "old\n")
    assert text_of(events).startswith("{}" if allow else "error -32603 the user did not allow")


@pytest.mark.parametrize("allow", [False, True])
async def test_who_was_asked_by_the_agent_is_not_asked_again(world: Any, allow: bool) -> None:
    session = await world.open()
    events = await take(session, "put sub/a.txt hello", allow=allow)
    assert len(asked(events)) == 1
    assert (world.cwd / "sub" / "a.txt").exists() is allow


async def test_an_allowance_counts_for_its_file_and_its_turn_only(world: Any) -> None:
    session = await world.open()
    other = call("fs/write_text_file", path=str(world.cwd / "b.txt"), content="x")
    assert len(asked(await take(session, f"put a.txt hello\n{other}", allow=True))) == 2
    again = call("fs/write_text_file", path=str(world.cwd / "a.txt"), content="x")
    assert len(asked(await take(session, again, allow=True))) == 1
    assert len(asked(await take(session, again, allow=True))) == 1


async def test_a_stop_refuses_a_write_that_waits(world: Any) -> None:
    session = await world.open()
    events: list[AnyEvent] = []
    text = call("fs/write_text_file", path=str(world.cwd / "a.txt"), content="x") + "\nhang"
    async with asyncio.timeout(30):
        async for event in session.prompt(Asked(text=text, user_text=text)):
            events.append(event)
            if isinstance(event, PermissionAsked):
                await session.cancel()
    assert events[-1] == Done(end="cancelled", reason="cancelled")
    assert not any(isinstance(event, PermissionGone) for event in events)
    assert not (world.cwd / "a.txt").exists()


# Commands -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allow", [False, True])
async def test_a_command_is_asked_about_once_and_shown_in_its_tool_call(world: Any, allow: bool) -> None:
    session = await world.open()
    events = await take(session, "shell echo out && echo err >&2 && pwd && exit 3", allow=allow)
    assert [question.tool_kind for question in asked(events)] == ["execute"]
    shown = [e for e in events if isinstance(e, ToolUpdate) and e.exit_code is not None]
    wanted = f"out\nerr\n{world.cwd}\n"
    assert [(e.content, e.exit_code) for e in shown] == ([(wanted, 3)] if allow else [])
    assert text_of(events) == (wanted if allow else "")


async def test_a_command_that_nobody_asked_about_is_asked_about_by_us(world: Any) -> None:
    session = await world.open()
    text = (
        call("terminal/create", command="touch", args=["made.txt"])
        + "\n"
        + call("terminal/wait_for_exit", terminalId="$T")
    )
    events = await take(session, text, allow=False)
    assert [question.title for question in asked(events)] == ["touch made.txt"]
    assert not (world.cwd / "made.txt").exists()
    assert "error -32002 Resource not found: terminal" in text_of(events)
    events = await take(session, text, allow=True)
    assert '{"exitCode": 0, "signal": null}' in text_of(events)
    assert (world.cwd / "made.txt").exists()


async def test_output_is_kept_from_its_end_and_a_command_is_killed_and_released(world: Any) -> None:
    session = await world.open()
    script = "printf 'lost \\303\\251\\303\\251' && exec sleep 600 & wait $!"
    given = {"args": ["-c", script], "outputByteLimit": 3, "env": [{"name": "A", "value": "1"}]}
    made = call("terminal/create", command="sh", **given)
    rest = ("kill", "wait_for_exit", "output", "release", "output")
    text = "\n".join([made, *(call(f"terminal/{what}", terminalId="$T") for what in rest)])
    said = text_of(await take(session, text, allow=True))
    assert '"exitCode": null, "signal": "SIG' in said
    assert "error -32002" in said.rsplit("}", 1)[-1]


async def test_the_end_of_an_output_begins_with_a_whole_character(world: Any) -> None:
    terminals = Terminals(world.keeper, Tree(world.cwd), {"PATH": os.environ["PATH"]}, name="Agent")
    ended = asyncio.Event()
    number = await terminals.create(
        {"command": "printf", "args": ["lost éé"], "outputByteLimit": 3}, lambda number, terminal: ended.set()
    )
    async with asyncio.timeout(20):
        await ended.wait()
    terminal = terminals.find({"terminalId": number})
    assert (terminal.output, terminal.truncated) == ("é", True)
    assert terminal.status == {"exitCode": 0, "signal": None}
    await terminals.close()


async def test_a_command_stays_in_the_tree_and_ends_with_the_session(world: Any) -> None:
    session = await world.open()
    events = await take(session, call("terminal/create", command="ls", cwd=str(world.home)), allow=True)
    assert text_of(events).startswith("error -32602")
    os.mkfifo(world.cwd / "pid")
    await take(session, call("terminal/create", command="echo $$ > pid && exec sleep 600"), allow=True)
    async with asyncio.timeout(20):
        pid = int(await asyncio.to_thread((world.cwd / "pid").read_text))
    assert keeper.look(pid) is not None
    await session.close()
    assert keeper.look(pid) is None


async def test_between_turns_nobody_is_asked_and_nothing_is_written(world: Any) -> None:
    session = await world.open()
    text = call("fs/write_text_file", path=str(world.cwd / "a.txt"), content="x")
    async for event in session.prompt(Asked(text=f"say begun\n{text}\nhang", user_text="")):
        if isinstance(event, TextDelta):
            await session.cancel()
    assert not (world.cwd / "a.txt").exists()
