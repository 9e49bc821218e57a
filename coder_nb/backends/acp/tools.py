"""Tool calls, and the questions whether they may be made; pure."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, cast, get_args

import msgspec

from coder_nb.backends.acp.state import State, Tool, as_count, as_text
from coder_nb.backends.events import AnyEvent, PermissionAsked, ToolUpdate
from coder_nb.core.entries import FileDiff, Location, PermissionOption, ToolKind, ToolStatus
from coder_nb.core.tools import kind_of, normal_name

_KINDS: frozenset[str] = frozenset(get_args(ToolKind))
_STATUSES: frozenset[str] = frozenset(get_args(ToolStatus))
_OptionKind = Literal["allow_once", "allow_always", "reject_once", "reject_always"]
_OPTIONS: frozenset[str] = frozenset(get_args(_OptionKind))
_NAME_IN_ID = re.compile(r"([A-Za-z]\w*?)__\1_\d")
_LONGEST_META = 8192
_SHOWN_FOLDER = re.compile(r"\[(?:in|current working directory) (.+?)\](?= \(| \[background\]|\Z)", re.DOTALL)
_BARE_NAME = re.compile(r"[A-Za-z_][\w.:-]*\Z")


def tool_update(state: State, said: dict[str, Any], *, begins: bool) -> ToolUpdate:
    call_id = as_text(said["toolCallId"])
    known = state.tools.setdefault(call_id, Tool())
    name = _tool_name(said, begins=begins and known.name is None)
    known.name = name or known.name
    given = said.get("kind")
    if given in _KINDS and given != "other":
        known.kind = cast("ToolKind", given)
    elif known.kind == "other" and known.name:
        known.kind = kind_of(normal_name(known.name))
    status = said.get("status")
    if status in ("completed", "failed"):
        state.denied.discard(call_id)
    content, diffs = _content(state, call_id, said.get("content"))
    arguments = said.get("rawInput") or None
    if arguments is None and begins and known.kind == "execute" and status in ("pending", "in_progress"):
        arguments = _shown_command(said.get("title"), content)
    known.input = arguments or known.input
    output = said.get("rawOutput")
    if content is None and not diffs and output is not None:
        content = _output_text(output)
    locations = _locations(said.get("locations"))
    paths = (*(place.path for place in locations or ()), *(diff.path for diff in diffs or ()))
    known.paths = tuple(dict.fromkeys((*known.paths, *paths)))
    if not diffs:  # some put the diff into their question only: it stays, unless nothing came of it
        diffs = () if status == "failed" else None
    return ToolUpdate(
        call_id=call_id,
        original_name=name,
        tool_kind=known.kind if begins or given is not None or name else None,
        title=said["title"] if isinstance(said.get("title"), str) else None,
        input=arguments,
        status=status if status in _STATUSES else ("pending" if begins else None),
        content=content,
        locations=locations,
        diffs=diffs,
        exit_code=_exit_code(output),
        meta=_meta(said.get("_meta")),
    )


def _shown_command(title: Any, content: str | None) -> dict[str, str] | None:
    """The input of a command that is shown and not given: the line as the title, as content the folder it runs in.

    gemini does so. Where the folder is not told apart the title may be anything, and is not taken for a command.
    """
    folder = _SHOWN_FOLDER.match(content or "")
    return {"command": title, "dir_path": folder[1]} if folder and isinstance(title, str) and title else None


def left_denied(state: State) -> list[AnyEvent]:
    """The end of those calls that were denied and of which the agent has said no more."""
    left, state.denied = state.denied, set()
    return [ToolUpdate(call_id=call_id, status="failed") for call_id in sorted(left)]


def permission(state: State, request_id: str, params: Any) -> list[AnyEvent]:
    """The events of a `session/request_permission`: the tool call, as far as it says more of it, and the question.

    Raises `ValueError` where it is no such request.
    """
    try:
        said = params["toolCall"]
        begins = said["toolCallId"] not in state.tools
        before = None if begins else state.tools[said["toolCallId"]].input
        tool = tool_update(state, said, begins=begins)
        options = tuple(_option(option) for option in params["options"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a permission request: {error}") from error
    known = state.tools[tool.call_id]
    if begins:
        state.speaking = ""
    else:  # what it says of a call that is known is about the question: not what the tool was given
        given = None if before else tool.input
        tool = msgspec.structs.replace(tool, title=None, status=None, tool_kind=None, input=given)
        known.input = before or known.input
    asked = PermissionAsked(
        request_id=request_id,
        title=str(said.get("title") or ""),
        tool=known.name or "",
        tool_kind=known.kind,
        call_id=tool.call_id,
        input=known.input,
        diffs=tool.diffs or (),
        options=options,
    )
    return [tool, asked]


def _option(option: dict[str, Any]) -> PermissionOption:
    kind = option.get("kind")
    if kind not in _OPTIONS:
        kind = "allow_once" if str(kind).startswith("allow") else "reject_once"
    label = str(option.get("name") or option["optionId"])
    return PermissionOption(id=as_text(option["optionId"]), label=label, kind=cast("_OptionKind", kind))


def _meta(noted: Any) -> dict[str, Any] | None:
    """What an agent notes beside a call, unless it is so long that it must be the call's output once more."""
    if not isinstance(noted, dict) or not noted:
        return None
    return noted if len(json.dumps(noted)) <= _LONGEST_META else None


