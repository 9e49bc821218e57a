"""The socket by which a chat is followed. A reader's own fate never touches the chat, nor another reader."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any, cast

import msgspec
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.websocket import WebSocketMixin
from msgspec import Meta, Struct
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from coder_nb.core import codec
from coder_nb.core.stream import Frame, Hello
from coder_nb.core.verbs import Verbs
from coder_nb.core.words import line
from coder_nb.errors import CoderError, Forbidden, TooManyReaders
from jupyter_extension.base import REFUSALS, Action, Guard, checked_ids, converted
from jupyter_extension.crossing import Crossing
from jupyter_extension.delivery import taken
from jupyter_extension.hosted import UNEXPECTED

AHEAD = 1_000_000
"""Bytes that are held for a reader who is slower than the chat."""
ATTENDING = 1.0
"""Seconds between two signs of life of a reader that count."""

GOING_AWAY, FAILED, TOO_SLOW, TOO_MANY = 1001, 1011, 1013, 4429
LONGEST_MESSAGE = 1_000_000
"""Bytes of a message of a reader; one that is longer closes the socket (code 1009)."""
STOPPED = "The runtime has stopped: connect again later."
REASON = 123
"""Bytes that the protocol allows for the reason of a close."""


class StreamQuery(Struct, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    tail: Annotated[int, Meta(ge=0, le=10_000)] = 200


class Attend(Struct, frozen=True, kw_only=True, tag_field="type", tag="attend"):
    """All that a reader says: somebody who may answer permissions is there."""


class StreamHandler(WebSocketMixin, WebSocketHandler, Guard):
    """Frames of one chat, for one reader."""

    max_message_size = LONGEST_MESSAGE
    _crossing: Crossing
    _filling: concurrent.futures.Future[None] | None = None
    _sending: asyncio.Task[None] | None = None
    _attended_at = float("-inf")

    @ws_authenticated
    async def get(self, **ids: str) -> None:
        """Refuses what cannot be followed with a status and a sentence, else opens the socket."""
        try:
            await self.demand("read")
            self.chat_id = checked_ids(ids)["chat_id"]
            self.query = converted(self.request.query_arguments, StreamQuery)
            self.may_execute = await self.permits("execute")
            if not await self.runtime_is_open():
                return
            await self.hosted.call(lambda runtime: runtime.get_chat(self.chat_id))
        except CoderError as error:
            return self.refuse_with(error)
        await self.upgrade()

    async def demand(self, action: Action) -> None:
        """Also that it is no page of another origin who asks, before anything is looked up for it."""
        if not self.check_origin():
            raise Forbidden(REFUSALS[403][1])
        await super().demand(action)

    async def upgrade(self) -> None:
        """Opens the socket, once it is clear that its caller may."""
        await WebSocketHandler.get(self)

    async def open(self, *args: Any, **kwargs: Any) -> None:
        self.begin()
        await self.start()
        if not self.from_kernel:  # a kernel that waits for its own prompt is nobody who looks at a page
            await self._attend()

    def begin(self) -> None:
        """Says that the socket is open."""
        super().open()

    async def start(self) -> None:
        """Begins to send frames."""
        self._crossing = Crossing(limit=AHEAD)
        try:
            self._filling = self.hosted.spawn(self._crossing.fill(self._frames(await self.hosted.opened())))
        except CoderError:  # the server began to stop meanwhile
            return self.close(GOING_AWAY, STOPPED)
        self._sending = asyncio.create_task(self._send(), name=f"coder-nb socket of {self.chat_id}")

    async def on_message(self, message: str | bytes) -> None:
        """The reader says that somebody is there; what else it may say one day is ignored."""
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            msgspec.json.decode(message, type=Attend)
            await self._attend()

    def on_close(self) -> None:
        """The reader is gone; the chat goes on."""
        for task in (self._filling, self._sending):
            if task is not None:
                task.cancel()

    def code_of(self, error: CoderError) -> int:
        """With which code the socket is closed for an error."""
        return TOO_MANY if isinstance(error, TooManyReaders) else FAILED

    async def _attend(self) -> None:
        now = time.monotonic()
        if not self.may_execute or now - self._attended_at < ATTENDING:
            return
        self._attended_at, who = now, self.caller.name
        with suppress(CoderError):
            await self.hosted.call(lambda runtime: runtime.attend(self.chat_id, who=who))

    async def _frames(self, runtime: Verbs) -> AsyncGenerator[bytes, None]:
        """The chat's frames as JSON; runs on the runtime's loop."""
        stream = runtime.stream(self.chat_id, after=self.query.after, tail=self.query.tail)
        async with aclosing(cast("AsyncGenerator[Frame, None]", stream)) as frames:
            async for frame in frames:
                if isinstance(frame, Hello):
                    frame = msgspec.structs.replace(frame, may_execute=self.may_execute)
                yield codec.encode(frame)

    async def _send(self) -> None:
        """Sends frame by frame, each when the one before is out, and closes when there is no more."""
        code, reason = GOING_AWAY, STOPPED
        try:
            while (frame := await self._crossing.take()) is not None:
                await taken(self.write_message(frame), patience=self.patience)
        except TimeoutError:
            self.log.warning("coder-nb: %s", line("reader_stuck", {"chat": self.chat_id}))
            code, reason = TOO_SLOW, "Nothing was read for too long: connect again and read on from the cursor."
        except WebSocketClosedError:
            return
        except CoderError as error:
            code, reason = self.code_of(error), error.message
        except Exception:
            self.log.exception("coder-nb: the stream of chat %s broke; its readers connect again", self.chat_id)
            code, reason = FAILED, UNEXPECTED
        finally:  # a reader who left while the socket was opened has told `on_close` before there was this to end
            if self._filling is not None:
                self._filling.cancel()
        self.close(code, reason.encode()[:REASON].decode(errors="ignore"))
