"""One rule of ours answers every real agent alike: what each says of a command is understood, and none keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.place import Person, Place
from support.stage import LONG, there

from coder_nb.core.entries import Permission
from coder_nb.core.rules import Always, Commands
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, runs, scripted_model

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SOON = ("opencode", "qwen", "native")


@pytest.mark.parametrize("agent", [pytest.param(name, marks=[LONG] * (name not in SOON)) for name in real_agents.EVERY])
async def test_a_rule_made_with_an_answer_answers_the_next_time(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(agent)
    for variable, value in real_agents.environ(tmp_path / "home").items():
        monkeypatch.setenv(variable, value)
    place = Place(tmp_path)
    script = [*runs(agent, "first", "touch hello.txt"), *otherwise()]
    with scripted_model(tmp_path / "model", script) as model:
        try:
            person = await place.person(agents={agent: real_agents.entry(agent, model.url)}, permission_grace=60.0)
            await person.runtime.attend(person.chat.id, who="ann")
            running = await person.send("first", agent=agent)
            await person.asking("browser")
            waiting = (await person.shown("permission", "commands that begin")).body
            assert isinstance(waiting, Permission)
            chosen = next(option for option in waiting.options if option.kind == "allow_once")
            assert not [option for option in waiting.options if option.kind == "allow_always"]
            assert waiting.offers[0].text == "commands that begin with `touch`"
            always = Always("commands", "session")
            assert await person.runtime.answer(person.chat.id, waiting.request_id, chosen.id, by="ann", always=always)
            first = await person.ended(running)
            assert (first.end, first.message) == ("completed", ""), await person.entries()
            chat = await person.runtime.open_chat(person.session.id, name="second")
            second = await Person(person.runtime, person.session, chat).prompt("first", agent=agent)
            assert second.end == "completed"
            (rule,) = await person.runtime.rules(person.session.id)
            assert rule.covers == Commands(("touch",))
            rows = await person.runtime.audit(chat.id)
            assert [(row.command, row.status, row.by, row.rules) for row in rows] == [
                ("touch hello.txt", "allowed", "rule", (rule.id,))
            ]
        finally:
            await place.close()
