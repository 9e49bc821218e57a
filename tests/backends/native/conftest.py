"""The native agent over real HTTP, a real keeper and a worktree, with a model that says what a test wants."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.model import scripted_model
from support.native import Script, World

from coder_nb.ids import new_id
from coder_nb.warm.process import Keeper


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "a.txt").write_text("one\ntwo\nthree\n")
    return folder


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    made = Keeper(new_id())
    yield made
    await made.close(1.0)


@pytest.fixture
def world(cwd: Path, keeper: Keeper, tmp_path: Path) -> Callable[[Script], Any]:
    """A world with a script."""

    @asynccontextmanager
    async def make(script: Script) -> AsyncIterator[World]:
        async with scripted_model(script) as model:
            made = World(model, cwd, keeper, tmp_path)
            try:
                yield made
            finally:
                await made.backend.close()

    return make
