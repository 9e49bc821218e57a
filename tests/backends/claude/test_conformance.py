"""Claude keeps what every backend promises: its real program under the real SDK, over a scripted model."""

from __future__ import annotations

import pytest
from support.claude import World

from coder_nb.testing.backend_conformance import CHECKS, Check, Subject

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def subject_of(world: World) -> Subject:
    async def nothing() -> None:
        return None

    return Subject(
        backend=world.backend,
        opening=world.opening(),
        close=nothing,
        text=("say something", "You said this: say something"),
        endless="endless",
        asks=("write made.txt hello", world.cwd / "made.txt"),
        question=("ask me", ("Blue",), '\\"Which colour?\\"=\\"Blue\\"'),
        crash="die now",
        recall=("remember seven", "recall", "I remember: seven."),
        idle=world.idle,
    )


@pytest.mark.parametrize("check", [check for check, _ in CHECKS], ids=lambda check: check.__name__)
async def test_the_contract(world: World, check: Check) -> None:
    await check(subject_of(world))
