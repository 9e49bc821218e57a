"""Transcripts, diffs and usage as HTML without any script: what nbconvert, nbviewer and a saved notebook show.

All text of agents is untrusted. It is escaped, or goes through a Markdown renderer that passes neither HTML nor images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from coder_nb.client.snapshot import Snapshot
from coder_nb.client.text import MARKS, answer_text, clean, pool_cells, revealed, summary, sums, usage_text
from coder_nb.core import entries as core
from coder_nb.core.changes import Change
from coder_nb.core.entries import Entry, Unknown
from coder_nb.core.health import LiveAgent
from coder_nb.core.usage import UsageRow
from coder_nb.widgets.diffhtml import changes_html, file_html
from coder_nb.widgets.markdown import code_html, markdown_html
from coder_nb.widgets.style import CSS

MOST_LINES = 2000
"""How many lines of one file's diff are written out."""

_STATE = {
    "pending": "waiting",
    "in_progress": "running",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font-family: system-ui, sans-serif }</style>
</head>
<body>
"""
"""What a page of its own begins with: it may load and run nothing."""


def transcript_html(snapshot: Snapshot) -> str:
    """A chat, or one turn of it, with what the turn changed."""
    shown = [block for entry in snapshot.entries if (block := entry_html(entry))]
    if snapshot.turn_id == "":
        shown.append('<p class="muted">The turn is under way. Where this is all there is, it was cut off here.</p>')
    elif not shown:
        shown.append('<p class="muted">Nothing has been said yet.</p>')
    if snapshot.turn_id and snapshot.changes:
        shown.append("".join(file_html(change, open=False) for change in snapshot.changes))
    if total := usage_text(snapshot.usage):
        shown.append(f'<p class="foot">{escape(total)}</p>')
    return _page("transcript", "".join(shown))


def page_html(snapshot: Snapshot) -> str:
    """A chat with its changes and its usage, as a whole document; it loads nothing and runs nothing."""
    title = _text(snapshot.chat.title or snapshot.chat.name)
    head = _HEAD.replace("{title}", title)
    parts = [f"<h1>{title}</h1>", transcript_html(snapshot)]
    if snapshot.changes:
        parts += ["<h2>Changes</h2>", diff_html(snapshot.changes)]
    if snapshot.usage:
        parts += ["<h2>Usage</h2>", usage_html(snapshot.usage)]
    return f"{head}{''.join(parts)}\n</body>\n</html>\n"


def diff_html(changes: Sequence[Change]) -> str:
    """Changes, file by file."""
    if not changes:
        return _page("diff", '<p class="muted">No changes.</p>')
    return _page("diff", changes_html(changes))


def usage_html(rows: Sequence[UsageRow]) -> str:
    """Tokens and cost by agent and model, and the sum of what counts."""
    if not rows:
        return _page("usage", '<p class="muted">No usage was reported.</p>')
    groups: dict[tuple[str, str, bool], list[UsageRow]] = {}
    for row in rows:
        groups.setdefault((row.agent or "", row.model or "", row.counted), []).append(row)
    head = "".join(f"<th>{word}</th>" for word in ("Agent", "Model", "Reports", "Input", "Output", "Cost"))
    body = "".join(_usage_row(*key, group) for key, group in groups.items())
    counted = [row for row in rows if row.counted]
    foot = _usage_row("All", "", True, counted) if counted and len(groups) > 1 else ""
    note = "" if len(counted) == len(rows) else '<p class="muted">What was replayed or imported is in no sum.</p>'
    table = f'<table class="sums"><thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table>'
    return _page("usage", table + note)


def pool_html(agents: Sequence[LiveAgent]) -> str:
    """The warm agents as they were, without anything to click."""
    if not agents:
        return _page("pool", '<p class="muted">No agent is warm.</p>')
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Agent", "Chat", "State", "Memory", "Restarts", "Why"))
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in pool_cells(agent))}</tr>" for agent in agents)
    return _page("pool", f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def entry_html(entry: Entry) -> str:
    """One entry; empty for what is only bookkeeping."""
    if isinstance(entry.body, Unknown):
        return f'<p class="muted">{_text(entry.body.kind) or "unknown"}</p>'
    return DRAWN[type(entry.body)](entry.body)


def _page(view: str, content: str) -> str:
    return f'<div class="cnb cnb-{view}"><style>{CSS}</style>{content}</div>'


def _text(text: object) -> str:
    return escape(clean(str(text)))


def _revealed(text: object) -> str:
    """What a person decides by: nothing in it may hide or reorder."""
    return escape(revealed(clean(str(text))))


def _usage_row(agent: str, model: str, counted: bool, rows: Sequence[UsageRow]) -> str:
    total = sums(rows)
    cost = total["cost_nanousd"]
    numbers = [len(rows), total["input"], total["output"]]
    cells = "".join(f"<td>{'–' if value is None else f'{value:,}'}</td>" for value in numbers)
    money = "–" if cost is None else f"${cost / 1e9:,.4f}"
    kind = "" if counted else ' class="muted"'
    return f"<tr{kind}><th>{_text(agent)}</th><th>{_text(model)}</th>{cells}<td>{money}</td></tr>"


def _folded(kind: str, head: str, content: str) -> str:
    return f'<details class="{kind}"><summary>{head}</summary>{content}</details>'


def _tool_call(body: core.ToolCall) -> str:
    code = f" · exit code {body.exit_code}" if body.exit_code else ""
    head = (
        f'<span class="tool">{_revealed(body.name)}</span> <code>{_revealed(summary(body))}</code> '
        f'<span class="state {body.status}">{_STATE[body.status]}{code}</span>'
    )
    parts = []
    if body.input not in (None, {}):
        given = msgspec.json.format(msgspec.json.encode(body.input, enc_hook=str), indent=2).decode(errors="replace")
        parts.append(code_html(revealed(given), "json"))
    if body.content.strip():
        parts.append(f"<pre>{_text(body.content.rstrip())}</pre>")
    return _folded(f"call {body.status}", head, "".join(parts)) if parts else f'<p class="call">{head}</p>'


def _plan(body: core.Plan) -> str:
    mark = '<span title="{}">{}</span>'
    items = "".join(
        f'<li class="{item.status}">{mark.format(_STATE[item.status], MARKS[item.status])} {_text(item.text)}</li>'
        for item in body.items
    )
    return f'<ul class="plan">{items}</ul>' if items else ""


def _permission(body: core.Permission) -> str:
    by = f" by {_text(body.by)}" if body.by else ""
    return f'<p class="asked">Permission: <code>{_revealed(body.title or body.tool)}</code> – {body.status}{by}</p>'


def _question(body: core.Question) -> str:
    by = f" by {_text(body.by)}" if body.by and body.by != "nobody" else ""
    head = f"Question: {_revealed(body.text)} – {_text(answer_text(body))}{by}"
    items = "".join(
        f"<li>{_revealed(choice.label or choice.id)}"
        + (f' <span class="muted">{_text(choice.description)}</span>' if choice.description else "")
        + "</li>"
        for choice in body.choices
    )
    return f'<div class="asked"><p>{head}</p>{f"<ul>{items}</ul>" if items else ""}</div>'


def _turn_started(body: core.TurnStarted) -> str:
    model = f' <span class="muted">{_text(body.model)}</span>' if body.model else ""
    return f'<p class="turn">{_text(body.label or body.agent)}{model}</p>'


def _turn_ended(body: core.TurnEnded) -> str:
    if body.end == "completed":
        return ""
    why = f": {_text(body.message)}" if body.message else ""
    return f'<p class="{"muted" if body.end == "cancelled" else "error"}">{body.end.capitalize()}{why}</p>'


def _file_change(body: core.FileChange) -> str:
    counts = "" if body.additions is None else f' <span class="plus">+{body.additions}</span>'
    counts += "" if body.deletions is None else f' <span class="minus">−{body.deletions}</span>'
    return f'<p class="changed">{body.operation} <code>{_revealed(body.path)}</code>{counts}</p>'


def _reasoning(body: core.Reasoning) -> str:
    return _folded("reasoning", "Reasoning", markdown_html(clean(body.text))) if body.text.strip() else ""


def _quiet(body: Any) -> str:
    return ""


DRAWN: Mapping[type[Any], Callable[[Any], str]] = {
    core.TurnStarted: _turn_started,
    core.UserMessage: lambda body: f'<div class="user">{_text(body.text)}</div>',
    core.Text: lambda body: f'<div class="text">{markdown_html(clean(body.text))}</div>' if body.text.strip() else "",
    core.Reasoning: _reasoning,
    core.ToolCall: _tool_call,
    core.Plan: _plan,
    core.Permission: _permission,
    core.Question: _question,
    core.Commands: _quiet,
    core.Mode: _quiet,
    core.Usage: _quiet,
    core.FileChange: _file_change,
    core.Checkpoint: _quiet,
    core.Compaction: lambda body: '<p class="muted">The conversation was summarised here.</p>',
    core.Notice: lambda body: f'<p class="notice {body.level}">{_text(body.text)}</p>',
    core.Error: lambda body: f'<p class="error">{_text(body.message)}</p>',
    core.Raw: lambda body: f'<p class="muted">{_text(body.source)}: {_text(body.type or "not understood")}</p>',
    core.TurnEnded: _turn_ended,
}
"""How each kind of entry is drawn; a test holds the table to the union."""
