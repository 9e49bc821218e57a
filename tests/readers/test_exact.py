"""What six real agents leave on disk is, to the token, what the model says they used, less what they never write."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import exact
from support.exact import AGENTS, Run

from coder_nb.client.history import History, history
from coder_nb.testing import real_agents

pytestmark = pytest.mark.slow
SUB_AGENTS = ("claude", "opencode", "qwen", "gemini", "goose")
SUMS = ("goose",)


def installed(agent: str) -> bool:
    """Whether an agent is here; in CI one that is not is a failure."""
    try:
        real_agents.program("node")
        exact.claude() if agent == "claude" else real_agents.program(agent)
    except real_agents.Missing:
        if os.environ.get("CI"):
            raise
        return False
    return True


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All agents that are here, each on its own, two at the same time."""
    root = tmp_path_factory.mktemp("exact")
    two = asyncio.Semaphore(2)

    async def one(agent: str) -> Run:
        async with two:
            return await exact.run(agent, root / agent)

    async def all_of_them() -> list[Run]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(agent)) for agent in AGENTS if installed(agent)]
        return [task.result() for task in tasks]

    return {run.agent: run for run in asyncio.run(all_of_them())}


@pytest.fixture(params=AGENTS)
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    if request.param not in runs:
        pytest.skip(f"{request.param} is not installed")
    return runs[request.param]


@pytest.fixture
def found(run: Run) -> History:
    return history(roots=run.home, text=True)


def used(usage: pd.DataFrame) -> Counter[tuple[int, int, int]]:
    rows = usage[["input_tokens", "cache_read_tokens", "output_tokens"]].dropna().to_numpy()
    return Counter((int(a), int(b), int(c)) for a, b, c in rows)


def test_the_history_is_the_models_journal_less_what_is_not_recorded(run: Run, found: History) -> None:
    usage = found.usage
    assert set(usage["agent"]) == {run.agent}
    if run.agent in SUMS:  # it keeps the sums of sessions, in which the cache cannot be told
        talk = [call for call, count in run.talk.items() for _ in range(count)]
        assert usage["input_tokens"].sum() == sum(fresh + cached for fresh, cached, _ in talk)
        assert usage["output_tokens"].sum() == sum(output for _, _, output in talk)
        assert set(usage["per"]) == {"session"}
        return
    recorded = used(usage)
    assert recorded - run.journal == Counter(), "nothing is made up, and nothing counted twice"
    assert run.talk - recorded == Counter(), "all of the conversation is there"
    assert set(usage["per"]) == {"response"}
    unknown = usage[usage["output_tokens"].isna()]
    assert len(unknown) <= run.stopped.total(), "only an answer that was stopped has no count"
    assert not unknown["complete"].any()


def test_what_the_history_lacks_is_absent_from_the_agents_files_and_listed(run: Run, found: History) -> None:
    recorded = run.talk if run.agent in SUMS else used(found.usage)
    missing = [call for call in run.calls if call.used.row not in recorded]
    assert len(missing) == (run.journal - recorded).total()
    listed = found.coverage().set_index("agent")["not_recorded"].fillna("")[run.agent].split("; ")
    assert {exact.kind(call) for call in missing} <= set(listed)
    records = list(exact.written(run))
    assert [call for call in missing if any(exact.holds(record, call.used) for record in records)] == []
    if run.agent not in SUMS:  # the same look finds what is there
        here = [call for call in run.calls if call.used.row in recorded]
        assert all(any(exact.holds(record, call.used) for record in records) for call in here)


def test_reasoning_is_told_and_is_part_of_the_output(run: Run, found: History) -> None:
    usage = found.usage.dropna(subset=["reasoning_tokens"])
    if run.agent not in ("claude", *SUMS):  # which do not tell it apart
        assert len(usage)
    for output, reasoning in usage[["output_tokens", "reasoning_tokens"]].to_numpy():
        assert output - reasoning == (output - 60) // 2 + 50 - (output - 60) // 2 + (output - 60) // 2


def test_the_rest_of_the_frames_tells_what_happened(run: Run, found: History) -> None:
    assert found.quality.empty
    calls = found.tool_calls.set_index("tool")
    assert calls["status"].iloc[:2].tolist() == ["completed", "failed"]
    if run.agent != "codex":
        assert calls.loc["file_write", "path"] == str(run.work / "hello.txt")
    said = found.messages.query("kind == 'text' and role != 'system'")["text"].tolist()
    for words in ("make hello", "break it", "Done.", "once more", "Here I am."):
        assert words in said
    assert set(found.messages["session_id"]) <= set(found.sessions["session_id"])
    assert set(found.usage["project"]) == {str(run.work)} or run.agent in SUMS


@pytest.mark.parametrize("run", SUB_AGENTS, indirect=True)
def test_sub_agents_are_told_apart(run: Run, found: History) -> None:
    sub: Any = found.usage[found.usage["subagent"].notna()]
    sessions = found.sessions
    assert len(sub) or (sessions["relation"] == "subagent").any() or len(sessions) > 1


@pytest.mark.parametrize("run", exact.FORKS, indirect=True)
def test_a_fork_counts_its_own_only(run: Run, found: History) -> None:
    last = used(found.usage[found.usage["session_id"] == found.usage["session_id"].iloc[-1]])
    assert last.total() == 1, "what was said before is its parent's"
    assert found.coverage()["copies"].sum() > 0


def test_what_was_read_once_and_again_is_the_same(run: Run, found: History, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(found.usage, history(roots=run.home).usage)
