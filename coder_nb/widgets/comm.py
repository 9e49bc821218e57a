"""A widget's side of the comm: what the front end asks by messages is answered from the portal.

Callbacks of ipywidgets run wherever the kernel dispatches them, a subshell's thread included; here they only hand over.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Callable
from typing import Any

from coder_nb.client.link import Link
from coder_nb.widgets.bundle import front_end
from coder_nb.widgets.calls import WHO, call
from coder_nb.widgets.feed import Send, feed

_log = logging.getLogger(__name__)


class Correspondent:
    """Answers one widget's messages, and feeds it frames from its last hello on."""

    def __init__(self, link: Link, chat_id: str, send: Send) -> None:
        self.greeted = False
        """Whether a front end has said hello, so that somebody looks at this widget through the kernel."""
        self._link, self._chat_id, self._send = link, chat_id, send
        self._feeding: concurrent.futures.Future[None] | None = None

    def receive(self, message: Any) -> None:
        """Takes a custom message; anything that is none of ours is left alone."""
        op = message.get("op") if isinstance(message, dict) else None
        if op == "hello":
            self._hello(message)
        elif op == "call":
            self._hand_over(self._call, message)
        elif op == "attend":
            self._hand_over(self._link.verbs.attend, self._chat_id, who=WHO)
        elif op == "bundle":
            self._hand_over(self._bundle)

    def close(self) -> None:
        """Ends the feed."""
        if self._feeding is not None:
            self._feeding.cancel()

    def _hello(self, message: dict[str, Any]) -> None:
        self.greeted = True
        self.close()
        after = message.get("after")
        self._feeding = self._hand_over(
            feed,
            self._link.verbs,
            self._chat_id,
            self._send,
            after=None if after is None else int(after),
            tail=int(message.get("tail") or 200),
        )

    def _hand_over(self, function: Any, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = self._link.portal.call(function, *args, **kwargs)
        future.add_done_callback(_report)
        return future

    async def _call(self, message: dict[str, Any]) -> None:
        status, body = await call(
            self._link.verbs, str(message.get("method", "GET")), str(message.get("route", "")), message.get("body")
        )
        self._send({"op": "reply", "id": message.get("id"), "status": status, "body": body})

    async def _bundle(self) -> None:
        self._send({"op": "bundle", "source": front_end()})


class Mailbox:
    """Takes a page's messages from the kernel as soon as they arrive, even while a cell blocks it.

    A comm's messages are dispatched by the shell, which a blocking cell keeps busy. A front end may ask for another
    one, a subshell, but its first messages leave before it has one. ipykernel 7.4 and later look at each message in
    the thread that receives it, to choose the shell, by a private method of the comm: there it is taken, and left
    alone when it is dispatched later. Elsewhere the dispatch is all there is, by a subshell at best.
    """

    def __init__(self, comm: Any, receive: Callable[[Any], None]) -> None:
        self._receive = receive
        self._taken = 0
        self._lock = threading.Lock()
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = self.route

    def route(self, data: Any, asked_for: str | None) -> str | None:
        """Takes a message, and leaves its way through the kernel as the front end asked."""
        if isinstance(data, dict) and data.get("method") == "custom":
            with self._lock:
                self._taken += 1
            self._take(data.get("content"))
        return asked_for

    def deliver(self, widget: object, content: Any, buffers: object) -> None:
        """Takes a message that the kernel dispatches, unless it was taken before."""
        with self._lock:
            known = self._taken > 0
            self._taken -= known
        if not known:
            self._take(content)

    def _take(self, content: Any) -> None:
        try:
            self._receive(content)
        except Exception:  # the edge to the kernel, whose own threads must not see an error of ours
            _log.exception("a widget's message was lost")


def _report(future: concurrent.futures.Future[Any]) -> None:
    """The edge to the front end: what broke is logged, and the page, which hears nothing, says hello again."""
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.warning("a widget's message was lost: %s", error)
