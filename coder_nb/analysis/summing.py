"""Sessions and turns with the sums of what happened in them; and what an agent's files hold and do not hold."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from coder_nb.analysis.columns import Column
from coder_nb.analysis.costs import NEEDED
from coder_nb.analysis.frames import arrays_of
from coder_nb.analysis.tables import KEYS, ORIGIN, USAGE
from coder_nb.core.rows import Asked, FileChange, Message, Session, ToolUse, Turn, Usage
from coder_nb.core.tools import normal_name

ACTIVE_GAP = 300_000
"""Milliseconds without anything being said after which nobody was at work."""
_PRICED = [column for column in USAGE if column.name in (*NEEDED, "cost_usd")]
EDITS = ("file_edit", "file_write")


class Told(NamedTuple):
    """All rows that there are, of any number of sessions."""

    usage: Sequence[Usage] = ()
    calls: Sequence[ToolUse] = ()
    messages: Sequence[Message] = ()
    asked: Sequence[Asked] = ()
    changes: Sequence[FileChange] = ()


class Summed(NamedTuple):
    """A session or a turn, with what is counted of it."""

    of: Any
    told: Told
    costs: Sequence[float | None]
    """Of `told.usage`."""
    children: Sequence[float | None] = ()
    """What the conversations that came from it as sub-agents cost."""


def session_sums(sessions: Iterable[Session], told: Told) -> list[Summed]:
    """Sessions with their rows; what a sub-agent that has no session of its own did is its parent's."""
    listed = list(sessions)
    rows = _by(told, _session)
    costs = _costs(told.usage)
    spent = {key: [costs[id(row)] for row in of.usage] for key, of in rows.items()}
    below = defaultdict(list)
    for one in listed:
        if one.relation == "subagent" and one.parent_id:
            below[one.agent, one.parent_id].append(_session(one))
    found = []
    for one in listed:
        key = _session(one)
        children = [cost for child in _all_below(key, below) for cost in spent.get(child, ())]
        found.append(Summed(one, rows.get(key, Told()), spent.get(key, ()), children))
    return found


def turn_sums(turns: Iterable[Turn], told: Told) -> list[Summed]:
    """Turns with their rows: by the turn's id, or where there is none, by the time."""
    listed = sorted(turns, key=lambda turn: (turn.agent, turn.session_id, turn.number))
    starts: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for turn in listed:
        starts[turn.agent, turn.chat_id or turn.session_id].append((turn.ts or 0, turn.turn_id or ""))

    def of(row: Any) -> str | None:
        if row.turn_id is not None:
            return str(row.turn_id)
        begun = starts.get((row.agent, row.chat_id or row.session_id), ())
        place = bisect_right(begun, ((row.ts or 0), "\U0010ffff"))
        return begun[place - 1][1] if place else None

    rows, costs = _by(told, of), _costs(told.usage)
    found = ((turn, rows.get(turn.turn_id, Told())) for turn in listed)
    return [Summed(turn, had, [costs[id(row)] for row in had.usage]) for turn, had in found]


def turns_of(messages: Iterable[Message]) -> list[Turn]:
    """The turns of conversations of which only the messages are known: each begins with what a user says."""
    sessions: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for row in messages:
        if not row.sidechain and row.subagent is None:
            sessions[row.agent, row.session_id].append(row)
    turns: list[Turn] = []
    for of in sessions.values():
        starts = [
            place
            for place, row in enumerate(of)
            if row.role == "user" and (place == 0 or of[place - 1].role != "user" or of[place - 1].ts != row.ts)
        ]
        for number, place in enumerate(starts, 1):
            end = starts[number] if number < len(starts) else len(of)
            turns.append(_turn(of[place:end], number))
    return turns


def _turn(rows: Sequence[Message], number: int) -> Turn:
    first, last = rows[0], rows[-1]
    return Turn(
        agent=first.agent,
        session_id=first.session_id,
        file=first.file,
        line=first.line,
        ts=first.ts,
        project=first.project,
        branch=first.branch,
        version=first.version,
        turn_id=f"{first.session_id}/{number}",
        number=number,
        prompt=first.text,
        ended=last.ts,
    )


def changes_of(calls: Iterable[ToolUse]) -> list[FileChange]:
    """What calls say that they did to files, where nothing else tells it."""
    return [
        FileChange(
            agent=row.agent,
            session_id=row.session_id,
            file=row.file,
            line=row.line,
            ts=row.ts,
            project=row.project,
            branch=row.branch,
            version=row.version,
            subagent=row.subagent,
            change_id=row.call_id,
            path=row.path,
            operation="create" if normal_name(row.original_name) == "file_write" else "edit",
            additions=row.lines_added,
            deletions=row.lines_removed,
        )
        for row in calls
        if row.path and row.status == "completed" and normal_name(row.original_name) in EDITS
    ]


