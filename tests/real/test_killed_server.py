"""The server is killed while each real agent is in the middle of a turn: nothing is left, and everything goes on."""

from __future__ import annotations

import os
import random
import signal
import string
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from support.jupyter import Jupyter, until
from support.place import make_repository
from support.processes import carrying

from coder_nb.ids import new_id
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import Missing, otherwise, says, scripted_model
from coder_nb.warm import keeper
from coder_nb.warm.keeper import Seen

pytestmark = pytest.mark.slow
OVER_ACP = "opencode-acp"
_CHANCE = random.Random(1)
WORDS = "Begun: " + " ".join("".join(_CHANCE.choices(string.ascii_lowercase, k=7)) for _ in range(20_000))
"""At 20 characters in a tenth of a second it is not over before the last agent has begun; one looks for loops."""
RETRIED = "And done."
GONE = 2.0
LONG = "CODER_NB_TEST_LONG" in os.environ
SLOW = ("qwen", "gemini", "claude-acp")
"""Those that take long to start, and are started a second time in the long tier only."""
SOON = 150.0


def installed() -> list[str]:
    """Every agent that is there, by its own door and opencode by both; in CI one that is not is a failure."""
    found = []
    for name in real_agents.EVERY:
        try:
            if name in real_agents.OVER_ACP:
                real_agents.program(name)
            found.append(name)
        except Missing:
            if os.environ.get("CI"):
                raise
    try:
        real_agents.program("llmock")
    except Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    return [*found, *([OVER_ACP] if "opencode" in found else [])]


def entry(agent: str, url: str) -> dict[str, Any]:
    if agent == OVER_ACP:
        return real_agents.entry("opencode", url) | {"backend": "acp", "argv": ["opencode", "acp"]}
    return real_agents.entry(agent, url)


def script(agent: str) -> list[dict[str, Any]]:
    """The first time the agent says much, and once it is asked again, little."""
    said = "opencode" if agent == OVER_ACP else agent
    (much,) = says(said, begun(agent), WORDS, latency=100)
    return [much | {"match": much["match"] | {"sequenceIndex": 0}}, *says(said, begun(agent), RETRIED)]


def begun(agent: str) -> str:
    return f"go on, {agent}!"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, list[str]], Jupyter]]:
    """Starts servers in one home, each with all the agents."""
    for variable, value in real_agents.environ(tmp_path).items():
        monkeypatch.setenv(variable, value)
    started: list[Jupyter] = []

    def begin(url: str, agents: list[str]) -> Jupyter:
        known = {agent: entry(agent, url) for agent in agents}
        started.append(Jupyter(tmp_path, "--CoderExtension.start_timeout=120", agents=known, alone=True))
        return started[-1].connected()

    yield begin
    for jupyter in started:
        if jupyter.process.poll() is None:
            jupyter.process.kill()
            jupyter.process.wait(30)


def opened(jupyter: Jupyter, repository: Path, name: str) -> str:
    session = jupyter.ask("POST", "sessions", {"path": str(repository), "name": name})
    return str(jupyter.ask("POST", f"sessions/{session['id']}/chats")["id"])


def prompted(jupyter: Jupyter, chat: str, agent: str) -> str:
    prompt = new_id()
    jupyter.ask("POST", f"chats/{chat}/prompts", {"id": prompt, "text": begun(agent), "agent": agent})
    return prompt


def in_mid_turn(jupyter: Jupyter, chats: dict[str, str]) -> None:
    """Returns when every agent says something, and none has ended."""
    for agent, chat in chats.items():
        try:
            until(lambda chat=chat: "Begun:" in "".join(jupyter.texts(chat)), seconds=SOON, what=f"words of {agent}")
        except AssertionError:
            raise AssertionError((agent, jupyter.ask("GET", f"chats/{chat}/turns"), jupyter.log.read_text())) from None
    for agent, chat in chats.items():
        turn = jupyter.ask("GET", f"chats/{chat}/turns")[-1]
        assert turn.get("end") is None, (agent, turn)


def completed(jupyter: Jupyter, agent: str, chat: str, prompt: str) -> None:
    """Returns when the turn of a prompt is over, and holds it to being whole."""

    def turn() -> Any:
        turns = jupyter.ask("GET", f"chats/{chat}/turns")
        return next((turn for turn in turns if turn["prompt_id"] == prompt and turn.get("end")), None)

    found = until(turn, seconds=SOON, what=f"an end of {agent}")
    assert found["end"] == "completed", (agent, found, jupyter.log.read_text())
    assert "".join(jupyter.texts(chat)).endswith(RETRIED), agent


def killed(jupyter: Jupyter) -> None:
    """Kills the server, and holds all that has ever come from it to being gone in two seconds."""
    ours = keeper.below([jupyter.process.pid], keeper.all_processes())
    jupyter.process.send_signal(signal.SIGKILL)
    until(lambda: not left(ours, jupyter.runtime_id), seconds=GONE, what=f"an end of {names(ours)}")
    jupyter.process.wait(30)


def left(ours: list[Seen], runtime_id: str) -> list[int]:
    known = {(seen.pid, seen.born) for seen in ours}
    now = keeper.all_processes()
    return [seen.pid for seen in now if not seen.dead and (seen.pid, seen.born) in known] or carrying(runtime_id)


def names(processes: list[Seen]) -> list[str]:
    said = []
    for seen in processes:
        file = Path(f"/proc/{seen.pid}/cmdline")
        said.append(file.read_bytes().replace(b"\0", b" ")[:60].decode("utf-8", "replace") if file.exists() else "gone")
    return said


def test_a_server_that_is_killed_in_mid_turn_leaves_no_process_and_the_turn_of_every_agent_can_be_retried(
    tmp_path: Path, start: Callable[[str, list[str]], Jupyter]
) -> None:
    agents = installed()
    repository = make_repository(tmp_path / "work")
    with scripted_model(tmp_path / "model", [*chain.from_iterable(map(script, agents)), *otherwise()]) as model:
        first = start(model.url, agents)
        chats = {agent: opened(first, repository, agent) for agent in agents}
        prompts = {agent: prompted(first, chats[agent], agent) for agent in agents}
        in_mid_turn(first, chats)
        killed(first)

        second = start(model.url, agents)
        for agent, chat in chats.items():
            assert opened(second, repository, agent) == chat
            (turn,) = second.ask("GET", f"chats/{chat}/turns")
            assert (agent, turn["end"], turn["prompt_id"]) == (agent, "interrupted", prompts[agent])
            assert second.ask("GET", f"chats/{chat}")["run_status"] == "idle"
        again = {agent: chat for agent, chat in chats.items() if LONG or agent not in SLOW}
        prompts = {agent: prompted(second, chat, agent) for agent, chat in again.items()}
        for agent, chat in again.items():
            completed(second, agent, chat, prompts[agent])
        killed(second)
