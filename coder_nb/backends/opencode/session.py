"""One chat's native session on a shared server: the turns, their permissions, their end."""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from coder_nb.backends.base import Asked, Capabilities, Opening, Plain
from coder_nb.backends.events import (
    AnyEvent,
    CommandsChanged,
    Done,
    PermissionAsked,
    PermissionGone,
    QuestionAsked,
    QuestionGone,
)
from coder_nb.backends.opencode import native, past, prompting, translate
from coder_nb.backends.opencode.ending import ends_turn
from coder_nb.backends.opencode.native import Offer
from coder_nb.backends.opencode.requests import Requests
from coder_nb.backends.opencode.server import Refused, Server
from coder_nb.backends.opencode.state import State, session_of
from coder_nb.backends.opencode.turn import Ground, Turn
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import AgentDied, AgentFailed, CoderError
from coder_nb.settings import Settings

_PROMPT, _COMMAND = "/prompt_async", "/command"
_LONGEST = 24 * 3600.0
_ASKING = ("permission.asked", "question.asked")
_REQUESTS = (PermissionAsked, PermissionGone, QuestionAsked, QuestionGone)
_LETTERS = string.digits + string.ascii_letters


class OpencodeSession(Plain):
    """An agent session on a server; made by `OpencodeBackend.open`, which starts it."""

    def __init__(
        self,
        server: Server,
        spec: AgentSpec,
        opening: Opening,
        settings: Settings,
        *,
        idle_events: Callable[[AnyEvent], None],
    ) -> None:
        self._server = server
        self._spec = spec
        self._opening = opening
        self._settings = settings
        self._idle_events = idle_events
        self._state = State(agent=spec.name, session_id="")
        self._resumed: Literal["new", "resumed", "forked", "forgotten"] = "new"
        self._offer = Offer()
        self._commands: frozenset[str] = frozenset()
        self._requests = Requests(server, opening.cwd, label=spec.label)
        self._turn: Turn | None = None
        self._dead: AgentDied | None = None
        self._spent = False
        """Whether it cannot take another prompt, although the server is still there."""
        self._closed = False

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def native_id(self) -> str | None:
        """The agent's id of it, by which it can be resumed."""
        return self._state.session_id or None

    @property
    def resumed(self) -> Literal["new", "resumed", "forked", "forgotten"]:
        """Whether it goes on with the `native_id` it was opened with; "forgotten" where the agent could not."""
        return self._resumed

    @property
    def capabilities(self) -> Capabilities:
        offer = self._offer
        return Capabilities(
            resume=True,
            load=True,
            fork=True,
            list=True,
            close=False,
            images=True,
            files=True,
            mcp=True,
            questions=True,
            rewind=True,
            steer=False,
            modes=offer.modes,
            models=offer.models,
            efforts=offer.efforts,
            commands=bool(self._commands),
            cost=True,
        )

    @property
    def pid(self) -> int | None:
        """None: its process is not its own."""
        return None

    def stderr_tail(self) -> str:
        """Of the server, which other chats use too."""
        return self._server.stderr_tail()

    def explain(self) -> str:
        """Why its server is gone."""
        dead = self._dead or self._server.dead
        return dead.message if dead and not self._closed else ""

    @property
    def alive(self) -> bool:
        return not self._closed and not self._spent and self._dead is None and self._server.dead is None

    # Start and end --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Makes or resumes the native session; raises an `AgentFailed`, or `Refused`."""
        cwd = self._opening.cwd
        earlier = await self._earlier()
        self._state.session_id = earlier or await native.create(self._server, cwd, f"coder-nb {self._opening.chat_id}")
        self._offer = await native.offer(self._server, cwd)
        self._state.context_sizes = self._offer.context_sizes
        commands = await native.commands(self._server, cwd)
        self._commands = frozenset(command.name for command in commands)
        self._server.events.listen(self._state.session_id, self)
        self._idle_events(CommandsChanged(commands=commands))

    async def _earlier(self) -> str | None:
        """The native session to go on with, or one that branches off; None where a new one is to be made."""
        cwd, wanted, fork = self._opening.cwd, self._opening.native_id, self._opening.fork
        if wanted is not None:
            found = await native.resumable(self._server, cwd, wanted, self._settings.cancel_grace)
            self._resumed = "resumed" if found else "forgotten"
            return wanted if found else None
        if fork is None:
            return None
        made = await past.fork(self._server, cwd, fork)
        self._resumed = "forked" if made else "forgotten"
        return made

    async def close(self) -> None:
        """Ends the turn, if one runs, within the settings' `stop_grace`; the native session stays, to be resumed."""
        if self._closed:
            return
        self._closed = True
        turn = self._turn
        if turn is not None and not turn.ended:
            turn.fail(AgentDied(f"{self._spec.label} was closed: prompt again."))
            if turn.sent:
                await self._abort(self._settings.stop_grace)
        self._server.events.forget(self)
        self._server.release()

    # Turns ----------------------------------------------------------------------------------------------------------

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Takes a turn; see the contract in `backends.base`. One at a time."""
        if self._turn is not None:
            raise RuntimeError("a prompt is running: one at a time")
        turn = self._turn = Turn(asked, self._ground())
        self._state.begin(_message_id())
        try:
            with self._server.busy(turn):
                self._begin(turn)
                while True:
                    event = await turn.next()
                    yield event
                    if isinstance(event, Done):
                        return
        finally:
            try:
                if turn.sent and not turn.ended:  # whoever read has gone: the agent must not go on by itself
                    turn.stop()
                    while not turn.ended:
                        await turn.next()
            finally:
                turn.end(Done(end="cancelled", alive=self.alive))
                self._state.retire()
                self._server.events.forget(self, but=self._state.session_id)
                self._turn = None

    async def cancel(self) -> None:
        """Stops the running prompt; returns at once, the prompt then ends by itself."""
        if self._turn is not None:
            self._turn.stop()

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission by one of its options; None refuses. Does nothing where it is not pending any more."""
        await self._requests.answer(request_id, option_id)

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a question; None declines. Does nothing where it is not pending any more."""
        await self._requests.reply(request_id, answer)

    async def rewind(self, to: str | None) -> bool:
        """Forgets what came after the message of the user with this native id; files are left as they are."""
        if self._turn is not None or not self.alive:
            return False
        return await past.rewind(self._server, self._opening.cwd, self._state.session_id, to)

    def fits(self, mode: PermissionMode) -> bool:
        """Whether the server was started with what the mode asks for."""
        wanted, started = (self._spec.modes.get(one, AgentMode()) for one in (mode, self._opening.mode))
        return (wanted.env, wanted.config) == (started.env, started.config)

    def _ground(self) -> Ground:
        return Ground(
            state=self._state,
            spec=self._spec,
            requests=self._requests,
            grace=self._settings.cancel_grace,
            alive=lambda: self.alive,
            ask=self._ask,
            abort=self._abort_soon,
            give_up=self._give_up,
        )

    def _give_up(self) -> None:
        self._spent = True

    def _begin(self, turn: Turn) -> None:
        """Sends the prompt, beside: what fails in it ends the turn."""
        if self._dead is not None or not self.alive:
            gone = self._dead or self._server.dead or AgentDied(f"{self._spec.label} was closed: prompt again.")
            turn.fail(gone)
            return
        self._server.soon(self._send(turn), name=f"{self._spec.label} prompt")

    async def _send(self, turn: Turn) -> None:
        """Subscribed before prompting: an end that comes at once is heard."""
        try:
            path, body = await self._request_of(turn.asked)
            async with asyncio.timeout(self._settings.start_timeout):
                await self._server.connected()
                if turn.stopping:
                    turn.end(Done(end="cancelled", alive=self.alive))
                if turn.ended:
                    return
                turn.sent = True
                if path != _COMMAND:
                    await self._call("POST", path, body)
            if path == _COMMAND:  # answered when the turn is over, of which the stream tells
                await self._call("POST", path, body, timeout=_LONGEST)
        except TimeoutError:
            turn.fail(AgentFailed(f"{self._spec.label} did not take the prompt in time: prompt again."))
        except (Refused, CoderError) as error:
            if not self._state.accepted:
                turn.fail(error)
        if turn.stopping and not turn.ended:
            await self._abort(self._settings.health_timeout)

    async def _request_of(self, asked: Asked) -> tuple[str, dict[str, Any]]:
        """Where a prompt is sent to, and what; raises for a mode or model that cannot be had."""
        if not self.fits(asked.mode):
            self._spent = True
            raise AgentDied(f"{self._spec.label} must be started anew for the mode {asked.mode!r}: prompt again.")
        wanted = self._spec.modes.get(asked.mode, AgentMode()).id
        wished = asked.model or self._opening.model
        model = None if wished is None else self._offer.model(wished, self._spec)
        body = prompting.body(
            asked,
            self._opening.cwd,
            message_id=self._state.message_id,
            agent=self._offer.mode(wanted, self._spec) if wanted else "",
            model=model,
            effort=None if asked.effort is None else self._offer.effort(asked.effort, model, self._spec),
        )
        command = prompting.command(asked, self._opening.cwd, self._commands, body)
        if command is None:
            return _PROMPT, body
        if before := prompting.preface(asked):
            await self._call("POST", "/message", {"noReply": True, "parts": [{"type": "text", "text": before}]})
        return _COMMAND, command

    async def _ask(self) -> None:
        """Asks the server how the turn stands, and takes what was missed (the stream replays nothing)."""
        turn = self._turn
        if turn is None:
            return
        open_before = self._requests.open  # what is asked meanwhile may not be listed yet
        try:
            async with asyncio.timeout(self._settings.health_timeout):
                found = await native.standing(self._server, self._opening.cwd, self._state, turn.began)
        except (Refused, CoderError, TimeoutError):
            return  # who watches the server sees what is wrong with it, and ends it
        for child in self._state.children:
            self._server.events.listen(child, self)
        for event in found.events:
            self.heard(event)
        for request_id in open_before - found.waiting:
            turn.say(self._requests.gone(request_id))
        turn.stands(busy=found.busy)

    async def _call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        return await self._server.call(
            method, f"/session/{self._state.session_id}{path}", self._opening.cwd, body, **query
        )

    def _abort_soon(self) -> None:
        self._server.soon(self._abort(self._settings.health_timeout), name=f"{self._spec.label} stop")

    async def _abort(self, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await self._call("POST", "/abort")
        except (Refused, AgentFailed, TimeoutError):
            return

    # What the server says by itself ---------------------------------------------------------------------------------

    def heard(self, event: dict[str, Any]) -> None:
        """Called by the stream's reader."""
        turn = self._turn
        said = translate.event(self._state, event)
        if any(isinstance(one, _REQUESTS) for one in said):
            said = self._asked(turn, event, said)
        elif event.get("type") in _ASKING:  # not understood, so that nobody can be asked: the agent must not wait
            self._requests.refuse(_id_of(event), question=event["type"] == "question.asked")
        if turn is None:
            for one in said:
                self._idle_events(one)
            return
        turn.say(said)
        ends = ends_turn(self._state, event) if session_of(event) == self._state.session_id else False
        if ends:
            turn.finish()
        elif ends is None:
            turn.doubt()

    def missed(self) -> None:
        """Called by the stream's reader."""
        self._state.broken()
        if self._turn is not None:
            self._turn.missed()

    def ended(self, error: AgentDied) -> None:
        """Called when the server is gone."""
        self._dead = error
        if self._turn is not None:
            self._turn.fail(error)

    def _asked(self, turn: Turn | None, event: dict[str, Any], said: list[AnyEvent]) -> list[AnyEvent]:
        """What people hear of a request, or of its end."""
        first = said[0]
        if isinstance(first, PermissionGone | QuestionGone):
            return self._requests.gone(first.request_id)
        if turn is None or turn.ended or turn.stopping:  # nobody is there to be asked
            self._requests.refuse(_id_of(event), question=isinstance(first, QuestionAsked))
            return []
        if isinstance(first, PermissionAsked):
            return self._requests.permission(first)
        asked = [one for one in said if isinstance(one, QuestionAsked)]
        return self._requests.questions(_id_of(event), asked)


def _message_id() -> str:
    """An id as opencode makes them: they sort by time, and the server relies on it."""
    moment = (int(time.time() * 1000) * 0x1000 + 1) & 0xFFFFFFFFFFFF
    return f"msg_{moment:012x}{''.join(secrets.choice(_LETTERS) for _ in range(14))}"


def _id_of(event: dict[str, Any]) -> str:
    """The server's id of what is asked."""
    said = event.get("properties")
    return str(said.get("id")) if isinstance(said, dict) else ""
