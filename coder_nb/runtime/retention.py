"""Lets go of chats that were kept long enough; what may hold work that nobody has seen is never among them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from coder_nb.core import retention
from coder_nb.errors import CoderError
from coder_nb.runtime.context import Context

_log = logging.getLogger("coder_nb.retention")


async def sweep(context: Context, delete: Callable[[str], Awaitable[object]]) -> list[str]:
    """Deletes, as a user would without force, what the settings and the sessions say; returns what went.

    What another process runs, or what would take work along that was not applied, stays for another time.
    """
    settings = context.settings
    weights = await context.store.keeping.weights()
    if not settings.keep_days and not settings.keep_mib and not any(w.keep_days or w.keep_mib for w in weights):
        return []
    gone: list[str] = []
    for chat_id in retention.expired(weights, now=context.now(), days=settings.keep_days, mib=settings.keep_mib):
        try:
            await delete(chat_id)
        except CoderError as error:
            _log.info("kept chat=%s beyond its time: %s", chat_id, error.code)
        else:
            gone.append(chat_id)
            _log.info("deleted chat=%s: kept for long enough", chat_id)
    return gone
