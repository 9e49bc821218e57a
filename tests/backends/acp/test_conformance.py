"""The contract of backends, on the ACP backend with a real process at the other end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coder_nb.testing import scripted_agent
from coder_nb.testing.backend_conformance import CHECKS, Check, Subject

pytestmark = pytest.mark.anyio


def subject_of(world: Any, **options: Any) -> Subject:
    async def nothing() -> None:
        return None

    file: Path = world.cwd / "made.txt"
    return Subject(
        backend=world.backend(scripted_agent.entry(**options)),
        opening=world.opening(),
        close=nothing,
        text=("say one; say  two", "one two"),
        endless="say begun; hang",
        asks=("write made.txt hello", file),
        question=("choose red, blue", ("blue",), '"pick": "blue"'),
        crash="say last words; die 3",
        recall=("say first", "recall", "I remember: say first"),
        idle=world.idle,
    )


@pytest.mark.parametrize("check", [check for check, _ in CHECKS], ids=lambda check: check.__name__)
async def test_the_contract(world: Any, check: Check) -> None:
    await check(subject_of(world))


@pytest.mark.parametrize("options", [{"resume": False}, {"load": False}])
async def test_both_ways_of_going_on_remember_and_repeat_nothing(world: Any, options: dict[str, bool]) -> None:
    await CHECKS[9][0](subject_of(world, **options))
