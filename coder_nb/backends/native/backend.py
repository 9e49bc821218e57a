"""Opens sessions of the native agent; loads the LLM library at the first one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from coder_nb.backends.base import Opening, Probe, Untold
from coder_nb.backends.events import AnyEvent
from coder_nb.backends.history import History
from coder_nb.backends.native.providers import Target, target
from coder_nb.backends.processes import Spawner
from coder_nb.backends.program import Programs
from coder_nb.backends.registry import AgentMode, AgentSpec
from coder_nb.core.entries import Choice
from coder_nb.errors import AgentNotInstalled, CoderError
from coder_nb.ids import new_id
from coder_nb.settings import Settings

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from coder_nb.backends.native.memory import Memory
    from coder_nb.backends.native.models import Models
    from coder_nb.backends.native.session import NativeSession

INSTALL = "pip install 'coder-nb[native]'"


class NativeBackend(Untold):
    """Our own agent, in this process, over any model that the user has a key or an endpoint for."""

    def __init__(
        self,
        settings: Settings,
        specs: Mapping[str, AgentSpec],
        spawner: Spawner,
        history: History,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._specs, self._spawner, self._history = settings, specs, spawner, history
        self._programs = Programs(settings, spawner, environ)
        self._models: Models | None = None

    async def probe(self, agent: str) -> Probe:
        if importlib.util.find_spec("pydantic_ai") is None:
            reason, cure = "the LLM library is not installed.", f"Install it (`{INSTALL}`)."
            return Probe(available=False, reason=reason, cure=cure)
        version = metadata.version("pydantic-ai-slim")
        try:
            self._target(self._specs[agent], None)
        except CoderError as error:
            reason, _, cure = error.message.partition(": ")
            reason = reason.removeprefix(f"{agent} ")
            return Probe(available=False, version=version, reason=f"it {reason}.", cure=cure[:1].upper() + cure[1:])
        return Probe(available=True, version=version)

    async def open(self, opening: Opening, *, idle_events: Callable[[AnyEvent], None]) -> NativeSession:
        spec = self._specs[opening.agent]
        try:
            from coder_nb.backends.native.models import Models, efforts
            from coder_nb.backends.native.session import NativeSession
        except ImportError as error:
            text = f"{spec.label} cannot be used here: {error.name} is not installed. Install it with `{INSTALL}`."
            raise AgentNotInstalled(text) from error
        from coder_nb.backends.native.shell import WorktreeShell
        from coder_nb.backends.native.workplace import Workplace

        self._target(spec, opening.model)  # no session without a key
        made = self._models = self._models or Models()
        place = Workplace(opening.cwd)
        env = self._programs.environment(_without_keys(spec), AgentMode()) | opening.env

        def model_of(name: str | None) -> tuple[Target, Model]:
            found = self._target(spec, name or opening.model)
            return found, made.make(found)

        memory, resumed = await self._memory(opening)
        return NativeSession(
            spec.label,
            place=place,
            shell=WorktreeShell(place, self._spawner, env, grace=self._settings.stop_grace),
            memory=memory,
            resumed=resumed,
            model_of=model_of,
            models=(offered := self._offered(spec)),
            efforts=efforts(choice.id for choice in offered),
        )

    async def close(self) -> None:
        models, self._models = self._models, None
        if models is not None:
            await models.close()

    async def _memory(self, opening: Opening) -> tuple[Memory, Literal["new", "resumed", "forked", "forgotten"]]:
        from coder_nb.backends.native.memory import Memory

        if opening.native_id is not None:
            memory = Memory(self._history, opening.native_id, new_id)
            if await memory.load():
                return memory, "resumed"
        memory = Memory(self._history, new_id(), new_id)
        if opening.fork is not None:
            found = await memory.branch_off(opening.fork.native_id, opening.fork.at)
            return memory, "forked" if found else "forgotten"
        return memory, "new" if opening.native_id is None else "forgotten"

    def _target(self, spec: AgentSpec, model: str | None) -> Target:
        env = self._programs.environment(spec, AgentMode())
        return target(env, model=model or spec.model, base_url=spec.base_url, agent=spec.name)

    def _offered(self, spec: AgentSpec) -> tuple[Choice, ...]:
        """The models that it may be given by name; of an endpoint of the user's own, the one that is set."""
        from coder_nb.backends.native.models import known

        now = self._target(spec, None) if not spec.model else self._target(spec, spec.model)
        names = [now.name] if now.url else [now.name, *known(now.provider)]
        return tuple(Choice(id=name, label=name) for name in dict.fromkeys(names))


def _without_keys(spec: AgentSpec) -> AgentSpec:
    """What its commands see: none of the keys by which it asks the model."""
    return AgentSpec(name=spec.name)
