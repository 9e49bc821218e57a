"""Which chats have been kept long enough, or are more than is kept: facts and a clock in, names out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

DAY = 86_400_000
"""In milliseconds."""
MIB = 1 << 20


class Weight(NamedTuple):
    """What the rules need to know of a chat."""

    chat_id: str
    session_id: str
    size: int
    """Bytes of its entries."""
    used_at: int
    """When something was last written to it, in milliseconds since the epoch."""
    busy: bool
    """Whether a turn runs or waits in it."""
    keep_days: int | None = None
    """What was said of its session; None: the setting counts. 0 is for ever."""
    keep_mib: int | None = None


def expired(weights: Iterable[Weight], *, now: int, days: int, mib: int) -> list[str]:
    """The chats to let go, the longest unused first: never a busy one, nor for its size a session's latest."""
    found: list[Weight] = []
    sessions: dict[str, list[Weight]] = {}
    for weight in weights:
        sessions.setdefault(weight.session_id, []).append(weight)
    for group in sessions.values():
        chats = sorted(group, key=lambda each: each.used_at, reverse=True)
        first = chats[0]
        limit = MIB * (mib if first.keep_mib is None else first.keep_mib)
        age = DAY * (days if first.keep_days is None else first.keep_days)
        kept = 0
        for chat in chats:
            kept += chat.size
            too_old = bool(age) and now - chat.used_at >= age
            too_much = bool(limit) and kept > limit and chat is not first
            if not chat.busy and (too_old or too_much):
                found.append(chat)
    return [chat.chat_id for chat in sorted(found, key=lambda each: each.used_at)]
