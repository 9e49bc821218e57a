"""Attaching to a resource: what is not there yet is waited for, what is wrong is said at once."""

from __future__ import annotations

from typing import Any, cast

import pytest

from coder_nb.client import resource
from coder_nb.client.resource import attach
from coder_nb.core.sessions import ChatInfo
from coder_nb.errors import NotFound, StoreDamaged

pytestmark = pytest.mark.anyio
CHAT = ChatInfo(id="c" * 26, session_id="s" * 26)


class Verbs:
    """Answers `get_chat` with these outcomes, one after another."""

    def __init__(self, *outcomes: ChatInfo | Exception) -> None:
        self.outcomes, self.asked = list(outcomes), []

    async def get_chat(self, chat_id: str) -> ChatInfo:
        self.asked: list[str]
        self.asked.append(chat_id)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "PAUSE", 0)


async def attached(*outcomes: ChatInfo | Exception) -> tuple[ChatInfo, list[str]]:
    verbs = Verbs(*outcomes)
    return await attach(cast("Any", verbs), f"coder-session/{CHAT.id}"), verbs.asked


async def test_what_is_not_found_is_looked_for_again() -> None:
    assert await attached(NotFound(), NotFound(), CHAT) == (CHAT, [CHAT.id] * 3)


async def test_what_is_never_found_is_said_after_twenty_times() -> None:
    verbs = Verbs(*[NotFound() for _ in range(30)])
    with pytest.raises(NotFound):
        await attach(cast("Any", verbs), CHAT.id)
    assert len(verbs.asked) == 20


async def test_any_other_error_is_said_at_once() -> None:
    verbs = Verbs(StoreDamaged("It is damaged: restore it."), CHAT)
    with pytest.raises(StoreDamaged):
        await attach(cast("Any", verbs), CHAT.id)
    assert len(verbs.asked) == 1


def test_five_seconds_are_waited_in_all() -> None:
    assert resource.ATTEMPTS * 0.25 == 5.0
