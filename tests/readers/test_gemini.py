"""Gemini CLI's history, trap by trap."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coder_nb.client.history import History, history

Write = Callable[..., Path]
CHATS = ".gemini/tmp/shop/chats"
NAME = f"{CHATS}/session-2026-10-31T12-00-abcdef12"
AT = "2026-10-31T12:00:00.000Z"
HEAD = {"sessionId": "g1", "projectHash": "abc", "startTime": AT, "lastUpdated": AT, "kind": "main"}


def said(name: str, kind: str = "gemini", content: Any = "Well.", **more: Any) -> dict[str, Any]:
    return {"id": name, "timestamp": AT, "type": kind, "content": content} | more


def answer(name: str, given: int, cached: int, output: int, thoughts: int, **more: Any) -> dict[str, Any]:
    tokens = {"input": given, "cached": cached, "output": output, "thoughts": thoughts, "tool": 0}
    return said(name, model="gemini-2.5-pro", tokens=tokens | {"total": given + output + thoughts}, **more)


def read(home: Path, **options: Any) -> History:
    return history(agent="gemini", roots=home, **options)


def tokens(found: History) -> list[list[int]]:
    names = ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"]
    return [[int(value) for value in row] for row in found.usage[names].to_numpy()]


def test_a_document_of_an_earlier_version_is_read(write: Write, tmp_path: Path) -> None:
    document = HEAD | {"messages": [said("u", "user", "Go"), answer("a", 1000, 800, 50, 20)]}
    write(f"{NAME}.json", [json.dumps(document, indent=2)])
    found = read(tmp_path)
    assert tokens(found) == [[200, 800, 70, 20]], "the input without the cache, the output with the thoughts"
    assert found.sessions[["session_id", "title"]].to_numpy().tolist() == [["g1", "Go"]]


def test_a_message_that_is_written_again_counts_once_and_its_last_form(write: Write, tmp_path: Path) -> None:
    call = {"id": "c1", "name": "run_shell_command", "args": {"command": "ls"}, "status": "executing"}
    result = [{"functionResponse": {"id": "c1", "response": {"output": "a.py"}}}]
    done = call | {"status": "success", "result": result, "timestamp": "2026-10-31T12:00:04.000Z"}
    first = answer("a", 1000, 0, 50, 0, toolCalls=[call])
    write(f"{NAME}.jsonl", [HEAD, first, {"$set": {"lastUpdated": AT}}, first | {"toolCalls": [done]}])
    found = read(tmp_path, text=True)
    assert tokens(found) == [[1000, 0, 50, 0]]
    row = found.tool_calls.iloc[0]
    assert row[["tool", "status", "output", "seconds"]].tolist() == ["terminal", "completed", "a.py", 4.0]


def test_what_is_cut_by_a_rewind_was_used_all_the_same(write: Write, tmp_path: Path) -> None:
    lines = [HEAD, said("u1", "user", "One"), answer("a1", 100, 0, 10, 0), said("u2", "user", "Two")]
    write(f"{NAME}.jsonl", [*lines, answer("a2", 200, 0, 20, 0), {"$rewindTo": "u2"}, said("u3", "user", "Three")])
    found = read(tmp_path, text=True)
    assert tokens(found) == [[100, 0, 10, 0], [200, 0, 20, 0]]
    assert list(found.messages["text"]) == ["One", "Well.", "Three"]


def test_a_list_of_messages_that_is_replaced_loses_no_usage(write: Write, tmp_path: Path) -> None:
    kept = [said("s", "user", "All so far"), answer("a2", 200, 0, 20, 0)]
    write(f"{NAME}.jsonl", [HEAD, answer("a1", 100, 0, 10, 0), {"$set": {"messages": kept}}])
    found = read(tmp_path, text=True)
    assert tokens(found) == [[100, 0, 10, 0], [200, 0, 20, 0]]
    assert list(found.messages["text"]) == ["All so far", "Well."]


def test_the_project_is_written_beside_or_listed_or_not_known(write: Write, tmp_path: Path) -> None:
    lines = [HEAD, answer("a", 100, 0, 10, 0)]
    for number, folder in enumerate(("shop", "listed", "0a1b2c")):
        chat = f".gemini/tmp/{folder}/chats/session-{number}.jsonl"
        write(chat, [HEAD | {"sessionId": f"g{number}"}, *lines[1:]])
    write(".gemini/tmp/shop/.project_root", ["/home/user/shop"])
    write(".gemini/projects.json", [{"projects": {"/home/user/listed": "listed"}}])
    usage = read(tmp_path).usage.set_index("session_id")["project"]
    assert usage[["g0", "g1"]].tolist() == ["/home/user/shop", "/home/user/listed"]
    assert usage.isna().tolist().count(True) == 1


def test_a_half_written_document_is_told(write: Write, tmp_path: Path) -> None:
    document = HEAD | {"messages": [answer("a", 1000, 800, 50, 20)]}
    write(f"{NAME}.json", [json.dumps(document)[:-40]])
    found = read(tmp_path)
    assert found.usage.empty
    assert list(found.quality["what"]) == ["broken line"]
