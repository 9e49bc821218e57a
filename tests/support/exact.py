"""Six agents, driven for real against a model whose journal is known to the token.

Each has two turns, one of them with a tool that fails, a sub-agent where it has one, a Stop, a fork where it has one,
and a turn in a process of its own that goes on with the conversation. All that they are told was used has figures by
which each answer can be told from all others.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from support.every_model import Asked, Call, EveryModel, Say, Used, every_model

from coder_nb.backends import base
from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import ForkOf, Opening
from coder_nb.backends.events import Done, PermissionAsked
from coder_nb.backends.registry import registry
from coder_nb.core.permissions import PermissionMode
from coder_nb.ids import new_id
from coder_nb.readers.base import Places, readers
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.warm.process import Keeper

AGENTS = ("claude", "codex", "opencode", "qwen", "gemini", "goose")
FORKS = ("claude", "opencode")
LIMIT = 120.0
MODE: PermissionMode = "bypass"
_TOOLS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "claude": (
        ("Write", {"file_path": "{work}/hello.txt", "content": "hi\n"}),
        ("Read", {"file_path": "{work}/none.txt"}),
        ("Agent", {"description": "sub", "prompt": "sub work", "subagent_type": "general-purpose"}),
    ),
    "codex": (("exec_command", {"cmd": "echo hi > hello.txt"}), ("exec_command", {"cmd": "exit 3"})),
    "opencode": (
        ("write", {"filePath": "{work}/hello.txt", "content": "hi\n"}),
        ("read", {"filePath": "{work}/none.txt"}),
        ("task", {"description": "sub", "prompt": "sub work", "subagent_type": "general"}),
    ),
    "qwen": (
        ("write_file", {"file_path": "{work}/hello.txt", "content": "hi\n"}),
        ("read_file", {"file_path": "{work}/none.txt"}),
        ("agent", {"description": "sub", "prompt": "sub work", "subagent_type": "general-purpose"}),
    ),
    "gemini": (
        ("write_file", {"file_path": "{work}/hello.txt", "content": "hi\n"}),
        ("read_file", {"file_path": "none.txt"}),
        ("invoke_agent", {"agent_name": "generalist", "prompt": "sub work"}),
    ),
    "goose": (
        ("write", {"path": "{work}/hello.txt", "content": "hi\n"}),
        ("shell", {"command": "exit 3"}),
        ("delegate", {"instructions": "sub work"}),
    ),
}
PROMPTS = ("make hello", "break it", "please delegate")
_NUMBER = re.compile(rb"(?<![\w.])\d+(?![\w.])")
CALLED = ("file_write", "file_read", "sub_agent")


@dataclass(frozen=True)
class Run:
    """What an agent did: where its files are, and what the model knows."""

    agent: str
    home: Path
    work: Path
    journal: Counter[tuple[int, int, int]]
    """What was used, call by call."""
    talk: Counter[tuple[int, int, int]]
    """The part of it that is the conversation, its sub-agent's included."""
    stopped: Counter[tuple[int, int, int]]
    """What would have been used by the answer that was stopped."""
    calls: tuple[Call, ...]
    """All that the model was asked and gave to its end."""


async def run(agent: str, root: Path) -> Run:
    """Drives one agent through all of it."""
    work, home = root / "work", root / "home"
    work.mkdir(parents=True)
    with every_model(_script(agent, work)) as model:
        async with asyncio.timeout(LIMIT):
            await (_claude(model, root) if agent == "claude" else _over_acp(agent, model, root))
        done = list(model.journal)
    known = (*PROMPTS, "sub work", "once more", "another way")
    return Run(
        agent=agent,
        home=home,
        work=work,
        journal=Counter(call.used.row for call in done),
        talk=Counter(call.used.row for call in done if call.asked.tools and call.asked.said.endswith(known)),
        stopped=Counter(used.row for used in model.endless),
        calls=tuple(done),
    )


def kind(call: Call) -> str:
    """What an agent asks a model for beside the conversation, by the names that `coverage()` has for it."""
    if call.asked.said.startswith("[SUGGESTION MODE"):
        return "suggestions of what to ask next"
    if call.asked.tools:
        return "some of the calls that keep its memory" if "memory" in call.asked.said else "the conversation"
    return "descriptions of tool calls" if call.asked.said.startswith("Tool: ") else "titles"


def written(run: Run) -> Iterator[frozenset[bytes]]:
    """The numbers of each record in an agent's own files: a line of a file, or a row of a database."""
    for root in readers()[run.agent].roots(Places(run.home)):
        for path in (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))):
            records = _rows(path) if path.suffix == ".db" else path.read_bytes().split(b"\n")
            yield from (frozenset(_NUMBER.findall(record)) for record in records)


