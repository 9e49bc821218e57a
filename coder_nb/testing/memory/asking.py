"""What is asked of people, and the rules that answer for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from coder_nb.core import questions
from coder_nb.core.audit import AuditRow, row
from coder_nb.core.entries import Permission, Question
from coder_nb.core.rules import Always, AnyCovers, Does, Rule, Scope
from coder_nb.ids import new_id
from coder_nb.testing.memory.chats import OWNER, Chats


class Asking(Chats):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.waiting: dict[str, asyncio.Future[tuple[str | None, str]]] = {}
        self.questions: dict[str, tuple[Question, asyncio.Future[tuple[tuple[str, ...], str]]]] = {}
        self.attended: list[str] = []
        self.ruled: list[Rule] = []
        self.said_always: list[Always | None] = []

    async def answer(
        self,
        chat_id: str,
        request_id: str,
        option_id: str | None,
        *,
        by: str | None = None,
        always: Always | None = None,
    ) -> bool:
        await self.get_chat(chat_id)
        self.said_always.append(always)
        waiting = self.waiting.pop(request_id, None)
        if waiting is None or waiting.done():
            return False
        waiting.set_result((option_id, by or OWNER))
        return True

    async def reply(
        self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str | None = None
    ) -> bool:
        await self.get_chat(chat_id)
        asked, waiting = self.questions.get(request_id, (None, None))
        if asked is None or waiting is None or waiting.done():
            return False
        if answer is not None:
            questions.check(asked.choices, answer, multiple=asked.multiple, custom=asked.custom)
        waiting.set_result((tuple(answer or ()), by or OWNER))
        return True

    async def attend(self, chat_id: str, *, who: str, prompt_id: str | None = None) -> None:
        await self.get_chat(chat_id)
        self.attended.append(prompt_id or who)

    async def rules(self, session_id: str | None = None) -> tuple[Rule, ...]:
        if session_id is not None:
            await self.get_session(session_id)
        return tuple(rule for rule in self.ruled if session_id is None or rule.revoked_at is None)

    async def make_rule(
        self, covers: AnyCovers, *, does: Does, scope: Scope, session_id: str | None = None, by: str | None = None
    ) -> Rule:
        if session_id is not None:
            await self.get_session(session_id)
        rule = Rule(
            id=new_id(), does=does, scope=scope, covers=covers, session_id=session_id, by=by or OWNER, created_at=1
        )
        self.ruled.append(rule)
        return rule

    async def revoke(self, rule_id: str, *, by: str | None = None) -> bool:
        place = next(place for place, rule in enumerate(self.ruled) if rule.id == rule_id)
        done = self.ruled[place].revoked_at is None
        self.ruled[place] = replace(self.ruled[place], revoked_at=2, revoked_by=by or OWNER)
        return done

    async def audit(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        chats = self.chats.values() if chat_id is None else [self.chats[chat_id]]
        return tuple(
            row(entry, entry.body, session_id=chat.session_id, path=self._sessions[chat.session_id].path)
            for chat in chats
            for entry in self._log[chat.id].values()
            if isinstance(entry.body, Permission)
        )
