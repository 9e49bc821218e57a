"""Records the history of the second lesson anew: Claude Code, Codex and Qwen Code, really, with a scripted model.

    CODER_NB_TEST_AGENTS=.tools/agents/node_modules/.bin .venv/bin/python scripts/lesson/record_history.py

What is asked and what the model does is in `sessions.py`. What an agent writes down is kept as it is, but for the
times, which are moved turn by turn to where `sessions.py` says; the folder, which becomes one of nobody's; and what is
left out: the agents' own instructions, and what no reader needs.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from sessions import PROJECTS, SESSIONS, STOP, Call, Session, SubAgent, Turn  # noqa: E402
from support import exact  # noqa: E402
from support.every_model import Asked, EveryModel, Say, Used, every_model  # noqa: E402

from coder_nb.backends.acp.backend import AcpBackend  # noqa: E402
from coder_nb.backends.base import Asked as Prompted  # noqa: E402
from coder_nb.backends.base import Opening  # noqa: E402
from coder_nb.backends.events import Done, PermissionAsked  # noqa: E402
from coder_nb.backends.registry import registry  # noqa: E402
from coder_nb.ids import new_id  # noqa: E402
from coder_nb.recordings import HISTORY  # noqa: E402
from coder_nb.settings import Settings  # noqa: E402
from coder_nb.testing import real_agents  # noqa: E402
from coder_nb.warm.process import Keeper  # noqa: E402

SOMEWHERE = "/home/ada"
LIMIT = 180.0
PACE, LATENCY = 200, 0.7
"""The model's: tokens in a second, and the seconds until the first."""


class Script:
    """What the model says now, and the tokens that it counts: a cache holds what it was given and said before."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._main: list[Any] = []
        self._below: dict[str, list[Any]] = {}
        self._turn: Turn | None = None
        self._cached: dict[str, int] = {}
        self._conversation = ""

    def begin(self, conversation: str, turn: Turn) -> None:
        self._turn, self._main, self._conversation = turn, list(turn.responses), conversation
        self._below = {one.given["prompt"]: list(one.responses) for one in turn.responses if isinstance(one, SubAgent)}
        if turn.cold:
            self._cached.pop(f"{conversation} None", None)

    def __call__(self, asked: Asked) -> Say:
        if not asked.tools or self._turn is None:
            return Say("Tides and ferries", used=Used(asked.size // 4, 0, 6, 0))
        below = next((prompt for prompt in self._below if asked.said.endswith(prompt)), None)
        queue = self._main if below is None else self._below[below]
        response = queue.pop(0) if queue else "Done."
        if response == STOP:
            return Say("Well", endless=True, used=self._used(asked, below, 20))
        said = json.dumps(response if isinstance(response, str) else response.given)
        used = self._used(asked, below, len(said) // 4 + self._turn.thinks)
        seconds = LATENCY + used.output / PACE
        if isinstance(response, str):
            return Say(response, used=used, seconds=seconds)
        given = json.loads(json.dumps(response.given).replace("{work}", str(self.work)))
        tool = response.tool if isinstance(response, Call) else "Agent"
        return Say(call=(tool, given), used=used, seconds=seconds)

    def _used(self, asked: Asked, below: str | None, output: int) -> Used:
        """At four characters a token. What is new is written to the cache, but for what the user has just said."""
        key = f"{self._conversation} {below}"
        given, known = asked.size // 4, self._cached.get(key, 0)
        self._cached[key] = given
        fresh = min(given - known, 12 + len(asked.said) // 4)
        return Used(fresh, known, output, output // 3, written=given - known - fresh)


class Chat(Script):
    """Of models whose caches are written for nothing, in pieces of 128 tokens."""

    def _used(self, asked: Asked, below: str | None, output: int) -> Used:
        used = super()._used(asked, below, output)
        kept = used.cached // 128 * 128
        return Used(used.fresh + used.written + used.cached - kept, kept, output, output // 3)


class Stage:
    """Where the agents work, and when what happened."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder / "work"
        self.begun: list[float] = []
        self.moved: list[float] = []
        for name, files in PROJECTS.items():
            place = self.folder / name
            place.mkdir(parents=True)
            for file, text in files.items():
                (place / file).write_text(text)
            for words in (("init", "--quiet", "--initial-branch=main"), ("add", "--all")):
                subprocess.run(["git", *words], cwd=place, check=True)

    def at(self, turn: Turn) -> None:
        """From now on it is another time."""
        now = time.time()
        self.begun.append(now)
        self.moved.append(datetime.fromisoformat(turn.when).replace(tzinfo=UTC).timestamp() - now)

    def time_of(self, real: float) -> float | None:
        """A time of the recording, moved; None where it is none."""
        if not self.begun or not self.begun[0] - 1 <= real <= time.time() + 1:
            return None
        return real + self.moved[max(0, bisect_right(self.begun, real) - 1)]


