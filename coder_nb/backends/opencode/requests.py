"""What a session asks of people while its turn runs: permissions and questions, each answered once on the server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coder_nb.backends.base import AnyEvent, PermissionAsked, PermissionGone, QuestionAsked, QuestionGone
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.errors import AgentFailed

Rules = list[tuple[str, str]]
"""What an answer that is to hold always would allow: kinds of permission, with patterns."""


class _Batch:
    """Questions that were asked at once: the server takes all their answers together."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.answers: dict[str, tuple[str, ...] | None] = {}
        self.ids = tuple(ids)

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(one for one in self.ids if one not in self.answers)


class Requests:
    """The requests of a chat's session; those of a turn go with it, what was allowed for always stays."""

    def __init__(self, server: Server, cwd: Path, *, label: str) -> None:
        self._server, self._cwd, self._label = server, cwd, label
        self._permissions: dict[str, Rules] = {}
        self._batches: dict[str, _Batch] = {}
        self._allowed: set[tuple[str, str]] = set()
        """What was allowed for always: in this chat, which the server would not keep to."""

    @property
    def open(self) -> frozenset[str]:
        """The server's ids of what waits."""
        return frozenset((*self._permissions, *self._batches))

    # What the server says --------------------------------------------------------------------------------------------

    def permission(self, asked: PermissionAsked, rules: Rules, *, again: bool) -> list[AnyEvent]:
        """A permission is asked; nobody has to be, where it was allowed for always and that holds `again`."""
        if asked.request_id in self._permissions:
            return []
        if again and rules and self._allowed.issuperset(rules):
            self._soon(self._post(f"/permission/{asked.request_id}/reply", {"reply": "once"}))
            return []
        self._permissions[asked.request_id] = rules
        return [asked]

    def questions(self, request_id: str, asked: list[QuestionAsked]) -> list[AnyEvent]:
        """Questions are asked at once."""
        if request_id in self._batches:
            return []
        self._batches[request_id] = _Batch(one.request_id for one in asked)
        return list(asked)

    def gone(self, request_id: str) -> list[AnyEvent]:
        """A request was answered by somebody else, or taken back."""
        if self._permissions.pop(request_id, None) is not None:
            return [PermissionGone(request_id=request_id)]
        batch = self._batches.pop(request_id, None)
        return [QuestionGone(request_id=one) for one in batch.open] if batch is not None else []

    # What people say -------------------------------------------------------------------------------------------------

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission; does nothing where it is not pending any more."""
        rules = self._permissions.pop(request_id, None)
        if rules is None:
            return
        if option_id == "always":
            self._allowed.update(rules)
        allowed = option_id in ("once", "always")
        await self._post(f"/permission/{request_id}/reply", {"reply": "once" if allowed else "reject"})

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
        permissions, self._permissions = self._permissions, {}
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
