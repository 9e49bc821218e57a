"""What a runtime that was killed with its keeper has left behind is ended by the next one that is opened."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from support.place import Place

from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.warm import keeper, register

pytestmark = pytest.mark.anyio


async def test_an_orphan_of_a_dead_runtime_is_gone_before_anything_begins_and_it_is_logged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    folder, dead = Settings(database=str(place.root / "store.sqlite")).registers_path(), new_id()
    orphan = an_orphan(folder, dead)
    caplog.set_level(logging.WARNING, "coder_nb")
    await place.runtime()
    assert orphan.wait(30) == -9
    assert f"left_behind runtime={dead} processes=1" in caplog.messages
    assert dead not in [file.stem for file in folder.iterdir()]


async def test_while_agents_run_they_are_in_the_register_and_after_an_orderly_end_there_is_none(place: Place) -> None:
    person = await place.person()
    turn = await person.prompt("pid")
    file = register.path(person.runtime.settings.registers_path(), person.runtime.runtime_id)
    assert file is not None
    noted = register.read(file)
    assert noted is not None
    pid = int((await person.said(turn.id)).split()[-1])
    assert pid in [agent for agent, _ in noted.agents]
    assert [owner for owner, _ in noted.owner] == [os.getpid()]
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    await person.runtime.close()
    assert not file.exists()


def an_orphan(folder: Path, runtime_id: str) -> subprocess.Popen[bytes]:
    """A process that carries the mark of a runtime whose process is gone."""
    orphan = subprocess.Popen(["sleep", "600"], env={register.MARKER: runtime_id}, start_new_session=True)
    folder.mkdir(parents=True)
    noted = register.Register(
        host=os.uname().nodename, place=keeper.place(), owner=[(2**22 + 1, 1)], keepers=[], agents=[]
    )
    (folder / f"{runtime_id}.json").write_bytes(msgspec.json.encode(noted))
    return orphan
