"""Files of git LFS whose program is not installed are the pointers that git keeps, and nothing is downloaded."""

from __future__ import annotations

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
