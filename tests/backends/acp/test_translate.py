"""The translation of single frames; whole conversations are in `test_golden`."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.backends.acp import tools, translate
from coder_nb.backends.acp.state import State, capabilities, configured, model_name
from coder_nb.backends.acp.usage import begin_turn, end_turn, tokens_of
from coder_nb.backends.events import (
    AnyEvent,
    ModeChanged,
    PermissionAsked,
    RawReceived,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.core.entries import Choice, FileDiff, Location, Tokens


def quota(*models: tuple[str, dict[str, int]]) -> dict[str, Any]:
    return {"_meta": {"quota": {"model_usage": [{"model": name, "token_count": counts} for name, counts in models]}}}


def test_a_turns_tokens_are_counted_for_each_model_and_its_cost_once() -> None:
    state = State(agent="a", cost_total=0)
    update(state, "usage_update", used=1, size=2, cost={"amount": 0.5, "currency": "USD"})
    big = {
        "inputTokens": 100,
        "cachedInputTokens": 40,
        "outputTokens": 10,
        "reasoningOutputTokens": 4,
        "totalTokens": 150,
    }
    answer = quota(("big", big), ("small", {"input_tokens": 7, "output_tokens": 3}), ("none", {}))
    assert [(e.model, e.tokens, e.cost_nanousd) for e in end_turn(state, {**answer, "usage": {"inputTokens": 1}})] == [
        ("big", Tokens(input=100, output=10, reasoning=4, cache_read=40), 500_000_000),
        ("small", Tokens(input=7, output=3), 0),
    ]
    assert [(e.model, e.cost_nanousd) for e in end_turn(state, quota(("a", big), ("b", big)))] == [
        ("a", None),
        ("b", None),
    ]
    for broken in ({"_meta": {"quota": 7}}, {"_meta": {"quota": {"model_usage": [7, {"token_count": 1}]}}}):
        assert end_turn(state, broken) == []


def update(state: State, kind: str, /, **fields: Any) -> list[AnyEvent]:
    return translate.update(state, {"sessionId": "s", "update": {"sessionUpdate": kind, **fields}})


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda value: st.lists(value, max_size=3) | st.dictionaries(st.text(max_size=5), value, max_size=3),
)
NAMES = [
    "content",
    "toolCallId",
    "title",
    "kind",
    "status",
    "rawInput",
    "rawOutput",
    "locations",
    "entries",
    "messageId",
    "_meta",
]
NAMES += ["availableCommands", "currentModeId", "configOptions", "used", "size", "cost", "_meta"]
FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON)


@given(st.sampled_from([*translate._UPDATES, "from_the_future"]), FIELDS)
def test_nothing_that_an_agent_says_raises(kind: str, fields: dict[str, Any]) -> None:
    assert all(isinstance(event, get_args(AnyEvent)) for event in update(State(agent="a"), kind, **fields))


@given(JSON)
def test_no_answer_to_a_prompt_raises(value: Any) -> None:
    end_turn(State(agent="a", cost_due=1), {"usage": value})
    configured(State(agent="a"), {"modes": value, "models": value, "configOptions": value})
    capabilities({"agentCapabilities": value})


def test_a_part_is_a_message_and_ends_where_something_else_begins() -> None:
    state = State(agent="a")
    parts = []
    for kind, fields in [
        ("agent_message_chunk", {"content": text("a"), "messageId": "1"}),
        ("agent_message_chunk", {"content": text("b"), "messageId": "1"}),
        ("agent_message_chunk", {"content": text("c"), "messageId": "2"}),
        ("agent_thought_chunk", {"content": text("d"), "messageId": "2"}),
        ("agent_message_chunk", {"content": text("e")}),
        ("tool_call", {"toolCallId": "t", "title": "x"}),
        ("agent_message_chunk", {"content": text("f")}),
        ("tool_call_update", {"toolCallId": "t", "status": "completed"}),
        ("agent_message_chunk", {"content": text("g")}),
    ]:
        parts += [(e.text, e.part) for e in update(state, kind, **fields) if isinstance(e, TextDelta | ReasoningDelta)]
    assert parts == [("a", "1"), ("b", "1"), ("c", "2"), ("d", "3"), ("e", "4"), ("f", "5"), ("g", "5")]


def test_a_tool_call_gathers_name_kind_diff_and_output_from_where_agents_put_them() -> None:
    state = State(agent="a")
    meta = {"goose": {"toolCall": {"toolName": "shell"}}}
    assert update(state, "tool_call", toolCallId="1", title="shell · ls", _meta=meta) == [
        ToolUpdate(
            call_id="1", original_name="shell", tool_kind="execute", title="shell · ls", status="pending", meta=meta
        )
    ]
    output = {"output": "a.txt\n", "metadata": {"exit": 2}}
    assert update(state, "tool_call_update", toolCallId="1", status="completed", rawOutput=output) == [
        ToolUpdate(call_id="1", status="completed", content="a.txt\n", exit_code=2)
    ]
    diff = {"type": "diff", "path": "/w/a", "oldText": None, "newText": "x"}
    block = {"type": "content", "content": text("done")}
    place = [{"path": "/w/a", "line": 3}]
    assert update(
        state, "tool_call", toolCallId="2", title="write", kind="edit", content=[diff, block], locations=place
    ) == [
        ToolUpdate(
            call_id="2",
            original_name="write",
            tool_kind="edit",
            title="write",
            status="pending",
            content="done",
            diffs=(FileDiff(path="/w/a", new="x"),),
            locations=(Location(path="/w/a", line=3),),
        )
    ]
    assert update(state, "tool_call_update", toolCallId="2", status="failed", content=[block]) == [
        ToolUpdate(call_id="2", status="failed", content="done", diffs=())
    ]


def test_what_a_sub_agent_does_names_its_parent() -> None:
    meta = {"claudeCode": {"toolName": "Read", "parentToolUseId": "task-1"}}
    (event,) = update(State(agent="a"), "tool_call", toolCallId="1", title="Read x", _meta=meta)
    assert (event.parent, event.original_name) == ("task-1", "Read")  # type: ignore[union-attr]


def test_a_question_about_a_known_call_does_not_change_what_the_tool_was_given() -> None:
    state = State(agent="a")
    update(state, "tool_call", toolCallId="1", title="write", rawInput={"path": "a"}, kind="edit")
    option = {"optionId": "o", "name": "Yes", "kind": "allow_once"}
    call = {"toolCallId": "1", "title": "/w/a", "rawInput": {"diff": "…"}}
    tool, asked = tools.permission(state, "q", {"toolCall": call, "options": [option, {"optionId": "p", "kind": "?"}]})
    assert isinstance(tool, ToolUpdate)
    assert isinstance(asked, PermissionAsked)
    assert (tool.input, tool.title) == (None, None)
    assert (asked.title, asked.tool, asked.tool_kind, asked.input) == ("/w/a", "write", "edit", {"path": "a"})
    assert [(o.id, o.kind) for o in asked.options] == [("o", "allow_once"), ("p", "reject_once")]


@pytest.mark.parametrize(
    ("beside", "folder"),
    [
        ("[current working directory /w]", "/w"),
        ("[current working directory /w] (Makes [a] file)", "/w"),
        ("[in a [b] c] (Makes a file) [background]", "a [b] c"),
        ("[in sub] [background]", "sub"),
        ("Makes a file", None),
        ("see [in sub]", None),
        ("", None),
    ],
)
def test_a_command_that_is_shown_and_not_given_is_read_where_its_folder_is_told_apart(
    beside: str, folder: str | None
) -> None:
    call = {"toolCallId": "run_shell_command__run_shell_command_1", "status": "pending", "kind": "execute"}
    content = [{"type": "content", "content": {"type": "text", "text": beside}}]
    said = call | {"title": "touch a", "content": content}
    tool, asked = tools.permission(State(agent="gemini"), "q", {"toolCall": said, "options": []})
    assert isinstance(tool, ToolUpdate)
    assert isinstance(asked, PermissionAsked)
    expected = None if folder is None else {"command": "touch a", "dir_path": folder}
    assert tool.input == asked.input == expected
    ended = said | {"status": "completed"}
    assert tools.tool_update(State(agent="gemini"), ended, begins=True).input is None


@pytest.mark.parametrize(
    "params", [None, {}, {"toolCall": 3}, {"toolCall": {"toolCallId": "1"}}, {"toolCall": {}, "options": []}]
)
def test_what_is_no_question_is_a_value_error(params: Any) -> None:
    with pytest.raises(ValueError, match="not a permission request"):
        tools.permission(State(agent="a"), "q", params)


def test_modes_and_models_are_found_in_either_place() -> None:
    old = State(agent="a")
    modes = {"currentModeId": "m", "availableModes": [{"id": "m", "name": "M"}, {"id": 3}]}
    models = {"currentModelId": "x|1", "availableModels": [{"modelId": "x|1", "name": "One"}]}
    configured(old, {"modes": modes, "models": models})
    assert (old.mode, old.modes, model_name(old)) == ("m", (Choice(id="m", label="M"),), "One")
    new = State(agent="a")
    grouped = [{"group": "g", "options": [{"value": "p/y", "name": "Y"}]}]
    option = {"id": "model", "category": "model", "currentValue": "p/y", "options": grouped}
    configured(new, {"configOptions": [option, "?", {"id": 3}]})
    assert (new.models, model_name(new)) == ((Choice(id="p/y", label="Y"),), "p/y")


def test_a_change_of_mode_is_told_once() -> None:
    state = State(agent="a", modes=(Choice(id="x"),))
    assert update(state, "current_mode_update", currentModeId="x") == [ModeChanged(current="x", available=state.modes)]
    assert update(state, "current_mode_update", currentModeId="x") == []


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"inputTokens": 100, "outputTokens": 25}, Tokens(input=100, output=25)),
        (  # opencode: input without what was cached
            {
                "inputTokens": 100,
                "outputTokens": 25,
                "cachedReadTokens": 300,
                "cachedWriteTokens": 20,
                "totalTokens": 445,
            },
            Tokens(input=100, output=25, cache_read=300, cache_write=20),
        ),
        (  # all beside each other
            {"inputTokens": 100, "outputTokens": 25, "thoughtTokens": 5, "cachedReadTokens": 300, "totalTokens": 430},
            Tokens(input=100, output=30, reasoning=5, cache_read=300),
        ),
        (  # qwen: input with what was cached, output with reasoning
            {"inputTokens": 400, "outputTokens": 25, "thoughtTokens": 5, "cachedReadTokens": 300, "totalTokens": 425},
            Tokens(input=100, output=25, reasoning=5, cache_read=300),
        ),
        (  # input with what was cached, reasoning beside the output
            {"inputTokens": 400, "outputTokens": 25, "thoughtTokens": 5, "cachedReadTokens": 300, "totalTokens": 430},
            Tokens(input=100, output=30, reasoning=5, cache_read=300),
        ),
        ({"inputTokens": 10}, Tokens(input=10)),
        ({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}, None),
        ({"inputTokens": "many", "outputTokens": -1, "totalTokens": True}, None),
        ({}, None),
    ],
)
def test_tokens_are_counted_as_we_count_them(usage: dict[str, Any], expected: Tokens | None) -> None:
    assert tokens_of(usage) == expected


def test_a_cumulative_cost_becomes_differences_and_what_is_not_known_stays_unknown() -> None:
    def spent(state: State, amount: float, currency: str = "USD") -> list[int | None]:
        update(state, "usage_update", used=1, size=2, cost={"amount": amount, "currency": currency})
        return [e.cost_nanousd for e in end_turn(state) if isinstance(e, UsageReported)]

    fresh = State(agent="a", cost_total=0)
    assert [spent(fresh, 0.1), spent(fresh, 0.30000000000000004), spent(fresh, 0.3)] == [
        [100_000_000],
        [200_000_000],
        [],
    ]
    assert spent(fresh, 0.1) == []  # it went back: nobody knows what that was
    assert spent(fresh, 0.2) == [100_000_000]
    assert spent(fresh, 0.5, "EUR") == []
    resumed = State(agent="a")
    assert [spent(resumed, 1.0), spent(resumed, 1.5)] == [[], [500_000_000]]


def test_an_agent_that_repeats_its_latest_usage_is_counted_once() -> None:
    state = State(agent="goose", repeats_usage=True)
    answer = {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}
    counts = []
    for _ in range(2):
        begin_turn(state)
        counts.append(len(end_turn(state, answer)))
    assert counts == [1, 0]


def test_a_notification_of_an_agents_own_is_kept_and_one_of_its_mode_is_understood() -> None:
    state = State(agent="a")
    assert translate.notification(state, "a/notify/mode-update", {"currentModeId": "m"}) == [ModeChanged(current="m")]
    assert translate.notification(state, "a/notify/other", [1]) == [
        RawReceived(source="a", type="a/notify/other", data=[1])
    ]
    assert translate.notification(state, "$/progress", {}) == []


def test_an_unknown_update_is_kept_as_it_came() -> None:
    said = {"sessionUpdate": "from_the_future", "x": [1]}
    assert translate.update(State(agent="a"), {"update": said}) == [
        RawReceived(source="a", type="from_the_future", data=said)
    ]
    assert translate.update(State(agent="a"), ["?"]) == [RawReceived(source="a", data=["?"])]


def test_what_an_agent_notes_beside_a_call_is_kept_unless_it_is_the_output_once_more() -> None:
    state = State(agent="a")
    (short,) = update(state, "tool_call", toolCallId="1", _meta={"own": {"number": 1}})
    (long,) = update(state, "tool_call_update", toolCallId="1", _meta={"response": "x" * 10_000})
    assert isinstance(short, ToolUpdate)
    assert isinstance(long, ToolUpdate)
    assert (short.meta, long.meta) == ({"own": {"number": 1}}, None)
