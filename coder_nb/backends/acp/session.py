"""One agent's context in one process, driven over ACP: the turns, their permissions, their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import msgspec

from coder_nb.backends.acp import tools, translate, usage, wire
from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.options import Options
from coder_nb.backends.acp.state import State, capabilities, configured
from coder_nb.backends.acp.translate import ENDS
from coder_nb.backends.base import AnyEvent, Asked, Capabilities, Child, Done, Noticed, Opening, PermissionAsked, Plain
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.entries import PermissionOption
from coder_nb.core.permissions import option_for
from coder_nb.errors import AgentDied, AgentFailed, AgentNotLoggedIn, AgentProtocolError, CoderError
from coder_nb.ids import new_id
from coder_nb.settings import Settings

PROTOCOL_VERSION = 1
_LONGEST_GARBAGE = 2000


class _Turn:
    """One prompt under way: what it has to say, and what it has asked."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[AnyEvent] = asyncio.Queue()
        self.questions: dict[str, tuple[Any, tuple[PermissionOption, ...]]] = {}
        """By our request id: the agent's own id of it, and its options."""
        self.sent = False
        self.stopping = False
        self.ended = asyncio.Event()
        self.deadline: asyncio.TimerHandle | None = None


class AcpSession(Plain):
    """An agent session over ACP; made by `AcpBackend.open`, which starts it."""

    def __init__(
        self,
        child: Child,
        spec: AgentSpec,
        opening: Opening,
        settings: Settings,
        *,
        version: str,
        idle_events: Callable[[AnyEvent], None],
    ) -> None:
        self._child = child
        self._spec = spec
        self._opening = opening
        self._settings = settings
        self._version = version
        self._idle_events = idle_events
        self._connection = Connection(child, self, name=spec.label)
        self._state = State(agent=spec.name, repeats_usage=spec.repeats_usage)
        self._capabilities = Capabilities()
        self._native_id: str | None = None
        self._resumed: Literal["new", "resumed", "forgotten"] = "new"
        self._options = Options(self._connection, self._state, spec, timeout=settings.start_timeout)
        self._auth_methods: list[dict[str, Any]] = []
        self._replaying = False
        self._turn: _Turn | None = None
        self._killing: asyncio.Task[None] | None = None
        self._spent = False
        """Whether it cannot take another prompt, although its process may still be there."""
        self._closed = False

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def native_id(self) -> str | None:
        """The agent's id of it, by which it can be resumed."""
        return self._native_id

    @property
    def resumed(self) -> Literal["new", "resumed", "forgotten"]:
        """Whether it goes on with the `native_id` it was opened with; "forgotten" where the agent could not."""
        return self._resumed

    @property
    def capabilities(self) -> Capabilities:
        state = self._state
        return msgspec.structs.replace(
            self._capabilities,
            modes=state.modes,
            models=state.models,
            commands=state.has_commands or None,
            cost=state.has_cost or None,
        )

    @property
    def pid(self) -> int | None:
        """The agent's process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        return not self._closed and not self._spent and self._connection.dead is None

    # Start and end --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Says hello and makes or resumes the native session; raises an `AgentUnavailable` or `AgentFailed`."""
        self._connection.open()
        try:
            hello = await self._request(
                "initialize",
                {
                    "protocolVersion": PROTOCOL_VERSION,
                    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
                    "clientInfo": {"name": "coder-nb", "title": "coder-nb", "version": self._version},
                },
            )
            self._check(hello)
            self._adopt(await self._resume() or await self._new())
            await self._options.choose(self._opening.mode, None)
        except RpcError as error:
            raise self._refused(error) from error

    async def close(self) -> None:
        """Ends the turn, if one runs, and the process; bounded by the settings' `stop_grace`."""
        self._closed = True
        if self._turn is not None:
            self._end_turn(self._turn, self._stopped_or(self._turn, AgentDied(f"{self._spec.label} was closed.")))
        await self._child.stop(self._settings.stop_grace)
        if self._killing is not None:
            await self._killing
        await self._connection.close()

    def _check(self, hello: dict[str, Any]) -> None:
        spoken = hello.get("protocolVersion")
        if spoken != PROTOCOL_VERSION:
            raise AgentProtocolError(
                f"{self._spec.label} speaks version {spoken!r} of the Agent Client Protocol, and this coder-nb version "
                f"{PROTOCOL_VERSION}: upgrade the older one of the two."
            )
        methods = hello.get("authMethods")
        self._auth_methods = [m for m in methods if isinstance(m, dict)] if isinstance(methods, list) else []
        self._capabilities = capabilities(hello)

    async def _new(self) -> dict[str, Any]:
        if self._opening.native_id is not None:
            self._resumed = "forgotten"
        result = await self._request("session/new", {"cwd": str(self._opening.cwd), "mcpServers": []})
        self._state.cost_total = 0
        return result

    async def _resume(self) -> dict[str, Any] | None:
        """Goes on with the native session where the agent can; None where there is none or it is forgotten."""
        native_id = self._opening.native_id
        method = "session/resume" if self._capabilities.resume else "session/load" if self._capabilities.load else None
        if native_id is None or method is None:
            return None
        self._native_id = native_id
        self._replaying = True  # `session/load` tells the history again: it is in the store already
        params = {"sessionId": native_id, "cwd": str(self._opening.cwd), "mcpServers": []}
        try:
            result = await self._request(method, params)
        except RpcError as error:
            if error.code == wire.AUTH_REQUIRED:
                raise
            return None
        finally:
            self._replaying = False
        self._resumed = "resumed"
        return {**result, "sessionId": native_id}

    def _adopt(self, result: dict[str, Any]) -> None:
        native_id = result.get("sessionId")
        if not isinstance(native_id, str) or not native_id:
            raise AgentProtocolError(f"{self._spec.label} made a session without an id: upgrade it, then prompt again.")
        self._native_id = native_id
        configured(self._state, result)
        self._options.offered(native_id, result)

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._connection.request(method, params, timeout=self._settings.start_timeout)

    def _refused(self, error: RpcError) -> CoderError:
        if error.code == wire.AUTH_REQUIRED:
            return AgentNotLoggedIn(self._login_text())
        return AgentFailed(f"{self._spec.label} did not start a session: {error.describe()}. Prompt again to try anew.")

    def _login_text(self) -> str:
        names = [str(m.get("name") or m.get("id")) for m in self._auth_methods]
        ways = f" It offers: {', '.join(names)}." if names else ""
        described = next((str(m["description"]) for m in self._auth_methods if m.get("description")), "")
        cure = self._spec.login or described or "log in with its own program in a terminal"
        return f"{self._spec.label} is not logged in.{ways} To use it here, {cure}, then prompt again."

    # Turns ----------------------------------------------------------------------------------------------------------

    async def prompt(self, asked: Asked) -> AsyncIterator[AnyEvent]:
        """Takes a turn; see the contract in `backends.base`. One at a time."""
        if self._turn is not None:
            raise RuntimeError("a prompt is running: one at a time")
        turn = self._turn = _Turn()
        try:
            await self._begin(turn, asked)
            while True:
                event = await turn.events.get()
                yield event
                if isinstance(event, Done):
                    return
        finally:
            try:
                if turn.sent and not turn.ended.is_set():  # whoever read has gone: the agent must not go on by itself
                    self._stop(turn)
                    await turn.ended.wait()
            finally:
                turn.ended.set()
                self._turn = None

    async def cancel(self) -> None:
        """Stops the running prompt; returns at once, the prompt then ends by itself."""
        if self._turn is not None:
            self._stop(self._turn)

    async def answer(self, request_id: str, option_id: str | None) -> None:
        """Answers a permission by one of its options; None refuses. Does nothing where it is not pending any more."""
        question = self._turn.questions.pop(request_id, None) if self._turn is not None else None
        if question is None:
            return
        number, options = question
        if option_id is None:
            refusal = option_for(options, allow=False)
            option_id = refusal.id if refusal else None
        self._respond(number, option_id)

    async def _begin(self, turn: _Turn, asked: Asked) -> None:
        """Puts the agent into mode and model of the prompt, and sends it; what fails ends the turn."""
        try:
            await self._options.choose(asked.mode, asked.model or self._opening.model)
        except (RpcError, CoderError) as error:
            self._spent = self._spent or isinstance(error, AgentDied)
            self._end_turn(turn, self._failure(turn, error))
        if turn.stopping:
            self._end_turn(turn, Done(end="cancelled", alive=self.alive))
        if turn.ended.is_set():
            return
        usage.begin_turn(self._state)
        turn.sent = True
        self._connection.call(
            "session/prompt",
            {"sessionId": self._native_id, "prompt": [{"type": "text", "text": asked.text}]},
            lambda answer: self._answered(turn, answer),
        )

    def _answered(self, turn: _Turn, answer: dict[str, Any] | CoderError | RpcError) -> None:
        """The answer to this very prompt: it never ends another one (law 1)."""
        if turn.ended.is_set():
            return
        result = answer if isinstance(answer, dict) else None
        for event in usage.end_turn(self._state, result):
            turn.events.put_nowait(event)
        if isinstance(answer, Exception):
            self._end_turn(turn, self._failure(turn, answer))
            return
        reason = str(answer.get("stopReason") or "")
        end = "cancelled" if turn.stopping else ENDS.get(reason, "completed")
        self._end_turn(turn, Done(end=end, reason=reason, alive=self.alive))

    def _failure(self, turn: _Turn, error: CoderError | RpcError) -> Done:
        if isinstance(error, RpcError):
            if error.code == wire.AUTH_REQUIRED:
                error = AgentNotLoggedIn(self._login_text())
            else:
                error = AgentFailed(f"{self._spec.label} reported an error: {error.describe()}. Prompt again to retry.")
        return self._stopped_or(turn, error)

    def _stopped_or(self, turn: _Turn, error: CoderError) -> Done:
        """A turn that is being stopped ends as cancelled, whatever else goes wrong in it."""
        alive = self.alive and not isinstance(error, AgentDied)
        if turn.stopping:
            return Done(end="cancelled", alive=alive)
        return Done(end="failed", message=error.message, code=error.code, alive=alive)

    def _end_turn(self, turn: _Turn, done: Done) -> None:
        """The one place where a turn ends; a second end changes nothing."""
        if turn.ended.is_set():
            return
        turn.ended.set()
        if turn.deadline is not None:
            turn.deadline.cancel()
        self._withdraw_questions(turn)
        turn.events.put_nowait(done)

    def _stop(self, turn: _Turn) -> None:
        if turn.stopping or turn.ended.is_set():
            return
        turn.stopping = True
        self._withdraw_questions(turn)
        if turn.sent:
            self._connection.notify("session/cancel", {"sessionId": self._native_id})
        grace = self._settings.cancel_grace
        turn.deadline = asyncio.get_running_loop().call_later(grace, self._give_up, turn)

    def _give_up(self, turn: _Turn) -> None:
        """The agent does not answer a Stop: its process is ended, and the turn with it (law 4)."""
        if turn.ended.is_set():
            return
        self._spent = True
        self._killing = asyncio.create_task(self._child.stop(0.0), name=f"{self._spec.label} kill")
        turn.events.put_nowait(
            Noticed(
                text=f"{self._spec.label} did not stop within {self._settings.cancel_grace:g} s: its process was "
                "ended, and the next prompt starts it afresh.",
                code="agent_killed",
                level="warning",
            )
        )
        self._end_turn(turn, Done(end="cancelled", code="agent_killed", alive=False))

    def _withdraw_questions(self, turn: _Turn) -> None:
        questions, turn.questions = turn.questions, {}
        for number, _ in questions.values():
            self._respond(number, None)

    def _respond(self, number: Any, option_id: str | None) -> None:
        outcome = {"outcome": "cancelled"} if option_id is None else {"outcome": "selected", "optionId": option_id}
        self._connection.respond(number, {"outcome": outcome})

    # What the agent says by itself ----------------------------------------------------------------------------------

    def notified(self, method: str, params: Any) -> None:
        """Called by the connection."""
        events = translate.notification(self._state, method, params)
        if not self._replaying:
            self._say(events)

    def asked(self, number: Any, method: str, params: Any) -> None:
        """Called by the connection."""
        if method != "session/request_permission":
            self._connection.refuse(number, method)
            return
        turn = self._turn
        try:
            events = tools.permission(self._state, new_id(), params)
        except ValueError:
            self._say([translate.raw(self._state, method, params)])
            self._respond(number, None)
            return
        if turn is None or turn.ended.is_set() or turn.stopping:
            self._respond(number, None)
            self._say([e for e in events if not isinstance(e, PermissionAsked)])  # nobody is there to be asked
            return
        for event in events:
            if isinstance(event, PermissionAsked):
                turn.questions[event.request_id] = (number, event.options)
        self._say(events)

    def garbled(self, text: str) -> None:
        """Called by the connection."""
        self._say([translate.raw(self._state, "garbage", text[:_LONGEST_GARBAGE])])

    def ended(self, error: AgentDied) -> None:
        """Called by the connection, after every answer that was waited for has failed."""
        if self._turn is not None:
            self._end_turn(self._turn, self._stopped_or(self._turn, error))

    def _say(self, events: list[AnyEvent]) -> None:
        turn = self._turn
        if turn is not None and not turn.ended.is_set():
            for event in events:
                turn.events.put_nowait(event)
            return
        for event in (*events, *usage.end_turn(self._state)):
            self._idle_events(event)
