"""What is sent to a reader, who may be slow or read nothing at all: it is waited for so long, and no longer."""

from __future__ import annotations

import asyncio

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

PIECE = 65_536
"""Bytes of an answer that are handed over at once: the next ones when these are out."""


async def taken(sending: asyncio.Future[None], *, patience: float) -> None:
    """Returns when what is being sent is out, and raises `TimeoutError` where it is not in time; it is sent on."""
    sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())  # also where nobody waits any more
    done, _ = await asyncio.wait((sending,), timeout=patience)
    if not done:
        raise TimeoutError
    await sending


async def deliver(handler: RequestHandler, body: bytes, *, patience: float) -> bool:
    """Answers with a body; False where its reader took nothing for too long, and was hung up on."""
    if len(body) <= PIECE:  # the system takes that much at once, whether it is read or not
        handler.finish(body or None)
        return True
    handler.set_header("Content-Type", "application/json")
    handler.set_header("Content-Length", str(len(body)))
    try:
        for start in range(0, len(body), PIECE):
            handler.write(body[start : start + PIECE])
            await taken(handler.flush(), patience=patience)
        handler.finish()
    except TimeoutError:
        handler.detach().close()
        return False
    except StreamClosedError:  # the reader has left
        return True
    return True
