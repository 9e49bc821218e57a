"""The section on frames, written into the reference from their columns: `python -m coder_nb.analysis.reference`.

The columns are declared once; the tests see to it that the page says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coder_nb.analysis import columns, history, summing, tables
from coder_nb.analysis.columns import Column

FRAMES: dict[str, tuple[Sequence[Column], str]] = {
    "`cnb.sessions()`": (columns.SESSIONS, "One row a session of the store; key `session_id`."),
    "`cnb.agents()`": (columns.AGENTS, "One row an agent; key `agent`."),
    "`cnb.attention()`": (columns.ATTENTION, "One row a chat, those that want you most first; key `chat_id`."),
    "`cnb.pool()`": (columns.POOL, "One row a warm agent, or a server that several chats share; key `key`."),
    "`cnb.agent_log(key).frame`": (
        columns.HAPPENINGS,
        "One row a thing that happened to an agent, the earliest first.",
    ),
    "`session.agent_sessions()`": (columns.AGENT_SESSIONS, "One row an agent's own context; key `chat_id`, `agent`."),
    "`cnb.reap()`": (columns.WORKTREES, "One row a worktree on this machine; key `path`."),
    "`cnb.rules()`": (columns.RULES, "One row a rule by which permissions are answered; key `rule_id`."),
    "`cnb.audit()`": (
        columns.AUDIT,
        "One row a permission that was asked for, and how it was answered; key `entry_id`.",
    ),
    "`session.checkpoints.frame`": (columns.CHECKPOINTS, "One row a state to go back to; key `checkpoint_id`."),
    "`session.commands`": (columns.COMMANDS, "One row a slash command or skill; key `agent`, `name`."),
    "`session.native_sessions(agent)`": (columns.NATIVE_SESSIONS, "One row a session that the agent keeps itself."),
    "`session.entries()`, `session.transcript.frame`": (columns.ENTRIES, "One row an entry; key `entry_id`."),
    "`session.changes.frame`": (columns.CHANGES, "One row a change to review; key `change_id`."),
    "`.usage`": (tables.USAGE, "One row a response of a model; key `agent`, `response_id`, `request_id`."),
    "`.sessions`": (summing.SESSIONS, "One row a session, with its sums; key `session_id`."),
    "`.turns`": (summing.TURNS, "One row a prompt and what followed, with its sums; key `session_id`, `turn_id`."),
    "`.messages`": (tables.MESSAGES, "One row a message or a part of one."),
    "`.tool_calls`, `session.transcript.tool_calls`": (
        tables.TOOL_CALLS,
        "One row a call of a tool; key `session_id`, `call_id`.",
    ),
    "`.file_changes`": (tables.FILE_CHANGES, "One row a file changed; key `change_id`, `path`."),
    "`.permissions`": (tables.PERMISSIONS, "One row a permission that was asked for; key `entry_id`."),
    "`.quality`": (tables.QUALITY, "One row a thing that could not be read."),
    "`.labels`": (columns.LABELS, "One row a session of which something was said; key `session_id`."),
    "`.coverage()`": (history.COVERAGE, "One row an agent."),
}
"""Each frame: what it is called, its columns, and its rows."""

HEAD = """## Frames

Ordinary pandas dtypes: string, category, Int64, Float64, boolean, and datetime64 in UTC; with
`dtype_backend="pyarrow"` those of Arrow, as in pandas' own readers. What is not known is NA, never 0. The keys are
columns, so that frames are joined by `usage.merge(sessions, on="session_id")`.

`usage`, `sessions`, `turns`, `messages`, `tool_calls`, `file_changes` and `permissions` have the same columns wherever
they come from: `cnb.history()` and `cnb.everything()` have them as attributes, a session or a chat as calls
(`session.turns()`), and `cnb.usage()` is the usage of all chats. `source` says whether a row was seen here (pool) or
read from the agent's own files (import).
"""


def page() -> str:
    """The section on frames."""
    parts = [HEAD]
    for name, (table, rows) in FRAMES.items():
        lines = [f"| `{column.name}` | {column.kind} | {column.what} |" for column in table]
        parts.append(
            "\n".join([f"### {name}", "", rows, "", "| column | dtype | meaning |", "|---|---|---|", *lines, ""])
        )
    return "\n".join(parts)


def written(reference: str) -> str:
    """The reference with that section as it is now."""
    before, _, rest = reference.partition("## Frames\n")
    after = rest.partition("\n## ")[2]
    return f"{before}{page()}\n## {after}"


if __name__ == "__main__":
    path = Path(__file__).parents[2] / "docs" / "reference.md"
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
