"""Secrets that are planted everywhere turn up nowhere: in no log, in no agent's environment, in no export."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.jupyter import Jupyter
from support.place import make_repository

NOT_FOR_AGENTS = (
    *("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"),
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SOME_SECRET"),
)
FOR_THE_AGENT = "ITS_OWN_KEY"
"""A variable that the user's setting names."""


def canary(name: str) -> str:
    return f"canary of {name.lower()}".replace(" ", "-")


CANARIES = (*map(canary, (*NOT_FOR_AGENTS, FOR_THE_AGENT)), canary("settings"), "canarycanary")


def found_in(text: str) -> list[str]:
    return [each for each in CANARIES if each in text]


def family(jupyter: Jupyter) -> list[psutil.Process]:
    return psutil.Process(jupyter.process.pid).children(recursive=True)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in the server's environment, some of which are its settings."""
    for name in (*NOT_FOR_AGENTS, FOR_THE_AGENT):
        monkeypatch.setenv(name, canary(name))
    servers = {"db": {"command": "true", "env": {"DB_PASSWORD": canary("settings")}}}
    monkeypatch.setenv("CODER_NB_MCP_SERVERS", json.dumps(servers))
    monkeypatch.setenv("CODER_NB_AGENT_VARIABLES", json.dumps([FOR_THE_AGENT]))


@pytest.fixture
def jupyter(planted: None, tmp_path: Path) -> Iterator[Jupyter]:
    """A server among the canaries, that says in its log as much as it can."""
    server = Jupyter(tmp_path, "--debug")
    try:
        yield server.connected()
    finally:
        server.end(signal.SIGTERM)


def test_no_secret_reaches_a_log_an_agent_or_an_export(jupyter: Jupyter, tmp_path: Path) -> None:
    token = jupyter.headers["Authorization"].split()[1]
    chat = jupyter.open_chat(make_repository(tmp_path / "work"))
    jupyter.turn(chat, jupyter.prompt(chat, "run env; servers; grandchild"))
    agents = [environ for each in family(jupyter) if "SCRIPTED_AGENT" in (environ := each.environ())]
    assert len(agents) >= 2, "the agent and what it left"
    for environ in agents:
        assert found_in(str(environ)) == [canary(FOR_THE_AGENT)]
        assert token not in str(environ)

    said = (
        f"say {canary('settings')}; say Bearer canarycanary1canarycanary; run cat {jupyter.file}; stderr 200000; die 3"
    )
    jupyter.turn(chat, jupyter.prompt(chat, said))
    whole = json.dumps(jupyter.ask("GET", f"chats/{chat}/export?redact=false"))
    assert found_in(whole) == [canary(FOR_THE_AGENT), canary("settings"), "canarycanary"]
    assert token in whole
    export, log = json.dumps(jupyter.ask("GET", f"chats/{chat}/export")), jupyter.log.read_text()
    assert found_in(export) == found_in(log) == []
    assert token not in export + log
