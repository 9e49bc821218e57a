"""Which agents there are, which of them is prompted where none is named, and what is learned of them by use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.base import Opening
from coder_nb.errors import AgentDisabled, AgentNotInstalled, AgentNotLoggedIn
from coder_nb.ids import new_id
from coder_nb.runtime.agents import Agents
from coder_nb.settings import Settings
from coder_nb.testing import scripted_agent
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    made = Keeper(new_id())
    yield made
    await made.close(1.0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is installed and nobody is logged in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "DASHSCOPE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def made(keeper: Keeper, default: str = "", **agents: dict[str, Any]) -> Agents:
    history: Any = None
    return Agents(Settings(agents=agents, default_agent=default, start_tries=1, stop_grace=1.0), keeper, history)


def guarded(**options: Any) -> dict[str, Any]:
    """A scripted agent of which a file tells whether the user is logged in."""
    return scripted_agent.entry(**options) | {"login": "knock at the door", "login_files": ["~/key"]}


async def test_the_one_that_is_prompted_where_none_is_named_says_so(keeper: Keeper) -> None:
    agents = made(keeper, first=guarded(), second=scripted_agent.entry(), third=scripted_agent.entry())
    infos = await agents.infos()
    assert [info.name for info in infos if info.default] == [await agents.default()] == ["second"]
    assert [info.name for info in infos if info.available] == ["second", "third", "replay"]
    set_to = made(keeper, "third", second=scripted_agent.entry(), third=scripted_agent.entry())
    assert [info.name for info in await set_to.infos() if info.default] == [await set_to.default()] == ["third"]
    nothing = await made(keeper).infos()
    assert [info.name for info in nothing if info.default] == ["replay"]


async def test_what_is_absent_off_or_not_logged_in_says_what_to_do(keeper: Keeper) -> None:
    agents = made(keeper, mine=guarded(), off={"argv": ["off"], "enabled": False})
    found = {info.name: (info.available, info.reason, info.cure) for info in await agents.infos()}
    assert found["goose"][:2] == (False, "there is no program 'goose'.")
    assert found["mine"] == (False, "it is not logged in.", "Knock at the door.")
    assert found["off"][:2] == (False, "it is turned off.")
    with pytest.raises(AgentNotInstalled):
        await agents.usable("goose")
    with pytest.raises(AgentDisabled):
        await agents.usable("off")


async def test_who_is_named_is_tried_and_what_it_shows_then_counts(keeper: Keeper, home: Path) -> None:
    async def info(agents: Agents) -> Any:
        return next(info for info in await agents.infos() if info.name == "mine")

    agents = made(keeper, mine=guarded())
    assert (await info(agents)).available is False
    opening = Opening(agent=await agents.usable("mine"), chat_id="c", cwd=home)
    session = await agents.open(opening, idle_events=lambda event: None)
    await session.close()
    assert (await info(agents)).available is True
    (home / "key").touch()
    other = made(keeper, mine=guarded(auth=True))
    assert (await info(other)).available is True
    with pytest.raises(AgentNotLoggedIn):
        await other.open(opening, idle_events=lambda event: None)
    shut_out = await info(other)
    assert (shut_out.available, shut_out.reason) == (False, "it is not logged in.")
    assert "knock at the door" in shut_out.cure
