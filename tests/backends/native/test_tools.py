"""The native agent's tools: what they may touch, and how much they say."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import ends

from coder_nb.backends.native import tools
from coder_nb.backends.native.shell import HEAD, TAIL, Kept, WorktreeShell
from coder_nb.backends.native.tools import Grep, ListDir, Outcome, ReadFile, RunShell, WriteFile
from coder_nb.backends.native.workplace import Refused, Workplace
from coder_nb.core.entries import Value
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(cwd: Path) -> Workplace:
    return Workplace(cwd)


@pytest.fixture
def shell(place: Workplace, keeper: Keeper) -> WorktreeShell:
    return WorktreeShell(place, keeper, {"PATH": os.environ["PATH"], "HOME": str(place.root)}, grace=1.0)


async def done(call: Value, place: Workplace, shell: WorktreeShell) -> Outcome:
    return await tools.prepared(call, place, shell).act()


@pytest.mark.parametrize(
    "path",
    ["../outside.txt", "/etc/passwd", "sub/../../outside.txt", "link/outside.txt", "away", ".git/config", ".env",
     "sub/.env.local", "id_rsa", "innocent", "a\0b"],
)  # fmt: skip
def test_no_path_leads_out_to_git_or_to_a_secret(place: Workplace, tmp_path: Path, path: str) -> None:
    (place.root / "link").symlink_to(tmp_path)
    (place.root / "away").symlink_to("/etc/hosts")
    (place.root / ".env").write_text("KEY=1")
    (place.root / "innocent").symlink_to(".env")
    with pytest.raises(Refused):
        place.path(path)


def test_the_whole_worktree_may_be_used_from_a_folder_in_it(cwd: Path) -> None:
    (cwd / "sub").mkdir()
    place = Workplace(cwd / "sub")
    assert place.root == cwd
    assert place.path("../a.txt") == cwd / "a.txt"
    assert place.shown(cwd / "a.txt") == "a.txt"
    assert place.shown(cwd / "sub" / "b.txt") == "b.txt"


async def test_a_link_made_after_the_question_does_not_lead_a_write_elsewhere(
    place: Workplace, shell: WorktreeShell, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    deed = tools.prepared(WriteFile("new.txt", "theirs"), place, shell)
    (place.root / "new.txt").symlink_to(victim)
    with pytest.raises(Refused):
        await deed.act()
    assert victim.read_text() == "mine"


async def test_a_long_file_comes_in_parts(place: Workplace, shell: WorktreeShell) -> None:
    (place.root / "long.txt").write_text("".join(f"line {n}\n" for n in range(1, 5001)))
    first = await done(ReadFile("long.txt"), place, shell)
    assert first.text.startswith("1\tline 1\n2\tline 2\n")
    assert first.text.endswith("2000\tline 2000\n[lines 1 to 2000 of 5000; go on with offset=2001]")
    last = await done(ReadFile("long.txt", offset=4999), place, shell)
    assert last.text == "4999\tline 4999\n5000\tline 5000"
    assert (await done(ReadFile("long.txt", offset=9999), place, shell)).text == "[the file has 5000 lines]"


def test_what_is_no_text_is_not_read(place: Workplace) -> None:
    (place.root / "image").write_bytes(b"\x89PNG\0")
    (place.root / "latin").write_bytes("é".encode("latin-1"))
    for name in ("image", "latin", "."):
        with pytest.raises(Refused):
            place.text(place.path(name))


def test_an_edit_keeps_the_files_line_ends() -> None:
    assert tools.replaced("a\r\nb\r\nc", tools.EditFile("f", "a\nb", "x\ny"), "f") == "x\r\ny\r\nc"
    assert tools.replaced("a b a", tools.EditFile("f", "a", "c", all=True), "f") == "c b c"


async def test_files_are_listed_without_what_nobody_wants(place: Workplace, shell: WorktreeShell) -> None:
    for name in ("src/one.py", "src/two.ts", "node_modules/x/y.js", ".env"):
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        (place.root / name).write_text("x")
    assert (await done(ListDir(), place, shell)).text.split("\n") == ["a.txt", "src/one.py", "src/two.ts"]
    assert (await done(ListDir(pattern="*.py"), place, shell)).text == "src/one.py"
    assert (await done(ListDir(pattern="src/**/*.ts"), place, shell)).text == "src/two.ts"


@pytest.mark.parametrize("repository", [True, False])
async def test_contents_are_searched_without_secrets_and_ignored_files(
    tmp_path: Path, cwd: Path, keeper: Keeper, repository: bool
) -> None:
    root = cwd if repository else tmp_path / "plain"
    root.mkdir(exist_ok=True)
    place = Workplace(root)
    shell = WorktreeShell(place, keeper, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, grace=1.0)
    for name in ("src/one.py", "two.md", ".env", "away.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("first\nthe needle: here\n")
    assert (await done(Grep("needle:? +h"), place, shell)).text.split("\n") == [
        "away.txt:2: the needle: here",
        "src/one.py:2: the needle: here",
        "two.md:2: the needle: here",
    ]
    (root / ".gitignore").write_text("away.txt\n")
    found = await done(Grep("NEEDLE", glob="*.py", ignore_case=True), place, shell)
    assert found.text == "src/one.py:2: the needle: here"
    assert (await done(Grep("needle", path="src", glob="*.md"), place, shell)).text == "[nothing found]"
    assert "away" not in (await done(Grep("needle"), place, shell)).text
    assert (await done(Grep("absent"), place, shell)).text == "[nothing found]"
    assert (await done(Grep("needle", path="src"), place, shell)).text == "src/one.py:2: the needle: here"
    with pytest.raises(Refused, match="The search failed"):
        await done(Grep("(unclosed"), place, shell)


async def test_a_command_says_its_output_and_exit_code(place: Workplace, shell: WorktreeShell) -> None:
    assert await done(RunShell("echo out; echo err >&2"), place, shell) == Outcome("out\nerr", exit_code=0)
    assert await done(RunShell("echo no; exit 3"), place, shell) == Outcome("no\n[exit code 3]", True, 3)
    assert await done(RunShell("true"), place, shell) == Outcome("[no output]", exit_code=0)
    assert (await done(RunShell("cat"), place, shell)).text == "[no output]", "it has no input"


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(
    place: Workplace, shell: WorktreeShell
) -> None:
    began = time.monotonic()
    outcome = await shell.run("echo begun; sleep 60 & echo $! > pid; wait", timeout=1.0)
    assert outcome.failed
    assert outcome.text.startswith("begun\n[ended after 1 s")
    assert time.monotonic() - began < 10
    assert await ends(int((place.root / "pid").read_text()))


async def test_the_output_of_a_command_is_bounded(place: Workplace, shell: WorktreeShell) -> None:
    outcome = await done(RunShell("echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"), place, shell)
    assert len(outcome.text) < HEAD + TAIL + 100
    assert outcome.text.startswith("first\n")
    assert outcome.text.endswith("\nlast")
    assert "bytes are left out" in outcome.text


@given(st.lists(st.binary(max_size=30_000), max_size=8))
def test_what_is_kept_of_an_output_is_its_beginning_and_its_end(pieces: list[bytes]) -> None:
    kept, whole = Kept(), b"".join(pieces)
    for piece in pieces:
        kept.add(piece)
    if len(whole) <= HEAD + TAIL:
        assert kept.all() == whole
    else:
        assert (
            kept.all()
            == whole[:HEAD] + f"\n[{len(whole) - HEAD - TAIL:,} bytes are left out]\n".encode() + whole[-TAIL:]
        )


def test_every_tool_is_described_by_a_schema() -> None:
    for name in tools.ARGUMENTS:
        description, schema = tools.schema(name)
        assert description
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
