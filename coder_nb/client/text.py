"""Transcripts, diffs and usage as plain text, for terminals, scripts and `text/plain`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from coder_nb.core import entries as core
from coder_nb.core.changes import Change
from coder_nb.core.entries import Entry, Unknown
from coder_nb.core.health import LiveAgent
from coder_nb.core.usage import UsageRow

MOST_LINES = 12
"""How many lines of a tool's output are shown."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SIGNS = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff"
)
"""Emoji, whose own joiners and selectors are left alone; anywhere else they hide something."""
_HIDING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200c"
    "\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a"
    f"\U000e0000-\U000e0fff\ud800-\udfff]|(?<![{_SIGNS}])\ufe0f|(?<![{_SIGNS}])(?<![{_SIGNS}]\ufe0f)\u200d"
)
MARKS = {"pending": "·", "in_progress": "…", "completed": "✓", "failed": "✗", "cancelled": "–"}
_LETTERS = {"create": "A", "edit": "M", "delete": "D", "rename": "R"}


def clean(text: str) -> str:
    """Text of an agent without control sequences, so that showing it does nothing but show it."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def revealed(text: str) -> str:
    """Text in which nothing can hide: what cannot be seen, or reorders what can, is shown as its code point."""
    return _HIDING.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def transcript_text(entries: Iterable[Entry]) -> str:
    """A transcript as a person reads it."""
    return "\n\n".join(block for entry in entries if (block := entry_text(entry)))


def entry_text(entry: Entry) -> str:
    """One entry as a few lines; empty for what is only bookkeeping."""
    if isinstance(entry.body, Unknown):
        return f"({clean(entry.body.kind) or 'unknown'})"
    return clean(DRAWN[type(entry.body)](entry.body)).strip("\n")


def diff_text(changes: Iterable[Change]) -> str:
    """Changes as one unified diff, as git writes it."""
    return "".join(_file_diff(change) for change in changes)


def usage_text(rows: Iterable[UsageRow]) -> str:
    """The sums of what counts, and of what does not in brackets; what nobody reported is left out."""
    rows = list(rows)
    counted = totals_text(sums(row for row in rows if row.counted))
    others = totals_text(sums(row for row in rows if not row.counted))
    return " ".join(part for part in (counted, others and f"({others}, not counted)") if part)


def pool_cells(agent: LiveAgent) -> tuple[str, ...]:
    """A warm agent in words: which, of which chat, its state, memory and restarts, and why."""
    memory = "" if agent.memory is None else f"{agent.memory / (1 << 20):,.0f} MiB"
    about = agent.title if agent.chat_id else f"a server for {agent.chats} chats"
    times = {0: "", 1: "started again once"}.get(agent.restarts, f"started again {agent.restarts} times")
    return tuple(map(clean, (agent.agent, about, agent.state, memory, times, agent.why)))


def pool_text(agents: Iterable[LiveAgent]) -> str:
    """One line a warm agent."""
    return "\n".join("  ".join(filter(None, pool_cells(agent))) for agent in agents) or "No agent is warm."


def sums(rows: Iterable[UsageRow]) -> Mapping[str, int | None]:
    """Input, output and cost of rows, each None where no row knows it (law 17)."""
    rows = list(rows)
    return {
        "input": _sum(row.tokens.input for row in rows),
        "output": _sum(row.tokens.output for row in rows),
        "cost_nanousd": _sum(row.cost_nanousd for row in rows),
    }


def totals_text(total: Mapping[str, int | None]) -> str:
    """Sums in words: ``1,204 tokens in, 88 out, $0.0031``."""
    parts = [
        f"{value:,} {word}"
        for name, word in (("input", "tokens in"), ("output", "tokens out"))
        if (value := total[name]) is not None
    ]
    if (cost := total["cost_nanousd"]) is not None:
        parts.append(f"${cost / 1e9:.4f}")
    return ", ".join(parts)


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _file_diff(change: Change) -> str:
    old, new = change.old_path or change.path, change.path
    lines = [f"diff --git a/{old} b/{new}"]
    if change.operation == "create":
        lines.append(f"new file mode {change.new_mode or '100644'}")
    elif change.operation == "delete":
        lines.append(f"deleted file mode {change.old_mode or '100644'}")
    elif change.old_mode != change.new_mode and change.old_mode and change.new_mode:
        lines += [f"old mode {change.old_mode}", f"new mode {change.new_mode}"]
    if change.operation == "rename":
        lines += [f"rename from {old}", f"rename to {new}"]
    if change.binary:
        lines.append(f"Binary files a/{old} and b/{new} differ")
    elif change.hunks:
        lines.append("--- /dev/null" if change.operation == "create" else f"--- a/{old}")
        lines.append("+++ /dev/null" if change.operation == "delete" else f"+++ b/{new}")
    for hunk in change.hunks:
        lines.append(f"@@ -{_range(hunk.old_start, hunk.old_lines)} +{_range(hunk.new_start, hunk.new_lines)} @@")
        lines.extend(hunk.lines)
    return "\n".join(lines) + "\n"


def _range(start: int, count: int) -> str:
    return f"{start}" if count == 1 else f"{start},{count}"


def summary(call: core.ToolCall) -> str:
    """What a tool call is about, in one line."""
    if call.title:
        return call.title
    if isinstance(call.input, dict):
        for key in ("command", "file_path", "path", "pattern", "query", "url"):
            if isinstance(call.input.get(key), str):
                return str(call.input[key])
    return call.locations[0].path if call.locations else ""


def _tool_call(body: core.ToolCall) -> str:
    head = f"{MARKS[body.status]} {body.name} {summary(body)}".rstrip()
    if body.exit_code:
        head += f" (exit code {body.exit_code})"
    lines = clean(body.content).strip("\n").split("\n") if body.content.strip() else []
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES} more lines"]
    return "\n".join([head, *(f"    {line}" for line in lines)])


def _plan(body: core.Plan) -> str:
    return "\n".join(["Plan", *(f"  {MARKS[item.status]} {item.text}" for item in body.items)])


def _permission(body: core.Permission) -> str:
    by = f" by {body.by}" if body.by else ""
    return f"? {body.title or body.tool}: {body.status}{by}"


def answer_text(body: core.Question) -> str:
    """What was answered, by the names of the choices; or why nothing was."""
    labels = {choice.id: choice.label or choice.id for choice in body.choices}
    nobody = "nobody was there to answer" if body.by == "nobody" else ""
    return ", ".join(labels.get(one, one) for one in body.answer) or nobody or body.status


def _question(body: core.Question) -> str:
    """While it waits, with its choices, as a person at a terminal may have to answer it."""
    if body.status != "pending":
        return f"? {body.text}: {answer_text(body)}"
    choices = [f"    {number}. {choice.label or choice.id}" for number, choice in enumerate(body.choices, 1)]
    return "\n".join([f"? {body.text}: {body.status}", *choices])


def _usage(body: core.Usage) -> str:
    return totals_text({"input": body.tokens.input, "output": body.tokens.output, "cost_nanousd": body.cost_nanousd})


def _file_change(body: core.FileChange) -> str:
    counts = "" if body.additions is None else f" +{body.additions} -{body.deletions or 0}"
    return f"{_LETTERS[body.operation]} {body.path}{counts}"


def _turn_ended(body: core.TurnEnded) -> str:
    return "" if body.end == "completed" else f"— {body.end}{': ' + body.message if body.message else ''}"


def _quiet(body: Any) -> str:
    return ""


DRAWN: Mapping[type[Any], Callable[[Any], str]] = {
    core.TurnStarted: lambda body: f"── {body.label or body.agent}" + (f" · {body.model}" if body.model else ""),
    core.UserMessage: lambda body: f"> {body.text}".replace("\n", "\n> "),
    core.Text: lambda body: body.text,
    core.Reasoning: lambda body: f"(thought) {body.text}" if body.text.strip() else "",
    core.ToolCall: _tool_call,
    core.Plan: _plan,
    core.Permission: _permission,
    core.Question: _question,
    core.Commands: _quiet,
    core.Mode: _quiet,
    core.Usage: _usage,
    core.FileChange: _file_change,
    core.Checkpoint: _quiet,
    core.Compaction: lambda body: "— the conversation was summarised —",
    core.Notice: lambda body: f"({body.text})",
    core.Error: lambda body: f"Error: {body.message}",
    core.Raw: lambda body: f"({body.source}: {body.type or 'something not understood'})",
    core.TurnEnded: _turn_ended,
}
"""How each kind of entry is written; a test holds the table to the union."""
