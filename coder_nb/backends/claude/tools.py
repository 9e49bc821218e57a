"""Claude's tool calls: what they are, what came of them, and what they did to files; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, cast

from claude_agent_sdk import ToolResultBlock, ToolUseBlock

from coder_nb.backends.events import ToolUpdate
from coder_nb.core.entries import FileDiff, Location, PlanItem, ToolKind
from coder_nb.core.tools import kind_of, normal_name

PLAN = "TodoWrite"
_EXIT = re.compile(r"Exit code (\d+)")
_STATUS = {"pending": "pending", "in_progress": "in_progress", "completed": "completed"}
_KINDS: dict[str, ToolKind] = {
    "NotebookEdit": "edit",
    "NotebookRead": "read",
    "ToolSearch": "think",
    "ListAgents": "think",
    "TaskOutput": "read",
    PLAN: "think",
}
_TITLES = ("command", "file_path", "notebook_path", "path", "pattern", "query", "url", "description", "skill")


def kind(name: str) -> ToolKind:
    """What kind of deed a tool does; one of the user's MCP servers may do anything."""
    if name.startswith("mcp__"):
        return "other"
    return _KINDS.get(name) or kind_of(normal_name(name))


def title(name: str, given: Mapping[str, Any]) -> str:
    """One line for people: the tool, and what it is about."""
    about = next((given[key] for key in _TITLES if isinstance(given.get(key), str)), "")
    return f"{name} {' '.join(about.split())}".strip()[:200]


def call(block: ToolUseBlock, parent: str | None) -> ToolUpdate:
    """A tool call, when its name is known, and again when what it is given is."""
    path = _path(block.input)
    return ToolUpdate(
        call_id=block.id,
        original_name=block.name,
        tool_kind=kind(block.name),
        title=title(block.name, block.input),
        input=block.input or None,
        status="in_progress" if block.input else "pending",
        locations=(Location(path=path),) if path else None,
        diffs=diffs(block.name, block.input) or None,
        parent=parent,
    )


def result(name: str, block: ToolResultBlock, details: object, parent: str | None) -> ToolUpdate:
    """What came of a call. `details` is what Claude tells beside it, in a shape of each tool's own."""
    content = text(block.content)
    failed = bool(block.is_error)
    code = None
    if normal_name(name) == "terminal":
        found = _EXIT.match(content) if failed else None
        code = int(found[1]) if found else None if failed else 0
    done = _done(details) if isinstance(details, dict) and not failed else None
    return ToolUpdate(
        call_id=block.tool_use_id,
        status="failed" if failed else "completed",
        content=content,
        exit_code=code,
        diffs=done or (() if failed else None),
        parent=parent,
    )


def text(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a result; what is no text is named."""
    if isinstance(content, str):
        return content
    parts = [part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in content or []]
    return "\n".join(map(str, parts))


def diffs(name: str, given: Mapping[str, Any]) -> tuple[FileDiff, ...]:
    """What a call is about to do to a file, as far as what it is given tells."""
    path = _path(given)
    if not path:
        return ()
    match name, given:
        case "Write", {"content": str(content)}:
            return (FileDiff(path=path, new=content),)
        case "Edit", {"old_string": str(old), "new_string": str(new)}:
            return (FileDiff(path=path, old=old, new=new),)
    return ()


def plan(given: Mapping[str, Any]) -> tuple[PlanItem, ...]:
    """The items of a plan."""
    todos = given.get("todos")
    return tuple(
        PlanItem(text=str(todo.get("content", "")), status=cast(Any, _STATUS.get(str(todo.get("status")), "pending")))
        for todo in (todos if isinstance(todos, list) else [])
        if isinstance(todo, dict)
    )


def _done(details: Mapping[str, Any]) -> tuple[FileDiff, ...]:
    """What a call did to a file."""
    path, before = details.get("filePath"), details.get("originalFile")
    if not isinstance(path, str):
        return ()
    old = before if isinstance(before, str) else None
    match details:
        case {"content": str(content)}:
            return (FileDiff(path=path, old=old, new=content),)
        case {"oldString": str(part), "newString": str(new)}:
            if old is None or part not in old:
                return (FileDiff(path=path, old=part, new=new),)
            return (FileDiff(path=path, old=old, new=old.replace(part, new, -1 if details.get("replaceAll") else 1)),)
    return ()


def _path(given: Mapping[str, Any]) -> str | None:
    found = given.get("file_path") or given.get("notebook_path")
    return str(PurePath(found)) if isinstance(found, str) and found else None
