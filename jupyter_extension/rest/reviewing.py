"""What the routes about changes do: one call of the runtime each."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from coder_nb.core.changes import Change, FileContent, Preview
from coder_nb.core.verbs import Verbs


class Chosen(Struct, frozen=True, kw_only=True):
    """Changes, by their ids."""

    ids: tuple[str, ...]
    hunks: dict[str, tuple[str, ...]] = {}
    """Of these changes only these hunks."""


class Applied(Chosen, frozen=True, kw_only=True):
    """Changes to apply, and where to."""

    to: str = ""
    commit: str = ""


class Reverted(Struct, frozen=True, kw_only=True):
    """Changes to take back, by their ids."""

    ids: tuple[str, ...]


class SideQuery(Struct, frozen=True, kw_only=True):
    side: Literal["old", "new"] = "new"


async def changes(runtime: Verbs, chat_id: str) -> tuple[Change, ...]:
    return await runtime.changes(chat_id)


async def apply(runtime: Verbs, chat_id: str, body: Applied) -> tuple[Change, ...]:
    return await runtime.apply(chat_id, body.ids, hunks=body.hunks, to=body.to, commit=body.commit)


async def reject(runtime: Verbs, chat_id: str, body: Chosen) -> tuple[Change, ...]:
    return await runtime.reject(chat_id, body.ids, hunks=body.hunks)


async def revert(runtime: Verbs, chat_id: str, body: Reverted) -> tuple[Change, ...]:
    return await runtime.revert(chat_id, body.ids)


async def preview(runtime: Verbs, chat_id: str) -> tuple[Preview, ...]:
    return await runtime.preview(chat_id)


async def content(runtime: Verbs, chat_id: str, change_id: str, query: SideQuery) -> FileContent:
    return await runtime.content(chat_id, change_id, old=query.side == "old")
