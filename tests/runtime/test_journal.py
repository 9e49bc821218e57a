"""What happened, in stable words: in the log, and of each agent its latest; bounded, and nothing secret in it."""

from __future__ import annotations

import logging

import pytest
from support.place import Place

from coder_nb.core.health import Happening
from coder_nb.runtime.journal import AGENTS, BURIED, LINES, Journal, key_of
from coder_nb.testing import scripted_agent

CANARY = "canary-4f1d-secret"


def test_what_happened_to_an_agent_is_kept_the_latest_of_it() -> None:
    journal = Journal(now=lambda: 7)
    for number in range(2 * LINES):
        journal.note("agent_started", chat="c", agent="a", pid=number)
    journal.note("turn_started", chat="other", turn="t", agent="a", mode="ask")
    kept = journal.of(key_of("c", "a"))
    assert len(kept) == LINES
    assert kept[-1] == Happening(ts=7, word="agent_started", text=f"pid={2 * LINES - 1}")
    assert journal.of("nobody") == ()


def test_neither_agents_nor_the_last_words_of_dead_ones_pile_up() -> None:
    journal = Journal(now=lambda: 7)
    for number in range(2 * AGENTS):
        journal.note("agent_failed", chat=f"c{number}", agent="a", code="agent_died")
        journal.bury(f"c{number}.a", "x")
    assert len(journal._kept) == AGENTS
    assert len(journal._dead) == BURIED
    assert journal.last_words(f"c{2 * AGENTS - 1}.a") == "x"
    journal.bury(f"c{2 * AGENTS - 1}.a", "", "it ended with exit code 3")
    assert journal.last_words(f"c{2 * AGENTS - 1}.a") == ""
    assert journal.take_cause(f"c{2 * AGENTS - 1}.a") == "it ended with exit code 3"
    assert journal.take_cause(f"c{2 * AGENTS - 1}.a") == ""  # its next end has another cause
    assert journal.take_cause("nobody") == ""


@pytest.mark.anyio
async def test_nothing_of_a_prompt_of_an_agents_words_or_of_a_key_is_logged(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SCRIPTED_API_KEY", CANARY)
    entry = scripted_agent.entry() | {"variables": ["SCRIPTED_API_KEY"]}
    person = await place.person(await place.runtime(agents={"keyed": entry}))
    for words in (f"say {CANARY}", f"env SCRIPTED_API_KEY; badutf8; garbage; fail {CANARY}", "stderr 100; die 3"):
        await person.prompt(f"{CANARY}\n\n{words}", agent="keyed", mode="bypass")
    await person.send(f"{CANARY}\n\nsay {CANARY}; hang", agent="keyed")
    await person.shown("text", CANARY)
    await person.runtime.stop(person.chat.id)
    await place.close()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("coder_nb")]
    assert {"turn_started", "turn_ended", "agent_started", "agent_crashed"} <= {line.split()[0] for line in said}
    assert CANARY not in caplog.text
