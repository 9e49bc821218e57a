"""The one link of a process: opened at first use, closed at exit."""

from __future__ import annotations

import atexit
import dataclasses
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import msgspec

from coder_nb.client.embedded import open_embedded
from coder_nb.client.find import Server, find_server
from coder_nb.client.link import Link
from coder_nb.client.portal import Portal
from coder_nb.client.screen import Screen
from coder_nb.core.health import Health
from coder_nb.core.verbs import Verbs
from coder_nb.errors import Conflict, ConnectionLost, InvalidOption
from coder_nb.settings import Settings


class Home:
    """Finds the runtime of this process: that of its Jupyter server, else one of its own."""

    def __init__(self, screen: Callable[[], Screen | None]) -> None:
        self._make_screen = screen
        self._lock = threading.RLock()
        self._given: dict[str, Any] = {}
        self._link: Link | None = None
        self._pid = os.getpid()

    def configure(self, **settings: Any) -> None:
        """Sets what the runtime of this process is opened with.

        Raises `Conflict` once it is open, `InvalidOption` for what is no setting.
        """
        with self._lock:
            if self._link is not None:
                raise Conflict("coder-nb is in use already: restart the kernel and configure it before anything else.")
            given = {**self._given, **settings}
            _settings(given)
            self._given = given

    def link(self) -> Link:
        """The link, opened if it is not; blocks for the moment that this takes."""
        with self._lock:
            if self._pid != os.getpid():  # a fork has the object but not the thread
                self._link, self._pid = None, os.getpid()
            if self._link is None:
                self._link = self._open()
                _before_threads_end(self.close)
            elif not self._link.health.runtime_id:  # the server's runtime could not open then, and may have since
                link = self._link
                self._link = dataclasses.replace(link, health=link.run(link.verbs.health))
            return self._link

    def close(self) -> None:
        """Closes the runtime, if it is ours, and the portal. Idempotent; the next use opens them again."""
        with self._lock:
            link, self._link = self._link, None
            if link is None or self._pid != os.getpid():
                return
            try:
                link.portal.wait(link.portal.call(link.verbs.close), timeout=30)
            finally:
                link.portal.close()

    def _open(self) -> Link:
        portal = Portal()
        try:
            server = find_server()
            found = portal.run(_reach, server) if server else None
            if found is not None:
                if self._given:
                    warnings.warn(
                        "The Jupyter server runs the agents here: what `coder_nb.configure` was given has no effect, "
                        "set it in the server's configuration.",
                        stacklevel=4,
                    )
                url = server.url if server else None
                return Link(portal, found[0], found[1], "server", self._make_screen(), url)
            verbs = portal.run(open_embedded, _settings(self._given))
            return Link(portal, verbs, portal.run(verbs.health), "kernel", self._make_screen())
        except BaseException:
            portal.close()
            raise


def _before_threads_end(close: Callable[[], None]) -> None:
    """Registers a call for the end of the process. `atexit` comes too late: by then executors are shut down already,
    and the interpreter has waited for every thread that the runtime's close would have ended."""
    getattr(threading, "_register_atexit", atexit.register)(close)


def _settings(given: dict[str, Any]) -> Settings:
    settings = Settings.from_environment()
    unknown = sorted(given.keys() - set(Settings.__struct_fields__))
    if unknown:
        raise InvalidOption(f"{unknown[0]!r} is no setting: `help(coder_nb.Settings)` lists those there are.")
    values = {name: getattr(settings, name) for name in Settings.__struct_fields__} | given
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise InvalidOption(f"A setting is not understood: {error}.") from error


async def _reach(server: Server) -> tuple[Verbs, Health] | None:
    """The server's runtime; None where nobody, or somebody else, answers at its address."""
    from coder_nb.client.remote import Remote

    remote = Remote(server)
    try:
        health = await remote.health()
        if not server.runtime_id or health.runtime_id in ("", server.runtime_id):
            return remote, health
    except ConnectionLost:
        pass
    except BaseException:
        await remote.close()
        raise
    await remote.close()
    return None
