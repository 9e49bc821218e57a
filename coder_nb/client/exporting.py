"""Chats to files and back."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

import msgspec

from coder_nb.client.link import Link
from coder_nb.client.snapshot import Snapshot
from coder_nb.core.entries import Usage
from coder_nb.core.export import BadExport, Exported, from_lines, to_lines
from coder_nb.core.usage import UsageRow
from coder_nb.errors import BadRequest, InvalidOption

Format = Literal["jsonl", "markdown", "html"]
FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
}


def write(
    link: Link, chat_id: str, path: str | PathLike[str], *, format: Format | None, redact: bool, overwrite: bool
) -> Path:
    """Writes a chat to a file, whole or not at all; raises `InvalidOption` for an ending that says no format."""
    target = Path(fspath(path)).expanduser()
    kind = format or FORMATS.get(target.suffix.lower())
    if kind is None or kind not in WRITERS:
        raise InvalidOption(
            f"{target.name!r} does not say in which format: end it with .jsonl, .md or .html, or give `format=`."
        )
    if target.exists() and not overwrite:
        raise InvalidOption(f"{target} exists: give another name, or `overwrite=True`.")
    exported = link.run(link.verbs.export, chat_id, redact=redact)
    data = WRITERS[kind](link, exported)
    making = target.with_name(f".{target.name}.part")
    try:
        making.write_bytes(data)
        making.replace(target)
    except OSError as error:
        making.unlink(missing_ok=True)
        raise BadRequest(f"{target} cannot be written ({error.strerror}): choose another place.") from error
    return target


def read(path: str | PathLike[str]) -> Exported:
    """The chat in a file that `write` made as JSON Lines; raises `BadRequest` with the line and why."""
    source = Path(fspath(path)).expanduser()
    try:
        return from_lines(source.read_bytes())
    except OSError as error:
        raise BadRequest(f"{source} cannot be read ({error.strerror}): check the path.") from error
    except BadExport as error:
        raise BadRequest(
            f"{source} is no chat of coder-nb: {error}. Give a .jsonl file that `chat.export` wrote."
        ) from error


def _jsonl(link: Link, exported: Exported) -> bytes:
    return b"".join(to_lines(exported))


def _markdown(link: Link, exported: Exported) -> bytes:
    from coder_nb.client.markdown import chat_markdown

    return chat_markdown(exported).encode("utf-8", "replace")


def _html(link: Link, exported: Exported) -> bytes:
    if link.screen is None:
        raise InvalidOption("Nothing here draws pages: export as .md or .jsonl.")
    return link.screen.page(snapshot_of(exported)).encode("utf-8", "replace")


WRITERS: dict[Format, Callable[[Link, Exported], bytes]] = {"jsonl": _jsonl, "markdown": _markdown, "html": _html}


def snapshot_of(exported: Exported) -> Snapshot:
    """An exported chat as what is painted from; nothing in it is cut short."""
    usage = tuple(
        UsageRow(
            entry_id=entry.id,
            chat_id=entry.chat_id,
            session_id=exported.session.id,
            turn_id=entry.turn_id,
            agent=entry.agent,
            ts=entry.ts,
            **{
                name: getattr(entry.body, name)
                for name in ("tokens", "model", "cost_nanousd", "cost_source", "counted")
            },
        )
        for entry in exported.entries
        if isinstance(entry.body, Usage)
    )
    plain = msgspec.structs.replace(exported.chat, run_status="idle")
    return Snapshot(
        chat=plain, session=exported.session, entries=exported.entries, changes=exported.changes, usage=usage
    )