def _tool_name(said: dict[str, Any], *, begins: bool) -> str | None:
    """The tool's own name: agents put it into `_meta`, each in its place, or into the call's id, or as its title."""
    if named := _named_in(said.get("_meta"), depth=3):
        return named
    title = said.get("title")
    if not begins:
        return None
    if in_id := _NAME_IN_ID.match(said["toolCallId"]):
        return in_id[1]
    return title if isinstance(title, str) and _BARE_NAME.match(title) else None


def _named_in(meta: Any, *, depth: int) -> str | None:
    if not isinstance(meta, dict) or depth == 0:
        return None
    name = meta.get("toolName")
    if isinstance(name, str) and name:
        return name
    return next((found for value in meta.values() if (found := _named_in(value, depth=depth - 1))), None)


def _content(state: State, call_id: str, items: Any) -> tuple[str | None, tuple[FileDiff, ...] | None]:
    """Text and diffs of a tool call's content, which replaces what was there; (None, None) where there is none.

    What is not understood is kept as text, so that it loses nothing else.
    """
    if not isinstance(items, list) or not items:
        return None, None
    texts: list[str] = []
    diffs: list[FileDiff] = []
    for item in items:
        try:
            if item["type"] == "diff":
                new = as_text(item["newText"])
                diffs.append(FileDiff(path=as_text(item["path"]), old=item.get("oldText"), new=new))
            elif item["type"] == "terminal":
                state.terminals[as_text(item["terminalId"])] = call_id
            else:
                texts.append(_block_text(item["content"]))
        except (KeyError, TypeError, AttributeError):
            texts.append(json.dumps(item, ensure_ascii=False))
    return ("\n".join(texts) if texts else None), tuple(diffs)


def _block_text(block: dict[str, Any]) -> str:
    if block["type"] == "text":
        return as_text(block["text"])
    if block["type"] == "resource":
        return str(block["resource"].get("text") or block["resource"].get("uri") or "")
    return str(block.get("uri") or f"[{block['type']}]")


def _output_text(output: Any) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, dict) and isinstance(output.get("output"), str):
        return str(output["output"])
    return json.dumps(output, ensure_ascii=False)


def _exit_code(output: Any) -> int | None:
    places = [output, output.get("metadata")] if isinstance(output, dict) else []
    codes = [p.get(n) for p in places if isinstance(p, dict) for n in ("exitCode", "exit_code", "exit")]
    return next((code for code in codes if isinstance(code, int) and not isinstance(code, bool)), None)


def _locations(found: Any) -> tuple[Location, ...] | None:
    if not isinstance(found, list) or not found:
        return None
    places = [item for item in found if isinstance(item, dict) and isinstance(item.get("path"), str)]
    return tuple(Location(path=item["path"], line=as_count(item.get("line"))) for item in places) or None
