"""What real agents leave on disk, against the journal of the scripted model that they were driven by: to the token."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import Asked, Done, Opening, PermissionAsked
from coder_nb.backends.registry import registry
from coder_nb.client.history import History, history
from coder_nb.ids import new_id
from coder_nb.pool.process import Keeper
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import Call, otherwise, says, scripted_model, writes

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LIMIT = 90.0
NOT_CONVERSATION = (77, 7)
"""What the model says that every call took which the conversation does not consist of, such as titles."""


@pytest.fixture(params=real_agents.AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    for needed in (name, "llmock", "node"):
        try:
            real_agents.program(needed)
        except real_agents.Missing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
    return name


async def two_turns_and_a_resume(agent: str, root: Path) -> list[Call]:
    """Has an agent write a file, answer, and answer again in a process of its own; gives what the model was asked."""
    (root / "work").mkdir()
    fixtures = [
        *writes(agent, "make hello", root / "work" / "hello.txt", "hi\n", tokens=((1201, 31), (1302, 12))),
        *says(agent, "and again", "Here I am.", tokens=(1403, 13)),
        *says(agent, "once more", "Still here.", tokens=(1504, 14)),
    ]
    keeper = Keeper(new_id())
    try:
        with scripted_model(root / "model", [*fixtures, *otherwise(tokens=NOT_CONVERSATION)]) as model:
            settings = Settings(agents={agent: real_agents.entry(agent, model.url)}, start_timeout=60.0, stop_grace=2.0)
            known = registry(settings.agents)
            backend = AcpBackend(settings, known, keeper, environ=real_agents.environ(root / "home"))
            native_id = await _prompt(backend, agent, root / "work", None, ["make hello", "and again"])
            await _prompt(backend, agent, root / "work", native_id, ["once more"])
            return model.journal()
    finally:
        await keeper.close(2.0)


async def _prompt(
    backend: AcpBackend, agent: str, cwd: Path, native_id: str | None, prompts: Sequence[str]
) -> str | None:
    """Takes some turns in one process, allowing everything, and gives the conversation's id."""
    opening = Opening(agent=agent, chat_id="c", cwd=cwd, mode="bypass", native_id=native_id)
    session = await backend.open(opening, idle_events=lambda _: None)
    try:
        async with asyncio.timeout(LIMIT):
            for text in prompts:
                event: Any = None
                async for event in session.prompt(Asked(text=text, user_text=text, mode="bypass")):
                    if isinstance(event, PermissionAsked):
                        await session.answer(event.request_id, event.options[0].id)
                assert isinstance(event, Done)
                assert event.end == "completed", event
        return session.native_id
    finally:
        await session.close()


def recorded(found: History) -> Counter[tuple[int, int]]:
    usage = found.usage
    given = usage["input_tokens"] + usage["cache_read_tokens"].fillna(0)
    return Counter(zip(map(int, given), map(int, usage["output_tokens"]), strict=True))


async def test_the_history_is_the_models_journal_less_what_is_not_recorded(agent: str, tmp_path: Path) -> None:
    journal = await two_turns_and_a_resume(agent, tmp_path)
    asked = Counter(call.tokens for call in journal if call.status == 200)
    talk = Counter({tokens: count for tokens, count in asked.items() if tokens != NOT_CONVERSATION})
    assert talk == Counter([(1201, 31), (1302, 12), (1403, 13), (1504, 14)])

    found = history(roots=tmp_path / "home", text=True)
    usage = found.usage
    assert found.quality.empty
    assert set(usage["agent"]) == {agent}
    if agent == "goose":  # it keeps sums
        assert recorded(found) == Counter([(1201 + 1302 + 1403 + 1504, 31 + 12 + 13 + 14)])
        assert list(usage["per"]) == ["session"]
    else:
        assert recorded(found) - asked == Counter(), "nothing is made up, and nothing counted twice"
        assert set(asked - recorded(found)) <= {NOT_CONVERSATION}, "only calls beside the conversation are not there"
        assert set(usage["hidden"][usage["input_tokens"] == NOT_CONVERSATION[0]]) <= {True}
        assert not usage["hidden"][usage["input_tokens"] != NOT_CONVERSATION[0]].any()
        assert set(usage["per"]) == {"response"}
    assert set(usage["project"]) == {str(tmp_path / "work")}
    assert set(usage["model"]) == {"scripted-model"}
    assert usage["complete"].all()
    if agent == "opencode":
        price = real_agents.PRICE
        cost = (5410 * price["input"] + 70 * price["output"]) / 1e6
        assert usage["cost_usd"].sum() == pytest.approx(cost)
        assert set(usage["cost_source"]) == {"reported"}
    coverage = found.coverage().set_index("agent").loc[agent]
    assert bool(asked - recorded(found)) <= bool(coverage["not_recorded"])
    _check_the_rest(found, tmp_path)


def _check_the_rest(found: History, root: Path) -> None:
    [call] = found.tool_calls.to_dict("records")
    assert (call["tool"], call["status"]) == ("file_write", "completed")
    assert call["path"] == str(root / "work" / "hello.txt")
    assert "hi" in str(call["input"])
    said = found.messages.query("kind == 'text'")
    assert list(said["text"]) == [
        "make hello",
        "Writing it.",
        "Done.",
        "and again",
        "Here I am.",
        "once more",
        "Still here.",
    ]
    assert len(found.sessions) == 1
    assert set(found.messages["session_id"]) == set(found.sessions["session_id"])
