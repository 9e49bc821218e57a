"""Playing a recording: time passes, permissions are asked, files are written in the worktree."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

import msgspec

from coder_nb.backends.base import Asked, Capabilities, Opening, Plain, Probe, Untold
from coder_nb.backends.events import (
    AnyEvent,
    Done,
    Noticed,
    PermissionAsked,
    QuestionAsked,
    ReasoningDelta,
    TextDelta,
    ToolUpdate,
)
from coder_nb.backends.replay.recording import (
    OPTIONS,
    BadRecording,
    Call,
    FilePatch,
    Recorded,
    Recording,
    Say,
    Step,
    Tell,
    parse,
    pieces,
    steps,
)
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import AgentUnavailable
from coder_nb.recordings import FIRST_STEPS
from coder_nb.settings import Settings

Request = TypeVar("Request", bound=PermissionAsked | QuestionAsked)

SLOWEST_WORD = 0.12
"""A text shorter than its time streams at this pace, in seconds a word, and then the rest of the time passes."""
_CURE = "Set CODER_NB_REPLAY_RECORDING to a recording, or to nothing for the one that is shipped."


class ReplayBackend(Untold):
    """Opens sessions that play one recording."""

    def __init__(self, settings: Settings) -> None:
        self._path = Path(settings.replay_recording).expanduser() if settings.replay_recording else FIRST_STEPS
        self._pace = settings.replay_pace

    async def probe(self, agent: str) -> Probe:
        """Whether the recording can be played."""
        try:
            await asyncio.to_thread(load, self._path)
        except AgentUnavailable as error:
            reason = error.message.removesuffix(_CURE).rstrip()
            return Probe(available=False, path=str(self._path), reason=reason, cure=_CURE)
        return Probe(available=True, path=str(self._path))

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> ReplaySession:
        """Reads the recording; raises `AgentUnavailable` where it cannot be played."""
        return ReplaySession(await asyncio.to_thread(load, self._path), opening, pace=self._pace)

    async def close(self) -> None:
        """Nothing is shared between sessions."""


def load(path: Path) -> Recording:
    """The recording in a file; raises `AgentUnavailable` with the cause and the cure."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise AgentUnavailable(f"The recording {path} cannot be read: {error.strerror}. {_CURE}") from error
    except BadRecording as error:
        raise AgentUnavailable(f"The recording {path} cannot be played: {error}. {_CURE}") from error


class _Stopped(Exception):
    """The turn was stopped while it was played."""