# The agents ----------------------------------------------------------------------------------------------------------


async def record(stage: Stage, model: EveryModel) -> None:
    names: list[str] = []
    for number, session in enumerate(SESSIONS):
        conversation = f"session {number if session.fork_of is None else session.fork_of}"
        script = (Script if session.agent == "claude" else Chat)(stage.folder / session.project)
        if session.fork_of is not None:
            script._cached = {}
        model.answer = script
        print(number, session.agent, session.model, session.turns[0].prompt[:60], flush=True)
        play = _claude if session.agent == "claude" else _over_acp
        async with asyncio.timeout(LIMIT):
            fork = None if session.fork_of is None else names[session.fork_of]
            names.append(await play(stage, model, script, session, conversation, fork))


async def _claude(
    stage: Stage, model: EveryModel, script: Script, session: Session, conversation: str, fork: str | None
) -> str:
    name = fork or ""
    for turn in session.turns:
        stage.at(turn)
        script.begin(conversation, turn)
        options = [*(["--resume", name] if name else []), *(["--fork-session"] if fork else [])]
        name = await _claude_says(stage, model, session, turn, options) or name
    return name


async def _claude_says(stage: Stage, model: EveryModel, session: Session, turn: Turn, options: list[str]) -> str:
    argv = [
        exact.claude(), "-p", turn.prompt, "--output-format", "json", "--model", session.model, *options,
        "--allowedTools", "Write,Read,Edit,Bash,Agent,Task",
    ]  # fmt: skip
    key = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "none"}
    key |= {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=stage.folder / session.project,
        env=real_agents.environ(stage.home) | key,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if STOP in turn.responses:
        await asyncio.to_thread(model.streams.wait, LIMIT)
        model.streams.clear()
        await asyncio.sleep(2)
        process.send_signal(signal.SIGINT)
        await process.communicate()
        return ""
    out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    return str(json.loads(out)["session_id"])


async def _over_acp(
    stage: Stage, model: EveryModel, script: Script, session: Session, conversation: str, fork: str | None
) -> str:
    keeper = Keeper(new_id())
    try:
        fields = real_agents.entry(session.agent, model.url)
        text = json.dumps(fields).replace("scripted-model", session.model)
        settings = Settings(agents={session.agent: json.loads(text)}, start_timeout=60.0, cancel_grace=2.0)
        environ = real_agents.environ(stage.home)
        backend = AcpBackend(settings, registry(settings.agents), keeper, environ=environ)
        stage.at(session.turns[0])
        place = stage.folder / session.project
        opened = await backend.open(
            Opening(agent=session.agent, chat_id="c", cwd=place, mode=exact.MODE), idle_events=lambda _: None
        )
        try:
            for turn in session.turns:
                stage.at(turn)
                script.begin(conversation, turn)
                await _asked(opened, model, turn)
            return str(opened.native_id)
        finally:
            await opened.close()
    finally:
        await keeper.close(2.0)


async def _asked(opened: Any, model: EveryModel, turn: Turn) -> None:
    async def stop() -> None:
        await asyncio.to_thread(model.streams.wait, LIMIT)
        model.streams.clear()
        await asyncio.sleep(2)
        await opened.cancel()

    async with asyncio.TaskGroup() as group:
        if STOP in turn.responses:
            group.create_task(stop())
        async for event in opened.prompt(Prompted(text=turn.prompt, user_text=turn.prompt, mode=exact.MODE)):
            if isinstance(event, PermissionAsked):
                once = next(option.id for option in event.options if option.kind == "allow_once")
                await opened.answer(event.request_id, once)
    assert isinstance(event, Done)


# What is kept --------------------------------------------------------------------------------------------------------

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_FOLDERS = {".claude": "projects", ".codex": "sessions", ".qwen": "projects"}
_WHISPERED = re.compile(
    r"\s*<system-reminder>.*?</system-reminder>\s*| \(file state [^)]*\)| ?\(This tool result .*", re.S
)


def keep(stage: Stage, place: Path) -> None:
    """Copies what the agents wrote down to `place`, without what is theirs."""
    for agent, inner in _FOLDERS.items():
        shutil.rmtree(place / agent[1:], ignore_errors=True)
        folder = stage.home / agent / inner
        for file in sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.meta.json")]):
            made = file.stat().st_mtime
            told = (_told(agent, value) for value in _values(file))
            lines = [_moved(value, stage) for value in told if value is not None]
            if not lines:
                continue
            path = place / agent[1:] / _renamed(file.relative_to(stage.home / agent), stage, made)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "\n".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines)
            path.write_text(_somewhere(text, stage) + "\n")


