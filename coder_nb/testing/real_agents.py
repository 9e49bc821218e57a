"""Real agents without a key or a network: each is pointed at a scripted model on loopback, in a home of its own.

The programs are looked for in ``$CODER_NB_TEST_AGENTS`` (such as ``node_modules/.bin``) and on the PATH; the model is
``llmock`` of the npm package ``@copilotkit/aimock``. What it answers is said by fixtures, see `writes` and `says`; what
it was asked, and the tokens that it said were used, by its journal.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coder_nb.backends.processes import Child, Spawner

AGENTS = ("opencode", "goose", "qwen")
OVER_ACP = (*AGENTS, "gemini", "codex", "claude-acp")
EVERY = (*OVER_ACP, "claude", "native")
"""With the two that are libraries, and no programs on the PATH."""
PROGRAMS = {"codex": "codex-acp", "claude-acp": "claude-agent-acp"}
"""Where the program is not named like the agent."""
PLACE = "CODER_NB_TEST_AGENTS"
_WRITE = {
    "opencode": ("write", "filePath"),
    "goose": ("write", "path"),
    "qwen": ("write_file", "file_path"),
    "gemini": ("write_file", "file_path"),
    "codex": ("exec_command", ""),
    "claude-acp": ("Write", "file_path"),
    "claude": ("Write", "file_path"),
    "native": ("write_file", "path"),
}
_SHELL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "opencode": ("bash", "command", {"description": "Runs it"}),
    "goose": ("shell", "command", {}),
    "qwen": ("run_shell_command", "command", {"is_background": False}),
    "gemini": ("run_shell_command", "command", {}),
    "codex": ("exec_command", "cmd", {}),
    "claude-acp": ("Bash", "command", {"description": "Runs it"}),
    "claude": ("Bash", "command", {"description": "Runs it"}),
    "native": ("shell", "command", {}),
}
_MODEL = "scripted-model"
_OWN_MODEL = {"gemini": "gemini-2.5-pro", "codex": "gpt-5.3-codex", "claude-acp": "claude-opus-5-5"}
"""Of agents that do more for models that they know."""
PRICE = {"input": 3.0, "output": 15.0}
"""What opencode is told that the model costs, in dollars for a million tokens."""


class Missing(Exception):
    """A program that these tests need is not there."""


def search_path() -> str:
    """The PATH on which agents are looked for, and which they get."""
    beside = str(Path(sys.executable).parent)  # where a Node that was installed from a wheel is
    return os.pathsep.join(part for part in (os.environ.get(PLACE), beside, os.environ.get("PATH")) if part)


def program(name: str) -> str:
    """Where a program is; raises `Missing` with what to do."""
    found = shutil.which(PROGRAMS.get(name, name), path=search_path())
    if found is None:
        raise Missing(f"{name} is not installed: install the test agents, and set {PLACE} to their node_modules/.bin")
    return found


def environ(home: Path) -> dict[str, str]:
    """What an agent gets for the user's environment: nothing of the real one but the PATH."""
    home.mkdir(parents=True, exist_ok=True)
    names = {"CONFIG": ".config", "DATA": ".local/share", "CACHE": ".cache", "STATE": ".local/state"}
    xdg = {f"XDG_{name}_HOME": str(home / folder) for name, folder in names.items()}
    return {"PATH": search_path(), "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb", **xdg}


