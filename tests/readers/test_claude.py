"""Claude Code's history, trap by trap."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.claude_lines import NIGHT, answer, user

from coder_nb.client.history import History, history

Write = Callable[..., Path]
FOLDER = ".claude/projects/-home-user-shop"
DAY = "2026-11-01T00:00:03.000Z"


def read(home: Path, **options: Any) -> History:
    return history(agent="claude", roots=home, **options)


def counts(found: History) -> list[tuple[str, int]]:
    usage = found.usage.sort_values(["time", "response_id"])
    return list(zip(usage["response_id"], usage["output_tokens"], strict=True))


def test_several_lines_are_one_response_with_the_last_count_and_the_first_time(write: Write, tmp_path: Path) -> None:
    lines = [
        answer("m1", "r1", 1, stop=None),
        answer("m1", "r1", 8, stop=None, at=DAY),
        answer("m1", "r1", 260, at=DAY),
    ]
    write(f"{FOLDER}/s1.jsonl", [user("Hello"), *lines])
    [row] = read(tmp_path).usage.to_dict("records")
    assert (row["output_tokens"], row["copies"], row["complete"]) == (260, 3, True)
    assert row["time"] == pd.Timestamp(NIGHT)
    assert row["source_line"] == 2


def test_the_cache_is_no_part_of_the_input_and_its_hour_is_told_apart(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 50)])
    [row] = read(tmp_path).usage.to_dict("records")
    assert (row["input_tokens"], row["cache_read_tokens"]) == (10, 2000)
    assert (row["cache_write_tokens"], row["cache_write_1h_tokens"]) == (300, 200)
    assert row["cost_source"] == "computed"
    assert row["cost_usd"] == pytest.approx((10 * 3 + 2000 * 0.3 + 100 * 3.75 + 200 * 6 + 50 * 15) / 1e6)


def test_what_the_agent_says_it_cost_comes_before_the_list(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 50, costUSD=0.5)])
    [row] = read(tmp_path).usage.to_dict("records")
    assert (row["cost_usd"], row["cost_source"]) == (0.5, "reported")


def test_a_model_without_a_price_costs_an_unknown_amount(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 50, model="my-local-model")])
    usage = read(tmp_path).usage
    assert usage["cost_usd"].isna().all()
    assert list(usage["cost_source"]) == ["unknown"]


def test_a_count_that_is_not_there_is_na_and_not_nought(write: Write, tmp_path: Path) -> None:
    line = answer("m1", "r1", 50)
    line["message"]["usage"] = {"output_tokens": 50}
    write(f"{FOLDER}/s1.jsonl", [line])
    row = read(tmp_path).usage.iloc[0]
    assert row["output_tokens"] == 50
    assert row[["input_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd"]].isna().all()


def test_a_response_that_never_ended_is_kept_and_says_so(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 1, stop=None), answer("m1", "r1", 8, stop=None)])
    [row] = read(tmp_path).usage.to_dict("records")
    assert (row["output_tokens"], row["complete"]) == (8, False)


def test_lines_without_a_request_id_are_told_by_their_message(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", None, 1), answer("m1", None, 30)])
    write(f"{FOLDER}/s2.jsonl", [answer("m1", "r1", 30, sessionId="s2")])
    assert counts(read(tmp_path)) == [("m1", 30)]


def test_a_message_id_that_a_proxy_uses_again_is_another_response(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("same", "r1", 30), answer("same", "r2", 40, at=DAY)])
    assert counts(read(tmp_path)) == [("same", 30), ("same", 40)]


def test_a_fork_counts_what_it_copied_no_second_time(write: Write, tmp_path: Path) -> None:
    lines = [user("Hello"), answer("m1", "r1", 30), answer("m2", "r2", 40)]
    fork = [line | {"sessionId": "s2"} for line in lines]
    write(f"{FOLDER}/s1.jsonl", lines, mtime=1_800_000_000)
    write(f"{FOLDER}/s2.jsonl", [*fork, answer("m3", "r3", 50, at=DAY, sessionId="s2")], mtime=1_800_000_900)
    found = read(tmp_path)
    assert counts(found) == [("m1", 30), ("m2", 40), ("m3", 50)]
    assert list(found.usage["session_id"]) == ["s1", "s1", "s2"]
    assert found.coverage()["copies"].item() == 2
    assert list(found.messages["session_id"]).count("s2") == 4, "what was said belongs to both"
    assert counts(read(tmp_path, session="s2")) == [("m3", 50)], "asked for alone it has what it has among all"


def test_a_resumed_conversation_is_one_session(write: Write, tmp_path: Path) -> None:
    first = [user("Hello"), answer("m1", "r1", 30)]
    write(f"{FOLDER}/s1.jsonl", [*first, user("More", DAY), answer("m2", "r2", 40, at=DAY)])
    [session] = read(tmp_path).sessions.to_dict("records")
    assert (session["session_id"], session["title"]) == ("s1", "Hello")
    assert (session["started"], session["ended"]) == (pd.Timestamp(NIGHT), pd.Timestamp(DAY))


def test_a_file_that_several_versions_wrote_counts_what_each_of_them_says(write: Write, tmp_path: Path) -> None:
    old = {"version": "1.0.30", "costUSD": 0.5}
    partial = [answer("m1", None, 1, stop=None, **old), answer("m1", None, 30, **old)]
    middle = [answer("m2", "r2", output, version="2.0.14") for output in (8, 8, 40)]
    current = [{"type": "mode", "mode": "plan"}, answer("m3", "r3", 50), answer("m3", "r3", 50)]
    write(f"{FOLDER}/s1.jsonl", [*partial, *middle, *current])
    found = read(tmp_path)
    assert sorted(counts(found)) == [("m1", 30), ("m2", 40), ("m3", 50)]
    told = found.usage.set_index("response_id").sort_index()
    assert list(told["agent_version"]) == ["1.0.30", "2.0.14", "2.1.197"]
    assert list(told["cost_source"]) == ["reported", "computed", "computed"]
    assert found.quality.empty


def test_sub_agents_count_and_are_named(write: Write, tmp_path: Path) -> None:
    inner = {"isSidechain": True, "agentId": "a1"}
    folder = f"{FOLDER}/s1/subagents"
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30)])
    write(f"{folder}/agent-a1.jsonl", [user("Look", **inner), answer("m2", "r2", 40, **inner)])
    write(f"{folder}/agent-a1.meta.json", [{"agentType": "Explore", "description": "looks"}])
    write(f"{folder}/workflows/wf_1/agent-a2.jsonl", [answer("m3", "r3", 50, **inner | {"agentId": "a2"})])
    write(f"{folder}/workflows/wf_1/journal.jsonl", [{"type": "started"}])
    usage = read(tmp_path).usage.set_index("response_id")
    assert usage["output_tokens"].to_dict() == {"m1": 30, "m2": 40, "m3": 50}
    assert set(usage["session_id"]) == {"s1"}
    assert usage.loc["m2", ["subagent", "subagent_type"]].tolist() == ["a1", "Explore"]
    assert pd.isna(usage.loc["m1", "subagent"])


def test_a_session_sums_up_itself_and_its_sub_agents(write: Write, tmp_path: Path) -> None:
    inner = {"isSidechain": True, "agentId": "a1"}
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
    path = write(f"{FOLDER}/s1.jsonl", [user("Hello"), answer("m1", "r1", 30)], mtime=1_800_000_900)
    lines = [user("Look", **inner), answer("m2", "r2", 40, content=[call], **inner)]
    write(f"{FOLDER}/s1/subagents/agent-a1.jsonl", lines, mtime=1_800_000_000)
    [session] = read(tmp_path).sessions.to_dict("records")
    assert (session["title"], session["source_file"]) == ("Hello", str(path))
    assert (session["prompts"], session["responses"], session["tool_calls"], session["failed_calls"]) == (1, 2, 1, 0)
    assert (session["input_tokens"], session["output_tokens"], session["cache_read_tokens"]) == (20, 70, 4000)
    assert session["cost_usd"] == pytest.approx(read(tmp_path).usage["cost_usd"].sum())


def test_the_cost_of_a_session_is_unknown_where_that_of_a_response_is(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30), answer("m2", "r2", 40, model="my-local-model")])
    [session] = read(tmp_path).sessions.to_dict("records")
    assert (pd.isna(session["cost_usd"]), session["output_tokens"]) == (True, 70)


def test_a_side_question_that_replays_its_parent_counts_nothing_again(write: Write, tmp_path: Path) -> None:
    aside = {"isSidechain": True, "agentId": "aside_question-1"}
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30)])
    replay = [answer("m1", "r9", 30, at=DAY, **aside), answer("m2", "r10", 5, at=DAY, **aside)]
    write(f"{FOLDER}/s1/subagents/agent-aside_question-1.jsonl", replay)
    assert counts(read(tmp_path)) == [("m1", 30), ("m2", 5)]


def test_errors_that_the_agent_wrote_as_answers_are_no_responses(write: Write, tmp_path: Path) -> None:
    error = answer("m1", None, 0, model="<synthetic>", isApiErrorMessage=True)
    write(f"{FOLDER}/s1.jsonl", [error, answer("m2", "r2", 40)])
    assert counts(read(tmp_path)) == [("m2", 40)]


def test_steps_that_the_sums_leave_out_are_responses_of_their_own(write: Write, tmp_path: Path) -> None:
    steps = [
        {"type": "message", "input_tokens": 10, "output_tokens": 40},
        {"type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 700, "output_tokens": 90},
    ]
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 40, usage={"iterations": steps})])
    usage = read(tmp_path).usage
    assert list(usage["model"]) == ["claude-sonnet-4-5", "claude-opus-4-5"]
    assert list(usage["output_tokens"]) == [40, 90]


@pytest.mark.parametrize("whole", [False, True])
def test_searches_of_the_web_count_for_the_response_that_asked_for_them(
    write: Write, tmp_path: Path, whole: bool
) -> None:
    def result(call: str, asked_by: str, given: Any, uuid: str) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": call, "content": "Found."}
        return user([block], uuid=uuid, toolUseResult=given, sourceToolAssistantUUID=asked_by)

    def found(count: int) -> dict[str, Any]:
        return {"query": "birds", "results": ["Some."], "durationSeconds": 2.5, "searchCount": count}

    within = {"server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}}
    other = {"agentId": "a1", "toolStats": {"searchCount": 7}}  # these are searches of files
    write(
        f"{FOLDER}/s1.jsonl",
        [
            answer("m1", "r1", 5, uuid="a"),
            answer("m1", "r1", 5, uuid="b", usage=within),
            result("t1", "a", found(2), "u1"),
            result("t2", "b", found(1), "u2"),
            result("t2", "b", found(1), "u2"),
            answer("m2", "r2", 5, uuid="c", usage={"server_tool_use": {"web_search_requests": 0}}),
            result("t3", "c", other, "u3"),
            result("t4", "c", 'Error: no "searchCount"', "u4"),
            result("t5", "nobody", found(9), "u5"),
            answer("m3", "r3", 5, uuid="d"),
        ],
    )
    history = read(tmp_path)
    if whole:
        assert len(history.messages) == 4
    usage = history.usage.set_index("response_id")
    assert usage["web_searches"].astype(object).where(usage["web_searches"].notna(), None).to_dict() == {
        "m1": 4,
        "m2": 0,
        "m3": None,
    }
    tokens_alone = (10 * 3 + 2000 * 0.3 + 100 * 3.75 + 200 * 6 + 5 * 15) / 1e6
    assert usage.loc["m1", "cost_usd"] == pytest.approx(tokens_alone + 4 * 0.01)
    assert history.quality.empty


def test_a_torn_last_line_costs_one_line_and_is_told(write: Write, tmp_path: Path) -> None:
    torn = json.dumps(answer("m2", "r2", 40))[:-30]
    path = write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30), torn], end="")
    found = read(tmp_path)
    assert counts(found) == [("m1", 30)]
    [problem] = found.quality.to_dict("records")
    assert (problem["source_file"], problem["source_line"], problem["what"]) == (str(path), 2, "torn line")


def test_a_last_line_without_its_end_that_is_whole_counts(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30)], end="")
    found = read(tmp_path)
    assert counts(found) == [("m1", 30)]
    assert found.quality.empty


def test_a_line_broken_in_the_middle_costs_one_line(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30), '{"type":"assi{"type', b"\0" * 64, answer("m2", "r2", 40)])
    found = read(tmp_path)
    assert counts(found) == [("m1", 30), ("m2", 40)]
    assert found.quality[["source_line", "what"]].values.tolist() == [[2, "broken line"], [3, "broken line"]]


def test_half_characters_nul_bytes_and_wrong_bytes_are_mended(write: Write, tmp_path: Path) -> None:
    half = json.dumps(user("half \ud83d and \u202eright to left \U0001f600"))
    wrong = json.dumps(user("wrong")).encode().replace(b"wrong", b"wrong \xff")
    padded = b"\0\0\0" + json.dumps(answer("m1", "r1", 30)).encode()
    write(f"{FOLDER}/s1.jsonl", [half, wrong, padded])
    found = read(tmp_path, text=True)
    assert counts(found) == [("m1", 30)]
    texts = list(found.messages["text"])
    assert texts == ["half \ufffd and \u202eright to left \U0001f600", "wrong \ufffd", "Well."]
    assert set(found.quality["what"]) == {"mended line"}


def test_lines_of_unknown_types_are_passed_over_and_of_unknown_shapes_told(write: Write, tmp_path: Path) -> None:
    odd = [
        {"type": "of-tomorrow", "message": "a text", "payload": {"deep": [1, {"x": None}]}},
        {"type": "progress", "data": {"message": {"message": {"usage": {"output_tokens": 9}}}}},
        [],
        17,
        {"type": "file-history-snapshot", "snapshot": {}},
    ]
    write(f"{FOLDER}/s1.jsonl", [*odd, answer("m1", "r1", 30)])
    found = read(tmp_path)
    assert counts(found) == [("m1", 30)]
    assert found.quality[["source_line", "what"]].values.tolist() == [[n, "unexpected shape"] for n in (1, 3, 4)]


def test_usage_of_another_shape_is_told_and_not_guessed(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30), answer("m2", "r2", 0, usage={"output_tokens": "many"})])
    found = read(tmp_path)
    assert counts(found) == [("m1", 30)]
    assert list(found.quality["what"]) == ["unexpected shape"]


def test_an_answer_of_an_unknown_shape_tells_its_usage_all_the_same(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30, content={"of": "tomorrow"})])
    found = read(tmp_path)
    assert found.messages.empty
    assert counts(found) == [("m1", 30)]
    assert list(found.quality["what"]) == ["unexpected shape"]


def test_a_line_of_fifty_megabytes_is_read(write: Write, tmp_path: Path) -> None:
    long = json.dumps(user([{"type": "tool_result", "tool_use_id": "t1", "content": "x" * 50_000_000}]))
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 30), long, answer("m2", "r2", 40)])
    found = read(tmp_path)
    assert counts(found) == [("m1", 30), ("m2", 40)]
    assert found.quality.empty


def test_the_project_is_what_the_lines_say_and_not_the_folders_name(write: Write, tmp_path: Path) -> None:
    write(".claude/projects/-home-user-my-shop/s1.jsonl", [answer("m1", "r1", 30, cwd="/home/user/my.shop")])
    write(".claude/projects/-home-user-my-shop/s2.jsonl", [answer("m2", "r2", 40, cwd="/home/user/my/shop")])
    found = read(tmp_path)
    assert sorted(found.usage["project"]) == ["/home/user/my.shop", "/home/user/my/shop"]
    assert counts(read(tmp_path, project="/home/user/my.shop")) == [("m1", 30)]
    assert counts(read(tmp_path, project="/home/user/my")) == [("m2", 40)]
    assert counts(read(tmp_path, project="my.shop")) == [("m1", 30)]


def test_tools_are_rows_with_their_ends(write: Write, tmp_path: Path) -> None:
    calls = [
        {"type": "tool_use", "id": "t1", "name": "Edit", "input": {"file_path": "a.py", "old_string": "x"}},
        {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "false"}},
        {"type": "tool_use", "id": "t3", "name": "mcp__docs__search", "input": {}},
    ]
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "done"}]},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": "Exit code 2\nno"},
    ]
    lines = [answer("m1", "r1", 9, content=[call]) for call in calls]
    write(f"{FOLDER}/s1.jsonl", [user("Go"), *lines, user(results, DAY)])
    frame = read(tmp_path).tool_calls.set_index("call_id")
    assert frame["tool"].to_dict() == {"t1": "file_edit", "t2": "terminal", "t3": "mcp__docs__search"}
    assert frame["status"].to_dict() == {"t1": "completed", "t2": "failed", "t3": "pending"}
    assert frame.loc["t1", ["path", "seconds", "output_chars"]].tolist() == ["a.py", 5.0, 4]
    assert frame.loc["t2", "exit_code"] == 2
    assert frame[["input", "output"]].isna().all(axis=None)
    full = read(tmp_path, text=True).tool_calls.set_index("call_id")
    assert json.loads(full.loc["t1", "input"]) == {"file_path": "a.py", "old_string": "x"}
    assert full.loc["t2", "output"] == "Exit code 2\nno"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"command": "X=1 /usr/bin/pytest -q"}, ["pytest", None, None]),
        ({"file_path": "a", "old_string": "one\ntwo\n", "new_string": "one"}, [None, 1, 2]),
        ({"file_path": "a", "content": "one\ntwo"}, [None, 2, 0]),
        ({"command": 7}, [None, None, None]),
    ],
)
def test_what_a_call_is_about_is_told_by_its_input(write: Write, tmp_path: Path, given: Any, expected: Any) -> None:
    call = {"type": "tool_use", "id": "t1", "name": "Tool", "input": given}
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 5, content=[call])])
    row = read(tmp_path).tool_calls[["command", "additions", "deletions"]].iloc[0]
    assert [None if pd.isna(value) else value for value in row] == expected


def test_what_the_agent_writes_in_the_users_name_is_no_prompt(write: Write, tmp_path: Path) -> None:
    notes = ("<system-reminder>\nToday is Friday.\n</system-reminder>", "[Request interrupted by user]")
    lines = [user("Go"), *map(user, notes), answer("m1", "r1", 5)]
    for second, line in enumerate(lines):
        line["timestamp"] = f"2026-10-31T12:00:0{second}.000Z"
    write(f"{FOLDER}/s1.jsonl", lines)
    found = read(tmp_path, text=True)
    assert found.messages["role"].tolist() == ["user", "system", "system", "assistant"]
    assert found.turns[["prompt", "responses", "output_tokens"]].to_numpy().tolist() == [["Go", 1, 5]]
    assert found.sessions["prompts"].item() == 1


def test_the_full_pass_and_the_one_for_usage_alone_count_the_same(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [user("Go"), *(answer(f"m{n // 3}", f"r{n // 3}", n) for n in range(60))])
    alone, both = read(tmp_path), read(tmp_path)
    assert len(both.tool_calls) == 0
    pd.testing.assert_frame_equal(alone.usage, both.usage)


def test_what_was_said_before_a_compaction_is_summed_up_by_a_message_of_its_own(write: Write, tmp_path: Path) -> None:
    write(f"{FOLDER}/s1.jsonl", [user("Go"), user("All so far", DAY, isCompactSummary=True), user("x", isMeta=True)])
    assert list(read(tmp_path).messages["kind"]) == ["text", "compaction"]
