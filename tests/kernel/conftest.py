"""Real kernels: one with a runtime in memory in it, one with the runtime itself."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from coder_nb.testing import scripted_agent

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
SETUP = """
import asyncio
import coder_nb as cnb
import coder_nb.client.home as home
from coder_nb.core.entries import Text, Plan
from coder_nb.testing.memory_runtime import MemoryRuntime

failed = []

async def play(stage):
    text = stage.prompt.text.strip()
    if text.startswith("endless"):
        stage.put(Text(text="working"))
        await stage.forever()
    if text.startswith("fail") and not failed:
        failed.append(text)
        return "failed"
    if text.startswith("ask"):
        option, by = await stage.ask("rm -r build", asking="stdin")
        text = f"{option} by {by}"
    stage.change("a.py", additions=1, deletions=0)
    stage.put(Text(text=f"You said: {text}"))

runtime = MemoryRuntime(play)

async def open_embedded(settings):
    return runtime

home.open_embedded = open_embedded
"""


class Result(NamedTuple):
    """What a cell gave."""

    status: str
    stdout: str
    value: str
    outputs: list[dict[str, Any]]
    """The contents of its display messages, updates included, with their type."""
    error: str
    traceback: str
    """What the front end shows of an error."""


class Kernel:
    """A kernel and its client."""

    def __init__(self, client: BlockingKernelClient, manager: KernelManager) -> None:
        self.client, self.manager = client, manager

    def send(self, code: str, **options: Any) -> str:
        return str(self.client.execute(code, **options))

    def run(self, code: str, **options: Any) -> Result:
        """Runs a cell to its end, and answers `input()` with yes where it is allowed."""
        return self.finish(self.send(code, **{"allow_stdin": False, **options}))

    def finish(self, message_id: str, on_output: Callable[[str], None] = lambda kind: None) -> Result:
        outputs: list[dict[str, Any]] = []
        stdout = value = error = traceback = ""
        deadline = time.monotonic() + DEADLINE
        while True:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                stdout += content["text"]
            elif kind == "execute_result":
                value = content["data"]["text/plain"]
                outputs.append({"type": kind, **content})
            elif kind in ("display_data", "update_display_data"):
                outputs.append({"type": kind, **content})
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
                traceback = "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                break
            on_output(kind)
        reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
        while reply["parent_header"].get("msg_id") != message_id:
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
        return Result(reply["content"]["status"], stdout, value, outputs, error, traceback)


@contextmanager
def started(folder: Path, **variables: str) -> Iterator[Kernel]:
    """A kernel in a folder, without any variable of ours but these."""
    manager = KernelManager(kernel_name="python3")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("CODER_NB_", "JPY_"))}
    environ |= {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        **variables,
    }
    manager.start_kernel(cwd=str(folder), env=environ)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE)
        yield Kernel(client, manager)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with started(tmp_path_factory.mktemp("kernel")) as kernel:
        result = kernel.run(SETUP)
        assert result.status == "ok", result.error
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """A kernel with the extension loaded, as it is at first."""
    result = shared_kernel.run("%load_ext coder_nb\n%reload_ext coder_nb")
    assert result.status == "ok", result.error
    return shared_kernel


@pytest.fixture(scope="module")
def real_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the real runtime in it, the scripted agent, and a session on a repository."""
    folder = tmp_path_factory.mktemp("real-kernel")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([*git, "init", "-q", "repo"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "start"], cwd=folder / "repo", check=True)
    agents = json.dumps({"scripted": scripted_agent.entry()})
    with started(
        folder, CODER_NB_AGENTS=agents, CODER_NB_DEFAULT_AGENT="scripted", CODER_NB_CANCEL_GRACE="30"
    ) as kernel:
        result = kernel.run("import coder_nb as cnb\n%load_ext coder_nb\nsession = cnb.session('repo')")
        assert result.status == "ok", result.error
        yield kernel
