"""The register of what was started: exactly what is ours is ended, by identity, and never by number, name or port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from coder_nb.ids import new_id
from coder_nb.warm import keeper, register
from coder_nb.warm.register import Identity, Register

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")

HERE, PLACE = "here", "boot/space"
NOBODY: Identity = (2**22 + 1, 1)
"""A number that Linux never gives."""


def me() -> Identity:
    seen = keeper.look(os.getpid())
    assert seen is not None
    return seen.pid, seen.born


def noted(owner: Identity = NOBODY, *, host: str = HERE, place: str = PLACE) -> Register:
    return Register(host=host, place=place, owner=[owner], keepers=[], agents=[])


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def identity(process: subprocess.Popen[bytes]) -> Identity:
    seen = keeper.look(process.pid)
    assert seen is not None
    return seen.pid, seen.born


@pytest.mark.parametrize(
    ("known", "todo"),
    [
        (noted(), "end"),
        (noted(place="an earlier boot"), "forget"),
        (noted(host="another machine"), "leave"),
        (noted(host="another machine", place="its boot"), "leave"),
        (None, "forget"),
    ],
)
def test_what_becomes_of_a_register(known: Register | None, todo: str) -> None:
    assert register.judge(known, host=HERE, place=PLACE) == todo


def test_a_register_whose_owner_lives_is_left_alone() -> None:
    pid, born = me()
    assert register.judge(noted((pid, born)), host=HERE, place=PLACE) == "leave"
    assert register.judge(noted((pid, born + 1)), host=HERE, place=PLACE) == "end", "its number is another's by now"


def test_a_process_that_has_the_number_of_one_of_ours_is_not_ended(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    pid, born = identity(sleeper)
    lines = {"owner": [NOBODY], "keepers": [], "agents": [(pid, born - 1)]}
    write(tmp_path, lines)
    assert register.reap(tmp_path) == []
    assert sleeper.poll() is None
    write(tmp_path, lines | {"agents": [(pid, born)]})
    ((_, count),) = register.reap(tmp_path)
    assert count == 1
    assert sleeper.wait(10) == -9
    assert not list(tmp_path.iterdir())


def test_a_foreign_process_that_looks_like_ours_is_not_ended(tmp_path: Path) -> None:
    """It has our program, our port would be no sign either, and it carries another runtime's mark."""
    foreign = subprocess.Popen(["sleep", "600"], env={register.MARKER: new_id()})
    nameless = subprocess.Popen(["sleep", "600"], env={})
    try:
        write(tmp_path, {"owner": [NOBODY], "keepers": [], "agents": [NOBODY]})
        assert register.reap(tmp_path) == []
        assert (foreign.poll(), nameless.poll()) == (None, None)
    finally:
        for process in (foreign, nameless):
            process.kill()
            process.wait()


def test_a_descendant_of_one_of_ours_goes_with_it_whatever_it_carries(tmp_path: Path) -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '600'], env={}); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as said:
        child = keeper.look(int(said.readline()))
    assert child is not None
    write(tmp_path, {"owner": [NOBODY], "keepers": [], "agents": [identity(parent)]})
    ((_, count),) = register.reap(tmp_path)
    parent.wait(10)
    assert count == 2
    assert not register.alive((child.pid, child.born))


@pytest.mark.parametrize("text", [b"", b"{", b"\0" * 100, b'{"place": 1}', b"[]"])
def test_a_register_that_cannot_be_read_ends_nobody_and_is_removed(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.json").write_bytes(text)
    assert register.reap(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_where_there_is_no_folder_nothing_was_left(tmp_path: Path) -> None:
    assert register.reap(tmp_path / "none") == []


def write(folder: Path, lines: dict[str, list[Identity]]) -> None:
    where = {"host": os.uname().nodename, "place": keeper.place()}
    (folder / f"{new_id()}.json").write_bytes(msgspec.json.encode(where | lines))
