"""What the tests of the Claude backend share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from support.claude import World, worlds


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes worlds, see `support.claude.worlds`."""
    async with worlds(tmp_path) as make:
        yield make


@pytest.fixture
async def world(make_world: Callable[..., Any]) -> World:
    """The usual one."""
    made: World = await make_world()
    return made
