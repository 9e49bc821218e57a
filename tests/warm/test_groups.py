"""Processes without a keeper, as on Windows; run here on what there is."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coder_nb.errors import AgentDied, AgentFailed, AgentNotInstalled
from coder_nb.warm.groups import OwnGroups

pytestmark = pytest.mark.anyio
ENV = {"PATH": os.environ["PATH"], "MY_TOKEN": "canary-1234567"}


@pytest.fixture
async def groups() -> AsyncIterator[OwnGroups]:
    made = OwnGroups()
    yield made
    await made.close(0.5)


async def test_it_speaks_and_ends_with_its_input(groups: OwnGroups, tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), sys.stdin.read()); print(os.environ['MY_TOKEN'], file=sys.stderr)"
    process = await groups.spawn([sys.executable, "-c", code], cwd=tmp_path, env=ENV, name="mine")
    await process.write(b"hello")
    await process.stop(5.0)
    assert process.returncode == 0
    assert (await process.read()).decode().split() == [str(tmp_path), "hello"]
    assert process.stderr_tail().strip() in ("[hidden]", "")  # what was not read yet when it was stopped is given up
    assert "as if it were done" in process.explain()
    with pytest.raises(AgentDied, match="prompt again"):
        await process.write(b"more")


async def test_one_that_does_not_end_is_killed(groups: OwnGroups, tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = await groups.spawn([sys.executable, "-c", code], cwd=tmp_path, env=ENV, name="stubborn")
    assert await process.read() == b"up\n"
    await process.stop(0.2)
    assert process.returncode not in (None, 0)


async def test_what_cannot_be_started_is_named(groups: OwnGroups, tmp_path: Path) -> None:
    with pytest.raises(AgentNotInstalled, match="no-such-program"):
        await groups.spawn(["no-such-program"], cwd=tmp_path, env=ENV, name="mine")
    with pytest.raises(AgentFailed, match="gone"):
        await groups.spawn([sys.executable], cwd=tmp_path / "gone", env=ENV, name="mine")
