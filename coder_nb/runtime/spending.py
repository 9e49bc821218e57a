"""How much was spent, for the budgets: read from the store once in a while, and counted on from what comes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import msgspec

from coder_nb import prices
from coder_nb.core.budgets import Budgets, Scope, Verdict, judge
from coder_nb.core.entries import Usage
from coder_nb.settings import Settings
from coder_nb.store.base import Store

FRESH = 60.0
"""Seconds after which it is looked for what other processes have spent."""


class Spending:
    """What the chats of a store have cost; without any budget nothing is read or kept."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._budgets = Budgets.of(
            chat=settings.budget_chat,
            user=settings.budget_user,
            day=settings.budget_day,
            stops=settings.budget_stops,
        )
        self._chats: Counter[str] = Counter()
        self._owners: dict[str, str] = {}
        self._users: Counter[str] = Counter()
        self._today = 0
        self._read_at = 0.0

    async def may_begin(self, chat_id: str) -> Verdict | None:
        """What is to be said to a turn that begins; it stops where a budget is used up."""
        if not self._budgets.limits or not self._budgets.stops:
            return None
        await self._read(chat_id)
        return judge(self._budgets, self._spent(chat_id))

    async def spend(self, chat_id: str, usage: Usage) -> Verdict | None:
        """What is to be said and done when an agent has reported a cost."""
        cost = usage.cost_nanousd if usage.counted else None
        if not self._budgets.limits or not cost:
            return None
        await self._read(chat_id)
        self._add(chat_id, cost, today=True)
        return judge(self._budgets, self._spent(chat_id), cost)

    def _spent(self, chat_id: str) -> Mapping[Scope, int]:
        return {"chat": self._chats[chat_id], "user": self._users[self._owners.get(chat_id, "")], "day": self._today}

    def _add(self, chat_id: str, cost: int, *, today: bool) -> None:
        self._chats[chat_id] += cost
        self._users[self._owners.get(chat_id, "")] += cost
        self._today += cost if today else 0

    async def _read(self, chat_id: str) -> None:
        if chat_id in self._owners and time.monotonic() - self._read_at < FRESH:
            return
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000
        sessions = await self._store.catalog.sessions()
        self._owners = {chat: one.owner for one in sessions for chat in one.chats}
        self._chats, self._users, self._today, self._read_at = Counter(), Counter(), 0, time.monotonic()
        for row in await self._store.turns.usage():
            if row.counted and row.cost_nanousd:
                self._add(row.chat_id, row.cost_nanousd, today=row.ts >= midnight)


async def priced(usage: Usage) -> Usage:
    """Usage with a computed cost where the agent reported none and the price of its model is known (law 17)."""
    if usage.cost_nanousd is not None or not usage.model:
        return usage
    cost = await asyncio.to_thread(prices.cost_nanousd, usage.tokens, usage.model)
    if cost is None:
        return usage
    return msgspec.structs.replace(usage, cost_nanousd=cost, cost_source="computed")