class ReplaySession(Plain):
    """One chat's place in a recording: the n-th prompt is answered by the n-th turn.

    A prompt that is word for word the one of another turn is answered by that turn, so that a stopped turn can be
    tried again.
    """

    capabilities = Capabilities(
        resume=True, load=False, fork=False, list=False, close=True, images=False, questions=True, cost=True
    )
    pid: int | None = None

    def __init__(self, recording: Recording, opening: Opening, *, pace: float) -> None:
        self._recording, self._cwd, self._pace = recording, opening.cwd, pace
        self._place = opening.turns
        self._stop: asyncio.Event | None = None
        self._answers: dict[str, asyncio.Future[str | tuple[str, ...] | None]] = {}
        self.alive = True
        self.native_id: str | None = f"replay-{opening.chat_id}"
        known = opening.native_id in (None, self.native_id)
        self.resumed: Literal["new", "resumed", "forgotten"] = (
            "new" if opening.native_id is None else "resumed" if known else "forgotten"
        )

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Plays the turn whose place it is."""
        if self._stop is not None:
            raise RuntimeError("one prompt at a time")
        if not self.alive:
            yield Done(end="failed", message="The replay has ended: prompt again.", code="agent_died", alive=False)
            return
        place, self._place = self._place, self._place + 1
        turn = self._find(place, asked.user_text)
        if turn is None:
            yield Done(end="refused", reason="end_of_recording", message=self._past_the_end())
            return
        self._stop = asyncio.Event()
        try:
            if place == 0 and self._recording.origin:
                yield Noticed(text=self._recording.origin, code="replay")
            if turn.prompt.strip() != asked.user_text.strip():
                yield Noticed(text=_other_prompt(turn.prompt), code="replay_other_prompt", level="warning")
            for number, step in enumerate(steps(turn, self._recording.patches)):
                async with aclosing(self._play(step, f"{place}.{number}", asked.mode)) as events:
                    async for event in events:
                        yield event
            yield self._end(turn)
        except _Stopped:
            yield Done(end="cancelled", reason="stopped", alive=self.alive)
        finally:
            self._stop = None
            self._answers.clear()

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a pending permission; the second answer, or one to nothing, does nothing."""
        answer = self._answers.get(request_id)
        if answer is not None and not answer.done():
            answer.set_result(option_id)

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a pending question; whatever is said, the recording goes on as it was made."""
        waiting = self._answers.get(request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def cancel(self) -> None:
        """Stops what is played, wherever it is."""
        if self._stop is not None:
            self._stop.set()

    async def close(self) -> None:
        """Stops what is played, for good."""
        self.alive = False
        await self.cancel()

    # What is played --------------------------------------------------------------------------------------------------

    def _find(self, place: int, text: str) -> Recorded | None:
        turns = self._recording.turns
        wanted = text.strip()
        here = turns[place] if place < len(turns) else None
        if here is not None and here.prompt.strip() == wanted:
            return here
        return next((turn for turn in turns if turn.prompt.strip() == wanted), here)

    def _past_the_end(self) -> str:
        count = len(self._recording.turns)
        told = f"has {count} turns and all of them were" if count != 1 else "has one turn and it was"
        return f"The recording {told} played: open a new session to play it again, or prompt another agent."

    def _end(self, turn: Recorded) -> Done:
        end = turn.ended
        if end.end in ("failed", "interrupted"):
            self.alive = False
            message = end.message or "The agent failed here when this was recorded: prompt again to go on."
            return Done(end="failed", reason=end.reason, message=message, code=end.code or "agent_died", alive=False)
        return Done(end=end.end, reason=end.reason, message=end.message, code=end.code)

    def _play(self, step: Step, key: str, mode: PermissionMode) -> AsyncGenerator[AnyEvent]:
        match step:
            case Say():
                return self._say(step)
            case Call():
                return self._call(step, key, mode)
            case Tell():
                return self._tell(step, key)

    async def _tell(self, step: Tell, key: str) -> AsyncGenerator[AnyEvent]:
        event = step.event
        if isinstance(event, PermissionAsked | QuestionAsked):
            event = self._open(event, key)
            yield event
            await self._answer_to(event.request_id)
        elif event is not None:
            yield event
        await self._pass(step.seconds)

    async def _say(self, step: Say) -> AsyncGenerator[AnyEvent]:
        seconds = step.seconds / self._pace if self._pace > 0 else 0.0
        parts = pieces(step.text, seconds)
        each = min(seconds / len(parts), SLOWEST_WORD) if parts else 0.0
        kind = ReasoningDelta if step.reasoning else TextDelta
        for part in parts:
            yield kind(text=part, part=step.part, parent=step.parent)
            await self._wait(each)
        await self._wait(seconds - each * len(parts))

    async def _call(self, step: Call, key: str, mode: PermissionMode) -> AsyncGenerator[AnyEvent]:
        yield step.began
        if (asked := self._question(step, key, mode)) is not None:
            yield asked
            if not await self._answered(asked):
                yield _refused(step)
                if step.files and step.recorded_answer:
                    yield Noticed(text=_WENT_ON, code="replay_denied", level="warning")
                return
        await self._pass(step.seconds)
        try:
            await asyncio.to_thread(write, step.files, self._cwd)
        except OSError as error:
            yield ToolUpdate(call_id=step.began.call_id, status="failed", content=f"The file was not written: {error}")
        else:
            yield step.ended

    def _question(self, step: Call, key: str, mode: PermissionMode) -> PermissionAsked | None:
        """The recorded question; and where files would be written unasked, one of ours, unless the mode allows it."""
        asked = step.asked
        if asked is None and step.files and mode in ("ask", "plan"):
            asked = PermissionAsked(
                request_id=step.began.call_id,
                title=step.began.title or "",
                tool=step.began.original_name or "",
                tool_kind="edit",
                call_id=step.began.call_id,
                input=step.began.input,
                diffs=step.began.diffs or (),
                options=OPTIONS,
            )
        return asked and self._open(asked, key)

    def _open(self, asked: Request, key: str) -> Request:
        """A request with an id of its own, which from now on can be answered."""
        asked = msgspec.structs.replace(asked, request_id=f"{asked.request_id}-{key}")
        self._answers[asked.request_id] = asyncio.get_running_loop().create_future()
        return asked

    async def _answered(self, asked: PermissionAsked) -> bool:
        """Whether it was allowed."""
        given = await self._answer_to(asked.request_id)
        chosen = {option.id: option.kind for option in asked.options}.get(str(given))
        return chosen in ("allow_once", "allow_always")

    async def _answer_to(self, request_id: str) -> str | tuple[str, ...] | None:
        """What was answered; waits as long as it takes, but for a Stop."""
        answer, stop = self._answers[request_id], self._stop
        assert stop is not None, "something is asked while a turn is played"
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((answer, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if stop.is_set():
            raise _Stopped
        return answer.result()

    async def _pass(self, seconds: float) -> None:
        await self._wait(seconds / self._pace if self._pace > 0 else 0.0)

    async def _wait(self, seconds: float) -> None:
        """Lets time pass; raises `_Stopped` as soon as the turn is stopped."""
        stop = self._stop
        assert stop is not None, "time passes while a turn is played"
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await stop.wait()
        except TimeoutError:
            if not stop.is_set():
                return
        raise _Stopped


_WENT_ON = (
    "You refused this, so nothing was written. The recording goes on as it was made: what is said next about this file "
    "does not hold here."
)


def _other_prompt(recorded: str) -> str:
    return f"This is a recording, made with another prompt, and plays what followed that one: {recorded.strip()}"


def _refused(step: Call) -> ToolUpdate:
    return ToolUpdate(call_id=step.began.call_id, parent=step.began.parent, status="failed", content="Not allowed.")


def write(files: tuple[FilePatch, ...], folder: Path) -> None:
    """Makes files as they were after a tool call; raises `OSError`, before anything is written, for a place outside."""
    root = folder.resolve()
    places = [(file, _inside(file, root)) for file in files]
    for file, place in places:
        if file.content is None:
            place.unlink(missing_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content.encode())
        if os.name != "nt":
            place.chmod(0o755 if file.mode == "100755" else 0o644)


def _inside(file: FilePatch, root: Path) -> Path:
    relative = PurePosixPath(file.path)
    place = (root / relative).resolve()
    if relative.is_absolute() or ".." in relative.parts or ".git" in relative.parts or root not in place.parents:
        raise PermissionError(f"{file.path} lies outside of the working directory")
    return place
