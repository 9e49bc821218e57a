"""Codex's history, trap by trap."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest

from coder_nb.client.history import History, history

Write = Callable[..., Path]
PARENT, CHILD = "0199aaaa-0000-7000-8000-000000000001", "0199bbbb-0000-7000-8000-000000000002"
DAY = ".codex/sessions/2026/10/31"
AT = "2026-10-31T12:00:00.000Z"


def name(session: str, folder: str = DAY) -> str:
    return f"{folder}/rollout-2026-10-31T12-00-00-{session}.jsonl"


def line(kind: str, at: str = AT, **payload: Any) -> dict[str, Any]:
    return {"timestamp": at, "type": kind, "payload": payload}


def meta(session: str = PARENT, **more: Any) -> dict[str, Any]:
    known = {"id": session, "cwd": "/home/user/shop", "cli_version": "0.169.0", "model_provider": "openai"}
    return line("session_meta", **known | {"git": {"branch": "main"}, "source": "cli"} | more)


def turn(number: int, model: str = "gpt-5") -> dict[str, Any]:
    return line("turn_context", model=model, turn_id=f"turn-{number}", cwd="/home/user/shop")


def counts(given: int, cached: int, output: int, reasoning: int = 0) -> dict[str, int]:
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")
    return dict(zip(names, (given, cached, output, reasoning, given + output), strict=True))


def count(total: dict[str, int], last: dict[str, int] | None = None, at: str = AT) -> dict[str, Any]:
    return line("event_msg", at, type="token_count", info={"total_token_usage": total, "last_token_usage": last})


def record(response: str, used: dict[str, int], total: dict[str, int], number: int = 1) -> dict[str, Any]:
    own = {"response_id": response, "turn_id": f"turn-{number}", "usage": used, "thread_token_usage": total}
    return line("token_usage_record", **own)


FIRST, SECOND = counts(1000, 200, 50, 20), counts(1500, 900, 70, 10)
SUM = counts(2500, 1100, 120, 30)


def read(home: Path, **options: Any) -> History:
    return history(agent="codex", roots=home, **options)


def tokens(found: History) -> list[list[int]]:
    names = ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"]
    return [[int(value) for value in row] for row in found.usage[names].to_numpy()]


def test_the_counters_are_cumulative_and_a_response_is_their_difference(write: Write, tmp_path: Path) -> None:
    write(name(PARENT), [meta(), turn(1), count(FIRST, FIRST), count(SUM, SECOND)])
    found = read(tmp_path)
    assert tokens(found) == [[800, 200, 50, 20], [600, 900, 70, 10]]
    row = found.usage.iloc[0]
    assert row[["model", "provider", "project", "branch", "agent_version"]].tolist() == [
        "gpt-5",
        "openai",
        "/home/user/shop",
        "main",
        "0.169.0",
    ]
    assert found.usage["cost_source"].eq("computed").all()


def test_counters_that_are_told_again_count_nothing(write: Write, tmp_path: Path) -> None:
    again = [count(FIRST, FIRST)] * 3
    write(name(PARENT), [meta(), turn(1), *again, line("event_msg", type="token_count", info=None), count(SUM, SECOND)])
    assert tokens(read(tmp_path)) == [[800, 200, 50, 20], [600, 900, 70, 10]]


def test_counters_that_begin_anew_are_taken_as_they_are(write: Write, tmp_path: Path) -> None:
    write(name(PARENT), [meta(), turn(1), count(SUM, SUM), count(FIRST, FIRST)])
    assert tokens(read(tmp_path)) == [[1400, 1100, 120, 30], [800, 200, 50, 20]]


def test_a_record_of_a_response_comes_before_the_counters_of_its_turn(write: Write, tmp_path: Path) -> None:
    old = [turn(1), count(FIRST, FIRST)]
    new = [turn(2), count(SUM, SECOND), record("resp_2", SECOND, SUM, 2)]
    write(name(PARENT), [meta(), *old, *new])
    found = read(tmp_path)
    assert tokens(found) == [[800, 200, 50, 20], [600, 900, 70, 10]]
    assert list(found.usage["response_id"])[1] == "resp_2"


def test_a_fork_that_replays_its_parent_counts_its_own_only(write: Write, tmp_path: Path) -> None:
    later = "2026-10-31T15:00:00.000Z"
    write(name(PARENT), [meta(), turn(1), count(FIRST, FIRST), count(SUM, SECOND)])
    replay = [
        meta(CHILD, forked_from_id=PARENT),
        meta(),
        turn(1),
        count(FIRST, FIRST, later),
        count(SUM, SECOND, later),
    ]
    third = counts(2700, 1200, 130, 30)
    write(name(CHILD), [*replay, turn(2), count(third, counts(200, 100, 10), later)])
    found = read(tmp_path)
    assert sorted(tokens(found)) == [[100, 100, 10, 0], [600, 900, 70, 10], [800, 200, 50, 20]]
    assert found.quality.empty
    sessions = found.sessions.set_index("session_id")
    assert sessions.loc[CHILD, ["parent_session_id", "relation"]].tolist() == [PARENT, "fork"]
    assert tokens(read(tmp_path, session=CHILD)) == [[100, 100, 10, 0]], "its parent is looked up all the same"


def test_a_fork_that_copies_records_counts_them_once(write: Write, tmp_path: Path) -> None:
    lines = [turn(1), record("resp_1", FIRST, FIRST)]
    write(name(PARENT), [meta(), *lines], mtime=1_800_000_000)
    own = record("resp_2", SECOND, SUM, 2)
    write(name(CHILD), [meta(CHILD, forked_from_id=PARENT), *lines, turn(2), own], mtime=1_800_000_900)
    found = read(tmp_path)
    assert found.usage.set_index("response_id")["session_id"].to_dict() == {"resp_1": PARENT, "resp_2": CHILD}


def test_a_child_of_an_unknown_parent_is_kept_and_told(write: Write, tmp_path: Path) -> None:
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": PARENT, "agent_role": "explorer"}}}
    write(name(CHILD), [meta(CHILD, source=spawned), turn(1), count(FIRST, FIRST)])
    found = read(tmp_path)
    assert tokens(found) == [[800, 200, 50, 20]]
    assert list(found.quality["what"]) == ["unknown parent"]
    assert found.usage["subagent_type"].item() == "explorer"
    assert found.sessions["relation"].item() == "subagent"


def test_an_archived_copy_counts_once(write: Write, tmp_path: Path) -> None:
    for folder in (DAY, ".codex/archived_sessions"):
        write(name(PARENT, folder), [meta(), turn(1), count(FIRST, FIRST)])
    found = read(tmp_path)
    assert tokens(found) == [[800, 200, 50, 20]]
    assert found.coverage()["files"].item() == 1


def test_a_rollout_that_was_compressed_is_read(write: Write, tmp_path: Path) -> None:
    path = write(name(PARENT), [meta(), turn(1), count(FIRST, FIRST)])
    packed = pyarrow.compress(path.read_bytes(), codec="zstd", asbytes=True)
    path.rename(path.with_suffix(".plain"))
    write(f"{name(PARENT)}.zst", [packed], end="")
    assert len(read(tmp_path).usage) == 1


def test_a_compressed_rollout_that_is_broken_is_told(write: Write, tmp_path: Path) -> None:
    write(f"{name(PARENT)}.zst", [b"\x28\xb5\x2f\xfd"])
    assert list(read(tmp_path).quality["what"]) == ["unreadable"]


def test_a_compressed_rollout_names_what_reads_it(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write(f"{name(PARENT)}.zst", [b"\x28\xb5\x2f\xfd"])
    quality = read(tmp_path).quality
    assert list(quality["what"]) == ["compressed"]
    assert 'pip install "coder-nb[analysis]"' in quality["detail"].item()


def test_an_early_file_without_a_model_has_none(write: Write, tmp_path: Path) -> None:
    write(name(PARENT), [meta(), count(FIRST, FIRST)])
    usage = read(tmp_path).usage
    assert usage["model"].isna().all()
    assert usage["cost_usd"].isna().all()


def test_the_earliest_files_have_no_payload_and_are_read(write: Write, tmp_path: Path) -> None:
    head = {"id": PARENT, "timestamp": AT, "instructions": None}
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
    write(name(PARENT), [head, {"record_type": "state"}, said])
    found = read(tmp_path, text=True)
    assert list(found.messages["text"]) == ["Hello"]
    assert found.sessions[["session_id", "title"]].to_numpy().tolist() == [[PARENT, "Hello"]]


def test_tools_are_rows_with_their_ends(write: Write, tmp_path: Path) -> None:
    call = line("response_item", type="function_call", name="shell", call_id="c1", arguments='{"command":["ls"]}')
    patch = line("response_item", type="custom_tool_call", name="apply_patch", call_id="c2", input="*** Begin Patch")
    output = line("response_item", "2026-10-31T12:00:02.500Z", type="function_call_output", call_id="c1", output="a.py")
    ended = line("event_msg", type="item_completed", item={"id": "c1", "type": "CommandExecution", "exit_code": 0})
    write(name(PARENT), [meta(), turn(1), call, output, ended, patch])
    frame = read(tmp_path, text=True).tool_calls.set_index("call_id")
    assert frame["tool"].to_dict() == {"c1": "terminal", "c2": "file_edit"}
    assert frame.loc["c1", ["status", "exit_code", "seconds", "output"]].tolist() == ["completed", 0, 2.5, "a.py"]
    assert frame.loc["c2", "status"] == "pending"
    assert frame["time"].eq(pd.Timestamp(AT)).all()


DIFF = "@@ -1,3 +1,3 @@\n same\n-- what was\n-two\n+++ what is\n+2\n+3\n\\ No newline at end of file\n"


@pytest.mark.parametrize(
    "changes",
    [
        {
            "/shop/a.py": {"type": "add", "content": "one\ntwo\n"},
            "/shop/b.py": {"type": "delete", "content": "gone"},
            "/shop/c.py": {
                "type": "update",
                "unified_diff": f"--- /shop/c.py\n+++ /shop/c.py\n{DIFF}",
                "move_path": None,
            },
        },
        {
            "/shop/a.py": {"add": {"content": "one\ntwo\n"}},
            "/shop/b.py": {"delete": {"content": "gone"}},
            "/shop/c.py": {"update": {"unified_diff": DIFF, "move_path": "/shop/d.py"}},
        },
    ],
    ids=["now", "before"],
)
def test_a_patch_tells_how_many_lines_it_has_changed(write: Write, tmp_path: Path, changes: Any) -> None:
    calls = [
        line(
            "response_item", type="custom_tool_call", name="apply_patch", call_id=f"c{number}", input="*** Begin Patch"
        )
        for number in range(4)
    ]
    ends = [
        line("event_msg", type="patch_apply_end", call_id="c0", success=True, stdout="", changes=changes),
        line("event_msg", type="item_completed", item={"id": "c1", "type": "FileChange", "changes": changes}),
        line(
            "event_msg", type="patch_apply_end", call_id="c2", success=False, stderr="no such context", changes=changes
        ),
        line("event_msg", type="patch_apply_end", call_id="c3", success=True, changes=["of another shape"]),
    ]
    ends += [
        line("response_item", type="custom_tool_call_output", call_id=call, output=said)
        for call, said in (("c0", "Exit code: 0\nSuccess."), ("c2", "no such context"))
    ]
    write(name(PARENT), [meta(), turn(1), *calls, *ends])
    found = read(tmp_path)
    frame = found.tool_calls.set_index("call_id")
    for call in ("c0", "c1"):
        assert frame.loc[call, ["path", "additions", "deletions"]].tolist() == ["/shop", 5, 3]
    assert frame.loc[["c2", "c3"], ["path", "additions", "deletions"]].isna().all(axis=None)
    assert frame["status"].to_dict() == {"c0": "completed", "c1": "pending", "c2": "failed", "c3": "pending"}
    assert found.file_changes[["path", "additions", "deletions"]].to_numpy().tolist() == [["/shop", 5, 3]]
    assert found.sessions[["additions", "deletions"]].to_numpy().tolist() == [[5, 3]]
    assert found.quality.empty
