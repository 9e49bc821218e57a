"""Mode, model and other options of a native session: set by whichever way the agent offers, and verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coder_nb.backends.acp.connection import Connection, RpcError
from coder_nb.backends.acp.state import State, choices_of, configured, is_effort, options_of
from coder_nb.backends.choices import listed, pick
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.core.permissions import MODES, PermissionMode
from coder_nb.errors import AgentDied, AgentProtocolError, InvalidOption


class Options:
    """What a native session is set to, and the way to set it otherwise."""

    def __init__(self, connection: Connection, state: State, spec: AgentSpec, *, timeout: float) -> None:
        self._connection = connection
        self._state = state
        self._spec = spec
        self._timeout = timeout
        self._session_id = ""
        self._offered: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}
        """Of the configuration options that are for mode and model."""
        self._mode: PermissionMode | None = None
        self._effort_option = ""
        self._own_effort: str | None = None
        """How much the agent thinks by itself."""
        self._left_in: str | None = None
        """The agent's own mode when it was set last: an agent may leave it by itself, as when a plan is done."""

    def offered(self, session_id: str, result: dict[str, Any]) -> None:
        """Takes the answer to `session/new` and its like."""
        self._session_id = session_id
        self._offered = {option["id"]: option for option in options_of(result)}
        for option in self._offered.values():
            self._ids[str(option.get("category", option["id"]))] = option["id"]
            if is_effort(option):
                self._effort_option = option["id"]

    def fits(self, mode: PermissionMode) -> bool:
        """Whether a mode can be set in the process that runs."""
        modes = self._spec.modes
        return self._mode is None or _same_process(modes.get(mode, AgentMode()), modes.get(self._mode, AgentMode()))

    def strayed(self) -> bool:
        """Whether the agent says that it is in a mode which may allow more than the one it was put into."""
        if self._mode in (None, "bypass") or self._state.mode in (None, self._left_in):
            return False
        careful = [self._spec.modes.get(mode, AgentMode()).id for mode in MODES[: MODES.index(self._mode) + 1]]
        return bool(careful[-1]) and self._state.mode not in careful

    async def configure(self, wanted: Mapping[str, str | bool]) -> None:
        """Sets the agent's other options; raises `InvalidOption` for one that is not offered, or no such value."""
        for name, value in wanted.items():
            option = self._offered.get(name)
            if option is None:
                names = ", ".join(self._offered) or "none"
                raise InvalidOption(f"{self._spec.label} has no option {name!r}: it offers {names}.")
            values = [choice.id for choice in choices_of(option)]
            if values and value not in values:
                raise InvalidOption(f"{self._spec.label} has no {name} {value!r}: choose one of {', '.join(values)}.")
            if option.get("currentValue") != value:
                await self._set_option(name, value)
        self._own_effort = self._state.effort

    async def choose(self, mode: PermissionMode, model: str | None, effort: str | None = None) -> None:
        """Sets what is not set so already; None leaves the model as it is, and the effort to the agent.

        Raises `InvalidOption` for a model or an effort that is not offered, and for `plan` where nothing is known to be
        it, `AgentProtocolError` where the agent has no such mode, and `AgentDied` where a mode needs another process.
        """
        if model is not None:
            await self._choose_model(model)
        await self._choose_effort(effort)
        if mode != self._mode or self._state.mode != self._left_in:  # last: a model may change it
            await self._choose_mode(mode)
            self._mode, self._left_in = mode, self._state.mode

    async def _choose_mode(self, mode: PermissionMode) -> None:
        if mode == "plan" and mode not in self._spec.modes:
            raise InvalidOption(
                f"{self._spec.label} is not known to have a mode in which it only reads: name it in the setting "
                f"`agents.{self._spec.name}.modes`, or prompt in the mode 'ask'."
            )
        wanted = self._spec.modes.get(mode, AgentMode())
        if not self.fits(mode):
            raise AgentDied(f"{self._spec.label} must be started anew for the mode {mode!r}: prompt again to do so.")
        if not wanted.id or wanted.id == self._state.mode:
            return
        if wanted.id not in {choice.id for choice in self._state.modes}:
            if mode in ("accept_edits", "bypass"):
                return await self._choose_mode("ask")  # it asks, and our rules answer
            raise AgentProtocolError(
                f"{self._spec.label} has no mode {wanted.id!r}, so that {mode!r} cannot be relied on; it offers "
                f"{listed(self._state.modes)}. Name the right one in the setting `agents.{self._spec.name}.modes`."
            )
        try:
            await self._set("mode", "session/set_mode", "modeId", wanted.id)
        except RpcError:
            if mode not in ("accept_edits", "bypass"):
                raise
            return await self._choose_mode("ask")  # as in a folder that it does not trust: our rules answer
        if self._state.mode != wanted.id:
            raise AgentProtocolError(
                f"{self._spec.label} did not take the mode {wanted.id!r}: upgrade it, then try again."
            )
        return None

    async def _choose_model(self, model: str) -> None:
        found = pick(self._state.models, model)
        if found is None:
            raise InvalidOption(
                f"{self._spec.label} has no model {model!r}: choose one of {listed(self._state.models)}."
                if self._state.models
                else f"{self._spec.label} offers no choice of models: leave `model` out, or set it in its own settings."
            )
        if found.id != self._state.model:
            await self._set("model", "session/set_model", "modelId", found.id)
            self._state.model = found.id

    async def _choose_effort(self, effort: str | None) -> None:
        if effort is not None and effort not in self._state.efforts:
            offered = ", ".join(self._state.efforts) or "none"
            raise InvalidOption(f"{self._spec.label} has no effort {effort!r} here: it offers {offered}.")
        wanted = effort or self._own_effort
        if wanted is not None and wanted != self._state.effort and wanted in self._state.efforts:
            await self._set_option(self._effort_option, wanted)

    async def _set(self, category: str, method: str, key: str, value: str) -> None:
        """By the configuration option where there is one, else by the method that came before these."""
        option = self._ids.get(category)
        if option is None:
            await self._set_by(method, {"sessionId": self._session_id, key: value}, mode=category == "mode")
            return
        await self._set_option(option, value)

    async def _set_by(self, method: str, params: dict[str, Any], *, mode: bool) -> None:
        """By a method that answers nothing: the mode is what the agent publishes, else what it said yes to."""
        before = self._state.mode
        if mode:
            self._state.mode = None
        try:
            await self._connection.request(method, params, timeout=self._timeout)
        except BaseException:
            self._state.mode = self._state.mode or before
            raise
        if mode and self._state.mode is None:
            self._state.mode = params["modeId"]

    async def _set_option(self, option: str, value: str | bool) -> None:
        params: dict[str, Any] = {"sessionId": self._session_id, "configId": option, "value": value}
        if isinstance(value, bool):
            params["type"] = "boolean"
        result = await self._connection.request("session/set_config_option", params, timeout=self._timeout)
        configured(self._state, result)


def _same_process(one: AgentMode, other: AgentMode) -> bool:
    return (one.env, one.config) == (other.env, other.config)