def _session(row: Any) -> tuple[str, str]:
    """An id of ours is of all agents that worked in the session, one of an agent's is its own."""
    return ("" if row.source == "pool" or row.chat_id else row.agent, row.session_id)


def _by(told: Told, key: Callable[[Any], Any]) -> dict[Any, Told]:
    groups: dict[Any, list[list[Any]]] = defaultdict(lambda: [[] for _ in Told._fields])
    for number, rows in enumerate(told):
        for row in rows:
            groups[key(row)][number].append(row)
    return {name: Told(*found) for name, found in groups.items()}


def _costs(usage: Sequence[Usage]) -> Mapping[int, float | None]:
    """What each row costs, by its identity."""
    import pandas as pd

    spent = pd.Series(arrays_of(list(usage), _PRICED)["cost_usd"])
    known = zip(usage, spent.tolist(), spent.isna(), strict=True)
    return {id(row): None if is_na else cost for row, cost, is_na in known}


def _all_below(key: Any, below: Mapping[Any, Sequence[Any]]) -> list[Any]:
    found, waiting = [], list(below.get(key, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            waiting += below.get(one, ())
    return found


# What is summed ------------------------------------------------------------------------------------------------------


def _number(rows: Sequence[Any], fits: Callable[[Any], bool]) -> int:
    return sum(map(fits, rows))


def _tokens(*names: str) -> Callable[[Summed], int | None]:
    def total(row: Summed) -> int | None:
        known = [value for one in row.told.usage for name in names if (value := getattr(one.tokens, name)) is not None]
        return sum(known) if known else None

    return total


def _sum_known(costs: Sequence[float | None]) -> float | None:
    """The sum, where all of it is known: a part of it would be too little."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def _largest(row: Summed) -> int | None:
    given = [(t.input or 0) + (t.cache_read or 0) + (t.cache_write or 0) for t in (u.tokens for u in row.told.usage)]
    return max(given, default=None)


def _seconds(rows: str, name: str) -> Callable[[Summed], float | None]:
    def total(row: Summed) -> float | None:
        known = [value for one in getattr(row.told, rows) if (value := getattr(one, name)) is not None]
        return sum(known) / 1000 if known else None

    return total


def _lines(name: str) -> Callable[[Summed], int | None]:
    def total(row: Summed) -> int | None:
        known = [value for one in row.told.changes if (value := getattr(one, name)) is not None]
        return sum(known) if known else None

    return total


def _span(row: Summed) -> float | None:
    start, end = row.of.ts, row.of.ended
    return None if start is None or end is None else max(0, end - start) / 1000


def _active(row: Summed) -> float | None:
    """The time in which something was said, without the long pauses."""
    times = sorted({one.ts for rows in (row.told.messages, row.told.calls) for one in rows if one.ts is not None})
    gaps = (later - earlier for earlier, later in zip(times, times[1:], strict=False))
    return sum(gap for gap in gaps if gap <= ACTIVE_GAP) / 1000 if times else None


def _models(row: Summed) -> str | None:
    return ", ".join(dict.fromkeys(one.model for one in row.told.usage if one.model)) or None


def _edits(row: Summed) -> list[ToolUse]:
    return [one for one in row.told.calls if (one.name or normal_name(one.original_name)) in EDITS]


def _again(row: Summed) -> int:
    """Calls of a tool that had failed just before."""
    calls = row.told.calls
    pairs = zip(calls, calls[1:], strict=False)
    return sum(one.status == "failed" and one.original_name == other.original_name for one, other in pairs)


def _one_shot(row: Summed) -> bool | None:
    """Whether each file was edited once and nothing failed after that; not known where nothing was edited."""
    edits = _edits(row)
    if not edits:
        return None
    paths = [one.path for one in edits]
    return len(set(paths)) == len(paths) and all(one.status != "failed" for one in row.told.calls)


def _of(name: str) -> Callable[[Summed], Any]:
    return attrgetter(f"of.{name}")


def _failed(row: Summed) -> int:
    return _number(row.told.calls, lambda one: one.status == "failed")


def _compactions(row: Summed) -> int:
    return _number(row.told.messages, lambda one: one.kind == "compaction")


def _prompts(row: Summed) -> int:
    return _number(row.told.messages, lambda one: one.role == "user" and not one.sidechain)


def _inner(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns of the session or the turn itself."""

    def reaching(column: Column) -> Column:
        return column._replace(get=lambda row: column.get(row.of))

    return tuple(map(reaching, columns))


_SUMS = (
    Column("responses", "int", lambda row: _number(row.told.usage, lambda one: one.per != "session"), "of a model"),
    Column("tool_calls", "int", lambda row: len(row.told.calls), "calls of tools, those of sub-agents included"),
    Column("failed_calls", "int", _failed, "those that failed"),
    Column("input_tokens", "int", _tokens("input"), "fresh input, sub-agents included"),
    Column("output_tokens", "int", _tokens("output"), "all output, reasoning included"),
    Column("reasoning_tokens", "int", _tokens("reasoning"), "the part of the output that was reasoning"),
    Column("cache_read_tokens", "int", _tokens("cache_read"), "input read from a cache"),
    Column("cache_write_tokens", "int", _tokens("cache_write"), "input written to a cache"),
    Column("cost_usd", "float", lambda row: _sum_known(row.costs), "what it cost; NA where a part is not known"),
    Column("peak_context_tokens", "int", _largest, "the most that a model was given at once"),
    Column("compactions", "int", _compactions, "how often the conversation was summed up"),
    Column("changed_files", "int", lambda row: len({one.path for one in row.told.changes}), "files changed"),
    Column("additions", "int", _lines("additions"), "lines added"),
    Column("deletions", "int", _lines("deletions"), "lines deleted"),
)

SESSIONS = (
    *(column for column in _inner(KEYS) if column.name != "turn_id"),
    Column("agent", "category", _of("agent"), "whose it is"),
    Column("title", "string", _of("title"), "its title, or the beginning of its first prompt"),
    Column("started", "time", _of("ts"), "when it began"),
    Column("ended", "time", _of("ended"), "when it was last written to"),
    Column("seconds", "float", _span, "from its beginning to its end"),
    Column("active_seconds", "float", _active, "the same without pauses of more than five minutes"),
    Column("models", "string", _models, "the models that answered"),
    Column("prompts", "int", _prompts, "how often it was asked"),
    Column("messages", "int", lambda row: len(row.told.messages), "what was said"),
    *_SUMS,
    Column("subagents", "int", lambda row: len({one.subagent for one in row.told.usage if one.subagent}), "within it"),
    Column(
        "cost_usd_with_children",
        "float",
        lambda row: _sum_known([*row.costs, *row.children]),
        "the same with the sessions of its sub-agents",
    ),
    Column("complete", "bool", lambda row: all(one.complete for one in row.told.usage), "whether all counts are final"),
    Column("parent_session_id", "string", _of("parent_id"), "the session that it came from"),
    Column("relation", "category", _of("relation"), "subagent or fork, where it came from another one"),
    *(column for column in _inner(ORIGIN) if column.name not in ("subagent", "source_line")),
)

TURNS = (
    *_inner(KEYS),
    Column("number", "int", _of("number"), "its place in the session, from 1"),
    Column("prompt_id", "string", _of("prompt_id"), "the prompt that began it; NA where the agent did"),
    Column("agent", "category", _of("agent"), "who took it"),
    Column("state", "category", _of("state"), "running, or how it ended; NA on disk only"),
    Column("started", "time", _of("ts"), "when it began"),
    Column("ended", "time", _of("ended"), "when it ended"),
    Column("seconds", "float", _span, "how long it took"),
    Column("prompt", "string", _of("prompt"), "what was asked; of history with text=True"),
    Column("models", "string", _models, "the models that answered, the first one first"),
    Column("model_seconds", "float", _seconds("usage", "duration_ms"), "the part in which models answered"),
    Column("tool_seconds", "float", _seconds("calls", "duration_ms"), "the part in which tools ran"),
    Column("permission_seconds", "float", _seconds("asked", "waited_ms"), "the part in which it waited for a person"),
    *_SUMS,
    Column("edits", "int", lambda row: len(_edits(row)), "calls that edit files"),
    Column("retries", "int", _again, "calls of a tool that had just failed"),
    Column("one_shot", "bool", _one_shot, "whether each file was edited once and no call failed; NA without edits"),
    Column("reason", "string", _of("reason"), "the agent's own word for its end"),
    Column("message", "string", _of("message"), "why it ended so, for a person"),
    Column("code", "string", _of("code"), "the same for a program"),
    *(column for column in _inner(ORIGIN) if column.name != "subagent"),
)
