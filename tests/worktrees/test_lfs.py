"""Files of git LFS are content where its program is, and else the pointers that git keeps; nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from coder_nb.errors import GitError

pytestmark = pytest.mark.anyio
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{digit}\nsize 12\n"
OLD, NEW = (POINTER.format(digit=digit * 64) for digit in "ab")


@pytest.fixture
def pointers(desk: Any) -> Any:
    """A repository with a pointer, on a machine that has no LFS."""
    desk.checkout.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    desk.checkout.write("data.bin", OLD)
    desk.checkout.commit()
    return desk


def use_program(desk: Any, command: str, *, required: bool = False) -> None:
    for name in ("clean", "smudge"):
        desk.checkout.git("config", f"filter.lfs.{name}", command)
    desk.checkout.git("config", "filter.lfs.required", str(required).lower())


@pytest.mark.parametrize("command", ["", "no-such-program %f"], ids=["none", "missing"])
async def test_a_pointer_stays_the_pointer_and_its_change_shows_it(pointers: Any, command: str) -> None:
    if command:
        use_program(pointers, command)

    def work(root: Path) -> None:
        assert (root / "data.bin").read_text() == OLD
        (root / "data.bin").write_text(NEW)

    (delta,) = await pointers.turn(work)
    assert (delta.path, delta.operation, delta.binary) == ("data.bin", "edit", False)
    assert [line for hunk in delta.hunks for line in hunk.lines if line[:1] in "+-"] == [
        f"-oid sha256:{'a' * 64}",
        f"+oid sha256:{'b' * 64}",
    ]
    assert (await pointers.worktrees.apply(pointers.state, delta)).status == "applied"
    assert pointers.checkout.read("data.bin").decode() == NEW
    assert not (pointers.checkout.root / ".git" / "lfs").exists()


async def test_a_program_that_the_repository_needs_and_has_not_is_said_and_loses_nothing(pointers: Any) -> None:
    use_program(pointers, "no-such-program %f", required=True)
    before = pointers.checkout.read("data.bin")
    with pytest.raises(GitError):
        await pointers.ensure()
    assert pointers.checkout.read("data.bin") == before == OLD.encode()


PROGRAM = """
import hashlib, pathlib, subprocess, sys
common = subprocess.run(["git", "rev-parse", "--git-common-dir"], capture_output=True, text=True, check=True).stdout
kept = pathlib.Path(common.strip(), "lfs")
kept.mkdir(exist_ok=True)
given = sys.stdin.buffer.read()
if sys.argv[1] == "clean":
    if given.startswith(b"version https://git-lfs"):
        sys.stdout.buffer.write(given)
    else:
        name = hashlib.sha256(given).hexdigest()
        (kept / name).write_bytes(given)
        pointer = f"version https://git-lfs.github.com/spec/v1\\noid sha256:{name}\\nsize {len(given)}\\n"
        sys.stdout.buffer.write(pointer.encode())
else:
    found = kept / given.decode().split("sha256:")[1].split()[0]
    if not found.exists():
        (kept / "fetched").touch()
    sys.stdout.buffer.write(found.read_bytes() if found.exists() else given)
"""
"""Does as git LFS: content is kept beside the repository, git has a pointer to it."""


async def test_where_the_program_is_there_content_is_seen_and_written_and_nothing_is_fetched(
    desk: Any, tmp_path: Path
) -> None:
    program = tmp_path / "lfs.py"
    program.write_text(PROGRAM)
    for name in ("clean", "smudge"):
        desk.checkout.git("config", f"filter.lfs.{name}", f"'{sys.executable}' '{program}' {name}")
    desk.checkout.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    desk.checkout.write("data.bin", "the content\n" * 3)
    desk.checkout.commit()

    def work(root: Path) -> None:
        assert (root / "data.bin").read_text() == "the content\n" * 3
        (root / "data.bin").write_text("other content\n")

    (delta,) = await desk.turn(work)
    assert any(line.startswith("+oid sha256:") for line in delta.hunks[0].lines)
    assert (await desk.worktrees.apply(desk.state, delta)).status == "applied"
    assert desk.checkout.read("data.bin").decode() == "other content\n"
    assert not (desk.checkout.root / ".git" / "lfs" / "fetched").exists()
