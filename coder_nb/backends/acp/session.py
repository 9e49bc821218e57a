"""One agent's context in one process, driven over ACP: the turns, and their one end each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from coder_nb.backends.acp import content, tools, translate, usage, wire
from coder_nb.backends.acp.asking import Asking
from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.files import Tree
from coder_nb.backends.acp.grants import Grants
from coder_nb.backends.acp.native import How, Native
from coder_nb.backends.acp.options import Options
from coder_nb.backends.acp.services import Services
from coder_nb.backends.acp.state import State, configured
from coder_nb.backends.acp.terminals import Terminals
from coder_nb.backends.acp.translate import ENDS
from coder_nb.backends.base import Asked, Capabilities, Opening, Plain
from coder_nb.backends.events import AnyEvent, CommandsChanged, Done, ModeChanged, Noticed
from coder_nb.backends.processes import Child, Spawner
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import AgentDied, AgentFailed, AgentNotLoggedIn, AgentProtocolError, AgentTimeout, CoderError
from coder_nb.settings import Settings

_LONGEST_GARBAGE = 2000
SILENCE = 8
"""For how many intervals of its health checks an agent has said nothing when it is asked whether it answers."""
AHEAD = 1000
"""How many events an agent may be ahead of its turn before it has to wait."""
_STEER_WAIT = 5.0


class _Turn:
    """One prompt under way: what it has to say."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[AnyEvent] = asyncio.Queue()
        self.taken = asyncio.Event()
        """Set when somebody has taken an event, and when nobody will any more."""
        self.abandoned = False
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
        env: Mapping[str, str],
        spawner: Spawner,
        idle_events: Callable[[AnyEvent], None],
    ) -> None:
        self._child = child
        self._spec = spec
        self._opening = opening
        self._settings = settings
        self._idle_events = idle_events
        self._state = State(agent=spec.name, repeats_usage=spec.repeats_usage)
        self._connection = Connection(child, self, name=spec.label)
        self._native = Native(self._connection, spec, env, timeout=settings.start_timeout)
        self._options = Options(self._connection, self._state, spec, timeout=settings.start_timeout)
        tree, grants = Tree(opening.cwd), Grants(opening.cwd)
        self._asking = Asking(self._connection, self._state, grants, say=self._say, listening=lambda: self._listening)
        terminals = Terminals(spawner, tree, env, name=spec.label)
        self._services = Services(self._connection, self._state, tree, terminals, self._asking, grants, say=self._say)
        self._native_id: str | None = None
        self._resumed: How = "new"
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
    def resumed(self) -> How:
        """Whether it goes on with the `native_id` it was opened with, or branched off as it was told to."""
        return self._resumed

    @property
    def capabilities(self) -> Capabilities:
        state = self._state
        return msgspec.structs.replace(
            self._native.capabilities,
            modes=state.modes,
            models=state.models,
            efforts={"": state.efforts} if state.efforts else {},
            commands=state.has_commands or None,
            questions=state.has_questions or None,
            cost=state.has_cost or None,
        )

    @property
    def pid(self) -> int | None:
        """The agent's process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        gone = self._connection.over or self._connection.dead is not None or self._child.returncode is not None
        return not (self._closed or self._spent or gone)

    def stderr_tail(self) -> str:
        """What the agent's process said beside the protocol."""
        return self._child.stderr_tail()

    def explain(self) -> str:
        """Why it can say nothing any more."""
        return self._connection.dead.message if self._connection.dead and not self._closed else ""

    async def healthy(self) -> bool:
        """Whether it answers a request that it does not know, which does nothing.

        It is asked only after a long silence, as several write each of these into their logs.
        """
        silence = time.monotonic() - self._connection.heard_at
        if self._turn is not None or silence < SILENCE * self._settings.health_interval:
            return True
        try:
            await self._connection.request("_coder-nb/health", {}, timeout=self._settings.health_timeout)
        except AgentTimeout:
            return False
        except (RpcError, CoderError):  # an answer; or it is dead, which is another matter
            return True
        return True

    def fits(self, mode: PermissionMode) -> bool:
        """Whether its process can be put into a mode; one with other variables needs another process."""
        return self._options.fits(mode)

    @property
    def _listening(self) -> bool:
        """Whether a turn runs in which somebody can be asked."""
        return self._turn is not None and not self._turn.ended.is_set() and not self._turn.stopping

    # Start and end --------------------------------------------------------------------------------------------------

    async def start(self, version: str) -> None:
        """Says hello and makes or resumes the native session; raises an `AgentUnavailable` or `AgentFailed`."""
        self._connection.open()
        self._replaying = True  # `session/load` tells the history again: it is in the store already
        try:
            await self._native.hello(version)
            self._resumed, result = await self._native.open(self._opening)
        except RpcError as error:
            raise self._native.refused(error) from error
        finally:
            self._replaying = False
        if self._resumed in ("new", "forgotten"):
            self._state.cost_total = 0
        self._native_id = result["sessionId"]
        configured(self._state, result)
        self._options.offered(result["sessionId"], result)
        try:
            await self._options.configure(self._spec.options)
            await self._options.choose(self._opening.mode, None)
        except RpcError as error:
            raise self._native.refused(error) from error
        if self._native.left_out:
            names = ", ".join(self._native.left_out)
            self._say([Noticed(text=f"{self._spec.label} cannot reach these MCP servers: {names}.", level="warning")])

    async def close(self) -> None:
        """Ends the turn, if one runs, and the process; bounded by the settings' `stop_grace`."""
        closed_before, self._closed = self._closed, True
        if self._turn is not None:
            self._end_turn(self._turn, self._stopped_or(self._turn, AgentDied(f"{self._spec.label} was closed.")))
        elif self._native_id is not None and not closed_before and not self._spent:
            await self._native.close(self._native_id)
        await self._services.close()
        await self._child.stop(self._settings.stop_grace)
        if self._killing is not None:
            await self._killing
        await self._connection.close()

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
                turn.taken.set()
                yield event
                if isinstance(event, Done):
                    return
        finally:
            turn.abandoned = True
            turn.taken.set()
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
        self._asking.answer(request_id, option_id)

    async def reply(self, request_id: str, answer: tuple[str, ...] | None) -> None:
        """Answers a question; None declines. Does nothing where it is not pending any more."""
        self._asking.reply(request_id, answer)

    async def steer(self, text: str) -> bool:
        """Hands the running prompt another message, where the agent takes one; False where it was not taken."""
        if not self._native.capabilities.steer or self._turn is None or not self._turn.sent or not self._listening:
            return False
        said = {"sessionId": self._native_id, "prompt": [{"type": "text", "text": text}]}
        own = {"_meta": {"steering": {"idleBehavior": "promptRequired"}}}
        try:
            answer = await self._connection.request("_session/steering", said | own, timeout=_STEER_WAIT)
        except (RpcError, CoderError):
            return False
        return answer.get("outcome") == "injected"

    async def _begin(self, turn: _Turn, asked: Asked) -> None:
        """Puts the agent into mode and model of the prompt, and sends it; what fails ends the turn."""
        can = self._native.capabilities
        try:
            await self._options.choose(asked.mode, asked.model or self._opening.model, asked.effort)
            attached = await asyncio.to_thread(content.with_pictures, asked.attachments, self._opening.cwd)
        except (RpcError, CoderError) as error:
            self._spent = self._spent or isinstance(error, AgentDied)
            self._end_turn(turn, self._failure(turn, error))
        if turn.stopping:
            self._end_turn(turn, Done(end="cancelled", alive=self.alive))
        if turn.ended.is_set():
            return
        cwd, images, files = self._opening.cwd, bool(can.images), bool(can.files)
        blocks = content.prompt(asked.text, attached, cwd=cwd, images=images, files=files)
        usage.begin_turn(self._state)
        self._services.begin_turn()
        turn.sent = True
        self._connection.call(
            "session/prompt",
            {"sessionId": self._native_id, "prompt": blocks},
            lambda answer: self._answered(turn, answer),
        )

    def _answered(self, turn: _Turn, answer: dict[str, Any] | CoderError | RpcError) -> None:
        """The answer to this very prompt: it never ends another one (law 1)."""
        if turn.ended.is_set():
            return
        result = answer if isinstance(answer, dict) else None
        for event in (*tools.left_denied(self._state), *usage.end_turn(self._state, result)):
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
                error = AgentNotLoggedIn(self._native.login_text())
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
        self._asking.withdraw()
        turn.events.put_nowait(done)

    def _stop(self, turn: _Turn) -> None:
        if turn.stopping or turn.ended.is_set():
            return
        turn.stopping = True
        self._asking.withdraw()
        if turn.sent:
            self._connection.notify("session/cancel", {"sessionId": self._native_id})
            self._services.stop()
        grace = self._settings.cancel_grace
        turn.deadline = asyncio.get_running_loop().call_later(grace, self._give_up, turn)

    def _leave(self, turn: _Turn) -> None:
        """The agent has put itself into a mode that allows more: it does not go on."""
        if turn.ended.is_set():
            return
        self._spent = True
        self._connection.notify("session/cancel", {"sessionId": self._native_id})
        text = (
            f"{self._spec.label} went into its mode {self._state.mode!r} by itself, which may allow more than was "
            "chosen: it was ended. Prompt again to go on in the mode you choose."
        )
        self._end_turn(turn, Done(end="failed", message=text, code=AgentProtocolError.code, alive=False))

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

    # What the agent says by itself ----------------------------------------------------------------------------------

    def notified(self, method: str, params: Any) -> None:
        """Called by the connection."""
        if method == "$/cancel_request":
            number = params.get("requestId") if isinstance(params, dict) else None
            self._asking.taken_back(number)
            self._services.taken_back(number)
        elif method == "elicitation/complete":
            self._asking.completed(params)
        else:
            events = translate.notification(self._state, method, params)
            if self._replaying:
                events = [event for event in events if isinstance(event, CommandsChanged | ModeChanged)]
            self._say(events)
            self._services.show()
            if self._turn is not None and self._turn.sent and self._options.strayed():
                self._leave(self._turn)

    def asked(self, number: Any, method: str, params: Any) -> None:
        """Called by the connection."""
        if method == "session/request_permission":
            self._asking.permission(number, method, params)
        elif method == "elicitation/create":
            self._asking.form(number, method, params)
        elif not self._services.take(number, method, params):
            self._connection.fail(number, wire.METHOD_NOT_FOUND, f"Method not found: {method}")

    def garbled(self, text: str) -> None:
        """Called by the connection."""
        self._say([translate.raw(self._state, "garbage", text[:_LONGEST_GARBAGE])])

    async def ready(self) -> None:
        """Called by the connection: returns when its turn is not too far behind what the agent says."""
        turn = self._turn
        while turn is not None and turn.sent and not turn.abandoned and turn.events.qsize() > AHEAD:
            turn.taken.clear()
            await turn.taken.wait()

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
