"""100,000 entries of one chat, from their bytes to a DataFrame, against a bare decode of the same bytes."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from benchmarks.row import Row
from coder_nb.analysis.columns import ENTRIES
from coder_nb.analysis.frames import entries_frame
from coder_nb.client.live import Live
from coder_nb.core.codec import encode
from coder_nb.core.entries import AnyBody, Entry, Page, Reasoning, Text, Tokens, ToolCall, Usage
from coder_nb.ids import new_id

COUNT = 100_000
ROUNDS = 5


def measure() -> list[Row]:
    data = _page(COUNT)
    decode = msgspec.json.Decoder(Page).decode
    entries_frame(())  # pandas is loaded outside the measurement
    bare = _best(lambda: decode(data))
    ours = _best(lambda: entries_frame(decode(data).entries))
    note = f"msgspec decodes the same {len(data) / 1e6:.0f} MB"
    return [
        Row("100,000 entries as a DataFrame", ours, "ms", 3.0, bare, "ratio", note),
        Row("the same again, when ten entries have come and one has changed", _again(decode(data)), "ms", 20),
    ]


class _Verbs:
    """The one verb that a chat's frame asks."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def read(self, chat_id: str, *, after: int, limit: int) -> Page:
        entries = tuple(entry for entry in self.page.entries if entry.rev > after)
        return Page(entries=entries, rev=self.page.rev)


def _again(page: Page) -> float:
    """A chat that grows by ten entries at a time, the last one of them changing."""
    verbs: Any = _Verbs(Page(entries=page.entries[: -10 * ROUNDS], rev=page.rev - 10 * ROUNDS))
    live, times = Live(), []
    asyncio.run(live.read(verbs, ""))
    live.frame("entries", ENTRIES, lambda entry: entry, ())
    for number in range(ROUNDS, 0, -1):
        first, last = len(page.entries) - 10 * number, len(page.entries) - 10 * (number - 1)
        fresh = [*page.entries[first - 1 : last]]
        fresh[0] = replace(fresh[0], rev=fresh[-1].rev, open=False)
        verbs.page = Page(entries=tuple(fresh), rev=fresh[-1].rev)
        start = time.perf_counter()
        asyncio.run(live.read(verbs, ""))
        live.frame("entries", ENTRIES, lambda entry: entry, ())
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _body(chance: random.Random, number: int) -> AnyBody:
    """As agents speak: text and reasoning of a few lines, three tool calls in ten entries, and a report of tokens."""
    kind = number % 10
    if kind < 4:
        return Text(text="The mean is taken over all birds. " * chance.randint(1, 10))
    if kind < 6:
        return Reasoning(text="What was not measured is no zero. " * chance.randint(1, 15))
    if kind < 9:
        return ToolCall(
            name="terminal",
            original_name="bash",
            tool_kind="execute",
            title="Run the tests",
            input={"command": "python -m pytest -q", "timeout": 60},
            status="completed",
            content="tests/test_summary.py .....\n" * chance.randint(1, 20),
            exit_code=0,
        )
    return Usage(tokens=Tokens(input=1200, output=80), model="model", cost_nanousd=3_000_000, cost_source="reported")


def _page(count: int) -> bytes:
    """A chat of so many entries, encoded as it goes over the wire."""
    chance, chat = random.Random(1), new_id()
    entries = tuple(
        Entry(
            id=new_id(),
            chat_id=chat,
            turn_id=f"turn {number // 50}",
            body=_body(chance, number),
            pos=number + 1,
            rev=number + 1,
            ts=1_700_000_000_000 + number,
            agent="agent",
            native_id=f"part {number}",
        )
        for number in range(count)
    )
    return encode(Page(entries=entries, rev=count))


def _best(work: Callable[[], object]) -> float:
    """The shortest of some runs, in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000
