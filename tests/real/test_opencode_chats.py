"""opencode by its own server through the whole runtime: resumed, stopped, branched off, and each token counted once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import place as places
from support.place import Person, Place

from coder_nb.client.everything import Both, usage_rows
from coder_nb.client.history import USAGE
from coder_nb.core.entries import Tokens
from coder_nb.readers.base import Places, Sought, readers
from coder_nb.readers.collect import collect
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, says, scripted_model

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SLOW = "one two three four five six seven eight nine ten " * 20


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    for needed in ("opencode", "llmock", "node"):
        try:
            real_agents.program(needed)
        except real_agents.Missing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(places, "DEADLINE", 90.0)
    made = Place(tmp_path)
    yield made
    await made.close()


async def native_id(person: Person, agent: str = "opencode") -> str | None:
    known = await person.runtime.agent_sessions(person.session.id)
    return next(one.native_id for one in known if one.agent == agent and one.chat_id == person.chat.id)


async def test_every_token_of_ten_turns_with_a_resume_a_fork_and_a_stop_is_counted_once(
    place: Place, tmp_path: Path
) -> None:
    prices = {"first": (1201, 31), "second": (1302, 12), "third": (1403, 13), "fourth": (1504, 14), "fifth": (1605, 15)}
    prices |= {"seventh": (1807, 17), "eighth": (1908, 18), "ninth": (2009, 19), "tenth": (2110, 20)}
    script = [one for word, used in prices.items() for one in says("opencode", f"the {word}", word, tokens=used)]
    script += [*says("opencode", "the sixth", SLOW, tokens=(1706, 999), latency=40, chunk=4), *otherwise()]
    with scripted_model(tmp_path / "model", script) as model:
        agents = {"opencode": real_agents.entry("opencode", model.url)}
        person = await place.person(agents=agents, start_timeout=60.0)
        for word in ("first", "second", "third"):
            assert (await person.prompt(f"the {word}", agent="opencode")).end == "completed"
        await person.runtime.close()
        again = await place.person(agents=agents, start_timeout=60.0)
        for word in ("fourth", "fifth"):
            assert (await again.prompt(f"the {word}", agent="opencode")).end == "completed"
        running = await again.send("the sixth", agent="opencode")
        await again.shown("text", "one two")
        await again.runtime.stop(again.chat.id)
        assert (await again.ended(running)).end == "cancelled"
        assert (await again.prompt("the seventh", agent="opencode")).end == "completed"
        forked = await again.runtime.fork(again.chat.id)
        branch = Person(again.runtime, again.session, forked)
        assert (await branch.prompt("the eighth", agent="opencode")).end == "completed"
        assert "the seventh" in str(model.journal()[-1].request)
        for word, one in (("ninth", again), ("tenth", branch)):
            assert (await one.prompt(f"the {word}", agent="opencode")).end == "completed"
        assert await native_id(branch) != await native_id(again)
        journal = [call.tokens for call in model.journal()]
        rows = [row for row in await again.runtime.usage() if row.counted]
        reported = [(row.tokens.input, row.tokens.output) for row in rows]
        assert sorted(reported) == sorted(used for used in journal if used != (1706, 999))  # the call that was stopped
        assert len(reported) == 9
        dollars = sum((row.cost_nanousd or 0) for row in rows)
        price = real_agents.PRICE
        assert dollars == sum(round(1000 * (i * price["input"] + o * price["output"])) for i, o in prices.values())
        wanted = Sought(what=USAGE)
        written = collect(readers()["opencode"], readers()["opencode"].roots(Places(tmp_path / "home")), wanted)
        both = Both(await usage_rows(again.runtime), written.usage)
        counted = [row for row in both.counted() if row.tokens != Tokens()]  # of the one that was stopped nobody tells
        assert sorted((row.tokens.input, row.tokens.output) for row in counted) == sorted(prices.values())
        assert written.copies["opencode"] == 7, "the branch begins with all seven answers once more"
        assert len(both.owners) == 2
        assert both.seen == both.written, "what we saw is what the agent wrote down"
