"""Qwen Code's history, trap by trap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coder_nb.client.history import History, history

Write = Callable[..., Path]
CHATS = ".qwen/projects/-home-user-shop/chats"
AT = "2026-10-31T12:00:00.000Z"


def line(kind: str, uuid: str, **more: Any) -> dict[str, Any]:
    known = {"uuid": uuid, "sessionId": "q1", "timestamp": AT, "cwd": "/home/user/shop", "version": "0.15.10"}
    return known | {"type": kind} | more


def answer(uuid: str, used: tuple[int, int, int, int, int], *parts: dict[str, Any]) -> dict[str, Any]:
    names = ("promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    usage = dict(zip((*names, "totalTokenCount"), used, strict=True))
    message = {"role": "model", "parts": list(parts) or [{"text": "Well."}]}
    return line("assistant", uuid, model="qwen3-coder-plus", message=message, usageMetadata=usage)


def report(uuid: str, response: str, used: tuple[int, int, int, int, int], **more: Any) -> dict[str, Any]:
    names = ("input_token_count", "cached_content_token_count", "output_token_count", "thoughts_token_count")
    usage = dict(zip((*names, "total_token_count"), used, strict=True))
    event = {"event.name": "qwen-code.api_response", "event.timestamp": AT, "response_id": response, "duration_ms": 250}
    payload = {"uiEvent": event | {"model": "qwen3-coder-plus"} | usage | more}
    return line("system", uuid, subtype="ui_telemetry", systemPayload=payload)


def read(home: Path, **options: Any) -> History:
    return history(agent="qwen", roots=home, **options)


def tokens(found: History) -> list[list[int]]:
    names = ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"]
    return [[int(value) for value in row] for row in found.usage[names].to_numpy()]


def test_the_cache_is_taken_out_of_the_input(write: Write, tmp_path: Path) -> None:
    write(f"{CHATS}/q1.jsonl", [answer("u1", (1000, 800, 50, 0, 1050))])
    assert tokens(read(tmp_path)) == [[200, 800, 50, 0]]


def test_the_total_tells_whether_the_output_holds_the_thoughts(write: Write, tmp_path: Path) -> None:
    write(f"{CHATS}/q1.jsonl", [answer("u1", (1000, 0, 50, 20, 1050)), answer("u2", (1000, 0, 50, 20, 1070))])
    assert tokens(read(tmp_path)) == [[1000, 0, 50, 20], [1000, 0, 70, 20]]


def test_a_report_and_its_answer_are_one_response(write: Write, tmp_path: Path) -> None:
    used = (1000, 800, 50, 20, 1050)
    write(f"{CHATS}/q1.jsonl", [report("u1", "r1", used, ttft_ms=90), answer("u2", used)])
    found = read(tmp_path)
    assert tokens(found) == [[200, 800, 50, 20]]
    row = found.usage.iloc[0]
    assert (row["response_id"], row["seconds"], row["first_token_seconds"]) == ("r1", 0.25, 0.09)


def test_answers_of_versions_without_reports_count_beside_those_with(write: Write, tmp_path: Path) -> None:
    new = (1000, 0, 60, 0, 1060)
    write(f"{CHATS}/q1.jsonl", [answer("u1", (900, 0, 50, 0, 950)), answer("u2", new), report("u3", "r1", new)])
    assert sorted(tokens(read(tmp_path))) == [[900, 0, 50, 0], [1000, 0, 60, 0]]


def test_calls_outside_of_the_conversation_are_hidden_and_counted(write: Write, tmp_path: Path) -> None:
    memory = {"subagent_id": "m-1", "subagent_type": "managed-auto-memory-extractor"}
    write(f"{CHATS}/q1.jsonl", [report("u1", "r1", (77, 0, 7, 0, 84), **memory)])
    row = read(tmp_path).usage.iloc[0]
    assert (row["hidden"], row["subagent_type"]) == (True, "managed-auto-memory-extractor")


def test_a_branch_that_copies_reports_counts_them_once(write: Write, tmp_path: Path) -> None:
    first = report("u1", "r1", (1000, 0, 50, 0, 1050))
    write(f"{CHATS}/q1.jsonl", [first], mtime=1_800_000_000)
    write(f"{CHATS}/q2.jsonl", [first | {"sessionId": "q2"}], mtime=1_800_000_900)
    assert list(read(tmp_path).usage["session_id"]) == ["q1"]


def test_tools_and_words_are_rows(write: Write, tmp_path: Path) -> None:
    call = {"functionCall": {"id": "c1", "name": "write_file", "args": {"file_path": "/home/user/shop/a.py"}}}
    parts = ({"text": "Hm.", "thought": True}, {"text": "Writing."}, call)
    response = {"functionResponse": {"id": "c1", "name": "write_file", "response": {"output": "written"}}}
    result = {"toolCallResult": {"callId": "c1", "status": "success"}}
    event = {"event.name": "qwen-code.tool_call", "call_id": "c1", "duration_ms": 37}
    lines = [
        line("user", "u0", message={"role": "user", "parts": [{"text": "Go"}]}),
        answer("u1", (900, 0, 50, 0, 950), *parts),
        line("system", "u2", subtype="ui_telemetry", systemPayload={"uiEvent": event}),
        line("tool_result", "u3", message={"role": "user", "parts": [response]}, **result),
        line("system", "u4", subtype="chat_compression", systemPayload={"compressedHistory": []}),
    ]
    write(f"{CHATS}/q1.jsonl", lines)
    found = read(tmp_path, text=True)
    assert found.messages[["role", "kind", "text"]].to_numpy().tolist() == [
        ["user", "text", "Go"],
        ["assistant", "reasoning", "Hm."],
        ["assistant", "text", "Writing."],
    ]
    row = found.tool_calls.iloc[0]
    assert row[["tool", "status", "seconds", "output", "path"]].tolist() == [
        "file_write",
        "completed",
        0.037,
        "written",
        "/home/user/shop/a.py",
    ]
    assert found.sessions["title"].item() == "Go"
    assert found.quality.empty
