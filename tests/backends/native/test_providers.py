"""Which model the native agent asks, by what the user has set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast, get_args

import pytest
from support.history import MemoryHistory

from coder_nb.backends.base import Opening
from coder_nb.backends.native.backend import NativeBackend
from coder_nb.backends.native.providers import PROVIDERS, target
from coder_nb.backends.processes import Spawner
from coder_nb.backends.registry import registry
from coder_nb.errors import AgentNotInstalled, AgentNotLoggedIn, InvalidOption
from coder_nb.settings import Settings

KEYS = {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o", "GEMINI_API_KEY": "g"}


@pytest.mark.parametrize(
    ("env", "model", "url", "name", "wire"),
    [
        ({"OPENAI_API_KEY": "k"}, "", "", "openai/gpt-5.6-terra", "openai-responses"),
        ({"OPENAI_API_KEY": "k"}, "openai-chat/x", "", "openai/x", "openai-chat"),
        ({"GOOGLE_API_KEY": "k"}, "", "", "google/gemini-3.8-flash", "google"),
        (KEYS, "", "", "anthropic/claude-sonnet-5-5", "anthropic"),
        (KEYS, "google", "", "google/gemini-3.8-flash", "google"),
        (KEYS | {"ANTHROPIC_MODEL": "mine"}, "", "", "anthropic/mine", "anthropic"),
        (KEYS, "some-model", "", "anthropic/some-model", "anthropic"),
        ({}, "openai/qwen3", "http://127.0.0.1:11434/v1", "openai/qwen3", "openai-chat"),
        ({}, "qwen3", "http://127.0.0.1:11434/v1", "openai/qwen3", "openai-chat"),
        ({"OPENAI_BASE_URL": "http://x/v1", "OPENAI_MODEL": "m"}, "", "", "openai/m", "openai-chat"),
        ({"OPENROUTER_API_KEY": "k"}, "openrouter/org/model", "", "openrouter/org/model", "openrouter"),
    ],
)
def test_the_model_is_what_is_set_else_the_first_that_there_is_a_key_for(
    env: dict[str, str], model: str, url: str, name: str, wire: str
) -> None:
    found = target(env, model=model, base_url=url, agent="native")
    assert (found.name, found.wire) == (name, wire)


@pytest.mark.parametrize(
    ("env", "model", "url", "error", "words"),
    [
        ({}, "", "", AgentNotLoggedIn, "set one of ANTHROPIC_API_KEY"),
        ({}, "google/x", "", AgentNotLoggedIn, "set GEMINI_API_KEY or GOOGLE_API_KEY"),
        (KEYS, "nobody/x", "", InvalidOption, "no provider 'nobody'"),
        ({}, "", "http://127.0.0.1:1/v1", InvalidOption, "does not know which model"),
        ({"OPENROUTER_API_KEY": "k"}, "", "", InvalidOption, "set OPENROUTER_MODEL"),
    ],
)
def test_what_is_missing_is_said_with_what_to_set(
    env: dict[str, str], model: str, url: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        target(env, model=model, base_url=url, agent="native")


def test_every_model_that_is_asked_by_itself_is_known_to_the_library() -> None:
    from pydantic_ai.models import KnownModelName

    known = get_args(KnownModelName.__value__)
    for name, provider in PROVIDERS.items():
        assert not provider.model or f"{name}:{provider.model}" in known


def test_nothing_of_it_is_loaded_before_a_session_is_opened() -> None:
    code = (
        "import sys, coder_nb, coder_nb.runtime.agents, jupyter_extension.app;"
        "sys.exit(any(name.split('.')[0] in ('pydantic_ai', 'pydantic', 'openai', 'httpx2') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.anyio
async def test_without_the_library_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = registry({"native": {"model": "openai/x", "base_url": "http://127.0.0.1:1/v1"}})
    backend = NativeBackend(Settings(), specs, cast("Spawner", None), MemoryHistory(), environ={})
    for name in [name for name in sys.modules if name.startswith(("pydantic_ai", "coder_nb.backends.native."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    with pytest.raises(AgentNotInstalled, match=r"Install it with `pip install 'coder-nb\[native\]'`"):
        await backend.open(Opening(agent="native", chat_id="c", cwd=Path()), idle_events=lambda event: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "coder-nb[native]" in (await backend.probe("native")).cure
