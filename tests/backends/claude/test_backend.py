"""What can be said of Claude before it is prompted, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.anthropic_model import anthropic_model
from support.claude import World, turn
from support.history import MemoryHistory

import coder_nb
from coder_nb.backends.base import Opening
from coder_nb.backends.claude import resumes
from coder_nb.backends.claude.backend import ClaudeBackend
from coder_nb.backends.events import TextDelta, ToolUpdate, UserSaid
from coder_nb.backends.registry import registry
from coder_nb.errors import AgentDisabled, AgentFailed, AgentNotInstalled, MissingExtra, NotFound
from coder_nb.ids import new_id
from coder_nb.runtime.agents import Agents
from coder_nb.settings import Settings
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
LONG = pytest.mark.skipif("CODER_NB_TEST_LONG" not in os.environ, reason="long tier: `scripts/test --long`")
ON = {"claude": {"enabled": True}}


def backend(tmp_path: Path, **environ: str) -> ClaudeBackend:
    """One for a user with these variables and an empty home."""
    seen = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], **environ}
    return ClaudeBackend(
        Settings(agents=ON), registry(ON), Keeper(new_id()), MemoryHistory(), spool=tmp_path / "spool", environ=seen
    )


async def test_asked_for_while_off_it_says_which_setting_turns_it_on() -> None:
    agents = Agents(Settings(), Keeper(new_id()), MemoryHistory())
    with pytest.raises(
        AgentDisabled, match=re.escape('Turn it on with the setting `agents`: {"claude": {"enabled": true}}.')
    ):
        await agents.usable("claude")
    (info,) = [info for info in await agents.infos() if info.name == "claude"]
    assert (info.available, info.backend) == (False, "claude")
    assert "turned off" in info.reason


@pytest.mark.skipif(sys.platform == "darwin", reason="there a keychain may know what no file shows")
async def test_logged_in_or_not_is_told_without_starting_anything(tmp_path: Path) -> None:
    away = await backend(tmp_path).probe("claude")
    assert (away.available, away.logged_in, away.reason) == (False, False, "it is not logged in.")
    assert away.cure == "Run `claude` in a terminal and log in, or set ANTHROPIC_API_KEY."
    by_key = await backend(tmp_path, ANTHROPIC_API_KEY="key").probe("claude")
    assert (by_key.available, by_key.logged_in) == (True, True)
    assert by_key.path is not None
    assert by_key.version
    (tmp_path / "home" / ".claude").mkdir(parents=True)
    (tmp_path / "home" / ".claude" / ".credentials.json").write_text("{}")
    assert (await backend(tmp_path).probe("claude")).available
    assert sorted(path.name for path in (tmp_path / "home").rglob("*")) == [".claude", ".credentials.json"]


async def test_without_the_sdk_it_names_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "claude_agent_sdk" else found(name))
    monkeypatch.setitem(sys.modules, "claude_agent_sdk", None)
    probe = await backend(tmp_path).probe("claude")
    assert (probe.available, probe.cure) == (False, 'Install it (`pip install "coder-nb[claude]"`).')
    with pytest.raises(AgentNotInstalled, match=re.escape('`pip install "coder-nb[claude]"`')):
        await backend(tmp_path).open(Opening(agent="claude", chat_id="c", cwd=tmp_path), idle_events=lambda event: None)
    with pytest.raises(MissingExtra, match=re.escape('run `pip install "coder-nb[claude]"`')):
        async with coder_nb.claude_session_store(str(tmp_path / "store.sqlite")):
            pass


def test_the_sdk_is_loaded_by_nobody_who_does_not_use_it() -> None:
    code = "import sys, coder_nb.runtime, coder_nb.runtime.agents; print('claude_agent_sdk' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == "False"


def test_what_a_dead_process_left_with_credentials_in_it_is_removed(tmp_path: Path) -> None:
    def folder(name: str, owner: Any) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / ".credentials.json").touch()
        if owner is not None:
            (path / ".coder-nb-owner").write_text(json.dumps(owner))
        return path

    me = psutil.Process()
    dead = folder("claude-resume-dead", {"pid": 2**22 - 1, "started": 1.0})
    again = folder("claude-resume-again", {"pid": me.pid, "started": me.create_time() - 99})
    relay = folder("coder-nb-claude-dead", {"pid": 2**22 - 1, "started": 1.0})
    mine = folder("claude-resume-mine", None)
    resumes.claim(str(mine))
    foreign = folder("claude-resume-foreign", None)
    odd = folder("claude-resume-odd", "what?")
    other = folder("other", {"pid": 2**22 - 1, "started": 1.0})
    resumes.claim(str(other / "absent"))
    assert sorted(resumes.remove_those_of_the_dead(tmp_path)) == [again, dead, relay]
    assert sorted(path for path in tmp_path.iterdir()) == [foreign, mine, odd, other]


@LONG
@pytest.mark.slow
async def test_sessions_from_the_terminal_are_listed_told_and_gone_on_with(
    make_world: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world.opened() as session:
        await turn(session, "remember one")
        await turn(session, "write made.txt hello")
        native_id = session.native_id
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(world.home / ".claude"))
    root = tmp_path / "another"
    root.mkdir()
    other = await make_world(root=root)  # a store that knows nothing of it
    (listed,) = await other.backend.native_sessions("claude", world.cwd)
    assert listed.native_id == native_id
    assert listed.updated_at is not None
    told = [event async for event in other.backend.told("claude", native_id, world.cwd)]
    prompts = [event for event in told if isinstance(event, UserSaid)]
    assert [prompt.text for prompt in prompts] == ["remember one", "write made.txt hello"]
    assert all(prompt.native_id and prompt.ts for prompt in prompts)
    assert "".join(event.text for event in told if isinstance(event, TextDelta)).startswith(
        "You said this: remember one"
    )
    calls = [event for event in told if isinstance(event, ToolUpdate)]
    assert [(call.original_name, call.status) for call in calls] == [("Write", "in_progress"), (None, "completed")]
    with pytest.raises(NotFound, match="has no session"):
        [event async for event in other.backend.told("claude", "3f0c5a52-0d6c-4a43-9d0f-5f6b2c7b8f10", world.cwd)]
    env = {"CLAUDE_CONFIG_DIR": str(world.home / ".claude")}
    async with other.opened(native_id=native_id, cwd=world.cwd, env=env) as session:
        assert session.resumed == "resumed"
        recalled = await turn(session, "recall")
        assert "I remember: one." in "".join(event.text for event in recalled if isinstance(event, TextDelta))


@pytest.mark.slow
async def test_the_example_of_the_reference_does_what_it_says(tmp_path: Path, world: World) -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    (example,) = re.findall(r"```python\n(import asyncio\n.*?)```", page, re.S)
    (tmp_path / "example.py").write_text(example)
    async with anthropic_model(world.usual) as model:
        program = await run_example(tmp_path, model.url)
        assert program == ["You said this: Remember the number 7.", "You said this: Which number was it?"]
        assert "Remember the number 7." in json.dumps(model.asked[-1]["messages"])


async def run_example(tmp_path: Path, url: str) -> list[str]:
    """What the example prints."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path / "empty"),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CODER_NB_DATABASE": str(tmp_path / "example.sqlite"),
    }
    (tmp_path / "empty").mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "example.py"), cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return printed.decode().splitlines()


async def test_a_program_that_is_none_of_claude_is_said_to_be(make_world: Callable[..., Any]) -> None:
    world = await make_world(entry={"argv": ["false"]})
    with pytest.raises(AgentFailed, match=r"it ended with exit code 1\. Prompt again"):
        await world.backend.open(world.opening(), idle_events=world.idle.append)
    assert not world.keeper._processes


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of this test's own for temporary folders, whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="cnb-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.4, 1.0])
async def test_a_start_that_is_cancelled_leaves_nothing_behind(world: World, aside: Path, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), world.opened() as session:
            await turn(session, "endless")
    mine = [task for task in asyncio.all_tasks() if task.get_name().startswith("Claude")]
    if mine:
        await asyncio.wait(mine, timeout=10)
    assert not world.keeper._processes
    assert not os.listdir(aside)
