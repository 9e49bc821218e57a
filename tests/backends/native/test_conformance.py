"""The contract of backends, on the native agent over real HTTP."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from support.model import Say, last_said, text_of

from coder_nb.backends.base import Opening
from coder_nb.testing.backend_conformance import CHECKS, Check, Subject

pytestmark = pytest.mark.anyio
NEEDS_A_PROCESS = {"check_8_a_crash_ends_the_prompt_as_failed_and_says_why"}


def script(request: dict[str, Any]) -> Say:
    said = last_said(request)
    users = [text_of(message) for message in request["messages"] if message["role"] == "user"]
    if request["messages"][-1]["role"] == "tool":
        return Say((f"It says: {said}",))
    match said:
        case "talk":
            return Say(("one ", "two ", "three"))
        case "go on":
            return Say(("begun ", "and "), hang=True)
        case "make it":
            return Say((), (("write_file", {"path": "made.txt", "content": "hello\n"}),))
        case "recall":
            return Say(("I remember: ", users[0]))
        case "question":
            return Say((), (("ask_user", {"question": "Which?", "choices": ["red", "blue"]}),))
    return Say(("Understood.",))


@pytest.mark.parametrize("check", [c for c, _ in CHECKS if c.__name__ not in NEEDS_A_PROCESS], ids=lambda c: c.__name__)
async def test_the_contract(world: Any, check: Check) -> None:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world(script))
        await check(
            Subject(
                backend=here.backend,
                opening=Opening(agent="native", chat_id="c", cwd=here.cwd),
                close=stack.aclose,
                text=("talk", "one two three"),
                endless="go on",
                asks=("make it", here.cwd / "made.txt"),
                recall=("first thing", "recall", "I remember: first thing"),
                question=("question", ("blue",), "The user answered: blue"),
                idle=here.idle,
            )
        )
