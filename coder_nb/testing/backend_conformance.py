"""The contract of `coder_nb.backends.base`, as numbered checks that anyone can run on their backend.

Describe the backend by a `Subject`, then ``await run_backend_conformance(make_subject)``; or run each of `CHECKS` by
itself. A check that needs a prompt which the subject does not have is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coder_nb.backends.base import AgentSession, Asked, Backend, Opening
from coder_nb.backends.events import AnyEvent, Done, PermissionAsked, QuestionAsked, QuestionGone, TextDelta

LIMIT = 30.0
"""Seconds that anything here may take at most."""


@dataclass
class Subject:
    """A backend, and the prompts by which its agent is brought to do what the checks are about."""

    backend: Backend
    opening: Opening
    close: Callable[[], Awaitable[None]]
    """Ends what the subject has started, its processes too."""
    text: tuple[str, str] | None = None
    """A prompt, and the whole text of the answer, which comes in several parts."""
    endless: str | None = None
    """A prompt that says something, then goes on until it is stopped."""
    asks: tuple[str, Path] | None = None
    """A prompt that asks for one permission, and the file that is there only where it was allowed."""
    question: tuple[str, tuple[str, ...], str] | None = None
    """A prompt that asks one question, an answer to it, and what is said once it was given."""
    crash: str | None = None
    """A prompt in which the agent dies."""
    recall: tuple[str, str, str] | None = None
    """A prompt, a second one, and what the answer to the second contains where the first is remembered."""
    idle: list[AnyEvent] = field(default_factory=list)


@asynccontextmanager
async def opened(subject: Subject, opening: Opening | None = None) -> AsyncIterator[AgentSession]:
    """An agent session of the subject, closed at the end."""
    session = await subject.backend.open(opening or subject.opening, idle_events=subject.idle.append)
    try:
        yield session
    finally:
        await session.close()


def asked(text: str) -> Asked:
    return Asked(text=text, user_text=text)


async def turn(session: AgentSession, text: str) -> list[AnyEvent]:
    """All events of a prompt, held to the first rule: exactly one `Done`, and it is the last."""
    async with asyncio.timeout(LIMIT):
        events = [event async for event in session.prompt(asked(text))]
    assert [i for i, event in enumerate(events) if isinstance(event, Done)] == [len(events) - 1], events
    return events


def text_of(events: list[AnyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def done_of(events: list[AnyEvent]) -> Done:
    last = events[-1]
    assert isinstance(last, Done), events
    return last


async def check_1_a_prompt_ends_once_and_its_text_comes_once_and_in_order(subject: Subject) -> None:
    assert subject.text
    prompt, expected = subject.text
    async with opened(subject) as session:
        assert session.resumed == "new"
        assert session.native_id
        events = await turn(session, prompt)
        assert (done_of(events).end, done_of(events).alive) == ("completed", True), events
        assert text_of(events) == expected
        assert sum(isinstance(event, TextDelta) for event in events) > 1, "the text comes as deltas"
        assert session.alive


async def check_2_a_cancel_ends_the_prompt_and_the_session_takes_the_next(subject: Subject) -> None:
    assert subject.endless
    assert subject.text
    async with opened(subject) as session:
        pid = session.pid
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(asked(subject.endless)):
                if isinstance(event, TextDelta):
                    await session.cancel()
                    await session.cancel()
                events.append(event)
        assert isinstance(events[-1], Done)
        assert events[-1].end == "cancelled"
        assert events[-1].alive == session.alive
        assert session.alive, "this agent answers a Stop"
        assert text_of(await turn(session, subject.text[0])) == subject.text[1]
        assert session.pid == pid


async def check_3_a_cancel_while_nothing_runs_does_nothing(subject: Subject) -> None:
    assert subject.text
    async with opened(subject) as session:
        await session.cancel()
        assert done_of(await turn(session, subject.text[0])).end == "completed"
        await session.cancel()
        assert done_of(await turn(session, subject.text[0])).end == "completed"


async def check_4_a_reader_that_walks_away_leaves_nothing_for_the_next_prompt(subject: Subject) -> None:
    assert subject.endless
    assert subject.text
    async with opened(subject) as session:
        events = session.prompt(asked(subject.endless))
        await anext(events)
        async with asyncio.timeout(LIMIT):
            await events.aclose()  # type: ignore[attr-defined]  # an asynchronous generator, in every backend of ours
        assert text_of(await turn(session, subject.text[0])) == subject.text[1]


async def check_5_two_prompts_at_once_are_refused(subject: Subject) -> None:
    assert subject.endless
    async with opened(subject) as session:
        running = session.prompt(asked(subject.endless))
        await anext(running)
        try:
            await anext(session.prompt(asked("another")))
        except RuntimeError:
            pass
        else:
            raise AssertionError("a second prompt was taken while the first one ran")
        await session.cancel()
        async with asyncio.timeout(LIMIT):
            rest = [event async for event in running]
        assert done_of(rest).end == "cancelled"


async def check_6_a_permission_is_answered_once_and_decides(subject: Subject) -> None:
    assert subject.asks
    prompt, file = subject.asks
    async with opened(subject) as session:
        for allow in (False, True):
            await _answer_all(session, prompt, allow=allow)
            assert file.exists() is allow


async def check_7_a_stop_takes_a_pending_permission_with_it(subject: Subject) -> None:
    assert subject.asks
    prompt, file = subject.asks
    async with opened(subject) as session:
        pending: list[str] = []
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(asked(prompt)):
                events.append(event)
                if isinstance(event, PermissionAsked):
                    pending.append(event.request_id)
                    await session.cancel()
        assert done_of(events).end == "cancelled"
        assert len(pending) == 1
        await session.answer(pending[0], "whatever")  # too late, and does nothing
        assert not file.exists()


async def check_8_a_crash_ends_the_prompt_as_failed_and_says_why(subject: Subject) -> None:
    assert subject.crash
    assert subject.text
    async with opened(subject) as session:
        done = done_of(await turn(session, subject.crash))
        assert (done.end, done.alive) == ("failed", False), done
        assert done.code
        assert "rompt again" in done.message, "the message ends with the cure"
        assert not session.alive
        again = done_of(await turn(session, subject.text[0]))
        assert (again.end, again.alive) == ("failed", False)


async def check_9_a_close_is_bounded_ends_the_prompt_and_may_come_twice(subject: Subject) -> None:
    assert subject.endless
    async with opened(subject) as session:
        running = session.prompt(asked(subject.endless))
        await anext(running)
        async with asyncio.timeout(LIMIT):
            await session.close()
            rest = [event async for event in running]
            await session.close()
        assert done_of(rest).alive is False
        assert not session.alive


async def check_10_a_native_session_is_resumed_or_said_to_be_forgotten(subject: Subject) -> None:
    assert subject.recall
    first, second, remembered = subject.recall
    async with opened(subject) as session:
        await turn(session, first)
        native_id = session.native_id
    again = _with_native_id(subject.opening, native_id)
    async with opened(subject, again) as session:
        assert session.resumed == "resumed"
        assert session.native_id == native_id
        events = await turn(session, second)
        assert remembered in text_of(events)
        assert first not in text_of(events).replace(remembered, ""), "the history was told twice"
    async with opened(subject, _with_native_id(subject.opening, "no-such-session")) as session:
        assert session.resumed == "forgotten"
        assert session.native_id != "no-such-session"


async def check_11_a_question_holds_back_nothing_is_answered_once_and_goes_on(subject: Subject) -> None:
    assert subject.question
    prompt, answer, said = subject.question
    async with opened(subject) as session:
        for given in (answer, None):
            events: list[AnyEvent] = []
            async with asyncio.timeout(LIMIT):
                async for event in session.prompt(asked(prompt)):
                    events.append(event)
                    if isinstance(event, QuestionAsked):
                        await session.reply(event.request_id, given)
                        await session.reply(event.request_id, given)
            assert sum(isinstance(event, QuestionAsked) for event in events) == 1, events
            assert not any(isinstance(event, QuestionGone) for event in events), "it was not taken back"
            assert done_of(events).alive, events
            if given is not None:
                assert done_of(events).end == "completed", events
                assert said in text_of(events)


async def check_12_a_stop_takes_a_pending_question_with_it(subject: Subject) -> None:
    assert subject.question
    prompt, answer, said = subject.question
    async with opened(subject) as session:
        pending: list[str] = []
        events: list[AnyEvent] = []
        async with asyncio.timeout(LIMIT):
            async for event in session.prompt(asked(prompt)):
                events.append(event)
                if isinstance(event, QuestionAsked):
                    pending.append(event.request_id)
                    await session.cancel()
        assert done_of(events).end == "cancelled"
        assert len(pending) == 1
        await session.reply(pending[0], answer)  # too late, and does nothing
        assert said not in text_of(events)


async def _answer_all(session: AgentSession, prompt: str, *, allow: bool) -> None:
    questions = 0
    async with asyncio.timeout(LIMIT):
        async for event in session.prompt(asked(prompt)):
            if isinstance(event, PermissionAsked):
                questions += 1
                choice = next(o for o in event.options if o.kind == ("allow_once" if allow else "reject_once"))
                await session.answer(event.request_id, choice.id)
                await session.answer(event.request_id, choice.id)
    assert questions == 1


def _with_native_id(opening: Opening, native_id: str | None) -> Opening:
    return Opening(
        agent=opening.agent, chat_id=opening.chat_id, cwd=opening.cwd, mode=opening.mode, native_id=native_id, turns=1
    )


Check = Callable[[Subject], Awaitable[None]]
CHECKS: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (check_1_a_prompt_ends_once_and_its_text_comes_once_and_in_order, ("text",)),
    (check_2_a_cancel_ends_the_prompt_and_the_session_takes_the_next, ("endless", "text")),
    (check_3_a_cancel_while_nothing_runs_does_nothing, ("text",)),
    (check_4_a_reader_that_walks_away_leaves_nothing_for_the_next_prompt, ("endless", "text")),
    (check_5_two_prompts_at_once_are_refused, ("endless",)),
    (check_6_a_permission_is_answered_once_and_decides, ("asks",)),
    (check_7_a_stop_takes_a_pending_permission_with_it, ("asks",)),
    (check_8_a_crash_ends_the_prompt_as_failed_and_says_why, ("crash", "text")),
    (check_9_a_close_is_bounded_ends_the_prompt_and_may_come_twice, ("endless",)),
    (check_10_a_native_session_is_resumed_or_said_to_be_forgotten, ("recall",)),
    (check_11_a_question_holds_back_nothing_is_answered_once_and_goes_on, ("question",)),
    (check_12_a_stop_takes_a_pending_question_with_it, ("question",)),
)
"""Each check, and what a subject needs for it."""


async def run_backend_conformance(make_subject: Callable[[], Awaitable[Subject]]) -> int:
    """Runs each check on a fresh subject; returns how many applied, raises at the first that fails."""
    ran = 0
    for check, needs in CHECKS:
        subject = await make_subject()
        try:
            if all(getattr(subject, need) for need in needs):
                await check(subject)
                ran += 1
        finally:
            await subject.close()
    return ran
