"""One running program of Claude under the SDK: started by our own means, always drained, bounded in its end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ClaudeSDKError, Message, ResultError
from claude_agent_sdk._errors import MessageParseError
from claude_agent_sdk.types import PermissionMode

from coder_nb.backends.claude.relay import Relay
from coder_nb.backends.claude.results import Results
from coder_nb.backends.processes import Spawner
from coder_nb.errors import AgentFailed
from coder_nb.settings import Settings

_log = logging.getLogger("coder_nb.claude")
LONGEST_LINE = 256 << 20
"""The longest line that Claude may write; past the SDK's own limit, a large prompt would end the session."""
LAST_WAIT = 5.0
LAST_WORDS = 1.0
"""Seconds after the end of a program within which the SDK says why, if it knows."""


class Client:
    """Tells `hear` every message in its order, then `lost` once, when nothing can come any more."""

    def __init__(
        self,
        options: ClaudeAgentOptions,
        *,
        program: str,
        env: Mapping[str, str],
        spawner: Spawner,
        settings: Settings,
        name: str,
        hear: Callable[[Message | MessageParseError], None],
        lost: Callable[[], None],
        used: dict[str, Mapping[str, Any]],
    ) -> None:
        """`used` gets what each result says was used since the last one, by the result's id."""
        self._settings = settings
        self._name = name
        self._hear, self._lost = hear, lost
        cwd = Path(options.cwd or ".")
        self._relay = Relay(
            spawner, program, cwd=cwd, env=env, name=name, grace=settings.stop_grace, heard=Results(used).feed
        )
        self._sdk = ClaudeSDKClient(
            dataclasses.replace(
                options,
                cli_path=self._relay.command,
                env=dict(env),
                max_buffer_size=LONGEST_LINE,
                stderr=lambda line: None,  # the stand-in's; Claude's own has its end kept by its `Child`
            )
        )
        self._reading: asyncio.Task[None] | None = None
        self._said = ""
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Claude's own process."""
        return self._relay.child.pid if self._relay.child else None

    def stderr_tail(self) -> str:
        """The end of what Claude said beside the protocol."""
        return self._relay.child.stderr_tail() if self._relay.child else ""

    @property
    def alive(self) -> bool:
        return self._ending is None and self._reading is not None and not self._reading.done()

    async def start(self) -> dict[str, Any]:
        """Starts the program, and gives what it says of itself; raises an `AgentFailed`, or `TimeoutError`."""
        self._relay.start()
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                await self._connect()
                said = await self._sdk.get_server_info()
        except (ClaudeSDKError, RuntimeError, OSError) as error:
            if self._relay.failure is not None:
                raise self._relay.failure from None
            why = f"{self._name} did not start: {error}. Prompt again to try anew." if str(error) else ""
            raise AgentFailed(why or self._relay.explain()) from error
        self._reading = asyncio.create_task(self._read(), name=f"{self._name} reader")
        return said or {}

    async def _connect(self) -> None:
        """As the SDK connects, which goes on waiting when the program has ended already."""
        connecting = asyncio.create_task(self._sdk.connect(), name=f"{self._name} connect")
        ended = asyncio.create_task(self._relay.ended.wait(), name=f"{self._name} watch")
        try:
            await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():  # it may have said why in its last line, which the SDK tells
                await asyncio.wait({connecting}, timeout=LAST_WORDS)
            if not connecting.done():
                raise AgentFailed(self._relay.explain())
            await connecting
        finally:
            for task in (connecting, ended):
                task.cancel()
            await asyncio.wait({connecting, ended})

    async def send(self, uuid: str, content: str | list[dict[str, Any]]) -> None:
        """Writes a message of the user under our own id."""
        frame = {
            "type": "user",
            "message": {"role": "user", "content": content},
            "parent_tool_use_id": None,
            "session_id": "default",
            "uuid": uuid,
        }

        async def frames() -> AsyncIterator[dict[str, Any]]:
            yield frame

        await self._call(self._sdk.query(frames()))

    async def set_mode(self, mode: PermissionMode) -> None:
        await self._call(self._sdk.set_permission_mode(mode))

    async def set_model(self, model: str | None) -> None:
        await self._call(self._sdk.set_model(model))

    async def interrupt(self) -> None:
        """Stops what runs; what runs then, is another matter."""
        await self._call(self._sdk.interrupt())

    def explain(self) -> str:
        """Why it has ended, in sentences for people, with the cure."""
        return f"{self._name} said: {self._said}. Prompt again." if self._said else self._relay.explain()

    async def close(self) -> None:
        """Ends the program and all that it has started; bounded, once, and to its end also where it is cancelled."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name=f"{self._name} end")
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        disconnecting = asyncio.create_task(self._disconnect(), name=f"{self._name} disconnect")
        await asyncio.wait({disconnecting}, timeout=self._settings.stop_grace)
        await self._relay.close()
        left = {task for task in (disconnecting, self._reading) if task is not None}
        await asyncio.wait(left, timeout=LAST_WAIT)
        for task in left:
            task.cancel()
        await asyncio.wait(left)

    async def _disconnect(self) -> None:
        with contextlib.suppress(ClaudeSDKError, RuntimeError, OSError):
            await self._sdk.disconnect()

    async def _call(self, call: Any) -> None:
        try:
            async with asyncio.timeout(self._settings.health_timeout):
                await call
        except TimeoutError:
            raise AgentFailed(f"{self._name} does not answer: prompt again to start it afresh.") from None
        except Exception as error:  # the SDK raises plain exceptions for what Claude refuses
            raise AgentFailed(f"{self._name} did not take that: {error}. Prompt again.") from error

    async def _read(self) -> None:
        """Reads for as long as the program lives: where nobody reads, Claude's own control traffic stops."""
        try:
            reading = True
            while reading:
                reading = False
                try:
                    async for said in self._sdk.receive_messages():
                        self._hear(said)
                except MessageParseError as error:  # of this message alone: the stream goes on
                    self._hear(error)
                    reading = True
        except ResultError as error:
            self._said = str(error)
        except (ClaudeSDKError, RuntimeError, OSError) as error:
            _log.debug("%s has ended: %s", self._name, error)
        finally:
            self._lost()
