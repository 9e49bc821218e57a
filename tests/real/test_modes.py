"""Each permission mode on each real agent, by what happens: files are written, commands run, asked for, or refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.every_model import Answer, Asked, Say, every_model
from support.place import Person, Place, aclosing_stream
from support.stage import LONG, there

from coder_nb.core.entries import Permission
from coder_nb.core.permissions import PermissionMode
from coder_nb.testing import real_agents

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
OPENCODE_OVER_ACP = "opencode-acp"
EVERY = (*real_agents.EVERY, OPENCODE_OVER_ACP)
SOON = ("goose", "native")
DEADLINE = 120.0


class Step(NamedTuple):
    """A prompt, and what is promised of the mode that it is given with."""

    mode: PermissionMode
    does: str
    asked: bool
    done: bool


STEPS = (
    Step("plan", "write", asked=False, done=False),
    Step("plan", "run", asked=False, done=False),
    Step("ask", "write", asked=True, done=True),
    Step("ask", "run", asked=True, done=True),
    Step("accept_edits", "write", asked=False, done=True),
    Step("accept_edits", "run", asked=True, done=True),
    Step("bypass", "write", asked=False, done=True),
    Step("bypass", "run", asked=False, done=True),
    Step("plan", "run again", asked=False, done=False),
    Step("ask", "write again", asked=True, done=True),
)
"""In one session, from the most careful to the least and back."""
ELSEWHERE = "write elsewhere in accept_edits."


def file_of(step: Step, work: Path) -> Path:
    return work / f"{step.mode}-{step.does.replace(' ', '-')}"


def elsewhere(work: Path) -> Path:
    """A file that is not the agent's."""
    return work.parent / "elsewhere"


def scripted(agent: str, work: Path) -> Answer:
    """A model that does at once what a prompt says, whatever the mode lets it, and then is done."""
    calls = {ELSEWHERE: real_agents.writing(agent, elsewhere(work), "hi\n")}
    for step in STEPS:
        file = file_of(step, work)
        call = real_agents.running(agent, f"touch {file}", unasked=step.mode == "bypass")
        if step.does.startswith("write"):
            call = real_agents.writing(agent, file, "hi\n")
        calls[f"{step.does} in {step.mode}."] = call

    def answer(asked: Asked) -> Say:
        found = next((prompt for prompt in calls if prompt in asked.said), None)
        if found is None or not asked.tools:  # what is said after the call, and what is asked in the background
            return Say("Done.")
        call = calls.pop(found)
        return Say(call=(call["name"], call["arguments"]))

    return answer


async def asked_in(person: Person, prompt_id: str, *, allow: bool) -> bool:
    """Whether a person was asked in the turn of a prompt, in which all that is asked is answered so."""
    asked = set[str]()
    kind = "allow_once" if allow else "reject_once"
    async with asyncio.timeout(DEADLINE), aclosing_stream(person) as frames:
        async for _ in frames:
            for entry in await person.entries():
                body = entry.body
                if isinstance(body, Permission) and entry.open and body.request_id not in asked:
                    option = next(option for option in body.options if option.kind == kind)
                    if await person.runtime.answer(person.chat.id, body.request_id, option.id, by="ann"):
                        asked.add(body.request_id)
            turns = await person.runtime.turns(person.chat.id)
            if any(turn.prompt_id == prompt_id and turn.end for turn in turns):
                return bool(asked)
    raise AssertionError("the stream ended")


@contextlib.asynccontextmanager
async def at_work(agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Person, Path]]:
    """Somebody with the agent, and the worktree that it is about to be given."""
    known = there(agent.removesuffix("-acp") if agent == OPENCODE_OVER_ACP else agent)
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    place = Place(tmp_path)
    session = await (await place.person()).runtime.open_session(str(place.repository))
    await place.close()
    work = place.root / "worktrees" / session.id / place.repository.name
    with every_model(scripted(known, work)) as model:
        entry = real_agents.entry(known, model.url)
        over_acp = {"backend": "acp"} if agent == OPENCODE_OVER_ACP else {}
        try:
            yield await place.person(agents={known: entry | over_acp}, permission_grace=600.0), work
        finally:
            await place.close()


@pytest.mark.parametrize("agent", [pytest.param(name, marks=[LONG] * (name not in SOON)) for name in EVERY])
async def test_each_mode_lets_the_agent_do_unasked_what_it_promises_and_nothing_else(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "opencode" if agent == OPENCODE_OVER_ACP else agent
    async with at_work(agent, tmp_path, monkeypatch) as (person, work):
        for step in STEPS:
            prompt = await person.send(f"{step.does} in {step.mode}.", agent=known, mode=step.mode)
            asked = await asked_in(person, prompt, allow=True)
            found = step._replace(asked=asked, done=file_of(step, work).exists())
            assert found == step, await person.entries()
        prompt = await person.send(ELSEWHERE, agent=known, mode="accept_edits")
        await asked_in(person, prompt, allow=False)
        assert not elsewhere(work).exists(), "it was asked, or the agent has refused it by itself"
