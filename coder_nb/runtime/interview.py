"""What the agent of one turn asks of people: each request is answered at most once, and has an end (law 8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

import msgspec

from coder_nb.backends.base import AgentSession
from coder_nb.core import permissions, questions
from coder_nb.core.entries import Entry, Permission, Question
from coder_nb.core.prompts import Prompt
from coder_nb.core.rules import Does, Verdict
from coder_nb.errors import InvalidOption
from coder_nb.runtime.asking import Answer, Judge, Keep, Kind
from coder_nb.runtime.context import Context
from coder_nb.runtime.recorder import Recorder, closed_body
from coder_nb.runtime.rulebook import Desk

_log = logging.getLogger("coder_nb.turn")
_replace = msgspec.structs.replace


class _Open(NamedTuple):
    """A request that waits for its answer."""

    entry_id: str
    task: asyncio.Task[None]


class Interview:
    """Answers by mode and rules where these say so, else asks; the turn's other events go on meanwhile.

    Where nobody is there, a permission is denied and `nobody` is awaited, which stops the turn: without it the work
    cannot be done. A question is declined and the turn goes on: the agent may know a way of its own.
    """

    def __init__(
        self,
        context: Context,
        recorder: Recorder,
        *,
        prompt: Prompt,
        touched: Callable[[], None],
        nobody: Callable[[], Awaitable[None]],
    ) -> None:
        self._context, self._recorder = context, recorder
        self._chat_id, self._prompt = recorder.chat_id, prompt
        self._touched, self._nobody = touched, nobody
        context.presence.seen(prompt.id)  # who waits for it says so again, see `Verbs.attend`
        self._open: dict[tuple[Kind, str], _Open] = {}

    async def take(self, agent: AgentSession, entry: Entry, desk: Desk) -> None:
        """Sees to an entry, if it asks for anything."""
        body = entry.body
        if isinstance(body, Question):
            self._begin("question", body.request_id, entry, self._ask_question(agent, entry, body))
        elif isinstance(body, Permission):
            answer = _automatic(body, desk.judge(body))
            if answer is None:
                asked = desk.offered(body)
                self._recorder.update(entry.id, asked, open=True)
                self._begin("permission", body.request_id, entry, self._ask_permission(agent, entry, asked, desk))
                return
            self._settle(entry, _decided(body, answer))
            await agent.answer(body.request_id, answer.given if isinstance(answer.given, str) else None)

    def gone(self, kind: Kind, request_id: str) -> None:
        """The agent took a request back: it is over at once, unless it was answered already."""
        known = self._open.get((kind, request_id))
        entry = self._recorder.get(known.entry_id) if known is not None else None
        if known is not None and entry is not None and entry.open:
            known.task.cancel()
            self._settle(entry, closed_body(entry.body, ""))

    async def withdraw(self) -> None:
        """The prompt has ended: nothing of it is asked any more."""
        tasks = [known.task for known in self._open.values()]
        self._open.clear()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error("what an agent asked in chat %s could not be answered", self._chat_id, exc_info=outcome)

    def _begin(self, kind: Kind, request_id: str, entry: Entry, asking: Coroutine[Any, Any, None]) -> None:
        self._open[kind, request_id] = _Open(entry.id, asyncio.create_task(asking, name=f"{kind} {request_id}"))

    async def _ask_permission(self, agent: AgentSession, entry: Entry, asked: Permission, desk: Desk) -> None:
        passed = self._context.stopwatch()
        answer = await self._wait(
            "permission",
            asked.request_id,
            partial(_check_permission, asked),
            keep=partial(self._keep, entry, asked, desk),
            judge=partial(_judge, asked, desk),
        )
        if answer is None:
            option = permissions.option_for(asked.options, allow=False)
            given = Answer(option.id if option else None, "nobody")
        else:
            given = answer
        self._settle(entry, _replace(_decided(asked, given), waited_ms=passed()))
        await agent.answer(asked.request_id, given.given if isinstance(given.given, str) else None)
        if answer is None:
            await self._nobody()

    async def _keep(self, entry: Entry, asked: Permission, desk: Desk, answer: Answer) -> Answer:
        assert answer.always is not None
        does: Does = "allow" if _allows(asked, answer) else "deny"
        now = self._context.now()
        rule = await desk.make(asked, answer.always, does=does, by=answer.by, now=now, entry_id=entry.id)
        return answer._replace(rules=(rule.id,), why=rule.text)

    async def _ask_question(self, agent: AgentSession, entry: Entry, asked: Question) -> None:
        passed = self._context.stopwatch()
        answer = await self._wait("question", asked.request_id, partial(_check_question, asked))
        answer = answer or Answer(None, "nobody")
        said = answer.given if isinstance(answer.given, tuple) else ()
        body = _replace(
            asked,
            status="answered" if said else "declined",
            answer=said,
            by=answer.by,
            waited_ms=passed(),
        )
        self._settle(entry, body)
        await agent.reply(asked.request_id, said or None)

    async def _wait(
        self,
        kind: Kind,
        request_id: str,
        check: Callable[[Answer], None],
        *,
        keep: Keep | None = None,
        judge: Judge | None = None,
    ) -> Answer | None:
        context, chat_id, prompt = self._context, self._chat_id, self._prompt
        return await context.pending.wait(
            (chat_id, kind, request_id),
            check=check,
            who=lambda: context.presence.answerer(chat_id, kind, prompt.id, prompt.answers),
            grace=context.settings.permission_grace,
            changed=lambda: context.feed(chat_id).tell(state=True),
            keep=keep,
            judge=judge,
        )

    def _settle(self, entry: Entry, body: Any) -> None:
        self._recorder.update(entry.id, body, open=False)
        self._touched()


async def _judge(asked: Permission, desk: Desk) -> Answer | None:
    await desk.look()
    return _automatic(asked, desk.judge(asked))


def _automatic(asked: Permission, verdict: Verdict) -> Answer | None:
    """The answer that mode and rules give; None where people are asked."""
    if verdict.says == "ask" or verdict.by is None:
        return None
    option = permissions.option_for(asked.options, allow=verdict.says == "allow")
    rules = tuple(rule.id for rule in verdict.rules)
    return Answer(option.id if option else None, verdict.by, rules=rules, why=verdict.why)


def _allows(asked: Permission, answer: Answer) -> bool:
    chosen = next((option for option in asked.options if option.id == answer.given), None)
    return chosen is not None and chosen.kind.startswith("allow")


def _decided(asked: Permission, answer: Answer) -> Permission:
    return _replace(
        asked,
        status="allowed" if _allows(asked, answer) else "denied",
        option_id=answer.given if isinstance(answer.given, str) else None,
        by=answer.by,
        rules=answer.rules,
        why=answer.why,
    )


def _check_permission(asked: Permission, answer: Answer) -> None:
    offered = [option.id for option in asked.options]
    if answer.given is not None and answer.given not in offered:
        raise InvalidOption(
            f"{answer.given!r} is no answer to this permission: choose one of {', '.join(offered)}, or null."
        )
    always = answer.always
    if always is None:
        return
    offers = [offer.id for offer in asked.offers]
    if always.offer not in offers or always.scope not in asked.scopes:
        choice = (
            f"one of {', '.join(offers)} in one of {', '.join(asked.scopes)}" if offers else "an answer for this once"
        )
        raise InvalidOption(f"{always.offer!r} ({always.scope}) is no rule that was offered here: choose {choice}.")


def _check_question(asked: Question, answer: Answer) -> None:
    if answer.given is not None:
        questions.check(asked.choices, tuple(answer.given), multiple=asked.multiple, custom=asked.custom)
