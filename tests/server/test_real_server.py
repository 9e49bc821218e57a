"""A real Jupyter server in a process of its own, with the scripted agent: started, stopped, killed, started again."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from support.jupyter import Jupyter, marked, until


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Jupyter]]:
    """Starts servers that share a home, one after the other."""
    started: list[Jupyter] = []

    def begin(*arguments: str) -> Jupyter:
        started.append(Jupyter(tmp_path, *arguments))
        return started[-1].connected()

    yield begin
    for jupyter in started:
        if jupyter.process.poll() is None:
            jupyter.process.kill()
            jupyter.process.wait(30)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    (path / "a.txt").write_text("a\n")
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=path, check=True)
    return path


def test_the_connection_file_lives_as_long_as_the_server(start: Callable[..., Jupyter]) -> None:
    jupyter = start()
    assert stat.S_IMODE(jupyter.file.stat().st_mode) == 0o600
    assert jupyter.ask("GET", "health")["status"] == "ok"
    assert (
        httpx.get(jupyter.url.replace("coder-nb/api/v1/", "api/contents"), headers=jupyter.headers).status_code == 403
    )
    jupyter.end(signal.SIGTERM)
    assert not jupyter.file.exists()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_settles_its_turns_before_it_ends(
    start: Callable[..., Jupyter], repository: Path, by: signal.Signals
) -> None:
    jupyter = start()
    chat = jupyter.open_chat(repository)
    jupyter.prompt(chat, "say begun\nhang")
    jupyter.saying(chat, "begun")
    jupyter.end(by)
    assert not jupyter.file.exists()
    assert marked(jupyter.runtime_id) == []
    with closing(sqlite3.connect(jupyter.file.parents[1] / "data" / "coder-nb" / "store.sqlite")) as store:
        assert store.execute("SELECT state FROM turns").fetchall() == [("interrupted",)]
        assert store.execute("SELECT owner FROM leases").fetchall() == [(None,)]


def test_a_server_that_starts_again_has_the_transcript_and_the_agent_resumes(
    start: Callable[..., Jupyter], repository: Path
) -> None:
    first = start()
    chat = first.open_chat(repository)
    assert first.turn(chat, first.prompt(chat, "say hello"))["end"] == "completed"
    before = first.ask("GET", f"chats/{chat}/entries")
    first.end(signal.SIGTERM)

    second = start()
    assert second.open_chat(repository) == chat
    assert second.ask("GET", f"chats/{chat}/entries") == before
    assert second.turn(chat, second.prompt(chat, "recall"))["end"] == "completed"
    assert second.texts(chat)[-1] == "I remember: say hello"


@pytest.mark.parametrize(
    ("by", "seconds", "agent"),
    [(signal.SIGTERM, 6.0, "hang"), (signal.SIGTERM, 6.0, "deaf"), (signal.SIGKILL, 2.0, "deaf")],
)
def test_nothing_that_we_started_outlives_a_server_that_ends_in_mid_turn(
    start: Callable[..., Jupyter], repository: Path, by: signal.Signals, seconds: float, agent: str
) -> None:
    jupyter = start("--CoderExtension.drain_grace=0")  # what hangs has nothing to wait for
    chat = jupyter.open_chat(repository)
    prompt = jupyter.prompt(chat, f"say begun\ngrandchild\n{agent}")
    jupyter.saying(chat, "grandchild ")
    assert len(marked(jupyter.runtime_id)) >= 2
    jupyter.process.send_signal(by)
    until(lambda: not marked(jupyter.runtime_id), seconds=seconds, what=f"the end of {marked(jupyter.runtime_id)}")
    jupyter.process.wait(30)

    after = start()
    assert after.open_chat(repository) == chat
    assert "begun" in "".join(after.texts(chat))
    assert after.turn(chat, prompt)["end"] == "interrupted"


def test_a_server_whose_store_is_damaged_runs_and_says_so(start: Callable[..., Jupyter], tmp_path: Path) -> None:
    store = tmp_path / "broken.sqlite"
    store.write_bytes(b"this is no database" * 1000)
    jupyter = start(f"--CoderExtension.database={store}")
    health = jupyter.ask("GET", "health")
    assert (health["status"], health["runtime_id"]) == ("degraded", "")
    reply = httpx.get(jupyter.url + "sessions", headers=jupyter.headers)
    assert (reply.status_code, reply.json()["code"]) == (503, "store_damaged")
    assert reply.json()["message"] == health["detail"]
