"""A chat read over the wire: pages by REST, live by a WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from coder_nb.client.find import alive, check_protocol
from coder_nb.client.wire import RETRY_FIRST, Wire, error_of
from coder_nb.core.codec import decode, encode
from coder_nb.core.entries import Page
from coder_nb.core.stream import Frame, Hello, PageFrame
from coder_nb.errors import ConnectionLost, NotFound, TooManyReaders

RETRY_MOST = 5.0
"""How long a broken stream waits at most before it connects again, in seconds."""
GIVE_UP_AFTER = 60.0
"""How long a stream tries to reach a server that is alive and does not answer."""
NOT_FOUND, TOO_MANY = 4404, 4429
"""The codes by which a socket is closed whose link leads nowhere (any more), or where there are as many as may be."""
_FRAME: Any = Frame
_FRAME_TYPES = frozenset(kind.__struct_config__.tag for kind in get_args(Frame))


class _Typed(msgspec.Struct):
    type: str


def _code(error: BaseException) -> int | None:
    """The code by which the server has closed a socket."""
    return error.rcvd.code if isinstance(error, ConnectionClosed) and error.rcvd else None


class Reading(Wire):
    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        query: dict[str, int] = {"after": after, "limit": limit}
        if before is not None:
            query = {"before": before, "limit": limit}
        return await self._get(f"chats/{chat_id}/entries?{urlencode(query)}", Page)

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        """As `Verbs.stream`, over connections that are made again from the cursor when they break.

        Each new connection begins with its own `Hello`. Raises `ConnectionLost` when the server has died.
        """
        cursor, pause, reached = after, RETRY_FIRST, time.monotonic()
        while True:
            try:
                async with connect(
                    self._socket(chat_id, cursor, tail),
                    additional_headers=self._headers,
                    max_size=None,
                    ssl=self._tls,
                    proxy=None if self._direct else True,
                ) as socket:
                    async for message in socket:
                        frame = self._frame(message)
                        if frame is None:
                            continue
                        pause, reached = RETRY_FIRST, time.monotonic()
                        if isinstance(frame, Hello):
                            check_protocol(frame.protocol, "")
                        elif isinstance(frame, PageFrame):
                            cursor = frame.page.rev
                        yield frame
            except InvalidStatus as error:
                raise error_of(error.response.status_code, bytes(error.response.body or b"")) from error
            except (OSError, WebSocketException, TimeoutError) as error:
                if _code(error) == TOO_MANY:
                    raise TooManyReaders from error
                if time.monotonic() - reached > GIVE_UP_AFTER:
                    raise ConnectionLost from error
            if not alive(self._server.pid):
                raise ConnectionLost
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)

    async def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        """As `Verbs.shared`, over one connection; the link goes as a message, so that no log has it."""
        try:
            async with connect(
                "ws" + f"{self._server.api}shared".removeprefix("http"),
                additional_headers=self._headers,
                max_size=None,
                ssl=self._tls,
                proxy=None if self._direct else True,
            ) as socket:
                await socket.send(encode({"link": link, "tail": tail}).decode())
                async for message in socket:
                    if (frame := self._frame(message)) is not None:
                        yield frame
        except ConnectionClosed as error:
            reason = error.rcvd.reason if error.rcvd else ""
            raise (NotFound(reason) if error.rcvd and error.rcvd.code == NOT_FOUND else ConnectionLost()) from error
        except (OSError, WebSocketException) as error:
            raise ConnectionLost from error

    def _frame(self, message: str | bytes) -> Frame | None:
        """A frame of a stream; None for one of a kind that a later server has and this kernel does not know."""
        try:
            frame: Frame = decode(message, _FRAME)
            return frame
        except msgspec.MsgspecError as error:
            try:
                if msgspec.json.decode(message, type=_Typed).type not in _FRAME_TYPES:
                    return None
            except msgspec.MsgspecError:
                pass
            raise self._not_ours("the stream") from error

    def _socket(self, chat_id: str, after: int | None, tail: int) -> str:
        query = {"tail": tail} if after is None else {"after": after}
        address = f"{self._server.api}chats/{chat_id}/stream?{urlencode(query)}"
        return "ws" + address.removeprefix("http")
