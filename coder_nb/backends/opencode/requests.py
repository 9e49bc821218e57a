"""What a session asks of people while its turn runs: permissions and questions, each answered once on the server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coder_nb.backends.events import AnyEvent, PermissionAsked, PermissionGone, QuestionAsked, QuestionGone
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.errors import AgentFailed


class _Batch:
    """Questions that were asked at once: the server takes all their answers together."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.answers: dict[str, tuple[str, ...] | None] = {}
        self.ids = tuple(ids)

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(one for one in self.ids if one not in self.answers)


class Requests:
    """The requests of a chat's session; those of a turn go with it."""

    def __init__(self, server: Server, cwd: Path, *, label: str) -> None:
        self._server, self._cwd, self._label = server, cwd, label
        self._permissions: set[str] = set()
        self._batches: dict[str, _Batch] = {}

    @property
    def open(self) -> frozenset[str]:
        """The server's ids of what waits."""
        return frozenset((*self._permissions, *self._batches))

    # What the server says --------------------------------------------------------------------------------------------

    def permission(self, asked: PermissionAsked) -> list[AnyEvent]:
        """A permission is asked, once however often the server says so."""
        if asked.request_id in self._permissions:
            return []
        self._permissions.add(asked.request_id)
        return [asked]

    def questions(self, request_id: str, asked: list[QuestionAsked]) -> list[AnyEvent]:
        """Questions are asked at once."""
        if request_id in self._batches:
            return []
        self._batches[request_id] = _Batch(one.request_id for one in asked)
        return list(asked)

    def gone(self, request_id: str) -> list[AnyEvent]:
        """A request was answered by somebody else, or taken back."""
        if request_id in self._permissions:
            self._permissions.discard(request_id)
            return [PermissionGone(request_id=request_id)]
        batch = self._batches.pop(request_id, None)
        return [QuestionGone(request_id=one) for one in batch.open] if batch is not None else []

    # What people say -------------------------------------------------------------------------------------------------

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission; does nothing where it is not pending any more."""
        if request_id in self._permissions:
            self._permissions.discard(request_id)
            await self._post(f"/permission/{request_id}/reply", {"reply": "once" if option_id == "once" else "reject"})

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a question; the server hears of it with the last one of its batch."""
        known = next(((key, batch) for key, batch in self._batches.items() if request_id in batch.open), None)
        if known is None:
            return
        key, batch = known
        batch.answers[request_id] = answer
        if batch.open:
            return
        del self._batches[key]
        answers = [list(batch.answers[one] or ()) for one in batch.ids]
        if any(answers):
            await self._post(f"/question/{key}/reply", {"answers": answers})
        else:
            await self._post(f"/question/{key}/reject", None)

    def refuse(self, request_id: str, *, question: bool) -> None:
        """Refuses what is asked where nobody is there."""
        if question:
            self._soon(self._post(f"/question/{request_id}/reject", None))
        else:
            self._soon(self._post(f"/permission/{request_id}/reply", {"reply": "reject"}))

    def refuse_all(self) -> None:
        """The turn is over, or about to be."""
        permissions, self._permissions = self._permissions, set()
        batches, self._batches = self._batches, {}
        for request_id in permissions:
            self.refuse(request_id, question=False)
        for request_id in batches:
            self.refuse(request_id, question=True)

    def _soon(self, what: Any) -> None:
        self._server.soon(what, name=f"{self._label} answer")

    async def _post(self, path: str, body: Any) -> None:
        """A request that is gone was answered by somebody else, or its turn has ended: both are seen otherwise."""
        try:
            await self._server.call("POST", path, self._cwd, body)
        except (Refused, AgentFailed):
            return
