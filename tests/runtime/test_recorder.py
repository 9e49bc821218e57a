"""What an agent reports becomes entries, whole and once."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from coder_nb.backends.events import (
    AnyEvent,
    Noticed,
    PermissionAsked,
    PlanUpdate,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
    UsageReported,
)
from coder_nb.core.entries import Entry, Page, Permission, PlanItem, Reasoning, Text, ToolCall
from coder_nb.core.transcript import Transcript
from coder_nb.runtime.recorder import Recorder


def recorder() -> Recorder:
    numbers = itertools.count(1)
    return Recorder(
        chat_id="chat", turn_id="turn", agent="a", epoch="e", now=lambda: 7, new_id=lambda: f"id{next(numbers):03}"
    )


class FakeLog:
    """Assigns positions and revisions as the store does, and keeps what a reader is sent."""

    def __init__(self) -> None:
        self.rev = 0
        self.places: dict[str, int] = {}
        self.transcript = Transcript()

    def commit(self, rec: Recorder) -> None:
        entries, chunks = rec.take()
        if not entries and not chunks:
            return
        self.rev += 1
        for entry in entries:
            self.places.setdefault(entry.id, len(self.places) + 1)
        positions = tuple(self.places[entry.id] for entry in entries)
        rec.placed(entries, positions)
        stored = tuple(
            Entry(**{f: getattr(e, f) for f in e.__struct_fields__} | {"pos": p, "rev": self.rev})
            for e, p in zip(entries, positions, strict=True)
        )
        self.transcript.apply(Page(entries=stored, chunks=chunks, rev=self.rev))


events = st.lists(
    st.one_of(
        st.builds(TextDelta, text=st.text(max_size=5), part=st.sampled_from(["", "p1"])),
        st.builds(ReasoningDelta, text=st.text(max_size=5)),
        st.builds(
            ToolUpdate, call_id=st.sampled_from(["t1", "t2"]), status=st.sampled_from(["in_progress", "completed"])
        ),
        st.builds(Noticed, text=st.just("n")),
        st.builds(UsageReported),
    ),
    max_size=30,
)


@given(events, st.data())
def test_text_arrives_whole_and_in_order_however_it_is_committed(
    given_events: list[AnyEvent], data: st.DataObject
) -> None:
    rec, log = recorder(), FakeLog()
    for event in given_events:
        rec.on(event)
        if data.draw(st.booleans()):
            log.commit(rec)
    rec.close_all(tool_status="cancelled")
    log.commit(rec)
    shown = list(log.transcript)
    said = "".join(e.text for e in given_events if isinstance(e, TextDelta))
    thought = "".join(e.text for e in given_events if isinstance(e, ReasoningDelta))
    assert "".join(e.body.text for e in shown if isinstance(e.body, Text)) == said
    assert "".join(e.body.text for e in shown if isinstance(e.body, Reasoning)) == thought
    assert not any(e.open for e in shown)


def test_one_tool_call_is_one_entry_and_keeps_what_an_update_leaves_out() -> None:
    rec = recorder()
    rec.on(ToolUpdate(call_id="1", original_name="bash", title="ls", input={"command": "ls"}, status="pending"))
    rec.on(ToolUpdate(call_id="1", status="completed", content="a.txt"))
    (entry,), _ = rec.take()
    assert entry.body == ToolCall(
        name="terminal",
        original_name="bash",
        tool_kind="execute",
        title="ls",
        input={"command": "ls"},
        status="completed",
        content="a.txt",
    )
    assert not entry.open


def test_thought_plan_tool_and_text_are_entries_of_their_own_and_a_plan_is_one() -> None:
    rec = recorder()
    rec.on(ReasoningDelta(text="hm"))
    rec.on(PlanUpdate(items=(PlanItem("one"),)))
    rec.on(TextDelta(text="a"))
    rec.on(PlanUpdate(items=(PlanItem("one", "completed"),)))
    rec.on(TextDelta(text="b"))
    entries, _ = rec.take()
    assert [entry.kind for entry in entries] == ["reasoning", "plan", "text", "text"]


def test_usage_does_not_cut_a_text_in_two() -> None:
    rec = recorder()
    rec.on(TextDelta(text="a"))
    rec.on(UsageReported())
    rec.on(TextDelta(text="b"))
    rec.close_text()
    entries, _ = rec.take()
    assert [entry.body for entry in entries if entry.kind == "text"] == [Text("ab")]


def test_when_a_turn_ends_everything_open_has_an_end() -> None:
    rec = recorder()
    rec.on(ToolUpdate(call_id="1", original_name="bash", status="in_progress"))
    rec.on(PermissionAsked(request_id="r", tool="bash", call_id="1"))
    rec.on(TextDelta(text="half a sent"))
    rec.close_all(tool_status="cancelled")
    entries, chunks = rec.take()
    assert chunks == ()
    assert not any(entry.open for entry in entries)
    by_kind = {entry.kind: entry.body for entry in entries}
    assert isinstance(tool := by_kind["tool_call"], ToolCall)
    assert tool.status == "cancelled"
    assert isinstance(asked := by_kind["permission"], Permission)
    assert (asked.status, asked.tool) == ("expired", "terminal")


def test_live_text_says_where_it_belongs() -> None:
    rec = recorder()
    rec.on(TextDelta(text="hé"))
    rec.on(TextDelta(text="llo"))
    assert [(d.offset, d.text) for d in rec.deltas] == [(0, "hé"), (2, "llo")]
    entries, chunks = rec.take()
    assert [entry.body for entry in entries] == [Text("")]
    assert [(c.offset, c.text) for c in chunks] == [(0, "héllo")]
