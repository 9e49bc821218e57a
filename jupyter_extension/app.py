"""The extension: from traits to settings to a runtime; where it starts, and where it stops."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import default

from coder_nb.core.attention import ChatAttention
from coder_nb.core.health import Health
from coder_nb.core.verbs import Verbs
from coder_nb.errors import InvalidOption
from coder_nb.settings import Settings
from jupyter_extension import connection
from jupyter_extension.connection import Connection, KernelAuthorizer, KernelIdentity
from jupyter_extension.events import SCHEMA, Events, emit
from jupyter_extension.hosted import HostedRuntime
from jupyter_extension.logs import Forwarding
from jupyter_extension.routes import handlers
from jupyter_extension.traits import settings_from, settings_traits

STOPPING = 4.0
"""Seconds beyond the grace of turns that the runtime has to close; a deaf agent ends with our process after that."""
LOOKING = 10.0
"""Seconds between two looks at whether agents work, for whoever culls idle servers."""


class CoderExtension(ExtensionApp):
    """Coding agents for the notebooks of this server.

    Each setting below is also a variable, ``CODER_NB_<NAME>``; what is configured here wins.
    """

    name = "jupyter_extension"
    load_other_extensions = True
    vars().update(settings_traits())  # one trait a field of `Settings`, so that there is one list of what can be set

    hosted: HostedRuntime
    _loop: asyncio.AbstractEventLoop
    _events: Events
    ready: asyncio.Event
    """Set when the runtime has opened, or has failed to, and kernels have been told."""
    busy = 0
    """How many turns ran at the last look."""
    _looking: asyncio.Task[None] | None = None

    @default("static_paths")
    def _front_end(self) -> list[str]:
        return [str(Path(inspect.getfile(Settings)).parent / "static")]

    async def open_runtime(self) -> Verbs:
        """Opens the runtime; runs on its own loop. The heavy imports are here, off the server's start."""
        from coder_nb.runtime import Runtime

        label = f"the Jupyter server at {self.url} (pid {os.getpid()})"
        return await Runtime.open(settings_from(self), label=label, told=self.tell)

    def tell(self, told: ChatAttention) -> None:
        """Has the server emit what a chat is doing; called on the runtime's loop."""
        with suppress(RuntimeError):  # a server that has ended has no loop, and nobody listens
            self._loop.call_soon_threadsafe(emit, self._events, told)

    @property
    def url(self) -> str:
        server = self.server
        scheme = "https" if server.certfile else "http"
        return connection.local_url(scheme=scheme, ip=server.ip, port=server.port, base_url=server.base_url)

    @property
    def server(self) -> ServerApp:
        assert self.serverapp is not None, "the server links its extensions before it uses them"
        return self.serverapp

    # Where the server loads us ---------------------------------------------------------------------------------------

    def initialize_settings(self) -> None:
        """Names the connection file in the environment: before any kernel is started, and a path only."""
        self.logging = Forwarding(self.log)
        self.logging.start()
        self.hosted = HostedRuntime(self.open_runtime, log=self.log)
        self.ready = asyncio.Event()
        self.token = f"cnb_{secrets.token_urlsafe(32)}"  # of the shape of a key, which no export shows
        self.connection_file = connection.file_path(self.server.runtime_dir)
        os.environ[connection.VARIABLE] = str(self.connection_file)
        identity = KernelIdentity(parent=self)
        self.settings["coder_nb_identity"] = identity
        self.settings["coder_nb_authorizer"] = KernelAuthorizer(parent=self, identity_provider=identity)

    def initialize_handlers(self) -> None:
        given = {"body_limit": self.body_limit(), "patience": self.given.reader_patience}
        self.handlers.extend(handlers(hosted=self.hosted, token=self.token, **given))

    def body_limit(self) -> int:
        """The longest body of a request: the longest prompt, had each of its bytes to be escaped, its files, and some
        room."""
        return 6 * self.given.prompt_limit + 2 * self.given.attachment_limit + 65_536

    @property
    def given(self) -> Settings:
        """The settings; the defaults where they are not understood, which the runtime says when it opens."""
        try:
            return settings_from(self)
        except InvalidOption:
            return Settings()

    # Where the server's loop runs ------------------------------------------------------------------------------------

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begins to open the runtime and returns: nothing that happens to it keeps the server from starting.

        Kernels are told where we are at once: what they ask waits for the runtime.
        """
        self._loop = asyncio.get_running_loop()
        assert serverapp.event_logger is not None, "the server makes it before it starts its extensions"
        serverapp.event_logger.register_event_schema(SCHEMA)
        self._events = serverapp.event_logger
        self.hosted.start()
        _before_threads_end(self.end)
        self._tell("")
        self._looking = asyncio.create_task(self._look(), name="coder-nb extension")

    async def _look(self) -> None:
        """Tells kernels which runtime it is as soon as it has opened, and looks whether it is at work."""
        told = ""
        while True:
            health = await self.hosted.health()
            self.note(health)
            if health.runtime_id != told:
                told = health.runtime_id
                self._tell(told)
            self.ready.set()
            await asyncio.sleep(LOOKING)

    def _tell(self, runtime_id: str) -> None:
        told = Connection(
            url=self.url, token=self.token, pid=os.getpid(), runtime_id=runtime_id, certificate=self.server.certfile
        )
        try:
            connection.write(self.connection_file, told)
        except OSError as error:
            self.log.error("coder-nb: kernels cannot find this server: %s", error)

    def note(self, health: Health) -> None:
        self.busy = health.turns_running
        if self.busy:
            self.server.web_app.settings["coder_nb_last_activity"] = datetime.now(UTC)

    def current_activity(self) -> dict[str, int] | None:
        """Turns that run, so that a server at work is not culled as idle."""
        return {"turns": self.busy} if self.busy else None

    async def stop_extension(self) -> None:
        """Stops turns, ends agents, closes the store, removes the connection file; nothing the second time."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        self._tell_no_more()
        await self.hosted.close(timeout=self.given.drain_grace + STOPPING)
        self.logging.stop()

    def end(self) -> None:
        """The same where the server ends without it: as it does of an interrupt that no terminal sent, such as a
        hub's, which is how a hub stops a server."""
        if self.connection_file == connection.file_path(self.server.runtime_dir):  # not a fork, which has no thread
            self._tell_no_more()
            self.hosted.end(self.given.drain_grace + STOPPING)

    def _tell_no_more(self) -> None:
        connection.remove(self.connection_file)
        if os.environ.get(connection.VARIABLE) == str(self.connection_file):
            del os.environ[connection.VARIABLE]


def _before_threads_end(end: Callable[[], None]) -> None:
    """Registers a call for the end of the process; `atexit` comes too late for a runtime, which needs its threads."""
    getattr(threading, "_register_atexit", atexit.register)(end)