def _rows(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield repr(row).encode()


def holds(record: frozenset[bytes], used: Used) -> bool:
    """Whether a record can be one of an answer, whatever it counts the cache and the reasoning to."""
    given, made = (used.fresh, used.fresh + used.cached), (used.output, used.output - used.reasoning)
    return all(any(str(one).encode() in record for one in figures) for figures in (given, made))


def _script(agent: str, work: Path) -> Any:
    calls = dict(zip(PROMPTS, _TOOLS[agent], strict=False))

    def answer(asked: Asked) -> Say:
        if not asked.tools:
            return Say("A title")
        if asked.has_result:
            return Say("Done.")
        if asked.said.endswith("slow"):
            return Say("Well", endless=True)
        if asked.said.endswith("sub work") and "complete_task" in asked.tools:
            return Say(call=("complete_task", {"response": "Sub done.", "result": "Sub done."}))
        for prompt, (tool, given) in calls.items():
            if asked.said.endswith(prompt):
                return Say(call=(tool, json.loads(json.dumps(given).replace("{work}", str(work)))))
        return Say("Here I am.")

    return answer


async def _over_acp(agent: str, model: EveryModel, root: Path) -> None:
    keeper = Keeper(new_id())
    try:
        agents = {agent: real_agents.entry(agent, model.url)}
        if agent == "gemini":
            agents[agent]["env"] |= {"GEMINI_CLI_TRUST_WORKSPACE": "true"}  # else it asks nobody and refuses
        settings = Settings(agents=agents, start_timeout=60.0, cancel_grace=2.0, stop_grace=2.0)
        known = registry(settings.agents)
        backend = AcpBackend(settings, known, keeper, environ=real_agents.environ(root / "home"))
        native = await _prompts(backend, agent, root, None, PROMPTS[: len(_TOOLS[agent])], model)
        await _prompts(backend, agent, root, native, ["once more"], None)
        if agent in FORKS and native is not None:
            await _prompts(backend, agent, root, None, ["another way"], None, fork=ForkOf(native_id=native))
    finally:
        await keeper.close(2.0)


async def _prompts(
    backend: AcpBackend,
    agent: str,
    root: Path,
    native: str | None,
    prompts: Sequence[str],
    stop: EveryModel | None,
    fork: ForkOf | None = None,
) -> str | None:
    opening = Opening(agent=agent, chat_id="c", cwd=root / "work", mode=MODE, native_id=native, fork=fork)
    session = await backend.open(opening, idle_events=lambda _: None)
    assert fork is None or session.resumed == "forked"
    try:
        for text in prompts:
            event: Any = None
            async for event in session.prompt(base.Asked(text=text, user_text=text, mode=MODE)):
                if isinstance(event, PermissionAsked):
                    once = next(option.id for option in event.options if option.kind == "allow_once")
                    await session.answer(event.request_id, once)
            assert isinstance(event, Done)
            assert event.end == "completed", event
        if stop is not None:
            await _stopped(session, stop)
        return session.native_id
    finally:
        await session.close()


async def _stopped(session: Any, model: EveryModel) -> None:
    """A turn that is stopped in the middle of an answer."""

    async def stop() -> None:
        await asyncio.to_thread(model.streams.wait, LIMIT)
        await session.cancel()

    async with asyncio.TaskGroup() as group:
        group.create_task(stop())
        async for _ in session.prompt(base.Asked(text="slow", user_text="slow", mode=MODE)):
            pass


async def _claude(model: EveryModel, root: Path) -> None:
    """By its own program: each turn is a process, and so each but the first goes on with the conversation."""
    session = await _claude_says(model, root, PROMPTS[0])
    for prompt in PROMPTS[1:]:
        assert await _claude_says(model, root, prompt, "--resume", session) == session
    await _claude_says(model, root, "slow", "--resume", session, stop=True)
    await _claude_says(model, root, "once more", "--resume", session)
    assert await _claude_says(model, root, "another way", "--resume", session, "--fork-session") != session


async def _claude_says(model: EveryModel, root: Path, prompt: str, *options: str, stop: bool = False) -> str:
    argv = [
        claude(), "-p", prompt, "--output-format", "json", "--model", "claude-sonnet-4-5", *options,
        "--allowedTools", "Write,Read,Agent,Task",
    ]  # fmt: skip
    key = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "none"}
    key |= {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=root / "work",
        env=real_agents.environ(root / "home") | key,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if stop:
        await asyncio.to_thread(model.streams.wait, LIMIT)
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    if stop:
        return ""
    assert process.returncode == 0, (out, err)
    return str(json.loads(out)["session_id"])


def claude() -> str:
    """Claude's program, as its SDK brings it; raises `Missing`."""
    found = find_spec("claude_agent_sdk")
    path = Path(found.origin).parent / "_bundled" / "claude" if found and found.origin else None
    if path is None or not path.is_file():
        raise real_agents.Missing("claude-agent-sdk is not installed: run `pip install claude-agent-sdk`")
    return str(path)
