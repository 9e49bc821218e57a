"""What a link opens: a page that shows one chat live, and the socket behind it. One can only look.

The link is the fragment of the page's address and the first message of the socket, so that it stands in no log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from html import escape
from typing import Annotated, Any, cast

import msgspec
from jupyter_server.auth.decorator import ws_authenticated
from msgspec import Meta, Struct
from tornado import web

from coder_nb.core import codec
from coder_nb.core.stream import Frame
from coder_nb.core.verbs import Verbs
from coder_nb.errors import CoderError, NotFound
from jupyter_extension.base import Guard
from jupyter_extension.websocket import StreamHandler

PAGE = "/coder-nb/shared"
NOT_FOUND, UNCLEAR = 4404, 4400
PATIENCE = 10.0
"""Seconds that a reader has to say which link it was given."""


class Look(Struct, frozen=True):
    """The first message of the socket."""

    link: Annotated[str, Meta(min_length=1, max_length=200)]
    tail: Annotated[int, Meta(ge=0, le=10_000)] = 200


class SharedHandler(StreamHandler):
    """The frames of the chat that a link leads to, for one reader, who may do nothing."""

    may_execute = False
    chat_id = "behind a link"
    _look: Look | None = None
    _waiting: asyncio.TimerHandle | None = None

    @ws_authenticated
    async def get(self, **ids: str) -> None:
        try:
            await self.demand("read")
            if not await self.runtime_is_open():
                return
        except CoderError as error:
            return self.refuse_with(error)
        await self.upgrade()

    async def open(self, *args: Any, **kwargs: Any) -> None:
        self.begin()
        patience = asyncio.get_running_loop()
        self._waiting = patience.call_later(PATIENCE, self.close, UNCLEAR, "Say which link you were given.")

    async def on_message(self, message: str | bytes) -> None:
        if self._look is not None:
            return
        try:
            self._look = msgspec.json.decode(message, type=Look)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self.close(UNCLEAR, "The first message names the link: {'link': '...'}.")
        if self._waiting is not None:
            self._waiting.cancel()
        await self.start()

    def on_close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().on_close()

    def code_of(self, error: CoderError) -> int:
        return NOT_FOUND if isinstance(error, NotFound) else super().code_of(error)

    async def _frames(self, runtime: Verbs) -> AsyncGenerator[bytes, None]:
        assert self._look is not None, "it is started by the message that says so"
        stream = runtime.shared(self._look.link, tail=self._look.tail)
        async with aclosing(cast("AsyncGenerator[Frame, None]", stream)) as frames:
            async for frame in frames:
                yield codec.encode(frame)


class PageHandler(Guard):
    """The page of every link: whose it is, its fragment says, which never reaches a server."""

    @web.authenticated
    async def get(self) -> None:
        try:
            await self.demand("read")
        except CoderError as error:
            return self.refuse_with(error)
        base = escape(self.base_url, quote=True)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.finish(_PAGE.replace("{base}", base))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A chat, shared</title>
<style>
  :root { color-scheme: light dark; }
  body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; }
</style>
</head>
<body data-base-url="{base}">
<main id="chat"><noscript>This page needs JavaScript to follow a chat.</noscript></main>
<script type="module">
  import { look } from "{base}static/jupyter_extension/coder.js";
  look(document.getElementById("chat"), location.hash.slice(1));
</script>
</body>
</html>
"""