def entry(agent: str, model_url: str) -> dict[str, Any]:
    """The fields for `settings.agents` that point an agent at the scripted model."""
    if agent == "opencode":
        limit = {"context": 100_000, "output": 8000}
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Scripted",
            "options": {"baseURL": f"{model_url}/v1", "apiKey": "none"},
            "models": {_MODEL: {"name": "Scripted", "reasoning": True, "limit": limit, "cost": PRICE}},
        }
        name = f"scripted/{_MODEL}"
        config = {"model": name, "small_model": name, "provider": {"scripted": provider}, "share": "disabled"}
        quiet = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}
        return {"env": {"OPENCODE_CONFIG_CONTENT": json.dumps(config), **quiet}}
    if agent == "goose":
        key = {"OPENAI_API_KEY": "none", "GOOSE_DISABLE_KEYRING": "1", "OPENAI_HOST": model_url}
        return {"env": {"GOOSE_PROVIDER": "openai", "GOOSE_MODEL": _MODEL, **key}}
    if agent == "gemini":
        key = {"GEMINI_API_KEY": "none", "GEMINI_MODEL": _OWN_MODEL[agent]}
        return {"env": {"GOOGLE_GEMINI_BASE_URL": model_url, **key}}
    if agent == "codex":
        return {"argv": ["codex-acp", *_codex_settings(model_url)], "env": {"OPENAI_API_KEY": "none"}}
    if agent == "native":
        return {"model": f"openai-chat/{_MODEL}", "base_url": f"{model_url}/v1"}
    if agent in ("claude", "claude-acp"):
        key = {"ANTHROPIC_API_KEY": "none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        return {"enabled": True, "env": {"ANTHROPIC_BASE_URL": model_url, **key}}
    key = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{model_url}/v1", "OPENAI_MODEL": _MODEL}
    return {"env": key, "argv": ["qwen", "--acp", "--auth-type", "openai"]}


def _codex_settings(model_url: str) -> list[str]:
    """A provider of its own, that needs no login."""
    place = "model_providers.scripted"
    settings = {
        "model": f'"{_OWN_MODEL["codex"]}"',
        "model_provider": '"scripted"',
        f"{place}.name": '"Scripted"',
        f"{place}.base_url": f'"{model_url}/v1"',
        f"{place}.wire_api": '"responses"',
        f"{place}.requires_openai_auth": "false",
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


# What the model answers ----------------------------------------------------------------------------------------------


def writes(
    agent: str, prompt: str, file: Path, text: str, *, tokens: Sequence[tuple[int, int]] = ((1000, 30), (1100, 10))
) -> list[dict[str, Any]]:
    """To a prompt: writes a file with the agent's own tool, then says "Done."; `tokens` are of the two answers."""
    call = writing(agent, file, text)
    tool = call["name"]
    first = {"reasoning": "Plan.", "content": "Writing it.", "toolCalls": [call], "usage": _usage(tokens[0])}
    after = {"toolName": tool, "hasToolResult": True}  # some agents put a message of their own behind the prompt
    return [
        {"match": {"userMessage": prompt, "toolName": tool, "hasToolResult": False}, "response": first},
        {"match": after, "response": {"content": "Done.", "usage": _usage(tokens[1])}},
    ]


def runs(agent: str, prompt: str, line: str, *, unasked: bool = False) -> list[dict[str, Any]]:
    """To a prompt: runs a command with the agent's own tool, then says "Done."; see `running`."""
    call = running(agent, line, unasked=unasked)
    tool = call["name"]
    return [
        {"match": {"userMessage": prompt, "toolName": tool, "hasToolResult": False}, "response": {"toolCalls": [call]}},
        {"match": {"toolName": tool, "hasToolResult": True}, "response": {"content": "Done."}},
    ]


def writing(agent: str, file: Path, text: str) -> dict[str, Any]:
    """The call of the agent's own tool that writes a file."""
    tool, argument = _WRITE[agent]
    arguments = {argument: str(file), "content": text}
    if agent == "codex":  # whose own way to write files is a patch, given to the shell
        added = "".join(f"+{line}\n" for line in text.splitlines())
        patch = f"*** Begin Patch\n*** Add File: {file}\n{added}*** End Patch"
        arguments = {"cmd": f"apply_patch <<'EOF'\n{patch}\nEOF"}
    return {"name": tool, "arguments": arguments}


def running(agent: str, line: str, *, unasked: bool = False) -> dict[str, Any]:
    """The call of the agent's own tool that runs a command; `unasked` in a mode in which the agent may not ask."""
    tool, argument, beside = _SHELL[agent]
    if agent == "codex" and not unasked:  # else it runs it in a sandbox where nothing can be written, and asks nobody
        beside = {"sandbox_permissions": "require_escalated", "justification": "It changes files."}
    return {"name": tool, "arguments": {argument: line, **beside}}


def says(
    agent: str, prompt: str, text: str, *, tokens: tuple[int, int] = (900, 20), latency: int = 0, chunk: int = 20
) -> list[dict[str, Any]]:
    """To a prompt: says a text, `chunk` characters every `latency` milliseconds."""
    match = {"userMessage": prompt, "toolName": _WRITE[agent][0]}
    pace = {"latency": latency, "chunkSize": chunk}
    return [{"match": match, "response": {"content": text, "usage": _usage(tokens)}, **pace}]


def otherwise(text: str = "Understood.", *, tokens: tuple[int, int] = (77, 7)) -> list[dict[str, Any]]:
    """To anything else, such as the titles that agents ask for in the background; always the last."""
    return [{"match": {}, "response": {"content": text, "usage": _usage(tokens)}}]


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


# The model -----------------------------------------------------------------------------------------------------------


_ASKS_A_MODEL = re.compile(r"(?:completions|/responses|/messages|:\w*[gG]enerateContent)(?:\?|\Z)")


@dataclass(frozen=True)
class Call:
    """One answer of the model, as its journal has it."""

    tokens: tuple[int, int]
    request: Mapping[str, Any]
    status: int


@dataclass(frozen=True)
class Model:
    """A scripted model that runs."""

    url: str

    def journal(self) -> list[Call]:
        """What it was asked so far, in order."""
        with urllib.request.urlopen(f"{self.url}/__aimock/journal", timeout=5) as answer:
            found = json.load(answer)
        return [_call(item) for item in found if _ASKS_A_MODEL.search(item.get("path", ""))]


def _call(item: dict[str, Any]) -> Call:
    response = item.get("response") or {}
    usage = ((response.get("fixture") or {}).get("response") or {}).get("usage") or {}
    tokens = (usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
    return Call(tokens=tokens, request=item.get("body") or {}, status=response.get("status", 0))


@contextlib.contextmanager
def scripted_model(folder: Path, fixtures: Sequence[Mapping[str, Any]]) -> Iterator[Model]:
    """Runs the model with these fixtures until the block ends; raises `Missing` where it is not installed."""
    argv = program("llmock")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": list(fixtures)}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "model.log").open("wb") as log:
        process = subprocess.Popen(
            [argv, "-p", str(port), "-f", str(folder / "fixtures.json"), "--log-level", "warn"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ(folder / "home"),
            start_new_session=True,  # a launcher may stand between it and us
        )
    try:
        _wait_until_up(f"http://127.0.0.1:{port}", process, folder / "model.log")
        yield Model(url=f"http://127.0.0.1:{port}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the scripted model ended: {log.read_text()}")
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the scripted model did not start: {log.read_text()}")


# The wire ------------------------------------------------------------------------------------------------------------


class Tap:
    """A spawner that keeps what its processes said, byte for byte."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self.heard = bytearray()

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        child = await self._spawner.spawn(argv, cwd=cwd, env=env, name=name)
        return _Tapped(child, self.heard)


class _Tapped:
    def __init__(self, child: Child, heard: bytearray) -> None:
        self._child = child
        self._heard = heard

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.returncode

    async def read(self, limit: int = 65536) -> bytes:
        data = await self._child.read(limit)
        self._heard += data
        return data

    async def write(self, data: bytes) -> None:
        await self._child.write(data)

    def stderr_tail(self) -> str:
        return self._child.stderr_tail()

    def explain(self) -> str:
        return self._child.explain()

    async def wait(self) -> int:
        return await self._child.wait()

    async def stop(self, grace: float = 5.0) -> None:
        await self._child.stop(grace)