def _values(file: Path) -> Iterator[Any]:
    for line in file.read_text().splitlines():
        yield json.loads(line)


def _told(agent: str, line: dict[str, Any]) -> dict[str, Any] | None:
    return {".claude": _of_claude, ".codex": _of_codex, ".qwen": _of_qwen}[agent](line)


_CLAUDE = (
    "type", "uuid", "parentUuid", "sessionId", "timestamp", "requestId", "cwd", "version", "gitBranch", "agentId",
    "attributionAgent", "isSidechain", "message", "summary", "aiTitle", "customTitle", "agentType", "forkedFrom",
)  # fmt: skip


def _of_claude(line: dict[str, Any]) -> dict[str, Any] | None:
    if line.get("isMeta") or not (line.get("type") in ("user", "assistant", "ai-title") or "agentType" in line):
        return None
    return _unwhispered({name: line[name] for name in _CLAUDE if name in line})


_CODEX = ("token_count", "task_started", "task_complete", "user_message", "patch_apply_end")


def _of_codex(line: dict[str, Any]) -> dict[str, Any] | None:
    payload = line.get("payload") or {}
    kind, content = payload.get("type"), json.dumps(payload.get("content") or "")
    if payload.get("role") in ("developer", "system") or "<environment_context>" in content or "<user_instr" in content:
        return None
    if line["type"] == "session_meta":
        names = ("id", "timestamp", "cwd", "originator", "cli_version", "source", "model_provider", "git")
    elif line["type"] == "turn_context":
        names = ("turn_id", "cwd", "model", "effort")
    elif line["type"] == "event_msg" and kind not in _CODEX:
        return None
    else:
        names = tuple(name for name in payload if name != "encrypted_content")
    return line | {"payload": {name: payload[name] for name in names if name in payload}}


def _of_qwen(line: dict[str, Any]) -> dict[str, Any] | None:
    event = (line.get("systemPayload") or {}).get("uiEvent")
    if line.get("type") == "system" and event is None:
        return None
    if "toolCallResult" in line:
        result = line["toolCallResult"]
        line = line | {"toolCallResult": {name: result[name] for name in ("callId", "status") if name in result}}
    return _unwhispered(line)


def _unwhispered(value: Any) -> Any:
    """Without what an agent whispers to its model."""
    if isinstance(value, str):
        return _WHISPERED.sub("", value)
    if isinstance(value, list):
        return [_unwhispered(one) for one in value]
    return {name: _unwhispered(one) for name, one in value.items()} if isinstance(value, dict) else value


def _moved(value: Any, stage: Stage) -> Any:
    """The same with all times of the recording moved."""
    if isinstance(value, str):
        return _TIME.sub(lambda found: _later(found[0], stage), value)
    if isinstance(value, list):
        return [_moved(one, stage) for one in value]
    if isinstance(value, dict):
        return {name: _moved(one, stage) for name, one in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        for unit in (1, 1000):
            moved = stage.time_of(value / unit)
            if moved is not None:
                return type(value)(moved * unit)
    return value


def _later(text: str, stage: Stage) -> str:
    moved = stage.time_of(datetime.fromisoformat(text).timestamp())
    if moved is None:
        return text
    return datetime.fromtimestamp(moved, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _renamed(path: Path, stage: Stage, made: float) -> str:
    """A file's name, which may have the folder and the day in it."""
    text = str(path).replace(_coded(str(stage.folder)), _coded(SOMEWHERE))
    if path.name.startswith("rollout-"):
        when = datetime.fromtimestamp(stage.time_of(made) or made, UTC)
        name = re.sub(r"rollout-[\dT-]{19}", f"rollout-{when:%Y-%m-%dT%H-%M-%S}", path.name)
        text = f"sessions/{when:%Y/%m/%d}/{name}"
    return text


def _coded(path: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]", "-", path)


def _somewhere(text: str, stage: Stage) -> str:
    """In the folder of nobody, and of the provider who has such a model."""
    text = text.replace('"model_provider":"scripted"', '"model_provider":"openai"')
    return text.replace(str(stage.folder), SOMEWHERE).replace(_coded(str(stage.folder)), _coded(SOMEWHERE))


def main() -> None:
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(prefix="coder-nb-") as temporary:
        stage = Stage((kept or Path(temporary)).resolve())
        with every_model(lambda asked: Say("Well.")) as model:
            asyncio.run(record(stage, model))
        keep(stage, HISTORY)
    files = [path for path in HISTORY.rglob("*") if path.is_file()]
    print(f"{HISTORY}: {len(files)} files, {sum(path.stat().st_size for path in files)} bytes")


if __name__ == "__main__":
    main()
