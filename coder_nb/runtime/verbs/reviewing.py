"""The changes of a chat, and what is decided about them."""

from __future__ import annotations

from collections.abc import Sequence

from coder_nb import errors
from coder_nb.core.changes import Change, FileContent, Preview
from coder_nb.runtime.review import Hunks, Review
from coder_nb.runtime.runner import Runner
from coder_nb.runtime.verbs.base import VerbGroup
from coder_nb.worktrees.decisions import Decisions


class Reviewing(VerbGroup):
    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        return await self._of(chat_id, await self._store.changes.of_chat(chat_id))

    async def apply(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Hunks | None = None, to: str = "", commit: str = ""
    ) -> tuple[Change, ...]:
        review, _ = await self._review(chat_id)
        return self._decided(await review.apply(change_ids, hunks or {}, to=to, commit=commit))

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Hunks | None = None
    ) -> tuple[Change, ...]:
        review, runner = await self._review(chat_id)
        if runner.turn is not None:
            raise errors.Conflict("The agent is still working on these files: stop it or wait for it, then reject.")
        return self._decided(await review.reject(change_ids, hunks or {}))

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        review, _ = await self._review(chat_id)
        return self._decided(await review.revert(change_ids))

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        changes = [c for c in await self._store.changes.of_chat(chat_id) if c.status in ("pending", "conflict")]
        chat = await self._store.catalog.get_chat(chat_id)
        return await Decisions(self._context.worktrees).preview(await self._host.path_of(chat.session_id), changes)

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        change = await self._store.changes.get(change_id)
        if change.chat_id != chat_id:
            raise errors.NotFound("This chat has no such change: look at `chat.changes` again.")
        return await Decisions(self._context.worktrees).content(
            await self._host.path_of(change.session_id), change, old=old
        )

    async def _review(self, chat_id: str) -> tuple[Review, Runner]:
        lease, runner = await self._host.runner_of(await self._store.catalog.get_chat(chat_id))
        return Review(self._context, runner.tree, lease), runner

    def _decided(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        for chat_id in {change.chat_id for change in changes}:
            self._context.feed(chat_id).tell(changes=True)
        return changes
