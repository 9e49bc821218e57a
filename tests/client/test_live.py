"""A chat's frames while it runs, and the store's beside the agents' own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from support.claude_lines import answer, user

import coder_nb as cnb
from coder_nb.analysis import columns, frames, summing, tables
from coder_nb.client.chat import Chat
from coder_nb.client.everything import everything
from coder_nb.core.entries import End, Permission, Reasoning, Text, Tokens, ToolCall, Usage
from coder_nb.testing import memory_runtime
from coder_nb.testing.memory_runtime import Stage

Open = Callable[..., Chat]
NATIVE = "native-1"


async def works(stage: Stage) -> End:
    stage.put(Reasoning(text="Hm."))
    stage.put(ToolCall(name="terminal", original_name="Bash", input={"command": "X=1 pytest -q"}, status="completed"))
    stage.put(Permission(request_id="p", tool="terminal", status="allowed", by="callback", waited_ms=1500))
    stage.put(Text(text="Done."))
    tokens = Tokens(input=30, output=5)
    stage.put(Usage(tokens=tokens, model="claude-sonnet-4-5", native_id=NATIVE))
    return "completed"


@pytest.fixture(autouse=True)
def claude(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent of the name whose files are read."""
    one = msgspec.structs.replace(memory_runtime.AGENTS[0], name="claude")
    monkeypatch.setattr(memory_runtime, "AGENTS", (*memory_runtime.AGENTS, one))


@pytest.fixture
def chat(open_chat: Open) -> Chat:
    chat = open_chat(works)
    chat.run("Go", agent="claude", display=False)
    return chat


TABLES: dict[str, Any] = {
    "entries": columns.ENTRIES,
    "messages": tables.MESSAGES,
    "tool_calls": tables.TOOL_CALLS,
    "permissions": tables.PERMISSIONS,
    "file_changes": tables.FILE_CHANGES,
    "usage": tables.USAGE,
    "turns": summing.TURNS,
}


@pytest.mark.parametrize("name", TABLES)
def test_frames_of_a_chat_have_their_columns_and_grow_with_it(chat: Chat, name: str) -> None:
    first = getattr(chat, name)()
    assert list(first) == [column.name for column in TABLES[name]]
    chat.run("Again", agent="claude", display=False)
    second = getattr(chat, name)()
    assert len(second) == 2 * len(first)
    fresh = getattr(cnb.Chat(chat._link, chat.info), name)()
    pd.testing.assert_frame_equal(second, fresh)
    arrow = getattr(chat, name)(dtype_backend="pyarrow")
    assert all(isinstance(dtype, pd.ArrowDtype) for dtype in arrow.dtypes)


def test_a_turn_sums_up_what_happened_in_it(chat: Chat) -> None:
    row = chat.turns().iloc[0]
    assert row[["prompt", "tool_calls", "responses", "output_tokens", "permission_seconds"]].tolist() == [
        "Go", 1, 1, 5, 1.5,
    ]  # fmt: skip
    assert row["cost_usd"] == pytest.approx((30 * 3 + 5 * 15) / 1e6)
    assert chat.tool_calls()["command"].item() == "pytest"
    assert chat.permissions()[["status", "by", "seconds"]].iloc[0].tolist() == ["allowed", "callback", 1.5]


def test_frames_join_by_their_keys(chat: Chat) -> None:
    joined = chat.tool_calls().merge(chat.turns(), on=["session_id", "chat_id", "turn_id"], suffixes=("", "_of_turn"))
    assert joined["prompt"].tolist() == ["Go"]


def test_what_arrow_brings_is_named_where_it_is_not_there(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(cnb.errors.MissingExtra, match="needs pyarrow"):
        chat.usage(dtype_backend="pyarrow")
    with pytest.raises(cnb.errors.InvalidOption, match="'numpy_nullable' and 'pyarrow'"):
        frames.with_backend(pd.DataFrame(), "arrow")  # type: ignore[arg-type]


# Both together -------------------------------------------------------------------------------------------------------


def written(home: Path, session: str, *outputs: int) -> None:
    folder = home / ".claude" / "projects" / "-repo"
    folder.mkdir(parents=True, exist_ok=True)
    more = {"sessionId": session, "cwd": "/repo"}
    lines = [user("Go", **more), *(answer(f"{session}-{n}", "r", n, **more) for n in outputs)]
    (folder / f"{session}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_response_that_both_tell_counts_once_and_what_one_tells_alone_counts_too(chat: Chat, tmp_path: Path) -> None:
    written(tmp_path, NATIVE, 100, 200)
    written(tmp_path, "elsewhere", 7)
    both = everything(chat._link, agent="claude", roots=tmp_path)
    usage = both.usage
    assert sorted(usage["output_tokens"]) == [7, 100, 200]
    of_chat = usage[usage["chat_id"] == chat.id]
    assert set(of_chat["native_id"]) == {NATIVE}
    assert set(of_chat["source"]) == {"import"}, "of what both tell, the files tell more here"
    assert set(of_chat["session_id"]) == {chat.info.session_id}
    assert sorted(both.sessions["session_id"]) == sorted([chat.info.session_id, "elsewhere"])
    assert both.sessions.set_index("session_id").loc[chat.info.session_id, "output_tokens"] == 300
    assert both.turns.set_index("session_id").loc[chat.info.session_id, "output_tokens"] == 300
    assert both.messages["text"].eq("Done.").sum() == 1
    coverage = both.coverage().set_index("agent").loc["claude"]
    assert coverage[["observed_tokens", "recorded_tokens"]].tolist() == [35, 300 + 2 * 2310]


def test_where_the_files_tell_less_or_are_gone_what_was_seen_counts(chat: Chat, tmp_path: Path) -> None:
    both = everything(chat._link, agent="claude", roots=tmp_path)
    assert both.usage[["output_tokens", "source"]].to_numpy().tolist() == [[5, "pool"]]
    assert both.sessions["session_id"].tolist() == [chat.info.session_id]


def test_a_context_that_was_given_up_is_still_known_for_the_same(open_chat: Open, tmp_path: Path) -> None:
    """The row names its conversation, so that it does not matter which one the chat has now."""
    chat = open_chat(works)
    for _ in range(2):
        chat.run("Go", agent="claude", display=False)
    written(tmp_path, NATIVE, 100)
    assert everything(chat._link, agent="claude", roots=tmp_path).usage["output_tokens"].tolist() == [100]


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 1), ({"agent": "claude"}, 1), ({"agent": "native"}, 0), ({"project": "repo"}, 1), ({"project": "other"}, 0),
     ({"until": "1960"}, 0), ({"session": NATIVE}, 1), ({"session": "x"}, 0)],
)  # fmt: skip
def test_filters_hold_for_the_store_too(chat: Chat, tmp_path: Path, options: dict[str, Any], expected: int) -> None:
    both = everything(chat._link, roots=tmp_path, **options)
    assert (len(both.usage), len(both.turns), len(both.sessions)) == (expected,) * 3


def test_what_is_shown_and_does_not_count_is_in_no_sum(open_chat: Open, tmp_path: Path) -> None:
    async def replays(stage: Stage) -> End:
        stage.put(Usage(tokens=Tokens(input=1, output=1), counted=False))
        return "completed"

    chat = open_chat(replays)
    chat.run("Go", display=False)
    assert len(chat.usage()) == 1
    assert len(everything(chat._link, roots=tmp_path).usage) == 0
