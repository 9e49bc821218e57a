"""A chat as Markdown that stands alone, for a pull request or a report. What agents said is no HTML in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from coder_nb.client.text import MARKS, clean, diff_text, summary, usage_text
from coder_nb.core import entries as core
from coder_nb.core.entries import Entry, Page, Unknown
from coder_nb.core.export import Exported
from coder_nb.core.transcript import Transcript
from coder_nb.core.usage import UsageRow

_CODE = re.compile(
    r"(^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^(?P=fence)[^\n]*$|\Z)|(?P<tick>`+)[^\n]*?(?P=tick))", re.S | re.M
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_HEADING = re.compile(r"^(#{1,6})(?=\s)", re.M)


def chat_markdown(exported: Exported) -> str:
    """The transcript, then the changes as one diff, then what it has used; what a restore has hidden is left out."""
    fold = Transcript()
    fold.apply(Page(entries=exported.entries))
    shown = list(fold)
    title = _line(exported.chat.title or exported.chat.name)
    parts = [f"# {title}", f"_{_line(exported.session.path)}, `{exported.chat.resource}`_"]
    parts += [block for entry in shown if (block := entry_markdown(entry))]
    if diff := diff_text(exported.changes):
        parts += ["## Changes", _fenced(clean(diff), "diff")]
    if used := usage_text(_usage(shown)):
        parts += ["## Usage", used]
    return "\n\n".join(parts) + "\n"


def entry_markdown(entry: Entry) -> str:
    """One entry; empty for what is only bookkeeping."""
    if isinstance(entry.body, Unknown):
        return f"_({_line(entry.body.kind) or 'unknown'})_"
    return DRAWN[type(entry.body)](entry.body).strip("\n")


def _usage(entries: Iterable[Entry]) -> Iterable[UsageRow]:
    for entry in entries:
        if isinstance(entry.body, core.Usage):
            body = entry.body
            yield UsageRow(
                entry_id=entry.id,
                chat_id=entry.chat_id,
                session_id="",
                turn_id=entry.turn_id,
                agent=entry.agent,
                ts=entry.ts,
                tokens=body.tokens,
                cost_nanousd=body.cost_nanousd,
                cost_source=body.cost_source,
                counted=body.counted,
            )


def _said(text: str) -> str:
    """Markdown of an agent, one level below our headings, and without HTML; code in it stays as it is."""
    parts = _CODE.split(clean(text))
    # The pattern has three groups, so that what stands between two pieces of code comes every fourth time.
    return "".join(_plain(part) if place % 4 == 0 else part for place, part in enumerate(parts) if place % 4 in (0, 1))


def _plain(text: str) -> str:
    return _HEADING.sub(lambda found: "#" * min(6, len(found[1]) + 2), _TAG.sub("&lt;", text))


def _line(text: str) -> str:
    return _TAG.sub("&lt;", " ".join(clean(text).split()))


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _TAG.sub("&lt;", clean(text)).splitlines())


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _ticked(text: str) -> str:
    line = " ".join(clean(text).split())
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    return f"{ticks}{line}{ticks}" if ticks == "`" else f"{ticks} {line} {ticks}"


def _turn_started(body: core.TurnStarted) -> str:
    return f"## {_line(body.agent)}" + (f" ({_line(body.model)})" if body.model else "")


def _tool_call(body: core.ToolCall) -> str:
    head = f"**{_line(body.name)}** {_ticked(summary(body) or body.name)} {MARKS[body.status]}"
    parts = [head]
    if body.content.strip():
        parts.append(_fenced(clean(body.content)))
    elif body.input not in (None, {}):
        parts.append(_fenced(msgspec.json.encode(body.input, enc_hook=str).decode(errors="replace"), "json"))
    return "\n\n".join(parts)


def _plan(body: core.Plan) -> str:
    return "\n".join(f"- {MARKS[item.status]} {_line(item.text)}" for item in body.items)


def _turn_ended(body: core.TurnEnded) -> str:
    if body.end == "completed":
        return ""
    return f"**{body.end.capitalize()}**" + (f": {_line(body.message)}" if body.message else "")


def _quiet(body: Any) -> str:
    return ""


DRAWN: Mapping[type[Any], Callable[[Any], str]] = {
    core.TurnStarted: _turn_started,
    core.UserMessage: lambda body: _quoted(body.text),
    core.Text: lambda body: _said(body.text),
    core.Reasoning: lambda body: f"_Reasoning:_\n\n{_quoted(body.text)}" if body.text.strip() else "",
    core.ToolCall: _tool_call,
    core.Plan: _plan,
    core.Permission: lambda body: f"_Permission:_ {_ticked(body.title or body.tool)}: {body.status}",
    core.Question: lambda body: f"_Question:_ {_line(body.text)}: {_line(', '.join(body.answer) or body.status)}",
    core.Commands: _quiet,
    core.Mode: _quiet,
    core.Usage: _quiet,
    core.FileChange: lambda body: f"_{body.operation}_ {_ticked(body.path)}",
    core.Checkpoint: _quiet,
    core.Compaction: lambda body: "_The conversation was summarised here._",
    core.Notice: lambda body: f"_{_line(body.text)}_",
    core.Error: lambda body: f"**Error:** {_line(body.message)}",
    core.Raw: lambda body: f"_{_line(body.source)}: {_line(body.type or 'not understood')}_",
    core.TurnEnded: _turn_ended,
}
"""How each kind of entry is written; a test holds the table to the union."""
