"""Tool calls, and the questions whether they may be made; pure."""

from __future__ import annotations

from typing import Any

from coder_nb.backends.events import PermissionAsked, QuestionAsked, ToolUpdate
from coder_nb.backends.opencode.patches import diffs_of
from coder_nb.backends.opencode.state import State
from coder_nb.core.entries import Choice, FileDiff, Location, PermissionOption, PlanItem, ToolStatus
from coder_nb.core.tools import kind_of, normal_name

_STATUSES: dict[str, ToolStatus] = {
    "pending": "pending",
    "running": "in_progress",
    "completed": "completed",
    "error": "failed",
}
_PLANNED = ("pending", "in_progress", "completed")
_ABORTED = "Tool execution aborted"
OPTIONS = (
    PermissionOption(id="once", label="Allow once", kind="allow_once"),
    PermissionOption(id="reject", label="Reject", kind="reject_once"),
)
_PERMISSION_TOOL = {"external_directory": "read", "doom_loop": "task"}


def tool_update(state: State, part: dict[str, Any]) -> ToolUpdate:
    """A tool call as its part has it now: always the whole of it."""
    call_id, name, said = part["callID"], part["tool"], part["state"]
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise TypeError("a tool call without id or name")
    known = call_id in state.tools
    state.tools[call_id] = name
    state.inputs[call_id] = given = said.get("input") or state.inputs.get(call_id)
    metadata = said.get("metadata") if isinstance(said.get("metadata"), dict) else {}
    _note_child(state, name, call_id, said["status"], metadata.get("sessionId"))
    status = _STATUSES.get(said["status"], "in_progress")
    failed = said.get("error")
    output = said.get("output", metadata.get("output")) if failed is None else failed
    exit_code = metadata.get("exit")
    return ToolUpdate(
        call_id=call_id,
        original_name=None if known else name,
        tool_kind=None if known else kind_of(normal_name(name)),
        title=said["title"] if isinstance(said.get("title"), str) and said["title"] else None,
        input=given or None,
        status="cancelled" if failed == _ABORTED else status,
        content=output if isinstance(output, str) and output else None,
        locations=_locations(given),
        diffs=_diffs(name, given, metadata) if status == "completed" else None,
        exit_code=exit_code if isinstance(exit_code, int) and not isinstance(exit_code, bool) else None,
    )


def permission(state: State, request_id: str, said: dict[str, Any]) -> PermissionAsked:
    """The question of a `permission.asked`, with the diff that comes with it."""
    kind, metadata = said["permission"], said.get("metadata") or {}
    tool = said.get("tool") or {}
    call_id = str(tool.get("callID") or "")
    name = state.tools.get(call_id) or _PERMISSION_TOOL.get(kind, kind)
    patterns = [pattern for pattern in said.get("patterns") or () if isinstance(pattern, str)]
    patch = metadata.get("diff")
    return PermissionAsked(
        request_id=request_id,
        title=str(metadata.get("command") or metadata.get("filepath") or ", ".join(patterns) or kind),
        tool=name,
        tool_kind=kind_of(normal_name(kind)) if kind == "external_directory" else kind_of(normal_name(name)),
        call_id=call_id or None,
        input=state.inputs.get(call_id) or metadata,
        diffs=diffs_of(patch) if isinstance(patch, str) else (),
        options=OPTIONS,
    )


def questions(request_id: str, said: dict[str, Any]) -> list[QuestionAsked]:
    """The questions of a `question.asked`: one event each, with an id of its own. An answer is a choice's label."""
    call = (said.get("tool") or {}).get("callID")
    return [
        QuestionAsked(
            request_id=f"{request_id}.{number}",
            text=str(one["question"]),
            choices=tuple(_choice(option) for option in one.get("options") or ()),
            multiple=one.get("multiple") is True,
            custom=one.get("custom") is not False,
            call_id=call if isinstance(call, str) else None,
        )
        for number, one in enumerate(said["questions"])
    ]


def _choice(option: dict[str, Any]) -> Choice:
    label = str(option["label"])
    return Choice(id=label, label=label, description=str(option.get("description") or ""))


def plan(todos: Any) -> tuple[PlanItem, ...]:
    """A list of things to do."""
    return tuple(
        PlanItem(
            text=str(item["content"]),
            status=item["status"] if item.get("status") in _PLANNED else "completed",
            priority=item["priority"] if item.get("priority") in ("high", "medium", "low") else "medium",
        )
        for item in todos
    )


def _note_child(state: State, name: str, call_id: str, status: str, session: Any) -> None:
    """The task tool's call tells which session its sub-agent has."""
    if name != "task":
        return
    if isinstance(session, str):
        state.children[session] = call_id
    waits = call_id not in state.children.values() and status in ("pending", "running")
    if waits and call_id not in state.waiting:
        state.waiting.append(call_id)
    elif not waits and call_id in state.waiting:
        state.waiting.remove(call_id)


def _locations(given: Any) -> tuple[Location, ...] | None:
    path = given.get("filePath") if isinstance(given, dict) else None
    return (Location(path=path),) if isinstance(path, str) else None


def _diffs(name: str, given: Any, metadata: dict[str, Any]) -> tuple[FileDiff, ...] | None:
    """What a call that is done says it did to files."""
    change = metadata.get("filediff")
    if isinstance(change, dict) and isinstance(change.get("after"), str):
        return (FileDiff(path=str(change.get("file") or ""), old=change.get("before"), new=change["after"]),)
    if isinstance(metadata.get("diff"), str):
        return diffs_of(metadata["diff"]) or None
    if name == "write" and isinstance(given, dict) and isinstance(given.get("content"), str):
        return (FileDiff(path=str(given.get("filePath") or ""), new=given["content"]),)
    return None
