"""Changes, and what is decided about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from coder_nb.core.changes import Change, ChangeStatus, FileContent, Preview
from coder_nb.core.parts import choose, halves, is_whole
from coder_nb.errors import Conflict
from coder_nb.ids import new_id
from coder_nb.testing.memory.chats import Chats


class Reviewing(Chats):
    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        return tuple(self.changed[chat_id])

    async def apply(
        self,
        chat_id: str,
        change_ids: Sequence[str],
        *,
        hunks: Mapping[str, Sequence[str]] | None = None,
        to: str = "",
        commit: str = "",
    ) -> tuple[Change, ...]:
        return self._decide(chat_id, change_ids, "applied", hunks or {})

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Change, ...]:
        return self._decide(chat_id, change_ids, "rejected", hunks or {})

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        applied = [change.id for change in self.changed[chat_id] if change.status == "applied"]
        return self._decide(chat_id, [i for i in change_ids if i in applied], "reverted", {})

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        pending = [change for change in self.changed[chat_id] if change.status in ("pending", "conflict")]
        return tuple(Preview(change_id=change.id, outcome="clean") for change in pending)

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        await self.get_chat(chat_id)
        text = "before\n" if old else "after\n"
        return FileContent(media_type="text/plain", size=len(text), text=text)

    def _decide(
        self, chat_id: str, ids: Sequence[str], status: ChangeStatus, hunks: Mapping[str, Sequence[str]]
    ) -> tuple[Change, ...]:
        changes = self.changed[chat_id]
        touched = []
        for index, change in enumerate(changes):
            if change.id not in ids:
                continue
            chosen = choose(change, hunks.get(change.id, ()))
            if change.note:
                changes[index] = replace(change, status="conflict")
            elif chosen and not is_whole(change, chosen):
                part, changes[index] = halves(change, chosen, "middle", named="second")
                touched.append(replace(part, id=new_id(), status=status, decided_at=3))
            else:
                changes[index] = replace(change, status=status, decided_at=3)
            touched.append(changes[index])
        changes += [change for change in touched if change not in changes]
        if not changes and ids:
            raise Conflict
        return tuple(touched)
